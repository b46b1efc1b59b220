use serde_json::json;
use swiftformer::image::{
    CenterCrop, CropRule, DecodeLimits, Filter, ImageError, Orientation, Preprocessor, Preset, Resize, RgbImage, decode,
};

use crate::{Golden, difference, read};

/// The pipelines of the golden data.
fn pipeline(name: &str) -> Preprocessor {
    match name {
        "hf_bilinear" => Preset::Hf.preprocessor(224, 224),
        "hf_bicubic" => Preprocessor { filter: Filter::Bicubic, ..Preset::Hf.preprocessor(224, 224) },
        "timm_095" => Preset::Timm.preprocessor(224, 224),
        "timm_090" => Preset::Original09.preprocessor(224, 224),
        "original" => Preset::Original.preprocessor(224, 224),
        other => panic!("{other}"),
    }
}

#[test]
fn every_pipeline_gives_the_references_bytes() {
    let decoded = Golden::open("images/decoded.safetensors");
    let golden = Golden::open("images/preprocessed.safetensors");
    let names = golden.names("", ".u8");
    assert_eq!(names.len(), 30);
    for name in names {
        let (file, protocol) = name.rsplit_once('.').unwrap();
        // One photograph is stored as a file only: there the decoders differ, by 3 levels of 255 at most.
        let (input, allowed) = match file {
            "flower.jpg" => {
                let limits = DecodeLimits::default();
                (decode(&read("images/flower.jpg"), Orientation::Ignore, &limits).unwrap(), 2)
            }
            file => (decoded.rgb(&format!("{file}.rgb")), 0),
        };
        let image = pipeline(protocol).apply_bytes(&input).unwrap();
        let (most, _) = difference(image.data(), golden.rgb(&format!("{name}.u8")).data());
        assert!(most <= allowed, "{name}: {most}");
    }
}

/// Rounding of float32 at the largest pixel values (2.64) is 2.4e-7; the references themselves differ by 3.65e-7.
const TOLERANCE: f32 = 3.65e-7;

fn assert_close(found: &[f32], expected: &[f32], name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= TOLERANCE, "{name}: {worst:e}");
}

#[test]
fn pixel_values_are_the_references() {
    let decoded = Golden::open("images/decoded.safetensors");
    let golden = Golden::open("images/preprocessed.safetensors");
    for name in ["china.jpg.hf_bilinear", "china.jpg.timm_095"] {
        let (file, protocol) = name.rsplit_once('.').unwrap();
        let image = decoded.rgb(&format!("{file}.rgb"));
        let tensor = pipeline(protocol).apply(&image).unwrap();
        let (shape, expected) = &golden.floats[&format!("{name}.pixel_values")];
        assert_eq!(tensor.shape(), shape);
        assert_close(tensor.data(), expected, name);
    }
}

#[test]
fn nhwc_values_are_the_planar_ones() {
    let image = Golden::open("images/decoded.safetensors").rgb("china.jpg.rgb");
    let preprocessor = Preset::Timm.preprocessor(64, 48);
    let planar = preprocessor.apply(&image).unwrap();
    let mut interleaved = vec![0.0; 3 * 64 * 48];
    preprocessor.apply_into_nhwc(&image, &mut interleaved).unwrap();
    for (pixel, values) in interleaved.chunks(3).enumerate() {
        for (channel, &value) in values.iter().enumerate() {
            assert_eq!(value, planar.data()[channel * 64 * 48 + pixel]);
        }
    }
    let error = preprocessor.apply_into_nhwc(&image, &mut interleaved[1..]).unwrap_err();
    assert!(matches!(error, ImageError::OutputBuffer { needed: 9216, found: 9215 }), "{error}");
}

/// The configurations that `testdata/images_more/make.py` gave to timm.
fn timm_config(number: usize) -> serde_json::Value {
    let (size, pct, mode, interpolation) = [
        ([32, 32], 0.95, "center", "bicubic"),
        ([32, 32], 1.0, "border", "bilinear"),
        ([32, 32], 0.9, "squash", "lanczos"),
        ([32, 32], 1.3, "center", "bicubic"),
        ([24, 40], 0.875, "center", "bicubic"),
        ([33, 47], 0.8, "border", "box"),
        ([30, 30], 0.77, "center", "hamming"),
    ][number];
    json!({"input_size": [3, size[0], size[1]], "crop_pct": pct, "crop_mode": mode, "interpolation": interpolation})
}

#[test]
fn pretrained_cfg_is_followed_as_timm_does() {
    let golden = Golden::open("images_more/expected.safetensors");
    let names = golden.names("timm.", ".input");
    assert_eq!(names.len(), 28);
    for name in names {
        let number: usize = name.split_once('.').unwrap().0.parse().unwrap();
        let preprocessor = Preprocessor::from_pretrained_cfg(&timm_config(number)).unwrap();
        let input = golden.rgb(&format!("timm.{name}.input"));
        let expected = golden.rgb(&format!("timm.{name}.u8"));
        let image = preprocessor.apply_bytes(&input).unwrap();
        assert_eq!((image.width(), image.height()), (expected.width(), expected.height()), "{name}");
        assert_eq!(difference(image.data(), expected.data()).0, 0, "{name}");
        if let Some((_, values)) = golden.floats.get(&format!("timm.{name}.pixel_values")) {
            assert_close(preprocessor.apply(&input).unwrap().data(), values, &name);
        }
    }
}

