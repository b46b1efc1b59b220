//! The scan: blocks out of bits, transformed to planes of samples.

use std::ops::Range;

use swiftformer_kernels::{BitTask, DctSize, JPEG_LANES, JpegBlocks, Kernels, with_bit_instructions};

use super::bits::{Bits, Reader, Window};
use super::header::{Header, ZIGZAG};
use super::huffman::{END, Table};
use super::rows::{Plane, Rows, Upsampling};
use crate::image::decode::Scale;

/// Where the coefficients of a file go in [`JpegBlocks`].
const PLACES: [u16; 64] = {
    let mut places = [0; 64];
    let mut at = 0;
    while at < 64 {
        places[at] = ZIGZAG[at] as u16 * JPEG_LANES as u16;
        at += 1;
    }
    places
};

/// How the components of a file become an image at one scale.
pub(super) struct Layout {
    /// Sides of the decoded image.
    pub width: usize,
    pub height: usize,
    /// Rows of units, and units in each.
    unit_rows: usize,
    unit_columns: usize,
    /// Groups of rows in a row of units: what upsampling makes rows from at a time.
    pub groups: usize,
    /// Image rows of a group.
    pub group_rows: usize,
    pub components: Vec<ComponentLayout>,
}

/// One component in it.
pub(super) struct ComponentLayout {
    /// Samples that its blocks become.
    size: DctSize,
    /// Its sides in samples.
    pub width: usize,
    pub height: usize,
    /// Rows of samples in a row of units and in a group.
    pub unit_rows: usize,
    pub group_rows: usize,
    pub upsampling: Upsampling,
    /// Bytes of a row that transforms write.
    pub row: usize,
}

impl Layout {
    /// libjpeg's choices (jdmaster.c, jdsample.c); `None` for factors of sampling that do not divide each other.
    pub(super) fn new(header: &Header, scale: Scale) -> Option<Self> {
        let most = |factor: fn(&super::header::Component) -> usize| header.components.iter().map(factor).max();
        let (across, down) = (most(|component| component.across)?, most(|component| component.down)?);
        let least = 8 / scale.divisor();
        let unit_columns = header.width.div_ceil(8 * across);
        let component = |component: &super::header::Component| {
            let mut samples = least;
            // Chroma is scaled up by larger transforms rather than by upsampling.
            while samples < 8
                && (across * least).is_multiple_of(component.across * samples * 2)
                && (down * least).is_multiple_of(component.down * samples * 2)
            {
                samples *= 2;
            }
            let size = match samples {
                1 => DctSize::One,
                2 => DctSize::Two,
                4 => DctSize::Four,
                _ => DctSize::Eight,
            };
            let width = (header.width * component.across * samples).div_ceil(across * 8);
            let height = (header.height * component.down * samples).div_ceil(down * 8);
            let (columns_in, rows_in) = (component.across * samples / least, component.down * samples / least);
            let upsampling = Upsampling::new((columns_in, rows_in), (across, down), least > 1, width)?;
            let row = unit_columns.div_ceil(JPEG_LANES) * JPEG_LANES * component.across * samples;
            let unit_rows = component.down * samples;
            Some(ComponentLayout { size, width, height, unit_rows, group_rows: rows_in, upsampling, row })
        };
        Some(Self {
            width: header.width.div_ceil(scale.divisor()),
            height: header.height.div_ceil(scale.divisor()),
            unit_rows: header.height.div_ceil(8 * down),
            unit_columns,
            groups: least,
            group_rows: down,
            components: header.components.iter().map(component).collect::<Option<_>>()?,
        })
    }
}

/// One block of a unit.
struct UnitBlock<'a> {
    component: usize,
    /// Its first row of [`JpegBlocks`], of which there are `across`, and its place among the `across` blocks of a unit.
    first: usize,
    across: usize,
    column: usize,
    dc: &'a Table,
    ac: &'a Table,
    /// Whether only the first coefficient is of use.
    mean_only: bool,
}

/// Coefficients of thirty-two units of a component.
struct Coefficients {
    blocks: Vec<JpegBlocks>,
    /// How many positions of each, in the file's order, may differ from zero.
    used: Vec<usize>,
}

