//! The zip container: `<name>/data.pkl`, `<name>/byteorder`, `<name>/data/<key>`.

use std::collections::HashMap;
use std::io::Cursor;

use ::zip::{CompressionMethod, ZipArchive};
use bytes::Bytes;

use super::TorchError;
use super::pickle::{self, Pickle};

/// The entries of an archive by name, each a view into the file; `None` where an entry is compressed or encrypted.
struct Entries(HashMap<String, Option<Bytes>>);

/// Reads the pickle, and the storages by key.
pub(super) fn read(file: &Bytes) -> Result<(Pickle, HashMap<String, Bytes>), TorchError> {
    let entries = Entries::read(file)?;
    let root = entries.root().ok_or(TorchError::NotTorch)?;
    if entries.0.contains_key(&format!("{root}constants.pkl")) {
        return Err(TorchError::TorchScript);
    }
    match entries.stored(&format!("{root}byteorder"))?.map(|order| order.trim_ascii()) {
        None | Some(b"little") => {}
        Some(b"big") => return Err(TorchError::BigEndian),
        Some(_) => return Err(TorchError::ByteOrder),
    }
    let data = entries.stored(&format!("{root}data.pkl"))?.ok_or(TorchError::NotTorch)?;
    let (pickle, _) = pickle::parse(data).map_err(|source| TorchError::Pickle {
        part: "data.pkl",
        start: 0,
        container: "archive entry",
        source,
    })?;
    let folder = format!("{root}data/");
    let mut storages = HashMap::with_capacity(entries.0.len());
    for name in entries.0.keys() {
        if let (Some(key), Some(bytes)) = (name.strip_prefix(&folder), entries.stored(name)?) {
            storages.insert(key.to_owned(), bytes.clone());
        }
    }
    Ok((pickle, storages))
}

impl Entries {
    fn read(file: &Bytes) -> Result<Self, TorchError> {
        let mut archive = ZipArchive::new(Cursor::new(&file[..])).map_err(TorchError::Zip)?;
        let mut entries = HashMap::with_capacity(archive.len());
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(TorchError::Zip)?;
            if entry.is_dir() {
                continue;
            }
            let name = entry.name().map_err(TorchError::Zip)?.into_owned();
            if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
                entries.insert(name, None);
                continue;
            }
            let start = entry.data_start().unwrap_or(u64::MAX);
            let bytes = stored(file, start, entry.size(), entry.compressed_size()).ok_or_else(|| {
                TorchError::EntrySize { entry: name.clone(), claimed: entry.size(), start, file: file.len() }
            })?;
            entries.insert(name, Some(bytes));
        }
        Ok(Self(entries))
    }

    /// An entry's bytes, if there is one of this name.
    fn stored(&self, name: &str) -> Result<Option<&Bytes>, TorchError> {
        match self.0.get(name) {
            Some(None) => Err(TorchError::CompressedEntry { entry: name.to_owned() }),
            found => Ok(found.and_then(Option::as_ref)),
        }
    }

    /// The folder that holds data.pkl, with its slash; data.pkl at the top level has the empty root.
    fn root(&self) -> Option<String> {
        // The least name, so that an archive with several is read the same way each time.
        self.0
            .keys()
            .filter_map(|name| name.strip_suffix("data.pkl"))
            .filter(|root| is_root(root))
            .min()
            .map(Into::into)
    }
}

fn is_root(root: &str) -> bool {
    root.is_empty() || root.strip_suffix('/').is_some_and(|folder| !folder.contains('/'))
}

/// The bytes of a stored entry; both sizes must agree, or one of them lies.
fn stored(file: &Bytes, start: u64, size: u64, compressed_size: u64) -> Option<Bytes> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    (size == compressed_size && end <= file.len()).then(|| file.slice(start..end))
}
