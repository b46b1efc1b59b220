//! Dataspace messages: the shape of a dataset or attribute.

use super::cursor::Cursor;
use super::error::{Hdf5Error, unsupported};
use crate::tensor::element_count;

/// Most dimensions that HDF5 allows.
pub(super) const MOST_DIMENSIONS: u8 = 32;

/// Side lengths, outermost first; `None` for a dataspace that holds nothing.
pub(super) fn parse(mut cursor: Cursor<'_>) -> Result<Option<Vec<usize>>, Hdf5Error> {
    let version = cursor.version(&[1, 2])?;
    let (rank, _flags) = (cursor.u8()?, cursor.u8()?);
    if rank > MOST_DIMENSIONS {
        return cursor.malformed(format!("{rank} dimensions"));
    }
    if version == 1 {
        cursor.skip(5)?;
    } else if cursor.u8()? == 2 {
        return Ok(None);
    }
    let mut shape = Vec::with_capacity(usize::from(rank));
    for _ in 0..rank {
        let side = cursor.length()?;
        shape.push(usize::try_from(side).or_else(|_| unsupported(format!("a side of {side} elements")))?);
    }
    match element_count(&shape) {
        Some(_) => Ok(Some(shape)),
        None => cursor.malformed(format!("the shape {shape:?} overflows")),
    }
}

/// The dataspace message of a scalar (`&[]`) or an array, version 1.
pub(super) fn encode(shape: &[usize]) -> Vec<u8> {
    let mut message = vec![1, shape.len() as u8, u8::from(!shape.is_empty()), 0, 0, 0, 0, 0];
    // The sides, then the largest sides that they may grow to.
    for &side in shape.iter().chain(shape) {
        message.extend((side as u64).to_le_bytes());
    }
    message
}
