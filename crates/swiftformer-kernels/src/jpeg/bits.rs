//! Code that shifts by counts it has just computed, compiled for instructions that do so without detours.

/// Work on bits. `run` must be `#[inline(always)]`, and so must the functions that it spends its time in, for only then are
/// they compiled with the instructions enabled.
pub trait BitTask {
    /// What the work gives.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

/// Runs `task`, with BMI2 and MOVBE where the CPU has them.
pub fn with_bit_instructions<T: BitTask>(task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("bmi2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("movbe") {
        #[target_feature(enable = "bmi1,bmi2,movbe")]
        fn entry<T: BitTask>(task: T) -> T::Output {
            task.run()
        }
        // SAFETY: the CPU has the instructions.
        return unsafe { entry(task) };
    }
    task.run()
}
