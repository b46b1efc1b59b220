//! Any bytes are an image or an error, with both ways to treat its orientation and at every scale, and every image can be
//! prepared, with the same values whether or not it is kept in memory.
//! Input that begins with a zero byte, as no image does, is EXIF or XMP data of a small WebP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swiftformer::image::{DecodeLimits, FileOptions, Orientation, Preset, Scale, decode, decode_scaled};

const SMALL_WEBP: &[u8] = include_bytes!("../../testdata/images_more/lossy.webp");

fuzz_target!(|data: &[u8]| {
    match data {
        [0, kind, block @ ..] => {
            let name = if kind % 2 == 0 { b"EXIF" } else { b"XMP " };
            check(&[SMALL_WEBP, name, &(block.len() as u32).to_le_bytes(), block].concat(), true);
        }
        _ => check(data, false),
    }
});

fn check(bytes: &[u8], is_image: bool) {
    // Small, so that many files are tried.
    let limits = DecodeLimits { max_pixels: 1 << 13, max_memory: 16 << 20, ..DecodeLimits::default() };
    let stored = decode(bytes, Orientation::Ignore, &limits);
    let upright = decode(bytes, Orientation::Apply, &limits);
    let (stored, upright) = match (stored, upright) {
        (Ok(stored), Ok(upright)) => (stored, upright),
        (stored, upright) => {
            assert!(!is_image && stored.is_err() && upright.is_err());
            return;
        }
    };
    let sides = |width: usize, height: usize| (width.min(height), width.max(height));
    assert_eq!(sides(stored.width(), stored.height()), sides(upright.width(), upright.height()));
    for scale in [Scale::Half, Scale::Quarter, Scale::Eighth] {
        let scaled = decode_scaled(bytes, Orientation::Ignore, &limits, scale).expect("what decodes in full does so scaled");
        let is_full = (scaled.width(), scaled.height()) == (stored.width(), stored.height());
        let divided = |side: usize| side.div_ceil(scale.divisor());
        assert!(is_full || (scaled.width(), scaled.height()) == (divided(stored.width()), divided(stored.height())));
    }
    for preset in [Preset::Hf, Preset::Timm] {
        let preprocessor = preset.preprocessor(32, 40);
        let image = if preprocessor.orientation == Orientation::Apply { &upright } else { &stored };
        let streamed = preprocessor.apply_to_file(bytes, &FileOptions { limits, ..FileOptions::default() });
        assert_eq!(streamed.expect("every image can be prepared"), preprocessor.apply(image).expect("so can this"));
        let prepared = preprocessor.apply(&upright).expect("every image can be prepared");
        assert_eq!(prepared.shape(), [3, 32, 40]);
        assert!(prepared.data().iter().all(|value| value.is_finite()));
    }
}
