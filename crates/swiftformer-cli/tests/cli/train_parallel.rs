//! `swiftformer train` by several processes.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Folder, Run, command, swiftformer, tensors};

/// A network and a schedule of seconds.
pub const TINY: [&str; 12] = [
    "depths=[2, 1, 1, 1]",
    "embed_dims=[16, 24, 32, 48]",
    "size=32",
    "batch=16",
    "epochs=2",
    "ema=0.9",
    "mixup=0.2",
    "cutmix=0.2",
    "drop_path=0.2",
    "synchronise_norms=true",
    "save_every=1",
    "log_every=1",
];

pub fn images(folder: &Folder) -> String {
    let data = folder.path("data");
    swiftformer(&["synth", &data, "--images", "120", "--size", "40"]).exits(0);
    data
}

fn arguments<'a>(first: &[&'a str], settings: &[&'a str]) -> Vec<&'a str> {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    ["train", "--threads", "1"].into_iter().chain(first.iter().copied()).chain(settings).collect()
}

pub fn train(first: &[&str], settings: &[&str]) -> Run {
    swiftformer(&arguments(first, settings))
}

fn metrics(run: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{run}/metrics.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

pub fn numbers(run: &str, kind: &str, key: &str) -> Vec<f64> {
    metrics(run).iter().filter(|line| line["kind"] == kind).map(|line| line[key].as_f64().unwrap()).collect()
}

#[test]
fn two_processes_train_as_one() {
    let folder = Folder::new();
    let data = images(&folder);
    let [one, two] = ["one", "two"].map(|name| folder.path(name));
    train(&[&data, "--output", &one], &TINY).exits(0);
    let output = train(&[&data, "--output", &two, "--replicas", "2"], &TINY).exits(0);
    assert_eq!(output.stdout.matches("epoch 2/2").count(), 1, "one process speaks:\n{}", output.stdout);
    assert_eq!(folder.names("one"), folder.names("two"));
    // Six steps an epoch of 108 images; what the processes sum in another order grows step by step.
    let [first, second] = [&one, &two].map(|run| numbers(run, "step", "loss"));
    assert_eq!((first.len(), second.len()), (12, 12));
    for (step, (a, b)) in first.iter().zip(&second).enumerate() {
        assert!((a - b).abs() <= 1e-3, "step {step}: {first:?} {second:?}");
    }
    let [first, second] = [&one, &two].map(|run| numbers(run, "epoch", "loss"));
    assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() <= 1e-2), "{first:?} {second:?}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(format!("{two}/report.json")).unwrap()).unwrap();
    assert_eq!(report["images"], 12, "every validation image is judged once");
}

/// Writes what the demo says to the images of an epoch.
fn teach(data: &str, file: &str, settings: &[&str]) {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let first = ["teach", data, "--teacher", "demo", "--epochs", "1", "--output", file];
    swiftformer(&first.into_iter().chain(settings).collect::<Vec<_>>()).exits(0);
}

/// Folders of the same run by one process and by two.
fn both(folder: &Folder, data: &str, name: &str, settings: &[&str]) -> [String; 2] {
    ["1", "2"].map(|replicas| {
        let run = folder.path(&format!("{name}-{replicas}"));
        train(&[data, "--output", &run, "--replicas", replicas], settings).exits(0);
        run
    })
}

#[test]
fn a_file_of_logits_teaches_other_attentions_in_two_processes_as_in_one() {
    let folder = Folder::new();
    let data = images(&folder);
    let file = folder.path("logits.safetensors");
    teach(&data, &file, &TINY);
    let attention = "attention=[\"separable\", \"transposed\", \"self-attention\", \"additive\"]";
    let teacher = format!("teacher={file}");
    let changed = ["distillation=soft", "checkpointing=true", attention, &teacher];
    let runs = both(&folder, &data, "run", &[&TINY[..], &changed].concat());
    let [first, second] = runs.each_ref().map(|run| numbers(run, "step", "loss"));
    assert_eq!((first.len(), second.len()), (12, 12));
    assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() <= 1e-3), "{first:?} {second:?}");
    let [first, second] = runs.each_ref().map(|run| numbers(run, "epoch", "loss"));
    assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() <= 1e-2), "{first:?} {second:?}");
    // One process writes the events, and judges all images for the sheet of mistakes.
    let events = std::fs::read(format!("{}/events.out.tfevents.swiftformer", runs[1])).unwrap();
    let steps: Vec<u64> = crate::events::scalars(&events)
        .iter()
        .filter(|scalar| scalar.tag == "train/loss")
        .map(|scalar| scalar.step)
        .collect();
    assert_eq!(steps, (1..=12).collect::<Vec<_>>());
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{}/report.json", runs[1])).unwrap()).unwrap();
    assert_eq!(report["images"], 12);
    let wrong = 12.0 - 12.0 * report["top1"].as_f64().unwrap();
    let sheet = std::fs::read_to_string(format!("{}/mistakes.svg", runs[1])).unwrap();
    assert_eq!(sheet.matches("<image").count(), wrong.round() as usize);
}

