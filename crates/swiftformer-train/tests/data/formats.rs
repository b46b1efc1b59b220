//! Data sets in the forms of other programs.

use std::path::PathBuf;

use swiftformer::image::Orientation;
use swiftformer_train::data::{
    Category, DataError, Dataset, Loader, LoaderOptions, OpenOptions, Position, Splits, TrainView, View, open,
};

use crate::support::{Folder, png};

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/datasets")).join(name)
}

/// Checks that image `index` is number `number` of those in `testdata/datasets`.
fn check(data: &dyn Dataset, index: usize, number: u8) {
    let image = data.read(index, Orientation::Ignore).unwrap();
    assert_eq!((image.width(), image.height()), (6, 5));
    assert_eq!(image.data()[..3], [number * 20, number, 255 - number]);
    assert_eq!(data.label(index), usize::from(number) * 2 % 3);
}

#[test]
#[cfg(feature = "parquet")]
fn the_hubs_parquet_files_are_read() {
    let Splits { train, validation } = open(&testdata("hub"), &OpenOptions::default()).unwrap();
    assert_eq!(train.classes(), ["ant", "bee", "cat"]);
    assert_eq!((train.len(), validation.len()), (7, 3));
    // Against the order of the rows, over groups of three.
    (0..7).rev().for_each(|number| check(train.as_ref(), number.into(), number));
    (0..3).for_each(|number| check(validation.as_ref(), number.into(), number + 7));
    assert!(train.name(4).ends_with("train-00000-of-00001.parquet, row 4"));
    let one = open(&testdata("hub/data/train-00000-of-00001.parquet"), &OpenOptions::default()).unwrap();
    assert_eq!(one.train.len() + one.validation.len(), 7);
}

#[test]
#[cfg(feature = "parquet")]
fn threads_read_one_parquet_file_at_a_time_without_disturbing_each_other() {
    let train = open(&testdata("hub"), &OpenOptions::default()).unwrap().train;
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let train = &train;
            scope.spawn(move || {
                (0..50).for_each(|turn| check(train.as_ref(), ((turn + thread) % 7).into(), (turn + thread) % 7))
            });
        }
    });
}

#[test]
#[cfg(feature = "parquet")]
fn damaged_parquet_files_are_errors() {
    let whole = std::fs::read(testdata("hub/data/train-00000-of-00001.parquet")).unwrap();
    let folder = Folder::new();
    let outcome = |bytes: &[u8]| {
        folder.write("train.parquet", bytes);
        let opened = open(&folder.path().join("train.parquet"), &OpenOptions::default());
        opened.map(|splits| {
            (0..splits.train.len()).filter(|&at| splits.train.read(at, Orientation::Ignore).is_ok()).count()
        })
    };
    for length in (0..whole.len()).step_by(97) {
        let error = outcome(&whole[..length]).unwrap_err();
        assert!(error.to_string().contains("train.parquet"), "{error}");
    }
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        if let Err(error) = outcome(&bytes) {
            assert!(error.to_string().contains("train.parquet"), "byte {at}: {error}");
        }
    }
}

#[test]
fn webdataset_shards_are_read() {
    let Splits { train, validation } = open(&testdata("shards"), &OpenOptions::default()).unwrap();
    assert_eq!(train.classes(), ["0", "1", "2"]);
    assert_eq!((train.len(), validation.len()), (7, 2));
    (0..7).rev().for_each(|number| check(train.as_ref(), number.into(), number));
    (0..2).for_each(|number| check(validation.as_ref(), number.into(), number + 7));
    assert!(train.name(2).contains("train-0000.tar, some.folder/longlong"), "{}", train.name(2));
    assert!(train.name(4).ends_with("train-0001.tar, some.folder/sample00004.png"));
}

