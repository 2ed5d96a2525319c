//! One file per family of routes; each turns a parsed HTTP request into an answer.
//!
//! In: a request head and body. Out: status, headers and a streamed body.
