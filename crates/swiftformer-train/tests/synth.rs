//! The drawn data set.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;
use swiftformer::image::{Orientation, open};
use swiftformer_train::{
    data::{self, OpenOptions},
    synth::{Class, Classes, SynthError, SynthOptions, Task, draw, generate},
};

fn options(task: Task, images: usize) -> SynthOptions {
    SynthOptions { side: 40, threads: 2, ..SynthOptions::new(task, images, 7) }
}

/// Every file below a folder with its bytes.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn made(options: &SynthOptions) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), options, &|_| true).unwrap();
    folder
}

#[test]
fn the_same_options_give_the_same_bytes_on_any_number_of_threads() {
    for task in [Task::Classify, Task::Detect, Task::Segment] {
        let one = files(made(&SynthOptions { threads: 1, ..options(task, 30) }).path());
        assert_eq!(one, files(made(&SynthOptions { threads: 5, ..options(task, 30) }).path()), "{task:?}");
        assert_ne!(one, files(made(&SynthOptions { seed: 8, ..options(task, 30) }).path()), "{task:?}");
    }
}

/// FNV-1a over the bytes of all pictures.
fn digest(images: impl Iterator<Item = Vec<u8>>) -> u64 {
    let add = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    images.flatten().fold(0xcbf2_9ce4_8422_2325, add)
}

#[test]
fn pictures_stay_what_they_are() {
    // Published numbers of the demonstration model refer to these pixels. Change them with a reason only.
    let found = digest(Class::ALL.into_iter().map(|class| draw(class, 1, 5, 32).into_data()));
    assert_eq!(found, 0xb86a_d30b_3e50_cb25, "{found:#x}");
    let found = digest(Class::MORE.into_iter().map(|class| draw(class, 1, 5, 32).into_data()));
    assert_eq!(found, 0xd2e6_2a0f_896d_6f0f, "{found:#x}");
}

#[test]
fn classify_is_an_image_folder_with_a_tenth_for_validation() {
    let folder = made(&options(Task::Classify, 12 * 20 + 3));
    let splits = data::open(folder.path(), &OpenOptions::default()).unwrap();
    let names: Vec<&str> = Class::ALL.into_iter().map(Class::name).collect();
    assert_eq!(splits.train.classes(), names);
    assert_eq!((splits.train.len(), splits.validation.len()), (12 * 18 + 3, 24));
    let image = splits.train.read(0, Orientation::Ignore).unwrap();
    assert_eq!((image.width(), image.height()), (40, 40));
    // The fewest there can be: one of each class in each part.
    let splits = data::open(made(&options(Task::Classify, 24)).path(), &OpenOptions::default()).unwrap();
    assert_eq!((splits.train.len(), splits.validation.len()), (12, 12));
}

#[test]
fn further_classes_are_there_to_classify_only() {
    let more = |task| SynthOptions { classes: Classes::More, ..options(task, 60) };
    let splits = data::open(made(&more(Task::Classify)).path(), &OpenOptions::default()).unwrap();
    let names: Vec<&str> = Class::MORE.into_iter().map(Class::name).collect();
    assert_eq!(splits.train.classes(), names);
    assert_eq!((splits.train.len(), splits.validation.len()), (54, 6));
    for task in [Task::Detect, Task::Segment] {
        let folder = tempfile::tempdir().unwrap();
        let error = generate(folder.path(), &more(task), &|_| true).unwrap_err().to_string();
        assert!(error.contains("to classify only"), "{error}");
    }
}

/// Whether a point is inside a ring of COCO's, by counting crossings.
fn inside(ring: &[f64], x: f64, y: f64) -> bool {
    let points: Vec<&[f64]> = ring.chunks_exact(2).collect();
    let mut inside = false;
    for (at, point) in points.iter().enumerate() {
        let next = points[(at + 1) % points.len()];
        if (point[1] > y) != (next[1] > y)
            && x < point[0] + (y - point[1]) / (next[1] - point[1]) * (next[0] - point[0])
        {
            inside = !inside;
        }
    }
    inside
}

