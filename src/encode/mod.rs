//! Results out: InfluxDB JSON and its error texts.
//!
//! In: result parts of `query`. Out: bytes as the wire wants them.

pub mod error;
#[cfg(test)]
mod golden_tests;
pub mod json;
pub(crate) mod scalar;
