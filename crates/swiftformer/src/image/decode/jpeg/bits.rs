//! Bits of entropy-coded data.

use super::structure::{find_marker, first_ones};

/// Bytes that are unpacked at a time; small enough to stay in the cache.
const WINDOW: usize = 1 << 15;
/// More than a unit of ten blocks can take: 64 symbols of 31 bits each. So many bytes are present when a unit begins, zeros
/// after the end of the data.
const SLACK: usize = 4096;
/// Bytes copied in one step.
const STEP: usize = 8;

/// Data without stuffed zeros.
pub(super) type Window = [u8; WINDOW + SLACK];

/// Bits taken from a window.
#[derive(Clone, Copy)]
pub(super) struct Bits {
    /// The next bits, the first one highest.
    pub buffer: u64,
    /// How many of them count.
    count: u32,
    /// The byte of the window that comes after them.
    at: usize,
}

impl Bits {
    /// Has 56 bits in the buffer at least.
    #[inline(always)]
    pub(super) fn refill(&mut self, window: &Window) {
        let word = window.get(self.at..self.at + 8).and_then(|bytes| bytes.first_chunk());
        // Bits beyond `count` are there already, or zero: the same ones are added.
        self.buffer |= word.map_or(0, |&bytes| u64::from_be_bytes(bytes)) >> (self.count & 63);
        self.at += (63 - (self.count & 63) as usize) >> 3;
        self.count |= 56;
    }

    /// Drops `bits` of the buffer; only the lowest six bits of `shift`, which is the same number, matter.
    #[inline(always)]
    pub(super) fn drop(&mut self, shift: u32, bits: u32) {
        self.buffer = self.buffer.wrapping_shl(shift);
        self.count = self.count.wrapping_sub(bits);
    }
}

/// A scan's data, unpacked window by window up to a marker.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// What is unpacked next.
    next: usize,
    /// The marker that was met; nothing is read beyond it.
    marker: Option<u8>,
    pub window: Box<Window>,
    /// Bytes of data in the window.
    end: usize,
    pub bits: Bits,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        let window = vec![0; WINDOW + SLACK].into_boxed_slice().try_into().expect("a window's length");
        let bits = Bits { buffer: 0, count: 0, at: 0 };
        Self { bytes, next: start, marker: None, window, end: 0, bits }
    }

    /// Makes sure that a unit can be read; zeros follow the data.
    #[inline(always)]
    pub(super) fn prepare(&mut self) {
        if self.bits.at + SLACK > self.end && self.marker.is_none() {
            self.unpack();
        }
    }

    /// Whether more bits were taken than the data has.
    #[inline(always)]
    pub(super) fn is_overdrawn(&self) -> bool {
        self.bits.at * 8 > self.end * 8 + self.bits.count as usize
    }

    /// Moves what is left to the front of the window and fills it up.
    #[cold]
    fn unpack(&mut self) {
        let start = self.bits.at.min(self.end);
        self.window.copy_within(start..self.end, 0);
        self.end -= start;
        self.bits.at -= start;
        while self.end + STEP <= WINDOW && self.marker.is_none() {
            let Some(word) = self.bytes.get(self.next..).and_then(|rest| rest.first_chunk::<STEP>()) else {
                self.unpack_byte();
                continue;
            };
            self.window[self.end..self.end + STEP].copy_from_slice(word);
            let plain = first_ones(u64::from_le_bytes(*word));
            self.next += plain.unwrap_or(STEP);
            self.end += plain.unwrap_or(STEP);
            if plain.is_some() {
                self.unpack_byte();
            }
        }
        self.window[self.end..self.end + SLACK].fill(0);
    }

    fn unpack_byte(&mut self) {
        let byte = match self.bytes.get(self.next) {
            Some(0xff) => {
                // Any number of fill bytes may precede a marker; libjpeg passes over them before a stuffed zero, too.
                while self.bytes.get(self.next + 1) == Some(&0xff) {
                    self.next += 1;
                }
                match self.bytes.get(self.next + 1) {
                    Some(0) => {
                        self.next += 1;
                        0xff
                    }
                    marker => {
                        // The end of the file stands for the end of the image.
                        self.marker = Some(marker.copied().unwrap_or(0xd9));
                        self.next += 2;
                        return;
                    }
                }
            }
            Some(&byte) => byte,
            None => {
                self.marker = Some(0xd9);
                return;
            }
        };
        self.window[self.end] = byte;
        self.end += 1;
        self.next += 1;
    }

    /// Passes over the restart marker `number` (0..=7), as libjpeg does: what is left of the data before it is dropped, and
    /// another marker in its place is taken for a damaged one or for a later one, whichever is nearer. Returns whether
    /// data follows.
    pub(super) fn restart(&mut self, number: u8) -> bool {
        (self.end, self.bits) = (0, Bits { buffer: 0, count: 0, at: 0 });
        self.window[..SLACK].fill(0);
        let ahead = |marker: u8| (marker.wrapping_sub(0xd0).wrapping_sub(number)) & 7;
        loop {
            let marker = match self.marker {
                Some(marker) => marker,
                None => self.next_marker(),
            };
            match marker {
                // Not a marker at all.
                ..0xc0 => self.marker = None,
                0xd0..=0xd7 => match ahead(marker) {
                    // One of the next two: the data up to it is missing.
                    1 | 2 => return false,
                    // One of those before: the data after it is not wanted any more.
                    6 | 7 => self.marker = None,
                    _ => {
                        self.marker = None;
                        return true;
                    }
                },
                _ => return false,
            }
        }
    }

    fn next_marker(&mut self) -> u8 {
        loop {
            let found = self.bytes.get(self.next..).and_then(find_marker);
            self.next = found.map_or(self.bytes.len(), |skipped| self.next + skipped);
            while self.bytes.get(self.next + 1) == Some(&0xff) {
                self.next += 1;
            }
            let marker = self.bytes.get(self.next + 1).copied();
            self.next = (self.next + 2).min(self.bytes.len());
            if marker != Some(0) {
                let marker = marker.unwrap_or(0xd9);
                self.marker = Some(marker);
                return marker;
            }
        }
    }
}
