//! What can be wrong with a pickle.

/// A pickle that does not parse. Offsets count bytes from the start of the pickle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The pickle ends inside an instruction or before its STOP.
    #[error("the pickle ends at byte {offset}, where {needed} more bytes are needed")]
    Truncated {
        /// Where the missing bytes should be.
        offset: usize,
        /// How many bytes the instruction needs there.
        needed: u64,
    },
    /// A byte that is no instruction.
    #[error("byte {offset} of the pickle, {opcode:#04x}, is no instruction")]
    UnknownOpcode {
        /// The byte.
        opcode: u8,
        /// Where it is.
        offset: usize,
    },
    /// An instruction that plain data does not need (extension registry, out-of-band buffers, text persistent ids).
    #[error("the pickle instruction {name} at byte {offset} is not supported")]
    UnsupportedOpcode {
        /// The instruction's name in Python's `pickletools`.
        name: &'static str,
        /// Where it is.
        offset: usize,
    },
    /// A protocol newer than 5.
    #[error("pickle protocol {version} is not supported (0 to 5 are)")]
    Protocol {
        /// The protocol asked for.
        version: u8,
    },
    /// A class or function outside the list of those that hold plain data. Nothing is ever executed.
    #[error("the pickle refers to {name} at byte {offset}, which is not on the list of plain data types")]
    ForbiddenGlobal {
        /// `module.name` of the class or function.
        name: String,
        /// Where it is named.
        offset: usize,
    },
    /// An instruction takes more values than there are.
    #[error("the pickle instruction at byte {offset} takes a value from an empty stack")]
    EmptyStack {
        /// Where the instruction is.
        offset: usize,
    },
    /// An instruction needs a MARK that was never set.
    #[error("the pickle instruction at byte {offset} needs a mark, and none is set")]
    NoMark {
        /// Where the instruction is.
        offset: usize,
    },
    /// A value was asked from the memo that was never put there.
    #[error("memo entry {index} is read at byte {offset} and was never written")]
    NoMemo {
        /// The memo's index.
        index: u64,
        /// Where it is read.
        offset: usize,
    },
    /// Text that is not UTF-8, has a broken escape, or a number that is none.
    #[error("{what} at byte {offset} of the pickle is malformed")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// Where its instruction is.
        offset: usize,
    },
    /// An instruction or a rebuilding function met a value of the wrong type.
    #[error("{what} at byte {offset} of the pickle needs {expected}, found {found}")]
    WrongType {
        /// The instruction or function.
        what: &'static str,
        /// What it needs.
        expected: &'static str,
        /// The type found.
        found: &'static str,
        /// Where the instruction is.
        offset: usize,
    },
    /// The pickle holds more than any checkpoint does.
    #[error("the pickle holds more than {limit} {what} (at byte {offset})")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// The most that is read.
        limit: usize,
        /// Where the limit was passed.
        offset: usize,
    },
}
