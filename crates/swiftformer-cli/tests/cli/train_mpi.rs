//! `swiftformer train` by the processes that `mpirun` starts.

use std::{
    fs::read_to_string,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    support::{Folder, Run, testdata},
    train_parallel::{TINY, eventually, images, kill, numbers, train},
};

/// What the environment of a process names besides what MPI does.
type Variables = &'static [(&'static str, &'static str)];

const NONE: Variables = &[];

/// The program, about to be started by `mpirun`, one process for each of `variables`.
fn mpirun(variables: &[Variables], first: &[&str], settings: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.current_dir(testdata("")).args(["--oversubscribe", "--bind-to", "none"]);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    for (rank, variables) in variables.iter().enumerate() {
        if rank > 0 {
            command.arg(":");
        }
        command.args(["-n", "1"]);
        for (name, value) in variables.iter() {
            command.args(["-x", &format!("{name}={value}")]);
        }
        command.args([env!("CARGO_BIN_EXE_swiftformer"), "train", "--threads", "1"]).args(first);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
    }
    command
}

fn run(mut command: Command) -> Run {
    Run::of(command.output().unwrap())
}

#[test]
fn processes_of_mpi_train_one_run_as_copies_do() {
    let folder = Folder::new();
    let data = images(&folder);
    let [two, copies] = ["two", "copies"].map(|name| folder.path(name));
    let output = run(mpirun(&[NONE; 2], &[&data, "--output", &two], &TINY)).exits(0);
    for epoch in ["epoch 1/2", "epoch 2/2", "is the model of epoch"] {
        assert_eq!(output.stdout.matches(epoch).count(), 1, "one process speaks:\n{}", output.stdout);
    }
    train(&[&data, "--output", &copies, "--replicas", "2"], &TINY).exits(0);
    assert_eq!(folder.names("two"), folder.names("copies"));
    assert_eq!(numbers(&two, "step", "loss"), numbers(&copies, "step", "loss"));
}

/// The process of that rank of the run in the folder `run`.
fn process(run: &str, rank: &str) -> u32 {
    let entries = std::fs::read_dir("/proc").unwrap();
    let mut processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let has = |process: u32, file: &str, text: &str| {
        let found = std::fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
        found.split(|&byte| byte == 0).any(|part| part == text.as_bytes())
    };
    let rank = format!("OMPI_COMM_WORLD_RANK={rank}");
    processes.find(|&process| has(process, "cmdline", run) && has(process, "environ", &rank)).unwrap()
}

#[test]
fn a_lost_process_ends_the_run_and_any_number_goes_on() {
    let folder = Folder::new();
    let data = images(&folder);
    let name = folder.path("run");
    let settings = [&TINY[..], &["epochs=100000", "batch=12"]].concat();
    let mut command = mpirun(&[NONE; 2], &[&data, "--output", &name], &settings);
    let child: Child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("steps", || numbers(&name, "step", "loss").len() > 2);
    let begun = Instant::now();
    kill(process(&name, "1"));
    let ended = Run::of(child.wait_with_output().unwrap()).exits(137);
    ended.says(&["mpirun noticed that process rank 1", "signal 9"]);
    assert!(begun.elapsed() < Duration::from_secs(30));
    // Nine steps an epoch of 108 images.
    let steps = || numbers(&name, "step", "step").len();
    let before = steps();
    for (world, more) in [(1, 1), (3, 2)] {
        let epochs = format!("epochs={}", before / 9 + more);
        run(mpirun(&[NONE; 3][..world], &["--resume", &name, "--force"], &[&epochs])).exits(0);
        assert_eq!(steps(), (before / 9 + more) * 9, "each step is there once");
    }
    let recipe = read_to_string(format!("{name}/recipe.toml")).unwrap();
    assert!(recipe.contains("batch = 12"));
}

#[test]
fn ranks_that_are_not_mpis_are_refused_by_every_process() {
    let folder = Folder::new();
    let data = images(&folder);
    let run_folder = folder.path("run");
    let first = [data.as_str(), "--output", &run_folder];
    let ranks: [Variables; 2] = [&[("RANK", "0"), ("WORLD_SIZE", "2")], &[("RANK", "5"), ("WORLD_SIZE", "2")]];
    let refused = run(mpirun(&ranks, &first, &TINY)).exits(2);
    refused
        .says(&["MPI says process 1 of 2, but RANK is 5 and WORLD_SIZE 2", "of another process is not what MPI says"]);
    let world: Variables = &[("WORLD_SIZE", "4")];
    let refused = run(mpirun(&[world; 2], &first, &TINY)).exits(2);
    refused.says(&["MPI says process 0 of 2, but RANK is unset and WORLD_SIZE 4"]);
    assert_eq!(folder.names(""), ["data"]);
}