#[test]
fn preprocessor_config_is_followed_as_transformers_does() {
    let golden = Golden::open("images_more/expected.safetensors");
    let configs = [
        json!({"size": {"height": 20, "width": 31}, "resample": 3}),
        json!({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 21},
               "crop_size": {"height": 16, "width": 18}}),
        json!({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 13},
               "crop_size": {"height": 16, "width": 18}, "resample": 2}),
    ];
    let names = golden.names("hf.", ".input");
    assert_eq!(names.len(), 9);
    for name in names {
        let number: usize = name.split_once('.').unwrap().0.parse().unwrap();
        let preprocessor = Preprocessor::from_preprocessor_config(&configs[number]).unwrap();
        let tensor = preprocessor.apply(&golden.rgb(&format!("hf.{name}.input"))).unwrap();
        let (shape, expected) = &golden.floats[&format!("hf.{name}.pixel_values")];
        assert_eq!(tensor.shape(), shape, "{name}");
        assert_close(tensor.data(), expected, &name);
    }
}

#[test]
fn luma_is_pillows_mode_l() {
    let golden = Golden::open("images_more/expected.safetensors");
    let gray = golden.rgb("luma.input").to_gray();
    assert_eq!(gray.data(), golden.bytes["luma.L"].1);
}

#[test]
fn a_model_of_one_channel_gets_luma() {
    let image = RgbImage::filled(9, 9, [255, 0, 0]);
    let preprocessor = Preset::Hf.preprocessor(4, 4).with_channels(1).unwrap();
    let tensor = preprocessor.apply(&image).unwrap();
    assert_eq!(tensor.shape(), [1, 4, 4]);
    // Red is 76 in mode L; mean and standard deviation are the averages of ImageNet's.
    let expected = (76.0 / 255.0 - 0.449) / 0.226;
    assert!(tensor.data().iter().all(|value| (value - expected).abs() < 1e-6), "{:?}", tensor.data());
    for channels in [0, 2, 4] {
        let error = Preset::Hf.preprocessor(4, 4).with_channels(channels).unwrap_err();
        assert!(matches!(error, ImageError::Channels { found } if found == channels));
    }
}

#[test]
fn presets_scale_to_the_documented_sizes() {
    let resize = |preset: Preset, side| preset.preprocessor(side, side).resize.unwrap();
    assert_eq!(resize(Preset::Hf, 224), Resize::Squash { height: 224, width: 224 });
    assert_eq!(resize(Preset::Timm, 224), Resize::ShortestEdge { size: 235 });
    assert_eq!(resize(Preset::Original, 224), Resize::ShortestEdge { size: 256 });
    assert_eq!(resize(Preset::Original09, 224), Resize::ShortestEdge { size: 248 });
    for preset in Preset::ALL {
        assert_eq!(preset.name().parse::<Preset>().unwrap(), preset);
    }
    assert!("imagenet".parse::<Preset>().unwrap_err().to_string().contains("original-0.9"));
}

#[test]
fn extreme_aspect_ratios_are_cropped_without_the_whole_enlargement() {
    for (width, height) in [(20000, 1), (1, 20000)] {
        let image = RgbImage::filled(width, height, [50, 100, 150]);
        for preset in Preset::ALL {
            let out = preset.preprocessor(224, 224).apply_bytes(&image).unwrap();
            assert_eq!((out.width(), out.height()), (224, 224));
            assert!(out.data().chunks(3).all(|pixel| pixel == [50, 100, 150]));
        }
    }
}

#[test]
fn an_enormous_result_is_refused() {
    let mut preprocessor = Preset::Timm.preprocessor(224, 224);
    preprocessor.crop = None;
    let error = preprocessor.apply(&RgbImage::filled(20000, 1, [0; 3])).unwrap_err();
    assert!(matches!(error, ImageError::OutputPixels { width: 4_700_000, height: 235, .. }), "{error}");
}

#[test]
fn a_smaller_image_is_padded_with_zeros_in_bytes() {
    let crop = CenterCrop { height: 4, width: 5, rule: CropRule::Torchvision, fill: [0; 3] };
    let preprocessor = Preprocessor { resize: None, crop: Some(crop), ..Preset::Timm.preprocessor(224, 224) };
    let out = preprocessor.apply_bytes(&RgbImage::filled(2, 2, [9; 3])).unwrap();
    let red: Vec<u8> = out.data().iter().step_by(3).copied().collect();
    assert_eq!(red, [0, 0, 0, 0, 0, 0, 9, 9, 0, 0, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0]);
}
