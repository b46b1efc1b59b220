//! Datasets: from the messages of one object header to a tensor.

use bytes::Bytes;

use super::chunked::{self, Chunks, Grid};
use super::cursor::Cursor;
use super::dataspace;
use super::datatype::Datatype;
use super::error::{Hdf5Error, unsupported};
use super::filters;
use super::header::{Header, kind};
use super::read::Reader;
use crate::tensor::{RawTensor, element_count};

/// Where a dataset's values are.
enum Layout<'a> {
    /// In the object header itself.
    Compact(&'a [u8]),
    /// In one run of bytes; no address when nothing was ever written.
    Contiguous { address: Option<u64>, size: u64 },
    /// In chunks of `sides` elements.
    Chunked { sides: Vec<u64>, element_size: u64, chunks: Option<Chunks> },
}

/// Reads the dataset that `header` describes.
pub(super) fn read<'a>(reader: &mut Reader<'a>, header: &Header<'a>) -> Result<RawTensor, Hdf5Error> {
    let (Some(space), Some(datatype), Some(layout)) =
        (header.first(kind::DATASPACE)?, header.first(kind::DATATYPE)?, header.first(kind::LAYOUT)?)
    else {
        return unsupported("a dataset without dataspace, datatype or layout");
    };
    if header.has(kind::EXTERNAL_FILES) {
        return unsupported("values in external files");
    }
    let Some(shape) = dataspace::parse(space)? else {
        return unsupported("a dataset that holds nothing (a null dataspace)");
    };
    let (dtype, big_endian) = match Datatype::parse(datatype)? {
        Datatype::Number { dtype, big_endian } => (dtype, big_endian),
        other => return unsupported(format!("a dataset of {}", other.describe())),
    };
    let Some(length) = element_count(&shape).and_then(|count| count.checked_mul(dtype.size())) else {
        return unsupported(format!("a dataset of shape {shape:?}"));
    };
    let mut layout_end = layout.clone();
    let mut bytes = match parse_layout(layout)? {
        _ if length == 0 => Bytes::new(),
        Layout::Compact(stored) => match stored.get(..length) {
            Some(stored) => reader.file.slice_ref(stored),
            None => return short(&mut layout_end, length, stored.len() as u64),
        },
        Layout::Contiguous { size, .. } if size < length as u64 => return short(&mut layout_end, length, size),
        Layout::Contiguous { address: Some(address), .. } => {
            let values = reader.cursor(address, "dataset values")?.bytes(length as u64)?;
            reader.allowance.viewed(length as u64)?;
            reader.file.slice_ref(values)
        }
        Layout::Contiguous { address: None, .. } => {
            reader.allowance.copied(length as u64)?;
            filled(&fill_value(header, dtype.size())?, length).into()
        }
        Layout::Chunked { sides, element_size, chunks } => {
            if sides.len() != shape.len() || element_size != dtype.size() as u64 {
                return unsupported(format!("chunks {sides:?} of {element_size} bytes in a dataset of {shape:?}"));
            }
            let filters = header.first(kind::FILTERS)?.map(filters::parse).transpose()?.unwrap_or_default();
            if filters.is_empty() {
                reader.allowance.copied(length as u64)?;
            } else {
                reader.allowance.inflated(length as u64)?;
            }
            let values = filled(&fill_value(header, dtype.size())?, length);
            let mut grid = Grid::new(&shape, &sides, dtype.size(), filters, values)?;
            if let Some(chunks) = chunks {
                chunked::read(reader, &chunks, &mut grid)?;
            }
            grid.into_values().into()
        }
    };
    if big_endian && dtype.size() > 1 {
        reader.allowance.copied(bytes.len() as u64)?;
        let mut swapped = bytes.to_vec();
        swapped.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
        bytes = swapped.into();
    }
    RawTensor::new(dtype, shape, bytes).or_else(|error| unsupported(error.to_string()))
}

fn short<T>(layout: &mut Cursor<'_>, length: usize, size: u64) -> Result<T, Hdf5Error> {
    layout.malformed(format!("the shape needs {length} bytes, {size} are stored"))
}

fn parse_layout(mut cursor: Cursor<'_>) -> Result<Layout<'_>, Hdf5Error> {
    let version = cursor.version(&[3, 4, 5])?;
    match cursor.u8()? {
        0 => {
            let size = cursor.u16()?;
            Ok(Layout::Compact(cursor.bytes(u64::from(size))?))
        }
        1 => Ok(Layout::Contiguous { address: cursor.address()?, size: cursor.length()? }),
        2 if version == 3 => {
            let count = cursor.u8()?;
            let chunks = cursor.address()?.map(Chunks::Tree);
            let (sides, element_size) = chunk_sides(&mut cursor, count, 4)?;
            Ok(Layout::Chunked { sides, element_size, chunks })
        }
        2 => {
            let (flags, count, width) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
            let (sides, element_size) = chunk_sides(&mut cursor, count, width)?;
            let chunks = chunked::parse_index(&mut cursor, flags)?;
            Ok(Layout::Chunked { sides, element_size, chunks })
        }
        3 => unsupported("a virtual dataset"),
        class => cursor.malformed(format!("layout class {class}")),
    }
}

/// The sides of a chunk, and the bytes of an element, which the file stores as one more side.
fn chunk_sides(cursor: &mut Cursor<'_>, count: u8, width: u8) -> Result<(Vec<u64>, u64), Hdf5Error> {
    if !(2..=dataspace::MOST_DIMENSIONS + 1).contains(&count) || !(1..=8).contains(&width) {
        return cursor.malformed(format!("chunks of {count} dimensions in {width} bytes each"));
    }
    let mut sides = Vec::with_capacity(usize::from(count) - 1);
    for _ in 1..count {
        sides.push(cursor.uint(width)?);
    }
    Ok((sides, cursor.uint(width)?))
}

/// The bytes of one element that stand where nothing was written; zeros unless the file says otherwise.
fn fill_value(header: &Header<'_>, element_size: usize) -> Result<Vec<u8>, Hdf5Error> {
    let zeros = vec![0; element_size];
    let Some(mut message) = header.first(kind::FILL_VALUE)? else {
        return Ok(zeros);
    };
    let defined = match message.version(&[1, 2, 3])? {
        3 => message.u8()? & 0x20 != 0,
        version => {
            message.skip(2)?;
            message.u8()? != 0 || version == 1
        }
    };
    let size = if defined { message.u32()? } else { 0 };
    // A size of 0 (-1 in old files) stands for the default, zeros.
    if size == 0 || size == u32::MAX {
        return Ok(zeros);
    }
    let value = message.bytes(u64::from(size))?;
    if value.len() != element_size {
        return message.malformed(format!("a fill value of {size} bytes for elements of {element_size}"));
    }
    Ok(value.to_vec())
}

fn filled(element: &[u8], length: usize) -> Vec<u8> {
    if element.iter().all(|&byte| byte == 0) {
        return vec![0; length];
    }
    element.repeat(length / element.len().max(1))
}
