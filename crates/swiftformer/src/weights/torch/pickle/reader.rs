//! A cursor over a pickle's bytes: every read is checked, and names the byte it failed at.

use bytes::Bytes;

use super::PickleError;

/// Reads a pickle from its first byte on.
pub(super) struct Reader<'a> {
    bytes: &'a Bytes,
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next `length` bytes; `length` comes from the file and may be absurd.
    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        let truncated = PickleError::Truncated { offset: self.position, needed: length };
        let Some(end) = usize::try_from(length).ok().and_then(|length| self.position.checked_add(length)) else {
            return Err(truncated);
        };
        let taken = self.bytes.get(self.position..end).ok_or(truncated)?;
        self.position = end;
        Ok(taken)
    }

    /// The next `length` bytes as a view that shares the file's memory.
    pub(super) fn take_shared(&mut self, length: u64) -> Result<Bytes, PickleError> {
        let start = self.position;
        self.take(length)?;
        Ok(self.bytes.slice(start..self.position))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let truncated = PickleError::Truncated { offset: self.position, needed: N as u64 };
        let taken = self.take(N as u64)?;
        taken.try_into().map_err(|_| truncated)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PickleError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, PickleError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, PickleError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, PickleError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// BINFLOAT is the one big-endian number of the format.
    pub(super) fn f64_big_endian(&mut self) -> Result<f64, PickleError> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// The text up to the next line feed, which is read and left out.
    pub(super) fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(length) => {
                self.position += length + 1;
                Ok(rest.get(..length).unwrap_or_default())
            }
            None => Err(PickleError::Truncated { offset: self.bytes.len(), needed: 1 }),
        }
    }
}
