//! Weight files: formats, names and layouts.
