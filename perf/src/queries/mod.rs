//! The questions of TSBS's devops and IoT sets, as InfluxQL and as MetricsQL.
//!
//! In: the shape of the loaded data and a random number. Out: requests over random hosts and
//! windows inside that data. Both languages ask for the same hosts, windows and figures.

mod devops;
mod trucks;

use crate::workload::{Set, Shape};
use clap::ValueEnum;

/// What the server understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Language {
    /// `/query` of InfluxDB.
    Influxql,
    /// `/api/v1/query_range` of VictoriaMetrics and Prometheus, past their caches.
    Promql,
}

/// A form to post.
#[derive(Clone, PartialEq, Debug)]
pub struct Question {
    pub path: &'static str,
    pub fields: Vec<(&'static str, String)>,
}

/// The questions that a shape's data has answers to, in TSBS's words; none for single gauges.
pub fn names(shape: &Shape) -> &'static [&'static str] {
    match shape.workload {
        Set::Cpu | Set::Devops => &devops::NAMES,
        Set::Iot => &trucks::NAMES,
        Set::Gauges => &[],
    }
}

/// A question of this name; `random` chooses hosts and window.
pub fn question(
    language: Language,
    name: &str,
    db: &str,
    shape: &Shape,
    random: u64,
) -> Option<Question> {
    let of_trucks = shape.workload == Set::Iot;
    match language {
        Language::Influxql => {
            let text = match of_trucks {
                true => trucks::influxql(name, shape, random),
                false => devops::influxql(name, shape, random),
            };
            let fields = vec![("db", db.to_owned()), ("epoch", "ns".to_owned()), ("q", text?)];
            Some(Question { path: "/query", fields })
        }
        Language::Promql if of_trucks => trucks::promql(name, shape, random),
        Language::Promql => devops::promql(name, shape, random),
    }
}

/// MetricsQL for one moment (seconds), past the server's cache.
fn instant(query: String, time: i64) -> Question {
    let fields = vec![("query", query), ("nocache", "1".to_owned()), ("time", time.to_string())];
    Question { path: "/api/v1/query", fields }
}

/// Whether an answer has a row, or what the server says is wrong with the question.
///
/// # Errors
/// InfluxQL's errors, which come with status 200.
pub fn has_rows(language: Language, answer: &[u8]) -> Result<bool, String> {
    let has = |text: &str| answer.windows(text.len()).any(|window| window == text.as_bytes());
    match language {
        Language::Promql => Ok(!has("\"result\":[]")),
        Language::Influxql if answer.len() < 4096 && has("\"error\":") => {
            Err(String::from_utf8_lossy(answer).trim().to_owned())
        }
        Language::Influxql => Ok(has("\"values\":[")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::shape;

    #[test]
    fn each_workload_has_its_questions_in_both_languages() {
        for (flags, count) in [("", 8), ("--workload devops", 8), ("--workload iot", 12)] {
            let shape = shape(flags);
            assert_eq!(names(&shape).len(), count);
            for name in names(&shape) {
                for language in [Language::Influxql, Language::Promql] {
                    let ask = |random| question(language, name, "load", &shape, random);
                    assert!(ask(0).is_some() && ask(7) == ask(7), "{name}");
                }
            }
            assert!(question(Language::Influxql, "none", "d", &shape, 0).is_none());
        }
        assert!(names(&shape("--workload gauges")).is_empty());
    }

    #[test]
    fn errors_and_empty_answers_are_told_from_rows() {
        let of = |language, text: &str| has_rows(language, text.as_bytes());
        let influxql = |text| of(Language::Influxql, text);
        let rows = r#"{"results":[{"series":[{"columns":["time"],"values":[[1]]}]}]}"#;
        assert_eq!(influxql(rows), Ok(true));
        assert_eq!(influxql(r#"{"results":[{"statement_id":0}]}"#), Ok(false));
        let wrong = r#"{"results":[{"statement_id":0,"error":"database not found: x"}]}"#;
        assert_eq!(influxql(wrong), Err(wrong.to_owned()));
        assert_eq!(of(Language::Promql, r#"{"data":{"result":[]}}"#), Ok(false));
        assert_eq!(of(Language::Promql, r#"{"data":{"result":[{}]}}"#), Ok(true));
    }
}
