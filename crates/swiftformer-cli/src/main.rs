//! The `swiftformer` program.
fn main() {}
