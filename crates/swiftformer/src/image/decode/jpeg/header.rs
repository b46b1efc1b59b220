//! Tables and parameters up to the first scan.

use super::huffman::{Kind, Table};
use super::structure::find_marker;

/// Natural order (row by row) of the coefficients in a file.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Blocks that a unit of interleaved components may have.
const MAX_BLOCKS: usize = 10;

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Gray,
    Ycc,
    Rgb,
}

/// One plane of the image.
pub(super) struct Component {
    id: u8,
    /// Blocks across and down in a unit.
    pub across: usize,
    pub down: usize,
    table: usize,
    /// In natural order.
    pub quantization: [i16; 64],
    /// Which of the Huffman tables.
    pub dc: usize,
    pub ac: usize,
}

/// A file that this decoder reads: one sequential scan of one or three components of 8 bits.
pub(super) struct Header {
    pub width: usize,
    pub height: usize,
    pub components: Vec<Component>,
    /// The components in the order of the scan.
    pub order: Vec<usize>,
    pub colour: Colour,
    /// Units between restart markers; 0 for none.
    pub restart_interval: usize,
    pub dc: [Option<Box<Table>>; 4],
    pub ac: [Option<Box<Table>>; 4],
    /// Where entropy-coded data begins.
    pub scan: usize,
}

/// Everything that segments define before the scan.
#[derive(Default)]
struct Segments {
    frame: Option<(usize, usize, Vec<Component>)>,
    quantization: [Option<[i16; 64]>; 4],
    dc: [Option<Box<Table>>; 4],
    ac: [Option<Box<Table>>; 4],
    restart_interval: usize,
    jfif: bool,
    adobe: Option<u8>,
}

impl Header {
    /// `None` for a file of another kind, or one that libjpeg would refuse.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut segments = Segments::default();
        let mut at = 2;
        loop {
            at += find_marker(bytes.get(at..)?)? + 1;
            let &marker = bytes.get(at)?;
            match marker {
                0xff => {}
                0x00 | 0x01 | 0xd0..=0xd7 => at += 1,
                0xd8 | 0xd9 => return None,
                _ => {
                    let length = usize::from(u16::from_be_bytes(*bytes.get(at + 1..)?.first_chunk()?));
                    let body = bytes.get(at + 3..at.checked_add(1)?.checked_add(length)?)?;
                    at += 1 + length;
                    if marker == 0xda {
                        return segments.scan(body, at);
                    }
                    segments.segment(marker, body)?;
                }
            }
        }
    }
}

impl Segments {
    fn segment(&mut self, marker: u8, body: &[u8]) -> Option<()> {
        match marker {
            0xc0 | 0xc1 if self.frame.is_none() => self.frame = Some(frame(body)?),
            0xc4 => self.huffman(body)?,
            0xc0..=0xcf => return None,
            0xdb => self.quantization(body)?,
            0xdd => self.restart_interval = u16::from_be_bytes(body.try_into().ok()?).into(),
            0xe0 if body.len() >= 14 && body.starts_with(b"JFIF\0") => self.jfif = true,
            0xee if body.len() >= 12 && body.starts_with(b"Adobe") => self.adobe = body.get(11).copied(),
            _ => {}
        }
        Some(())
    }

    fn quantization(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = body.split_first() {
            let bytes = if kind >> 4 == 0 { 1 } else { 2 };
            let values = rest.get(..64 * bytes)?;
            let mut table = [0; 64];
            for (value, at) in values.chunks_exact(bytes).zip(ZIGZAG) {
                let value = value.iter().fold(0u16, |value, &byte| value << 8 | u16::from(byte));
                // libjpeg-turbo multiplies by 16-bit numbers.
                table[usize::from(at)] = value as i16;
            }
            *self.quantization.get_mut(usize::from(kind & 15))? = Some(table);
            body = &rest[64 * bytes..];
        }
        Some(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&place, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let symbols = rest.get(..total)?;
            let (tables, kind) = if place & 0x10 == 0 { (&mut self.dc, Kind::Dc) } else { (&mut self.ac, Kind::Ac) };
            *tables.get_mut(usize::from(place & !0x10))? = Some(Table::new(kind, counts, symbols)?);
            body = &rest[total..];
        }
        Some(())
    }

    fn scan(self, body: &[u8], scan: usize) -> Option<Header> {
        let (width, height, mut components) = self.frame?;
        let (&count, specifications) = body.split_first()?;
        let count = usize::from(count);
        if count != components.len() || body.len() != 4 + 2 * count {
            return None;
        }
        let mut order = Vec::new();
        for &[id, tables] in specifications.as_chunks::<2>().0.iter().take(count) {
            let index = components.iter().position(|component| component.id == id)?;
            if order.contains(&index) {
                return None;
            }
            order.push(index);
            let component = &mut components[index];
            (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            self.dc.get(component.dc)?.as_ref()?;
            self.ac.get(component.ac)?.as_ref()?;
            component.quantization = (*self.quantization.get(component.table)?)?;
        }
        let colour = match (components.as_slice(), self.jfif, self.adobe) {
            ([_], ..) => Colour::Gray,
            (_, true, _) => Colour::Ycc,
            (_, false, Some(0)) => Colour::Rgb,
            (_, false, Some(_)) => Colour::Ycc,
            ([a, b, c], false, None) if [a.id, b.id, c.id] == *b"RGB" => Colour::Rgb,
            _ => Colour::Ycc,
        };
        let restart_interval = self.restart_interval;
        Some(Header { width, height, components, order, colour, restart_interval, dc: self.dc, ac: self.ac, scan })
    }
}

/// Width, height and components of a frame header.
fn frame(body: &[u8]) -> Option<(usize, usize, Vec<Component>)> {
    let (&[8, h0, h1, w0, w1, count @ (1 | 3)], rest) = body.split_first_chunk()? else { return None };
    if rest.len() != 3 * usize::from(count) {
        return None;
    }
    let component = |&[id, sampling, table]: &[u8; 3]| {
        // A single component is not interleaved: its units are blocks, whatever it claims.
        let factor = |factor: u8| (1..=4).contains(&factor).then_some(if count == 1 { 1 } else { usize::from(factor) });
        let (across, down) = (factor(sampling >> 4)?, factor(sampling & 15)?);
        Some(Component { id, across, down, table: table.into(), quantization: [0; 64], dc: 0, ac: 0 })
    };
    let components: Vec<_> = rest.as_chunks::<3>().0.iter().map(component).collect::<Option<_>>()?;
    let blocks: usize = components.iter().map(|component| component.across * component.down).sum();
    let (width, height) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
    (blocks <= MAX_BLOCKS && width > 0 && height > 0).then_some((width.into(), height.into(), components))
}
