//! What REDUCE, BUILD and persistent ids mean for the classes and functions that are allowed.

use super::PickleError;
use super::globals::{Global, ScalarType};
use super::machine::Machine;
use super::value::{NodeId, Object, Storage, TensorLayout, Value};

/// The longest key of a storage, in bytes; PyTorch's are decimal numbers.
const MAX_KEY: usize = 128;

impl Machine<'_> {
    /// Pushes what calling `callable` with `arguments` stands for.
    pub(super) fn call(&mut self, callable: NodeId, arguments: NodeId) -> Result<(), PickleError> {
        let Value::Global(global) = *self.get(callable) else {
            return Err(self.wrong_type("REDUCE", "a class or function", callable));
        };
        let (global, arguments) = match global {
            Global::RebuildFromType => {
                let inner = match *self.get(self.argument(arguments, 0)?) {
                    Value::Global(inner) if inner != Global::RebuildFromType => inner,
                    _ => return Err(self.wrong_type("_rebuild_from_type_v2", "a rebuilding function", arguments)),
                };
                (inner, self.argument(arguments, 2)?)
            }
            _ => (global, arguments),
        };
        match global {
            Global::Dict => self.dict(arguments, 0),
            Global::DefaultDict => self.dict(arguments, 1),
            Global::List => {
                let items = self.sequence(arguments)?;
                self.push(Value::List(items))
            }
            Global::Tuple => {
                let items = self.sequence(arguments)?;
                self.push(Value::Tuple(items))
            }
            Global::Set => {
                let items = self.sequence(arguments)?;
                self.push(Value::Set(items))
            }
            Global::RebuildTensor => self.tensor(arguments, None),
            Global::RebuildTensorV3 => {
                let scalar = self.argument(arguments, 6)?;
                let Value::Global(Global::ScalarType(scalar)) = *self.get(scalar) else {
                    return Err(self.wrong_type("_rebuild_tensor_v3", "an element type", scalar));
                };
                self.tensor(arguments, Some(scalar))
            }
            Global::RebuildParameter => {
                let tensor = self.argument(arguments, 0)?;
                match self.get(tensor) {
                    Value::Tensor(_) => self.push_id(tensor),
                    _ => Err(self.wrong_type("_rebuild_parameter", "a tensor", tensor)),
                }
            }
            Global::RebuildFromType | Global::Storage(_) | Global::ScalarType(_) | Global::Opaque(_) => {
                self.push(Value::Object(Box::new(Object { class: global.class(), state: None })))
            }
        }
    }

    /// Sets the state of an object. What BUILD adds to dicts (`_metadata`) and tensors (attributes) is dropped.
    pub(super) fn build(&mut self, target: NodeId, state: NodeId) -> Result<(), PickleError> {
        match self.get_mut(target) {
            Some(Value::Object(object)) => object.state = Some(state),
            Some(Value::Dict(_) | Value::List(_) | Value::Set(_) | Value::Tensor(_)) => {}
            _ => return Err(self.wrong_type("BUILD", "an object", target)),
        }
        Ok(())
    }

    fn arguments(&self, arguments: NodeId) -> Result<&[NodeId], PickleError> {
        match self.get(arguments) {
            Value::Tuple(items) => Ok(items),
            _ => Err(self.wrong_type("REDUCE", "a tuple of arguments", arguments)),
        }
    }

    fn argument(&self, arguments: NodeId, index: usize) -> Result<NodeId, PickleError> {
        let found = self.arguments(arguments)?.get(index).copied();
        found.ok_or_else(|| self.malformed("a call with too few arguments"))
    }

    fn dict(&mut self, arguments: NodeId, first: usize) -> Result<(), PickleError> {
        let Some(&from) = self.arguments(arguments)?.get(first) else {
            return self.push(Value::Dict(Vec::new()));
        };
        let entries = match self.get(from) {
            Value::Dict(entries) => {
                let count = entries.len();
                self.charge_references(count.saturating_mul(2))?;
                match self.get(from) {
                    Value::Dict(entries) => entries.clone(),
                    _ => Vec::new(),
                }
            }
            _ => {
                let mut entries = Vec::new();
                for pair in self.copied(from)? {
                    match self.get(pair) {
                        Value::Tuple(items) | Value::List(items) => match items[..] {
                            [key, value] => entries.push((key, value)),
                            _ => return Err(self.wrong_type("a dict's constructor", "pairs", pair)),
                        },
                        _ => return Err(self.wrong_type("a dict's constructor", "pairs", pair)),
                    }
                }
                self.charge_references(entries.len().saturating_mul(2))?;
                entries
            }
        };
        self.push(Value::Dict(entries))
    }

    fn sequence(&mut self, arguments: NodeId) -> Result<Vec<NodeId>, PickleError> {
        match self.arguments(arguments)?.first() {
            Some(&from) => self.copied(from),
            None => Ok(Vec::new()),
        }
    }

    /// A copy of a sequence's items. Copies count as references, or a pickle could repeat one list without end.
    fn copied(&mut self, from: NodeId) -> Result<Vec<NodeId>, PickleError> {
        let count = match self.get(from) {
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => items.len(),
            _ => return Err(self.wrong_type("a constructor", "a sequence", from)),
        };
        self.charge_references(count)?;
        match self.get(from) {
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => Ok(items.clone()),
            _ => Ok(Vec::new()),
        }
    }

    fn tensor(&mut self, arguments: NodeId, scalar: Option<&'static ScalarType>) -> Result<(), PickleError> {
        let what = "a tensor";
        // Flags such as `conj` and `neg`, which would change the values, come behind all else.
        let flags = if scalar.is_some() { 7 } else { 6 };
        match self.arguments(arguments)?.get(flags).map(|&flags| self.get(flags)) {
            None | Some(Value::None) => {}
            Some(Value::Dict(entries)) if entries.is_empty() => {}
            Some(_) => return Err(self.malformed("a tensor with a conj or neg flag")),
        }
        let storage = self.argument(arguments, 0)?;
        if !matches!(self.get(storage), Value::Storage(_)) {
            return Err(self.wrong_type(what, "a storage", storage));
        }
        let offset = self.unsigned(what, self.argument(arguments, 1)?)?;
        let (shape, strides) = (self.argument(arguments, 2)?, self.argument(arguments, 3)?);
        for sides in [shape, strides] {
            if !matches!(self.get(sides), Value::Tuple(_) | Value::List(_)) {
                return Err(self.wrong_type(what, "a tuple", sides));
            }
        }
        self.push(Value::Tensor(Box::new(TensorLayout { storage, offset, shape, strides, scalar })))
    }

    /// The storage of a persistent id `("storage", type, key, location, count[, view])`.
    pub(super) fn storage(&self, id: NodeId) -> Result<Value, PickleError> {
        let what = "a persistent id";
        let Value::Tuple(items) = self.get(id) else {
            return Err(self.wrong_type(what, "a tuple", id));
        };
        let &[kind, class, key, _location, count, ref view @ ..] = items.as_slice() else {
            return Err(self.malformed("a persistent id of fewer than five items"));
        };
        match self.get(kind) {
            Value::Str(text) if &**text == "storage" => {}
            _ => return Err(self.malformed("a persistent id that is no storage")),
        }
        let Value::Global(Global::Storage(scalar)) = *self.get(class) else {
            return Err(self.wrong_type(what, "a storage type", class));
        };
        match self.get(key) {
            Value::Str(text) if text.len() <= MAX_KEY => {}
            Value::Str(_) => return Err(self.malformed("a storage's key of more than 128 bytes")),
            _ => return Err(self.wrong_type(what, "a string as key", key)),
        }
        let count = self.unsigned(what, count)?;
        let view = match view.first().map(|&view| (view, self.get(view))) {
            None | Some((_, Value::None)) => None,
            Some((_, Value::Tuple(items))) => match items[..] {
                [_key, first, length] => Some((self.unsigned(what, first)?, self.unsigned(what, length)?)),
                _ => return Err(self.malformed("a storage's view")),
            },
            Some((other, _)) => return Err(self.wrong_type(what, "a view", other)),
        };
        Ok(Value::Storage(Box::new(Storage { scalar, key, count, view })))
    }

    fn unsigned(&self, what: &'static str, id: NodeId) -> Result<u64, PickleError> {
        match *self.get(id) {
            Value::Int(number) => u64::try_from(number).map_err(|_| self.malformed("a negative size")),
            _ => Err(self.wrong_type(what, "an int", id)),
        }
    }
}