#[test]
fn frozen_norms_stay_and_plateaus_come_at_once_in_two_processes() {
    let folder = Folder::new();
    let data = images(&folder);
    // Nothing learns at this rate, so that the second epoch is no better than the first.
    let settings = ["freeze_statistics=true", "shape=plateau", "plateau_epochs=0", "warmup_epochs=0", "epochs=3"];
    let settings = [&TINY[..], &settings, &["lr=1e-12", "min_lr=0", "drop_path=0"]].concat();
    let runs = both(&folder, &data, "run", &settings);
    let [first, second] = runs.each_ref().map(|run| numbers(run, "step", "lr"));
    assert_eq!(first, second);
    assert_eq!((first[0], first[11]), (1e-12, 1e-12));
    assert!((first[17] - 1e-13).abs() < 1e-20, "{first:?}");
    let [first, second] = runs.each_ref().map(|run| numbers(run, "step", "loss"));
    assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() <= 1e-5), "{first:?} {second:?}");
    let [one, two] = runs.each_ref().map(|run| tensors(format!("{run}/last/model.safetensors")));
    for (name, tensor) in one.iter().filter(|(name, _)| name.contains("running")) {
        let expected = if name.contains("mean") { 0.0 } else { 1.0 };
        assert!(tensor.to_f32().iter().all(|&value| value == expected) && two[name] == *tensor, "{name}");
    }
}

/// Processes whose parent is `parent`.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<u32> {
    let entries =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    entries.filter(|&pid| parent_of(pid) == Some(parent)).collect()
}

/// Waits up to a minute for what should happen soon.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts two processes that would train for long, and waits for their first steps.
#[cfg(target_os = "linux")]
fn under_way(data: &str, run: &str) -> (Child, u32) {
    let settings = [&TINY[..], &["epochs=100000"]].concat();
    let list = arguments(&[data, "--output", run, "--replicas", "2"], &settings);
    let child = command(&list).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("steps", || metrics(run).len() > 2);
    let others = children(child.id());
    assert_eq!(others.len(), 1);
    (child, others[0])
}

#[cfg(target_os = "linux")]
pub fn kill(process: u32) {
    assert!(Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
}

#[test]
#[cfg(target_os = "linux")]
fn a_lost_process_ends_the_run_and_any_number_goes_on() {
    let folder = Folder::new();
    let data = images(&folder);
    let run = folder.path("run");
    let (child, other) = under_way(&data, &run);
    kill(other);
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("error: process 1 of 2 is gone (signal: 9 (SIGKILL))"), "{stderr}");
    assert!(stderr.contains("what was saved before is whole"), "{stderr}");
    assert!(begun.elapsed() < Duration::from_secs(30));

    let saved = metrics(&run).len();
    let steps = |run: &str| numbers(run, "step", "step").len();
    let before = steps(&run);
    for (replicas, more) in [("1", 1), ("4", 2)] {
        let epochs = format!("epochs={}", before / 6 + more);
        train(&["--resume", &run, "--force", "--replicas", replicas], &[&epochs]).exits(0);
        assert_eq!(steps(&run), (before / 6 + more) * 6, "each step is there once");
    }
    assert!(metrics(&run).len() > saved);
    train(&["--resume", &run, "--replicas", "3"], &[]).exits(2).says(&["3 processes cannot share", "--set batch=18"]);
}

#[test]
#[cfg(target_os = "linux")]
fn without_the_first_process_the_others_end_and_its_state_is_whole() {
    let folder = Folder::new();
    let data = images(&folder);
    let run = folder.path("run");
    let (mut child, other) = under_way(&data, &run);
    child.kill().unwrap();
    child.wait().unwrap();
    let state = format!("/proc/{other}/stat");
    // An orphan whose parent does not collect it stays as a zombie.
    eventually("the other process ends", || std::fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z ")));
    assert!(!tensors(format!("{run}/state.safetensors")).is_empty());
}

#[test]
fn what_processes_cannot_share_or_have_is_refused_before_a_folder_is_made() {
    let folder = Folder::new();
    let data = images(&folder);
    let run = folder.path("run");
    let refused = |first: &[&str], settings: &[&str], says: &[&str]| {
        train(&[first, &["--output", &run]].concat(), settings).exits(2).says(says);
        assert!(!Path::new(&run).exists());
    };
    refused(&[&data, "--replicas", "2"], &["batch=15"], &["2 processes cannot share a batch of 15", "--set batch=16"]);
    refused(&[&data, "--device", "gpu"], &[], &["`gpu` is no device", "cuda"]);
    refused(&[&data, "--replica", "nothing"], &[], &["copies that the program starts"]);
    #[cfg(not(feature = "cuda"))]
    refused(&[&data, "--device", "cuda:1"], &[], &["built without cuda", "--features cuda"]);
    let (file, odd) = (folder.path("logits.safetensors"), [&TINY[..], &["batch=18"]].concat());
    teach(&data, &file, &odd);
    let teacher = format!("teacher={file}");
    let settings = [&odd[..], &["distillation=soft", &teacher]].concat();
    refused(&[&data, "--replicas", "2"], &settings, &["images mixed in pairs", "a batch of 20"]);
    let list = arguments(&[&data, "--output", &run], &[]);
    let output = command(&list).env("RANK", "0").env("WORLD_SIZE", "2").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("WORLD_SIZE") && stderr.contains("MPI"), "{stderr}");
}
