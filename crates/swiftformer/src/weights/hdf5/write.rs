//! Writing a file: superblock, the values of all datasets, then everything that describes them.

use std::collections::BTreeMap;
use std::io::Write;

use super::attribute::Attributes;
use super::encode::{self, Metadata};
use super::error::Hdf5Error;
use super::heap::LONGEST_NAME;
use super::superblock::SIGNATURE;
use super::{Hdf5File, dataspace, read};
use crate::tensor::RawTensor;

const SUPERBLOCK: u64 = 96;

/// One object of the file to be. Children are sorted by name, as symbol tables must be.
enum Node<'a> {
    Group { children: BTreeMap<&'a str, Node<'a>>, attributes: Option<&'a Attributes> },
    Dataset { tensor: &'a RawTensor, address: u64 },
}

/// Writes `file`; the same content gives the same bytes. Values are written straight from the tensors.
///
/// # Errors
/// When a path or an attribute does not fit HDF5, or when `out` fails.
pub fn write(file: &Hdf5File, mut out: impl Write) -> Result<(), Hdf5Error> {
    let mut root = Node::Group { children: BTreeMap::new(), attributes: None };
    let mut end = SUPERBLOCK;
    for (path, tensor) in &file.tensors {
        if tensor.shape().len() > usize::from(dataspace::MOST_DIMENSIONS) {
            return bad_path(path, "more than 32 dimensions");
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        check_name(path, name)?;
        if path.starts_with('/') {
            return bad_path(path, "a leading slash");
        }
        let (children, _) = group(&mut root, path, parent)?;
        if children.insert(name, Node::Dataset { tensor, address: end }).is_some() {
            return bad_path(path, "a group has this name too");
        }
        end += (tensor.bytes().len() as u64).next_multiple_of(8);
    }
    for (path, attributes) in &file.groups {
        *group(&mut root, path, path)?.1 = Some(attributes);
    }

    let mut metadata = Metadata::new(end);
    let (root, table) = object(&root, &mut metadata).map_err(|error| error.within(""))?;
    let end = metadata.end();
    out.write_all(&superblock(root, table.unwrap_or_default(), end))?;
    for tensor in file.tensors.values() {
        let bytes = tensor.bytes();
        out.write_all(bytes)?;
        out.write_all(&[0; 8][..bytes.len().next_multiple_of(8) - bytes.len()])?;
    }
    out.write_all(metadata.bytes())?;
    out.flush()?;
    Ok(())
}

fn bad_path<T>(path: &str, problem: &'static str) -> Result<T, Hdf5Error> {
    Err(Hdf5Error::BadPath { path: path.to_owned(), problem })
}

fn check_name(path: &str, name: &str) -> Result<(), Hdf5Error> {
    if name.is_empty() || name == "." || name.contains('\0') {
        return bad_path(path, "a part of it is empty, `.`, or has a NUL");
    }
    if path.len() > LONGEST_NAME || path.split('/').count() > read::DEEPEST {
        return bad_path(path, "too long or too deep to be read again");
    }
    Ok(())
}

type GroupParts<'a, 'b> = (&'b mut BTreeMap<&'a str, Node<'a>>, &'b mut Option<&'a Attributes>);

/// The group at `group`, made with its parents where missing; `path` is for errors.
fn group<'a, 'b>(root: &'b mut Node<'a>, path: &'a str, group: &'a str) -> Result<GroupParts<'a, 'b>, Hdf5Error> {
    let mut node = root;
    for name in group.split('/').filter(|_| !group.is_empty()) {
        check_name(path, name)?;
        let Node::Group { children, .. } = node else {
            return bad_path(path, "a dataset has the name of a group of it");
        };
        node = children.entry(name).or_insert_with(|| Node::Group { children: BTreeMap::new(), attributes: None });
    }
    match node {
        Node::Group { children, attributes } => Ok((children, attributes)),
        Node::Dataset { .. } => bad_path(path, "a dataset has the name of a group of it"),
    }
}

/// Encodes the object with all below it: the address of its header, and of its symbol table if it is a group.
fn object(node: &Node<'_>, metadata: &mut Metadata) -> Result<(u64, Option<encode::SymbolTable>), Hdf5Error> {
    let (children, attributes) = match node {
        Node::Dataset { tensor, address } => return Ok((encode::dataset(metadata, tensor, *address), None)),
        Node::Group { children, attributes } => (children, attributes),
    };
    let mut links = Vec::with_capacity(children.len());
    for (&name, child) in children {
        let (address, table) = object(child, metadata).map_err(|error| error.within(name))?;
        links.push(encode::Link { name, address, table });
    }
    let table = encode::symbol_table(metadata, &links);
    let address = encode::group(metadata, table, attributes.unwrap_or(&Attributes::new()))?;
    Ok((address, Some(table)))
}

fn superblock(root: u64, table: encode::SymbolTable, end: u64) -> Vec<u8> {
    let mut block = SIGNATURE.to_vec();
    // All versions are 0; addresses and lengths have 8 bytes.
    block.extend([0, 0, 0, 0, 0, 8, 8, 0]);
    block.extend(encode::LEAF_K.to_le_bytes());
    block.extend(encode::INTERNAL_K.to_le_bytes());
    block.extend(0u32.to_le_bytes());
    for address in [0, u64::MAX, end, u64::MAX] {
        block.extend(address.to_le_bytes());
    }
    block.extend(encode::symbol_table_entry(0, root, Some(table)));
    block
}
