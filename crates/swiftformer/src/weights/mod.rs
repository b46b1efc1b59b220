//! Weight files: formats, names and layouts.

pub mod infer;
pub mod init;
pub mod layout;
pub mod names;
pub mod state;
pub mod token_weights;
