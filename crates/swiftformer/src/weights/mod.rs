//! Weight files: formats, names and layouts.

pub mod hdf5;
