//! One column of a segment chunk: compressed once, cut into pages that decode alone.
//!
//! In: a `model::Column` (or times) and the rows of each page. Out: bytes that `Reader` decodes,
//! all or some pages of them. Null rows store no value.
//!
//! | bytes           | what                                                                 |
//! |-----------------|----------------------------------------------------------------------|
//! | u8              | type of the values (`FieldType`)                                     |
//! | u8              | coding, see `Coding`                                                 |
//! | u8              | decimals of scaled floats, else 0                                    |
//! | varint          | number of pages                                                      |
//! | varint × pages  | rows of each page, at least 1                                        |
//! | u8              | 0: every row has a value, 1: none has, 2: the next line follows       |
//! | varint × pages  | rows with a value of each page                                       |
//! | varint          | length of the shared part                                            |
//! | …               | shared part: pco's training, or the dictionary (varint count, blob)  |
//! | varint × pages  | length of each page                                                  |
//! | … × pages       | pages: a bitmap of the rows if some but not all have a value; values  |
//! | u64             | xxh3 of all bytes before                                             |
//!
//! Valid: the checksum holds and the lengths use the bytes up exactly. A chunk is written once,
//! whole; a cut at any byte takes the checksum away or moves it, so the chunk does not open.

mod encode;
mod numbers;
mod reader;
#[cfg(test)]
mod tests;

pub use encode::{encode, encode_times};
pub use reader::Reader;

use super::CodecError;
use crate::model::FieldType;

/// The most rows of a chunk.
pub const ROWS_MAX: usize = 65_536;
/// The most bytes of strings in a chunk.
pub const STRING_BYTES_MAX: usize = super::text::BYTES_MAX;
/// Fewer values are not worth the training of pco.
const PCO_VALUES_MIN: usize = 256;

const ALL: u8 = 0;
const NONE: u8 = 1;
const SOME: u8 = 2;

/// How much work is spent on small output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effort {
    /// Fast in and out: level 0 files and middle merges.
    Light,
    /// Small: pco for numbers, zstd for strings, for files that stay. Falls back to the light codec
    /// where that is no larger.
    Pco,
}

/// How the values of a chunk are written. The numbers are part of the on-disk format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Coding {
    /// Integers (or bits of unsigned ones), light.
    Light = 0,
    /// Integers (or bits of unsigned ones), pco.
    Pco = 1,
    /// Floats as integers of some decimals, light.
    ScaledLight = 2,
    /// Floats as integers of some decimals, pco.
    ScaledPco = 3,
    /// The bits of floats, shifted right, light.
    BitsLight = 4,
    /// Floats, pco.
    FloatPco = 5,
    /// Booleans as bits; a page of equal ones is one byte.
    Boolean = 6,
    /// Strings as numbers of dictionary entries, light.
    Dictionary = 7,
    /// A blob of strings a page.
    Plain = 8,
}

impl Coding {
    const ALL: [Coding; 9] = [
        Coding::Light,
        Coding::Pco,
        Coding::ScaledLight,
        Coding::ScaledPco,
        Coding::BitsLight,
        Coding::FloatPco,
        Coding::Boolean,
        Coding::Dictionary,
        Coding::Plain,
    ];

    /// Reads the coding of a chunk; it must fit the type.
    fn checked(kind: FieldType, tag: u8) -> Result<Coding, CodecError> {
        let coding = Coding::ALL.get(tag as usize).copied();
        let coding = coding.ok_or(CodecError::Malformed("coding of a chunk"))?;
        let fits = match coding {
            Coding::Light | Coding::Pco => matches!(kind, FieldType::Integer | FieldType::Unsigned),
            Coding::Boolean => kind == FieldType::Boolean,
            Coding::Dictionary | Coding::Plain => kind == FieldType::String,
            _ => kind == FieldType::Float,
        };
        if fits { Ok(coding) } else { Err(CodecError::Malformed("coding of another type")) }
    }
}
