//! Runs of several processes against those of one. The program of this test starts itself as the others, so it has a `main`
//! of its own.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, ExitCode},
};

use serde_json::Value;
use swiftformer_train::{
    data::Shard,
    parallel::{Group, replicas},
    recipe::Recipe,
    run::{Event, Run, Summary, Workers},
    synth::{SynthOptions, Task, generate},
};

/// A network and a schedule of seconds, six steps an epoch; all that is random is on.
const TINY: [&str; 13] = [
    "depths=[2, 1, 1, 1]",
    "embed_dims=[16, 24, 32, 48]",
    "size=32",
    "batch=16",
    "ema=0.9",
    "mixup=0.2",
    "cutmix=0.2",
    "drop_path=0.2",
    "erase=0.3",
    "policy=rand-m9-mstd0.5-inc1",
    "synchronise_norms=true",
    "save_every=1",
    "log_every=1",
];

/// Steps after which the second process ends without a word.
const DEATH: usize = 4;

type Ended = Result<Summary, Box<dyn std::error::Error>>;

/// Starts or resumes the run in `run`, for `epochs` epochs in all.
fn go(group: &Group, data: &Path, run: &Path, epochs: usize, dies: bool) -> Ended {
    let workers = Workers { threads: 1, group: group.clone(), card: 0 };
    let epochs = format!("epochs={epochs}");
    let mut run = match run.join("state.safetensors").exists() {
        true => Run::resume(run, None, |own| own.with([&epochs]), true, workers)?,
        false => {
            let recipe = Recipe::open("quick")?.with(TINY.iter().copied().chain([epochs.as_str()]))?;
            Run::start(data, run, recipe, workers)?
        }
    };
    let mut steps = 0;
    let summary = run.run(&mut |event| {
        steps += usize::from(matches!(event, Event::Step(_)));
        if dies && steps == DEATH && group.shard().rank == 1 {
            std::process::abort();
        }
        true
    })?;
    Ok(summary)
}

/// [`go`] by `world` processes.
fn together(world: usize, data: &Path, run: &Path, epochs: usize, dies: bool) -> Ended {
    // The others must not find a state that the first has just made.
    let resumes = run.join("state.safetensors").exists();
    let group = replicas::start(world, |server, Shard { rank, world }| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["other", server, &rank.to_string(), &world.to_string(), &epochs.to_string(), &dies.to_string()]);
        command.arg(data).arg(if resumes { run } else { Path::new("/no/such/run") });
        command
    })?;
    go(&group, data, run, epochs, dies)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, other, server, rank, world, epochs, dies, data, run] = arguments.as_slice()
        && other == "other"
    {
        let shard = Shard { rank: rank.parse().unwrap(), world: world.parse().unwrap() };
        let group = replicas::join(server, shard).unwrap();
        let ended = go(&group, Path::new(data), Path::new(run), epochs.parse().unwrap(), dies.parse().unwrap());
        assert!(!Path::new("/no/such").exists(), "only the first process writes");
        return if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    generate(&data, &SynthOptions { side: 40, threads: 2, ..SynthOptions::new(Task::Classify, 120, 7) }, &|_| true)
        .unwrap();
    two_processes_run_as_one(&data, folder.path());
    println!("test two_processes_run_as_one ... ok");
    after_a_loss_any_number_goes_on(&data, folder.path());
    println!("test after_a_loss_any_number_goes_on ... ok");
    ExitCode::SUCCESS
}

fn numbers(run: &Path, kind: &str, key: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).map(|line| line[key].as_f64().unwrap()).collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn two_processes_run_as_one(data: &Path, folder: &Path) {
    let [one, two] = ["one", "two"].map(|name| folder.join(name));
    let alone = go(&Group::alone(), data, &one, 2, false).unwrap();
    let both = together(2, data, &two, 2, false).unwrap();
    assert_eq!((alone.epochs, both.epochs, both.stopped), (2, 2, false));
    assert_eq!(names(&one), names(&two));
    // What is summed in another order grows apart step by step.
    let [first, second] = [&one, &two].map(|run| numbers(run, "step", "loss"));
    assert_eq!((first.len(), second.len()), (12, 12));
    assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() <= 1e-3), "{first:?} {second:?}");
    let [first, second] = [&one, &two].map(|run| numbers(run, "epoch", "loss"));
    assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() <= 1e-2), "{first:?} {second:?}");
    let report: Value = serde_json::from_slice(&std::fs::read(two.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["images"], 12, "every validation image is judged once");
}

fn after_a_loss_any_number_goes_on(data: &Path, folder: &Path) {
    let run = folder.join("run");
    let error = together(2, data, &run, 1, true).unwrap_err().to_string();
    assert!(error.starts_with("process 1 of 2 is gone (signal: 6"), "{error}");
    assert!(error.contains("what was saved before is whole"), "{error}");
    let steps = || numbers(&run, "step", "step");
    assert_eq!(steps().len(), DEATH);
    go(&Group::alone(), data, &run, 1, false).unwrap();
    assert_eq!(steps(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    together(4, data, &run, 2, false).unwrap();
    assert_eq!(steps().len(), 12);
    assert_eq!(numbers(&run, "epoch", "epoch"), [1.0, 2.0]);
    let error = together(3, data, &run, 3, false).unwrap_err().to_string();
    assert!(error.contains("3 processes cannot share a batch of 16") && error.contains("batch=18"), "{error}");
}