/// Decodes the scan and hands the rows `wanted` to `sink`.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    layout: &Layout,
    wanted: Range<usize>,
    sink: &mut dyn FnMut(&[u8]),
) {
    let kernels = Kernels::detect();
    let mut unit = Vec::new();
    for &index in &header.order {
        let component = &header.components[index];
        let tables = (&header.dc[component.dc], &header.ac[component.ac]);
        let (Some(dc), Some(ac)) = tables else { return };
        let across = component.across;
        for (row, column) in (0..component.down).flat_map(|row| (0..across).map(move |column| (row, column))) {
            let mean_only = layout.components[index].size == DctSize::One;
            unit.push(UnitBlock { component: index, first: row * across, across, column, dc, ac, mean_only });
        }
    }
    let mut coefficients: Vec<Coefficients> = header
        .components
        .iter()
        .map(|component| component.across * component.down)
        .map(|count| Coefficients { blocks: vec![JpegBlocks::default(); count], used: vec![0; count] })
        .collect();
    let mut entropy = Entropy::new(bytes, header);
    let mut rows = Rows::new(kernels, layout, header.colour, wanted);
    for unit_row in 0..layout.unit_rows {
        for start in (0..layout.unit_columns).step_by(JPEG_LANES) {
            let count = JPEG_LANES.min(layout.unit_columns - start);
            with_bit_instructions(Units { entropy: &mut entropy, count, unit: &unit, coefficients: &mut coefficients });
            for (index, coefficients) in coefficients.iter_mut().enumerate() {
                let component = (&header.components[index], &layout.components[index]);
                transform(kernels, component, coefficients, start, &mut rows.planes[index]);
            }
        }
        if !rows.finish_units(unit_row, sink) {
            break;
        }
    }
}

/// Transforms what `coefficients` hold to the samples from unit `start` of a plane, and clears them.
fn transform(
    kernels: Kernels,
    (component, layout): (&super::header::Component, &ComponentLayout),
    coefficients: &mut Coefficients,
    start: usize,
    plane: &mut Plane,
) {
    let samples = layout.size.samples();
    let blocks = coefficients.blocks.iter_mut().zip(&mut coefficients.used);
    for (index, (blocks, used)) in blocks.enumerate() {
        let (row, column) = (index / component.across, index % component.across);
        let at = (start * component.across + column * JPEG_LANES) * samples;
        let (out, stride) = plane.unit_rows_mut(row * samples, at);
        kernels.jpeg_inverse_dct(layout.size, blocks, *used, &component.quantization, out, stride);
        match *used {
            0 => {}
            1 => blocks.coefficients_mut()[..JPEG_LANES].fill(0),
            _ => blocks.clear(),
        }
        *used = 0;
    }
}

/// The state of entropy decoding.
struct Entropy<'a> {
    reader: Reader<'a>,
    /// The first coefficient of each component's last block.
    predictors: [i32; 3],
    restart_interval: usize,
    /// Units up to the next restart marker, and its number.
    left: usize,
    number: u8,
    /// Whether the data broke off: units stay zero up to the next restart marker.
    insufficient: bool,
}

impl<'a> Entropy<'a> {
    fn new(bytes: &'a [u8], header: &Header) -> Self {
        let restart_interval = header.restart_interval;
        Self {
            reader: Reader::new(bytes, header.scan),
            predictors: [0; 3],
            restart_interval,
            left: restart_interval,
            number: 0,
            insufficient: false,
        }
    }

    #[cold]
    fn restart(&mut self) {
        if self.reader.restart(self.number) {
            self.insufficient = false;
        }
        self.predictors = [0; 3];
        self.left = self.restart_interval;
        self.number = (self.number + 1) & 7;
    }
}

/// Decoding of `count` units, at most [`JPEG_LANES`], into coefficients that are zero.
struct Units<'a, 'b> {
    entropy: &'a mut Entropy<'b>,
    count: usize,
    unit: &'a [UnitBlock<'a>],
    coefficients: &'a mut [Coefficients],
}

