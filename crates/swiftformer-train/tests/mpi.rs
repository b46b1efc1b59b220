//! Processes that `mpirun` starts: this program starts itself by it, so it has a `main` of its own.
//!
//! ```text
//! cargo test -p swiftformer-train --features mpi --test mpi
//! ```

mod support;

use std::process::{Command, ExitCode, Output};

use support::processes::{train, train_as_one};

use swiftformer_train::{data::Shard, parallel::mpi};

/// `mpirun` on this machine, whatever its user and its number of cores.
fn mpirun(world: usize, role: &str) -> Output {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none", "-n", &world.to_string()]);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.arg(std::env::current_exe().unwrap()).args(["process", role]).output().unwrap()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "process", "exchange"] => exchange(),
        [_, "process", "die"] => die(),
        [_, "process", "train"] => {
            let group = mpi::join().unwrap();
            match group.is_first() {
                true => train_as_one(|_| group.clone()),
                false => [true, false].into_iter().for_each(|fused| drop(train(fused, &group))),
            }
        }
        _ => {
            let output = mpirun(3, "exchange");
            assert!(output.status.success(), "{output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stdout).matches("all is well").count(), 3, "{output:?}");
            println!("test sums_and_lists_are_those_of_all_processes ... ok");

            let output = mpirun(2, "train");
            assert!(output.status.success(), "{output:?}");
            println!("test two_processes_train_as_one ... ok");

            let output = mpirun(2, "die");
            assert!(!output.status.success(), "{output:?}");
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(stderr.contains("mpirun noticed that process rank 1"), "{stderr}");
            println!("test a_process_that_ends_ends_the_others ... ok");
        }
    }
    ExitCode::SUCCESS
}

fn exchange() {
    let group = mpi::join().unwrap();
    let Shard { rank, world } = group.shard();
    let total = (0..world).map(|rank| rank as f32 + 1.0).sum::<f32>();
    let mut values = vec![rank as f32 + 1.0; 300_001];
    group.sum(&mut values).unwrap();
    assert!(values.iter().all(|&value| value == total));
    let mut wide = [1e-12 * rank as f64 + 1.0];
    group.sum_wide(&mut wide).unwrap();
    assert_eq!(wide, [(0..world).map(|rank| 1e-12 * rank as f64 + 1.0).sum::<f64>()]);
    let lists = group.gather(&vec![rank as u8; rank * 1000]).unwrap();
    assert_eq!(lists, (0..world).map(|rank| vec![rank as u8; rank * 1000]).collect::<Vec<_>>());
    assert!(group.any(rank == 1).unwrap() && !group.any(false).unwrap());
    println!("all is well");
}

fn die() {
    let group = mpi::join().unwrap();
    group.sum(&mut [1.0]).unwrap();
    if group.shard().rank == 1 {
        std::process::abort();
    }
    // Would wait for ever.
    let _ = group.sum(&mut [1.0]);
}
