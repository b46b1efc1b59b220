use std::time::{Duration, Instant};

use swiftformer::image::{DecodeLimits, ImageError, Orientation, RgbImage, decode};

use crate::{read, testdata};

fn run(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    decode(bytes, Orientation::Apply, &DecodeLimits::default())
}

/// Every image of the test data that is small enough to be decoded thousands of times.
fn small_files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in ["images", "images_more"] {
        for entry in std::fs::read_dir(testdata(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let kinds = [".jpg", ".png", ".gif", ".webp", ".bmp", ".tiff"];
            let bytes = read(&format!("{folder}/{name}"));
            if kinds.iter().any(|kind| name.ends_with(kind)) && bytes.len() < 8192 {
                files.push((name, bytes));
            }
        }
    }
    files.sort();
    assert!(files.len() > 80, "{}", files.len());
    files
}

#[test]
fn truncated_files_are_errors_or_images() {
    for (_, bytes) in small_files() {
        let step = 1 + bytes.len() / 150;
        for length in (0..bytes.len()).step_by(step) {
            let _ = run(&bytes[..length]);
        }
    }
}

#[test]
fn truncated_photographs_are_errors() {
    for name in ["images/china.jpg", "images/jpeg_420_progressive.jpg", "images_more/restarts.jpg"] {
        let bytes = read(name);
        for cut in [1, 2, 3, 10, bytes.len() / 10, bytes.len() / 2, bytes.len() * 9 / 10] {
            let error = run(&bytes[..bytes.len() - cut]).unwrap_err();
            assert!(matches!(error, ImageError::Truncated { .. }), "{name} without {cut} bytes: {error}");
        }
    }
}

#[test]
fn half_a_file_of_any_other_format_is_an_error() {
    for name in [
        "images/rgba.png",
        "images/lossless.webp",
        "images_more/lossy.webp",
        "images_more/palette.gif",
        "images/small.bmp",
        "images_more/rgb_raw.tiff",
        "images_more/rgb_lzw.tiff",
        "images_more/c2_d8_interlaced.png",
    ] {
        let bytes = read(name);
        assert!(run(&bytes).is_ok(), "{name}");
        assert!(run(&bytes[..bytes.len() / 2]).is_err(), "{name}");
    }
}

#[test]
fn changed_bytes_are_errors_or_images() {
    // A small generator of its own keeps the changes the same everywhere.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    // Damaged headers may claim large sides: what they may cost is bounded.
    let limits = DecodeLimits { max_pixels: 1 << 20, max_memory: 16 << 20, ..DecodeLimits::default() };
    for (_, bytes) in small_files() {
        for round in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + round % 4 {
                // Headers matter most.
                let at = if next(2) == 0 { next(bytes.len().min(64)) } else { next(bytes.len()) };
                damaged[at] = [0, 0xff, 0x80, next(256) as u8][next(4)];
            }
            let _ = decode(&damaged, Orientation::Apply, &limits);
        }
    }
}

fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn tiff_header(width: u32, height: u32) -> Vec<u8> {
    let entry = |tag: u16, value: u32| {
        [&tag.to_le_bytes()[..], &4u16.to_le_bytes(), &1u32.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let mut bytes = b"II\x2a\0\x08\0\0\0\x08\0".to_vec();
    let fields = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (278, height), (279, 100)];
    fields.iter().for_each(|&(tag, value)| bytes.extend(entry(tag, value)));
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn claims_of_enormous_sides_are_refused_before_decoding() {
    let jpeg = {
        let mut bytes = read("images/jpeg_444.jpg");
        let at = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[at + 5..at + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        bytes
    };
    let gif = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;".to_vec();
    let bmp = {
        let mut bytes = read("images/small.bmp");
        bytes[18..26].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]);
        bytes
    };
    let webp = {
        let mut bytes = read("images/lossless.webp");
        let at = bytes.windows(4).position(|word| word == b"VP8L").unwrap();
        // 14 bits each of width - 1 and height - 1.
        bytes[at + 9..at + 13].copy_from_slice(&(0x3ffe_u32 | 0x3ffe << 14).to_le_bytes());
        bytes
    };
    let start = Instant::now();
    for (name, bytes, pixels) in [
        ("PNG", png_header(0x7fff_ffff, 0x7fff_ffff), 0x7fff_ffffu64.pow(2)),
        ("TIFF", tiff_header(0xffff_ffff, 0xffff_ffff), 0xffff_ffffu64.pow(2)),
        ("JPEG", jpeg, 65535 * 65535),
        ("GIF", gif, 65535 * 65535),
        ("BMP", bmp, 0x7fff_ffffu64.pow(2)),
        ("WebP", webp, 16383 * 16383),
    ] {
        let error = run(&bytes).unwrap_err();
        match error {
            ImageError::TooManyPixels { format, width, height, limit } => {
                assert_eq!((format.to_string(), width * height, limit), (name.to_owned(), pixels, 178_956_970));
            }
            error => panic!("{name}: {error}"),
        }
    }
    // Six refusals that decode nothing; a decoder at work would need seconds for any of them.
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn sides_within_the_limit_that_the_file_cannot_hold_are_refused() {
    let jpeg = {
        let mut bytes = read("images/jpeg_444.jpg");
        let at = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[at + 5..at + 9].copy_from_slice(&[0x30, 0, 0x30, 0]);
        bytes
    };
    let mut bmp = read("images/small.bmp");
    bmp[18..26].copy_from_slice(&[0, 0x30, 0, 0, 0, 0x30, 0, 0]);
    for (name, bytes) in
        [("jpeg", jpeg), ("png", png_header(12000, 12000)), ("bmp", bmp), ("tiff", tiff_header(12000, 12000))]
    {
        assert!(run(&bytes).is_err(), "{name}");
    }
}

#[test]
fn limits_are_the_callers() {
    let bytes = read("images/china.jpg");
    let pixels = DecodeLimits { max_pixels: 640 * 427 - 1, ..DecodeLimits::default() };
    let error = decode(&bytes, Orientation::Apply, &pixels).unwrap_err();
    assert!(matches!(error, ImageError::TooManyPixels { width: 640, height: 427, limit: 273_279, .. }), "{error}");
    let memory = DecodeLimits { max_memory: 1 << 20, ..DecodeLimits::default() };
    let error = decode(&bytes, Orientation::Apply, &memory).unwrap_err();
    assert!(matches!(error, ImageError::TooMuchMemory { needed: 1_639_680, limit: 1_048_576, .. }), "{error}");
    let exact = DecodeLimits { max_pixels: 640 * 427, ..DecodeLimits::default() };
    assert!(decode(&bytes, Orientation::Apply, &exact).is_ok());
}

/// A PNG of one pixel with a chunk before its pixels. Checksums are those of the content.
fn png_with_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = read("images/one_pixel.png");
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(body);
    let length = (body.len() as u32).to_be_bytes();
    let chunk = [&length[..], kind, body, &crc.sum().to_be_bytes()].concat();
    // Behind the signature and IHDR.
    bytes.splice(33..33, chunk);
    bytes
}

#[test]
fn profiles_and_texts_of_a_png_are_not_unpacked() {
    use std::io::Write;
    let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 32 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let limits = DecodeLimits { max_memory: 1 << 20, ..DecodeLimits::default() };
    for kind in [b"iCCP", b"zTXt"] {
        let file = png_with_chunk(kind, &[b"name\0\0", &bomb[..]].concat());
        let image = decode(&file, Orientation::Apply, &limits).unwrap();
        assert_eq!((image.width(), image.height()), (1, 1));
    }
}

#[test]
fn a_run_length_encoded_bitmap_without_runs_for_its_pixels_is_truncated() {
    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\x04\0\0\x28\0\0\0".to_vec();
    bmp.extend(13_000u32.to_le_bytes());
    bmp.extend(13_000u32.to_le_bytes());
    bmp.extend([1, 0, 8, 0, 1, 0, 0, 0]);
    bmp.resize(0x436, 0);
    bmp.extend([0, 1]);
    let error = run(&bmp).unwrap_err();
    assert!(matches!(error, ImageError::Truncated { .. }), "{error}");
}
