//! Bodies of data points against the rules of KairosDB's specification.

use super::super::testkit::{Core, Store};
use super::*;
use proptest::prelude::*;

/// Decodes a body three times over with one outcome; gives rows and messages.
fn decode(body: &[u8], cuts: &[usize]) -> (Vec<String>, Vec<String>) {
    let ms = |ns: i64| (ns / 1_000_000).to_string();
    Core::tight(3, 0).thrice(ms, |core| core.decode_kairos(body, cuts).into_messages())
}

fn rows(body: &str) -> Vec<String> {
    let (rows, messages) = decode(body.as_bytes(), &[]);
    assert!(messages.is_empty(), "{body}: {messages:?}");
    rows
}

/// The messages of a body of which nothing is stored.
fn messages(body: &str) -> Vec<String> {
    let (rows, messages) = decode(body.as_bytes(), &[]);
    assert!(rows.is_empty(), "{body}: {rows:?}");
    messages
}

#[test]
fn both_notations_and_all_types_are_stored() {
    let cases: [(&str, &[&str]); 12] = [
        (r#"{"name":"m","timestamp":5,"value":42,"tags":{"h":"a"}}"#, &["m|h=a 5 value=42i"]),
        (
            r#" [ { "name" : "m" , "tags" : { "h" : "a" } , "datapoints" : [ [ 5 , 1 ] , [ 6 , 2.5 ] ] } ] "#,
            &["m|h=a 5 value=1i", "m|h=a 6 value=2.5"],
        ),
        (
            r#"[{"datapoints":[[5,1],[6,"x"]],"name":"m","tags":{"b":"2","a":"1"}}]"#,
            &["m|a=1|b=2 5 value=1i", "m|a=1|b=2 6 value=\"x\""],
        ),
        (
            r#"[{"name":"m","timestamp":1,"time":2,"value":true,"tags":{"h":1.5},"datapoints":null}]"#,
            &["m|h=1.5 2 value=\"true\""],
        ),
        (
            r#"[{"name":7,"tags":{"h":true},"type":"double","datapoints":[[1,1],["2","2"],[3,3,"long"],[4.9,4,"string"]]}]"#,
            &[
                "7|h=true 1 value=1.0",
                "7|h=true 2 value=2.0",
                "7|h=true 3 value=3i",
                "7|h=true 4 value=\"4\"",
            ],
        ),
        (
            r#"[{"name":"m","tags":{"h":"a"},"datapoints":[[1,1e3],[2,1E-3],[3,9223372036854775807],[4,9223372036854775808],[-5,-0.0]]}]"#,
            &[
                "m|h=a -5 value=-0.0",
                "m|h=a 1 value=1000.0",
                "m|h=a 2 value=0.001",
                "m|h=a 3 value=9223372036854775807i",
                "m|h=a 4 value=9.223372036854776e18",
            ],
        ),
        (
            "\u{feff}[{\"name\":\"m\",\"value\":null,\"x\":{\"y\":[1,{}]},\"tags\":{\"h\":\"a\"}},{\"name\":\"n\",\"tags\":{\"h\":\"a\"},\"datapoints\":[]}]",
            &[],
        ),
        ("[]", &[]),
        (
            r#"{"name":"a","name":"b","tags":{"x":"y"},"tags":{"h":"a"},"timestamp":5,"value":1,"value":2}"#,
            &["b|h=a 5 value=2i"],
        ),
        (
            r#"{"n\u0061me":"a\"\\\u00e9","tags":{"\u0068":"\/"},"timestamp":"5","value":"q\n"}"#,
            &["a\"\\\u{c3}\u{a9}|h=/ 5 value=\"q\\n\""],
        ),
        (
            r#"{"name":"m","timestamp":5,"value":1,"skip_validate":"true","tags":{"":"x","h":""}}"#,
            &["m 5 value=1i"],
        ),
        (
            r#"{"name":"m","timestamp":5,"value":"","type":"string","tags":{"h":"a"}}"#,
            &["m|h=a 5 value=\"\""],
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(rows(body), expected, "{body}");
    }
}

#[test]
fn a_time_to_live_becomes_an_expiry() {
    let body = r#"{"name":"m","timestamp":5,"value":1,"ttl":"60","tags":{"h":"a"}}"#;
    let expiry = 1_500_000_000_123_456_789i64 + 60_000_000_000;
    assert_eq!(rows(body), [format!("m|h=a 5 (expire)={expiry}i"), "m|h=a 5 value=1i".into()]);
    let none = r#"{"name":"m","timestamp":5,"value":1,"ttl":0,"tags":{"h":"a"}}"#;
    assert_eq!(rows(none), ["m|h=a 5 value=1i"]);
}

/// Bodies of which nothing is stored, and what is said of them.
const REFUSALS: &[(&str, &[&str])] = &[
    ("", &[NO_CONTENT]),
    ("  \n", &[NO_CONTENT]),
    ("[", &[NO_CONTENT]),
    (r#"[{"name":"m""#, &[NO_CONTENT]),
    ("5", &[BAD_START]),
    ("\"x\"", &[BAD_START]),
    (r#"{"timestamp":5,"value":1,"tags":{"h":"a"}}"#, &["metric[0].name may not be null."]),
    (r#"{"name":null,"tags":{"h":"a"}}"#, &["metric[0].name may not be null."]),
    (
        r#"[{"name":"","timestamp":5}]"#,
        &[
            "metric[0].name may not be empty.",
            "metric[0].value may not be null.",
            "metric[0].tags count must be greater than or equal to 1.",
        ],
    ),
    (
        r#"{"name":"m","timestamp":5,"tags":{"h":"a"}}"#,
        &["metric[0](name=m).value may not be null."],
    ),
    (
        r#"{"name":"m","time":5,"value":"","tags":{"h":"a"}}"#,
        &["metric[0](name=m).value may not be empty."],
    ),
    (
        r#"{"name":"m","timestamp":5,"value":null,"tags":{"h":"a"}}"#,
        &["metric[0](name=m).value may not be empty."],
    ),
    (
        r#"{"name":"m","value":5,"tags":{"h":"a"}}"#,
        &["metric[0](name=m).timestamp may not be null."],
    ),
    (
        r#"{"name":"m","timestamp":5,"value":1}"#,
        &["metric[0](name=m).tags count must be greater than or equal to 1."],
    ),
    (
        r#"{"name":"m","timestamp":5,"value":1,"tags":{}}"#,
        &["metric[0](name=m).tags count must be greater than or equal to 1."],
    ),
    (
        r#"{"name":"m","timestamp":5,"value":1,"tags":null}"#,
        &["metric[0](name=m).tags count must be greater than or equal to 1."],
    ),
    (
        r#"{"name":"m","timestamp":5,"value":1,"tags":{"a":"b","":"c"}}"#,
        &["metric[0](name=m).tag[1].name may not be empty."],
    ),
    (
        r#"{"name":"m","timestamp":5,"value":1,"tags":{"h":null}}"#,
        &["metric[0](name=m).tag[h].value may not be null."],
    ),
    (
        r#"{"name":"m","timestamp":5,"value":1,"tags":{"h":""}}"#,
        &["metric[0](name=m).tag[h].value may not be empty."],
    ),
    (r#"{"name":"m","timestamp":5,"value":1,"tags":{"h":"a","h":"b"}}"#, &["duplicate key: h"]),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":[[]]}"#,
        &["metric[0](name=m).datapoints[0].timestamp cannot be null or empty."],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":[[1]]}"#,
        &["metric[0](name=m).datapoints[0].value cannot be null or empty."],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":[[null,1],[1,null],[1,""],[1,[]],[1,{}]]}"#,
        &[
            "metric[0](name=m).datapoints[0].timestamp may not be null.",
            "metric[0](name=m).datapoints[1].value may not be empty.",
            "metric[0](name=m).datapoints[2].value may not be empty.",
            "metric[0](name=m).datapoints[3].value may not be an empty array.",
            "metric[0](name=m) value is an invalid type",
        ],
    ),
    (
        r#"{"name":"m","timestamp":5,"value":[1],"tags":{"h":"a"}}"#,
        &["metric[0](name=m) value is an invalid type"],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"type":"florb","datapoints":[[1,1],[2,2]]}"#,
        &["Unregistered data point type 'florb'", "Unregistered data point type 'florb'"],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":[[1,1,"x"]]}"#,
        &["Unregistered data point type 'x'"],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":[[1,"abc","long"]]}"#,
        &["For input string: \"abc\""],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":[[1,"NaN","double"]]}"#,
        &["For input string: \"NaN\""],
    ),
    (r#"{"name":"m","tags":{"h":"a"},"datapoints":[[1,1e400]]}"#, &["For input string: \"1e400\""]),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":[["x",1]]}"#,
        &["metric[0](name=m).datapoints[0].timestamp must be a number."],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":[[9223372036854775807,1]]}"#,
        &["metric[0](name=m).datapoints[0].timestamp is out of range."],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":[5]}"#,
        &["metric[0](name=m).datapoints[0] must be an array."],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"datapoints":{}}"#,
        &["metric[0](name=m).datapoints must be an array."],
    ),
    (
        r#"{"name":"m","tags":[],"timestamp":5,"value":1}"#,
        &["metric[0](name=m).tags must be an object."],
    ),
    (
        r#"{"name":"m","tags":{"h":"a"},"ttl":"x","timestamp":5,"value":1}"#,
        &["metric[0](name=m).ttl must be a number of seconds."],
    ),
    (r#"["x",5]"#, &["metric[0] must be an object.", "metric[1] must be an object."]),
];

#[test]
fn refusals_are_kairosdbs() {
    for (body, expected) in REFUSALS {
        assert_eq!(messages(body), *expected, "{body}");
    }
    for bad in
        ["[}", "[{]", "{\"a\" 1}", "[{},]", "{\"a\":tru}", "[[[", "{} x", "[{\"a\":\"\u{1}\"}]"]
    {
        let found = messages(bad);
        assert_eq!(found.len(), if bad.contains("{}") { 3 } else { 1 }, "{bad}: {found:?}");
    }
}

#[test]
fn a_fault_has_one_place_wherever_the_body_is_cut() {
    for body in ["[\n\n[[ \n7 \n 8", "[ 5 , \n x", " [ {} \n }", "{ \"name\" : 1 \n , 2", "[] \n x"]
    {
        let whole = decode(body.as_bytes(), &[]);
        for cut in 0..body.len() {
            assert_eq!(decode(body.as_bytes(), &[cut]), whole, "{body:?} cut at {cut}");
        }
    }
}

#[test]
fn the_good_part_of_a_bad_body_is_stored() {
    let body = r#"[
        {"name":"a","tags":{"h":"a"},"datapoints":[[1,1],[2],[3,3]]},
        {"name":"","tags":{"h":"a"},"datapoints":[[1,1]]},
        {"name":"b","tags":{"h":"a"},"timestamp":1,"value":1,"datapoints":[[2,{}]]},
        {"name":"c","tags":{"h":"a"},"datapoints":[[1,1],[2,2}]}"#;
    let (rows, messages) = decode(body.as_bytes(), &[]);
    assert_eq!(rows, ["a|h=a 1 value=1i", "a|h=a 3 value=3i", "b|h=a 1 value=1i"]);
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert!(messages[3].starts_with("Expected ',' or the end at offset "), "{messages:?}");
}

#[test]
fn a_metric_of_any_size_is_read_in_slices() {
    let points: Vec<String> = (0..40_000).map(|n| format!("[{n},{n}.5]")).collect();
    let tail = r#","name":"big","tags":{"h":"a"}}]"#;
    let body = format!("[{{\"datapoints\":[{}]{tail}", points.join(","));
    let mut core = Core::tight(2, 0);
    let report = core.decode_kairos(body.as_bytes(), &[1, 100_000, 300_000]);
    assert!(report.is_clean());
    assert_eq!(core.store(&mut Store::new()), (40_000, 40_000));
}

/// A metric's JSON with some of its parts odd.
fn metric() -> impl Strategy<Value = String> {
    let name =
        prop::sample::select(vec!["\"m\"", "\"n\"", "\"\"", "null", "5", "[1]", "\"a\\u0062\""]);
    let tags = prop::sample::select(vec![
        "{\"h\":\"a\"}",
        "{\"h\":\"b\",\"d\":1}",
        "{}",
        "{\"h\":\"\"}",
        "{\"h\":1,\"h\":2}",
    ]);
    let value =
        prop::sample::select(vec!["1", "-2.5", "\"x\"", "true", "null", "[]", "\"7\"", "1e5"]);
    let point = (any::<i16>(), value.clone(), any::<bool>()).prop_map(|(time, value, blank)| {
        format!("[{time},{}{value}]", if blank { " " } else { "" })
    });
    let points = prop::collection::vec(point, 0..4).prop_map(|points| points.join(","));
    let single = prop::option::of((any::<i16>(), value));
    (name, tags, points, single, any::<bool>()).prop_map(|(name, tags, points, single, first)| {
        let single =
            single.map_or(String::new(), |(t, v)| format!(",\"timestamp\":{t},\"value\":{v}"));
        let points = format!("\"datapoints\":[{points}]");
        let head = format!("\"name\":{name},\"tags\":{tags}{single}");
        if first { format!("{{{points},{head}}}") } else { format!("{{{head}, {points}}}") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn where_the_body_is_cut_changes_nothing(
        metrics in prop::collection::vec(metric(), 0..4),
        cuts in prop::collection::vec(0usize..400, 0..4),
        rest in prop::sample::select(vec!["]", "", "]x", ",", " ] "]),
    ) {
        let body = format!("[{}{rest}", metrics.join(" , "));
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < body.len()).collect();
        cuts.sort_unstable();
        prop_assert_eq!(decode(body.as_bytes(), &cuts), decode(body.as_bytes(), &[]));
    }

    #[test]
    fn metrics_do_not_touch_each_other(metrics in prop::collection::vec(metric(), 1..4)) {
        let (whole, _) = decode(format!("[{}]", metrics.join(",")).as_bytes(), &[]);
        let mut parts = std::collections::BTreeMap::new();
        for metric in &metrics {
            for row in decode(metric.as_bytes(), &[]).0 {
                let key = row.split("value=").next().unwrap().to_owned();
                // Types are columns of their own.
                let kind = row.ends_with('i') as u8 + 2 * row.ends_with('"') as u8;
                parts.insert((key, kind), row);
            }
        }
        let mut parts: Vec<String> = parts.into_values().collect();
        let mut whole = whole;
        parts.sort();
        whole.sort();
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn any_bytes_end_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        decode(&bytes, &[bytes.len() / 2]);
    }
}
