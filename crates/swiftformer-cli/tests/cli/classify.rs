//! `swiftformer classify`: what it prints, and how it ends.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::support::{Folder, command, swiftformer, write_without};

#[test]
fn json_gives_the_best_classes_first() {
    let run = swiftformer(&["classify", "images/china.jpg", "--format", "json"]).exits(0);
    let [answer] = &run.json_lines()[..] else { panic!("{}", run.stdout) };
    assert_eq!(answer["image"], "images/china.jpg");
    let top = answer["top"].as_array().unwrap();
    let scores: Vec<f64> = top.iter().map(|class| class["score"].as_f64().unwrap()).collect();
    assert_eq!(scores.len(), 5);
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores.iter().sum::<f64>() <= 1.0 + 1e-6, "{scores:?}");
    let keys: Vec<&String> = top[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["index", "label", "score"]);
    assert!(run.stdout.starts_with(r#"{"image": "images/china.jpg", "top": [{"index": "#));
}

#[test]
fn the_demo_knows_pictures_that_it_never_saw() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/drawn");
    let run = swiftformer(&["classify", folder, "--top", "1", "--format", "json"]).exits(0);
    assert_eq!(run.stderr.matches("twelve drawn things").count(), 1);
    let answers = run.json_lines();
    assert_eq!(answers.len(), 6);
    for answer in answers {
        let name = answer["image"].as_str().unwrap().rsplit('/').next().unwrap().replace('-', " ");
        assert_eq!(answer["top"][0]["label"], name.strip_suffix(".png").unwrap());
    }
    assert_eq!(swiftformer(&["classify", "images/china.jpg", "--quiet"]).exits(0).stderr, "");
}

#[test]
fn text_shows_rank_percentage_and_label() {
    let run = swiftformer(&["classify", "images/china.jpg", "--top", "2", "-m", "hf_tiny"]).exits(0);
    let lines = run.lines();
    assert_eq!((lines.len(), lines[0]), (3, "images/china.jpg"));
    assert!(lines[1].starts_with("  1  ") && lines[1].contains("%  LABEL_"), "{}", lines[1]);
}

#[test]
fn all_classes_are_the_most_that_top_gives() {
    let run = swiftformer(&["classify", "images/china.jpg", "--top", "5000", "--format", "json"]).exits(0);
    assert_eq!(run.json_lines()[0]["top"].as_array().unwrap().len(), 12);
    swiftformer(&["classify", "images/china.jpg", "--top", "0"]).exits(2);
}

#[test]
fn a_bad_image_fails_at_its_place_and_the_others_go_on() {
    let inputs = ["images/china.jpg", "images/README.md", "images/nothing.png", "images/flower.jpg"];
    let arguments = [&["classify", "--format", "json"], &inputs[..]].concat();
    let answers = swiftformer(&arguments).exits(1).json_lines();
    let names: Vec<&str> = answers.iter().map(|answer| answer["image"].as_str().unwrap()).collect();
    assert_eq!(names, inputs);
    let failed: Vec<bool> = answers.iter().map(|answer| answer["error"].is_string()).collect();
    assert_eq!(failed, [false, true, true, false]);
    assert!(answers[2]["error"].as_str().unwrap().contains("No such file"), "{}", answers[2]);
}

#[test]
fn csv_quotes_what_needs_it() {
    let folder = Folder::new();
    let odd = folder.copy("images/china.jpg", "odd, \"name\".jpg");
    let bad = folder.write("bad.jpg", b"nothing");
    let run = swiftformer(&["classify", &odd, &bad, "--format", "csv", "--top", "1", "-m", "hf_tiny"]).exits(1);
    let lines = run.lines();
    assert_eq!(lines[0], "image,rank,index,label,score,error");
    let quoted = format!("\"{}\",1,", odd.replace('"', "\"\""));
    assert!(lines[1].starts_with(&quoted) && lines[1].ends_with(','), "{}", lines[1]);
    assert!(lines[2].starts_with(&format!("{bad},,,,,\"not an image")), "{}", lines[2]);
    assert_eq!(lines.len(), 3);
}