/// A tar file of these entries.
fn shard(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn webdataset_labels_may_be_names_or_stand_in_json() {
    let folder = Folder::new();
    let image = png(4, 4, [1, 2, 3]);
    let entries: [(&str, &[u8]); 6] = [
        ("a.jpg", &image),
        ("a.cls", b"zebra\n"),
        ("b.seg.png", &image),
        ("b.json", br#"{"label": "ape"}"#),
        ("c.PNG", &image),
        ("c.cls", b"zebra"),
    ];
    folder.write("0.tar", &shard(&entries));
    folder.write("1.tar", &shard(&entries));
    let data = swiftformer_train::data::open_for_evaluation(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!((data.len(), data.classes()), (6, &["ape".to_owned(), "zebra".to_owned()][..]));
    assert_eq!([0, 1, 2].map(|index| data.label(index)), [1, 0, 1]);

    let numbers: [(&str, &[u8]); 4] =
        [("a.jpg", &image), ("a.cls", b"1"), ("b.jpg", &image), ("b.json", br#"{"cls": 0}"#)];
    let folder = Folder::new();
    folder.write("x/0.tar", &shard(&numbers));
    folder.write("classes.txt", b"day\nnight\n");
    let data = swiftformer_train::data::open_for_evaluation(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!((data.classes()[1].as_str(), data.label(0), data.label(1)), ("night", 1, 0));
    folder.write("classes.txt", b"day\n");
    let error = folder.error();
    assert!(error.contains("a.jpg has the label 1, but there are 1 classes"), "{error}");
}

#[test]
fn damaged_shards_are_errors() {
    let image = png(4, 4, [1, 2, 3]);
    let folder = Folder::new();
    let error = |bytes: &[u8]| {
        folder.write("0.tar", bytes);
        folder.error()
    };
    let unlabelled = error(&shard(&[("a/b.jpg", &image)]));
    assert!(unlabelled.contains("a/b.jpg has no label") && unlabelled.contains("a/b.cls"), "{unlabelled}");
    assert!(error(&shard(&[("b.jpg", &image), ("b.cls", b"-1")])).contains("label -1"));
    assert!(error(&shard(&[("b.jpg", &image), ("b.cls", b"99999999")])).contains("label 99999999"));
    assert!(error(&shard(&[("b.txt", b"no image")])).contains("no images"));
    assert!(error(&shard(&[("b.jpg", &image), ("b.json", b"{")])).contains("b.json"));
    let good = shard(&[("b.cls", b"1"), ("b.jpg", &image)]);
    assert!(error(&good[..1600]).contains("0.tar"), "{}", error(&good[..1600]));
    assert!(error(&[7; 3000]).contains("0.tar"));
}

const CATEGORIES: &str = r#"[{"id": 10, "name": "Canis lupus", "family": "Canidae", "kingdom": "Animalia"},
    {"id": 11, "name": "Vulpes vulpes", "family": "Canidae", "kingdom": "Animalia"},
    {"id": 12, "name": "Quercus robur", "family": "Fagaceae", "kingdom": "Plantae"}]"#;

/// Images of the categories 12, 10 and 11, twice; the third lies where the reference expects it.
fn inaturalist() -> Folder {
    let folder = Folder::new();
    let list = |part: &str, first: usize| {
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for (at, category) in [12, 10, 11, 12, 10, 11].into_iter().enumerate() {
            let id = first + at;
            let name = format!("train_val2019/Group/{category}/{id}.png");
            let place = if at == 2 { name.replace("Group/", "") } else { name.clone() };
            folder.image(&place, [id as u8, 0, 0]);
            images.push(format!(r#"{{"id": {id}, "file_name": "{name}", "width": 9, "license": 1}}"#));
            annotations.push(format!(r#"{{"id": {id}, "image_id": {id}, "category_id": {category}}}"#));
        }
        let text = format!(
            r#"{{"info": {{}}, "images": [{}], "annotations": [{}]}}"#,
            images.join(","),
            annotations.join(",")
        );
        folder.write(&format!("{part}2019.json"), text.as_bytes());
    };
    list("train", 100);
    list("val", 200);
    folder.write("categories.json", CATEGORIES.as_bytes());
    folder
}

#[test]
fn inaturalist_is_told_apart_by_any_rank() {
    let folder = inaturalist();
    let open_by = |category| open(folder.path(), &OpenOptions { category, ..OpenOptions::default() }).unwrap();
    let splits = open_by(Category::Name);
    // In the order in which they occur.
    assert_eq!(splits.train.classes(), ["Quercus robur", "Canis lupus", "Vulpes vulpes"]);
    assert_eq!([0, 1, 2, 3].map(|index| splits.train.label(index)), [0, 1, 2, 0]);
    for index in 0..6 {
        assert_eq!(splits.train.read(index, Orientation::Ignore).unwrap().data()[0] as usize, 100 + index);
        assert_eq!(splits.validation.read(index, Orientation::Ignore).unwrap().data()[0] as usize, 200 + index);
    }
    let splits = open_by(Category::Family);
    assert_eq!(splits.train.classes(), ["Fagaceae", "Canidae"]);
    assert_eq!([0, 1, 2].map(|index| splits.validation.label(index)), [0, 1, 1]);
    let error = open(folder.path(), &OpenOptions { category: Category::Genus, ..OpenOptions::default() }).unwrap_err();
    assert!(error.to_string().contains("has no `genus`: its fields are family, kingdom, name"), "{error}");
    assert!("species".parse::<Category>().unwrap_err().contains("kingdom"));
}

#[test]
fn inaturalist_lists_that_make_no_sense_are_errors() {
    let folder = inaturalist();
    let error = |file: &str, from: &str, to: &str| {
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        folder.write(file, text.replace(from, to).as_bytes());
        let error = folder.error();
        folder.write(file, text.as_bytes());
        error
    };
    assert!(error("train2019.json", r#""category_id": 10"#, r#""category_id": 99"#).contains("category 99"));
    assert!(error("val2019.json", r#""category_id": 10"#, r#""category_id": 99"#).contains("label 99"));
    assert!(error("val2019.json", r#""image_id": 203"#, r#""image_id": 903"#).contains("203.png has no annotation"));
    assert!(error("val2019.json", "train_val2019/Group/10", "../../etc").contains("no path below"));
    assert!(error("val2019.json", "train_val2019/Group/10", "/etc").contains("no path below"));
    assert!(error("train2019.json", "annotations", "notes").contains("train2019.json"));
}

#[test]
fn a_folder_of_classes_is_no_shard_because_of_an_archive_beside_it() {
    let folder = crate::support::three_classes(4);
    folder.write("backup.tar", b"whatever");
    folder.write("table.parquet", b"whatever");
    assert_eq!(folder.open().train.classes(), ["a", "b", "c"]);
}

#[test]
fn shards_feed_a_loader() -> Result<(), DataError> {
    let splits = open(&testdata("shards"), &OpenOptions::default())?;
    let view = TrainView::new(swiftformer_train::augment::TrainTransform::new([8, 8]));
    let loader = Loader::new(splits.train, View::Train(Box::new(view)), LoaderOptions::new(3))?;
    let batches = loader.start(Position::default()).collect::<Result<Vec<_>, _>>()?;
    assert_eq!((batches.len(), loader.broken().len()), (2, 0));
    Ok(())
}
