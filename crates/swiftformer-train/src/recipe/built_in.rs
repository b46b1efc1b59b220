//! The recipes of this crate: the files in `recipes/`.

/// Names of the recipes that need no file.
pub const NAMES: [&str; 8] =
    ["paper-xs", "paper-s", "paper-l1", "paper-l3", "finetune", "linear-probe", "quick", "demo"];

/// The text of a recipe.
pub(super) fn text(name: &str) -> Option<&'static str> {
    Some(match name {
        "paper-xs" => include_str!("../../recipes/paper-xs.toml"),
        "paper-s" => include_str!("../../recipes/paper-s.toml"),
        "paper-l1" => include_str!("../../recipes/paper-l1.toml"),
        "paper-l3" => include_str!("../../recipes/paper-l3.toml"),
        "finetune" => include_str!("../../recipes/finetune.toml"),
        "linear-probe" => include_str!("../../recipes/linear-probe.toml"),
        "demo" => include_str!("../../recipes/demo.toml"),
        "quick" => include_str!("../../recipes/quick.toml"),
        _ => return None,
    })
}
