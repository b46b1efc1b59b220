//! Object headers, versions 1 and 2: the messages that describe one group or dataset.

use std::collections::HashSet;

use super::cursor::Cursor;
use super::error::{Hdf5Error, unsupported};
use super::read::Reader;

/// Message types, by the numbers of the format.
pub(super) mod kind {
    pub const DATASPACE: u16 = 0x01;
    pub const LINK_INFO: u16 = 0x02;
    pub const DATATYPE: u16 = 0x03;
    pub const FILL_VALUE: u16 = 0x05;
    pub const LINK: u16 = 0x06;
    pub const EXTERNAL_FILES: u16 = 0x07;
    pub const LAYOUT: u16 = 0x08;
    pub const GROUP_INFO: u16 = 0x0a;
    pub const FILTERS: u16 = 0x0b;
    pub const ATTRIBUTE: u16 = 0x0c;
    pub const CONTINUATION: u16 = 0x10;
    pub const SYMBOL_TABLE: u16 = 0x11;
    pub const ATTRIBUTE_INFO: u16 = 0x15;

    /// Those that reading looks at, besides continuations.
    pub const KEPT: [u16; 12] = [
        DATASPACE,
        LINK_INFO,
        DATATYPE,
        FILL_VALUE,
        LINK,
        EXTERNAL_FILES,
        LAYOUT,
        GROUP_INFO,
        FILTERS,
        ATTRIBUTE,
        SYMBOL_TABLE,
        ATTRIBUTE_INFO,
    ];
}

/// One message of an object header.
pub(super) struct Message<'a> {
    kind: u16,
    flags: u8,
    body: Cursor<'a>,
}

/// All messages of one object that reading looks at.
pub(super) struct Header<'a> {
    messages: Vec<Message<'a>>,
}

impl<'a> Header<'a> {
    pub fn has(&self, kind: u16) -> bool {
        self.messages.iter().any(|message| message.kind == kind)
    }

    /// The bodies of all messages of one type.
    pub fn all(&self, kind: u16) -> impl Iterator<Item = Result<Cursor<'a>, Hdf5Error>> {
        self.messages.iter().filter(move |message| message.kind == kind).map(|message| {
            if message.flags & 2 != 0 {
                return unsupported(format!("a shared message of type {:#x} (a committed datatype?)", message.kind));
            }
            Ok(message.body.clone())
        })
    }

    /// The body of the first message of one type.
    pub fn first(&self, kind: u16) -> Result<Option<Cursor<'a>>, Hdf5Error> {
        self.all(kind).next().transpose()
    }
}

/// Reads the object header at `address` with all its continuation blocks.
pub(super) fn read<'a>(reader: &mut Reader<'a>, address: u64) -> Result<Header<'a>, Hdf5Error> {
    let mut cursor = reader.cursor(address, "object header")?;
    if cursor.clone().expect(b"OHDR").is_ok() {
        return version_2(reader, cursor);
    }
    cursor.version(&[1])?;
    cursor.skip(1)?;
    let count = cursor.u16()?;
    cursor.skip(4)?;
    let size = u64::from(cursor.u32()?);
    // Messages are aligned to 8 bytes from the header's start, so 4 bytes of padding follow the prefix.
    cursor.skip(4)?;
    let first = cursor.sub(size, "object header messages")?;
    let mut blocks = Blocks::new(first);
    let mut header = Header { messages: Vec::new() };
    let mut left = count;
    while let Some(mut block) = blocks.next() {
        while left > 0 && block.remaining() >= 8 {
            left -= 1;
            let (kind, size, flags) = (block.u16()?, block.u16()?, block.u8()?);
            block.skip(3)?;
            let body = block.sub(u64::from(size), "object header message")?;
            blocks.add(reader, &mut header, Message { kind, flags, body })?;
        }
    }
    Ok(header)
}

fn version_2<'a>(reader: &mut Reader<'a>, mut cursor: Cursor<'a>) -> Result<Header<'a>, Hdf5Error> {
    cursor.expect(b"OHDR")?;
    cursor.version(&[2])?;
    let flags = cursor.u8()?;
    if flags & 0x20 != 0 {
        cursor.skip(16)?; // four time stamps
    }
    if flags & 0x10 != 0 {
        cursor.skip(4)?; // thresholds of attribute storage
    }
    let size = cursor.uint(1 << (flags & 3))?;
    let mut blocks = Blocks::new(cursor.sub(size, "object header messages")?);
    let mut header = Header { messages: Vec::new() };
    let prefix = if flags & 4 != 0 { 6 } else { 4 };
    let mut is_first = true;
    while let Some(mut block) = blocks.next() {
        if !is_first {
            block.expect(b"OCHK")?;
            // The checksum at the end is not a message.
            let length = block.remaining().saturating_sub(4) as u64;
            block = block.sub(length, "object header continuation")?;
        }
        is_first = false;
        while block.remaining() >= prefix {
            let (kind, size, message_flags) = (u16::from(block.u8()?), block.u16()?, block.u8()?);
            block.skip(prefix as u64 - 4)?;
            let body = block.sub(u64::from(size), "object header message")?;
            blocks.add(reader, &mut header, Message { kind, flags: message_flags, body })?;
        }
    }
    Ok(header)
}

/// The header's blocks that are still to be read, and the addresses of those seen.
struct Blocks<'a> {
    waiting: Vec<Cursor<'a>>,
    seen: HashSet<u64>,
}

impl<'a> Blocks<'a> {
    fn new(first: Cursor<'a>) -> Self {
        Self { seen: HashSet::from([first.position()]), waiting: vec![first] }
    }

    fn next(&mut self) -> Option<Cursor<'a>> {
        self.waiting.pop()
    }

    fn add(
        &mut self,
        reader: &mut Reader<'a>,
        header: &mut Header<'a>,
        mut message: Message<'a>,
    ) -> Result<(), Hdf5Error> {
        reader.allowance.step()?;
        if message.kind == kind::CONTINUATION {
            let (address, length) = (message.body.defined_address()?, message.body.length()?);
            if !self.seen.insert(address) {
                return message.body.malformed("a continuation that leads back to a block already read");
            }
            let block =
                reader.cursor(address, "object header continuation")?.sub(length, "object header continuation")?;
            reader.allowance.metadata(size_of::<Cursor<'a>>())?;
            self.waiting.push(block);
        } else if kind::KEPT.contains(&message.kind) {
            reader.allowance.metadata(size_of::<Message<'a>>())?;
            header.messages.push(message);
        }
        Ok(())
    }
}
