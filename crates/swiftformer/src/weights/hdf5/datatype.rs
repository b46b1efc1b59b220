//! Datatype messages: numbers and strings, read and written.

use super::cursor::Cursor;
use super::error::{Hdf5Error, unsupported};
use crate::tensor::DType;

/// What a dataset's or attribute's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datatype {
    Number {
        dtype: DType,
        big_endian: bool,
    },
    /// Strings of `size` bytes each.
    FixedString {
        size: u32,
        padding: Padding,
    },
    /// Strings in the global heap: length, collection address, index.
    VariableString,
    /// A type that no weight has, by its class.
    Other {
        class: u8,
        size: u32,
    },
}

/// What fills a fixed-length string that is shorter than its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// The string ends at the first NUL.
    NulTerminated,
    Nul,
    Space,
}

const FIXED_POINT: u8 = 0;
const FLOAT: u8 = 1;
const STRING: u8 = 3;
const VARIABLE_LENGTH: u8 = 9;

/// Layout of an IEEE-like float: size in bytes, sign bit, exponent (bit, bits), mantissa bits, bias.
type FloatFormat = (u32, u8, (u8, u8), u8, u32);
const FLOATS: [(DType, FloatFormat); 4] = [
    (DType::F32, (4, 31, (23, 8), 23, 127)),
    (DType::F64, (8, 63, (52, 11), 52, 1023)),
    (DType::F16, (2, 15, (10, 5), 10, 15)),
    (DType::BF16, (2, 15, (7, 8), 7, 127)),
];
/// Integers: size in bytes and whether they are signed.
const INTEGERS: [(DType, (u32, bool)); 3] = [(DType::I64, (8, true)), (DType::I32, (4, true)), (DType::U8, (1, false))];

impl Datatype {
    pub fn parse(mut cursor: Cursor<'_>) -> Result<Self, Hdf5Error> {
        let class_and_version = cursor.u8()?;
        let (class, version) = (class_and_version & 15, class_and_version >> 4);
        if !(1..=5).contains(&version) {
            return unsupported(format!("datatype version {version}"));
        }
        let (low, middle) = (cursor.u8()?, cursor.u8()?);
        cursor.skip(1)?;
        let size = cursor.u32()?;
        let other = Self::Other { class, size };
        Ok(match class {
            FIXED_POINT => {
                let (bit_offset, precision) = (cursor.u16()?, cursor.u16()?);
                let whole = bit_offset == 0 && u64::from(precision) == 8 * u64::from(size);
                let format = (size, low & 8 != 0);
                let found = INTEGERS.iter().find(|(_, known)| whole && *known == format);
                found.map_or(other, |&(dtype, _)| Self::Number { dtype, big_endian: low & 1 != 0 })
            }
            FLOAT => {
                let (bit_offset, precision) = (cursor.u16()?, cursor.u16()?);
                let exponent = (cursor.u8()?, cursor.u8()?);
                let (mantissa_bit, mantissa) = (cursor.u8()?, cursor.u8()?);
                let bias = cursor.u32()?;
                let whole = bit_offset == 0 && u64::from(precision) == 8 * u64::from(size) && mantissa_bit == 0;
                // Bits 4 and 5: the mantissa's top bit is implied. Bit 6 with bit 0: the VAX byte order.
                let ieee = low & 0x30 == 0x20 && low & 0x40 == 0;
                let format = (size, middle, exponent, mantissa, bias);
                let found = FLOATS.iter().find(|(_, known)| whole && ieee && *known == format);
                found.map_or(other, |&(dtype, _)| Self::Number { dtype, big_endian: low & 1 != 0 })
            }
            STRING if size > 0 => match low & 15 {
                0 => Self::FixedString { size, padding: Padding::NulTerminated },
                1 => Self::FixedString { size, padding: Padding::Nul },
                2 => Self::FixedString { size, padding: Padding::Space },
                _ => other,
            },
            VARIABLE_LENGTH if low & 15 == 1 => Self::VariableString,
            _ => other,
        })
    }

    /// What the type is, for error messages.
    pub fn describe(self) -> String {
        match self {
            Self::Number { dtype, .. } => dtype.name().to_owned(),
            Self::FixedString { size, .. } => format!("strings of {size} bytes"),
            Self::VariableString => "strings of variable length".to_owned(),
            Self::Other { class, size } => {
                let names = ["integers", "floats", "times", "strings", "bit fields", "opaque values", "compounds"];
                let more = ["references", "enumerations", "sequences", "arrays", "complex numbers"];
                let name = names.iter().chain(&more).nth(usize::from(class)).unwrap_or(&"values");
                format!("{name} of {size} bytes")
            }
        }
    }
}

/// The datatype message of little-endian numbers, version 1.
pub(super) fn encode_number(dtype: DType) -> Vec<u8> {
    let float = FLOATS.iter().find(|(known, _)| *known == dtype);
    if let Some(&(_, (size, sign, exponent, mantissa, bias))) = float {
        let mut message = vec![1 << 4 | FLOAT, 0x20, sign, 0];
        message.extend(size.to_le_bytes());
        message.extend([0, 0]);
        message.extend((8 * size as u16).to_le_bytes());
        message.extend([exponent.0, exponent.1, 0, mantissa]);
        message.extend(bias.to_le_bytes());
        return message;
    }
    let signed = INTEGERS.iter().any(|&(known, (_, signed))| known == dtype && signed);
    let size = dtype.size() as u32;
    let mut message = vec![1 << 4 | FIXED_POINT, if signed { 8 } else { 0 }, 0, 0];
    message.extend(size.to_le_bytes());
    message.extend([0, 0]);
    message.extend((8 * size as u16).to_le_bytes());
    message
}

/// The datatype message of NUL-padded strings of `size` bytes, as NumPy's `S` type becomes.
pub(super) fn encode_fixed_string(size: u32, ascii: bool) -> Vec<u8> {
    let mut message = vec![1 << 4 | STRING, 1 | u8::from(!ascii) << 4, 0, 0];
    message.extend(size.to_le_bytes());
    message
}

/// The datatype message of strings in the global heap, as h5py makes of Python's.
pub(super) fn encode_variable_string(ascii: bool) -> Vec<u8> {
    let mut message = vec![1 << 4 | VARIABLE_LENGTH, 1, u8::from(!ascii), 0];
    message.extend(16u32.to_le_bytes());
    message.extend(encode_number(DType::U8));
    message
}
