//! The legacy container, PyTorch's own before 1.6: five pickles (magic number, protocol version, system, checkpoint,
//! keys of storages), then for each key a 64-bit count of elements and the elements themselves.

use std::collections::HashMap;

use bytes::Bytes;

use super::TorchError;
use super::pickle::{self, Pickle, Value};

/// The first pickle's number, 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The second pickle's number.
const PROTOCOL_VERSION: i64 = 1001;

/// Whether a file starts with the magic number's pickle, of protocol 2 and later or of protocols 0 and 1.
pub(in crate::weights) fn starts_like_legacy(bytes: &[u8]) -> bool {
    match bytes {
        // PROTO, from protocol 4 on a FRAME with its length, LONG1 of ten bytes.
        [0x80, _, 0x8a, 10, rest @ ..] | [0x80, _, 0x95, _, _, _, _, _, _, _, _, 0x8a, 10, rest @ ..] => {
            rest.starts_with(&MAGIC)
        }
        _ => bytes.starts_with(b"L119547037146038801333356L\n"),
    }
}

/// Reads the pickle, and the storages by key.
pub(super) fn read(file: &Bytes) -> Result<(Pickle, HashMap<String, Bytes>), TorchError> {
    let mut position = 0;
    let mut next = |part: &'static str| {
        let rest = file.slice(position.min(file.len())..);
        let parsed = pickle::parse(&rest);
        let (pickle, length) =
            parsed.map_err(|source| TorchError::Pickle { part, start: position, container: "file", source })?;
        position += length;
        Ok((pickle, position))
    };
    let (magic, _) = next("the magic number")?;
    if !matches!(magic.root(), Value::LongInt(number) if **number == MAGIC) {
        return Err(TorchError::LegacyHeader { part: "magic number", expected: "0x1950a86a20f9469cfc6c" });
    }
    let (version, _) = next("the protocol version")?;
    if !matches!(version.root(), Value::Int(PROTOCOL_VERSION)) {
        return Err(TorchError::LegacyHeader { part: "protocol version", expected: "1001" });
    }
    let (system, _) = next("the system's description")?;
    match system.lookup(system.root(), "little_endian") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(TorchError::BigEndian),
        _ => return Err(TorchError::LegacyHeader { part: "system's description", expected: "a dict of its sizes" }),
    }
    let (checkpoint, _) = next("the checkpoint")?;
    let (keys, position) = next("the keys of storages")?;
    let storages = read_storages(file, position, &checkpoint, &keys)?;
    Ok((checkpoint, storages))
}

fn read_storages(
    file: &Bytes,
    mut position: usize,
    checkpoint: &Pickle,
    keys: &Pickle,
) -> Result<HashMap<String, Bytes>, TorchError> {
    let element_sizes: HashMap<&str, usize> = checkpoint
        .storages()
        .filter_map(|storage| Some((checkpoint.text(storage.key)?, storage.scalar.size)))
        .collect();
    let malformed = TorchError::LegacyHeader { part: "list of storages", expected: "a list of strings" };
    let Value::List(ids) = keys.root() else {
        return Err(malformed);
    };
    let mut storages = HashMap::new();
    for &id in ids {
        let Some(key) = keys.text(id) else {
            return Err(malformed);
        };
        let &element_size = element_sizes.get(key).ok_or_else(|| TorchError::UnknownStorage { key: key.to_owned() })?;
        let found = file.len() - position;
        let truncated =
            |start, needed, found| TorchError::TruncatedStorage { key: key.to_owned(), start, needed, found };
        let count = file.get(position..).and_then(|rest| rest.first_chunk()).copied().map(u64::from_le_bytes);
        let count = count.ok_or_else(|| truncated(position, 8, found))?;
        let start = position + 8;
        let needed = count.saturating_mul(element_size as u64);
        let end = usize::try_from(needed).ok().and_then(|length| start.checked_add(length));
        position = end.filter(|&end| end <= file.len()).ok_or_else(|| truncated(start, needed, found - 8))?;
        storages.insert(key.to_owned(), file.slice(start..position));
    }
    Ok(storages)
}
