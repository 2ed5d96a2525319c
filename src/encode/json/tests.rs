//! Documents byte for byte, as InfluxDB writes them.

use super::*;
use crate::model::Values;
use crate::query::Cell;
use std::sync::Arc;

fn series(name: &str, host: Option<&str>, times: &[i64]) -> Series {
    let tags: Vec<crate::shard::scan::TagPair> =
        host.map(|host| (b"host".as_slice().into(), host.as_bytes().into())).into_iter().collect();
    let values = times.iter().map(|at| *at as f64 / 2.0).collect();
    Series {
        name: Some(Arc::from(name.as_bytes())),
        tags: tags.into(),
        columns: [b"time".as_slice().into(), b"v".as_slice().into()].into(),
        values: vec![Column::Times(times.to_vec()), Column::Values(Values::Float(values), None)],
        rows: times.len(),
        ..Series::default()
    }
}

fn end(statement_id: usize) -> ResultPart {
    ResultPart { statement_id, ..ResultPart::default() }
}

fn write(options: Options, parts: Vec<ResultPart>) -> String {
    let mut writer = Writer::new(options);
    parts.into_iter().for_each(|part| writer.part(part));
    writer.finish();
    String::from_utf8(writer.take()).unwrap()
}

fn epoch() -> Options {
    Options { epoch_ns: Some(1), ..Options::default() }
}

#[test]
fn parts_of_one_series_become_one() {
    let parts = vec![
        ResultPart::of_series(0, series("cpu", Some("a"), &[1, 2])),
        ResultPart::of_series(0, series("cpu", Some("a"), &[3])),
        ResultPart::of_series(0, series("cpu", Some("b"), &[4])),
        end(0),
        end(1),
    ];
    let expected = concat!(
        r#"{"results":[{"statement_id":0,"series":[{"name":"cpu","tags":{"host":"a"},"#,
        r#""columns":["time","v"],"values":[[1,0.5],[2,1],[3,1.5]]},{"name":"cpu","#,
        r#""tags":{"host":"b"},"columns":["time","v"],"values":[[4,2]]}]},{"statement_id":1}]}"#,
        "\n"
    );
    assert_eq!(write(epoch(), parts), expected);
}

#[test]
fn nothing_asked_gives_an_empty_object() {
    assert_eq!(write(epoch(), Vec::new()), "{}\n");
    let chunked = Options { chunk: Some(1), ..epoch() };
    assert_eq!(write(chunked, Vec::new()), "");
}

#[test]
fn an_error_takes_the_place_of_the_statement() {
    let parts = vec![
        end(0),
        ResultPart::of_series(1, series("cpu", None, &[1])),
        ResultPart::of_error(1, "first"),
        ResultPart::of_error(1, "not executed"),
    ];
    let expected = "{\"results\":[{\"statement_id\":0},\
                    {\"statement_id\":1,\"error\":\"not executed\"}]}\n";
    assert_eq!(write(epoch(), parts.clone()), expected);
    let chunked = write(Options { chunk: Some(10), ..epoch() }, parts);
    assert_eq!(chunked.lines().count(), 4, "{chunked}");
    assert!(chunked.ends_with("{\"statement_id\":1,\"error\":\"not executed\"}]}\n"));
}

#[test]
fn chunks_end_at_their_size_and_at_each_series() {
    let parts = vec![
        ResultPart::of_series(0, series("cpu", None, &[1, 2, 3])),
        ResultPart::of_series(0, series("mem", None, &[4, 5])),
        end(0),
    ];
    let head = |name| {
        format!(
            "{{\"results\":[{{\"statement_id\":0,\"series\":[{{\"name\":\"{name}\",\
             \"columns\":[\"time\",\"v\"],\"values\":"
        )
    };
    let expected = [
        format!("{}[[1,0.5],[2,1]],\"partial\":true}}],\"partial\":true}}]}}\n", head("cpu")),
        format!("{}[[3,1.5]]}}],\"partial\":true}}]}}\n", head("cpu")),
        format!("{}[[4,2],[5,2.5]]}}]}}]}}\n", head("mem")),
    ];
    assert_eq!(write(Options { chunk: Some(2), ..epoch() }, parts), expected.concat());
}

#[test]
fn pretty_puts_every_cell_on_a_line() {
    let parts = vec![ResultPart::of_series(0, series("cpu", None, &[0])), end(0)];
    let expected = r#"{
    "results": [
        {
            "statement_id": 0,
            "series": [
                {
                    "name": "cpu",
                    "columns": [
                        "time",
                        "v"
                    ],
                    "values": [
                        [
                            "1970-01-01T00:00:00Z",
                            0
                        ]
                    ]
                }
            ]
        }
    ]
}
"#;
    assert_eq!(write(Options { pretty: true, ..Options::default() }, parts), expected);
}

#[test]
fn the_row_limit_cuts_the_series_and_drops_the_rest() {
    let parts = vec![
        ResultPart::of_series(0, series("cpu", None, &[1, 2, 3])),
        ResultPart::of_series(0, series("mem", None, &[4])),
        end(0),
        end(1),
    ];
    let text = write(Options { rows_max: 2, ..epoch() }, parts);
    assert!(text.ends_with("\"values\":[[1,0.5],[2,1]],\"partial\":true}]}]}\n"), "{text}");
}

#[test]
fn an_infinite_number_is_the_whole_answer() {
    let mut bad = series("cpu", None, &[1]);
    bad.values[1] = Column::Cells(vec![Cell::Value(crate::model::Value::Float(f64::NEG_INFINITY))]);
    let parts = vec![end(0), ResultPart::of_series(1, bad), end(1), end(2)];
    let text = write(epoch(), parts);
    let expected = "json: error calling MarshalJSON for type httpd.Response: json: error calling \
                    MarshalJSON for type *query.Result: json: unsupported value: -Inf\n";
    assert_eq!(text, expected);
}

#[test]
fn messages_stand_behind_series() {
    let mut last = end(0);
    last.messages.push("careful".into());
    let text = write(epoch(), vec![last]);
    let expected = "{\"results\":[{\"statement_id\":0,\"messages\":[{\"level\":\"warning\",\
                    \"text\":\"careful\"}]}]}\n";
    assert_eq!(text, expected);
}

#[test]
fn a_listing_without_rows_has_no_values() {
    let listing = Series::listing(Some(b"databases"), &["name"], Vec::new());
    let text = write(epoch(), vec![ResultPart::of_series(0, listing), end(0)]);
    let expected = "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\
                    \"columns\":[\"name\"]}]}]}\n";
    assert_eq!(text, expected);
}
