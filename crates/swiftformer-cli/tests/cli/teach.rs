//! `swiftformer teach`, and training from what it wrote.

use crate::support::swiftformer;

#[cfg(not(feature = "train"))]
#[test]
fn a_build_without_training_says_how_to_get_one() {
    let run = swiftformer(&["teach", "photos", "--teacher", "xs", "--output", "t.safetensors"]);
    run.exits(2).says(&["built without training", "--features train"]);
}

#[cfg(feature = "train")]
mod with_training {
    use super::swiftformer;
    use crate::{
        support::{Folder, Run, tensors},
        train::with_training::{TINY, images, train},
    };

    fn teach(data: &str, teacher: &str, output: &str, settings: &[&str]) -> Run {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let first = ["teach", data, "--teacher", teacher, "--output", output, "--threads", "1"];
        swiftformer(&first.into_iter().chain(settings).collect::<Vec<_>>())
    }

    #[test]
    fn a_file_teaches_what_its_teacher_teaches() {
        let folder = Folder::new();
        let data = images(&folder);
        let [live, taught, file] = ["live", "taught", "logits.safetensors"].map(|name| folder.path(name));
        let soft = |teacher: &str| [&TINY[..], &["distillation=soft", "tau=2", teacher]].concat().join("\n");
        let run = |output: &str, teacher: &str| {
            let settings = soft(teacher);
            train(&[&data, "--output", output], &settings.lines().collect::<Vec<_>>()).exits(0);
            std::fs::read(format!("{output}/last/model.safetensors")).unwrap()
        };
        // Repeated images, mixed in batches and erased: all of it comes again from the seeds.
        teach(&data, "demo", &file, &TINY).exits(0);
        let logits = &tensors(&file)["logits"];
        assert_eq!(logits.shape(), [2, 96, 12]);
        let from_file = run(&taught, &format!("teacher={file}"));
        assert!(from_file == run(&live, "teacher=demo"), "the file teaches something else");
        // Other images than those that the teacher saw.
        for (setting, says) in
            [("policy=", "augment.policy: "), ("seed=3", "run.seed: 0 -> 3"), ("batch=8", "run.batch: 16 -> 8")]
        {
            let settings = [&TINY[..], &["distillation=soft", setting]].concat();
            let teacher = format!("teacher={file}");
            let refused = train(&[&data, "--output", &folder.path("no")], &[&settings[..], &[&teacher]].concat());
            refused.exits(2).says(&["was written for other images", says]);
        }
        // Photographs are turned upright for `hf` only.
        let settings = [&TINY[..], &["distillation=soft", "preprocess=timm"]].concat();
        let teacher = format!("teacher={file}");
        let refused = train(&[&data, "--output", &folder.path("no")], &[&settings[..], &[&teacher]].concat());
        refused.exits(2).says(&["turned by another rule", "--set preprocess=hf"]);
        // More epochs than the teacher saw: they come again.
        let settings = [&TINY[..], &["distillation=hard", "epochs=3"]].concat();
        let teacher = format!("teacher={file}");
        train(&[&data, "--output", &folder.path("more")], &[&settings[..], &[&teacher]].concat()).exits(0);
    }

    #[test]
    fn teachers_that_do_not_fit_leave_no_file() {
        let folder = Folder::new();
        let data = images(&folder);
        let file = folder.path("logits.safetensors");
        teach(&data, "hf_tiny", &file, &[]).exits(2).says(&["hf_tiny knows other classes", "12 classes, the model 10"]);
        teach(&data, "onnx_teacher/means.onnx", &file, &[]).exits(2).says(&["knows 4 classes, the data set has 12"]);
        teach(&data, "onnx_teacher/fixed.onnx", &file, &[]).exits(2).says(&["2x3x4x4", "Nx3x64x64"]);
        teach(&data, "nothing.onnx", &file, &[]).exits(2).says(&["nothing.onnx"]);
        teach(&data, "demo", &folder.path("logits.npy"), &[]).exits(2).says(&["end in .safetensors"]);
        assert_eq!(folder.names(""), ["data"]);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = Folder::new();
        let data = images(&folder);
        let file = folder.path("logits.safetensors");
        teach(&data, "demo", &file, &TINY).exits(0);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 100]).unwrap();
        let teacher = format!("teacher={file}");
        let settings = [&TINY[..], &["distillation=hard", &teacher]].concat();
        train(&[&data, "--output", &folder.path("run")], &settings).exits(2).says(&["damaged or cut off"]);
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let renamed = std::str::from_utf8(&bytes[8..header]).unwrap().replace("apple", "grape");
        std::fs::write(&file, [&bytes[..8], renamed.as_bytes(), &bytes[header..]].concat()).unwrap();
        train(&[&data, "--output", &folder.path("run")], &settings).exits(2).says(&["for other classes"]);
    }
}
