//! Protocol buffers: as much of the wire format as exported models need. A schema's messages are declared by [`message`] with
//! the schema's own numbers; repeated numbers are written one by one, which every parser takes.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Kinds of values on the wire.
const VARINT: u64 = 0;
const DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// Declares messages: `Name { 1 field: Type, … }`.
macro_rules! message {
    ($($(#[$meta:meta])* $name:ident { $($tag:literal $field:ident: $type:ty),* $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name { $(pub $field: $type),* }

        impl $crate::export::protobuf::Message for $name {
            fn body_len(&self) -> usize {
                0 $(+ $crate::export::protobuf::Field::len(&self.$field, $tag))*
            }

            fn write_body(&self, _out: &mut Vec<u8>) {
                $($crate::export::protobuf::Field::write(&self.$field, $tag, _out);)*
            }

            #[cfg(test)]
            fn set(&mut self, tag: u64, _wire: $crate::export::protobuf::Wire<'_>) {
                match tag {
                    $($tag => $crate::export::protobuf::Field::read(&mut self.$field, _wire),)*
                    _ => panic!("{} has no field {tag}", stringify!($name)),
                }
            }
        }
    )+};
}
pub(super) use message;

/// A message.
pub trait Message: Default {
    /// Bytes of its fields.
    fn body_len(&self) -> usize;
    /// Appends its fields.
    fn write_body(&self, out: &mut Vec<u8>);
    /// Sets a field that was read.
    #[cfg(test)]
    fn set(&mut self, tag: u64, wire: Wire<'_>);

    /// The message as a file.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body_len());
        self.write_body(&mut out);
        out
    }

    /// Reads what [`Message::encode`] wrote.
    #[cfg(test)]
    fn decode(mut bytes: &[u8]) -> Self {
        let mut message = Self::default();
        while !bytes.is_empty() {
            let key = read_varint(&mut bytes);
            let wire = match key & 7 {
                VARINT => Wire::Varint(read_varint(&mut bytes)),
                FIXED32 => Wire::Fixed32(bytes.split_off(..4).unwrap().try_into().unwrap()),
                DELIMITED => {
                    let length = read_varint(&mut bytes) as usize;
                    Wire::Delimited(bytes.split_off(..length).unwrap())
                }
                kind => panic!("wire type {kind}"),
            };
            message.set(key >> 3, wire);
        }
        message
    }
}

/// What was read for a field.
#[cfg(test)]
pub enum Wire<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Delimited(&'a [u8]),
}

/// Something that a field can hold; what equals its default is left out, unless it is an `Option`.
pub trait Field {
    /// Bytes with the key.
    fn len(&self, tag: u64) -> usize;
    /// Appends key and value.
    fn write(&self, tag: u64, out: &mut Vec<u8>);
    /// Takes a value in.
    #[cfg(test)]
    fn read(&mut self, wire: Wire<'_>);
}

/// Something that stands behind a key.
pub trait Item: Default {
    const KIND: u64;
    /// Bytes without the key.
    fn len(&self) -> usize;
    fn write(&self, out: &mut Vec<u8>);
    #[cfg(test)]
    fn read(wire: Wire<'_>) -> Self;
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
fn read_varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = *bytes.split_off_first().unwrap();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

fn item_len<T: Item>(item: &T, tag: u64) -> usize {
    let key = varint_len(tag << 3);
    let length = item.len();
    key + length + if T::KIND == DELIMITED { varint_len(length as u64) } else { 0 }
}

fn write_item<T: Item>(item: &T, tag: u64, out: &mut Vec<u8>) {
    write_varint(tag << 3 | T::KIND, out);
    if T::KIND == DELIMITED {
        write_varint(item.len() as u64, out);
    }
    item.write(out);
}

macro_rules! integers {
    ($($type:ty),+) => {$(
        impl Item for $type {
            const KIND: u64 = VARINT;

            // Negative numbers take ten bytes, as the format has it.
            fn len(&self) -> usize {
                varint_len(*self as i64 as u64)
            }

            fn write(&self, out: &mut Vec<u8>) {
                write_varint(*self as i64 as u64, out);
            }

            #[cfg(test)]
            fn read(wire: Wire<'_>) -> Self {
                let Wire::Varint(value) = wire else { panic!("no number") };
                value as Self
            }
        }
    )+};
}
integers!(i32, i64, u64);

impl Item for bool {
    const KIND: u64 = VARINT;

    fn len(&self) -> usize {
        1
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    #[cfg(test)]
    fn read(wire: Wire<'_>) -> Self {
        matches!(wire, Wire::Varint(1))
    }
}

impl Item for f32 {
    const KIND: u64 = FIXED32;

    fn len(&self) -> usize {
        4
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    #[cfg(test)]
    fn read(wire: Wire<'_>) -> Self {
        let Wire::Fixed32(bytes) = wire else { panic!("no float") };
        Self::from_le_bytes(bytes)
    }
}

impl Item for String {
    const KIND: u64 = DELIMITED;

    fn len(&self) -> usize {
        str::len(self)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.as_bytes());
    }

    #[cfg(test)]
    fn read(wire: Wire<'_>) -> Self {
        let Wire::Delimited(bytes) = wire else { panic!("no text") };
        Self::from_utf8(bytes.to_vec()).unwrap()
    }
}

impl Item for Bytes {
    const KIND: u64 = DELIMITED;

    fn len(&self) -> usize {
        Bytes::len(self)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    #[cfg(test)]
    fn read(wire: Wire<'_>) -> Self {
        let Wire::Delimited(bytes) = wire else { panic!("no bytes") };
        Self::copy_from_slice(bytes)
    }
}

impl<T: Message> Item for T {
    const KIND: u64 = DELIMITED;

    fn len(&self) -> usize {
        self.body_len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.write_body(out);
    }

    #[cfg(test)]
    fn read(wire: Wire<'_>) -> Self {
        let Wire::Delimited(bytes) = wire else { panic!("no message") };
        Self::decode(bytes)
    }
}

macro_rules! singular {
    ($($type:ty),+) => {$(
        impl Field for $type {
            fn len(&self, tag: u64) -> usize {
                if *self == Self::default() { 0 } else { item_len(self, tag) }
            }

            fn write(&self, tag: u64, out: &mut Vec<u8>) {
                if *self != Self::default() {
                    write_item(self, tag, out);
                }
            }

            #[cfg(test)]
            fn read(&mut self, wire: Wire<'_>) {
                *self = Item::read(wire);
            }
        }
    )+};
}
singular!(i32, i64, u64, f32, String, Bytes);

impl<T: Item> Field for Option<T> {
    fn len(&self, tag: u64) -> usize {
        self.as_ref().map_or(0, |item| item_len(item, tag))
    }

    fn write(&self, tag: u64, out: &mut Vec<u8>) {
        self.iter().for_each(|item| write_item(item, tag, out));
    }

    #[cfg(test)]
    fn read(&mut self, wire: Wire<'_>) {
        *self = Some(T::read(wire));
    }
}

/// For a message that contains its own kind.
impl<T: Message> Message for Box<T> {
    fn body_len(&self) -> usize {
        (**self).body_len()
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        (**self).write_body(out);
    }

    #[cfg(test)]
    fn set(&mut self, tag: u64, wire: Wire<'_>) {
        (**self).set(tag, wire);
    }
}

impl<T: Item> Field for Vec<T> {
    fn len(&self, tag: u64) -> usize {
        self.iter().map(|item| item_len(item, tag)).sum()
    }

    fn write(&self, tag: u64, out: &mut Vec<u8>) {
        self.iter().for_each(|item| write_item(item, tag, out));
    }

    #[cfg(test)]
    fn read(&mut self, wire: Wire<'_>) {
        self.push(T::read(wire));
    }
}

/// An entry of a map is a message of key and value, both of which stand there even if they are empty.
impl<T: Item> Field for BTreeMap<String, T> {
    fn len(&self, tag: u64) -> usize {
        let entry = |(key, value): (&String, &T)| item_len(key, 1) + item_len(value, 2);
        self.iter().map(entry).map(|length| varint_len(tag << 3) + varint_len(length as u64) + length).sum()
    }

    fn write(&self, tag: u64, out: &mut Vec<u8>) {
        for (key, value) in self {
            write_varint(tag << 3 | DELIMITED, out);
            write_varint((item_len(key, 1) + item_len(value, 2)) as u64, out);
            write_item(key, 1, out);
            write_item(value, 2, out);
        }
    }

    #[cfg(test)]
    fn read(&mut self, wire: Wire<'_>) {
        let Wire::Delimited(bytes) = wire else { panic!("no entry") };
        let entry = Entry::<T>::decode(bytes);
        self.insert(entry.key, entry.value);
    }
}

/// An entry of a map.
#[cfg(test)]
#[derive(Default)]
struct Entry<T> {
    key: String,
    value: T,
}

#[cfg(test)]
impl<T: Item> Message for Entry<T> {
    fn body_len(&self) -> usize {
        unreachable!("entries are only read")
    }

    fn write_body(&self, _: &mut Vec<u8>) {
        unreachable!("entries are only read")
    }

    fn set(&mut self, tag: u64, wire: Wire<'_>) {
        match tag {
            1 => self.key = Item::read(wire),
            _ => self.value = T::read(wire),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    message! {
        Inner { 1 number: i64, 2 text: String }
        Outer {
            1 zero: i32,
            3 some_zero: Option<i64>,
            4 inner: Option<Inner>,
            5 many: Vec<i64>,
            16 floats: Vec<f32>,
            100 map: BTreeMap<String, Inner>,
            7 raw: Bytes,
        }
    }

    #[test]
    fn messages_have_the_bytes_of_the_formats_documentation() {
        // https://protobuf.dev/programming-guides/encoding: 150 in field 1, "testing" in field 2.
        let inner = Inner { number: 150, text: "testing".into() };
        let expected = [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
        assert_eq!(inner.encode(), expected);
        let outer = Outer { inner: Some(inner), some_zero: Some(0), ..Outer::default() };
        assert_eq!(outer.encode(), [&[0x18, 0x00, 0x22, 0x0c][..], &expected].concat());
        let minus_one = Inner { number: -1, ..Inner::default() };
        assert_eq!(minus_one.encode(), [0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let inner = |number| Inner { number, text: "x".repeat(number.unsigned_abs() as usize % 300) };
        let outer = Outer {
            zero: -5,
            some_zero: Some(0),
            inner: Some(inner(299)),
            many: vec![0, 1, -1, i64::MAX],
            floats: vec![0.0, -1.5],
            map: BTreeMap::from([("".to_owned(), inner(0)), ("b".to_owned(), inner(1 << 40))]),
            raw: Bytes::from(vec![7; 1000]),
        };
        let bytes = outer.encode();
        assert_eq!(bytes.len(), outer.body_len());
        assert_eq!(Outer::decode(&bytes), outer);
    }
}
