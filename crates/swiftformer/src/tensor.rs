//! Dense tensors: [`Tensor`] is what models take and give, [`RawTensor`] is what weight files hold.

mod turned;

use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;

use self::turned::Turned;

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

    /// Whether it holds numbers with a point.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
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

/// One tensor of a weight file: little-endian row-major values, possibly a view into a mapped file.
#[derive(Clone, Debug)]
pub struct RawTensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    RowMajor(Bytes),
    Turned(Arc<Turned>),
}

impl PartialEq for RawTensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.bytes() == other.bytes()
    }
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
        Ok(Self { dtype, shape, data: Data::RowMajor(bytes) })
    }

    /// An `f32` tensor from values.
    ///
    /// # Errors
    /// When the product of `shape` is not `values.len()`.
    pub fn from_f32(shape: impl Into<Vec<usize>>, values: &[f32]) -> Result<Self, ShapeError> {
        let bytes: Vec<[u8; 4]> = values.iter().map(|value| value.to_le_bytes()).collect();
        Self::new(DType::F32, shape, bytes.into_flattened().into())
    }

    /// A scalar of 64-bit integers, as PyTorch keeps `num_batches_tracked`.
    pub fn from_i64_scalar(value: i64) -> Self {
        let data = Data::RowMajor(value.to_le_bytes().to_vec().into());
        Self { dtype: DType::I64, shape: Vec::new(), data }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Side lengths, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Little-endian row-major bytes. Those of a transposed tensor are put together the first time, and kept.
    pub fn bytes(&self) -> &Bytes {
        match &self.data {
            Data::RowMajor(bytes) => bytes,
            Data::Turned(turned) => turned.bytes(self.dtype),
        }
    }

    /// How many bytes the values take.
    pub fn byte_len(&self) -> usize {
        match &self.data {
            Data::RowMajor(bytes) => bytes.len(),
            Data::Turned(turned) => turned.byte_len(),
        }
    }

    /// The values as `f32`; `f64` and integers are rounded to the nearest.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = Vec::new();
        self.append_f32(&mut values);
        values
    }

    /// The same values as 32-bit floats, 16-bit floats or bfloat16, rounded to the nearest; tensors of integers stay as they
    /// are. `None` where `dtype` is none of the three, or a value is too large for it.
    pub fn rounded_to(&self, dtype: DType) -> Option<Self> {
        if dtype == self.dtype || !self.dtype.is_float() {
            return Some(self.clone());
        }
        let values = self.to_f32();
        let bytes: Vec<u8> = match dtype {
            DType::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            DType::F16 => {
                let rounded: Vec<half::f16> = values.iter().map(|&value| half::f16::from_f32(value)).collect();
                if rounded.iter().zip(&values).any(|(rounded, value)| rounded.is_infinite() && value.is_finite()) {
                    return None;
                }
                rounded.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            DType::BF16 => values.iter().flat_map(|&value| half::bf16::from_f32(value).to_le_bytes()).collect(),
            _ => return None,
        };
        Self::new(dtype, self.shape.clone(), bytes.into()).ok()
    }

    /// Appends the values as [`RawTensor::to_f32`] gives them.
    pub fn append_f32(&self, values: &mut Vec<f32>) {
        fn each<const N: usize>(data: &Data, values: &mut Vec<f32>, convert: impl Fn([u8; N]) -> f32) {
            match data {
                Data::RowMajor(bytes) => values.extend(bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk))),
                Data::Turned(turned) => turned.append(values, convert),
            }
        }
        let data = &self.data;
        match self.dtype {
            DType::F32 => each(data, values, f32::from_le_bytes),
            DType::F16 => each(data, values, |b| half::f16::from_le_bytes(b).to_f32()),
            DType::BF16 => each(data, values, |b| half::bf16::from_le_bytes(b).to_f32()),
            DType::F64 => each(data, values, |b| f64::from_le_bytes(b) as f32),
            DType::I64 => each(data, values, |b| i64::from_le_bytes(b) as f32),
            DType::I32 => each(data, values, |b| i32::from_le_bytes(b) as f32),
            DType::U8 => each(data, values, |[b]: [u8; 1]| f32::from(b)),
        }
    }

    /// The same values under another shape of the same size.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn reshaped(&self, shape: impl Into<Vec<usize>>) -> Result<Self, ShapeError> {
        Self::new(self.dtype, shape, self.bytes().clone())
    }

    /// The tensor with its axes in the order `axes` (as NumPy's `transpose`): a view, whose values are moved when they are
    /// read.
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
        let turned = match &self.data {
            // Without values, the product of the other sides may overflow.
            Data::RowMajor(bytes) if bytes.is_empty() => {
                let shape = axes.iter().map(|&axis| self.shape[axis]).collect();
                return Self { dtype: self.dtype, shape, data: self.data.clone() };
            }
            Data::RowMajor(bytes) => Turned::new(bytes.clone(), &self.shape, axes),
            Data::Turned(turned) => turned.turned(axes),
        };
        Self { dtype: self.dtype, shape: turned.shape().to_vec(), data: Data::Turned(Arc::new(turned)) }
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

    /// Values of every type size, and sides that blocks of lanes do not divide.
    #[test]
    fn a_transposed_tensor_has_every_value_at_its_place() {
        let shape = [3, 2, 17, 35];
        let count = shape.iter().product::<usize>();
        for dtype in [DType::F32, DType::F16, DType::F64, DType::U8] {
            let bytes: Vec<u8> = (0..count * dtype.size()).map(|at| (at * 7 % 60) as u8).collect();
            let tensor = RawTensor::new(dtype, shape, bytes.into()).unwrap();
            let stored = tensor.to_f32();
            for axes in [[3, 2, 0, 1], [0, 1, 3, 2], [1, 0, 2, 3], [2, 3, 1, 0]] {
                let turned = tensor.transposed(&axes);
                let side = axes.map(|axis| shape[axis]);
                let mut expected = Vec::with_capacity(count);
                for at in 0..count {
                    let index = [
                        at / (side[1] * side[2] * side[3]),
                        at / (side[2] * side[3]) % side[1],
                        at / side[3] % side[2],
                        at % side[3],
                    ];
                    let mut place = [0; 4];
                    axes.iter().zip(index).for_each(|(&axis, i)| place[axis] = i);
                    expected.push(stored[((place[0] * 2 + place[1]) * 17 + place[2]) * 35 + place[3]]);
                }
                assert_eq!(turned.to_f32(), expected, "{dtype:?} {axes:?}");
                let copied = RawTensor::new(dtype, side, turned.bytes().clone()).unwrap();
                assert_eq!(copied.to_f32(), expected, "{dtype:?} {axes:?} as bytes");
                assert_eq!(turned.byte_len(), tensor.byte_len());
            }
        }
    }

    #[test]
    fn transposing_no_values_takes_sides_of_any_size() {
        let tensor = RawTensor::new(DType::F32, [0, usize::MAX, 2], Bytes::new()).unwrap();
        assert_eq!(tensor.transposed(&[2, 1, 0]).shape(), [2, usize::MAX, 0]);
    }
}
