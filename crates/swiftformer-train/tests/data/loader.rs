//! Batches.

use swiftformer::image::Preset;
use swiftformer_train::{
    augment::{EraseMode, Mix, MixMode, RandomErasing, TrainTransform},
    data::{Batch, Loader, LoaderOptions, Position, Shard, Splits, TrainView, View},
};

use crate::support::{Folder, png, three_classes};

fn view() -> TrainView {
    let transform = TrainTransform {
        policy: Some("rand-m9-mstd0.5-inc1".parse().unwrap()),
        erasing: Some(RandomErasing::new(0.5, EraseMode::Pixel)),
        ..TrainTransform::new([8, 8])
    };
    TrainView { mix: Some(Mix::new(0.8, 1.0)), smoothing: 0.1, ..TrainView::new(transform) }
}

fn loader(splits: &Splits, view: TrainView, options: LoaderOptions) -> Loader {
    Loader::new(splits.train.clone(), View::Train(Box::new(view)), options).unwrap()
}

fn batches(loader: &Loader, epoch: u64) -> Vec<Batch> {
    loader.start(Position { epoch, step: 0 }).map(Result::unwrap).collect()
}

/// Everything a batch holds, to compare by.
fn content(batch: &Batch) -> impl PartialEq + std::fmt::Debug + use<> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let numbers = (batch.labels.clone(), batch.positions.clone(), batch.indices.clone());
    (bits(batch.images.data()), bits(&batch.targets), numbers)
}

#[test]
fn batches_do_not_depend_on_the_number_of_workers() {
    let folder = three_classes(14);
    let splits = folder.open();
    let run = |workers, prefetch, seed| {
        let options = LoaderOptions { workers, prefetch, seed, ..LoaderOptions::new(6) };
        batches(&loader(&splits, view(), options), 2)
    };
    let one = run(1, 1, 5);
    assert_eq!((one.len(), one[0].images.shape()), (6, &[6, 3, 8, 8][..]));
    for (workers, prefetch) in [(2, 3), (7, 2), (3, 100)] {
        let many = run(workers, prefetch, 5);
        assert!(one.iter().zip(&many).all(|(one, many)| content(one) == content(many)), "{workers} workers");
    }
    assert_ne!(content(&one[0]), content(&run(2, 3, 6)[0]));
    for (step, batch) in one.iter().enumerate() {
        assert_eq!((batch.step, batch.epoch), (step, 2));
        for row in batch.targets.chunks_exact(3) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        for (label, index) in batch.labels.iter().zip(&batch.indices) {
            assert_eq!(*label, splits.train.label(*index));
        }
    }
}

#[test]
fn an_epoch_goes_on_from_any_step() {
    let folder = three_classes(14);
    let loader = loader(&folder.open(), view(), LoaderOptions::new(6));
    let whole = batches(&loader, 1);
    let mut epoch = loader.start(Position { epoch: 1, step: 0 });
    epoch.nth(2).unwrap().unwrap();
    let saved = epoch.position();
    assert_eq!(saved, Position { epoch: 1, step: 3 });
    drop(epoch);
    let rest: Vec<Batch> = loader.start(saved).map(Result::unwrap).collect();
    assert_eq!(rest.len(), 3);
    assert!(whole[3..].iter().zip(&rest).all(|(whole, rest)| content(whole) == content(rest)));
    assert_eq!(loader.start(Position { epoch: 1, step: 6 }).count(), 0);
}

#[test]
fn epochs_are_shuffled_and_see_every_image_once() {
    let folder = three_classes(14);
    let splits = folder.open();
    let loader = loader(&splits, view(), LoaderOptions::new(4));
    let seen = |epoch| batches(&loader, epoch).into_iter().flat_map(|batch| batch.indices).collect::<Vec<_>>();
    let (first, second) = (seen(0), seen(1));
    assert_ne!(first, second);
    let mut sorted = first.clone();
    sorted.sort_unstable();
    sorted.dedup();
    // 39 training images, nine batches of four.
    assert_eq!((first.len(), sorted.len()), (36, 36));
}

