//! Entropy decoding: blocks of coefficients out of bits.

use swiftformer_kernels::{BitTask, JPEG_LANES, JpegBlocks, with_bit_instructions};

use super::bits::{Bits, Reader, Window};
use super::header::{Header, ZIGZAG};
use super::huffman::{END, Skips, Table};

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

/// One block of a unit.
pub(super) struct UnitBlock<'a> {
    pub component: usize,
    /// Its first row of [`JpegBlocks`], of which there are `across`, and its place among the `across` blocks of a unit.
    pub first: usize,
    pub across: usize,
    pub column: usize,
    pub dc: &'a Table,
    pub ac: &'a Table,
    /// If only the first coefficient is of use.
    pub skips: Option<&'a Skips>,
}

/// Coefficients of thirty-two units of a component.
pub(super) struct Coefficients {
    pub blocks: Vec<JpegBlocks>,
    /// How many positions of each, in the file's order, may differ from zero.
    pub used: Vec<usize>,
}

/// The state of entropy decoding.
pub(super) struct Entropy<'a> {
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
    pub(super) fn new(bytes: &'a [u8], header: &Header) -> Self {
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

    /// Decodes `count` units, at most [`JPEG_LANES`], into coefficients that are zero.
    pub(super) fn units(&mut self, count: usize, unit: &[UnitBlock<'_>], coefficients: &mut [Coefficients]) {
        with_bit_instructions(Units { entropy: self, count, unit, coefficients });
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

/// The work of [`Entropy::units`].
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
                let used = if let Some(skips) = block.skips {
                    skip_others(&mut bits, window, block.ac, skips);
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
fn skip_others(bits: &mut Bits, window: &Window, table: &Table, skips: &Skips) {
    let mut position = 0u32;
    loop {
        bits.refill(window);
        for _ in 0..3 {
            let (count, advance) = skips.at(bits.buffer);
            let next = position + advance;
            if next < 63 {
                bits.drop(count, count);
                position = next;
                continue;
            }
            // The block ends where the symbols looked up do, unless numbers have filled it before.
            if advance & END != 0 && next - END < 63 {
                return bits.drop(count, count);
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
