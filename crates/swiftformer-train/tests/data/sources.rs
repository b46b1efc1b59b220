//! What is read from where.

use swiftformer::image::Orientation;
use swiftformer_train::data::{Cifar, CifarLabels, Dataset, OpenOptions, open, open_for_evaluation};

use crate::support::{Folder, names, three_classes};

#[test]
fn folders_become_classes_in_the_order_of_their_names() {
    let folder = Folder::new();
    for class in ["train/zebra", "train/Apple", "train/apple pie", "val/zebra"] {
        folder.image(&format!("{class}/b.png"), [1, 2, 3]);
        folder.image(&format!("{class}/deeper/a.PNG"), [4, 5, 6]);
        folder.write(&format!("{class}/notes.txt"), b"no image");
        folder.write(&format!("{class}/.hidden.png"), b"no image");
    }
    folder.write("train/readme.txt", b"no class");
    let splits = folder.open();
    assert_eq!(splits.train.classes(), ["Apple", "apple pie", "zebra"]);
    assert_eq!(splits.validation.classes(), splits.train.classes());
    assert_eq!(names(&splits.train, &folder)[..2], ["train/Apple/b.png", "train/Apple/deeper/a.PNG"]);
    assert_eq!((splits.train.len(), splits.validation.len()), (6, 2));
    assert_eq!((splits.train.label(5), splits.validation.label(0)), (2, 2));
    assert_eq!(splits.train.read(1, Orientation::Ignore).unwrap().data()[..3], [4, 5, 6]);
}

#[test]
fn validation_images_alone_will_do() {
    let folder = Folder::new();
    for class in ["val/a", "val/b"] {
        (0..3).for_each(|number| folder.image(&format!("{class}/{number}.png"), [number; 3]));
    }
    let data = open_for_evaluation(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!((data.len(), data.classes()), (6, &["a".to_owned(), "b".to_owned()][..]));
}

#[test]
fn a_single_folder_is_split_by_class_and_the_same_every_time() {
    let folder = three_classes(20);
    let splits = folder.open();
    assert_eq!((splits.train.len(), splits.validation.len()), (54, 6));
    for label in 0..3 {
        assert_eq!((0..6).filter(|&index| splits.validation.label(index) == label).count(), 2);
    }
    let validation = names(&splits.validation, &folder);
    assert_eq!(names(&folder.open().validation, &folder), validation);
    assert!(names(&splits.train, &folder).iter().all(|name| !validation.contains(name)));
    // Another class changes nothing for those that were there.
    folder.image("d/1.png", [0; 3]);
    folder.image("d/2.png", [0; 3]);
    assert_eq!(names(&folder.open().validation, &folder)[..6], validation);
    let other = OpenOptions { seed: 1, ..OpenOptions::default() };
    assert_ne!(names(&open(folder.path(), &other).unwrap().validation, &folder)[..6], validation);
    assert_eq!(open_for_evaluation(folder.path(), &OpenOptions::default()).unwrap().len(), 62);
}

#[test]
fn what_is_no_data_set_is_refused_with_the_reason() {
    let says = |folder: &Folder, parts: &[&str]| {
        let error = folder.error();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    says(&Folder::new(), &["no folders in it", "images a class"]);
    let folder = Folder::new();
    folder.image("one.png", [0; 3]);
    says(&folder, &["1 images that are in no folder"]);
    folder.image("only/one.png", [0; 3]);
    says(&folder, &["1 class (only)", "at least two"]);
    folder.write("empty/readme.txt", b"");
    says(&folder, &["the class `empty` has no images"]);

    let folder = three_classes(1);
    says(&folder, &["one image a class"]);
    let folder = Folder::new();
    folder.image("train/a/1.png", [0; 3]);
    folder.image("train/b/1.png", [0; 3]);
    folder.image("val/c/1.png", [0; 3]);
    says(&folder, &["val", "`c` is not among the 2"]);

    let missing = open(std::path::Path::new("/no/such/folder"), &OpenOptions::default()).unwrap_err();
    assert!(missing.to_string().contains("/no/such/folder"));
    for share in [0.0, 1.0, f64::NAN] {
        let options = OpenOptions { validation_share: share, ..OpenOptions::default() };
        assert!(open(folder.path(), &options).unwrap_err().to_string().contains("share"));
    }
}

/// Records of label bytes and an image whose planes count up from the label.
fn records(labels: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in labels {
        bytes.extend_from_slice(label);
        let last = label[label.len() - 1];
        bytes.extend((0..3072).map(|at| (at / 1024 * 100 + usize::from(last)) as u8));
    }
    bytes
}

#[test]
fn cifar_10_is_read_from_its_batches() {
    let folder = Folder::new();
    let place = "cifar-10-batches-bin";
    folder.write(&format!("{place}/data_batch_1.bin"), &records(&[&[3], &[9]]));
    folder.write(&format!("{place}/data_batch_2.bin"), &records(&[&[0]]));
    folder.write(&format!("{place}/test_batch.bin"), &records(&[&[7]]));
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    folder.write(&format!("{place}/batches.meta.txt"), names.as_bytes());
    let splits = folder.open();
    assert_eq!((splits.train.len(), splits.validation.len()), (3, 1));
    assert_eq!([0, 1, 2].map(|index| splits.train.label(index)), [3, 9, 0]);
    assert_eq!(splits.train.classes()[9], "truck");
    assert!(splits.train.name(2).ends_with("data_batch_2.bin, record 0"));
    let image = splits.train.read(1, Orientation::Ignore).unwrap();
    assert_eq!((image.width(), image.height(), &image.data()[..3]), (32, 32, &[9, 109, 209][..]));
}

#[test]
fn cifar_100_has_fine_and_coarse_labels() {
    let folder = Folder::new();
    folder.write("train.bin", &records(&[&[19, 99], &[4, 5]]));
    folder.write("test.bin", &records(&[&[0, 1]]));
    assert_eq!([0, 1].map(|index| folder.open().train.label(index)), [99, 5]);
    let coarse = Cifar::open(folder.path(), true, CifarLabels::Coarse).unwrap();
    assert_eq!((coarse.label(0), coarse.classes().len()), (19, 20));

    folder.write("test.bin", &records(&[&[0, 100]]));
    let error = folder.error();
    assert!(error.contains("record 0 has the label 100") && error.contains("test.bin"), "{error}");
    folder.write("test.bin", &[0; 100]);
    assert!(folder.error().contains("whole number of records of 3074"));
}
