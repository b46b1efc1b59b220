//! Attributes of groups: the lists of names and the versions that Keras writes.

use indexmap::IndexMap;

use super::cursor::Cursor;
use super::datatype::{Datatype, Padding};
use super::error::{Hdf5Error, unsupported};
use super::header::{Header, kind};
use super::heap;
use super::read::Reader;
use super::{dataspace, error};
use crate::tensor::element_count;

/// The value of a string attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// One string of variable length, as `backend`.
    String(String),
    /// A list of strings of variable length, as `weight_names`; Keras writes an empty list as numbers, which reads
    /// as this too.
    Strings(Vec<String>),
    /// A list of strings padded to one length, as older Keras writes all lists and newer Keras those that it splits.
    FixedStrings(Vec<String>),
}

impl Attribute {
    /// The strings: one for a single string.
    pub fn strings(&self) -> &[String] {
        match self {
            Self::String(string) => std::slice::from_ref(string),
            Self::Strings(strings) | Self::FixedStrings(strings) => strings,
        }
    }
}

/// The attributes of one group by name.
pub type Attributes = IndexMap<String, Attribute>;

/// Reads the string attributes of the object that `header` describes; those of other types are passed over.
pub(super) fn read_all<'a>(reader: &mut Reader<'a>, header: &Header<'a>) -> Result<Attributes, Hdf5Error> {
    if let Some(mut info) = header.first(kind::ATTRIBUTE_INFO)? {
        info.version(&[0])?;
        if info.u8()? & 1 != 0 {
            info.skip(2)?;
        }
        if info.address()?.is_some() {
            return unsupported("a group with dense attribute storage (written with libver='latest')");
        }
    }
    let mut attributes = Attributes::new();
    for message in header.all(kind::ATTRIBUTE) {
        if let Some((name, value)) = read(reader, message?)? {
            attributes.insert(name, value);
        }
    }
    Ok(attributes)
}

fn read<'a>(reader: &mut Reader<'a>, mut message: Cursor<'a>) -> Result<Option<(String, Attribute)>, Hdf5Error> {
    let version = message.version(&[1, 2, 3])?;
    let flags = message.u8()?;
    let (name, datatype, space) = (message.u16()?, message.u16()?, message.u16()?);
    if version == 3 {
        message.skip(1)?; // character set of the name: ASCII is UTF-8 too
    }
    let round = |length: u16| if version == 1 { u64::from(length).next_multiple_of(8) } else { u64::from(length) };
    let name = message.bytes(round(name))?.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = text(&message, name)?;
    let datatype = message.sub(round(datatype), "attribute datatype")?;
    let space = message.sub(round(space), "attribute dataspace")?;
    if version > 1 && flags & 3 != 0 {
        return unsupported(format!("the attribute `{name}` with a committed datatype"));
    }
    let shape = dataspace::parse(space)?;
    let count = shape.as_deref().map_or(Some(0), element_count).unwrap_or(usize::MAX);
    let mut strings = Vec::new();
    let fixed = match Datatype::parse(datatype)? {
        _ if count == 0 => false,
        Datatype::VariableString => {
            for _ in 0..count {
                let string = variable_string(reader, &mut message)?;
                keep(reader, &mut strings, string)?;
            }
            false
        }
        Datatype::FixedString { size, padding } => {
            for _ in 0..count {
                let field = message.bytes(u64::from(size))?;
                let string = text(&message, unpadded(field, padding))?;
                keep(reader, &mut strings, string)?;
            }
            true
        }
        Datatype::Number { .. } | Datatype::Other { .. } => return Ok(None),
    };
    reader.allowance.metadata(name.len() + size_of::<(String, Attribute)>())?;
    let value = match (shape.as_deref(), strings.pop()) {
        (Some([]), Some(string)) => Attribute::String(string),
        (_, last) => {
            strings.extend(last);
            if fixed { Attribute::FixedStrings(strings) } else { Attribute::Strings(strings) }
        }
    };
    Ok(Some((name.to_owned(), value)))
}

fn keep(reader: &mut Reader<'_>, strings: &mut Vec<String>, string: &str) -> Result<(), error::Hdf5Error> {
    reader.allowance.metadata(size_of::<String>() + string.len())?;
    strings.push(string.to_owned());
    Ok(())
}

fn variable_string<'a>(reader: &mut Reader<'a>, message: &mut Cursor<'a>) -> Result<&'a str, Hdf5Error> {
    let length = message.u32()?;
    let address = message.address()?;
    let index = message.u32()?;
    let (Some(address), 1..) = (address, length) else {
        return Ok(""); // h5py writes an empty string without a heap object
    };
    if address == 0 {
        return Ok("");
    }
    let object = heap::global(reader, address, index)?;
    match object.get(..length as usize) {
        Some(bytes) => text(message, unpadded(bytes, Padding::Nul)),
        None => message.malformed(format!("a string of {length} bytes in a heap object of {}", object.len())),
    }
}

fn unpadded(field: &[u8], padding: Padding) -> &[u8] {
    let end = match padding {
        Padding::NulTerminated => field.iter().position(|&byte| byte == 0),
        Padding::Nul => Some(field.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)),
        Padding::Space => Some(field.iter().rposition(|byte| !b" \0".contains(byte)).map_or(0, |last| last + 1)),
    };
    end.and_then(|end| field.get(..end)).unwrap_or(field)
}

fn text<'a>(message: &Cursor<'_>, bytes: &'a [u8]) -> Result<&'a str, Hdf5Error> {
    std::str::from_utf8(bytes).or_else(|_| message.malformed("text that is not UTF-8"))
}