#[test]
fn threads_and_batches_do_not_change_the_answers() {
    let answers = |threads, batch| {
        let options = ["classify", "images", "--format", "json", "--threads", threads, "--batch", batch];
        swiftformer(&options).exits(0).stdout
    };
    let single = answers("1", "1");
    assert_eq!(single.lines().count(), 30);
    assert!(single == answers("2", "4") && single == answers("3", "100") && single == answers("0", "7"));
}

#[test]
fn a_preset_replaces_the_models_own_preprocessing() {
    let score = |preset| {
        let run = swiftformer(&["classify", "images/china.jpg", "--format", "json", "--preprocess", preset]);
        run.exits(0).json_lines()[0]["top"][0]["score"].as_f64().unwrap()
    };
    let own = swiftformer(&["classify", "images/china.jpg", "--format", "json"]).exits(0).json_lines();
    assert_eq!(score("hf"), own[0]["top"][0]["score"].as_f64().unwrap());
    assert_ne!(score("timm"), score("original"));
    swiftformer(&["classify", "images/china.jpg", "--preprocess", "tim"]).exits(2).says(&["hf, timm, original"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let inputs = vec!["images"; 20];
    let mut program = command(&[&["classify", "--format", "json"], &inputs[..]].concat());
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(first.starts_with('{') && output.status.code() == Some(0), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("error"), "{output:?}");
}

#[test]
fn a_model_without_classifier_is_sent_to_embed() {
    let folder = Folder::new();
    let model = write_without(&folder, &["head"]);
    swiftformer(&["classify", "images/china.jpg", "-m", &model]).exits(2).says(&["no classifier", "embed"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_130_and_whole_lines() {
    let inputs = vec!["images"; 200];
    let mut program = command(&[&["classify", "--format", "json", "--threads", "1"], &inputs[..]].concat());
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let rest: Vec<String> = reader.lines().map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest.len() < 200 * 30 - 1 && rest.iter().all(|line| line.ends_with('}')), "{} lines", rest.len());
}

#[test]
fn a_label_cannot_steer_the_terminal() {
    let folder = Folder::new();
    for file in ["model.safetensors", "preprocessor_config.json"] {
        std::fs::copy(crate::support::testdata(&format!("hf_tiny/{file}")), folder.path(file)).unwrap();
    }
    let config = std::fs::read_to_string(crate::support::testdata("hf_tiny/config.json")).unwrap();
    std::fs::write(folder.path("config.json"), config.replace("\"LABEL_", "\"\\u001b[2J")).unwrap();
    let model = folder.path("");
    let run = swiftformer(&["classify", "images/china.jpg", "--model", &model]).exits(0);
    assert!(!run.stdout.contains('\u{1b}') && run.stdout.contains("\\u{1b}[2J"), "{}", run.stdout);
}

#[test]
fn fast_decoding_changes_scores_whether_or_not_heatmaps_are_drawn() {
    let folder = Folder::new();
    let (model, maps) = (folder.model_of_small_images(), folder.path("maps"));
    let base = ["classify", "images/china.jpg", "--model", &model, "--format", "json"];
    let scores = |options: &[&str]| swiftformer(&[&base[..], options].concat()).exits(0).stdout;
    let fast = scores(&["--fast-decode"]);
    assert_ne!(fast, scores(&[]));
    assert_eq!(fast, scores(&["--fast-decode", "--heatmap", &maps]));
    assert_eq!(folder.names("maps"), ["china.png"]);
    let embed = |options: &[&str]| {
        let base = ["embed", "images/china.jpg", "--model", &model];
        swiftformer(&[&base[..], options].concat()).exits(0).stdout
    };
    assert_ne!(embed(&["--fast-decode"]), embed(&[]));
}
