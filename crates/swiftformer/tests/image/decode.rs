use swiftformer::image::{DecodeLimits, ImageError, ImageFormat, Orientation, decode, open, sniff};

use crate::{Golden, difference, read, testdata};

/// JPEGs that are not sequential or not of one or three components, against libjpeg-turbo: the largest and the mean
/// difference measured, in levels of 255. All others are exact.
const JPEG: [(&str, u8, f64); 6] = [
    ("images/cmyk.jpg", 1, 0.02),
    ("images/jpeg_420_progressive.jpg", 3, 0.4),
    ("images_more/cmyk_progressive.jpg", 1, 0.02),
    ("images_more/gray_progressive.jpg", 1, 0.02),
    ("images_more/ycck.jpg", 3, 0.1),
    ("images_more/jpeg_444.tiff", 1, 0.02),
];

/// Differences allowed for a file.
fn allowed(path: &str) -> (u8, f64) {
    JPEG.iter().find(|(name, ..)| *name == path).map_or((0, 0.0), |&(_, most, mean)| (most, mean))
}

fn check(folder: &str, golden: &str, suffix: &str, orientation: Orientation) -> usize {
    let golden = Golden::open(golden);
    let files = golden.names("", suffix);
    let files: Vec<_> = files.into_iter().filter(|file| testdata(&format!("{folder}/{file}")).exists()).collect();
    let mut wrong = Vec::new();
    for file in &files {
        let path = format!("{folder}/{file}");
        let expected = golden.rgb(&format!("{file}{suffix}"));
        let image = match decode(&read(&path), orientation, &DecodeLimits::default()) {
            Ok(image) => image,
            Err(error) => {
                wrong.push(format!("{path}: {error}"));
                continue;
            }
        };
        if (image.width(), image.height()) != (expected.width(), expected.height()) {
            wrong.push(format!("{path}: {}x{}", image.width(), image.height()));
            continue;
        }
        let (most, mean) = difference(image.data(), expected.data());
        let (most_allowed, mean_allowed) = allowed(&path);
        if most > most_allowed || mean > mean_allowed {
            wrong.push(format!("{path}: differs by up to {most}, {mean:.4} on average"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    files.len()
}

#[test]
fn files_decode_to_pillows_pixels() {
    assert_eq!(check("images", "images/decoded.safetensors", ".rgb", Orientation::Ignore), 29);
}

#[test]
fn every_kind_of_every_format_decodes_to_pillows_pixels() {
    assert_eq!(check("images_more", "images_more/expected.safetensors", ".rgb", Orientation::Ignore), 68);
}

#[test]
fn the_eight_orientations_are_applied_as_exif_transpose_does() {
    let count = check("images", "images/decoded.safetensors", ".rgb_exif_transposed", Orientation::Apply);
    assert_eq!(count, 8);
}

#[test]
fn orientations_of_png_webp_and_tiff_are_applied() {
    assert_eq!(check("images_more", "images_more/expected.safetensors", ".turned", Orientation::Apply), 68);
    let image = decode(&read("images_more/xmp_8.png"), Orientation::Apply, &DecodeLimits::default()).unwrap();
    assert_eq!((image.width(), image.height()), (4, 9));
    // Pillow turns TIFF files whoever opens them.
    let image = decode(&read("images_more/exif_5.tiff"), Orientation::Ignore, &DecodeLimits::default()).unwrap();
    assert_eq!((image.width(), image.height()), (23, 37));
}

#[test]
fn formats_are_told_by_content() {
    for (file, format) in [
        ("images/china.jpg", ImageFormat::Jpeg),
        ("images/rgba.png", ImageFormat::Png),
        ("images/lossless.webp", ImageFormat::WebP),
        ("images/animated.gif", ImageFormat::Gif),
        ("images/small.bmp", ImageFormat::Bmp),
        ("images_more/gray.tiff", ImageFormat::Tiff),
    ] {
        assert_eq!(sniff(&read(file)).unwrap(), format, "{file}");
    }
}

#[test]
fn other_content_is_named_for_what_it_looks_like() {
    for (bytes, words) in [
        (&b""[..], "empty"),
        (b"<!DOCTYPE html><html><body>404</body>", "HTML"),
        (b"\n <html lang=en>", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"{\"error\": \"not found\"}", "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIF"),
        (b"PK\x03\x04\0\0", "ZIP"),
        (b"hello", "text"),
        (&[0; 64], "zero"),
        (b"\x01\x02\xfe\xff\x00\x11", "6 bytes that begin with 01 02 fe ff"),
    ] {
        let error = decode(bytes, Orientation::Apply, &DecodeLimits::default()).unwrap_err();
        assert!(matches!(&error, ImageError::Unknown { looks_like } if looks_like.contains(words)), "{error}");
    }
}

#[test]
fn errors_of_files_name_the_file() {
    let limits = DecodeLimits::default();
    let missing = open(testdata("images/absent.png"), Orientation::Apply, &limits).unwrap_err().to_string();
    assert!(missing.contains("absent.png"), "{missing}");
    let wrong = open(testdata("images/info.json"), Orientation::Apply, &limits).unwrap_err();
    assert!(wrong.to_string().contains("info.json"), "{wrong}");
    let source = std::error::Error::source(&wrong).unwrap().to_string();
    assert!(source.contains("JSON") && !wrong.to_string().contains(&source), "{source}");
    let image = open(testdata("images/one_pixel.png"), Orientation::Apply, &limits).unwrap();
    assert_eq!((image.width(), image.height()), (1, 1));
}