impl BitTask for Units<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { entropy, count, unit, coefficients } = self;
        for index in 0..count {
            if entropy.restart_interval > 0 {
                if entropy.left == 0 {
                    entropy.restart();
                }
                entropy.left -= 1;
            }
            if entropy.insufficient {
                continue;
            }
            entropy.reader.prepare();
            let mut bits = entropy.reader.bits;
            let window = &*entropy.reader.window;
            for block in unit {
                let place = index * block.across + block.column;
                let group = block.first + place / JPEG_LANES;
                let lane = JpegBlocks::lane(place % JPEG_LANES);
                let target = &mut coefficients[block.component];
                let out = target.blocks[group].coefficients_mut();
                let predictor = &mut entropy.predictors[block.component];
                first_coefficient(&mut bits, window, block.dc, predictor);
                out[lane] = *predictor as i16;
                let used = if block.mean_only {
                    skip_others(&mut bits, window, block.ac);
                    1
                } else {
                    other_coefficients(&mut bits, window, block.ac, out, lane)
                };
                target.used[group] = target.used[group].max(used);
            }
            entropy.reader.bits = bits;
            entropy.insufficient = entropy.reader.is_overdrawn();
        }
    }
}

#[inline(always)]
fn first_coefficient(bits: &mut Bits, window: &Window, table: &Table, predictor: &mut i32) {
    bits.refill(window);
    let mut entry = table.entry(bits.buffer);
    if entry.is_long() {
        entry = table.long_entry(bits.buffer);
    }
    // Broken files can add up to more than 32 bits hold.
    *predictor = predictor.wrapping_add(entry.number(bits.buffer));
    bits.drop(entry.shift(), entry.bits());
}

/// Decodes what follows the first coefficient of a block; returns how many positions may differ from zero.
#[inline(always)]
fn other_coefficients(
    bits: &mut Bits,
    window: &Window,
    table: &Table,
    out: &mut [i16; 64 * JPEG_LANES],
    lane: usize,
) -> usize {
    let mut position = 0u32;
    let mut write = |position: u32, number: i16| {
        let place = usize::from(PLACES[position as usize & 63]);
        out[(place + lane) & (64 * JPEG_LANES - 1)] = number;
    };
    loop {
        bits.refill(window);
        // What was looked up takes 11 bits at most, a symbol that was not 31.
        for _ in 0..3 {
            let pair = table.pair(bits.buffer);
            let next = position + pair.advance();
            if next < 63 {
                write(position + pair.first_advance(), pair.first());
                write(next, pair.second());
                bits.drop(pair.shift(), pair.bits());
                position = next;
                continue;
            }
            let last = next.wrapping_sub(END);
            if pair.ends() && last < 63 {
                bits.drop(pair.shift(), pair.bits());
                if last > position {
                    write(position + pair.first_advance(), pair.first());
                    write(last, pair.second());
                }
                return last as usize + 1;
            }
            // One symbol at a time.
            bits.refill(window);
            let mut entry = table.entry(bits.buffer);
            if entry.is_long() {
                entry = table.long_entry(bits.buffer);
            }
            let (number, advance) = (entry.number(bits.buffer), entry.advance());
            bits.drop(entry.shift(), entry.bits());
            if advance == END {
                return position as usize + 1;
            }
            position += advance;
            if entry.has_number() {
                // libjpeg writes numbers beyond the block to its last place.
                write(position.min(63), number as i16);
            }
            if position >= 63 {
                return 64;
            }
            break;
        }
    }
}

/// Passes over what follows the first coefficient of a block.
#[inline(always)]
fn skip_others(bits: &mut Bits, window: &Window, table: &Table) {
    let mut position = 0u32;
    loop {
        bits.refill(window);
        for _ in 0..3 {
            let pair = table.pair(bits.buffer);
            let next = position + pair.advance();
            if next < 63 {
                bits.drop(pair.shift(), pair.bits());
                position = next;
                continue;
            }
            if pair.ends() && next - END < 63 {
                return bits.drop(pair.shift(), pair.bits());
            }
            bits.refill(window);
            let mut entry = table.entry(bits.buffer);
            if entry.is_long() {
                entry = table.long_entry(bits.buffer);
            }
            bits.drop(entry.shift(), entry.bits());
            position += entry.advance();
            if position >= 63 {
                return;
            }
            break;
        }
    }
}
