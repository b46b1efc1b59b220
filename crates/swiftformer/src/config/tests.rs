use super::{Activation, ConfigError, Dialect, Reading, SwiftFormerConfig, Variant};

fn hf(text: &str) -> Result<SwiftFormerConfig, ConfigError> {
    SwiftFormerConfig::from_json(text)
}

#[test]
fn old_spellings_are_understood() {
    let config = hf(r#"{"model_type": "swiftformer", "layers": [1, 2, 3, 4], "act_layer": "swish"}"#).unwrap();
    assert_eq!(config.depths, [1, 2, 3, 4]);
    assert_eq!(config.hidden_act, Activation::Silu);
}

#[test]
fn unknown_fields_survive_a_round_trip() {
    let config = hf(r#"{"model_type": "swiftformer", "dtype": "float32", "mine": {"a": [1, null]}}"#).unwrap();
    let again = hf(&config.to_hf_json().unwrap()).unwrap();
    assert_eq!(again.extra["mine"], config.extra["mine"]);
    assert_eq!(again.extra["dtype"], "float32");
    assert_eq!(again.depths, config.depths);
    assert_eq!(again.num_labels, 2, "transformers' default when a file names no labels");
}

#[test]
fn label_names_decide_the_number_of_labels() {
    let config = hf(r#"{"id2label": {"1": "dog", "0": "cat", "2": "eel"}}"#).unwrap();
    assert_eq!((config.num_labels, config.label(1).as_str()), (3, "dog"));
    let again = hf(&config.to_hf_json().unwrap()).unwrap();
    assert_eq!(again.id2label, config.id2label);
}

#[test]
fn a_broken_rule_names_the_field_the_value_and_the_rule() {
    for (text, parts) in [
        (r#"{"embed_dims": [48, 0, 112, 220]}"#, ["embed_dims[1]", "is 0", "between 1 and"]),
        (r#"{"depths": [3, 3, 6]}"#, ["embed_dims", "[48, 56, 112, 220]", "3 stages"]),
        (r#"{"depths": [3, 0, 6, 4]}"#, ["depths[1]", "is 0", "between 1"]),
        (r#"{"hidden_act": "gleu"}"#, ["hidden_act", "`gleu`", "gelu_pytorch_tanh"]),
        (r#"{"down_stride": 0}"#, ["down_stride", "is 0", "between 1"]),
        (r#"{"depths": "three"}"#, ["depths", "\"three\"", "a list of whole numbers"]),
        (r#"{"num_channels": -3}"#, ["num_channels", "-3", "a whole number"]),
        (r#"{"mlp_ratio": 1e300}"#, ["mlp_ratio", "1000", "between 0"]),
        (r#"{"mlp_ratio": 0.001}"#, ["mlp_ratio", "0.001", "hidden width"]),
        (r#"{"batch_norm_eps": -1}"#, ["batch_norm_eps", "-1", "between 0"]),
        (r#"{"id2label": {"0": "a", "5": "b"}}"#, ["id2label", "`5`", "0 to 1"]),
        (r#"{"num_labels": 3, "id2label": {"0": "a"}}"#, ["num_labels", "is 3", "1 names"]),
        (r#"{"model_type": "vit"}"#, ["model_type", "vit", "not a SwiftFormer"]),
        (r#"{"architecture": "resnet50"}"#, ["architecture", "resnet50", "not a SwiftFormer"]),
        (r#"{"dialect": "mean"}"#, ["dialect", "`mean`", "sum, l2, softmax or raw"]),
        (r#"{"downsamples": [true]}"#, ["downsamples", "[true]", "at least 3"]),
    ] {
        let message = hf(text).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{text}: `{message}` lacks `{part}`");
        }
    }
}

#[test]
fn transitions_follow_each_librarys_reading() {
    let mut config = Variant::Xs.config();
    config.embed_dims = vec![48, 48, 112, 112];
    config.downsamples = vec![false, false, true, true];
    let at: Vec<bool> = (0..4).map(|stage| config.has_transition_before(stage)).collect();
    assert_eq!(at, [false, false, true, true], "after stage 1 because the widths differ, after stage 2 by its flag");
    let timm = config.with_reading(Reading::Timm).unwrap();
    assert_eq!(timm.downsamples, at);
    let back = timm.with_reading(Reading::HuggingFace).unwrap();
    assert_eq!((0..4).map(|stage| back.has_transition_before(stage)).collect::<Vec<_>>(), at);
}

#[test]
fn what_another_library_cannot_say_is_an_error() {
    let no_scale = SwiftFormerConfig { use_layer_scale: false, ..Variant::Xs.config() };
    assert!(no_scale.with_reading(Reading::Timm).unwrap_err().to_string().contains("use_layer_scale"));
    let silu = SwiftFormerConfig { hidden_act: Activation::Silu, ..Variant::Xs.config() };
    assert!(silu.with_reading(Reading::Timm).unwrap_err().to_string().contains("hidden_act"));
    assert!(silu.with_reading(Reading::Original).is_ok());
    let eps = SwiftFormerConfig { batch_norm_eps: 1e-3, ..Variant::Xs.config() };
    assert!(eps.to_timm_json(serde_json::Map::new()).unwrap_err().to_string().contains("batch_norm_eps"));
}

#[test]
fn timm_configs_round_trip_with_their_unknown_fields() {
    let text = r#"{"architecture": "swiftformer_l1", "num_classes": 7, "license": "mit",
        "model_args": {"drop_rate": 0.1, "act_layer": "relu"}, "pretrained_cfg": {"input_size": [3, 192, 160]}}"#;
    let config = hf(text).unwrap();
    assert_eq!(config.depths, Variant::L1.depths());
    assert_eq!((config.num_labels, config.image_size), (7, [192, 160]));
    assert_eq!(config.conv_act(), Activation::Relu, "timm's activation reaches every block");
    assert_eq!(config.effective_dialect(), Dialect::L2);
    let again: serde_json::Value = serde_json::from_str(&config.to_timm_json(Default::default()).unwrap()).unwrap();
    assert_eq!(again["license"], "mit");
    assert_eq!(again["model_args"]["drop_rate"], 0.1);
    assert_eq!(again["pretrained_cfg"]["input_size"], serde_json::json!([3, 192, 160]));
    assert_eq!(again["architecture"], "swiftformer_l1");
}

#[test]
fn stochastic_depth_follows_each_librarys_rule() {
    let hf = SwiftFormerConfig { drop_path_rate: 0.1, ..Variant::Xs.config() };
    let timm = hf.with_reading(Reading::Timm).unwrap();
    assert_eq!(hf.drop_path(0, 1), 0.0, "a ConvEncoder never drops in transformers");
    assert!((timm.drop_path(0, 1) - 0.1 / 15.0).abs() < 1e-15);
    assert!((hf.drop_path(3, 3) - 0.1).abs() < 1e-15);
}

#[test]
fn values_in_messages_are_short_and_harmless_to_a_terminal() {
    let dims = format!(r#"{{"embed_dims": [{}1]}}"#, "1,".repeat(10_000));
    let activation = format!(r#"{{"hidden_act": "\u001b[2J{}"}}"#, "x".repeat(10_000));
    let model = format!(r#"{{"model_type": "\u001b[2J{}"}}"#, "x".repeat(10_000));
    for text in [dims, activation, model] {
        let message = SwiftFormerConfig::from_json(&text).unwrap_err().to_string();
        assert!(message.chars().count() < 600 && !message.contains('\x1b'), "{message}");
    }
}

#[test]
fn more_stages_than_the_limit_are_refused_with_their_number() {
    let text = format!(r#"{{"depths": [{}1]}}"#, "1,".repeat(5000));
    let message = SwiftFormerConfig::from_json(&text).unwrap_err().to_string();
    assert!(message.contains("1 to 4096 stages, not 5001"), "{message}");
}
