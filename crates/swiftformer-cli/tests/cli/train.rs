//! `swiftformer train`.

#[cfg(not(feature = "train"))]
#[test]
fn a_build_without_training_says_how_to_get_one() {
    let run = crate::support::swiftformer(&["train", "photos"]);
    run.exits(2).says(&["built without training", "--features train"]);
}

#[cfg(feature = "train")]
pub mod with_training {
    use std::{
        process::Stdio,
        time::{Duration, Instant},
    };

    use serde_json::Value;

    use crate::support::{Folder, Run, command, swiftformer, tensors};

    /// A network and a schedule of seconds; all that is random is on.
    pub const TINY: [&str; 14] = [
        "depths=[2, 1, 1, 1]",
        "embed_dims=[16, 24, 32, 48]",
        "size=32",
        "batch=16",
        "epochs=2",
        "ema=0.9",
        "mixup=0.2",
        "cutmix=0.2",
        "drop_path=0.2",
        "erase=0.3",
        "policy=rand-m9-mstd0.5-inc1",
        "accumulate=2",
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

    /// What the lines of `metrics.jsonl` say but for times.
    fn metrics(run: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(format!("{run}/metrics.jsonl")).unwrap();
        let timeless = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            for time in ["seconds", "seconds_left", "images_per_second", "wait_share"] {
                line.as_object_mut().unwrap().remove(time);
            }
            line
        };
        text.lines().map(timeless).collect()
    }

    /// Asserts that two runs came to the same bits.
    fn same(a: &str, b: &str) {
        for file in ["model.safetensors", "last/model.safetensors"] {
            let [a, b] = [a, b].map(|run| std::fs::read(format!("{run}/{file}")).unwrap());
            assert!(a == b, "{file} differs");
        }
        let [mut first, mut second] = [a, b].map(|run| tensors(format!("{run}/state.safetensors")));
        // The record counts bytes of lines with times in them.
        first.shift_remove("record");
        second.shift_remove("record");
        assert!(first.len() > 100 && first == second, "the states differ");
        assert_eq!(metrics(a), metrics(b));
    }

    #[test]
    fn killed_at_any_moment_a_run_goes_on_to_the_same_bits() {
        let folder = Folder::new();
        let data = images(&folder);
        let [whole, killed] = ["whole", "killed"].map(|name| folder.path(name));
        let started = Instant::now();
        train(&[&data, "--output", &whole], &TINY).exits(0);
        let took = started.elapsed();
        let mut kills = 0;
        for attempt in 0.. {
            assert!(attempt < 60, "no progress between kills");
            let resumable = std::path::Path::new(&killed).join("state.safetensors").exists();
            let list = match resumable {
                true => arguments(&["--resume", &killed], &[]),
                false => {
                    let _ = std::fs::remove_dir_all(&killed);
                    arguments(&[&data, "--output", &killed], &TINY)
                }
            };
            let mut child = command(&list).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // Later from time to time, so that a slow machine gets on.
            let patience = took * (attempt + 1) / 20;
            let begun = Instant::now();
            let status = loop {
                match child.try_wait().unwrap() {
                    Some(status) => break Some(status),
                    None if begun.elapsed() > patience => break None,
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            match status {
                Some(status) => {
                    assert!(status.success(), "{status}");
                    break;
                }
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    kills += 1;
                }
            }
        }
        assert!(kills > 0, "it was never killed");
        same(&whole, &killed);
    }

    #[test]
    fn a_finished_run_classifies_and_starts_another_for_other_classes() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        let output = train(&[&data, "--output", &run], &TINY).exits(0);
        assert!(output.stdout.contains("epoch 2/2") && output.stdout.contains("is the model of epoch"));
        let picture = std::fs::read_dir(format!("{data}/val/banana")).unwrap().next().unwrap().unwrap().path();
        let answer = swiftformer(&["classify", picture.to_str().unwrap(), "--model", &run, "--top", "12"]).exits(0);
        for class in folder.names("data/val") {
            assert!(answer.stdout.contains(&format!("%  {class}\n")), "{class} is no label:\n{}", answer.stdout);
        }
        let judged = swiftformer(&["eval", &data, "--model", &run, "--format", "json"]).exits(0).json();
        let top1 = judged["top1"].as_f64().unwrap();
        let lines = metrics(&run);
        let best = lines.iter().rfind(|line| line["is_best"] == true).unwrap();
        let found = ["top1", "average_top1"].map(|key| best[key].as_f64().unwrap()).into_iter().fold(0.0, f64::max);
        assert!((top1 - found).abs() < 1e-9, "eval says {top1}, the run {found}");
        for picture in ["curves.svg", "confusion.svg", "mistakes.svg"] {
            assert!(std::fs::read_to_string(format!("{run}/{picture}")).unwrap().starts_with("<svg"), "{picture}");
        }
        // The last epoch's weights, raw and averaged, are models too.
        for other in ["last", "averaged"] {
            let model = format!("{run}/{other}");
            let judged = swiftformer(&["eval", &data, "--model", &model, "--format", "json"]).exits(0).json();
            let key = if other == "last" { "top1" } else { "average_top1" };
            let last = lines.iter().rfind(|line| line["kind"] == "epoch").unwrap();
            assert!((judged["top1"].as_f64().unwrap() - last[key].as_f64().unwrap()).abs() < 1e-9, "{other}");
        }
        // Nothing is left to do.
        train(&["--resume", &run], &[]).exits(0);

        for class in ["clock", "dice", "fish"] {
            for part in ["train", "val"] {
                let _ = std::fs::remove_dir_all(format!("{data}/{part}/{class}"));
            }
        }
        let second = folder.path("second");
        let settings = ["size=32", "epochs=1", "batch=16"];
        let output = train(&[&data, "--model", &run, "--output", &second], &settings).exits(0);
        output.says(&["new heads for", "was trained for 12"]);
    }

