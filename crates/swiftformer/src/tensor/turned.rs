//! A tensor's values in another order than they are stored in.

use std::sync::OnceLock;

use bytes::Bytes;

use super::DType;

/// Values that lie side by side in the store and are moved together: a cache line of `f32`.
const LANES: usize = 16;

/// A view with permuted axes. Nothing is copied until the values are asked for.
#[derive(Debug)]
pub(super) struct Turned {
    stored: Bytes,
    /// Product of the sides and the type's size is `stored.len()`, which is not 0.
    shape: Vec<usize>,
    /// Elements of `stored` from one index of an axis to the next: row-major strides, permuted.
    strides: Vec<usize>,
    row_major: OnceLock<Bytes>,
}

impl Turned {
    /// The view of `stored`, row-major of `shape`, whose axis `i` is the axis `axes[i]` of `stored`.
    pub(super) fn new(stored: Bytes, shape: &[usize], axes: &[usize]) -> Self {
        let strides = row_major_strides(shape);
        let pick = |values: &[usize]| axes.iter().map(|&axis| values[axis]).collect();
        Self { shape: pick(shape), strides: pick(&strides), stored, row_major: OnceLock::new() }
    }

    /// The view with its axes permuted once more.
    pub(super) fn turned(&self, axes: &[usize]) -> Self {
        let pick = |values: &[usize]| axes.iter().map(|&axis| values[axis]).collect();
        let (shape, strides) = (pick(&self.shape), pick(&self.strides));
        Self { stored: self.stored.clone(), shape, strides, row_major: OnceLock::new() }
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn byte_len(&self) -> usize {
        self.stored.len()
    }

    /// The values in row-major order, put together the first time and kept.
    pub(super) fn bytes(&self, dtype: DType) -> &Bytes {
        fn copied<const N: usize>(turned: &Turned) -> Bytes {
            let mut values = Vec::new();
            turned.append(&mut values, |value: [u8; N]| value);
            values.into_flattened().into()
        }
        self.row_major.get_or_init(|| match dtype.size() {
            8 => copied::<8>(self),
            4 => copied::<4>(self),
            2 => copied::<2>(self),
            _ => copied::<1>(self),
        })
    }

    /// Appends the values in row-major order; `N` is the type's size.
    pub(super) fn append<const N: usize, T: Copy>(&self, values: &mut Vec<T>, convert: impl Fn([u8; N]) -> T) {
        let stored = self.stored.as_chunks::<N>().0;
        let first = values.len();
        values.resize(first + stored.len(), convert([0; N]));
        let values = &mut values[first..];
        // The axis along which the stored values lie side by side; without one there is a single value.
        let is_dense = |axis: &usize| self.shape[*axis] > 1 && self.strides[*axis] == 1;
        let Some(dense) = (0..self.shape.len()).find(is_dense) else {
            values.iter_mut().zip(stored).for_each(|(value, &bytes)| *value = convert(bytes));
            return;
        };
        let to = row_major_strides(&self.shape);
        let others: Vec<[usize; 3]> = (0..to.len())
            .filter(|&axis| axis != dense)
            .map(|axis| [self.shape[axis], self.strides[axis], to[axis]])
            .collect();
        for start in (0..self.shape[dense]).step_by(LANES) {
            let lanes = LANES.min(self.shape[dense] - start);
            for_each_place(&others, start, start * to[dense], &mut |from, into| {
                for (lane, &bytes) in stored[from..from + lanes].iter().enumerate() {
                    values[into + lane * to[dense]] = convert(bytes);
                }
            });
        }
    }
}

/// Calls `visit` with the offsets from and to of every index of `axes`, which are side, stride from and stride to.
fn for_each_place(axes: &[[usize; 3]], from: usize, into: usize, visit: &mut impl FnMut(usize, usize)) {
    let Some((&[side, from_stride, into_stride], inner)) = axes.split_first() else { return visit(from, into) };
    for index in 0..side {
        for_each_place(inner, from + index * from_stride, into + index * into_stride, visit);
    }
}

fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}
