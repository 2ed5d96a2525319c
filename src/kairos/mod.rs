//! KairosDB's view of the store: metrics, queries over them, aggregators, answers.
//!
//! In: requests of KairosDB's REST API as bytes. Out: answers as JSON, points to be saved. Nothing
//! here knows HTTP; `api/kairos` does.

pub mod metric;
