//! Fields of CSV (RFC 4180). One rule for one field: no crate is needed for writing.

use std::borrow::Cow;

/// A field, in quotes where it needs them.
pub fn field(text: &str) -> Cow<'_, str> {
    let plain = !text.contains(['"', ',', '\n', '\r']) && text.trim() == text;
    if plain { Cow::Borrowed(text) } else { Cow::Owned(format!("\"{}\"", text.replace('"', "\"\""))) }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_with_separators_quotes_or_outer_blanks_are_quoted() {
        assert_eq!(field("a b.jpg"), "a b.jpg");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(field("two\nlines"), "\"two\nlines\"");
        assert_eq!(field(" a"), "\" a\"");
    }
}
