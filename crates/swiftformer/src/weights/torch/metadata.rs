//! The plain values beside the tensors of a checkpoint, as text.

use std::collections::BTreeMap;

use super::pickle::{NodeId, Pickle, Value};

/// The most entries, items of a list, and characters of a value: enough for an `args`, little for a hostile file.
const MAX_ENTRIES: usize = 512;
const MAX_ITEMS: usize = 64;
const MAX_CHARACTERS: usize = 512;

/// The longest text at the top level that is kept whole: a config with its labels fits.
const MAX_TEXT: usize = 8 << 20;

/// Scalars, strings and short lists of the top level, and one level below of dicts and of objects with a state.
pub(super) fn collect(pickle: &Pickle) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let root = pickle.root();
    for &(key, value) in pickle.entries(root).iter().take(MAX_ENTRIES) {
        let Some(name) = short_text(pickle, key) else { continue };
        let value = pickle.get(value);
        let inner = match value {
            Value::Object(object) => object.state.map_or(&Value::None, |state| pickle.get(state)),
            other => other,
        };
        if let Value::Str(text) = value
            && text.len() <= MAX_TEXT
        {
            insert(&mut found, name.to_owned(), text.to_string());
        } else if pickle.entries(inner).is_empty()
            && let Some(text) = describe(pickle, value)
        {
            insert(&mut found, name.to_owned(), text);
        }
        for &(key, value) in pickle.entries(inner).iter().take(MAX_ENTRIES) {
            if let (Some(key), Some(text)) = (short_text(pickle, key), describe(pickle, pickle.get(value))) {
                insert(&mut found, format!("{name}.{key}"), text);
            }
        }
    }
    found
}

fn insert(found: &mut BTreeMap<String, String>, key: String, text: String) {
    if found.len() < MAX_ENTRIES {
        found.insert(key, text);
    }
}

fn short_text(pickle: &Pickle, id: NodeId) -> Option<&str> {
    pickle.text(id).filter(|text| text.len() <= MAX_CHARACTERS)
}

/// A value as Python prints it, strings without quotes, and `<class>` for objects; `None` for containers of more.
fn describe(pickle: &Pickle, value: &Value) -> Option<String> {
    match value {
        Value::List(items) | Value::Tuple(items) if items.len() <= MAX_ITEMS => {
            let mut texts = Vec::with_capacity(items.len());
            let mut characters = 0;
            for &item in items {
                let text = match pickle.get(item) {
                    Value::Str(text) if text.len() <= MAX_CHARACTERS => format!("'{text}'"),
                    other => scalar(other)?,
                };
                characters += text.len();
                texts.push(text);
                if characters > MAX_CHARACTERS {
                    return None;
                }
            }
            let inner = texts.join(", ");
            Some(if matches!(value, Value::List(_)) { format!("[{inner}]") } else { format!("({inner})") })
        }
        Value::Str(text) if text.len() <= MAX_CHARACTERS => Some(text.to_string()),
        other => scalar(other),
    }
}

fn scalar(value: &Value) -> Option<String> {
    Some(match value {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Bytes(bytes) => format!("<{} bytes>", bytes.len()),
        Value::Object(object) => format!("<{}>", object.class),
        _ => return None,
    })
}
