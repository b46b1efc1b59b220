use super::{Arch, TailKind};
use crate::config::{SwiftFormerConfig, Variant};

#[test]
fn parameters_and_macs_are_those_of_the_references() {
    // torch's FlopCounterMode at 224², batch 1, and the sum of the parameters, of transformers and timm alike.
    let expected = [
        (Variant::Xs, 3_475_360, 602_434_988),
        (Variant::S, 6_092_128, 984_604_768),
        (Variant::L1, 12_057_920, 1_595_988_480),
        (Variant::L3, 28_494_736, 4_008_367_872),
    ];
    for (variant, parameters, macs) in expected {
        let arch = Arch::build(&variant.config(), TailKind::Classifier).unwrap();
        assert_eq!(arch.parameters(), parameters, "{variant}");
        assert_eq!(arch.macs([224, 224]).unwrap(), macs, "{variant}");
    }
}

#[test]
fn maps_round_up_for_sizes_that_are_no_multiples_of_32() {
    let arch = Arch::build(&SwiftFormerConfig::default(), TailKind::None).unwrap();
    let sizes: Vec<_> = arch.geometry([75, 107]).unwrap().iter().map(|stage| stage.size).collect();
    assert_eq!(sizes, [[19, 27], [10, 14], [5, 7], [3, 4]]);
}

#[test]
fn an_input_under_32_pixels_is_refused() {
    let arch = Arch::build(&SwiftFormerConfig::default(), TailKind::None).unwrap();
    let error = arch.geometry([31, 200]).unwrap_err();
    assert!(error.to_string().contains("31×200"), "{error}");
}

#[test]
fn maps_that_padding_makes_too_large_are_refused() {
    let config = SwiftFormerConfig {
        depths: vec![1; 400],
        embed_dims: vec![8; 400],
        downsamples: vec![true; 400],
        down_patch_size: [1, 1],
        down_stride: [1, 1],
        down_pad: [255, 255],
        ..SwiftFormerConfig::default()
    };
    let arch = Arch::build(&config, TailKind::None).unwrap();
    let error = arch.macs([64, 64]).unwrap_err();
    assert_eq!(error.to_string(), "an input of 64×64 pixels is too large");
    assert!(Arch::build(&SwiftFormerConfig::default(), TailKind::None).unwrap().macs([1 << 40, 32]).is_err());
}

#[test]
fn a_network_of_more_values_than_the_limit_is_refused() {
    let config = SwiftFormerConfig { num_labels: 2_500_000, ..SwiftFormerConfig::default() };
    let error = Arch::build(&config, TailKind::Classifier).unwrap_err();
    assert!(error.to_string().contains("more than the limit of 1073741824"), "{error}");
    assert!(Arch::build(&config, TailKind::None).is_ok());
}