#[test]
fn processes_together_see_what_one_sees() {
    let folder = three_classes(14);
    let splits = folder.open();
    let plain = TrainView { mix: None, ..view() };
    let one = batches(&loader(&splits, plain.clone(), LoaderOptions::new(6)), 0);
    let shards: Vec<Vec<Batch>> = (0..2)
        .map(|rank| {
            let options = LoaderOptions { shard: Shard { rank, world: 2 }, ..LoaderOptions::new(3) };
            batches(&loader(&splits, plain.clone(), options), 0)
        })
        .collect();
    assert_eq!((one.len(), shards[0].len(), shards[1].len()), (6, 6, 6));
    let image = |batch: &Batch, at: usize| batch.images.data()[at * 192..(at + 1) * 192].to_vec();
    for step in 0..6 {
        for at in 0..6 {
            // The second half of a batch goes to the processes in the opposite order, so that pairs stay together.
            let rank = if at / 2 == 2 { 1 - at % 2 } else { at % 2 };
            let shard = &shards[rank][step];
            assert_eq!(one[step].indices[at], shard.indices[at / 2]);
            assert_eq!(image(&one[step], at), image(shard, at / 2));
        }
    }
}

#[test]
fn mixing_brings_the_same_images_together_whatever_the_number_of_processes() {
    let folder = three_classes(14);
    let splits = folder.open();
    for mode in [MixMode::Batch, MixMode::Pair, MixMode::Element] {
        let mixed = TrainView { mix: Some(Mix { mode, ..Mix::new(0.8, 1.0) }), ..view() };
        let one = batches(&loader(&splits, mixed.clone(), LoaderOptions::new(8)), 0);
        for rank in 0..2 {
            let shard = Shard { rank, world: 2 };
            let part = batches(&loader(&splits, mixed.clone(), LoaderOptions { shard, ..LoaderOptions::new(4) }), 0);
            assert_eq!(part.len(), one.len());
            for (one, part) in one.iter().zip(&part) {
                for slot in 0..4 {
                    let place = shard.place(slot, 4);
                    let row = |values: &[f32], at: usize, width: usize| values[at * width..(at + 1) * width].to_vec();
                    assert_eq!(row(one.images.data(), place, 192), row(part.images.data(), slot, 192), "{mode:?}");
                    assert_eq!(row(&one.targets, place, 3), row(&part.targets, slot, 3), "{mode:?}");
                }
            }
        }
    }
}

#[test]
fn repeated_augmentation_shows_images_several_times_differently() {
    let folder = three_classes(14);
    let view = TrainView { repeats: 3, mix: None, ..view() };
    let loader = loader(&folder.open(), view, LoaderOptions::new(39));
    let batch = &batches(&loader, 0)[0];
    assert_eq!(batch.len(), 39);
    for (at, group) in batch.indices.chunks_exact(3).enumerate() {
        assert!(group.iter().all(|&index| index == group[0]));
        let image = |copy: usize| &batch.images.data()[(at * 3 + copy) * 192..(at * 3 + copy + 1) * 192];
        assert_ne!(image(0), image(1));
    }
}

#[test]
fn few_images_fill_one_batch_by_starting_over() {
    let folder = three_classes(2);
    let batches = batches(&loader(&folder.open(), view(), LoaderOptions::new(8)), 0);
    assert_eq!((batches.len(), batches[0].len()), (1, 8));
}

fn with_broken() -> Folder {
    let folder = three_classes(14);
    folder.write("a/003.png", b"no image at all");
    folder.write("b/007.png", &png(9, 7, [1, 2, 3])[..40]);
    folder.write("c/001.png", b"");
    folder
}

#[test]
fn broken_images_are_replaced_named_and_counted() {
    let folder = with_broken();
    let splits = folder.open();
    let run = |workers| {
        let loader = loader(&splits, view(), LoaderOptions { workers, ..LoaderOptions::new(6) });
        let all: Vec<Batch> = (0..4).flat_map(|epoch| batches(&loader, epoch)).collect();
        (all, loader.broken())
    };
    let (one, broken) = run(1);
    let in_train = |name: &str| (0..splits.train.len()).any(|index| splits.train.name(index).ends_with(name));
    let expected = ["a/003.png", "b/007.png", "c/001.png"].into_iter().filter(|name| in_train(name)).count();
    assert_eq!(broken.len(), expected);
    assert!(
        broken.iter().any(|broken| broken.reason.contains("003.png") && broken.reason.contains("text")),
        "{broken:?}"
    );
    let (many, again) = run(4);
    assert_eq!(broken, again);
    assert!(one.iter().zip(&many).all(|(one, many)| content(one) == content(many)));
    let bad: Vec<usize> = broken.iter().map(|broken| broken.index).collect();
    assert!(one.iter().all(|batch| batch.len() == 6 && batch.indices.iter().all(|index| !bad.contains(index))));
}

