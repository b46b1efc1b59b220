//! Chunked datasets: the index of their chunks, and putting chunks together.

use super::cursor::Cursor;
use super::error::{Hdf5Error, unsupported};
use super::filters::{self, Filter};
use super::group::node_start;
use super::read::Reader;

/// How a dataset finds its chunks.
pub(super) enum Chunks {
    /// A v1 B-tree, as all files have that older libraries can read.
    Tree(u64),
    /// One chunk; with filters its stored size and the mask of those left out.
    Single { address: u64, filtered: Option<(u64, u32)> },
    /// All chunks unfiltered and one after the other.
    Implicit(u64),
}

/// Reads the index part of a version 4 layout message; `None` when no chunk was written.
pub(super) fn parse_index(cursor: &mut Cursor<'_>, flags: u8) -> Result<Option<Chunks>, Hdf5Error> {
    match cursor.u8()? {
        1 => {
            let filtered = if flags & 2 != 0 { Some((cursor.length()?, cursor.u32()?)) } else { None };
            Ok(cursor.address()?.map(|address| Chunks::Single { address, filtered }))
        }
        2 => Ok(cursor.address()?.map(Chunks::Implicit)),
        3 => unsupported("chunks indexed by a fixed array (written with libver='latest')"),
        4 => unsupported("chunks indexed by an extensible array (written with libver='latest')"),
        5 => unsupported("chunks indexed by a version 2 B-tree (written with libver='latest')"),
        index => cursor.malformed(format!("chunk index type {index}")),
    }
}

/// The values of a chunked dataset while its chunks are put in.
pub(super) struct Grid {
    shape: Vec<u64>,
    sides: Vec<u64>,
    element_size: usize,
    /// Bytes of one whole chunk; chunks at the edges are stored whole too.
    chunk_length: usize,
    filters: Vec<Filter>,
    values: Vec<u8>,
}

impl Grid {
    pub fn new(
        shape: &[usize],
        sides: &[u64],
        element_size: usize,
        filters: Vec<Filter>,
        values: Vec<u8>,
    ) -> Result<Self, Hdf5Error> {
        let elements = sides.iter().try_fold(1u64, |count, &side| count.checked_mul(side));
        let length = elements.and_then(|count| usize::try_from(count).ok()?.checked_mul(element_size));
        let Some(chunk_length @ 1..=0xffff_ffff) = length else {
            return unsupported(format!("chunks of {sides:?} elements"));
        };
        let shape = shape.iter().map(|&side| side as u64).collect();
        Ok(Self { shape, sides: sides.to_vec(), element_size, chunk_length, filters, values })
    }

    pub fn into_values(self) -> Vec<u8> {
        self.values
    }

    /// Copies a whole chunk's bytes to `start` (in elements), leaving out what lies past the dataset's edges.
    fn put(&mut self, start: &[u64], chunk: &[u8]) -> Result<(), Hdf5Error> {
        let rank = self.shape.len();
        // The part of the chunk that lies in the dataset, by dimension.
        let mut extent = Vec::with_capacity(rank);
        for ((&side, &size), &at) in self.sides.iter().zip(&self.shape).zip(start) {
            match size.checked_sub(at) {
                Some(left @ 1..) => extent.push(left.min(side)),
                _ => return unsupported(format!("a chunk at {start:?} outside of the dataset {:?}", self.shape)),
            }
        }
        let row = extent.last().map_or(0, |&last| last as usize) * self.element_size;
        let (origin, steps) = (vec![0u64; rank], vec![1u64; rank]);
        // Rows go along the last dimension, so that it is not walked.
        if let Some(last) = extent.last_mut() {
            *last = 1;
        }
        let mut index = origin.clone();
        loop {
            let offset = |sides: &[u64], start: &[u64]| {
                let position = index.iter().zip(start).map(|(&i, &at)| i + at);
                position.zip(sides).fold(0, |offset, (i, &side)| offset * side + i) as usize * self.element_size
            };
            let (from, to) = (offset(&self.sides, &origin), offset(&self.shape, start));
            // Both are in range, as every index is below its extent.
            if let (Some(from), Some(to)) = (chunk.get(from..from + row), self.values.get_mut(to..to + row)) {
                to.copy_from_slice(from);
            }
            if !advance(&mut index, &steps, &extent) {
                return Ok(());
            }
        }
    }

    /// Reads the chunk at `address` that takes `size` bytes of the file, and puts it at `start`.
    fn load(
        &mut self,
        reader: &mut Reader<'_>,
        address: u64,
        size: u64,
        mask: u32,
        start: &[u64],
    ) -> Result<(), Hdf5Error> {
        let mut cursor = reader.cursor(address, "chunk")?;
        let stored = cursor.bytes(size)?;
        let filtered;
        let chunk = if self.filters.is_empty() {
            reader.allowance.copied(stored.len() as u64)?;
            stored
        } else {
            filtered = filters::undo(reader, &self.filters, mask, stored, self.chunk_length)?;
            &filtered
        };
        if chunk.len() != self.chunk_length {
            return cursor.malformed(format!("{} bytes in a chunk of {}", chunk.len(), self.chunk_length));
        }
        self.put(start, chunk)
    }
}

/// Puts all chunks into `grid`.
pub(super) fn read(reader: &mut Reader<'_>, chunks: &Chunks, grid: &mut Grid) -> Result<(), Hdf5Error> {
    let whole = grid.chunk_length as u64;
    match *chunks {
        Chunks::Tree(address) => tree_node(reader, address, None, grid),
        Chunks::Single { address, filtered } => {
            let (size, mask) = filtered.unwrap_or((whole, u32::MAX));
            grid.load(reader, address, size, mask, &vec![0; grid.shape.len()])
        }
        Chunks::Implicit(address) => {
            let mut start = vec![0u64; grid.shape.len()];
            let mut address = address;
            loop {
                reader.allowance.step()?;
                grid.load(reader, address, whole, u32::MAX, &start)?;
                let Some(next) = address.checked_add(whole) else {
                    return unsupported("chunks past the end of all addresses");
                };
                address = next;
                if !advance(&mut start, &grid.sides, &grid.shape) {
                    return Ok(());
                }
            }
        }
    }
}

/// Moves `index` on by `steps` in row-major order, below `limits`; false behind the last.
fn advance(index: &mut [u64], steps: &[u64], limits: &[u64]) -> bool {
    for ((index, &step), &limit) in index.iter_mut().zip(steps).zip(limits).rev() {
        *index = index.saturating_add(step);
        if *index < limit {
            return true;
        }
        *index = 0;
    }
    false
}

fn tree_node(reader: &mut Reader<'_>, address: u64, level: Option<u8>, grid: &mut Grid) -> Result<(), Hdf5Error> {
    let mut node = reader.cursor(address, "chunk B-tree node")?;
    let children = node_start(&mut node, 1, level)?;
    for _ in 0..children.count {
        reader.allowance.step()?;
        let (size, mask) = (node.u32()?, node.u32()?);
        let mut start = Vec::with_capacity(grid.shape.len());
        for _ in 0..grid.shape.len() {
            start.push(node.uint(8)?);
        }
        node.skip(8)?; // the offset inside an element, always 0
        let child = node.defined_address()?;
        match children.level.checked_sub(1) {
            Some(below) => tree_node(reader, child, Some(below), grid)?,
            None => grid.load(reader, child, u64::from(size), mask, &start)?,
        }
    }
    Ok(())
}
