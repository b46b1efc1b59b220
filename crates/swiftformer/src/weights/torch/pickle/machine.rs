//! The pickle machine: a stack, a stack of marks, and a memo.

use std::collections::HashMap;

use bytes::Bytes;

use super::globals::Global;
use super::reader::Reader;
use super::value::{NodeId, Pickle, Value};
use super::{PickleError, text};

/// The most values in one pickle. Checkpoints with optimizer state hold some ten thousands.
const MAX_NODES: usize = 2 << 20;
/// The most references from containers to values in one pickle.
const MAX_REFERENCES: usize = 8 << 20;
/// The most bytes of text in one pickle.
const MAX_TEXT: usize = 64 << 20;

/// Reads one pickle from the start of `bytes`, and says how many bytes it took.
pub(crate) fn parse(bytes: &Bytes) -> Result<(Pickle, usize), PickleError> {
    let mut machine = Machine {
        reader: Reader::new(bytes),
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        references: 0,
        text: 0,
        offset: 0,
    };
    loop {
        machine.offset = machine.reader.position();
        let opcode = machine.reader.u8()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok((Pickle { nodes: machine.nodes, root }, machine.reader.position()));
        }
        machine.step(opcode)?;
    }
}

pub(super) struct Machine<'a> {
    reader: Reader<'a>,
    nodes: Vec<Value>,
    stack: Vec<NodeId>,
    /// Heights of the stack at each MARK.
    marks: Vec<u32>,
    memo: HashMap<u32, NodeId>,
    references: usize,
    text: usize,
    /// Where the current instruction starts.
    pub(super) offset: usize,
}

