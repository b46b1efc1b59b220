//! Decoding: the bytes of an image file to RGB, with the colours of Pillow's `Image.open(file).convert("RGB")`.

mod bmp;
mod gif;
mod jpeg;
mod png;
mod tiff;
mod webp;

pub(super) use self::jpeg::RowDecoder;

use std::fmt;
use std::io::Read;
use std::path::Path;

use super::exif::{self, Orientation};
use super::{ImageError, RgbImage};
use crate::files;

/// Bytes of a file that [`sniff`] needs at most.
const HEAD: u64 = 512;

/// What decoding may cost. The limits on pixels and memory are checked against the header, before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The most pixels an image may have.
    pub max_pixels: u64,
    /// The most bytes that decoding may need at a time, estimated.
    pub max_memory: u64,
    /// The longest file that [`open`] reads, in bytes.
    pub max_file: u64,
}

impl Default for DecodeLimits {
    /// 178 956 970 pixels, as Pillow (twice its `MAX_IMAGE_PIXELS`), 2 GiB, and files of 160 MiB.
    fn default() -> Self {
        Self { max_pixels: 2 * 89_478_485, max_memory: 2 << 30, max_file: 160 << 20 }
    }
}

impl DecodeLimits {
    /// Checks the sides that a header claims; `bytes_per_pixel` estimates the decoder's memory, output included.
    fn check(self, format: ImageFormat, width: u64, height: u64, bytes_per_pixel: u64) -> Result<(), ImageError> {
        if width == 0 || height == 0 {
            return Err(format.malformed(format!("{width}x{height} pixels")));
        }
        let pixels = width.saturating_mul(height);
        if pixels > self.max_pixels {
            return Err(ImageError::TooManyPixels { format, width, height, limit: self.max_pixels });
        }
        let needed = pixels.saturating_mul(bytes_per_pixel);
        if needed > self.max_memory {
            return Err(ImageError::TooMuchMemory { format, width, height, needed, limit: self.max_memory });
        }
        Ok(())
    }

    /// The memory limit for decoders that keep their own count.
    fn memory(self) -> usize {
        usize::try_from(self.max_memory).unwrap_or(usize::MAX)
    }
}

/// The fraction of an image's sides that a JPEG is decoded at; see [`decode_scaled`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scale {
    /// All pixels.
    #[default]
    Full,
    /// Half of each side, rounded up.
    Half,
    /// A quarter of each side, rounded up.
    Quarter,
    /// An eighth of each side, rounded up.
    Eighth,
}

impl Scale {
    /// What sides are divided by.
    pub fn divisor(self) -> usize {
        match self {
            Self::Full => 1,
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }

    /// The smallest one at which an image of `width` × `height` pixels keeps at least `to_width` × `to_height`, as Pillow's
    /// `Image.draft` chooses it.
    ///
    /// ```
    /// use swiftformer::image::Scale;
    ///
    /// assert_eq!(Scale::draft((4000, 3000), (224, 224)), Scale::Eighth);
    /// assert_eq!(Scale::draft((640, 427), (224, 224)), Scale::Full);
    /// ```
    pub fn draft((width, height): (usize, usize), (to_width, to_height): (usize, usize)) -> Self {
        match (width / to_width.max(1)).min(height / to_height.max(1)) {
            0 | 1 => Self::Full,
            2 | 3 => Self::Half,
            4..8 => Self::Quarter,
            8.. => Self::Eighth,
        }
    }
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// Baseline and progressive JPEG: gray, YCbCr, RGB, CMYK, YCCK.
    Jpeg,
    /// PNG of every colour type and depth; of an animated one, the default image.
    Png,
    /// Lossy, lossless and animated WebP.
    WebP,
    /// GIF.
    Gif,
    /// Windows and OS/2 bitmaps, plain or run-length encoded.
    Bmp,
    /// TIFF and BigTIFF: plain, PackBits, LZW, Deflate and JPEG compression.
    Tiff,
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        })
    }
}

impl ImageFormat {
    fn malformed(self, detail: impl fmt::Display) -> ImageError {
        ImageError::Malformed { format: self, detail: detail.to_string() }
    }

    fn unsupported(self, detail: impl fmt::Display) -> ImageError {
        ImageError::Unsupported { format: self, detail: detail.to_string() }
    }

    fn truncated(self, detail: impl fmt::Display) -> ImageError {
        ImageError::Truncated { format: self, detail: detail.to_string() }
    }
}

/// The format of `bytes`, told by how they begin; names of files play no part.
///
/// # Errors
/// [`ImageError::Unknown`], which says what the bytes look like instead.
pub fn sniff(bytes: &[u8]) -> Result<ImageFormat, ImageError> {
    Ok(match bytes {
        [0xff, 0xd8, 0xff, ..] => ImageFormat::Jpeg,
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => ImageFormat::Png,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => ImageFormat::Gif,
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => ImageFormat::Tiff,
        [b'B', b'M', ..] => ImageFormat::Bmp,
        _ => return Err(ImageError::Unknown { looks_like: looks_like(bytes) }),
    })
}

