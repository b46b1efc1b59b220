//! `swiftformer info`.

use crate::support::swiftformer;

#[test]
fn json_has_the_facts_of_every_layout() {
    let cases = [
        ("hf_tiny", "hf", "sum".into()),
        ("hf_tiny/pytorch_model.bin", "hf", "sum".into()),
        ("timm_tiny", "timm", "l2".into()),
        ("original_tiny/checkpoint.pth", "original", serde_json::Value::Null),
        ("tf_tiny", "tf", "sum".into()),
    ];
    for (model, layout, dialect) in cases {
        let info = swiftformer(&["info", model, "--format", "json"]).exits(0).json();
        assert_eq!((&info["layout"], &info["dialect"]), (&layout.into(), &dialect), "{model}");
        assert_eq!(info["parameters"], 132_948, "{model}");
        assert_eq!(info["macs"], 48_697_552, "{model}");
        assert!(info["dialect_source"].as_str().is_some_and(|source| !source.is_empty()));
        assert_eq!(info["config"]["embed_dims"], serde_json::json!([16, 24, 32, 48]));
        assert_eq!(info["stages"].as_array().unwrap().len(), 4);
    }
}

#[test]
fn published_variants_have_their_published_numbers() {
    // MACs as PyTorch's operation counter counts them in transformers' models.
    for (model, parameters, macs) in [("random:xs", 3_475_360u64, 602_434_988u64), ("random:s", 6_092_128, 984_604_768)]
    {
        let info = swiftformer(&["info", model, "--format", "json"]).exits(0).json();
        assert_eq!((&info["parameters"], &info["macs"]), (&parameters.into(), &macs.into()), "{model}");
    }
}

#[test]
fn text_says_which_dialect_and_why() {
    let run = swiftformer(&["info", "timm_tiny"]).exits(0);
    assert!(run.stdout.contains("l2 (timm releases use l2)"), "{}", run.stdout);
    let run = swiftformer(&["info", "original_tiny/checkpoint.pth", "--dialect", "l2"]).exits(0);
    assert!(run.stdout.contains("l2 (told by option)"), "{}", run.stdout);
    let run = swiftformer(&["info", "original_tiny/checkpoint.pth"]).exits(0);
    assert!(run.stdout.contains("unknown") && run.stdout.contains("--dialect sum"), "{}", run.stdout);
}

#[test]
fn the_demo_is_what_no_model_means() {
    let info = swiftformer(&["info", "--format", "json"]).exits(0).json();
    assert_eq!((&info["demo"], &info["labels"]), (&true.into(), &12.into()));
    assert_eq!(swiftformer(&["info"]).exits(0).stdout, swiftformer(&["info", "demo"]).exits(0).stdout);
}
