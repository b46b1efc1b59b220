//! What a pickle holds once it is read: nodes that refer to each other by number.
//!
//! Numbers in place of pointers keep shared values shared (a pickle can refer to one list a million times), allow
//! cycles, and make dropping the deepest nesting a plain loop.

use bytes::Bytes;

use super::globals::{Global, ScalarType};

/// The number of a value in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(pub(super) u32);

/// One value of a pickle.
#[derive(Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A whole number beyond 64 bits: two's complement, little-endian.
    LongInt(Box<[u8]>),
    Float(f64),
    Str(Box<str>),
    Bytes(Box<Bytes>),
    List(Vec<NodeId>),
    Tuple(Vec<NodeId>),
    Set(Vec<NodeId>),
    Dict(Vec<(NodeId, NodeId)>),
    /// A class or function by name.
    Global(Global),
    /// A tensor's memory, kept outside the pickle.
    Storage(Box<Storage>),
    Tensor(Box<TensorLayout>),
    /// An instance of a class that means nothing here.
    Object(Box<Object>),
}

impl Value {
    /// The type's name for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) | Self::LongInt(_) => "an int",
            Self::Float(_) => "a float",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Set(_) => "a set",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Object(_) => "an object",
        }
    }
}

/// A reference to a tensor's memory (the persistent id `("storage", type, key, location, count)`).
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) scalar: &'static ScalarType,
    /// The node of the key under which the container keeps the bytes.
    pub(crate) key: NodeId,
    /// Elements of `scalar` in the whole storage.
    pub(crate) count: u64,
    /// First element and count of a view, which legacy files may give.
    pub(crate) view: Option<(u64, u64)>,
}

/// How a tensor lies in its storage.
#[derive(Debug)]
pub(crate) struct TensorLayout {
    pub(crate) storage: NodeId,
    /// First element, counted in elements.
    pub(crate) offset: u64,
    /// The node with the side lengths, a tuple of ints.
    pub(crate) shape: NodeId,
    /// The node with the strides in elements, a tuple of ints.
    pub(crate) strides: NodeId,
    /// The element type where it is not the storage's (untyped storages).
    pub(crate) scalar: Option<&'static ScalarType>,
}

/// An instance kept as data: its class's name, and what BUILD gave it. Constructors' arguments are dropped.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) class: &'static str,
    pub(crate) state: Option<NodeId>,
}

/// A whole pickle.
#[derive(Debug)]
pub(crate) struct Pickle {
    pub(super) nodes: Vec<Value>,
    pub(super) root: NodeId,
}

impl Pickle {
    /// The value that STOP found.
    pub(crate) fn root(&self) -> &Value {
        self.get(self.root)
    }

    /// The value of a node.
    pub(crate) fn get(&self, id: NodeId) -> &Value {
        // Ids come from this pickle's own machine; `None` stands in so that no id can panic.
        self.nodes.get(id.0 as usize).unwrap_or(&Value::None)
    }

    /// The text of a node, if it is a string.
    pub(crate) fn text(&self, id: NodeId) -> Option<&str> {
        match self.get(id) {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a dict; of anything else, none.
    pub(crate) fn entries<'a>(&self, value: &'a Value) -> &'a [(NodeId, NodeId)] {
        match value {
            Value::Dict(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a dict under a string; the last one where a key repeats, as in Python.
    pub(crate) fn lookup(&self, dict: &Value, key: &str) -> Option<&Value> {
        let (_, value) = self.entries(dict).iter().rev().find(|(name, _)| self.text(*name) == Some(key))?;
        Some(self.get(*value))
    }

    /// Every storage that is referred to, used or not.
    pub(crate) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.nodes.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }
}
