//! Bounds-checked little-endian reading.

use super::error::Hdf5Error;

/// Widths of addresses and lengths, which the superblock chooses for the whole file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Bytes of an address: 2, 4 or 8.
    pub offset: u8,
    /// Bytes of a length: 2, 4 or 8.
    pub length: u8,
}

/// Reads one structure of the file, and never outside of it.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    /// The file up to the structure's end.
    file: &'a [u8],
    position: usize,
    sizes: Sizes,
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// A cursor on `file` from `address` to the end of the file.
    pub fn new(file: &'a [u8], sizes: Sizes, address: u64, what: &'static str) -> Result<Self, Hdf5Error> {
        match usize::try_from(address) {
            Ok(position) if position <= file.len() => Ok(Self { file, position, sizes, what }),
            _ => Err(Hdf5Error::Truncated { what, offset: address, needed: 1, available: 0 }),
        }
    }

    /// A cursor on the next `length` bytes, which this cursor skips.
    pub fn sub(&mut self, length: u64, what: &'static str) -> Result<Self, Hdf5Error> {
        let position = self.position;
        self.bytes(length)?;
        Ok(Self { file: self.file.get(..self.position).unwrap_or_default(), position, sizes: self.sizes, what })
    }

    /// Where the next byte is read.
    pub fn position(&self) -> u64 {
        self.position as u64
    }

    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub fn remaining(&self) -> usize {
        self.file.len() - self.position
    }

    pub fn bytes(&mut self, count: u64) -> Result<&'a [u8], Hdf5Error> {
        let rest = self.file.get(self.position..).unwrap_or_default();
        match usize::try_from(count).ok().and_then(|count| rest.get(..count)) {
            Some(taken) => {
                self.position += taken.len();
                Ok(taken)
            }
            None => Err(Hdf5Error::Truncated {
                what: self.what,
                offset: self.position(),
                needed: count,
                available: rest.len() as u64,
            }),
        }
    }

    pub fn skip(&mut self, count: u64) -> Result<(), Hdf5Error> {
        self.bytes(count).map(|_| ())
    }

    /// An unsigned integer of `width` bytes, at most 8.
    pub fn uint(&mut self, width: u8) -> Result<u64, Hdf5Error> {
        let taken = self.bytes(u64::from(width.min(8)))?;
        Ok(taken.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    pub fn u8(&mut self) -> Result<u8, Hdf5Error> {
        self.uint(1).map(|value| value as u8)
    }

    pub fn u16(&mut self) -> Result<u16, Hdf5Error> {
        self.uint(2).map(|value| value as u16)
    }

    pub fn u32(&mut self) -> Result<u32, Hdf5Error> {
        self.uint(4).map(|value| value as u32)
    }

    /// An address, or `None` for the undefined address (all bits set).
    pub fn address(&mut self) -> Result<Option<u64>, Hdf5Error> {
        let width = self.sizes.offset;
        let value = self.uint(width)?;
        Ok((value != u64::MAX >> (64 - 8 * u32::from(width))).then_some(value))
    }

    /// An address that must be defined.
    pub fn defined_address(&mut self) -> Result<u64, Hdf5Error> {
        match self.address()? {
            Some(address) => Ok(address),
            None => self.malformed("an address is undefined"),
        }
    }

    pub fn length(&mut self) -> Result<u64, Hdf5Error> {
        self.uint(self.sizes.length)
    }

    pub fn expect(&mut self, signature: &[u8]) -> Result<(), Hdf5Error> {
        if self.bytes(signature.len() as u64)? == signature {
            return Ok(());
        }
        self.malformed(format!("no signature {}", String::from_utf8_lossy(signature)))
    }

    /// Reads a version byte and checks it.
    pub fn version(&mut self, known: &[u8]) -> Result<u8, Hdf5Error> {
        let version = self.u8()?;
        if known.contains(&version) {
            return Ok(version);
        }
        Err(Hdf5Error::Unsupported(format!("{} version {version} at offset {}", self.what, self.position - 1)))
    }

    /// The error that this structure breaks a rule.
    pub fn malformed<T>(&self, problem: impl Into<String>) -> Result<T, Hdf5Error> {
        Err(Hdf5Error::Malformed { what: self.what, offset: self.position(), problem: problem.into() })
    }
}
