//! Augmentation against timm, torchvision and Pillow.

use serde_json::Value;
use swiftformer::image::{Filter, RgbImage, Window, resize};
use swiftformer_train::{
    augment::{
        Blend, ColorJitter, EraseMode, Mix, MixMode, Operation, Pixels, Policy, RandomErasing, RandomResizedCrop,
        Setting, TrainTransform,
        affine::{Canvas, Sampling, rotate, shear_x, translate_x, translate_y},
        blur::gaussian_blur,
        cut, cutmix_window,
        hue::adjust_hue,
        mixed_targets, paste, pillow,
    },
    rng::Rng,
};

use crate::golden::{Golden, testdata};

const FILL: [u8; 3] = [124, 116, 104];
const BICUBIC: Canvas = Canvas { fill: FILL, sampling: Sampling::Bicubic };
const BILINEAR: Canvas = Canvas { fill: FILL, sampling: Sampling::Bilinear };

fn table() -> Value {
    serde_json::from_slice(&std::fs::read(testdata("augment/randaugment.json")).unwrap()).unwrap()
}

/// The largest difference of two images, in levels.
fn difference(found: &RgbImage, expected: &RgbImage) -> u8 {
    assert_eq!((found.width(), found.height()), (expected.width(), expected.height()));
    found.data().iter().zip(expected.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

fn changed(image: &RgbImage, change: impl FnOnce(&mut RgbImage)) -> RgbImage {
    let mut image = image.clone();
    change(&mut image);
    image
}

#[test]
fn magnitudes_mean_what_timm_says() {
    let table = table();
    let mut compared = 0;
    for (name, levels) in table["level_to_arguments"].as_object().unwrap() {
        let operation = Operation::from_name(name).unwrap();
        for (level, expected) in levels.as_object().unwrap() {
            let (magnitude, sign) = level[1..].rsplit_once('.').unwrap();
            let found = operation.argument(magnitude.parse().unwrap(), sign == "neg", &Setting::default());
            let expected = expected.as_array().unwrap().first().map(|value| value.as_f64().unwrap());
            // The parser of JSON rounds the last bit as it likes.
            let equal = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() <= 1e-15 * expected.abs(),
                (found, expected) => found == expected,
            };
            assert!(equal, "{name} {level}: {found:?}, not {expected:?}");
            compared += 1;
        }
    }
    assert_eq!(compared, 3 * 2 + 12 * 12);
}

#[test]
fn operations_give_pillows_bytes() {
    let golden = Golden::open("augment/randaugment.safetensors");
    let input = golden.image("input");
    let setting = Setting { fill: FILL, sampling: Some(Sampling::Bicubic), ..Setting::default() };
    let mut compared = 0;
    for name in golden.images("") {
        let mut parts = name.splitn(2, '.');
        let Some(operation) = Operation::from_name(parts.next().unwrap()) else { continue };
        let level = parts.next().unwrap_or("m9.pos");
        if level.starts_with("bilinear") {
            continue;
        }
        let (magnitude, sign) = level[1..].rsplit_once('.').unwrap();
        let argument = operation.argument(magnitude.parse().unwrap(), sign == "neg", &setting);
        let found = changed(&input, |image| operation.apply(image, argument, &setting, &mut Rng::new(0, &[])));
        assert_eq!(difference(&found, &golden.image(&name)), 0, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 3 + 4 + 2 * 3 + 4 * 4 + 4 * 4);
    let height = input.height() as f64;
    assert_eq!(difference(&rotate(&input, 17.0, BILINEAR), &golden.image("Rotate.bilinear.17.0")), 0);
    assert_eq!(difference(&shear_x(&input, 0.21, BILINEAR), &golden.image("ShearX.bilinear.0.21")), 0);
    let moved = translate_y(&input, -0.2 * height, BILINEAR);
    assert_eq!(difference(&moved, &golden.image("TranslateYRel.bilinear.-0.2")), 0);
}

#[test]
fn hue_blur_and_the_rest_give_pillows_bytes() {
    let golden = Golden::open("augment/more.safetensors");
    let input = golden.image("input");
    let amount = |name: &str| name.split_once('.').unwrap().1.parse::<f64>().unwrap();
    let mut compared = 0;
    let mut check = |name: &str, found: RgbImage| {
        assert_eq!(difference(&found, &golden.image(name)), 0, "{name}");
        compared += 1;
    };
    for name in golden.images("hue.") {
        check(&name, changed(&input, |image| adjust_hue(image, amount(&name))));
    }
    for name in golden.images("blur.") {
        check(&name, changed(&input, |image| gaussian_blur(image, amount(&name))));
    }
    let apply = |operation: Operation, argument: f64| {
        changed(&input, |image| operation.apply(image, Some(argument), &Setting::default(), &mut Rng::new(0, &[])))
    };
    for name in golden.images("desaturate.") {
        check(&name, apply(Operation::Desaturate, amount(&name)));
    }
    check("translate_x.7.3", translate_x(&input, 7.3, BICUBIC));
    check("rotate.190", rotate(&input, 190.0, BICUBIC));
    check("contrast.1.9", apply(Operation::Contrast, 1.9));
    let flat = RgbImage::filled(2, 5, [77; 3]);
    check("flat.AutoContrast", changed(&flat, pillow::auto_contrast));
    check("flat.Equalize", changed(&flat, pillow::equalize));
    check("flat.Sharpness", changed(&flat, |image| pillow::sharpness(image, 1.9)));
    assert_eq!(compared, 5 + 5 + 3 + 6);
}

#[test]
fn resized_crops_give_torchvisions_bytes() {
    let golden = Golden::open("augment/crop.safetensors");
    let input = golden.image("input");
    // Top, left, height and width of the boxes.
    for (index, [top, left, height, width]) in
        [[3, 5, 20, 17], [0, 0, 40, 52], [31, 44, 9, 8], [7, 2, 25, 26]].into_iter().enumerate()
    {
        let window = Window { columns: left..left + width, rows: top..top + height };
        for filter in [Filter::Bicubic, Filter::Bilinear] {
            let expected = golden.image(&format!("{index}.{}", filter.name()));
            let part = cut(&input, &window).unwrap();
            let found = resize(&part, expected.width(), expected.height(), filter).unwrap();
            assert_eq!(difference(&found, &expected), 0, "box {index}, {}", filter.name());
        }
    }
    assert_eq!(changed(&input, pillow::flip_horizontal), golden.image("hflip"));
    let twice = changed(&changed(&input, pillow::flip_vertical), pillow::flip_vertical);
    assert_eq!(twice, input);
    assert_eq!(changed(&input, pillow::flip_vertical).row(0), input.row(39));
}

#[test]
fn crops_stay_inside_and_in_their_ranges() {
    let crop = RandomResizedCrop::default();
    let mut areas = Vec::new();
    for draw in 0..2000 {
        let Window { columns, rows } = crop.window(97, 61, &mut Rng::new(1, &[draw]));
        assert!(columns.end <= 97 && rows.end <= 61 && !columns.is_empty() && !rows.is_empty());
        areas.push(columns.len() as f64 * rows.len() as f64 / (97.0 * 61.0));
        let ratio = columns.len() as f64 / rows.len() as f64;
        // Sides are whole pixels, 17 at least here.
        assert!((0.7..1.43).contains(&ratio), "{ratio}");
    }
    // Large parts of wide images fit less often than small ones; 20 000 draws of timm have the mean 0.377.
    let mean = areas.iter().sum::<f64>() / areas.len() as f64;
    assert!((0.36..0.388).contains(&mean), "{mean}");
    // No part of these fits: the widest centre.
    let window = crop.window(1000, 10, &mut Rng::new(0, &[]));
    assert_eq!(window, Window { columns: 493..506, rows: 0..10 });
    assert_eq!(crop.window(1, 1, &mut Rng::new(0, &[])), Window { columns: 0..1, rows: 0..1 });
}

#[test]
fn policies_are_put_together_as_timm_does() {
    let policy: Policy = "rand-m9-mstd0.5-inc1".parse().unwrap();
    let table = table();
    let names: Vec<&str> = table["ops"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let found: Vec<&str> = policy.steps().iter().map(|step| step.operation.name()).collect();
    assert_eq!(found, names);
    assert!(policy.steps().iter().all(|step| step.probability == 0.5 && step.magnitude == 9.0));
    assert_eq!((policy.noise().std, policy.noise().max), (0.5, 10.0));
    assert_eq!(policy.to_string(), "rand-m9-mstd0.5-inc1");

    let policy: Policy = "rand-m3-n4-p0.7-mstd101-mmax20-tweights".parse().unwrap();
    assert_eq!((policy.noise().std, policy.noise().max), (f64::INFINITY, 20.0));
    assert_eq!((policy.steps().len(), policy.steps()[0].probability), (15, 0.7));
    assert_eq!("original-mstd0.5".parse::<Policy>().unwrap().steps().len(), 50);
    let increasing = "v0r".parse::<Policy>().unwrap().steps();
    assert!(increasing.iter().any(|step| step.operation == Operation::PosterizeIncreasing));
    assert!(!increasing.iter().any(|step| step.operation == Operation::Posterize));
    assert!("3a".parse::<Policy>().unwrap().keeps_color_jitter());
}

#[test]
fn a_wrong_policy_is_an_error_that_says_what_is_wrong() {
    for (text, part) in [
        ("random-m9", "begins with rand"),
        ("rand-m9-x3", "`x3`"),
        ("rand-m9.5", "whole number"),
        ("rand-m9-mstd", "expected a number"),
        ("rand-p1.5", "0 to 1"),
        ("rand-tfoo", "3aw"),
        ("rand-n15-t3aw", "14 operations"),
        ("original-m9", "mstd"),
        ("", "begins with"),
        ("rand-", "keys are"),
    ] {
        let error = text.parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn every_policy_runs_on_any_size() {
    let policies =
        ["rand-m9-mstd0.5-inc1", "rand-m30-mmax60-n5-p1", "rand-n3-t3aw", "v0", "original-mstd1", "3a", "augmix"];
    for text in policies {
        let policy: Policy = text.parse().unwrap();
        for (width, height) in [(1, 1), (2, 3), (37, 19)] {
            for draw in 0..40 {
                let mut image = RgbImage::filled(width, height, [200, 10, 90]);
                image.data_mut()[0] = 7;
                policy.apply(&mut image, &Setting::default(), &mut Rng::new(3, &[draw]));
                assert_eq!((image.width(), image.height()), (width, height));
            }
        }
    }
}

#[test]
fn mixing_gives_timms_values() {
    let golden = Golden::open("augment/mix.safetensors");
    let labels: Vec<usize> = golden.numbers("y").1.iter().map(|&label| label as usize).collect();
    let check = |name: &str, blend: Blend, smoothing: f32| {
        let mut values = golden.floats("x");
        let mut pixels = Pixels { values: &mut values, channels: 3, size: [12, 14] };
        let kept = pixels.mix(&vec![blend; 4]);
        assert_eq!(values, golden.floats(&format!("{name}.x")), "{name}");
        let targets = mixed_targets(&labels, 9, smoothing, &kept);
        let expected = golden.floats(&format!("{name}.target"));
        assert!(targets.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-7), "{name}: {targets:?} {expected:?}");
    };
    let window = |rows, columns| Blend::Cutmix(Window { columns, rows });
    check("mixup.0.3", Blend::Mixup(0.3), 0.1);
    check("mixup.0.85", Blend::Mixup(0.85), 0.1);
    check("cutmix.0", window(2..9, 3..10), 0.1);
    check("cutmix.1", window(0..12, 0..14), 0.1);
    check("cutmix.2", window(5..5, 1..4), 0.1);
    for smoothing in ["0.0", "0.1"] {
        let targets = mixed_targets(&labels, 9, smoothing.parse().unwrap(), &[1.0; 4]);
        let expected = golden.floats(&format!("targets.smoothing{smoothing}"));
        assert!(targets.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-7), "smoothing {smoothing}");
    }
    for row in golden.numbers("rand_bbox.cut_sizes").1.as_chunks::<3>().0 {
        let window = cutmix_window([12, 14], row[0], [6, 7]);
        assert_eq!([window.rows.len() as f64, window.columns.len() as f64], [row[1].min(12.0), row[2].min(14.0)]);
    }
    assert_eq!(cutmix_window([12, 14], 0.5, [0, 13]), Window { columns: 9..14, rows: 0..4 });
}

#[test]
fn each_mode_mixes_what_it_says() {
    let mix = |mode| Mix { mode, ..Mix::new(0.8, 1.0) };
    let run = |mode, count: usize| {
        // Image i is all i, so a mixed value tells its shares.
        let mut values: Vec<f32> = (0..count).flat_map(|image| vec![image as f32; 3 * 16 * 16]).collect();
        let kept =
            mix(mode).apply(&mut Pixels { values: &mut values, channels: 3, size: [16, 16] }, &mut Rng::new(4, &[2]));
        for (image, pixels) in values.chunks_exact(3 * 16 * 16).enumerate() {
            let partner = (count - 1 - image) as f32;
            let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
            let expected = image as f32 * kept[image] + partner * (1.0 - kept[image]);
            assert!((mean - expected).abs() < 1e-3, "{mode:?} image {image}: {mean}, not {expected}");
        }
        kept
    };
    let batch = run(MixMode::Batch, 6);
    assert!(batch.iter().all(|&share| share == batch[0]) && batch[0] < 1.0);
    let pair = run(MixMode::Pair, 6);
    assert_eq!(pair[..3], [pair[5], pair[4], pair[3]]);
    assert_ne!(pair[0], pair[1]);
    let element = run(MixMode::Element, 6);
    assert_ne!(element[0], element[5]);
    assert_eq!(run(MixMode::Pair, 5)[2], 1.0);
    assert!(!Mix::new(0.0, 0.0).is_active());
}

#[test]
fn erasing_puts_noise_where_timm_puts_it() {
    let golden = Golden::open("augment/erase.safetensors");
    for case in 0..3 {
        let floats = |name: &str| golden.floats(&format!("{case}.{name}"));
        let [top, left, high, wide] = std::array::from_fn(|at| floats("box")[at] as usize);
        let window = Window { rows: top..top + high, columns: left..left + wide };
        let (mut values, noise) = (floats("x"), floats("noise"));
        let mut noise = noise.into_iter();
        paste(&mut values, [32, 40], &window, |_| noise.next().unwrap());
        assert!(noise.next().is_none());
        assert_eq!(values, floats("out"), "{case}");
    }
}

#[test]
fn erasing_changes_one_rectangle_of_the_size_asked_for() {
    let size = [32, 40];
    for (mode, seed) in [(EraseMode::Pixel, 1), (EraseMode::Rand, 2), (EraseMode::Const, 3)] {
        let erasing = RandomErasing::new(1.0, mode);
        for draw in 0..50 {
            let mut values = vec![9.0f32; 3 * 32 * 40];
            erasing.apply(&mut values, size, &mut Rng::new(seed, &[draw]));
            let planes: Vec<&[f32]> = values.chunks_exact(32 * 40).collect();
            let erased: Vec<usize> = (0..32 * 40).filter(|&at| planes[0][at] != 9.0).collect();
            let rows = erased[0] / 40..erased[erased.len() - 1] / 40 + 1;
            let columns = erased[0] % 40..erased[erased.len() - 1] % 40 + 1;
            assert_eq!(erased.len(), rows.len() * columns.len(), "one rectangle");
            let share = erased.len() as f64 / (32.0 * 40.0);
            assert!((0.01..0.36).contains(&share), "{share}");
            let inside: Vec<f32> = erased.iter().map(|&at| planes[1][at]).collect();
            match mode {
                EraseMode::Const => assert!(inside.iter().all(|&value| value == 0.0)),
                EraseMode::Rand => assert!(inside.iter().all(|&value| value == inside[0]) && inside[0] != 0.0),
                EraseMode::Pixel => assert!(inside.windows(2).all(|pair| pair[0] != pair[1])),
            }
        }
    }
    let share = (0..1000).filter(|&draw| {
        let mut values = vec![9.0f32; 3 * 32 * 40];
        RandomErasing::new(0.25, EraseMode::Const).apply(&mut values, size, &mut Rng::new(8, &[draw]));
        values.contains(&0.0)
    });
    // 250 expected, four standard deviations are 55.
    assert!((195..305).contains(&share.count()));
}

#[test]
fn a_key_decides_the_whole_result() {
    let golden = Golden::open("augment/crop.safetensors");
    let input = golden.image("input");
    let transform = TrainTransform {
        policy: Some("rand-m9-mstd0.5-inc1".parse().unwrap()),
        erasing: Some(RandomErasing::new(0.25, EraseMode::Pixel)),
        ..TrainTransform::new([24, 32])
    };
    let run = |key: u64| {
        let mut values = vec![0.0; transform.len()];
        transform.apply(&input, &mut Rng::new(0, &[key]), &mut values).unwrap();
        values
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!(transform.apply(&input, &mut Rng::new(0, &[]), &mut [0.0; 5]).is_err());
}

#[test]
fn jitter_of_nothing_changes_nothing() {
    let golden = Golden::open("augment/crop.safetensors");
    let input = golden.image("input");
    assert_eq!(changed(&input, |image| ColorJitter::default().apply(image, &mut Rng::new(0, &[]))), input);
    let jitter = ColorJitter { hue: 0.1, ..ColorJitter::new(0.4) };
    let jittered = changed(&input, |image| jitter.apply(image, &mut Rng::new(0, &[])));
    assert!((1..200).contains(&difference(&jittered, &input)));
}
