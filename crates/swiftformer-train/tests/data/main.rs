//! Data sets and loaders.

mod formats;
mod loader;
mod sources;
mod support;