/// A few words on content that is no image.
fn looks_like(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(512)];
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let kind = match bytes {
        [] => "empty",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => "an AVIF image",
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', ..] => "a HEIF image or an MP4 video",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "an MP4 video",
        [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', ..] => "a JPEG XL image",
        [0, 0, 0, 0x0c, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => "a JPEG 2000 image",
        [b'8', b'B', b'P', b'S', ..] => "a Photoshop document",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive",
        [0x1f, 0x8b, ..] => "a gzip archive",
        _ if bytes.iter().all(|&byte| byte == 0) => "nothing but zero bytes",
        _ if text.starts_with("version https://git-lfs") => "a Git LFS pointer, not the file it stands for",
        _ if text.starts_with("<!doctype html") || text.starts_with("<html") => "an HTML page",
        _ if text.starts_with('<') && text.contains("<svg") => "an SVG drawing",
        _ if text.starts_with('<') => "an XML document",
        _ if text.starts_with('{') || text.starts_with('[') => "a JSON document",
        _ if std::str::from_utf8(head).is_ok_and(|text| !text.contains('\0')) => "text",
        _ => {
            let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            return format!("{} bytes that begin with {}", bytes.len(), first.join(" "));
        }
    };
    kind.to_owned()
}

/// Decodes the first frame of an image file to RGB, as Pillow would (see the list in [the module's description](super)).
///
/// With [`Orientation::Apply`] the image is turned as its EXIF or XMP data says (`ImageOps.exif_transpose`). TIFF files are
/// always turned, because Pillow does so on loading.
///
/// # Errors
/// When the content is no supported image, is damaged or truncated, or claims more than `limits` allow (before decoding).
///
/// ```
/// use swiftformer::image::{DecodeLimits, Orientation, decode};
///
/// let gif = b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
/// let image = decode(gif, Orientation::Ignore, &DecodeLimits::default())?;
/// assert_eq!((image.width(), image.data()), (1, &[255, 0, 0][..]));
/// # Ok::<(), swiftformer::image::ImageError>(())
/// ```
pub fn decode(bytes: &[u8], orientation: Orientation, limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    decode_scaled(bytes, orientation, limits, Scale::Full)
}

/// [`decode`](fn@decode) at a fraction of the size, where that is less work: for JPEGs of one sequential scan, as Pillow's
/// `Image.draft` and later decoding give them. Each block of 8x8 coefficients becomes 4x4, 2x2 pixels or one by a smaller
/// inverse transform. **This is not bit-equal to decoding in full and resizing.** Everything else is decoded in full: the
/// size of the result tells.
///
/// # Errors
/// Those of [`decode`](fn@decode).
pub fn decode_scaled(
    bytes: &[u8],
    orientation: Orientation,
    limits: &DecodeLimits,
    scale: Scale,
) -> Result<RgbImage, ImageError> {
    let format = sniff(bytes)?;
    let image = match format {
        ImageFormat::Jpeg => jpeg::decode(bytes, limits, scale),
        ImageFormat::Png => png::decode(bytes, limits),
        ImageFormat::WebP => webp::decode(bytes, limits),
        ImageFormat::Gif => gif::decode(bytes, limits),
        ImageFormat::Bmp => bmp::decode(bytes, limits),
        ImageFormat::Tiff => tiff::decode(bytes, limits),
    }?;
    tracing::debug!(%format, width = image.width(), height = image.height(), "decoded");
    Ok(match orientation {
        Orientation::Ignore if format != ImageFormat::Tiff => image,
        Orientation::Ignore | Orientation::Apply => exif::turn(image, exif::orientation_tag(bytes, format)),
    })
}

/// Reads and decodes the image file at `path`; see [`decode`](fn@decode). A file that does not begin like an image is
/// refused before the rest of it is read.
///
/// # Errors
/// Those of [`decode`](fn@decode) with the path in front, and when the file cannot be read, is not a regular file, or is
/// longer than `limits.max_file`.
pub fn open(path: impl AsRef<Path>, orientation: Orientation, limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let path = path.as_ref();
    let unreadable = |source| ImageError::Read { path: path.to_owned(), source };
    let in_file = |source: ImageError| ImageError::File { path: path.to_owned(), source: source.into() };
    let (mut file, length) = files::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut bytes).map_err(unreadable)?;
    sniff(&bytes).map_err(in_file)?;
    if length > limits.max_file {
        return Err(unreadable(files::too_long(limits.max_file)));
    }
    // One allocation of the right size: growing step by step would need twice the memory.
    bytes.reserve_exact(length.saturating_sub(HEAD) as usize);
    file.take(limits.max_file - HEAD.min(limits.max_file)).read_to_end(&mut bytes).map_err(unreadable)?;
    decode(&bytes, orientation, limits).map_err(in_file)
}

/// An image from decoded RGB bytes.
fn rgb_image(format: ImageFormat, width: u64, height: u64, data: Vec<u8>) -> Result<RgbImage, ImageError> {
    let side = |side: u64| usize::try_from(side).map_err(|_| format.malformed("sides"));
    RgbImage::new(side(width)?, side(height)?, data)
}

/// Pillow's conversion of ink coverage (0 none, 255 full) to RGB.
fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let white = 255 - u32::from(k);
    [c, m, y].map(|ink| {
        let product = u32::from(ink) * white + 128;
        (white.saturating_sub((product + (product >> 8)) >> 8)) as u8
    })
}

/// Splits packed samples of 1, 2, 4 or 8 bits (most significant first), `width` a row, rows starting at whole bytes.
fn unpack_bits(packed: &[u8], width: usize, bits: usize) -> Vec<u8> {
    let mask = ((1u16 << bits) - 1) as u8;
    let stride = (width * bits).div_ceil(8);
    let rows = packed.chunks_exact(stride.max(1));
    let sample = |row: &[u8], x: usize| (row[x * bits / 8] >> (8 - bits - x * bits % 8)) & mask;
    rows.flat_map(|row| (0..width).map(move |x| sample(row, x))).collect()
}

/// Colours by index; indices past the palette are black.
fn apply_palette(indices: &[u8], palette: &[[u8; 3]]) -> Vec<u8> {
    indices.iter().flat_map(|&index| palette.get(usize::from(index)).copied().unwrap_or_default()).collect()
}
