//! Values to bits and back: integers, times, floats, booleans, strings, bitmaps, checksums.
//!
//! In: typed slices. Out: bytes that decode to the same slices bit for bit, or an error.