#[test]
fn detect_is_coco_with_boxes_and_masks_that_agree() {
    let folder = made(&options(Task::Detect, 40));
    let mut seen = BTreeSet::new();
    for (part, count) in [("train2017", 36), ("val2017", 4)] {
        let text = fs::read(folder.path().join(format!("annotations/instances_{part}.json"))).unwrap();
        let file: Value = serde_json::from_slice(&text).unwrap();
        let images: BTreeMap<u64, &Value> =
            file["images"].as_array().unwrap().iter().map(|image| (image["id"].as_u64().unwrap(), image)).collect();
        assert_eq!(images.len(), count);
        for image in images.values() {
            let path = folder.path().join(part).join(image["file_name"].as_str().unwrap());
            let pixels = open(path, Orientation::Ignore, &Default::default()).unwrap();
            assert_eq!(image["width"], pixels.width());
            assert_eq!(image["height"], pixels.height());
            assert_eq!(pixels.width().max(pixels.height()), 40);
        }
        assert_eq!(file["categories"].as_array().unwrap().len(), 9);
        let annotations = file["annotations"].as_array().unwrap();
        assert!(annotations.len() >= count);
        for annotation in annotations {
            let image = images[&annotation["image_id"].as_u64().unwrap()];
            let (width, height) = (image["width"].as_u64().unwrap(), image["height"].as_u64().unwrap());
            let bounds: Vec<u64> = serde_json::from_value(annotation["bbox"].clone()).unwrap();
            assert!(bounds[0] + bounds[2] <= width && bounds[1] + bounds[3] <= height);
            seen.insert(annotation["category_id"].as_u64().unwrap());
            let Ok(rings) = serde_json::from_value::<Vec<Vec<f64>>>(annotation["segmentation"].clone()) else {
                let counts: Vec<u64> = serde_json::from_value(annotation["segmentation"]["counts"].clone()).unwrap();
                assert_eq!(counts.iter().sum::<u64>(), width * height);
                let area: u64 = counts.iter().skip(1).step_by(2).sum();
                assert_eq!(annotation["area"], area);
                continue;
            };
            let (mut area, mut found) = (0, [u64::MAX, u64::MAX, 0, 0]);
            for y in 0..height {
                for x in 0..width {
                    if rings.iter().any(|ring| inside(ring, x as f64 + 0.5, y as f64 + 0.5)) {
                        area += 1;
                        found = [found[0].min(x), found[1].min(y), found[2].max(x + 1), found[3].max(y + 1)];
                    }
                }
            }
            assert_eq!(annotation["area"], area);
            assert_eq!(bounds, [found[0], found[1], found[2] - found[0], found[3] - found[1]]);
        }
    }
    assert_eq!(seen, (1..=9).collect());
}

#[test]
fn segment_is_ade20k_with_a_label_for_every_pixel() {
    let folder = made(&options(Task::Segment, 40));
    let mut pixels = [0usize; 13];
    for (part, count) in [("training", 36), ("validation", 4)] {
        let names = |kind: &str| {
            let entries = fs::read_dir(folder.path().join(kind).join(part)).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
        };
        assert_eq!(names("images"), names("annotations"));
        assert_eq!(names("images").len(), count);
        for name in names("images") {
            let read = |kind: &str| {
                open(folder.path().join(kind).join(part).join(&name), Orientation::Ignore, &Default::default()).unwrap()
            };
            let (image, labels) = (read("images"), read("annotations"));
            assert_eq!((image.width(), image.height()), (labels.width(), labels.height()));
            labels.data().iter().step_by(3).for_each(|&label| pixels[usize::from(label)] += 1);
        }
    }
    assert!(pixels.iter().all(|&count| count > 0), "{pixels:?}");
    let table = fs::read_to_string(folder.path().join("objectInfo.txt")).unwrap();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0], ["Idx", "Ratio", "Train", "Val", "Stuff", "Name"]);
    assert_eq!((lines.len(), lines[3][0], lines[3][4], lines[3][5]), (13, "3", "1", "brick wall"));
    let labelled: usize = pixels[1..].iter().sum();
    for line in &lines[1..] {
        let share = pixels[line[0].parse::<usize>().unwrap()] as f64 / labelled as f64;
        assert!((share - line[1].parse::<f64>().unwrap()).abs() < 1e-4);
    }
}

#[test]
fn classes_can_be_told_apart_but_not_by_colour_alone() {
    // The mean colours of the nearest picture of another seed: a floor that a trained network has to beat by far.
    let mean = |seed: u64, class: Class, number: u64| {
        let image = draw(class, seed, number, 24);
        let sum = image
            .data()
            .as_chunks::<3>()
            .0
            .iter()
            .fold([0.0; 3], |sum, pixel| [0, 1, 2].map(|channel| sum[channel] + f64::from(pixel[channel])));
        sum.map(|sum| sum / (24.0 * 24.0))
    };
    let known: Vec<(Class, [f64; 3])> =
        Class::ALL.into_iter().flat_map(|class| (0..12).map(move |number| (class, mean(1, class, number)))).collect();
    let mut right = 0;
    for class in Class::ALL {
        for number in 0..8 {
            let colour = mean(2, class, number);
            let distance = |other: &[f64; 3]| (0..3).map(|at| (other[at] - colour[at]).powi(2)).sum::<f64>();
            let nearest = known.iter().min_by(|a, b| distance(&a.1).total_cmp(&distance(&b.1))).unwrap();
            right += usize::from(nearest.0 == class);
        }
    }
    assert!((9..50).contains(&right), "{right} of 96");
}

#[test]
fn impossible_options_and_a_stop_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |options: SynthOptions| generate(folder.path(), &options, &|_| true).unwrap_err().to_string();
    assert!(refused(options(Task::Classify, 23)).contains("24 are the fewest"));
    assert!(refused(options(Task::Detect, 1)).contains("2 are the fewest"));
    assert!(refused(options(Task::Detect, 1_000_000)).contains("999999"));
    assert!(refused(SynthOptions { side: 8, ..options(Task::Segment, 9) }).contains("16 to 2048"));
    assert!(files(folder.path()).is_empty());
    let stopped = generate(folder.path(), &options(Task::Detect, 500), &|done| done < 3).unwrap_err();
    assert!(matches!(stopped, SynthError::Stopped));
    let missing = generate(Path::new("/proc/no-such-folder"), &options(Task::Detect, 5), &|_| true).unwrap_err();
    assert!(missing.to_string().contains("/proc/no-such-folder"));
}
