//! Dense tensors: [`Tensor`] is what models take and give, [`RawTensor`] is what weight files hold.

use bytes::Bytes;
use indexmap::IndexMap;

/// A dense row-major `f32` tensor, e.g. images `[batch, channels, height, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// A shape that does not fit the data it was given with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shape {shape:?} needs {needed} values, found {found}")]
pub struct ShapeError {
    /// The shape asked for.
    pub shape: Vec<usize>,
    /// How many values that shape holds (`usize::MAX` when the product overflows).
    pub needed: usize,
    /// How many values there are.
    pub found: usize,
}

/// Number of elements of `shape`, or `None` when the product overflows.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side))
}

impl Tensor {
    /// Wraps row-major `data`.
    ///
    /// # Errors
    /// When the product of `shape` is not `data.len()`.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self, ShapeError> {
        let shape = shape.into();
        match element_count(&shape) {
            Some(needed) if needed == data.len() => Ok(Self { shape, data }),
            needed => Err(ShapeError { needed: needed.unwrap_or(usize::MAX), found: data.len(), shape }),
        }
    }

    /// A tensor of zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let data = vec![0.0; shape.iter().product()];
        Self { shape, data }
    }

    /// Side lengths, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values in row-major order, to be changed.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values in row-major order, without the shape.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

/// Element types that weight files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    BF16,
    /// IEEE 754 binary64.
    F64,
    /// Signed integers of 64 bits (BatchNorm's `num_batches_tracked`).
    I64,
    /// Signed integers of 32 bits.
    I32,
    /// Unsigned bytes.
    U8,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::U8 => 1,
        }
    }

    /// The name that safetensors headers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F64 => "F64",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::U8 => "U8",
        }
    }
}

/// One tensor of a weight file: little-endian row-major bytes, possibly a view into a mapped file.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Bytes,
}

/// The tensors of a weight file by name, in the file's order.
pub type TensorMap = IndexMap<String, RawTensor>;

impl RawTensor {
    /// Wraps little-endian row-major `bytes`.
    ///
    /// # Errors
    /// When `bytes` is not as long as `shape` and `dtype` say; the error counts elements.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>, bytes: Bytes) -> Result<Self, ShapeError> {
        let shape = shape.into();
        let needed = element_count(&shape);
        if needed.and_then(|count| count.checked_mul(dtype.size())) != Some(bytes.len()) {
            let found = bytes.len() / dtype.size();
            return Err(ShapeError { needed: needed.unwrap_or(usize::MAX), found, shape });
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// An `f32` tensor from values.
    ///
    /// # Errors
    /// When the product of `shape` is not `values.len()`.
    pub fn from_f32(shape: impl Into<Vec<usize>>, values: &[f32]) -> Result<Self, ShapeError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(DType::F32, shape, bytes.into())
    }

    /// A scalar of 64-bit integers, as PyTorch keeps `num_batches_tracked`.
    pub fn from_i64_scalar(value: i64) -> Self {
        Self { dtype: DType::I64, shape: Vec::new(), bytes: value.to_le_bytes().to_vec().into() }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Side lengths, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Little-endian row-major bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The values as `f32`; `f64` and integers are rounded to the nearest.
    pub fn to_f32(&self) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
        }
        let bytes = &self.bytes[..];
        match self.dtype {
            DType::F32 => each(bytes, f32::from_le_bytes),
            DType::F16 => each(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            DType::BF16 => each(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            DType::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
            DType::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
            DType::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
            DType::U8 => bytes.iter().map(|&b| f32::from(b)).collect(),
        }
    }

    /// The same values under another shape of the same size.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn reshaped(&self, shape: impl Into<Vec<usize>>) -> Result<Self, ShapeError> {
        Self::new(self.dtype, shape, self.bytes.clone())
    }

    /// The tensor with its axes in the order `axes` (as NumPy's `transpose`), copied into row-major order.
    ///
    /// # Panics
    /// When `axes` is not a permutation of the tensor's axes.
    pub fn transposed(&self, axes: &[usize]) -> Self {
        let rank = self.shape.len();
        let mut seen = vec![false; rank];
        for &axis in axes {
            assert!(axis < rank && !std::mem::replace(&mut seen[axis], true), "axes {axes:?} of a rank-{rank} tensor");
        }
        assert_eq!(axes.len(), rank, "axes {axes:?} of a rank-{rank} tensor");
        if self.bytes.is_empty() {
            // The product of the other sides may overflow.
            return Self {
                dtype: self.dtype,
                shape: axes.iter().map(|&axis| self.shape[axis]).collect(),
                bytes: Bytes::new(),
            };
        }
        let mut strides = vec![1usize; rank];
        for axis in (1..rank).rev() {
            strides[axis - 1] = strides[axis] * self.shape[axis];
        }
        let shape: Vec<usize> = axes.iter().map(|&axis| self.shape[axis]).collect();
        let size = self.dtype.size();
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut index = vec![0usize; rank];
        for _ in 0..self.bytes.len() / size {
            let offset: usize = index.iter().zip(axes).map(|(&i, &axis)| i * strides[axis]).sum();
            bytes.extend_from_slice(&self.bytes[offset * size..(offset + 1) * size]);
            for axis in (0..rank).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Self { dtype: self.dtype, shape, bytes: bytes.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_overflows_is_an_error() {
        let error = RawTensor::new(DType::F32, [usize::MAX, 2], Bytes::new()).unwrap_err();
        assert_eq!(error.needed, usize::MAX);
    }

    #[test]
    fn transposing_twice_gives_the_tensor_back() {
        let values: Vec<f32> = (0..24).map(|v| v as f32).collect();
        let tensor = RawTensor::from_f32([2, 3, 4], &values).unwrap();
        let turned = tensor.transposed(&[2, 0, 1]);
        assert_eq!(turned.shape(), [4, 2, 3]);
        assert_eq!(turned.to_f32()[..3], [0.0, 4.0, 8.0]);
        assert_eq!(turned.transposed(&[1, 2, 0]), tensor);
    }

    #[test]
    fn transposing_no_values_takes_sides_of_any_size() {
        let tensor = RawTensor::new(DType::F32, [0, usize::MAX, 2], Bytes::new()).unwrap();
        assert_eq!(tensor.transposed(&[2, 1, 0]).shape(), [2, usize::MAX, 0]);
    }
}
