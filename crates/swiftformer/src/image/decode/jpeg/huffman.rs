//! Huffman tables, laid out for decoding.

/// Bits that are looked up at once. Longer codes are rare.
pub(super) const LOOKUP_BITS: u32 = 11;

/// Bits that are looked up at once where numbers are passed over.
const SKIP_BITS: u32 = 12;

/// In place of the advance: the block ends.
pub(super) const END: u32 = 64;
/// In place of the advance: the code is longer than [`LOOKUP_BITS`].
pub(super) const LONG: u32 = 128;

/// What codes stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dc,
    Ac,
}

/// One symbol: a code and the bits of a number behind it. From the lowest byte: bits in all, 63 less the number's bits,
/// positions to advance (or [`END`], [`LONG`]), bits of the code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry(u32);

impl Entry {
    fn new(kind: Kind, symbol: u8, code_bits: u32) -> Self {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let advance = match (kind, run, size) {
            (Kind::Dc, ..) => 0,
            // Sixteen zeros are a run without a number.
            (Kind::Ac, 15, _) | (Kind::Ac, _, 1..) => run + 1,
            (Kind::Ac, ..) => END,
        };
        Self((code_bits + size) | (63 - size) << 8 | advance << 16 | code_bits << 24)
    }

    /// All its bits.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & 0xff
    }

    /// The same where nothing but the lowest six bits matter, as to a shift.
    #[inline(always)]
    pub(super) fn shift(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(super) fn advance(self) -> u32 {
        self.0 >> 16 & 0xff
    }

    /// Whether there is a number.
    #[inline(always)]
    pub(super) fn has_number(self) -> bool {
        self.0 >> 8 & 0xff < 63
    }

    #[inline(always)]
    pub(super) fn is_long(self) -> bool {
        self.0 & LONG << 16 != 0
    }

    /// The number behind the code, with `buffer` beginning at the code; 0 if there is none.
    #[inline(always)]
    pub(super) fn number(self, buffer: u64) -> i32 {
        let number = buffer.wrapping_shl(self.0 >> 24);
        // A first bit of 0 means a negative number, written as the complement of its magnitude.
        let negative = !((number as i64 >> 63) as u64);
        let magnitude = ((number ^ negative) >> 1).wrapping_shr(self.0 >> 8);
        (magnitude ^ negative).wrapping_sub(negative) as i32
    }
}

/// Up to two symbols with numbers, and the end of the block behind them, where all their bits were looked up. From the
/// lowest bits: bits in all (8), positions to advance in all (8, of which [`END`] is added for the end), positions to
/// advance for the first number (16), the first number (16), the second number (16). A single number counts as two
/// that are written to the same place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair(u64);

impl Pair {
    /// Where the first symbol does not fit.
    const LONG: Self = Self((LONG as u64) << 8);

    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 as u32 & 0xff
    }

    /// The same where nothing but the lowest six bits matter, as to a shift.
    #[inline(always)]
    pub(super) fn shift(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    pub(super) fn advance(self) -> u32 {
        self.0 as u32 >> 8 & 0xff
    }

    /// Whether the block ends behind its numbers.
    #[inline(always)]
    pub(super) fn ends(self) -> bool {
        self.advance() & END != 0
    }

    #[inline(always)]
    pub(super) fn first_advance(self) -> u32 {
        self.0 as u32 >> 16
    }

    #[inline(always)]
    pub(super) fn first(self) -> i16 {
        (self.0 >> 32) as i16
    }

    #[inline(always)]
    pub(super) fn second(self) -> i16 {
        (self.0 >> 48) as i16
    }
}

/// As many symbols as fit, for passing over them: bits in all and positions to advance in all, as in a [`Pair`].
pub(super) struct Skips([u16; 1 << SKIP_BITS]);

impl Skips {
    /// Bits and advance of the symbols that `buffer` begins with.
    #[inline(always)]
    pub(super) fn at(&self, buffer: u64) -> (u32, u32) {
        let skip = self.0[(buffer >> (64 - SKIP_BITS)) as usize];
        (u32::from(skip & 0xff), u32::from(skip >> 8))
    }
}

/// A Huffman table.
pub(super) struct Table {
    kind: Kind,
    /// Filled for AC tables only.
    pairs: [Pair; 1 << LOOKUP_BITS],
    lookup: [Entry; 1 << LOOKUP_BITS],
    /// The last code of each length, or -1; the offset from codes to symbols.
    last: [i32; 17],
    offset: [i32; 17],
    symbols: [u8; 256],
}

