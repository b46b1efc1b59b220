//! The filters that h5py users compress chunks with: deflate ("gzip") and shuffle.

use std::borrow::Cow;
use std::io::Read;

use super::cursor::Cursor;
use super::error::{Hdf5Error, unsupported};
use super::read::Reader;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Deflate,
    /// Stores the first bytes of all elements, then the second ones, ...
    Shuffle {
        /// Bytes of an element.
        size: usize,
    },
}

/// The filters of a dataset, in the order of writing.
pub(super) fn parse(mut cursor: Cursor<'_>) -> Result<Vec<Filter>, Hdf5Error> {
    let version = cursor.version(&[1, 2])?;
    let count = cursor.u8()?;
    if version == 1 {
        cursor.skip(6)?;
    }
    let mut filters = Vec::with_capacity(usize::from(count.min(32)));
    for _ in 0..count {
        let id = cursor.u16()?;
        let name_length = if version == 1 || id >= 256 { cursor.u16()? } else { 0 };
        cursor.skip(2)?;
        let parameters = cursor.u16()?;
        let name_length = u64::from(name_length);
        cursor.skip(if version == 1 { name_length.next_multiple_of(8) } else { name_length })?;
        let first = if parameters > 0 { cursor.u32()? } else { 0 };
        cursor.skip(4 * u64::from(parameters.saturating_sub(1)))?;
        if version == 1 && parameters % 2 == 1 {
            cursor.skip(4)?;
        }
        filters.push(match id {
            1 => Filter::Deflate,
            2 if first > 0 => Filter::Shuffle { size: first as usize },
            2 => return cursor.malformed("shuffle of elements without bytes"),
            3 => return unsupported("the checksum filter fletcher32"),
            4 => return unsupported("the compression filter szip"),
            _ => return unsupported(format!("the compression filter {id}")),
        });
    }
    Ok(filters)
}

/// Undoes the filters of one chunk that holds `length` bytes; bit i of `mask` says that filter i was left out.
pub(super) fn undo<'a>(
    reader: &mut Reader<'_>,
    filters: &[Filter],
    mask: u32,
    stored: &'a [u8],
    length: usize,
) -> Result<Cow<'a, [u8]>, Hdf5Error> {
    let mut data = Cow::Borrowed(stored);
    for (index, filter) in filters.iter().enumerate().rev() {
        if mask.checked_shr(index as u32).unwrap_or(0) & 1 != 0 {
            continue;
        }
        reader.allowance.inflated(data.len().max(length) as u64)?;
        data = Cow::Owned(match *filter {
            Filter::Deflate => inflate(&data, length)?,
            Filter::Shuffle { size } => unshuffle(&data, size),
        });
    }
    Ok(data)
}

/// At most `length` bytes and one more, which tells a stream that is too long from one that ends.
pub(super) fn inflate(data: &[u8], length: usize) -> Result<Vec<u8>, Hdf5Error> {
    let mut inflated = Vec::with_capacity(length);
    match flate2::read::ZlibDecoder::new(data).take(length as u64 + 1).read_to_end(&mut inflated) {
        Ok(_) => Ok(inflated),
        Err(error) => {
            Err(Hdf5Error::Malformed { what: "deflated chunk", offset: 0, problem: format!("in the stream: {error}") })
        }
    }
}

fn unshuffle(data: &[u8], size: usize) -> Vec<u8> {
    let count = data.len() / size;
    let mut restored = Vec::with_capacity(data.len());
    let (planes, rest) = data.split_at(count * size);
    for element in 0..count {
        restored.extend(planes.iter().skip(element).step_by(count));
    }
    restored.extend_from_slice(rest);
    restored
}