    #[test]
    fn what_a_run_left_before_its_first_state_is_no_obstacle() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        let one = [&TINY[..], &["epochs=1"]].concat();
        folder.write("run/.recipe.toml.partial", b"[mod");
        train(&["--resume", &run], &[]).exits(2).says(&["holds no run to resume"]);
        train(&[&data, "--output", &run], &one).exits(0);
        assert_eq!(metrics(&run).iter().filter(|line| line["kind"] == "epoch").count(), 1);
        // A run, and what somebody else put there.
        train(&[&data, "--output", &run], &one).exits(2).says(&["is not empty", "--resume"]);
        folder.write("other/recipe.toml", b"");
        folder.write("other/notes.txt", b"mine");
        train(&[&data, "--output", &folder.path("other")], &one).exits(2).says(&["is not empty"]);
        // Settings that do not fit make no folder at all.
        let three = [&TINY[..], &["attention=[\"separable\", \"additive\", \"transposed\"]"]].concat();
        train(&[&data, "--output", &folder.path("three")], &three).exits(2).says(&["3 attentions for 4 stages"]);
        assert!(!std::path::Path::new(&folder.path("three")).exists());
    }

    #[test]
    fn labels_are_chosen_where_a_data_set_has_several() {
        let folder = Folder::new();
        // Records of CIFAR-100: a coarse label, a fine one, three planes.
        let record = |number: usize| {
            let labels = [(number % 3) as u8, (number % 4) as u8];
            labels.into_iter().chain((0..3072).map(move |at| (number * 40 + at % 32) as u8)).collect::<Vec<u8>>()
        };
        let records = |count: usize| (0..count).flat_map(record).collect::<Vec<u8>>();
        folder.write("data/train.bin", &records(24));
        folder.write("data/test.bin", &records(12));
        let data = folder.path("data");
        for (labels, classes) in [("fine", 100), ("coarse", 20)] {
            let run = folder.path(labels);
            let chosen = format!("cifar_labels={labels}");
            let settings = [&TINY[..], &["epochs=1", "batch=8", &chosen]].concat();
            train(&[&data, "--output", &run], &settings).exits(0);
            let eval = ["eval", &data, "--model", &run, "--format", "json", "--cifar-labels", labels];
            let report = swiftformer(&eval).exits(0).json();
            assert_eq!((report["images"].as_u64(), report["classes"].as_array().unwrap().len()), (Some(12), classes));
        }
        train(&[&data, "--output", &folder.path("no")], &["category=tribe"]).exits(2).says(&["kingdom, phylum"]);
    }

    #[test]
    fn a_changed_recipe_is_listed_and_refused_unless_forced() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        train(&[&data, "--output", &run], &[&TINY[..], &["epochs=1"]].concat()).exits(0);
        let refused = train(&["--resume", &run], &["lr=1e-3", "epochs=2"]);
        refused.exits(2).says(&["schedule.epochs: 1 -> 2", "schedule.lr: ", " -> 0.001", "--force"]);
        train(&["--resume", &run, "--force"], &["epochs=2"]).exits(0).says(&["schedule.epochs: 1 -> 2"]);
        assert_eq!(metrics(&run).iter().filter(|line| line["kind"] == "epoch").count(), 2);
        let other = folder.path("other");
        swiftformer(&["synth", &other, "--images", "60", "--size", "40"]).exits(0);
        train(&[&other, "--resume", &run], &[])
            .exits(2)
            .says(&["was started with 108 and 12 images of 12 classes", "other has "]);
    }

    /// MPI's helper process writes files of its own, and does not start under this limit.
    #[test]
    #[cfg(not(feature = "mpi"))]
    fn a_full_disk_leaves_the_last_state_whole() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        train(&[&data, "--output", &run], &[&TINY[..], &["epochs=1"]].concat()).exits(0);
        let before = std::fs::read(format!("{run}/state.safetensors")).unwrap();
        // No file may grow beyond 64 blocks; the signal that says so is ignored, so that writing fails instead.
        let script = r#"trap "" XFSZ; ulimit -f 64; exec "$0" train --resume "$1" --set epochs=2 --force"#;
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", script, env!("CARGO_BIN_EXE_swiftformer"), &run]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("cannot write") && stderr.contains("safetensors"), "{stderr}");
        assert!(std::fs::read(format!("{run}/state.safetensors")).unwrap() == before, "the state was damaged");
        assert!(!folder.names("run").iter().any(|name| name.contains("partial")));
        train(&["--resume", &run, "--force"], &["epochs=2"]).exits(0);
    }

    #[test]
    fn a_loss_that_is_no_number_names_the_images() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        let settings = [&TINY[..], &["lr=1e30", "warmup_epochs=0", "shape=constant", "clip=none"]].concat();
        let failed = train(&[&data, "--output", &run], &settings).exits(2);
        failed.says(&[" in epoch 1, step ", "data/train/", ".png", "what was saved before is whole"]);
        assert!(!tensors(format!("{run}/state.safetensors")).is_empty());
        // A single step that breaks the weights, with no other behind it to notice.
        let run = folder.path("last");
        let settings =
            [&TINY[..], &["lr=1e300", "epochs=1", "warmup_epochs=0", "every_step=false", "accumulate=6"]].concat();
        let failed = train(&[&data, "--output", &run], &settings).exits(2);
        failed.says(&[
            "the loss is ",
            " in epoch 1, step 6, of the validation images",
            "what was saved before is whole",
        ]);
        assert!(!std::path::Path::new(&format!("{run}/model.safetensors")).exists());
    }

    #[test]
    fn without_progress_the_rate_falls_and_training_ends() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        // Nothing moves: every epoch is judged like the first.
        let settings = ["lr=1e-20", "weight_decay=0", "ema=0", "freeze_statistics=true", "warmup_epochs=0", "min_lr=0"];
        let ends = ["shape=plateau", "plateau_epochs=0", "step_factor=0.5", "epochs=9", "patience=3"];
        train(&[&data, "--output", &run], &[&TINY[..], &settings, &ends].concat()).exits(0);
        let lines = metrics(&run);
        let rates: Vec<f64> = (1..=9)
            .filter_map(|epoch| lines.iter().find(|line| line["kind"] == "step" && line["epoch"] == epoch))
            .map(|line| line["lr"].as_f64().unwrap() * 1e20)
            .collect();
        let expected = [1.0, 1.0, 0.5, 0.25];
        assert_eq!(rates.len(), expected.len(), "{rates:?}");
        assert!(rates.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{rates:?}");
    }

    #[test]
    #[cfg(unix)]
    fn ctrl_c_saves_and_says_how_to_go_on() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        let list = arguments(&[&data, "--output", &run], &[&TINY[..], &["epochs=500"]].concat());
        let child = command(&list).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let text = || std::fs::read_to_string(format!("{run}/metrics.jsonl")).unwrap_or_default();
        while text().lines().count() < 3 {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("go on with: swiftformer train --resume {run}")), "{said}");
        let before = metrics(&run);
        train(&["--resume", &run, "--force"], &["epochs=1"]).exits(0);
        assert_eq!(metrics(&run)[..before.len()], before);
    }

    #[test]
    fn other_attentions_are_trained_and_their_folder_is_no_model() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        let attention = "attention=[\"separable\", \"additive\", \"transposed\", \"self-attention\"]";
        train(&[&data, "--output", &run], &[&TINY[..], &["epochs=1", attention]].concat()).exits(0);
        train(&["--resume", &run, "--force"], &["epochs=2"]).exits(0);
        assert!(folder.names("run").iter().any(|name| name == "report.json"));
        swiftformer(&["classify", "images/china.jpg", "--model", &run]).exits(2).says(&["dialect"]);
        let three = [&TINY[..], &["attention=[\"separable\", \"additive\", \"transposed\"]"]].concat();
        train(&[&data, "--output", &folder.path("three")], &three).exits(2).says(&["3 attentions for 4 stages"]);
        let unknown = [&TINY[..], &["attention=[\"none\"]"]].concat();
        train(&[&data, "--output", &folder.path("none")], &unknown).exits(2).says(&["none", "self-attention"]);
    }

    #[test]
    fn heads_alone_learn_on_frozen_statistics() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        let settings = ["--recipe", "linear-probe", "--model", "demo", "--output", &run];
        train(&[&[data.as_str()], &settings[..]].concat(), &["batch=16", "epochs=1", "heads=new"]).exits(0);
        let [before, after] = ["demo", &run].map(|model| {
            let place = folder.path(&format!("{}.hf", model.len()));
            swiftformer(&["convert", model, &place, "--to", "hf", "--dtype", "f32"]).exits(0);
            tensors(format!("{place}/model.safetensors"))
        });
        for (name, tensor) in &before {
            let same = *tensor == after[name];
            assert_eq!(same, !name.contains("head"), "{name}");
        }
    }

    #[test]
    fn tensorboard_reads_what_the_metrics_say() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        train(&[&data, "--output", &run], &[&TINY[..], &["epochs=1"]].concat()).exits(0);
        // Going on writes behind what is there.
        train(&["--resume", &run, "--force"], &["epochs=2"]).exits(0);
        let found = crate::events::scalars(&std::fs::read(format!("{run}/events.out.tfevents.swiftformer")).unwrap());
        let of = |tag: &str| found.iter().filter(|scalar| scalar.tag == tag).collect::<Vec<_>>();
        let lines = metrics(&run);
        let steps: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "step").collect();
        for (tag, key) in
            [("train/loss", "loss"), ("train/learning_rate", "lr"), ("train/gradient_norm", "gradient_norm")]
        {
            assert_eq!(of(tag).len(), steps.len());
            for (scalar, line) in of(tag).iter().zip(&steps) {
                assert_eq!(scalar.value, line[key].as_f64().unwrap() as f32, "{tag}");
            }
        }
        let epochs: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "epoch").collect();
        let top1: Vec<f32> = epochs.iter().map(|line| line["top1"].as_f64().unwrap() as f32).collect();
        assert_eq!(of("validation/top1").iter().map(|scalar| scalar.value).collect::<Vec<_>>(), top1);
        // Six batches an epoch.
        assert_eq!(of("validation/top1").iter().map(|scalar| scalar.step).collect::<Vec<_>>(), [6, 12]);
        assert_eq!(of("train/loss").last().unwrap().step, 12);
    }

    #[test]
    fn what_cannot_be_trained_is_refused_before_a_folder_is_made() {
        let folder = Folder::new();
        let data = images(&folder);
        let run = folder.path("run");
        let refused = |first: &[&str], settings: &[&str], says: &[&str]| {
            train(&[first, &["--output", &run]].concat(), settings).exits(2).says(says);
            assert!(!std::path::Path::new(&run).exists());
        };
        refused(&[&data], &["schedule.epoch=3"], &["unknown key `schedule.epoch`: did you mean `schedule.epochs`?"]);
        refused(&[&data, "--recipe", "paper"], &[], &["neither a recipe (paper-xs, paper-s", "nor a file"]);
        refused(&[&data, "--recipe", "paper-xs"], &[], &["names no teacher", "distillation=none"]);
        let classes = ["hf_tiny knows other classes", "has 12 classes, the model 10"];
        refused(&[&data], &["distillation=hard", "teacher=hf_tiny"], &classes);
        let classes = ["knows 4 classes, the data set has 12"];
        refused(&[&data], &["distillation=soft", "teacher=onnx_teacher/means.onnx"], &classes);
        let sizes = ["2x3x4x4", "Nx3x64x64"];
        refused(&[&data], &["distillation=soft", "teacher=onnx_teacher/fixed.onnx"], &sizes);
        refused(&[&data, "--model", "demo", "--recipe", "quick"], &[], &["are for random weights"]);
        refused(&[&data], &["embed_dims=[8]"], &["embed_dims"]);
        let one = folder.path("one");
        folder.copy("images/gradient.png", "one/cat/a.png");
        refused(&[&one], &[], &["at least two"]);
        std::fs::create_dir_all(format!("{one}/dog")).unwrap();
        refused(&[&one], &[], &["`dog` has no images"]);
        refused(&[&folder.path("nowhere")], &[], &["nowhere"]);
        train(&["--resume", &one], &[]).exits(2).says(&["holds no run to resume"]);
    }
}
