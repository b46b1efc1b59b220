//! One recipe over another: known keys, their types, and what differs.

use serde::{Serialize, de::IntoDeserializer};
use toml::{Table, Value};

use super::{Recipe, RecipeError};

/// A setting that two recipes do not share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The key, `section.name`.
    pub key: String,
    /// The first recipe's value.
    pub before: String,
    /// The second recipe's value.
    pub after: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} -> {}", self.key, self.before, self.after)
    }
}

/// Keys `section.name` and values of a table.
pub(super) fn flat(table: &Table) -> Vec<(String, Value)> {
    let mut list = Vec::new();
    for (section, value) in table {
        match value {
            Value::Table(inner) => list.extend(inner.iter().map(|(k, v)| (format!("{section}.{k}"), v.clone()))),
            other => list.push((section.clone(), other.clone())),
        }
    }
    list
}

/// Makes sure that no section is misspelt, which would not show where it is empty.
pub(super) fn known_sections(table: &Table) -> Result<(), RecipeError> {
    let own = Recipe::default().table()?;
    for (section, _) in table.iter().filter(|(_, value)| value.as_table().is_some_and(Table::is_empty)) {
        if !own.contains_key(section) {
            let nearest = own.keys().min_by_key(|known| edits(known, section)).cloned().unwrap_or_default();
            return Err(RecipeError::Key { key: section.clone(), nearest });
        }
    }
    Ok(())
}

/// `key=value`; what is no TOML value is a text.
pub(super) fn setting(text: &str) -> Result<(String, Value), RecipeError> {
    let (key, value) = text.split_once('=').ok_or_else(|| RecipeError::Setting { setting: text.to_owned() })?;
    let value = value.trim();
    let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    Ok((key.trim().to_owned(), parsed.unwrap_or_else(|| Value::String(value.to_owned()))))
}

impl Recipe {
    fn table(&self) -> Result<Table, RecipeError> {
        Table::try_from(self).map_err(|error| RecipeError::Value { why: error.to_string() })
    }

    /// This recipe with `settings` changed.
    pub(super) fn overlaid(&self, settings: Vec<(String, Value)>) -> Result<Self, RecipeError> {
        let mut table = self.table()?;
        let keys: Vec<String> = flat(&table).into_iter().map(|(key, _)| key).collect();
        for (key, value) in settings {
            let known = resolve(&keys, &key)?;
            let place = known.split_once('.').and_then(|(section, name)| table.get_mut(section)?.get_mut(name));
            if let Some(place) = place {
                *place = fit(known, place, value)?;
            }
        }
        let recipe: Self =
            serde::Deserialize::deserialize(table.into_deserializer()).map_err(|error: toml::de::Error| {
                RecipeError::Value { why: error.to_string().trim().replace("\nin ", ", the value of ") }
            })?;
        recipe.check()?;
        Ok(recipe)
    }

    /// The settings in which `other` differs.
    ///
    /// # Errors
    /// Never for recipes that were read or checked.
    pub fn differences(&self, other: &Self) -> Result<Vec<Difference>, RecipeError> {
        let pairs = flat(&self.table()?).into_iter().zip(flat(&other.table()?));
        let changed = pairs.filter(|((_, before), (_, after))| before != after);
        let difference = |((key, before), (_, after)): ((String, Value), (String, Value))| Difference {
            key,
            before: before.to_string(),
            after: after.to_string(),
        };
        Ok(changed.map(difference).collect())
    }
}

/// The known key that `key` means: itself, or the only one that ends so.
fn resolve<'a>(keys: &'a [String], key: &str) -> Result<&'a str, RecipeError> {
    if let Some(known) = keys.iter().find(|known| *known == key) {
        return Ok(known);
    }
    let name = |known: &str| known.split_once('.').map_or(String::new(), |(_, name)| name.to_owned());
    let mut ending = keys.iter().filter(|known| name(known) == key);
    if let (Some(known), None) = (ending.next(), ending.next()) {
        return Ok(known);
    }
    // A key without a section is compared with names alone.
    let distance = |known: &&String| match key.contains('.') {
        true => edits(known, key),
        false => edits(&name(known), key),
    };
    let nearest = keys.iter().min_by_key(distance).cloned().unwrap_or_default();
    Err(RecipeError::Key { key: key.to_owned(), nearest })
}

/// `found` as a value of the type that `expected` has.
fn fit(key: &str, expected: &Value, found: Value) -> Result<Value, RecipeError> {
    let wrong = |found: &Value, expected| RecipeError::Type {
        key: key.to_owned(),
        expected,
        found: found.as_str().map_or_else(|| found.to_string(), str::to_owned),
    };
    Ok(match (expected, found) {
        (Value::Float(_), Value::Integer(number)) => Value::Float(number as f64),
        (Value::Array(inner), Value::Array(items)) => {
            let fitted = items.into_iter().map(|item| match inner.first() {
                Some(first) => fit(key, first, item),
                None => Ok(item),
            });
            Value::Array(fitted.collect::<Result<_, _>>()?)
        }
        (expected, found) if expected.same_type(&found) => found,
        // `--set teacher=5` names a file.
        (Value::String(_), found @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => {
            Value::String(found.to_string())
        }
        (Value::Float(_), found) => return Err(wrong(&found, "a number")),
        (Value::Integer(_), found) => return Err(wrong(&found, "a whole number")),
        (Value::Boolean(_), found) => return Err(wrong(&found, "true or false")),
        (Value::Array(_), found) => return Err(wrong(&found, "a list of numbers")),
        (_, found) => return Err(wrong(&found, "a word")),
    })
}

/// Levenshtein's distance: letters to insert, remove or replace.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
