//! KairosDB's view of the store: metrics, queries over them, aggregators, answers.
//!
//! In: requests of KairosDB's REST API as bytes. Out: answers as JSON, points to be saved. Nothing
//! here knows HTTP; `api/kairos` does.

mod aggregate;
mod answer;
mod fetch;
mod group;
pub mod metric;
mod point;
mod push;
mod range;
pub mod request;
mod run;
mod source;

pub use aggregate::{Destination, Saved, body};
pub use point::{Datum, Point};
pub use range::MS_NS;
pub use run::{Door, delete, query, tags};
pub use source::Options;

/// Why a request is not answered: HTTP status and the texts of the answer's `errors`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub status: u16,
    pub errors: Vec<String>,
}

impl Failure {
    /// A request that cannot be answered as it is.
    pub fn bad(text: impl Into<String>) -> Failure {
        Failure { status: 400, errors: vec![text.into()] }
    }

    /// A failure on the way.
    pub fn internal(text: impl Into<String>) -> Failure {
        Failure { status: 500, errors: vec![text.into()] }
    }
}
