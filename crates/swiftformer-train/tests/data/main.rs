//! Data sets and loaders.

mod loader;
mod sources;
mod support;
