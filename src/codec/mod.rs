//! Values to bits and back: integers, times, floats, booleans, strings, bitmaps, checksums.
//!
//! In: typed slices. Out: bytes that decode to the same slices bit for bit, or an error. Two
//! families: [`chunk`] packs one column of a segment chunk tightly, in pages that decode alone;
//! [`reduced`] narrows columns at memory speed for the log. Both rest on the small parts beside
//! them.
//!
//! Nothing here knows a file or a clock. Bytes are never trusted: a damaged input is an error,
//! never a panic, and never an allocation that the length of the input does not justify.

pub mod checksum;
pub mod chunk;
pub mod reduced;
pub mod varint;

mod bitpack;
mod error;
mod light;
mod present;
#[cfg(test)]
mod samples;
mod scale;
mod text;

pub use error::CodecError;
