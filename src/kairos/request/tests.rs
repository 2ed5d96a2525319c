//! Every message of the validation, and the defaults of everything optional.

use super::*;
use crate::kairos::range::Unit;
use crate::shard::index::TagFilter;

const NOW: i64 = 1_600_000_000_000;

fn query(text: &str) -> Result<Query, Failure> {
    parse(text.as_bytes(), Terms { now: NOW, regex_prefix: "regex:" })
}

/// The errors of a query that starts at 1 and has this one metric.
fn errors(metric: &str) -> Vec<String> {
    let text = format!(r#"{{"start_absolute":1,"metrics":[{metric}]}}"#);
    let failure = query(&text).unwrap_err();
    assert_eq!(failure.status, 400);
    failure.errors
}

fn error(metric: &str) -> String {
    let errors = errors(metric);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

fn query_error(text: &str) -> String {
    query(text).unwrap_err().errors.join("|")
}

fn with(aggregator: &str) -> String {
    format!(r#"{{"name":"m","aggregators":[{aggregator}]}}"#)
}

fn aggregator(text: &str) -> Aggregator {
    let text = format!(r#"{{"start_absolute":1,"metrics":[{}]}}"#, with(text));
    query(&text).unwrap().metrics[0].aggregators[0].clone()
}

#[test]
fn times_are_absolute_or_relative_to_now() {
    let both = query(
        r#"{"start_absolute":"5","start_relative":{"value":1,"unit":"hours"},
            "end_relative":{"value":"2","unit":"MINUTES"},"metrics":[{"name":"m"}]}"#,
    );
    let both = both.unwrap();
    assert_eq!((both.start, both.end), (5, Some(NOW - 120_000)));
    let open = query(r#"{"start_relative":{"value":1,"unit":"days"},"metrics":[]}"#).unwrap();
    assert_eq!((open.start, open.end), (NOW - 86_400_000, None));
    assert!(query(r#"{"start_absolute":5,"end_absolute":5,"metrics":[{"name":"m"}]}"#).is_ok());
}

#[test]
fn faults_of_the_query() {
    let cases = [
        (r#"{"start_absolute":1}"#, "query.metric[] must have a size of at least 1"),
        (
            r#"{"metrics":[{"name":"m"}]}"#,
            "query.metric[0].start_time relative or absolute time must be set",
        ),
        (
            r#"{"start_absolute":2,"end_absolute":1,"metrics":[{"name":"m"}]}"#,
            "query.metric[0].end_time must be greater than the start time",
        ),
        (
            r#"{"start_relative":{"value":-1,"unit":"hours"},"metrics":[]}"#,
            "start_relative.value must be greater than or equal to 0",
        ),
        (
            r#"{"start_absolute":1,"end_relative":{"value":-1},"metrics":[]}"#,
            "end_relative.value must be greater than or equal to 0|end_relative.unit may not be \
             null",
        ),
        (
            r#"{"start_relative":{"value":1,"unit":"bogus"},"metrics":[]}"#,
            "query.bogus is not a valid time unit, must be one of MILLISECONDS,SECONDS,MINUTES,\
             HOURS,DAYS,WEEKS,MONTHS,YEARS",
        ),
        (
            r#"{"start_absolute":1,"cache_time":-1,"metrics":[]}"#,
            "cache_time must be greater than or equal to 0",
        ),
        (
            r#"{"start_absolute":1,"metrics":[],"plugins":[{}]}"#,
            "query.plugins[0] must have a name",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(query_error(text), expected);
    }
    let zone = query_error(r#"{"start_absolute":1,"time_zone":"bogus","metrics":[]}"#);
    assert!(zone.starts_with("query.bogus is not a valid time zone, must be one of [Africa/"));
    for text in ["", "[]", "{", "7", "null"] {
        assert_eq!(query(text).unwrap_err().status, 400, "{text}");
    }
}

#[test]
fn faults_of_a_metric() {
    let cases = [
        ("{}", "name may not be null"),
        (r#"{"name":""}"#, "name may not be empty"),
        (r#"{"name":"m","tags":{"":"a"}}"#, "tags[0] name must not be empty"),
        (
            r#"{"name":"m","tags":{"a":"b","host":[""]}}"#,
            "tags[1].host value must not be null or empty",
        ),
        (r#"{"name":"m","tags":{"host":[null]}}"#, "tags[0].host value must not be null or empty"),
        (r#"{"name":"m","order":"up"}"#, "order must be either 'asc' or 'desc'"),
        (r#"{"name":"m","plugins":[{}]}"#, "plugins[0] must have a name"),
        (r#"{"name":"m","plugins":[{"name":"x"}]}"#, "plugins[0].x invalid query plugin name"),
        (r#"{"name":"m","aggregators":[{}]}"#, "aggregators[0] must have a name"),
        (r#"{"name":"m","group_by":[{"name":""}]}"#, "group_by[0] must have a name"),
        (r#"{"name":"m","group_by":[{"name":"x"}]}"#, "group_by[0].x invalid group_by name"),
        (r#"{"name":"m","group_by":[{"name":"tag"}]}"#, "group_by[0].tags may not be null"),
        (
            r#"{"name":"m","group_by":[{"name":"tag","tags":[]}]}"#,
            "group_by[0].tags may not be empty",
        ),
        (
            r#"{"name":"m","group_by":[{"name":"time","group_count":1}]}"#,
            "group_by[0].rangeSize may not be null",
        ),
        (
            r#"{"name":"m","group_by":[{"name":"time","group_count":1,
                "range_size":{"value":-1,"unit":"hours"}}]}"#,
            "group_by[0].range_size.value must be greater than or equal to 0",
        ),
        (
            r#"{"name":"m","group_by":[{"name":"time","range_size":{"value":1,"unit":"hours"}}]}"#,
            "group_by[0].groupCount must be greater than or equal to 1",
        ),
        (
            r#"{"name":"m","group_by":[{"name":"value","range_size":0}]}"#,
            "group_by[0].rangeSize must be greater than or equal to 1",
        ),
    ];
    for (metric, expected) in cases {
        assert_eq!(error(metric), format!("query.metric[0].{expected}"), "{metric}");
    }
    let property = error(r#"{"name":"m","group_by":[{"name":"tag","tags":["a"],"x":1}]}"#);
    assert!(property.starts_with("Property 'x' was specified for object 'tag' but no matching"));
    let text = r#"{"start_absolute":1,"metrics":[{"name":"m"},{"name":null}]}"#;
    assert_eq!(query_error(text), "query.metric[1].name may not be null");
    assert!(error(r#"{"name":"m","tags":{"a":"regex:("}}"#).contains("tags[0].a"));
    assert!(error(r#"{"name":"m","tags":{"a":"regex:a)(b"}}"#).contains("tags[0].a"));
}

#[test]
fn faults_of_aggregators() {
    let cases = [
        (r#"{"name":"bogus"}"#, "bogus invalid aggregators name"),
        (r#"{"name":"SUM"}"#, "SUM invalid aggregators name"),
        (
            r#"{"name":"sum","sampling":{"value":-1,"unit":"hours"}}"#,
            "sampling.value must be greater than or equal to 0",
        ),
        (r#"{"name":"sum","sampling":{"value":1}}"#, "sampling.unit may not be null"),
        (
            r#"{"name":"sum","sampling":{"value":0,"unit":"hours"}}"#,
            "sampling.value must be greater than or equal to 1",
        ),
        (
            r#"{"name":"rate","unit":"bogus"}"#,
            "bogus is not a valid time unit, must be one of MILLISECONDS,SECONDS,MINUTES,HOURS,\
             DAYS,WEEKS,MONTHS,YEARS",
        ),
        (r#"{"name":"div"}"#, "m_divisor may not be zero"),
        (r#"{"name":"div","divisor":"0.0"}"#, "m_divisor may not be zero"),
        (r#"{"name":"percentile"}"#, "percentile may not be zero"),
        (r#"{"name":"percentile","percentile":1.5}"#, "percentile 1.5 is not in [0..1]"),
        (
            r#"{"name":"trim","trim":"x"}"#,
            "x is not a valid trim type, must be 'first', 'last' or 'both'.",
        ),
        (
            r#"{"name":"filter","filter_op":"x"}"#,
            "x is not a valid trim type, must be 'lte', 'lt', 'gte', 'gt', 'equal' or 'ne'.",
        ),
        (r#"{"name":"score"}"#, "thresholds may not be null"),
        (r#"{"name":"sma"}"#, "size must be greater than or equal to 1"),
    ];
    for (text, expected) in cases {
        let expected = format!("query.metric[0].aggregators[0].{expected}");
        assert_eq!(error(&with(text)), expected, "{text}");
    }
    let property = error(&with(r#"{"name":"sum","p":1}"#));
    let expected =
        "Property 'p' was specified for object 'sum' but no matching setter was found on '";
    assert!(property.starts_with(expected), "{property}");
    let two = errors(&with(r#"{"name":"sum","sampling":{"value":-1}}"#));
    assert_eq!(two.len(), 2);
}

#[test]
fn defaults() {
    let Aggregator::Range { kind, sampling } = aggregator(r#"{"name":"dev"}"#) else {
        panic!("a range");
    };
    assert_eq!(kind, RangeKind::Dev { result: Deviation::Value, count: 1.0 });
    assert_eq!(sampling.span, Span { value: 1, unit: Unit::Milliseconds });
    assert!(sampling.align_sampling && !sampling.align_start && !sampling.align_end);
    assert_eq!((sampling.start, sampling.own_start), (1, false));
    assert!(matches!(aggregator(r#"{"name":"scale"}"#), Aggregator::Scale { factor: 0.0 }));
    assert!(matches!(aggregator(r#"{"name":"trim"}"#), Aggregator::Trim(Trim::None)));
    let Aggregator::SaveAs(save) = aggregator(r#"{"name":"save_as","metric_name":"n"}"#) else {
        panic!("save_as");
    };
    assert!(save.saved_from && save.tags.is_empty() && save.ttl == 0);
    let Aggregator::Filter { threshold, .. } = aggregator(r#"{"name":"filter","filter_op":"LT"}"#)
    else {
        panic!("filter");
    };
    assert_eq!(threshold.number, Some(0.0));
    let Aggregator::Rate { span, .. } =
        aggregator(r#"{"name":"rate","sampling":{"value":"2","unit":"Seconds"}}"#)
    else {
        panic!("rate");
    };
    assert_eq!(span, Span { value: 2, unit: Unit::Seconds });
}

#[test]
fn what_grafana_and_the_web_page_send() {
    let text = r#"{"cache_time":0,"plugins":[],"metrics":[{"plugins":[],"name":"m","limit":"3",
        "tags":{"host":["a","b"],"dc":[]},"aggregators":[{"name":"avg","align_sampling":"true",
        "sampling":{"unit":"MINUTES","value":"2"}}],"exclude_tags":"true","order":"DESC",
        "group_by":[{"name":"value","range_size":"10"},{"name":"tag","tags":["host","dc"]},
        {"name":"tag","tags":["x"]},
        {"name":"time","group_count":"2","range_size":{"value":"1","unit":"weeks"}}]}],
        "start_absolute":1609459200000,"time_zone":""}"#;
    let query = query(text).unwrap();
    let metric = &query.metrics[0];
    assert_eq!((metric.limit, metric.descending, metric.exclude_tags), (Some(3), true, true));
    assert_eq!(metric.groupers.len(), 2);
    let tags: Vec<&str> = metric.group_tags.iter().flatten().map(|tag| &**tag).collect();
    assert_eq!(tags, ["host", "dc"]);
    assert_eq!(metric.tags.len(), 1);
    assert!(matches!(metric.filter(), TagFilter::And(all) if all.len() == 1));
}
