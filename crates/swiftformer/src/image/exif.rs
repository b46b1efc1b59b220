//! The orientation of photographs: finding it in a file, and turning pixels upright.
//!
//! EXIF data counts first, XMP's `tiff:Orientation` where EXIF has none, as in Pillow's `Image.getexif`. Compressed text
//! chunks of PNG are not searched.

use super::{Image, ImageFormat};

/// Whether decoding turns an image as its file asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// Turn it upright (Pillow's `ImageOps.exif_transpose`), as transformers does with files.
    #[default]
    Apply,
    /// Leave the pixels as they are stored, as timm and the original evaluation code do.
    Ignore,
}

/// The EXIF number of the orientation that a file claims; 1 is upright, 2 to 8 are the other flips and turns.
pub(super) fn orientation_tag(bytes: &[u8], format: ImageFormat) -> u64 {
    let mut found = Found::default();
    // A walk that ends early has met the end of the file or nonsense: what was found before it counts.
    let _ = match format {
        ImageFormat::Jpeg => walk_jpeg(bytes, &mut found),
        ImageFormat::Png => walk_png(bytes, &mut found),
        ImageFormat::WebP => walk_riff(bytes, &mut found),
        ImageFormat::Tiff => found.exif(bytes),
        ImageFormat::Gif | ImageFormat::Bmp => None,
    };
    found.exif.or(found.xmp).unwrap_or(1)
}

/// The first orientation of each kind.
#[derive(Default)]
struct Found {
    exif: Option<u64>,
    xmp: Option<u64>,
}

impl Found {
    /// Searches EXIF data, which is laid out as a TIFF file.
    fn exif(&mut self, block: &[u8]) -> Option<()> {
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        let tiff = TiffBlock::new(block)?;
        self.exif = self.exif.or_else(|| tiff.orientation());
        if let Some(xmp) = tiff.xmp() {
            self.xmp(xmp);
        }
        Some(())
    }

    /// Searches an XMP packet for the attribute or the element.
    fn xmp(&mut self, packet: &[u8]) {
        const NAME: &[u8] = b"tiff:Orientation";
        let values = packet.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
        self.xmp = self.xmp.or_else(|| {
            values.into_iter().find_map(|(at, _)| match packet.get(at + NAME.len()..)? {
                [b'=', b'"', digit @ b'0'..=b'9', ..] | [b'>', digit @ b'0'..=b'9', ..] => {
                    Some(u64::from(digit - b'0'))
                }
                _ => None,
            })
        });
    }
}

fn walk_jpeg(bytes: &[u8], found: &mut Found) -> Option<()> {
    let mut at = 2;
    loop {
        let &[prefix, marker, high, low] = bytes.get(at..)?.first_chunk()?;
        match (prefix, marker) {
            (0xff, 0xff) => at += 1,
            (0xff, 0xda | 0xd9) => return Some(()),
            (0xff, _) => {
                let length = usize::from(u16::from_be_bytes([high, low])).max(2);
                let body = bytes.get(at + 4..at + 2 + length)?;
                if marker == 0xe1 && body.starts_with(b"Exif\0\0") {
                    let _ = found.exif(body);
                } else if let Some(xmp) = body.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0")
                    && marker == 0xe1
                {
                    found.xmp(xmp);
                }
                at += 2 + length;
            }
            _ => at += 1,
        }
    }
}

fn walk_png(bytes: &[u8], found: &mut Found) -> Option<()> {
    let mut at = 8usize;
    loop {
        let length = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
        let kind = bytes.get(at + 4..at + 8)?;
        let body = bytes.get(at + 8..(at + 8).checked_add(length)?)?;
        match kind {
            b"eXIf" => drop(found.exif(body)),
            b"iTXt" if body.starts_with(b"XML:com.adobe.xmp\0\0") => found.xmp(body),
            b"IEND" => return Some(()),
            _ => {}
        }
        at += 12 + length;
    }
}

