//! The file of weights beside an ML Program: a header, then for every tensor 64 bytes about it and its values, each at a
//! multiple of 64.

use half::f16;

use super::super::FloatType;

const ALIGNMENT: usize = 64;
const VERSION: u32 = 2;
/// Begins what is said about a tensor.
const SENTINEL: u32 = 0xDEAD_BEEF;

/// The file under construction.
pub(super) struct Blob {
    bytes: Vec<u8>,
    count: u32,
}

impl Blob {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; ALIGNMENT], count: 0 }
    }

    /// Appends a tensor, and gives the offset under which the program finds it.
    pub(super) fn push(&mut self, values: &[f32], float: FloatType) -> u64 {
        let (code, width): (u32, usize) = match float {
            FloatType::F16 => (1, 2),
            FloatType::F32 => (2, 4),
        };
        let offset = self.bytes.len();
        let data = offset + ALIGNMENT;
        self.bytes.extend(SENTINEL.to_le_bytes());
        self.bytes.extend(code.to_le_bytes());
        self.bytes.extend(((values.len() * width) as u64).to_le_bytes());
        self.bytes.extend((data as u64).to_le_bytes());
        self.bytes.resize(data, 0);
        self.bytes.reserve(values.len() * width + ALIGNMENT);
        match float {
            FloatType::F16 => values.iter().for_each(|&value| self.bytes.extend(f16::from_f32(value).to_le_bytes())),
            FloatType::F32 => values.iter().for_each(|value| self.bytes.extend(value.to_le_bytes())),
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        self.count += 1;
        offset as u64
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes[..4].copy_from_slice(&self.count.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        self.bytes
    }
}
