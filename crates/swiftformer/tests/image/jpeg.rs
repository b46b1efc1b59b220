//! Sequential JPEGs against Pillow, byte for byte: every sampling, scaled decoding, damage, and rows without an image.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use swiftformer::image::{
    DecodeLimits, FileOptions, Filter, ImageError, Orientation, Preprocessor, Preset, RgbImage, Scale, decode,
    decode_scaled, resize,
};

use crate::{read, testdata};

const SCALES: [Scale; 4] = [Scale::Full, Scale::Half, Scale::Quarter, Scale::Eighth];

type Expected = BTreeMap<String, BTreeMap<usize, (usize, usize, String)>>;

fn expected() -> Expected {
    serde_json::from_slice(&read("jpeg/expected.json")).unwrap()
}

fn scaled(bytes: &[u8], scale: Scale) -> Result<RgbImage, ImageError> {
    decode_scaled(bytes, Orientation::Ignore, &DecodeLimits::default(), scale)
}

#[test]
fn every_sampling_decodes_to_pillows_bytes_at_every_scale() {
    let expected = expected();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (name, scales) in &expected {
        let bytes = read(&format!("jpeg/{name}"));
        for scale in SCALES {
            let Some((width, height, digest)) = scales.get(&scale.divisor()) else { continue };
            count += 1;
            let image = scaled(&bytes, scale).unwrap_or_else(|error| panic!("{name}: {error}"));
            let found: String = Sha256::digest(image.data()).iter().map(|byte| format!("{byte:02x}")).collect();
            if (image.width(), image.height(), &found) != (*width, *height, digest) {
                wrong.push(format!("{name} 1/{}", scale.divisor()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join(", "));
    assert!(expected.len() >= 38 && count >= 125, "{} files, {count} images", expected.len());
}

/// Files of this folder and photographs.
fn files() -> Vec<(String, Vec<u8>)> {
    let names = expected().into_keys().map(|name| format!("jpeg/{name}"));
    let others = ["images/china.jpg", "images/exif_1.jpg", "images/exif_6.jpg", "images/jpeg_420_progressive.jpg"];
    let others = others.into_iter().chain(["images/cmyk.jpg", "images/gray.jpg", "images/rgba.png"]);
    names.chain(others.map(str::to_owned)).map(|name| (name.clone(), read(&name))).collect()
}

fn preprocessors() -> Vec<Preprocessor> {
    let hf = Preset::Hf.preprocessor(32, 40);
    let timm = Preset::Timm.preprocessor(32, 32);
    let luma = timm.clone().with_channels(1).unwrap();
    let stored = Preprocessor { orientation: Orientation::Ignore, ..hf.clone() };
    let nearest = Preprocessor { filter: Filter::Nearest, ..hf.clone() };
    let whole = Preprocessor { resize: None, ..timm.clone() };
    vec![hf, timm, luma, stored, nearest, whole]
}

#[test]
fn pixel_values_of_files_are_those_of_their_images() {
    for (name, bytes) in files() {
        for preprocessor in preprocessors() {
            let options = FileOptions::default();
            let image = decode(&bytes, preprocessor.orientation, &options.limits).unwrap();
            let found = preprocessor.apply_to_file(&bytes, &options).unwrap();
            assert_eq!(found, preprocessor.apply(&image).unwrap(), "{name}: {preprocessor}");
            let (values, [height, width]) = preprocessor.apply_to_file_nhwc(&bytes, &options).unwrap();
            let mut expected = vec![0.0; height * width * preprocessor.channels];
            preprocessor.apply_into_nhwc(&image, &mut expected).unwrap();
            assert_eq!(values, expected, "{name}: {preprocessor}");
        }
    }
}

#[test]
fn scaled_decoding_of_files_is_draft_and_the_same_preprocessing() {
    let options = FileOptions { scaled_decoding: true, ..FileOptions::default() };
    let preprocessor = Preset::Hf.preprocessor(64, 48);
    let limits = DecodeLimits::default();
    // 640x427 pixels for 48x64: a quarter, 13 times being too few for an eighth of the height.
    let bytes = read("images/china.jpg");
    let quarter = scaled(&bytes, Scale::Quarter).unwrap();
    assert_eq!((quarter.width(), quarter.height()), (160, 107));
    let found = preprocessor.apply_to_file(&bytes, &options).unwrap();
    assert_eq!(found, preprocessor.apply(&quarter).unwrap());
    let full = preprocessor.apply(&decode(&bytes, Orientation::Apply, &limits).unwrap()).unwrap();
    assert_ne!(found, full);
    // It is the same picture all the same.
    let differences = found.data().iter().zip(full.data()).map(|(a, b)| f64::from((a - b).abs()));
    let mean = differences.sum::<f64>() / full.data().len() as f64;
    assert!(mean < 0.05, "{mean} standard deviations on average");
    // Formats and kinds of JPEG that are decoded in full give what they always give.
    for name in ["images/jpeg_420_progressive.jpg", "images/rgba.png", "images/cmyk.jpg"] {
        let tiny = Preset::Hf.preprocessor(4, 4);
        let bytes = read(name);
        let image = decode(&bytes, Orientation::Apply, &limits).unwrap();
        assert_eq!(tiny.apply_to_file(&bytes, &options).unwrap(), tiny.apply(&image).unwrap(), "{name}");
    }
}

#[test]
fn turned_photographs_are_scaled_by_their_upright_sides() {
    let options = FileOptions { scaled_decoding: true, ..FileOptions::default() };
    for tag in 1..=8 {
        let bytes = read(&format!("images/exif_{tag}.jpg"));
        let image = decode(&bytes, Orientation::Apply, &DecodeLimits::default()).unwrap();
        // Half as wide, and as high: nothing can be left out.
        let preprocessor = Preprocessor {
            resize: Some(swiftformer::image::Resize::Squash { height: image.height(), width: image.width() / 2 }),
            crop: None,
            ..Preset::Hf.preprocessor(8, 8)
        };
        let found = preprocessor.apply_to_file(&bytes, &options).unwrap();
        assert_eq!(found, preprocessor.apply(&image).unwrap(), "orientation {tag}");
    }
}

#[test]
fn a_resize_needs_no_more_than_the_decoded_rows() {
    // The crop ends long before the image does.
    let bytes = read("jpeg/422_tall.jpg");
    let preprocessor = Preset::Timm.preprocessor(16, 16);
    let image = decode(&bytes, Orientation::Ignore, &DecodeLimits::default()).unwrap();
    let found = preprocessor.apply_to_file(&bytes, &FileOptions::default()).unwrap();
    assert_eq!(found, preprocessor.apply(&image).unwrap());
    assert_eq!(resize(&image, 13, 131, Filter::Bilinear).unwrap(), image);
}

#[test]
fn files_cut_anywhere_are_errors() {
    for name in ["420_17x9.jpg", "restarts.jpg", "gray.jpg"] {
        let bytes = read(&format!("jpeg/{name}"));
        for length in 0..bytes.len() {
            assert!(scaled(&bytes[..length], Scale::Full).is_err(), "{name} cut after {length} bytes");
        }
    }
}

#[test]
fn changed_bytes_give_the_same_twice_and_never_break_the_decoder() {
    let limits = DecodeLimits { max_pixels: 1 << 16, max_memory: 16 << 20, ..DecodeLimits::default() };
    let mut decoded = 0;
    for name in ["420_17x9.jpg", "422_5x40.jpg", "411_17x9.jpg", "440_35x27.jpg", "restarts.jpg", "optimised.jpg"] {
        let bytes = read(&format!("jpeg/{name}"));
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                let run = |scale| decode_scaled(&changed, Orientation::Ignore, &limits, scale);
                let scale = SCALES[at % 4];
                match (run(scale), run(scale)) {
                    (Ok(first), Ok(second)) => {
                        assert_eq!(first, second, "{name}, byte {at}");
                        decoded += 1;
                    }
                    (Err(first), Err(second)) => assert_eq!(first.to_string(), second.to_string(), "{name}, byte {at}"),
                    _ => panic!("{name}, byte {at}: an image once and an error once"),
                }
            }
        }
    }
    assert!(decoded > 3000, "{decoded}");
}

#[test]
fn every_file_of_the_folder_has_its_checksums() {
    let images = std::fs::read_dir(testdata("jpeg")).unwrap();
    let files = images.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "jpg"));
    assert_eq!(files.count(), expected().len());
}
