//! The structures that describe groups and datasets, as bytes.

use super::attribute::{Attribute, Attributes};
use super::error::Hdf5Error;
use super::header::kind;
use super::{dataspace, datatype};
use crate::tensor::{DType, RawTensor};

/// Half the entries of a symbol table node, and half the children of a B-tree node: the library's defaults.
pub(super) const LEAF_K: u16 = 4;
pub(super) const INTERNAL_K: u16 = 16;
const NODE_ENTRIES: usize = 2 * LEAF_K as usize;
const NODE_CHILDREN: usize = 2 * INTERNAL_K as usize;
/// Bytes of a B-tree node: the start, its keys and its children.
const TREE_NODE: usize = 24 + (NODE_CHILDREN + 1) * 8 + NODE_CHILDREN * 8;
/// Smallest collection of the global heap that the library accepts.
const COLLECTION: usize = 4096;
/// Largest body of an object header message: its length has 16 bits and is a multiple of 8.
const LARGEST_MESSAGE: usize = 65528;

/// The part of the file behind the values.
pub(super) struct Metadata {
    base: u64,
    bytes: Vec<u8>,
}

impl Metadata {
    pub fn new(base: u64) -> Self {
        Self { base, bytes: Vec::new() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Address behind the last block.
    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Appends a block, padded to 8 bytes, and gives its address.
    fn place(&mut self, block: &[u8]) -> u64 {
        let address = self.end();
        self.bytes.extend_from_slice(block);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        address
    }
}

/// Addresses of a group's B-tree and local heap.
#[derive(Clone, Copy, Default)]
pub(super) struct SymbolTable {
    tree: u64,
    heap: u64,
}

/// A child of a group.
pub(super) struct Link<'a> {
    pub name: &'a str,
    pub address: u64,
    /// Of a child that is a group.
    pub table: Option<SymbolTable>,
}

pub(super) fn symbol_table_entry(name: u64, address: u64, table: Option<SymbolTable>) -> Vec<u8> {
    let mut entry = Vec::with_capacity(40);
    entry.extend(name.to_le_bytes());
    entry.extend(address.to_le_bytes());
    entry.extend(u64::from(table.is_some()).to_le_bytes());
    let table = table.unwrap_or_default();
    entry.extend(table.tree.to_le_bytes());
    entry.extend(table.heap.to_le_bytes());
    entry
}

/// Places the local heap, symbol table nodes and B-tree of a group; `links` are sorted by name.
pub(super) fn symbol_table(metadata: &mut Metadata, links: &[Link<'_>]) -> SymbolTable {
    let mut names = vec![0; 8]; // offset 0 is the empty name, a key below all others
    let mut offsets = Vec::with_capacity(links.len());
    for link in links {
        offsets.push(names.len() as u64);
        names.extend(link.name.as_bytes());
        names.resize((names.len() + 1).next_multiple_of(8), 0);
    }
    let mut heap = b"HEAP\0\0\0\0".to_vec();
    heap.extend((names.len() as u64).to_le_bytes());
    heap.extend(1u64.to_le_bytes()); // no free block
    heap.extend((metadata.end() + 32).to_le_bytes());
    heap.extend(names);
    let heap = metadata.place(&heap);

    // Each child of the tree's lowest level with the heap offset of its last name.
    let mut children = Vec::new();
    for (links, offsets) in links.chunks(NODE_ENTRIES).zip(offsets.chunks(NODE_ENTRIES)) {
        let mut node = b"SNOD\x01\0".to_vec();
        node.extend((links.len() as u16).to_le_bytes());
        for (link, &offset) in links.iter().zip(offsets) {
            node.extend(symbol_table_entry(offset, link.address, link.table));
        }
        node.resize(8 + NODE_ENTRIES * 40, 0);
        children.push((metadata.place(&node), offsets.last().copied().unwrap_or_default()));
    }
    let mut level = 0;
    loop {
        children = tree_level(metadata, level, &children);
        if let [(tree, _)] = children[..] {
            return SymbolTable { tree, heap };
        }
        level += 1;
    }
}

/// Places the B-tree nodes of one level, and gives them as children of the next.
fn tree_level(metadata: &mut Metadata, level: u8, children: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let count = children.len().div_ceil(NODE_CHILDREN).max(1);
    let first = metadata.end();
    let mut nodes = Vec::with_capacity(count);
    let mut key = 0;
    for index in 0..count {
        let children = children.chunks(NODE_CHILDREN).nth(index).unwrap_or_default();
        let sibling = |exists: bool, index: usize| if exists { first + (index * TREE_NODE) as u64 } else { u64::MAX };
        let mut node = b"TREE\0".to_vec();
        node.push(level);
        node.extend((children.len() as u16).to_le_bytes());
        node.extend(sibling(index > 0, index.wrapping_sub(1)).to_le_bytes());
        node.extend(sibling(index + 1 < count, index + 1).to_le_bytes());
        node.extend(u64::to_le_bytes(key));
        for &(child, last) in children {
            key = last;
            node.extend(child.to_le_bytes());
            node.extend(key.to_le_bytes());
        }
        node.resize(TREE_NODE, 0);
        nodes.push((metadata.place(&node), key));
    }
    nodes
}

/// An object header message: type, whether it may change, body.
type Message = (u16, u8, Vec<u8>);
const CONSTANT: u8 = 1;

fn object_header(metadata: &mut Metadata, messages: &[Message]) -> u64 {
    let mut body = Vec::new();
    for (kind, flags, message) in messages {
        body.extend(kind.to_le_bytes());
        body.extend((message.len().next_multiple_of(8) as u16).to_le_bytes());
        body.extend([*flags, 0, 0, 0]);
        body.extend(message);
        body.resize(body.len().next_multiple_of(8), 0);
    }
    let mut header = vec![1, 0];
    header.extend((messages.len() as u16).to_le_bytes());
    header.extend(1u32.to_le_bytes()); // one link leads here
    header.extend((body.len() as u32).to_le_bytes());
    header.extend([0; 4]);
    header.extend(body);
    metadata.place(&header)
}

/// Places the object header of a contiguous dataset whose values are at `address`.
pub(super) fn dataset(metadata: &mut Metadata, tensor: &RawTensor, address: u64) -> u64 {
    let length = tensor.bytes().len() as u64;
    let mut layout = vec![3, 1];
    layout.extend(if length == 0 { u64::MAX } else { address }.to_le_bytes());
    layout.extend(length.to_le_bytes());
    // Fill value, version 2: space allocated late, filled where the user set a value; the default value, of size 0.
    let fill = vec![2, 2, 2, 1, 0, 0, 0, 0];
    let messages = [
        (kind::DATASPACE, 0, dataspace::encode(tensor.shape())),
        (kind::DATATYPE, CONSTANT, datatype::encode_number(tensor.dtype())),
        (kind::FILL_VALUE, CONSTANT, fill),
        (kind::LAYOUT, 0, layout),
    ];
    object_header(metadata, &messages)
}

/// Places the object header of a group.
pub(super) fn group(metadata: &mut Metadata, table: SymbolTable, attributes: &Attributes) -> Result<u64, Hdf5Error> {
    let mut symbol_table = table.tree.to_le_bytes().to_vec();
    symbol_table.extend(table.heap.to_le_bytes());
    let mut messages = vec![(kind::SYMBOL_TABLE, 0, symbol_table)];
    for (name, value) in attributes {
        messages.push((kind::ATTRIBUTE, 0, attribute(metadata, name, value)?));
    }
    let total: usize = messages.iter().map(|(.., body)| body.len() + 16).sum();
    if messages.len() > usize::from(u16::MAX) || u32::try_from(total).is_err() {
        return Err(Hdf5Error::AttributeTooLarge { name: "all of a group".to_owned(), size: total });
    }
    Ok(object_header(metadata, &messages))
}

fn attribute(metadata: &mut Metadata, name: &str, value: &Attribute) -> Result<Vec<u8>, Hdf5Error> {
    let strings = value.strings();
    let ascii = strings.iter().all(|string| string.is_ascii());
    let longest = strings.iter().map(String::len).max().unwrap_or(0).max(1);
    let (datatype, width, shape) = match value {
        Attribute::String(_) => (datatype::encode_variable_string(ascii), 16, &[][..]),
        // NumPy makes numbers of an empty list, and so Keras writes it.
        _ if strings.is_empty() => (datatype::encode_number(DType::F64), 8, &[0][..]),
        Attribute::Strings(_) => (datatype::encode_variable_string(ascii), 16, &[strings.len()][..]),
        Attribute::FixedStrings(_) => {
            (datatype::encode_fixed_string(longest as u32, ascii), longest, &[strings.len()][..])
        }
    };
    let dataspace = dataspace::encode(shape);
    let padded = |length: usize| length.next_multiple_of(8);
    let head = 8 + padded(name.len() + 1) + padded(datatype.len()) + padded(dataspace.len());
    let size = head.saturating_add(padded(strings.len().saturating_mul(width)));
    if size > LARGEST_MESSAGE || name.contains('\0') {
        return Err(Hdf5Error::AttributeTooLarge { name: name.to_owned(), size });
    }
    let mut message = vec![1, 0];
    for length in [name.len() + 1, datatype.len(), dataspace.len()] {
        message.extend((length as u16).to_le_bytes());
    }
    for part in [&[name.as_bytes(), &[0]].concat(), &datatype, &dataspace] {
        message.extend(part);
        message.resize(message.len().next_multiple_of(8), 0);
    }
    match value {
        Attribute::FixedStrings(_) => {
            for string in strings {
                message.extend(string.as_bytes());
                message.resize(message.len() + longest - string.len(), 0);
            }
        }
        Attribute::String(_) | Attribute::Strings(_) => message.extend(in_global_heap(metadata, strings)),
    }
    Ok(message)
}

/// Places a collection of the global heap with `strings`, and gives the references to them. At most 4095 strings fit
/// an attribute, far fewer than a collection holds.
fn in_global_heap(metadata: &mut Metadata, strings: &[String]) -> Vec<u8> {
    let mut objects = Vec::new();
    let mut references = Vec::with_capacity(strings.len() * 16);
    let address = metadata.end();
    for (string, index) in strings.iter().zip(1u32..) {
        let length = string.len() as u64;
        references.extend((length as u32).to_le_bytes());
        if string.is_empty() {
            references.extend([0; 12]);
            continue;
        }
        references.extend(address.to_le_bytes());
        references.extend(index.to_le_bytes());
        objects.extend((index as u16).to_le_bytes());
        objects.extend([0; 6]);
        objects.extend(length.to_le_bytes());
        objects.extend(string.as_bytes());
        objects.resize(objects.len().next_multiple_of(8), 0);
    }
    if objects.is_empty() {
        return references;
    }
    // 16 bytes are the collection's start, 16 more the object 0 that stands for the free space at the end.
    let size = (objects.len() + 32).next_multiple_of(COLLECTION);
    let free = size - 16 - objects.len();
    let mut collection = b"GCOL\x01\0\0\0".to_vec();
    collection.extend((size as u64).to_le_bytes());
    collection.extend(objects);
    collection.extend([0; 8]);
    collection.extend((free as u64).to_le_bytes());
    collection.resize(size, 0);
    metadata.place(&collection);
    references
}
