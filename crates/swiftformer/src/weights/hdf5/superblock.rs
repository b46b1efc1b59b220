//! The superblock: where the file starts, how wide its addresses are, where its root group is.

use super::cursor::{Cursor, Sizes};
use super::error::{Hdf5Error, unsupported};

pub(super) const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

pub(super) struct Superblock {
    /// Offset of the signature; all addresses count from here.
    pub base: usize,
    pub sizes: Sizes,
    /// Address of the root group's object header.
    pub root: u64,
}

/// Finds and reads the superblock, at offset 0 or, after a user block, at 512, 1024, 2048, ...
pub(super) fn find(bytes: &[u8]) -> Result<Superblock, Hdf5Error> {
    let mut base = 0usize;
    while let Some(rest) = bytes.get(base..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(SIGNATURE) {
            return read(rest, base);
        }
        base = if base == 0 { 512 } else { base.saturating_mul(2) };
    }
    Err(Hdf5Error::NotHdf5)
}

fn read(file: &[u8], base: usize) -> Result<Superblock, Hdf5Error> {
    let mut cursor = Cursor::new(file, Sizes { offset: 8, length: 8 }, 8, "superblock")?;
    let version = cursor.version(&[0, 1, 2, 3])?;
    if version < 2 {
        // Versions of the free space, the root entry and shared messages, with a reserved byte.
        cursor.skip(4)?;
    }
    let sizes = Sizes { offset: cursor.u8()?, length: cursor.u8()? };
    if [sizes.offset, sizes.length].iter().any(|width| ![2, 4, 8].contains(width)) {
        return unsupported(format!("addresses of {} and lengths of {} bytes", sizes.offset, sizes.length));
    }
    // Versions 0 and 1: the tree widths K and flags, which only a writer needs. 2 and 3: flags.
    cursor.skip(match version {
        0 => 9,
        1 => 13,
        _ => 1,
    })?;
    let mut cursor = Cursor::new(file, sizes, cursor.position(), "superblock")?;
    cursor.address()?;
    cursor.address()?;
    let end = cursor.defined_address()?;
    // The end may or may not count the user block, depending on who wrote the file.
    if end > (base + file.len()) as u64 {
        let (needed, available) = (end, (base + file.len()) as u64);
        return Err(Hdf5Error::Truncated { what: "the file", offset: 0, needed, available });
    }
    if version < 2 {
        // The driver information, and the root's link name in its symbol table entry.
        cursor.address()?;
        cursor.address()?;
    }
    let root = cursor.defined_address()?;
    Ok(Superblock { base, sizes, root })
}
