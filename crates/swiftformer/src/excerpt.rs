//! Pieces of files in messages: short, and harmless to a terminal.

use std::fmt::Write;

/// At most `most` characters of `text`, control characters escaped; `…` stands for the rest.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    let mut result = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(most) {
        if character.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(result, "{}", character.escape_debug());
        } else {
            result.push(character);
        }
    }
    if characters.next().is_some() {
        result.push('…');
    }
    result
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn long_text_is_cut_and_control_characters_are_escaped() {
        assert_eq!(excerpt("tench\x1b[2J\n", 20), "tench\\u{1b}[2J\\n");
        assert_eq!(excerpt("größer", 3), "grö…");
        assert_eq!(excerpt("größer", 6), "größer");
    }
}
