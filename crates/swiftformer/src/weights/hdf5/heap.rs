//! Heaps that strings live in: a group's local heap for link names, the global heap for attribute values.

use std::collections::HashMap;

use super::error::Hdf5Error;
use super::read::Reader;

/// Longest link name and longest path that are read, in bytes.
pub(super) const LONGEST_NAME: usize = 4096;

/// The data segment of the local heap at `address`.
pub(super) fn local<'a>(reader: &mut Reader<'a>, address: u64) -> Result<&'a [u8], Hdf5Error> {
    let mut cursor = reader.cursor(address, "local heap")?;
    cursor.expect(b"HEAP")?;
    cursor.version(&[0])?;
    cursor.skip(3)?;
    let size = cursor.length()?;
    cursor.length()?;
    let data = cursor.defined_address()?;
    reader.cursor(data, "local heap data")?.bytes(size)
}

/// The NUL-terminated name at `offset` of a local heap's data.
pub(super) fn name(heap: &[u8], offset: u64) -> Result<&str, Hdf5Error> {
    let malformed = |problem: &str| {
        Err(Hdf5Error::Malformed { what: "link name in a local heap", offset, problem: problem.to_owned() })
    };
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| heap.get(offset..)) else {
        return malformed("outside of the heap");
    };
    let Some(end) = rest.iter().take(LONGEST_NAME + 1).position(|&byte| byte == 0) else {
        return malformed("no end");
    };
    match std::str::from_utf8(rest.get(..end).unwrap_or_default()) {
        Ok(name) => Ok(name),
        Err(_) => malformed("not UTF-8"),
    }
}

/// The objects of one global heap collection by index.
type Collection<'a> = HashMap<u16, &'a [u8]>;

/// The collections of the global heap that have been read, by address.
#[derive(Default)]
pub(super) struct GlobalHeap<'a> {
    collections: HashMap<u64, Collection<'a>>,
}

/// Object `index` of the global heap collection at `address`.
pub(super) fn global<'a>(reader: &mut Reader<'a>, address: u64, index: u32) -> Result<&'a [u8], Hdf5Error> {
    if !reader.global_heap.collections.contains_key(&address) {
        let collection = collection(reader, address)?;
        reader.global_heap.collections.insert(address, collection);
    }
    let collection = reader.global_heap.collections.get(&address);
    let found = u16::try_from(index).ok().and_then(|index| collection?.get(&index).copied());
    found.ok_or_else(|| Hdf5Error::Malformed {
        what: "global heap",
        offset: address,
        problem: format!("no object {index}"),
    })
}

fn collection<'a>(reader: &mut Reader<'a>, address: u64) -> Result<Collection<'a>, Hdf5Error> {
    let mut cursor = reader.cursor(address, "global heap")?;
    let start = cursor.position();
    cursor.expect(b"GCOL")?;
    cursor.version(&[1])?;
    cursor.skip(3)?;
    let size = cursor.length()?;
    let rest = size.saturating_sub(cursor.position() - start);
    let mut objects = cursor.sub(rest, "global heap object")?;
    let mut collection = Collection::new();
    let header = 8 + usize::from(objects.sizes().length);
    while objects.remaining() >= header {
        let index = objects.u16()?;
        if index == 0 {
            break; // free space, which ends the collection
        }
        reader.allowance.step()?;
        reader.allowance.metadata(size_of::<(u16, &[u8])>())?;
        objects.skip(6)?;
        let length = objects.length()?;
        collection.insert(index, objects.bytes(length)?);
        let padding = (8 - length % 8) % 8;
        objects.skip(padding.min(objects.remaining() as u64))?;
    }
    Ok(collection)
}
