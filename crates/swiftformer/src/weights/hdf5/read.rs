//! Walking a file from its root group to all tensors.

use std::collections::HashSet;

use bytes::Bytes;
use indexmap::map::Entry;

use super::allowance::Allowance;
use super::cursor::{Cursor, Sizes};
use super::error::{Hdf5Error, unsupported};
use super::header::{self, kind};
use super::heap::{GlobalHeap, LONGEST_NAME};
use super::{Hdf5File, attribute, dataset, group, superblock};

/// Deepest nesting of groups; Keras needs about ten levels.
pub(super) const DEEPEST: usize = 64;

/// The state of reading one file.
pub(super) struct Reader<'a> {
    /// The file from its signature on.
    pub file: &'a Bytes,
    sizes: Sizes,
    pub allowance: Allowance,
    pub global_heap: GlobalHeap<'a>,
    visited: HashSet<u64>,
}

/// Reads every dataset and the string attributes of every group.
///
/// Contiguous little-endian datasets are views into `bytes`; the others (chunked, big-endian, never written) are
/// copies. Memory stays in proportion to the file, whatever it claims.
///
/// # Errors
/// When the file is not HDF5, is damaged, or uses a part of HDF5 outside the subset that the module names; the error
/// names the group or dataset.
pub fn read(bytes: Bytes) -> Result<Hdf5File, Hdf5Error> {
    let superblock = superblock::find(&bytes)?;
    let file = bytes.slice(superblock.base.min(bytes.len())..);
    let mut reader = Reader {
        file: &file,
        sizes: superblock.sizes,
        allowance: Allowance::new(file.len()),
        global_heap: GlobalHeap::default(),
        visited: HashSet::new(),
    };
    let mut result = Hdf5File::default();
    reader.object(superblock.root, "", 0, &mut result)?;
    Ok(result)
}

impl<'a> Reader<'a> {
    /// A cursor from `address` to the end of the file.
    pub fn cursor(&self, address: u64, what: &'static str) -> Result<Cursor<'a>, Hdf5Error> {
        Cursor::new(self.file, self.sizes, address, what)
    }

    fn object(&mut self, address: u64, path: &str, depth: usize, result: &mut Hdf5File) -> Result<(), Hdf5Error> {
        let links = self.open(address, path, depth, result).map_err(|error| error.within(path))?;
        for (name, child) in links {
            if name.is_empty() || name == "." || name.contains('/') {
                return unsupported(format!("the link name `{name}`")).map_err(|error| error.within(path));
            }
            let child_path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            self.object(child, &child_path, depth + 1, result)?;
        }
        Ok(())
    }

    /// Puts the object at `address` into `result`, and gives the links to its children if it is a group.
    fn open(
        &mut self,
        address: u64,
        path: &str,
        depth: usize,
        result: &mut Hdf5File,
    ) -> Result<Vec<group::Link<'a>>, Hdf5Error> {
        if depth > DEEPEST || path.len() > LONGEST_NAME {
            return unsupported(format!("groups nested more than {DEEPEST} deep, or a path over {LONGEST_NAME} bytes"));
        }
        self.allowance.metadata(path.len() + size_of::<(String, attribute::Attributes)>())?;
        if !self.visited.insert(address) {
            return unsupported("an object with two links to it, or a group inside itself");
        }
        let header = header::read(self, address)?;
        if header.has(kind::LAYOUT) {
            let tensor = dataset::read(self, &header)?;
            return match result.tensors.entry(path.to_owned()) {
                Entry::Occupied(_) => unsupported("two objects of this name"),
                Entry::Vacant(slot) => {
                    slot.insert(tensor);
                    Ok(Vec::new())
                }
            };
        }
        if ![kind::SYMBOL_TABLE, kind::LINK_INFO, kind::GROUP_INFO, kind::LINK].iter().any(|&kind| header.has(kind)) {
            return unsupported("an object that is neither a group nor a dataset");
        }
        let attributes = attribute::read_all(self, &header)?;
        if result.groups.insert(path.to_owned(), attributes).is_some() {
            return unsupported("two objects of this name");
        }
        group::links(self, &header)
    }
}
