use serde_json::{Value, json};
use swiftformer::image::{CenterCrop, CropRule, Filter, Orientation, Preprocessor, PreprocessorError, Preset, Resize};

/// The configuration of the released checkpoints.
fn released() -> Value {
    json!({
        "do_normalize": true, "do_rescale": true, "do_resize": true,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
        "image_processor_type": "ViTImageProcessor", "resample": 2, "rescale_factor": 0.00392156862745098,
        "size": {"height": 224, "width": 224}
    })
}

fn hf(config: Value) -> Result<Preprocessor, PreprocessorError> {
    Preprocessor::from_preprocessor_config(&config)
}

fn timm(config: Value) -> Result<Preprocessor, PreprocessorError> {
    Preprocessor::from_pretrained_cfg(&config)
}

/// `released()` with one field changed.
fn with(field: &str, value: Value) -> Value {
    let mut config = released();
    config[field] = value;
    config
}

#[test]
fn the_released_configuration_is_the_hf_preset() {
    let mut preprocessor = hf(released()).unwrap();
    assert_eq!(preprocessor.other.keys().collect::<Vec<_>>(), ["image_processor_type"]);
    preprocessor.other.clear();
    assert_eq!(preprocessor, Preset::Hf.preprocessor(224, 224));
}

#[test]
fn the_released_pretrained_cfg_is_the_timm_preset() {
    let config = json!({
        "tag": "dist_in1k", "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95,
        "crop_mode": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        "test_input_size": [3, 288, 288], "test_crop_pct": 1.0, "pool_size": null
    });
    let mut preprocessor = timm(config.clone()).unwrap();
    let written = preprocessor.to_pretrained_cfg_fields().unwrap();
    assert_eq!(Value::Object(written), config);
    preprocessor.other.clear();
    assert_eq!(preprocessor, Preset::Timm.preprocessor(224, 224));
}

#[test]
fn sizes_have_all_their_forms() {
    let resize = |config| hf(config).unwrap().resize.unwrap();
    assert_eq!(resize(with("size", json!(192))), Resize::Squash { height: 192, width: 192 });
    assert_eq!(resize(with("size", json!({"width": 5, "height": 7}))), Resize::Squash { height: 7, width: 5 });
    assert_eq!(resize(with("size", json!({"shortest_edge": 256}))), Resize::ShortestEdge { size: 256 });
    let clip = json!({"image_processor_type": "CLIPImageProcessorFast", "size": 192, "crop_size": 180});
    let clip = hf(clip).unwrap();
    assert_eq!(clip.resize, Some(Resize::ShortestEdge { size: 192 }));
    assert_eq!(clip.filter, Filter::Bicubic);
    let crop = CenterCrop { height: 180, width: 180, rule: CropRule::Transformers, fill: [0; 3] };
    assert_eq!(clip.crop, Some(crop));
}

#[test]
fn switched_off_steps_are_left_out_and_their_fields_kept() {
    for (flag, field) in [("do_resize", "size"), ("do_rescale", "rescale_factor"), ("do_normalize", "image_mean")] {
        let preprocessor = hf(with(flag, json!(false))).unwrap();
        assert!(preprocessor.other.contains_key(field), "{flag}");
        let steps = [preprocessor.resize.is_some(), preprocessor.rescale.is_some(), preprocessor.normalize.is_some()];
        assert_eq!(steps.into_iter().filter(|&step| step).count(), 2, "{flag}");
        let written = preprocessor.to_preprocessor_config().unwrap();
        assert_eq!(written[flag], json!(false));
        assert_eq!(written[field], released()[field]);
        assert_eq!(hf(written).unwrap(), preprocessor);
    }
}

#[test]
fn configurations_survive_reading_and_writing() {
    let mut extended = with("my_field", json!([1, {"a": null}]));
    extended["do_center_crop"] = json!(true);
    extended["crop_size"] = json!({"height": 200, "width": 180});
    for config in [released(), extended, json!({}), with("size", json!({"shortest_edge": 256}))] {
        let preprocessor = hf(config.clone()).unwrap();
        let written = preprocessor.to_preprocessor_config().unwrap();
        for (field, value) in config.as_object().unwrap() {
            assert_eq!(written[field], *value, "{field}");
        }
        let again = hf(written).unwrap();
        assert_eq!(
            (again.resize, again.crop, again.normalize),
            (preprocessor.resize, preprocessor.crop, preprocessor.normalize)
        );
    }
}

