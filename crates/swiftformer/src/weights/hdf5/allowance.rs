//! What a file of a given size may cost to read.
//!
//! Structures of an honest file lie side by side, so that everything which is parsed, copied or stored stays in
//! proportion to the file. Structures that overlap or point at each other break that proportion, and hit a limit.

use super::error::Hdf5Error;

/// Bytes that any file may use, so that tiny files are not cut short by their fixed costs.
const FLOOR: u64 = 64 << 10;
/// How far deflate may expand a file on the whole. Weights hardly shrink; zeros shrink a thousandfold, but never are
/// most of a model.
const EXPANSION: u64 = 16;

/// Counters that only go down.
pub(super) struct Allowance {
    file: u64,
    steps: u64,
    metadata: u64,
    viewed: u64,
    copied: u64,
    inflated: u64,
}

fn spend(left: &mut u64, amount: u64, limit: u64, what: &'static str) -> Result<(), Hdf5Error> {
    *left = left.checked_sub(amount).ok_or(Hdf5Error::Limit { what, limit })?;
    Ok(())
}

impl Allowance {
    pub fn new(file_length: usize) -> Self {
        let file = file_length as u64;
        let mut allowance = Self { file, steps: 0, metadata: 0, viewed: 0, copied: 0, inflated: 0 };
        allowance.steps = allowance.step_limit();
        allowance.metadata = allowance.metadata_limit();
        allowance.viewed = allowance.view_limit();
        allowance.copied = allowance.copy_limit();
        allowance.inflated = allowance.inflate_limit();
        allowance
    }

    fn step_limit(&self) -> u64 {
        self.file
    }

    fn metadata_limit(&self) -> u64 {
        self.file.saturating_mul(4).saturating_add(FLOOR)
    }

    fn view_limit(&self) -> u64 {
        self.file.saturating_mul(2).saturating_add(FLOOR)
    }

    fn copy_limit(&self) -> u64 {
        self.file.saturating_mul(2).saturating_add(FLOOR)
    }

    fn inflate_limit(&self) -> u64 {
        self.file.saturating_mul(EXPANSION).saturating_add(FLOOR)
    }

    /// One message, link, tree child, chunk or heap object was parsed; each takes several bytes of the file.
    pub fn step(&mut self) -> Result<(), Hdf5Error> {
        let limit = self.step_limit();
        spend(&mut self.steps, 1, limit, "the number of structures")
    }

    /// `amount` bytes of names, paths, messages and attributes are kept.
    pub fn metadata(&mut self, amount: usize) -> Result<(), Hdf5Error> {
        let limit = self.metadata_limit();
        spend(&mut self.metadata, amount as u64, limit, "names, paths and attributes in bytes")
    }

    /// `amount` bytes of values lie in the file as they are. Whoever uses them may copy them.
    pub fn viewed(&mut self, amount: u64) -> Result<(), Hdf5Error> {
        let limit = self.view_limit();
        spend(&mut self.viewed, amount, limit, "values in bytes")
    }

    /// `amount` bytes of values are copied or filled in: byte-swapped, unfiltered chunks, unwritten values.
    pub fn copied(&mut self, amount: u64) -> Result<(), Hdf5Error> {
        let limit = self.copy_limit();
        spend(&mut self.copied, amount, limit, "copied values in bytes")
    }

    /// `amount` bytes of values come out of filters.
    pub fn inflated(&mut self, amount: u64) -> Result<(), Hdf5Error> {
        let limit = self.inflate_limit();
        spend(&mut self.inflated, amount, limit, "filtered values in bytes")
    }
}
