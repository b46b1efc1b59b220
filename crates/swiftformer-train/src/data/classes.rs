//! Which output of a model stands for which class of a data set.

use std::collections::HashMap;

/// Classes that a model does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the data set has {data} classes, the model {model}: their numbers differ, and the model has no label {}",
    missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
)]
pub struct ClassMismatch {
    /// Classes of the data set.
    pub data: usize,
    /// Labels of the model.
    pub model: usize,
    /// Some classes of the data set that are no label of the model.
    pub missing: Vec<String>,
}

/// How a name is compared: letters' case does not count, and `_` and `-` are blanks.
fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace(['_', '-'], " ")
}

/// For each class of a data set the model's label. By name where the model knows all names, which may then be fewer than its
/// own; else by position, if the numbers are the same: so ImageNet's folders, named by other words, still fit.
///
/// # Errors
/// When the numbers differ and a name is not known.
pub fn match_classes(data: &[String], model: &[String]) -> Result<Vec<usize>, ClassMismatch> {
    let mut known = HashMap::new();
    for (label, name) in model.iter().enumerate() {
        known.entry(plain(name)).or_insert(label);
    }
    let found: Option<Vec<usize>> = data.iter().map(|name| known.get(&plain(name)).copied()).collect();
    match found {
        Some(found) => Ok(found),
        None if data.len() == model.len() => {
            tracing::info!("classes of the data set are taken for the model's labels by position: the names differ");
            Ok((0..data.len()).collect())
        }
        None => {
            let missing = data.iter().filter(|name| !known.contains_key(&plain(name))).take(3).cloned().collect();
            Err(ClassMismatch { data: data.len(), model: model.len(), missing })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn names_decide_where_all_are_known() {
        let model = names(&["cat", "Brick Wall", "dog", "cat"]);
        assert_eq!(match_classes(&names(&["dog", "brick_wall", "cat"]), &model), Ok(vec![2, 1, 0]));
    }

    #[test]
    fn positions_decide_where_numbers_agree() {
        assert_eq!(match_classes(&names(&["n01", "n02"]), &names(&["tench", "goldfish"])), Ok(vec![0, 1]));
    }

    #[test]
    fn other_numbers_of_unknown_names_are_an_error() {
        let error = match_classes(&names(&["ant", "bee"]), &names(&["bee", "cat", "dog"])).unwrap_err();
        assert_eq!(error.missing, ["ant"]);
        assert!(error.to_string().contains("2 classes, the model 3") && error.to_string().contains("`ant`"));
    }
}
