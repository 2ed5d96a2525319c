//! The telnet door against the rules of its specification.

use super::super::testkit::{Core, Store, counts};
use super::*;
use proptest::prelude::*;

/// Decodes bytes three times over with one outcome; gives rows, reject names with counts, versions.
fn decode_text(bytes: &[u8]) -> (Vec<String>, Vec<(&'static str, u64)>, u32) {
    let ms = |ns: i64| (ns / 1_000_000).to_string();
    let (rows, (counts, versions)) = Core::tight(3, 0).thrice(ms, |core| {
        let mut rejects = Rejects::default();
        let versions = core.decode_telnet(bytes, &[], &mut rejects);
        (counts(&rejects), versions)
    });
    (rows, counts, versions)
}

fn row(line: &str) -> String {
    let (rows, rejects, _) = decode_text(format!("{line}\n").as_bytes());
    assert_eq!((rows.len(), rejects.len()), (1, 0), "{line:?}: {rows:?} {rejects:?}");
    rows[0].clone()
}

fn reject(line: &[u8]) -> &'static str {
    let (rows, rejects, _) = decode_text(&[line, b"\n"].concat());
    assert_eq!((rows.len(), rejects.len()), (0, 1), "{line:?}: {rows:?} {rejects:?}");
    rejects[0].0
}

#[test]
fn lines_that_are_stored() {
    let cases = [
        ("put m 1609459200 42 host=a", "m|host=a 1609459200000 value=42i"),
        ("put m 2999999999 1 h=a", "m|h=a 2999999999000 value=1i"),
        ("put m 3000000000 1 h=a", "m|h=a 3000000000 value=1i"),
        ("put m -5 1 h=a", "m|h=a -5000 value=1i"),
        ("putm m 5 1.5 h=a\r", "m|h=a 5 value=1.5"),
        ("puts m 5 x h=a", "m|h=a 5 value=\"x\""),
        ("puts m 5 \"x y\" h=a", "m|h=a 5 value=\"x y\""),
        ("putm \"m n\" 5 -.5 h=a", "m n|h=a 5 value=-0.5"),
        ("  putm\tm  5 +1.5   b=2 a=1 ", "m|a=1|b=2 5 value=1.5"),
        ("putm m 5 5.", "m|add=tag 5 value=5.0"),
        ("putm m 5 007 host=a=b", "m|host=a 5 value=7i"),
        ("putm m 5 1 \"host=a b\"", "m|host=a b 5 value=1i"),
        ("putm m 5 1 host=a\"b", "m|host=a\"b 5 value=1i"),
        ("putm m 5 9223372036854775807 h=\u{e9}", "m|h=\u{c3}\u{a9} 5 value=9223372036854775807i"),
        ("putm m 5 1 h=a kairos_opt.ttl=0", "m|h=a 5 value=1i"),
    ];
    for (line, expected) in cases {
        assert_eq!(row(line), expected, "{line:?}");
    }
}

#[test]
fn lines_that_are_dropped() {
    let long = [b"put m 1 1 h=".as_slice(), &[b'x'; 1013]].concat();
    let cases: [(&[u8], &str); 27] = [
        (&long, "line_too_long"),
        (b"put m 1 1 h=\xff", "not_utf8"),
        (b"puts m 1 \xff h=a", "not_utf8"),
        (b"PUT m 1 1 h=a", "unknown_command"),
        (b"help", "unknown_command"),
        (b"put m 1", "too_few_words"),
        (b"put \"\" 1 1 h=a", "empty_metric"),
        (b"put m +1 1 h=a", "bad_time"),
        (b"put m 1.0 1 h=a", "bad_time"),
        (b"put m 99999999999999999999 1 h=a", "bad_time"),
        (b"putm m 9223372036854775 1 h=a", "time_range"),
        (b"put m -9223372036854775808 1 h=a", "time_range"),
        (b"put m 1 +5 h=a", "bad_value"),
        (b"put m 1 1e3 h=a", "bad_value"),
        (b"put m 1 NaN h=a", "bad_value"),
        (b"put m 1 Infinity h=a", "bad_value"),
        (b"put m 1 - h=a", "bad_value"),
        (b"put m 1 9223372036854775808 h=a", "bad_value"),
        (b"put m 1 1.5e400 h=a", "bad_value"),
        (b"put m 1 1 host", "tag_format"),
        (b"put m 1 1 host=", "tag_value_empty"),
        (b"put m 1 1 host==a", "tag_value_empty"),
        (b"put m 1 1 =a", "tag_name_empty"),
        (b"put m 1 1 a=1 b=2 a=1", "tag_twice"),
        (b"put m 1 1 a=1 kairos_opt.ttl=x", "bad_ttl"),
        (b"put m 1 1 kairos_opt.ttl=1 kairos_opt.ttl=1", "tag_twice"),
        (b"put m 1 1 \"host=a b", "none"),
    ];
    for (line, reason) in cases.iter().filter(|(_, reason)| *reason != "none") {
        assert_eq!(reject(line), *reason, "{}", String::from_utf8_lossy(line));
    }
    let exact = [b"put m 1 1 h=".as_slice(), &[b'x'; 1012], b"\r\n"].concat();
    assert_eq!(decode_text(&exact).0.len(), 1, "exactly the limit is allowed");
    let (rows, rejects, _) = decode_text(b"\n   \n\t\r\nput m 1 1 a=b");
    assert!(rows.is_empty() && rejects.is_empty(), "blank lines and an open rest are no lines");
}

#[test]
fn a_short_line_of_a_known_series_is_dropped() {
    let (rows, rejects, _) = decode_text(b"puts m 1 x\nputs m 1\nputs m 1 \nput m 1\n");
    assert_eq!(
        (rows.as_slice(), rejects),
        (["m|add=tag 1 value=\"x\"".to_owned()].as_slice(), vec![("too_few_words", 3)])
    );
}

