//! A reader of TensorBoard's event files that checks every checksum.

/// One number of an event.
#[derive(Debug)]
pub struct Scalar {
    pub step: u64,
    pub tag: String,
    pub value: f32,
}

/// CRC-32C by its table, masked as TFRecord does.
fn checksum(data: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| (0..8).fold(byte, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 }))
        .collect();
    let crc = !data.iter().fold(u32::MAX, |crc, &byte| table[((crc ^ u32::from(byte)) & 0xff) as usize] ^ crc >> 8);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The data of each record.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let mut records = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(word(&bytes[8..]), checksum(&bytes[..8]), "the checksum of a length");
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let data = &bytes[12..12 + length];
        assert_eq!(word(&bytes[12 + length..]), checksum(data), "the checksum of data");
        records.push(data);
        bytes = &bytes[16 + length..];
    }
    records
}

/// A field of a message: a number, or bytes.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut list = Vec::new();
    let varint = |bytes: &mut &[u8]| {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            kind => {
                let length = match kind {
                    1 => 8,
                    5 => 4,
                    2 => varint(&mut bytes) as usize,
                    other => panic!("kind {other}"),
                };
                let (data, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(data)
            }
        };
        list.push((key >> 3, field));
    }
    list
}

/// Every scalar of a file, in its order; the file has to begin with its version.
pub fn scalars(file: &[u8]) -> Vec<Scalar> {
    let records = records(file);
    let version = fields(records[0])
        .into_iter()
        .any(|(number, field)| number == 3 && matches!(field, Field::Bytes(b"brain.Event:2")));
    assert!(version, "the first event is not the version");
    let mut list = Vec::new();
    for event in &records[1..] {
        let (mut step, mut summary) = (0, &[][..]);
        for field in fields(event) {
            match field {
                (2, Field::Number(number)) => step = number,
                (5, Field::Bytes(bytes)) => summary = bytes,
                _ => {}
            }
        }
        for (_, value) in fields(summary) {
            let Field::Bytes(value) = value else { panic!("a value is a message") };
            let mut scalar = Scalar { step, tag: String::new(), value: f32::NAN };
            for field in fields(value) {
                match field {
                    (1, Field::Bytes(bytes)) => scalar.tag = String::from_utf8(bytes.to_vec()).unwrap(),
                    (2, Field::Bytes(bytes)) => scalar.value = f32::from_le_bytes(bytes.try_into().unwrap()),
                    (other, _) => panic!("field {other}"),
                }
            }
            list.push(scalar);
        }
    }
    list
}
