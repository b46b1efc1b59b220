//! A reader of Python pickles, protocols 0 to 5, that yields plain data and executes nothing.
//!
//! Classes and functions are names looked up in one list ([`globals`]); any other name is an error. What is read is
//! bounded: numbers of values, references and bytes of text have limits, memory is a small multiple of the pickle's
//! size, and nesting has no cost since values refer to each other by number.

mod error;
mod globals;
mod machine;
mod reader;
mod rebuild;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub use error::PickleError;
pub(crate) use globals::ScalarType;
pub(crate) use machine::parse;
pub(crate) use value::{NodeId, Pickle, TensorLayout, Value};