impl Table {
    /// `None` when `counts` (codes of 1 to 16 bits) are no Huffman code, or a DC table holds what is no size.
    pub(super) fn new(kind: Kind, counts: &[u8; 16], symbols: &[u8]) -> Option<Box<Self>> {
        let mut table = Box::new(Self {
            kind,
            pairs: [Pair::LONG; 1 << LOOKUP_BITS],
            lookup: [Entry(LONG << 16); 1 << LOOKUP_BITS],
            last: [-1; 17],
            offset: [0; 17],
            symbols: [0; 256],
        });
        table.symbols.get_mut(..symbols.len())?.copy_from_slice(symbols);
        if kind == Kind::Dc && symbols.iter().any(|&size| size > 15) {
            return None;
        }
        let (mut code, mut index) = (0i32, 0usize);
        for (bits, &count) in (1..).zip(counts) {
            table.offset[bits] = index as i32 - code;
            for &symbol in symbols.get(index..index + usize::from(count))? {
                if bits as u32 <= LOOKUP_BITS {
                    let free = LOOKUP_BITS - bits as u32;
                    let first = (code as usize) << free;
                    table.lookup.get_mut(first..first + (1 << free))?.fill(Entry::new(kind, symbol, bits as u32));
                }
                code += 1;
            }
            if count > 0 {
                table.last[bits] = code - 1;
                // No code is all ones.
                if code >= 1 << bits {
                    return None;
                }
            }
            index += usize::from(count);
            code <<= 1;
        }
        if kind == Kind::Ac {
            table.fill_pairs();
        }
        Some(table)
    }

    fn fill_pairs(&mut self) {
        for (buffer, pair) in (0u64..).zip(&mut self.pairs) {
            let buffer = buffer << (64 - LOOKUP_BITS);
            // The symbol behind `bits` bits, if all of it is known.
            let symbol = |bits: u32| {
                let buffer = buffer << bits;
                let entry = self.lookup[(buffer >> (64 - LOOKUP_BITS)) as usize];
                let known = !entry.is_long() && bits + entry.bits() <= LOOKUP_BITS;
                known.then(|| (bits + entry.bits(), entry.advance(), entry.number(buffer) as u16))
            };
            let Some((mut bits, mut advance, first)) = symbol(0) else { continue };
            let (first_advance, mut second) = (advance, first);
            for numbers in 1..=2 {
                match symbol(bits) {
                    Some((_, END, _)) if advance < END => advance += END,
                    Some((_, more, number)) if advance < END && numbers == 1 => {
                        (advance, second) = (advance + more, number)
                    }
                    _ => break,
                }
                bits = symbol(bits).map_or(bits, |(bits, ..)| bits);
            }
            let words = [u64::from(bits), u64::from(advance), u64::from(first_advance)];
            *pair = Pair(words[0] | words[1] << 8 | words[2] << 16 | u64::from(first) << 32 | u64::from(second) << 48);
        }
    }

    /// The table for passing over symbols.
    pub(super) fn skips(&self) -> Box<Skips> {
        let mut skips = Box::new(Skips([(LONG as u16) << 8; 1 << SKIP_BITS]));
        for (buffer, skip) in (0u64..).zip(&mut skips.0) {
            let buffer = buffer << (64 - SKIP_BITS);
            let (mut bits, mut advance) = (0, 0);
            // Sixteen more are no end.
            while advance < END - 16 {
                let entry = self.entry(buffer << bits);
                if entry.is_long() || bits + entry.bits() > SKIP_BITS {
                    break;
                }
                (bits, advance) = (bits + entry.bits(), advance + entry.advance());
            }
            if bits > 0 {
                *skip = (bits | advance << 8) as u16;
            }
        }
        skips
    }

    /// The symbols that `buffer` begins with, if their codes are short; an advance of [`LONG`] otherwise.
    #[inline(always)]
    pub(super) fn pair(&self, buffer: u64) -> Pair {
        self.pairs[(buffer >> (64 - LOOKUP_BITS)) as usize]
    }

    /// The symbol that `buffer` begins with, if its code is short; [`Entry::is_long`] otherwise.
    #[inline(always)]
    pub(super) fn entry(&self, buffer: u64) -> Entry {
        self.lookup[(buffer >> (64 - LOOKUP_BITS)) as usize]
    }

    /// The symbol that `buffer` begins with, whatever its length. What is no code counts as 17 bits that mean 0.
    #[cold]
    pub(super) fn long_entry(&self, buffer: u64) -> Entry {
        for bits in 1..=16 {
            let code = (buffer >> (64 - bits)) as i32;
            if code <= self.last[bits] {
                let symbol = self.symbols.get((code + self.offset[bits]) as usize);
                return Entry::new(self.kind, symbol.copied().unwrap_or(0), bits as u32);
            }
        }
        Entry::new(self.kind, 0, 17)
    }
}
