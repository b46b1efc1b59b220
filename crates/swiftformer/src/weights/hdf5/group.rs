//! The links of a group: symbol tables (v1 B-tree, local heap) and compact link messages.

use super::cursor::Cursor;
use super::error::{Hdf5Error, unsupported};
use super::header::{Header, kind};
use super::heap::{self, LONGEST_NAME};
use super::read::Reader;

/// A child of a group: its name and the address of its object header.
pub(super) type Link<'a> = (&'a str, u64);

/// The hard links of the group that `header` describes, in the file's order.
pub(super) fn links<'a>(reader: &mut Reader<'a>, header: &Header<'a>) -> Result<Vec<Link<'a>>, Hdf5Error> {
    let mut links = Vec::new();
    if let Some(mut table) = header.first(kind::SYMBOL_TABLE)? {
        let (tree, heap) = (table.defined_address()?, table.defined_address()?);
        let heap = heap::local(reader, heap)?;
        tree_node(reader, tree, None, heap, &mut links)?;
    }
    if let Some(mut info) = header.first(kind::LINK_INFO)? {
        info.version(&[0])?;
        if info.u8()? & 1 != 0 {
            info.skip(8)?;
        }
        if info.address()?.is_some() {
            return unsupported("a group with dense link storage (many links, written with libver='latest')");
        }
    }
    for message in header.all(kind::LINK) {
        links.push(link_message(message?)?);
        reader.allowance.metadata(size_of::<Link<'_>>())?;
    }
    Ok(links)
}

/// Collects the links under the B-tree node at `address`, which must be of `level` unless it is the root.
fn tree_node<'a>(
    reader: &mut Reader<'a>,
    address: u64,
    level: Option<u8>,
    heap: &'a [u8],
    links: &mut Vec<Link<'a>>,
) -> Result<(), Hdf5Error> {
    let mut node = reader.cursor(address, "group B-tree node")?;
    let children = node_start(&mut node, 0, level)?;
    for _ in 0..children.count {
        reader.allowance.step()?;
        node.length()?; // the key: a name before the child's
        let child = node.defined_address()?;
        match children.level.checked_sub(1) {
            // Levels only fall, so a tree that points at itself ends here.
            Some(below) => tree_node(reader, child, Some(below), heap, links)?,
            None => symbol_node(reader, child, heap, links)?,
        }
    }
    Ok(())
}

/// What the start of a v1 B-tree node says.
pub(super) struct Children {
    pub level: u8,
    pub count: u16,
}

/// Reads the start of a v1 B-tree node of type `node_type` (0: group, 1: chunks).
pub(super) fn node_start(node: &mut Cursor<'_>, node_type: u8, level: Option<u8>) -> Result<Children, Hdf5Error> {
    node.expect(b"TREE")?;
    if node.u8()? != node_type {
        return node.malformed("a tree of another type");
    }
    let children = Children { level: node.u8()?, count: node.u16()? };
    // 64 levels of two children each would already address more than any file holds.
    if children.level > 64 || level.is_some_and(|level| level != children.level) {
        return node.malformed(format!("a node of level {} where {level:?} belongs", children.level));
    }
    node.address()?;
    node.address()?;
    Ok(children)
}

fn symbol_node<'a>(
    reader: &mut Reader<'a>,
    address: u64,
    heap: &'a [u8],
    links: &mut Vec<Link<'a>>,
) -> Result<(), Hdf5Error> {
    let mut node = reader.cursor(address, "symbol table node")?;
    node.expect(b"SNOD")?;
    node.version(&[1])?;
    node.skip(1)?;
    let count = node.u16()?;
    for _ in 0..count {
        reader.allowance.step()?;
        let name_offset = node.uint(node.sizes().offset)?;
        let name = heap::name(heap, name_offset)?;
        let address = node.address()?;
        let cache = node.u32()?;
        node.skip(20)?;
        match address {
            Some(address) if cache != 2 => {
                reader.allowance.metadata(size_of::<Link<'_>>())?;
                links.push((name, address));
            }
            _ => return unsupported(format!("the soft link `{name}`")),
        }
    }
    Ok(())
}

fn link_message(mut message: Cursor<'_>) -> Result<Link<'_>, Hdf5Error> {
    message.version(&[1])?;
    let flags = message.u8()?;
    let link_type = if flags & 8 != 0 { message.u8()? } else { 0 };
    if flags & 4 != 0 {
        message.skip(8)?; // creation order
    }
    if flags & 0x10 != 0 {
        message.skip(1)?; // character set: ASCII is UTF-8 too
    }
    let length = message.uint(1 << (flags & 3))?;
    let bytes = message.bytes(length)?;
    let Ok(name) = std::str::from_utf8(bytes) else {
        return message.malformed("a link name that is not UTF-8");
    };
    if name.len() > LONGEST_NAME {
        return message.malformed("a link name of more than 4096 bytes");
    }
    match link_type {
        0 => Ok((name, message.defined_address()?)),
        1 => unsupported(format!("the soft link `{name}`")),
        _ => unsupported(format!("the external link `{name}`")),
    }
}
