//! A reader of flatbuffers that checks every offset; written from the format's description, for tests alone.

/// A table in its file.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let part = bytes.get(at..at + N).unwrap_or_else(|| panic!("byte {at} of {}", bytes.len()));
    part.try_into().unwrap()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    assert_eq!(at % 4, 0, "a word at byte {at}");
    u32::from_le_bytes(take(bytes, at))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(take(bytes, at))
}

/// Where an offset leads, which is always forwards.
fn follow(bytes: &[u8], at: usize) -> usize {
    let to = at + u32_at(bytes, at) as usize;
    assert!(to > at && to < bytes.len(), "an offset from {at} to {to} of {}", bytes.len());
    to
}

impl<'a> Table<'a> {
    /// The root, of a file with this identifier.
    pub fn root(bytes: &'a [u8], identifier: &[u8; 4]) -> Self {
        assert_eq!(&take::<4>(bytes, 4), identifier);
        Self { bytes, at: follow(bytes, 0) }
    }

    /// Where a field stands, if it is there.
    fn field(&self, index: usize) -> Option<usize> {
        let vtable = self.at as i64 - i64::from(u32_at(self.bytes, self.at) as i32);
        let vtable = usize::try_from(vtable).unwrap();
        let length = usize::from(u16_at(self.bytes, vtable));
        let table_length = usize::from(u16_at(self.bytes, vtable + 2));
        let place = 4 + 2 * index;
        let offset = if place + 2 <= length { usize::from(u16_at(self.bytes, vtable + place)) } else { 0 };
        assert!(offset < table_length, "field {index} at {offset} of a table of {table_length}");
        (offset != 0).then_some(self.at + offset)
    }

    pub fn u32(&self, index: usize) -> u32 {
        self.field(index).map_or(0, |at| u32_at(self.bytes, at))
    }

    pub fn i32_or(&self, index: usize, absent: i32) -> i32 {
        self.field(index).map_or(absent, |at| u32_at(self.bytes, at) as i32)
    }

    pub fn u8(&self, index: usize) -> u8 {
        self.field(index).map_or(0, |at| take::<1>(self.bytes, at)[0])
    }

    pub fn table(&self, index: usize) -> Option<Table<'a>> {
        self.field(index).map(|at| Table { bytes: self.bytes, at: follow(self.bytes, at) })
    }

    /// Start and number of elements of a vector whose elements have this size; empty where it is missing.
    fn vector(&self, index: usize, size: usize) -> (usize, usize) {
        let Some(at) = self.field(index) else { return (0, 0) };
        let at = follow(self.bytes, at);
        let count = u32_at(self.bytes, at) as usize;
        assert!(at + 4 + count * size <= self.bytes.len(), "{count} elements at {at} of {}", self.bytes.len());
        (at + 4, count)
    }

    pub fn tables(&self, index: usize) -> Vec<Table<'a>> {
        let (start, count) = self.vector(index, 4);
        (0..count).map(|i| Table { bytes: self.bytes, at: follow(self.bytes, start + 4 * i) }).collect()
    }

    pub fn i32s(&self, index: usize) -> Vec<i32> {
        let (start, count) = self.vector(index, 4);
        (0..count).map(|i| u32_at(self.bytes, start + 4 * i) as i32).collect()
    }

    pub fn f32s(&self, index: usize) -> Vec<f32> {
        self.i32s(index).into_iter().map(|bits| f32::from_bits(bits as u32)).collect()
    }

    /// Bytes, and where in the file they start.
    pub fn data(&self, index: usize) -> (&'a [u8], usize) {
        let (start, count) = self.vector(index, 1);
        (&self.bytes[start..start + count], start)
    }

    pub fn text(&self, index: usize) -> &'a str {
        std::str::from_utf8(self.data(index).0).unwrap()
    }
}