#[test]
fn too_many_broken_images_end_the_epoch() {
    let folder = with_broken();
    let options = LoaderOptions { max_broken: Some(0), workers: 3, ..LoaderOptions::new(6) };
    let loader = loader(&folder.open(), view(), options);
    let results: Vec<_> = loader.start(Position::default()).collect();
    let error = results.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(error.contains("more than the limit of 0") && error.contains(".png"), "{error}");
    assert!(results[..results.len() - 1].iter().all(Result::is_ok));

    let folder = three_classes(3);
    for class in ["a", "b", "c"] {
        (0..3).for_each(|number| folder.write(&format!("{class}/{number:03}.png"), b"broken"));
    }
    let loader = self::loader(&folder.open(), view(), LoaderOptions::new(2));
    assert!(loader.start(Position::default()).any(|batch| batch.is_err()));
}

#[test]
fn evaluation_sees_each_image_once_in_order_without_changes() {
    let folder = with_broken();
    let splits = folder.open();
    let preprocessor = Preset::Timm.preprocessor(16, 16);
    let run = |rank, world| {
        let options = LoaderOptions { shard: Shard { rank, world }, ..LoaderOptions::new(4) };
        let loader =
            Loader::new(splits.train.clone(), View::Evaluate(Box::new(preprocessor.clone())), options).unwrap();
        let all: Vec<Batch> = loader.start(Position::default()).map(Result::unwrap).collect();
        (all, loader.broken().len(), loader.steps())
    };
    let (all, broken, steps) = run(0, 1);
    let indices: Vec<usize> = all.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert_eq!((all.len(), indices.len() + broken), (steps, splits.train.len()));
    assert!(indices.is_sorted());
    let image = splits.train.read(indices[0], preprocessor.orientation).unwrap();
    assert_eq!(all[0].images.data()[..3 * 256], *preprocessor.apply(&image).unwrap().data());
    assert!(all.iter().all(|batch| batch.targets.iter().all(|&share| share == 0.0 || share == 1.0)));
    let mut shared: Vec<usize> = (0..3).flat_map(|rank| run(rank, 3).0).flat_map(|batch| batch.indices).collect();
    shared.sort_unstable();
    assert_eq!(shared, indices);
}

#[test]
fn images_of_different_sizes_do_not_make_a_batch() {
    let folder = three_classes(3);
    folder.write("a/000.png", &png(50, 3, [0; 3]));
    let data = swiftformer_train::data::open_for_evaluation(folder.path(), &Default::default()).unwrap();
    let mut preprocessor = Preset::Timm.preprocessor(16, 16);
    preprocessor.crop = None;
    let loader = Loader::new(data, View::Evaluate(Box::new(preprocessor)), LoaderOptions::new(4)).unwrap();
    let error = loader.start(Position::default()).next().unwrap().unwrap_err().to_string();
    assert!(error.contains("001.png") && error.contains("pixels"), "{error}");
}

#[test]
fn impossible_settings_are_refused() {
    let folder = three_classes(3);
    let splits = folder.open();
    let refused = |view: TrainView, options: LoaderOptions| {
        Loader::new(splits.train.clone(), View::Train(Box::new(view)), options).unwrap_err().to_string()
    };
    assert!(refused(view(), LoaderOptions::new(0)).contains("batches of 0"));
    let shard = Shard { rank: 2, world: 2 };
    assert!(refused(view(), LoaderOptions { shard, ..LoaderOptions::new(1) }).contains("process 2 of 2"));
    let huge = TrainView::new(TrainTransform::new([1 << 20, 1 << 20]));
    assert!(refused(huge, LoaderOptions::new(1)).contains("1048576x1048576"));
    assert!(refused(TrainView { smoothing: 1.0, ..view() }, LoaderOptions::new(1)).contains("smoothing"));
}

#[test]
fn a_slow_consumer_does_not_wait_and_a_dropped_epoch_ends() {
    let folder = three_classes(14);
    let loader = loader(&folder.open(), view(), LoaderOptions { prefetch: 2, ..LoaderOptions::new(6) });
    let mut epoch = loader.start(Position::default());
    epoch.next().unwrap().unwrap();
    let first = epoch.waited();
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(60));
        epoch.next().unwrap().unwrap();
    }
    assert!(epoch.waited() - first < std::time::Duration::from_millis(60), "{:?}", epoch.waited());
    assert!(epoch.wait_share() < 1.0);
    drop(epoch);
}
