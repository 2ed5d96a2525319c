//! Queries as text, and answers as bytes.

use ringtail::encode::{Format, Options, Writer};
use ringtail::influxql::{Params, parse as parse_text};
use ringtail::model::Values;
use ringtail::query::ResultPart;
use ringtail::query::result::{Column, Series};
use std::hint::black_box;

const ROWS: usize = 1000;
/// Cells of an answer: a time and two values a row.
pub const CELLS: u64 = 3 * ROWS as u64;

const QUERY: &str = "SELECT max(usage_user), mean(usage_system) * 2 FROM cpu WHERE (hostname = \
    'host_1' OR hostname =~ /host_[2-5]/) AND time >= '2023-11-14T22:13:20Z' AND time < \
    1700003600s GROUP BY time(1m), hostname fill(previous) ORDER BY time DESC LIMIT 10";

pub fn parse(rounds: u64) {
    for _ in 0..rounds {
        assert!(parse_text(black_box(QUERY), &Params::default()).is_ok());
    }
}

fn encode(rounds: u64, format: Format) {
    let rows = 0..ROWS as i64;
    let floats = rows.clone().map(|n| (n * 7919 % 10_000) as f64 / 100.0).collect();
    let series = Series {
        name: Some(b"cpu".as_slice().into()),
        columns: [b"time".as_slice().into(), b"max".as_slice().into(), b"count".as_slice().into()]
            .into(),
        values: vec![
            Column::Times(rows.clone().map(|n| (1_700_000_000 + n * 60) * 1_000_000_000).collect()),
            Column::Values(Values::Float(floats), None),
            Column::Values(Values::Integer(rows.map(|n| n * 31).collect()), None),
        ],
        rows: ROWS,
        ..Series::default()
    };
    for _ in 0..rounds {
        let mut writer = Writer::new(format, Options::default(), 1 << 20);
        writer.part(ResultPart::of_series(0, series.clone()));
        writer.finish();
        assert!(writer.take().len() > ROWS);
    }
}

pub fn json(rounds: u64) {
    encode(rounds, Format::Json);
}

pub fn csv(rounds: u64) {
    encode(rounds, Format::Csv { as_text: false });
}
