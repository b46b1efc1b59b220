//! The text forms of protocol 0: escaped strings and decimal numbers.

use super::Value;

/// Decodes the `raw-unicode-escape` of UNICODE: Latin-1 bytes with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode_escape(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(byte));
                rest = after;
                continue;
            }
        };
        let hex = std::str::from_utf8(after.get(1..1 + digits)?).ok()?;
        text.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        rest = after.get(1 + digits..)?;
    }
    Some(text)
}

/// Decodes the quoted, escaped bytes of STRING (Python's `repr` of a byte string).
pub(super) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii();
    let (&quote, inner) = line.split_first()?;
    let (&end, mut rest) = inner.split_last()?;
    if quote != end || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&escape, after) = rest.split_first()?;
        rest = after;
        match escape {
            b'\\' | b'\'' | b'"' => bytes.push(escape),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'x' => {
                let hex = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(hex, 16).ok()?);
                rest = rest.get(2..)?;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// The text of a decimal instruction.
fn ascii(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line.trim_ascii()).ok()
}

/// FLOAT: a decimal number.
pub(super) fn float(line: &[u8]) -> Option<Value> {
    ascii(line)?.parse().ok().map(Value::Float)
}

/// INT: a decimal number, or `00` and `01` for the two bools.
pub(super) fn int(line: &[u8]) -> Option<Value> {
    match line {
        b"00" => Some(Value::Bool(false)),
        b"01" => Some(Value::Bool(true)),
        _ => long(line),
    }
}

/// LONG: a decimal number with an `L` behind it.
pub(super) fn long(line: &[u8]) -> Option<Value> {
    let digits = ascii(line)?;
    let number: i128 = digits.strip_suffix('L').unwrap_or(digits).parse().ok()?;
    Some(long_from_bytes(&number.to_le_bytes()))
}

/// LONG1 and LONG4: two's complement, little-endian, of any length.
pub(super) fn long_from_bytes(bytes: &[u8]) -> Value {
    let sign: u8 = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut low = [sign; 8];
    let (head, tail) = bytes.split_at(bytes.len().min(8));
    low.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
    let number = i64::from_le_bytes(low);
    if tail.iter().all(|&byte| byte == sign) && (number < 0) == (sign != 0) {
        return Value::Int(number);
    }
    // Without the sign's repetition, so that equal numbers have equal bytes.
    let mut length = bytes.len();
    while length > 1
        && bytes.get(length - 1) == Some(&sign)
        && bytes.get(length - 2).map(|b| b & 0x80) == Some(sign & 0x80)
    {
        length -= 1;
    }
    Value::LongInt(bytes.get(..length).unwrap_or_default().into())
}