fn walk_riff(bytes: &[u8], found: &mut Found) -> Option<()> {
    let mut at = 12usize;
    loop {
        let length = u32::from_le_bytes(*bytes.get(at + 4..)?.first_chunk()?) as usize;
        let body = bytes.get(at + 8..(at + 8).checked_add(length)?)?;
        match &bytes[at..at + 4] {
            b"EXIF" => drop(found.exif(body)),
            b"XMP " => found.xmp(body),
            _ => {}
        }
        at += 8 + length.next_multiple_of(2);
    }
}

/// The first directory of a TIFF structure.
pub(super) struct TiffBlock<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// BigTIFF: 64-bit offsets and counts.
    wide: bool,
}

impl<'a> TiffBlock<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (big_endian, wide) = match bytes.first_chunk()? {
            [b'I', b'I', 42, 0] => (false, false),
            [b'I', b'I', 43, 0] => (false, true),
            [b'M', b'M', 0, 42] => (true, false),
            [b'M', b'M', 0, 43] => (true, true),
            _ => return None,
        };
        Some(Self { bytes, big_endian, wide })
    }

    /// An unsigned number of `size` bytes.
    pub(super) fn number(&self, at: usize, size: usize) -> Option<u64> {
        let field = self.bytes.get(at..at.checked_add(size)?)?;
        let add = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        Some(if self.big_endian { field.iter().fold(0, add) } else { field.iter().rev().fold(0, add) })
    }

    /// Type, count and place of the value field of the entry `tag`.
    pub(super) fn entry(&self, tag: u64) -> Option<(u64, u64, usize)> {
        let word = if self.wide { 8 } else { 4 };
        let directory = usize::try_from(self.number(word, word)?).ok()?;
        let count_size = if self.wide { 8 } else { 2 };
        let count = self.number(directory, count_size)?;
        let entry_size = 4 + 2 * word;
        let entries = directory.checked_add(count_size)?;
        let places = self.bytes.len().checked_sub(entries)? / entry_size;
        (0..places.min(usize::try_from(count).ok()?)).map(|index| entries + index * entry_size).find_map(|at| {
            (self.number(at, 2)? == tag).then_some(())?;
            Some((self.number(at + 2, 2)?, self.number(at + 4, word)?, at + 4 + word))
        })
    }

    fn orientation(&self) -> Option<u64> {
        let (kind, count, at) = self.entry(274)?;
        // Bytes, shorts and longs are all seen in the wild.
        let size = match kind {
            1 => 1,
            3 => 2,
            4 => 4,
            _ => return None,
        };
        (count >= 1).then(|| self.number(at, size))?
    }

    fn xmp(&self) -> Option<&'a [u8]> {
        let (_, count, at) = self.entry(700)?;
        let start = usize::try_from(self.number(at, if self.wide { 8 } else { 4 })?).ok()?;
        self.bytes.get(start..start.checked_add(usize::try_from(count).ok()?)?)
    }
}

/// Whether the orientation `tag` asks for a turn or a flip.
pub(super) fn turns(tag: u64) -> bool {
    (2..=8).contains(&tag)
}

/// `image` turned upright from the EXIF orientation `tag`; other numbers than 2 to 8 leave it as it is.
pub(super) fn turn<const CHANNELS: usize>(image: Image<CHANNELS>, tag: u64) -> Image<CHANNELS> {
    let (width, height) = (image.width(), image.height());
    // Where the pixel at (x, y) of the result comes from.
    let from = |x: usize, y: usize| match tag {
        2 => (width - 1 - x, y),
        3 => (width - 1 - x, height - 1 - y),
        4 => (x, height - 1 - y),
        5 => (y, x),
        6 => (y, height - 1 - x),
        7 => (width - 1 - y, height - 1 - x),
        _ => (width - 1 - y, x),
    };
    let (turned_width, turned_height) = match tag {
        2..=4 => (width, height),
        5..=8 => (height, width),
        _ => return image,
    };
    let mut turned = Image::filled(turned_width, turned_height, [0; CHANNELS]);
    let source = image.data().as_chunks::<CHANNELS>().0;
    let target = turned.data_mut().as_chunks_mut::<CHANNELS>().0;
    for (y, row) in target.chunks_exact_mut(turned_width).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let (source_x, source_y) = from(x, y);
            *pixel = source[source_y * width + source_x];
        }
    }
    turned
}
