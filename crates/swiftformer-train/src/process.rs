//! What a program that trains sets once, for the whole process.

/// Keeps freed memory for the next step ([`swiftformer_kernels::train::keep_freed_memory`]), and bounds the threads of
/// burn's own loops to `threads`; 0 are as many as the machine has. Those loops run on rayon's global pool: where that is in
/// use already, it stays as it is.
pub fn prepare(threads: usize) {
    swiftformer_kernels::train::keep_freed_memory();
    if rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().is_err() {
        tracing::debug!("rayon's threads are set already");
    }
}
