//! Any text is a config or an error; a config's network survives being written and read in both libraries' terms, and so
//! does a preprocessing config.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use swiftformer::arch::{Arch, TailKind};
use swiftformer::config::SwiftFormerConfig;
use swiftformer::image::{Preprocessor, RgbImage};

fuzz_target!(|text: &str| {
    if let Ok(config) = SwiftFormerConfig::from_json(text) {
        network(&config);
    }
    if let Ok(value) = serde_json::from_str(text) {
        preprocessing(&value);
    }
});

fn network(config: &SwiftFormerConfig) {
    for tail in [TailKind::None, TailKind::Classifier, TailKind::Features] {
        let Ok(arch) = Arch::build(config, tail) else { continue };
        let _ = (arch.parameters(), arch.macs(config.image_size), arch.macs([32, 1 << 40]));
    }
    // Every label gets a name in a written config; a million of them are the caller's wish.
    if config.num_labels > 10_000 {
        return;
    }
    let Ok(arch) = Arch::build(config, TailKind::Classifier) else { return };
    for written in [config.to_hf_json(), config.to_timm_json(Map::new())] {
        let Ok(text) = written else { continue };
        let again = SwiftFormerConfig::from_json(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let built = Arch::build(&again, TailKind::Classifier).expect("a written config can be built");
        assert!((&built.stem, &built.stages, &built.tail) == (&arch.stem, &arch.stages, &arch.tail), "{text}");
        assert_eq!(again.batch_norm_eps, config.batch_norm_eps);
        assert!((0..config.num_labels).all(|index| again.label(index) == config.label(index)));
    }
}

fn preprocessing(value: &Value) {
    let image = RgbImage::filled(3, 5, [1, 2, 3]);
    let small = |preprocessor: &Preprocessor| {
        if preprocessor.output_size(3, 5).is_ok_and(|[height, width]| height * width <= 1 << 16) {
            let _ = preprocessor.apply(&image);
        }
    };
    if let Ok(preprocessor) = Preprocessor::from_preprocessor_config(value) {
        small(&preprocessor);
        let written = preprocessor.to_preprocessor_config().expect("what was read can be written");
        let again = Preprocessor::from_preprocessor_config(&written).expect("what was written can be read");
        assert_eq!(Preprocessor { other: Map::new(), ..again }, Preprocessor { other: Map::new(), ..preprocessor });
    }
    if let Ok(preprocessor) = Preprocessor::from_pretrained_cfg(value) {
        small(&preprocessor);
        // Sizes that no crop_pct gives are errors.
        if let Ok(written) = preprocessor.to_pretrained_cfg_fields() {
            let again = Preprocessor::from_pretrained_cfg(&written.into()).expect("what was written can be read");
            assert_eq!(again.resize, preprocessor.resize);
            assert_eq!(again.crop, preprocessor.crop);
            assert_eq!(again.normalize, preprocessor.normalize);
        }
    }
}
