//! KairosDB's query API from outside: points written by REST, telnet and line protocol, asked back.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, connect, escape, folder, start};
use std::io::Write;

const DAY: &str = r#""start_absolute":1609459200000,"end_absolute":1609545600000"#;

fn server() -> (tempfile::TempDir, Server) {
    let (dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    (dir, server)
}

fn put(server: &Server, body: &str) {
    let answer = server.post("/api/v1/datapoints", body.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// The answer to a query over a day, for these metrics.
fn ask(server: &Server, metrics: &str) -> String {
    let body = format!("{{{DAY},\"metrics\":[{metrics}]}}");
    let answer = server.post("/api/v1/datapoints/query", body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// The `values` of every result.
fn values(server: &Server, metrics: &str) -> Vec<String> {
    let text = ask(server, metrics);
    let parts = text.split("\"values\":").skip(1);
    parts.map(|part| part[..part.find("]}").unwrap() + 1].to_owned()).collect()
}

fn refusal(server: &Server, body: &str) -> String {
    let answer = server.post("/api/v1/datapoints/query", body.as_bytes());
    assert_eq!(answer.status, 400, "{}", answer.text());
    answer.text()
}

/// Two hosts in two places, two points each.
fn hosts(server: &Server) {
    put(
        server,
        r#"[{"name":"m","datapoints":[[1609459200000,1],[1609459201000,2]],
             "tags":{"host":"a","dc":"x"}},
            {"name":"m","datapoints":[[1609459200000,10],[1609459201000,20.5]],
             "tags":{"host":"b","dc":"x"}},
            {"name":"m","datapoints":[[1609459200000,100]],"tags":{"dc":"y"}}]"#,
    );
}

#[test]
fn series_are_merged_by_time_and_value_and_keep_their_types() {
    let (_dir, server) = server();
    hosts(&server);
    assert_eq!(
        ask(&server, r#"{"name":"m"}"#),
        concat!(
            r#"{"queries":[{"sample_size":5,"results":[{"name":"m","group_by":"#,
            r#"[{"name":"type","type":"number"}],"tags":{"dc":["x","y"],"host":["a","b"]},"#,
            r#""values":[[1609459200000,1],[1609459200000,10],[1609459200000,100],"#,
            r#"[1609459201000,2],[1609459201000,20.5]]}]}]}"#
        )
    );
    let descending = values(&server, r#"{"name":"m","order":"desc","limit":2}"#);
    assert_eq!(descending, ["[[1609459201000,20.5],[1609459201000,2]]"]);
    let limited = ask(&server, r#"{"name":"m","limit":1,"exclude_tags":true}"#);
    assert!(limited.contains("\"sample_size\":3") && !limited.contains("\"tags\""), "{limited}");
    assert!(limited.contains(r#""values":[[1609459200000,1]]}"#), "{limited}");
}

#[test]
fn filters_and_groups() {
    let (_dir, server) = server();
    hosts(&server);
    let sum = |rest: &str| {
        let aggregator = r#"{"name":"sum","sampling":{"value":1,"unit":"hours"}}"#;
        values(&server, &format!(r#"{{"name":"m","aggregators":[{aggregator}]{rest}}}"#))
    };
    assert_eq!(sum(r#","tags":{"host":"a"}"#), ["[[1609459200000,3.0]]"]);
    assert_eq!(sum(r#","tags":{"host":["regex:.*"]}"#), ["[[1609459200000,33.5]]"]);
    assert_eq!(sum(r#","tags":{"host":["a","z"],"dc":["y"]}"#), ["[]"]);
    let by_host = sum(r#","group_by":[{"name":"tag","tags":["host"]}]"#);
    let expected = ["100.0", "3.0", "30.5"].map(|sum| format!("[[1609459200000,{sum}]]"));
    assert_eq!(by_host, expected);
    // Names and values in one text decide: "hostadcx", "hostbdcx", "hostdcy".
    let by_both = sum(r#","group_by":[{"name":"tag","tags":["host","dc"]}]"#);
    let expected = ["3.0", "30.5", "100.0"].map(|sum| format!("[[1609459200000,{sum}]]"));
    assert_eq!(by_both, expected);
    let by_value = ask(&server, r#"{"name":"m","group_by":[{"name":"value","range_size":10}]}"#);
    let group = r#"{"name":"value","range_size":10,"group":{"group_number":2}}"#;
    assert!(by_value.contains(group), "{by_value}");
    let by_bin = values(&server, r#"{"name":"m","group_by":[{"name":"bin","bins":["5","50"]}]}"#);
    assert_eq!(by_bin.len(), 3);
    let by_time = values(
        &server,
        r#"{"name":"m","group_by":[{"name":"time","group_count":2,
            "range_size":{"value":1,"unit":"seconds"}}]}"#,
    );
    assert_eq!(by_time[1], "[[1609459201000,2],[1609459201000,20.5]]");
}

#[test]
fn the_shards_and_the_rows_come_to_the_same() {
    // So little memory that ranges of a millisecond are worked on in several stretches of time.
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2", "--query-memory", "128k"]);
    let mut points = Vec::new();
    for series in 0..20 {
        let values: Vec<String> = (0..60)
            .map(|at| {
                let time = 1_609_459_200_000i64 + at * 7_000 + series % 4;
                let value = (at * 37 + series * 11) % 100;
                match (at + series) % 3 {
                    0 => format!("[{time},{value}.25]"),
                    _ => format!("[{time},{value}]"),
                }
            })
            .collect();
        let values = values.join(",");
        points.push(format!(r#"{{"name":"m","tags":{{"n":"{series}"}},"datapoints":[{values}]}}"#));
    }
    put(&server, &format!("[{}]", points.join(",")));
    let stamps = ["", r#","align_start_time":true"#, r#","align_end_time":true"#];
    let units = [("minutes", 1), ("months", 1), ("milliseconds", 1), ("milliseconds", 3)];
    for name in ["count", "sum", "avg", "min", "max", "dev", "first", "last"] {
        for stamp in stamps {
            for (unit, value) in units {
                let unit = format!(r#""unit":"{unit}","value":{value}"#);
                let aggregator = format!(r#"{{"name":"{name}","sampling":{{{unit}}}{stamp}}}"#);
                let pushed =
                    values(&server, &format!(r#"{{"name":"m","aggregators":[{aggregator}]}}"#));
                // A limit over all points changes nothing but the way.
                let rows = values(
                    &server,
                    &format!(r#"{{"name":"m","limit":1000000,"aggregators":[{aggregator}]}}"#),
                );
                assert_eq!(rounded(&pushed), rounded(&rows), "{aggregator}");
            }
        }
    }
}

/// Numbers of an answer, doubles to nine digits behind the point.
fn rounded(values: &[String]) -> Vec<String> {
    let numbers = values.iter().flat_map(|text| text.split(['[', ']', ',']));
    let number = |text: &str| text.parse::<f64>().ok().map(|number| format!("{number:.9}"));
    numbers.filter_map(number).collect()
}

#[test]
fn nothing_found_has_one_empty_result_and_gaps_fill_it() {
    let (_dir, server) = server();
    let empty = r#"{"queries":[{"sample_size":0,"results":[{"name":"x","tags":{},"values":[]}]}]}"#;
    assert_eq!(ask(&server, r#"{"name":"x"}"#), empty);
    hosts(&server);
    assert_eq!(ask(&server, r#"{"name":"x"}"#), empty);
    let gaps = r#"{"name":"gaps","sampling":{"value":1,"unit":"days"}}"#;
    let filled = values(&server, &format!(r#"{{"name":"x","aggregators":[{gaps}]}}"#));
    assert_eq!(filled, ["[[1609459200000,null],[1609545600000,null]]"]);
    assert_eq!(ask(&server, ""), r#"{"queries":[]}"#);
}

#[test]
fn texts_and_numbers_are_results_of_their_own() {
    let (_dir, server) = server();
    put(
        &server,
        r#"[{"name":"m","datapoints":[[1609459200000,"red"],[1609459200000,7]],"tags":{"h":"a"}},
            {"name":"m","datapoints":[[1609459201000,"blue \"x\""]],"tags":{"h":"b"}}]"#,
    );
    let text = ask(&server, r#"{"name":"m"}"#);
    let numbers = text.find(r#""type":"number"}],"tags":{"h":["a"]},"values":[[1609459200000,7]]"#);
    let texts = text.find(r#""type":"text"}],"tags":{"h":["a","b"]}"#);
    assert!(numbers.unwrap() < texts.unwrap(), "{text}");
    assert!(text.contains(r#"[1609459201000,"blue \"x\""]"#), "{text}");
    let count =
        r#"{"name":"count","sampling":{"value":1,"unit":"days"}},{"name":"scale","factor":2}"#;
    let counted = values(&server, &format!(r#"{{"name":"m","aggregators":[{count}]}}"#));
    assert_eq!(counted, ["[[1609459200000,2.0]]", "[[1609459200000,4.0]]"]);
}

#[test]
fn what_other_doors_wrote_is_there() {
    let (_dir, server) = server();
    connect(server.telnet).write_all(b"put t.m 1609459200 3 host=a\n").unwrap();
    server.await_counter("telnet_points_ok", 1);
    assert_eq!(values(&server, r#"{"name":"t.m"}"#), ["[[1609459200000,3]]"]);
    server.query("", "CREATE DATABASE d");
    let lines = b"cpu,host=a user=1.5,up=true,value=7i 1609459200000000001\n\
                  cpu user=2.5 1609459200000900000\n";
    assert_eq!(server.post("/write?db=d", lines).status, 204);
    let body = format!(
        r#"{{{DAY},"metrics":[{{"name":"cpu.user"}},{{"name":"cpu"}},{{"name":"cpu.up"}}]}}"#
    );
    let answer = server.post("/api/v1/datapoints/query?db=d", body.as_bytes()).text();
    assert!(answer.contains("[[1609459200000,1.5],[1609459200000,2.5]]"), "{answer}");
    assert!(answer.contains(r#""tags":{"host":["a"]},"values":[[1609459200000,7]]"#), "{answer}");
    assert!(answer.contains("[[1609459200000,1]]"), "{answer}");
    let refused = server.post("/api/v1/datapoints/delete?db=d", body.as_bytes());
    assert_eq!(refused.status, 400, "{}", refused.text());
}

#[test]
fn refusals_come_in_kairosdbs_words() {
    let (_dir, server) = server();
    let no_metrics = refusal(&server, r#"{"start_absolute":1}"#);
    assert_eq!(no_metrics, r#"{"errors":["query.metric[] must have a size of at least 1"]}"#);
    let unknown = r#"{"name":"m","aggregators":[{"name":"bogus"}]}"#;
    let unknown = refusal(&server, &format!("{{{DAY},\"metrics\":[{unknown}]}}"));
    let expected = "query.metric[0].aggregators[0].bogus invalid aggregators name";
    assert_eq!(unknown, format!(r#"{{"errors":["{expected}"]}}"#));
    refusal(&server, "");
    refusal(&server, &"[".repeat(100_000));
    let none = server.get("/api/v1/datapoints/query");
    assert_eq!(
        (none.status, none.text().contains("query json must not be null or empty")),
        (400, true)
    );
    let large = format!("{{{DAY},\"metrics\":[],\"x\":\"{}\"}}", "x".repeat(2 << 20));
    assert_eq!(server.post("/api/v1/datapoints/query", large.as_bytes()).status, 413);
}

#[test]
fn rates_of_merged_series_fail_whole() {
    let (_dir, server) = server();
    hosts(&server);
    let metrics = r#"{"name":"m"},{"name":"m","aggregators":[{"name":"rate","unit":"seconds"}]}"#;
    let body = format!("{{{DAY},\"metrics\":[{metrics}]}}");
    let answer = server.post("/api/v1/datapoints/query", body.as_bytes());
    assert_eq!(answer.status, 500);
    assert!(answer.text().starts_with(r#"{"errors":["The rate aggregator cannot compute rate"#));
}

#[test]
fn tags_are_told_and_points_deleted() {
    let (_dir, server) = server();
    hosts(&server);
    let grafana = r#"{"cache_time":0,"metrics":[{"name":"m","tags":{"dc":["x"]}},{"name":"none"}],
        "start_absolute":0}"#;
    let answer = server.post("/api/v1/datapoints/query/tags", grafana.as_bytes());
    assert_eq!(
        answer.text(),
        concat!(
            r#"{"queries":[{"results":[{"name":"m","tags":{"dc":["x"],"host":["a","b"]},"#,
            r#""values":[]}]},{"results":[{"name":"none","tags":{},"values":[]}]}]}"#
        )
    );
    let delete = r#"{"start_absolute":0,"end_absolute":1609459200000,"metrics":[{"name":"m","limit":1,
        "tags":{"dc":"x"}}]}"#;
    assert_eq!(server.post("/api/v1/datapoints/delete", delete.as_bytes()).status, 204);
    let left = values(&server, r#"{"name":"m"}"#);
    assert_eq!(left, ["[[1609459200000,100],[1609459201000,2],[1609459201000,20.5]]"]);
}

#[test]
fn results_are_saved_as_another_metric() {
    let (_dir, server) = server();
    hosts(&server);
    let metric = r#"{"name":"m","aggregators":[{"name":"sum","sampling":{"value":1,"unit":"hours"}},
        {"name":"save_as","metric_name":"kept \"so\"","tags":{"own":"t"}}],
        "group_by":[{"name":"tag","tags":["dc"]}]}"#;
    assert_eq!(values(&server, metric), ["[[1609459200000,33.5]]", "[[1609459200000,100.0]]"]);
    let kept = ask(&server, r#"{"name":"kept \"so\""}"#);
    let tags = r#""tags":{"dc":["x","y"],"own":["t"],"saved_from":["m"]}"#;
    assert!(kept.contains(tags), "{kept}");
    assert!(kept.contains("[[1609459200000,33.5],[1609459200000,100.0]]"), "{kept}");
}

#[test]
fn long_answers_stream_and_stand_in_the_list_of_queries() {
    let (_dir, server) = server();
    let mut lines = String::new();
    for at in 0..100_000 {
        let time = 1_609_459_200 + at;
        lines.push_str(&format!("put big {time} {at}.5 host=h{}\n", at % 7));
    }
    connect(server.telnet).write_all(lines.as_bytes()).unwrap();
    server.await_counter("telnet_points_ok", 100_000);
    let text = ask(&server, r#"{"name":"big"}"#);
    let body = r#"{"start_absolute":0,"metrics":[{"name":"big"}]}"#;
    let whole = server.get(&format!("/api/v1/datapoints/query?query={}", escape(body))).text();
    assert!(whole.ends_with(",\"sample_size\":100000}]}"), "{}", &whole[whole.len() - 80..]);
    assert!(text.len() > 1_000_000 && whole.len() > text.len());
    assert_eq!(whole.matches(".5]").count(), 100_000);
}
