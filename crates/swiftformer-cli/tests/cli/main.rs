//! The program, end to end.

mod bad_input;
mod bench;
mod classify;
mod convert;
mod embed;
mod eval;
#[cfg(feature = "train")]
mod events;
mod export;
mod forward;
mod heatmap;
mod info;
mod inputs;
mod preprocess;
mod support;
mod synth;
mod teach;
mod train;
#[cfg(all(feature = "mpi", target_os = "linux"))]
mod train_mpi;
#[cfg(feature = "train")]
mod train_parallel;