impl Machine<'_> {
    fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            // Scalars.
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => {
                let number = self.reader.i32()?;
                self.push(Value::Int(number.into()))
            }
            b'K' => {
                let number = self.reader.u8()?;
                self.push(Value::Int(number.into()))
            }
            b'M' => {
                let number = self.reader.u16()?;
                self.push(Value::Int(number.into()))
            }
            0x8a => {
                let length = self.reader.u8()?;
                self.long(length.into())
            }
            0x8b => {
                let length = self.reader.u32()?;
                self.long(length.into())
            }
            b'G' => {
                let number = self.reader.f64_big_endian()?;
                self.push(Value::Float(number))
            }
            b'F' => self.parsed("a float", text::float),
            b'I' => self.parsed("an int", text::int),
            b'L' => self.parsed("an int", text::long),

            // Strings and bytes.
            b'X' => {
                let length = self.reader.u32()?;
                self.utf8(length.into())
            }
            0x8c => {
                let length = self.reader.u8()?;
                self.utf8(length.into())
            }
            0x8d => {
                let length = self.reader.u64()?;
                self.utf8(length)
            }
            b'V' => {
                let line = self.reader.line()?;
                let decoded = text::raw_unicode_escape(line).ok_or(self.malformed("a string"))?;
                self.push_text(decoded.into())
            }
            b'U' => {
                let length = self.reader.u8()?;
                self.python2_string(length.into())
            }
            b'T' => {
                let length = self.reader.u32()?;
                self.python2_string(length.into())
            }
            b'S' => {
                let line = self.reader.line()?;
                let decoded = text::quoted(line).ok_or(self.malformed("a string"))?;
                self.charge_text(decoded.len())?;
                self.push(match String::from_utf8(decoded) {
                    Ok(text) => Value::Str(text.into()),
                    Err(error) => Value::Bytes(Box::new(error.into_bytes().into())),
                })
            }
            b'C' => {
                let length = self.reader.u8()?;
                self.bytes(length.into())
            }
            b'B' => {
                let length = self.reader.u32()?;
                self.bytes(length.into())
            }
            0x8e | 0x96 => {
                let length = self.reader.u64()?;
                self.bytes(length)
            }

            // Containers.
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            0x8f => self.push(Value::Set(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))
            }
            0x91 => {
                let items = self.pop_mark()?;
                self.push(Value::Set(items))
            }
            b'd' => {
                let entries = self.pop_pairs()?;
                self.push(Value::Dict(entries))
            }
            0x85..=0x87 => {
                let mut items = Vec::with_capacity(3);
                for _ in 0..=opcode - 0x85 {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.charge_references(items.len())?;
                self.push(Value::Tuple(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.charge_references(1)?;
                self.append("APPEND", vec![item])
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append("APPENDS", items)
            }
            0x90 => {
                let items = self.pop_mark()?;
                self.append("ADDITEMS", items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.charge_references(2)?;
                self.set_items("SETITEM", vec![(key, value)])
            }
            b'u' => {
                let entries = self.pop_pairs()?;
                self.set_items("SETITEMS", entries)
            }

            // Stack and memo.
            b'(' => {
                if self.marks.len() >= MAX_NODES {
                    return Err(self.limit("marks", MAX_NODES));
                }
                self.marks.push(self.stack.len() as u32);
                Ok(())
            }
            b'0' => match self.pop() {
                // As in Python, POP right after a MARK takes the mark.
                Err(_) if self.marks.pop().is_some() => Ok(()),
                popped => popped.map(drop),
            },
            b'1' => {
                let height = self.marks.pop().ok_or(PickleError::NoMark { offset: self.offset })?;
                self.stack.truncate(height as usize);
                Ok(())
            }
            b'2' => {
                let top = self.top()?;
                self.push_id(top)
            }
            b'p' => {
                let index = self.memo_line()?;
                self.put(index)
            }
            b'q' => {
                let index = self.reader.u8()?;
                self.put(index.into())
            }
            b'r' => {
                let index = self.reader.u32()?;
                self.put(index)
            }
            0x94 => {
                let index = self.memo.len() as u32;
                self.put(index)
            }
            b'g' => {
                let index = self.memo_line()?;
                self.get_memo(index)
            }
            b'h' => {
                let index = self.reader.u8()?;
                self.get_memo(index.into())
            }
            b'j' => {
                let index = self.reader.u32()?;
                self.get_memo(index)
            }

            // Classes, objects and storages.
            b'c' => {
                let global = self.global_lines()?;
                self.push(Value::Global(global))
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let (Value::Str(module), Value::Str(name)) = (self.get(module), self.get(name)) else {
                    return Err(self.wrong_type("STACK_GLOBAL", "two strings", name));
                };
                let global = self.global(module, name)?;
                self.push(Value::Global(global))
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, arguments)
            }
            0x92 => {
                // Keyword arguments only reach opaque objects, which drop their arguments.
                let _keywords = self.pop()?;
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, arguments)
            }
            b'i' => {
                let global = self.global_lines()?;
                let arguments = self.pop_mark()?;
                let callable = self.insert(Value::Global(global))?;
                let arguments = self.insert(Value::Tuple(arguments))?;
                self.call(callable, arguments)
            }
            b'o' => {
                let mut arguments = self.pop_mark()?;
                if arguments.is_empty() {
                    return Err(PickleError::EmptyStack { offset: self.offset });
                }
                let callable = arguments.remove(0);
                let arguments = self.insert(Value::Tuple(arguments))?;
                self.call(callable, arguments)
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                self.build(target, state)
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage)
            }

            // Framing.
            0x80 => match self.reader.u8()? {
                0..=5 => Ok(()),
                version => Err(PickleError::Protocol { version }),
            },
            0x95 => self.reader.u64().map(drop),

            b'P' => Err(self.unsupported("PERSID")),
            0x82 => Err(self.unsupported("EXT1")),
            0x83 => Err(self.unsupported("EXT2")),
            0x84 => Err(self.unsupported("EXT4")),
            0x97 => Err(self.unsupported("NEXT_BUFFER")),
            0x98 => Err(self.unsupported("READONLY_BUFFER")),
            _ => Err(PickleError::UnknownOpcode { opcode, offset: self.offset }),
        }
    }

    fn long(&mut self, length: u64) -> Result<(), PickleError> {
        let bytes = self.reader.take(length)?;
        self.charge_text(bytes.len())?;
        self.push(text::long_from_bytes(bytes))
    }

    fn parsed(&mut self, what: &'static str, parse: fn(&[u8]) -> Option<Value>) -> Result<(), PickleError> {
        let line = self.reader.line()?;
        let value = parse(line).ok_or(self.malformed(what))?;
        self.push(value)
    }

    fn utf8(&mut self, length: u64) -> Result<(), PickleError> {
        let bytes = self.reader.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("a string"))?;
        self.push_text(text.into())
    }

    /// Python 2 strings are bytes; keys and names are text, so what is UTF-8 becomes text.
    fn python2_string(&mut self, length: u64) -> Result<(), PickleError> {
        let bytes = self.reader.take_shared(length)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => self.push_text(text.into()),
            Err(_) => self.push(Value::Bytes(Box::new(bytes))),
        }
    }

    fn bytes(&mut self, length: u64) -> Result<(), PickleError> {
        let bytes = self.reader.take_shared(length)?;
        self.push(Value::Bytes(Box::new(bytes)))
    }

    fn push_text(&mut self, text: Box<str>) -> Result<(), PickleError> {
        self.charge_text(text.len())?;
        self.push(Value::Str(text))
    }

    fn charge_text(&mut self, bytes: usize) -> Result<(), PickleError> {
        self.text = self.text.saturating_add(bytes);
        if self.text > MAX_TEXT { Err(self.limit("bytes of text", MAX_TEXT)) } else { Ok(()) }
    }

    pub(super) fn charge_references(&mut self, count: usize) -> Result<(), PickleError> {
        self.references = self.references.saturating_add(count);
        if self.references > MAX_REFERENCES { Err(self.limit("references", MAX_REFERENCES)) } else { Ok(()) }
    }

    pub(super) fn get(&self, id: NodeId) -> &Value {
        self.nodes.get(id.0 as usize).unwrap_or(&Value::None)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Value> {
        self.nodes.get_mut(id.0 as usize)
    }

    fn insert(&mut self, value: Value) -> Result<NodeId, PickleError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(self.limit("values", MAX_NODES));
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(value);
        Ok(id)
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), PickleError> {
        let id = self.insert(value)?;
        self.push_id(id)
    }

    pub(super) fn push_id(&mut self, id: NodeId) -> Result<(), PickleError> {
        if self.stack.len() >= MAX_NODES {
            return Err(self.limit("values on the stack", MAX_NODES));
        }
        self.stack.push(id);
        Ok(())
    }

    /// The height that pops may not go below: the last mark's.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |&height| height as usize)
    }

    fn pop(&mut self) -> Result<NodeId, PickleError> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn top(&self) -> Result<NodeId, PickleError> {
        let empty = PickleError::EmptyStack { offset: self.offset };
        if self.stack.len() <= self.floor() { Err(empty) } else { self.stack.last().copied().ok_or(empty) }
    }

    /// Takes everything above the last mark, and the mark.
    fn pop_mark(&mut self) -> Result<Vec<NodeId>, PickleError> {
        let height = self.marks.pop().ok_or(PickleError::NoMark { offset: self.offset })? as usize;
        let items = self.stack.split_off(height.min(self.stack.len()));
        self.charge_references(items.len())?;
        Ok(items)
    }

    fn pop_pairs(&mut self) -> Result<Vec<(NodeId, NodeId)>, PickleError> {
        let items = self.pop_mark()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.malformed("a dict's key without a value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn append(&mut self, what: &'static str, mut items: Vec<NodeId>) -> Result<(), PickleError> {
        let target = self.top()?;
        match self.get_mut(target) {
            Some(Value::List(list) | Value::Set(list)) => list.append(&mut items),
            // Items of opaque containers (deques) are dropped, as is all else inside them.
            Some(Value::Object(_)) => {}
            _ => return Err(self.wrong_type(what, "a list or set", target)),
        }
        Ok(())
    }

    fn set_items(&mut self, what: &'static str, mut items: Vec<(NodeId, NodeId)>) -> Result<(), PickleError> {
        let target = self.top()?;
        match self.get_mut(target) {
            Some(Value::Dict(entries)) => entries.append(&mut items),
            Some(Value::Object(_)) => {}
            _ => return Err(self.wrong_type(what, "a dict", target)),
        }
        Ok(())
    }

    fn memo_line(&mut self) -> Result<u32, PickleError> {
        let line = self.reader.line()?;
        match text::int(line) {
            Some(Value::Int(index)) => u32::try_from(index).map_err(|_| self.malformed("a memo index")),
            // `text::int` reads 00 and 01 as bools.
            Some(Value::Bool(index)) => Ok(index.into()),
            _ => Err(self.malformed("a memo index")),
        }
    }

    fn put(&mut self, index: u32) -> Result<(), PickleError> {
        let top = self.top()?;
        if self.memo.len() >= MAX_NODES {
            return Err(self.limit("memo entries", MAX_NODES));
        }
        self.memo.insert(index, top);
        Ok(())
    }

    fn get_memo(&mut self, index: u32) -> Result<(), PickleError> {
        match self.memo.get(&index) {
            Some(&id) => self.push_id(id),
            None => Err(PickleError::NoMemo { index: index.into(), offset: self.offset }),
        }
    }

    fn global_lines(&mut self) -> Result<Global, PickleError> {
        let (module, name) = (self.reader.line()?, self.reader.line()?);
        let malformed = |_| self.malformed("a global's name");
        let (module, name) =
            (std::str::from_utf8(module).map_err(malformed)?, std::str::from_utf8(name).map_err(malformed)?);
        self.global(module, name)
    }

    fn global(&self, module: &str, name: &str) -> Result<Global, PickleError> {
        Global::find(module, name).ok_or_else(|| {
            // Long enough for every real name, short enough for a message.
            let name = format!("{module}.{name}").chars().take(200).collect();
            PickleError::ForbiddenGlobal { name, offset: self.offset }
        })
    }

    pub(super) fn malformed(&self, what: &'static str) -> PickleError {
        PickleError::Malformed { what, offset: self.offset }
    }

    pub(super) fn wrong_type(&self, what: &'static str, expected: &'static str, found: NodeId) -> PickleError {
        PickleError::WrongType { what, expected, found: self.get(found).type_name(), offset: self.offset }
    }

    fn limit(&self, what: &'static str, limit: usize) -> PickleError {
        PickleError::Limit { what, limit, offset: self.offset }
    }

    fn unsupported(&self, name: &'static str) -> PickleError {
        PickleError::UnsupportedOpcode { name, offset: self.offset }
    }
}