#[test]
fn version_is_answered_once_each() {
    let (rows, rejects, versions) =
        decode_text(b"version\nput m 1 1 a=b\nversion\r\nput n 1 1.5\n");
    assert_eq!((rows.len(), rejects.len(), versions), (2, 0, 2));
}

#[test]
fn types_mix_and_metrics_share_three_batches() {
    let mut core = Core::tight(1, 0);
    let lines: String = (0..200)
        .map(|n| format!("putm m{n} 1 2 h=a\nputm m{n} 1 1.5 h=a\nputs m{n} 1 x h=a\n"))
        .collect();
    for _ in 0..2 {
        let (mut store, mut rejects) = (Store::new(), Rejects::default());
        core.decode_telnet(lines.as_bytes(), &[], &mut rejects);
        assert_eq!(core.store(&mut store), (600, 600));
        assert_eq!((store.len(), rejects.total()), (600, 0));
        assert_eq!(core.requests[0].batches.len(), 3);
    }
}

#[test]
fn a_time_to_live_goes_to_the_expiry_column() {
    let mut core = Core::tight(1, 0);
    let (mut store, mut rejects) = (Store::new(), Rejects::default());
    let lines = b"putm m 1 1 h=a\nputm m 1 2 h=a kairos_opt.ttl=5\nputm m 2 3 kairos_opt.ttl=5\n\
                  putm m 1 4 h=a\n";
    core.decode_telnet(lines, &[], &mut rejects);
    core.store(&mut store);
    let expire = core.now_ns + 5_000_000_000;
    let shown: Vec<String> = store
        .iter()
        .map(|((series, time, field, _), value)| format!("{series} {time} {field}={value}"))
        .collect();
    assert_eq!(
        shown,
        [
            format!("m|add=tag 2000000 (expire)={expire}i"),
            "m|add=tag 2000000 value=3i".into(),
            // The row without a time to live came last and never expires.
            format!("m|h=a 1000000 (expire)={}i", i64::MAX),
            "m|h=a 1000000 value=4i".into(),
        ]
    );
    assert_eq!(core.requests[0].batches.len(), 2);
}

#[test]
fn one_line_of_each_reason_is_sampled() {
    let mut core = Core::tight(1, 3_600_000_000_000);
    let mut rejects = Rejects::default();
    core.decode_telnet(b"put a 1 x a=b\nput b 1 y a=b\nput c 1 1 a=b\n", &[], &mut rejects);
    assert_eq!(rejects.take_sample(Reject::BadValue).as_deref(), Some(&b"put a 1 x a=b"[..]));
    assert_eq!(rejects.take_sample(Reject::BadValue), None);
    assert_eq!((rejects.of(Reject::BadValue), rejects.of(Reject::BeyondRetention)), (2, 1));
}

fn any_line() -> impl Strategy<Value = String> {
    let name = || prop_oneof![4 => "[ab]", 1 => "\"[a ]{0,2}\"", 1 => "[a\"=\u{e9}]{0,2}"];
    let value = prop_oneof![3 => "-?[0-9]{1,3}(\\.[0-9]{0,2})?", 1 => "[0-9.e+x\"-]{0,4}"];
    let tags = prop::collection::vec((name(), name()), 0..3);
    let command = prop_oneof![Just("put"), Just("putm"), Just("puts"), Just("version"), Just("x")];
    let blank = prop_oneof![8 => Just(" "), 1 => Just("\t "), 1 => Just("")];
    let end = prop_oneof![Just(""), Just("\r"), Just(" "), Just(" kairos_opt.ttl=7")];
    (command, name(), "-?[0-9]{1,2}", value, tags, blank, end).prop_map(
        |(command, name, time, value, tags, blank, end)| {
            let tags: String = tags.iter().map(|(k, v)| format!("{blank}{k}={v}")).collect();
            format!("{command}{blank}{name} {time} {value}{tags}{end}")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn parts_decode_as_the_whole_and_as_single_lines(
        lines in prop::collection::vec(any_line(), 1..12),
        cuts in prop::collection::vec(0..500usize, 0..5),
    ) {
        let bytes = (lines.join("\n") + "\n").into_bytes();
        let (mut model, mut model_rejects, mut model_versions) = (Store::new(), Rejects::default(), 0);
        let mut core = Core::tight(3, 0);
        for line in &lines {
            core.batcher = Batcher::new();
            core.cache.clear();
            let line = format!("{line}\n");
            model_versions += core.decode_telnet(line.as_bytes(), &[], &mut model_rejects);
            core.store(&mut model);
        }
        let mut core = Core::tight(3, 0);
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
        cuts.sort_unstable();
        for cuts in [&[][..], &[], &cuts] {
            let (mut store, mut rejects) = (Store::new(), Rejects::default());
            let versions = core.decode_telnet(&bytes, cuts, &mut rejects);
            core.store(&mut store);
            prop_assert_eq!(without_never(&store), without_never(&model));
            prop_assert_eq!(rejects.total(), model_rejects.total());
            prop_assert_eq!(versions, model_versions);
        }
    }
}

/// The store without expiries of "never": rows without a time to live have one only where they
/// share a Batch with rows that have one.
fn without_never(store: &Store) -> Store {
    let never = format!("{}i", i64::MAX);
    let kept =
        store.iter().filter(|((_, _, field, _), value)| field != "(expire)" || **value != never);
    // What an expiry stands beside is the shard's business; here only that the values agree.
    kept.filter(|((_, _, field, _), _)| field != "(expire)")
        .map(|(at, value)| (at.clone(), value.clone()))
        .collect()
}
