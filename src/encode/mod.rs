//! Results out: InfluxDB JSON and its error texts.
//!
//! In: result rows of `query`. Out: bytes as the wire wants them.
