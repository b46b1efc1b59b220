//! From a tensor's layout and its storage to row-major bytes.

use bytes::Bytes;

use super::pickle::{NodeId, TensorLayout, Value};
use super::{Checkpoint, TorchError};
use crate::tensor::{RawTensor, element_count};

/// The most axes of a tensor, as in PyTorch.
const MAX_AXES: usize = 64;

/// Makes one tensor. `copy_budget` is what strided copies may still take, in bytes, and is drawn from.
pub(super) fn read(
    checkpoint: &Checkpoint,
    name: &str,
    layout: &TensorLayout,
    copy_budget: &mut u64,
) -> Result<RawTensor, TorchError> {
    let wrong = |what| TorchError::Layout { tensor: name.to_owned(), what };
    let (scalar, storage) = storage(checkpoint, name, layout)?;
    let dtype = scalar.dtype.ok_or_else(|| TorchError::DType { tensor: name.to_owned(), scalar: scalar.name })?;
    let shape = sides(checkpoint, layout.shape).ok_or_else(|| wrong("the shape is not up to 64 whole numbers"))?;
    let strides = sides(checkpoint, layout.strides).ok_or_else(|| wrong("the strides are not whole numbers"))?;
    if shape.len() != strides.len() {
        return Err(wrong("shape and strides differ in length"));
    }
    let size = dtype.size();
    let elements = element_count(&shape).ok_or_else(|| wrong("the shape is too large"))?;
    let length = elements.checked_mul(size).ok_or_else(|| wrong("the shape is too large"))?;
    let outside = || wrong("the view reaches outside its storage");
    let bytes = if elements == 0 {
        Bytes::new()
    } else {
        let offset = usize::try_from(layout.offset).map_err(|_| outside())?;
        let span = span(&shape, &strides).ok_or_else(outside)?;
        let start = offset.checked_mul(size).ok_or_else(outside)?;
        let end = span.checked_mul(size).and_then(|span| span.checked_add(start)).ok_or_else(outside)?;
        if end > storage.len() {
            return Err(outside());
        }
        let view = storage.slice(start..end);
        if is_contiguous(&shape, &strides) {
            view
        } else {
            let needed = length as u64;
            *copy_budget = copy_budget.checked_sub(needed).ok_or_else(|| TorchError::CopyLimit {
                tensor: name.to_owned(),
                needed,
                left: *copy_budget,
            })?;
            copy_strided(&view, &shape, &strides, size, length).ok_or_else(outside)?.into()
        }
    };
    RawTensor::new(dtype, shape, bytes).map_err(|_| outside())
}

/// The element type and the part of the storage that the tensor may use.
fn storage(
    checkpoint: &Checkpoint,
    name: &str,
    layout: &TensorLayout,
) -> Result<(&'static super::pickle::ScalarType, Bytes), TorchError> {
    let Value::Storage(storage) = checkpoint.pickle.get(layout.storage) else {
        return Err(TorchError::Layout { tensor: name.to_owned(), what: "the storage is not one" });
    };
    let key = checkpoint.pickle.text(storage.key).unwrap_or_default();
    let missing = || TorchError::MissingStorage { tensor: name.to_owned(), key: key.to_owned() };
    let bytes = checkpoint.storages.get(key).ok_or_else(missing)?;
    let size = storage.scalar.size;
    if (bytes.len() / size) as u64 != storage.count {
        return Err(TorchError::StorageSize {
            tensor: name.to_owned(),
            key: key.to_owned(),
            expected: storage.count,
            scalar: storage.scalar.name,
            found: bytes.len(),
        });
    }
    let bytes = match storage.view {
        None => bytes.clone(),
        Some((first, count)) => {
            let bound = |elements: u64| usize::try_from(elements).ok()?.checked_mul(size);
            let range = bound(first).zip(first.checked_add(count).and_then(bound));
            let (start, end) = range.filter(|&(_, end)| end <= bytes.len()).ok_or_else(|| TorchError::Layout {
                tensor: name.to_owned(),
                what: "the storage's view reaches outside it",
            })?;
            bytes.slice(start..end)
        }
    };
    Ok((layout.scalar.unwrap_or(storage.scalar), bytes))
}

/// The numbers of a shape or of strides.
fn sides(checkpoint: &Checkpoint, id: NodeId) -> Option<Vec<usize>> {
    let (Value::Tuple(items) | Value::List(items)) = checkpoint.pickle.get(id) else {
        return None;
    };
    if items.len() > MAX_AXES {
        return None;
    }
    let side = |&item| match checkpoint.pickle.get(item) {
        Value::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    items.iter().map(side).collect()
}

/// Elements from the first to behind the last of a view of at least one element.
fn span(shape: &[usize], strides: &[usize]) -> Option<usize> {
    shape
        .iter()
        .zip(strides)
        .try_fold(1usize, |span, (&side, &stride)| span.checked_add(side.checked_sub(1)?.checked_mul(stride)?))
}

/// Whether row-major order is the storage's own. Strides of sides of one say nothing.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    shape.iter().zip(strides).rev().all(|(&side, &stride)| {
        let fits = side == 1 || stride == expected;
        // No overflow: the product of all sides was checked.
        expected = expected.saturating_mul(side);
        fits
    })
}

/// Copies a view of at least one element, of which every one lies in `view`, into row-major order.
fn copy_strided(view: &[u8], shape: &[usize], strides: &[usize], size: usize, length: usize) -> Option<Vec<u8>> {
    let mut copied = Vec::with_capacity(length);
    let (&side, outer_shape) = shape.split_last()?;
    let (&stride, outer_strides) = strides.split_last()?;
    let mut index = vec![0usize; outer_shape.len()];
    let mut base = 0usize;
    loop {
        for column in 0..side {
            let start = (base + column * stride) * size;
            copied.extend_from_slice(view.get(start..start + size)?);
        }
        // The next row: count `index` up from its last axis, and keep `base` in step.
        let mut axis = outer_shape.len();
        loop {
            let Some(at) = axis.checked_sub(1) else {
                return Some(copied);
            };
            axis = at;
            let (count, side, stride) = (index.get_mut(at)?, *outer_shape.get(at)?, *outer_strides.get(at)?);
            *count += 1;
            base += stride;
            if *count < side {
                break;
            }
            base -= side * stride;
            *count = 0;
        }
    }
}