#[test]
fn presets_are_written_as_timm_fields_and_back() {
    for (preset, crop_pct, mode) in [
        (Preset::Hf, 1.0, "squash"),
        (Preset::Timm, 0.95, "center"),
        (Preset::Original, 0.875, "center"),
        (Preset::Original09, 0.9, "center"),
    ] {
        for (height, width) in [(224, 224), (160, 192)] {
            let preprocessor = preset.preprocessor(height, width);
            let fields = preprocessor.to_pretrained_cfg_fields().unwrap();
            assert_eq!(fields["crop_mode"], mode, "{preset}");
            if height == width {
                assert_eq!(fields["crop_pct"], crop_pct, "{preset}");
            }
            let again = timm(Value::Object(fields)).unwrap();
            assert_eq!((again.resize, again.filter), (preprocessor.resize, preprocessor.filter), "{preset}");
        }
    }
}

#[test]
fn a_crop_by_the_shortest_edge_is_written_for_clips_processor() {
    let written = Preset::Timm.preprocessor(224, 224).to_preprocessor_config().unwrap();
    assert_eq!(written["image_processor_type"], "CLIPImageProcessor");
    assert_eq!(written["size"], json!({"shortest_edge": 235}));
    assert_eq!(written["crop_size"], json!({"height": 224, "width": 224}));
    assert_eq!(written["resample"], 3);
}

#[test]
fn what_a_format_cannot_say_is_an_error() {
    let border = timm(json!({"crop_mode": "border"})).unwrap();
    assert!(border.to_preprocessor_config().unwrap_err().to_string().contains("Fit"));
    let unscaled = Preprocessor { rescale: None, ..Preset::Timm.preprocessor(224, 224) };
    assert!(unscaled.to_pretrained_cfg_fields().unwrap_err().to_string().contains("rescale"));
    let uncropped = Preprocessor { crop: None, ..Preset::Timm.preprocessor(224, 224) };
    assert!(uncropped.to_pretrained_cfg_fields().unwrap_err().to_string().contains("crop"));
}

#[test]
fn wrong_values_are_named_with_their_field_and_rule() {
    for (field, value) in [
        ("size", json!(0)),
        ("size", json!(-3)),
        ("size", json!("224")),
        ("size", json!({"height": 224})),
        ("size", json!({"height": 224, "width": 1e9 as u64})),
        ("size", json!({"longest_edge": 224})),
        ("size", json!([224, 224])),
        ("resample", json!(6)),
        ("resample", json!("bicubic")),
        ("rescale_factor", json!(0)),
        ("rescale_factor", json!("1/255")),
        ("image_mean", json!([0.5, 0.5])),
        ("image_mean", json!(["a", 0.5, 0.5])),
        ("image_std", json!([0.2, 0.0, 0.2])),
        ("do_resize", json!(1)),
        ("do_pad", json!(true)),
        ("do_flip_channel_order", json!(true)),
        ("image_processor_type", json!("ConvNextImageProcessor")),
        ("image_processor_type", json!(3)),
    ] {
        let error = hf(with(field, value.clone())).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}` is {value}")), "{error}");
    }
    for (field, value) in [
        ("input_size", json!([224, 224])),
        ("input_size", json!([4, 224, 224])),
        ("input_size", json!([3, 0, 224])),
        ("interpolation", json!("cubic")),
        ("interpolation", json!(3)),
        ("crop_pct", json!(-0.5)),
        ("crop_pct", json!("0.9")),
        ("crop_mode", json!("left")),
        ("std", json!([0.0])),
        ("mean", json!({})),
    ] {
        let error = timm(json!({ field: value })).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}` is {value}")), "{error}");
    }
    assert!(hf(json!([])).unwrap_err().to_string().contains("JSON object"));
    assert!(timm(json!(null)).unwrap_err().to_string().contains("null"));
}

#[test]
fn absent_timm_fields_have_timms_defaults() {
    let preprocessor = timm(json!({"interpolation": "random", "crop_pct": null})).unwrap();
    assert_eq!(preprocessor.filter, Filter::Bicubic);
    assert_eq!(preprocessor.resize, Some(Resize::ShortestEdge { size: 256 }));
    assert_eq!(preprocessor.orientation, Orientation::Ignore);
    let gray = timm(json!({"input_size": [1, 32, 32], "mean": [0.5], "std": [0.25]})).unwrap();
    assert_eq!((gray.channels, gray.normalize.unwrap().mean), (1, vec![0.5]));
}

#[test]
fn one_line_describes_every_step() {
    let line = hf(released()).unwrap().to_string();
    assert_eq!(
        line,
        "EXIF orientation, squash to 224x224 (bilinear), x 1/255, mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    );
}
