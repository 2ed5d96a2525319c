//! The plaintext door against the rules of its specification, and against a slow model.

use super::super::testkit::{Core, Store, counts};
use super::*;
use proptest::prelude::*;

/// Decodes bytes three times over with one outcome; gives rows and reject names with counts.
fn decode_text(templates: &[&str], bytes: &[u8]) -> (Vec<String>, Vec<(&'static str, u64)>) {
    let mut core = Core::tight(3, 0).with_templates(".", &[], templates);
    let now = core.now_ns;
    let ms = |ns: i64| if ns == now { "now".to_owned() } else { (ns / 1_000_000).to_string() };
    core.thrice(ms, |core| {
        let mut rejects = Rejects::default();
        core.decode_graphite(bytes, &[], &mut rejects);
        counts(&rejects)
    })
}

#[test]
fn lines_that_are_stored() {
    let cases = [
        ("m 42.5 1609459200", "m 1609459200000 value=42.5"),
        (
            "servers.web01.cpu.load 0.5 1609459200.25\r",
            "servers.web01.cpu.load 1609459200250 value=0.5",
        ),
        (" \t m\x0b1\x0c \r-5  ", "m -5000 value=1.0"),
        ("m 7", "m now value=7.0"),
        ("m 7 -1", "m now value=7.0"),
        ("m 7 N", "m now value=7.0"),
        ("m 1e3 1.6094592e9", "m 1609459200000 value=1000.0"),
        ("m;host=web01;dc=eu 5 1", "m|dc=eu|host=web01 1000 value=5.0"),
        ("a..b. 5 1", "a..b. 1000 value=5.0"),
        ("\u{e9} 5 1", "\u{c3}\u{a9} 1000 value=5.0"),
        ("a\0b 5 1", "a\0b 1000 value=5.0"),
        ("a\"b=c,d\\ 5 1", "a\"b=c,d\\ 1000 value=5.0"),
        ("m 5 0", "m 0 value=5.0"),
        ("m 5 9223372036", "m 9223372036000 value=5.0"),
    ];
    for (line, expected) in cases {
        let (rows, rejects) = decode_text(&[], format!("{line}\n").as_bytes());
        assert_eq!((rows.as_slice(), rejects.len()), (&[expected.to_owned()][..], 0), "{line:?}");
    }
}

#[test]
fn lines_that_are_dropped() {
    let long = [&[b'x'; 16_381][..], b" 1 1"].concat();
    let cases: [(&[u8], &str); 23] = [
        (&long, "line_too_long"),
        (b"m\xff 1 1", "not_utf8"),
        (b"m 1 1\xff", "not_utf8"),
        (b"m", "field_count"),
        (b"m 1 2 3", "field_count"),
        (b"m abc 1", "bad_value"),
        (b"m 1.2.3 1", "bad_value"),
        (b"m 5x 1", "bad_value"),
        (b"m NaN 1", "not_finite"),
        (b"m -inf 1", "not_finite"),
        (b"m 1e999 1", "not_finite"),
        (b"m 1 nan", "bad_time"),
        (b"m 1 x", "bad_time"),
        (b"m 1 1\0", "bad_time"),
        (b"m 1\x01 1", "bad_value"),
        (b"m 1 9223372037", "time_range"),
        (b"m 1 1609459200000", "time_range"),
        (b"m 1 -1e300", "time_range"),
        (b";a=b 1 1", "empty_path"),
        (b"m;a 1 1", "tag_format"),
        (b"m; 1 1", "tag_format"),
        (b"m;=b 1 1", "tag_name_empty"),
        (b"m;a= 1 1", "tag_value_empty"),
    ];
    for (line, reason) in cases {
        let both = [line, b"\nok 1 1\n"].concat();
        let (rows, rejects) = decode_text(&[], &both);
        let shown = String::from_utf8_lossy(line);
        assert_eq!(rejects, [(reason, 1)], "{shown}");
        assert_eq!(rows, ["ok 1000 value=1.0"], "{shown}");
    }
    let exact = [&[b'x'; 16_380][..], b" 1 1\r\n"].concat();
    assert_eq!(decode_text(&[], &exact).0.len(), 1, "exactly the limit is allowed");
    let (rows, rejects) = decode_text(&[], b"\n   \n\t\r\nm 1 1");
    assert!(rows.is_empty() && rejects.is_empty(), "blank lines and an open rest are no lines");
}

#[test]
fn paths_of_one_series_keep_their_fields_apart() {
    let templates = ["if.* .host.measurement.field", "measurement.host"];
    let lines = b"if.web.net.rx 1 1\nif.web.net.tx 2 1\nnet.web 3 1\nif.web.net.rx 4 2\n";
    let (rows, rejects) = decode_text(&templates, lines);
    assert_eq!(rejects, []);
    assert_eq!(
        rows,
        [
            "net|host=web 1000 rx=1.0",
            "net|host=web 1000 tx=2.0",
            "net|host=web 1000 value=3.0",
            "net|host=web 2000 rx=4.0",
        ]
    );
    assert_eq!(decode_text(&templates, b"if.web.net.time 1 1\n").1, [("bad_field", 1)]);
}

#[test]
fn a_metric_of_another_type_takes_floats_too() {
    let mut core = Core::tight(2, 0);
    let (mut store, mut rejects) = (Store::new(), Rejects::default());
    core.decode_telnet(b"putm m 1000 5 a=b\n", &[], &mut rejects);
    core.store(&mut store);
    core.decode_graphite(b"m;a=b 2.5 1\n", &[], &mut rejects);
    core.store(&mut store);
    let values: Vec<&str> = store.values().map(String::as_str).collect();
    assert!(values == ["2.5", "5i"] && rejects.total() == 0, "{values:?}");
}

#[test]
fn beyond_retention_and_too_long_a_key() {
    let mut core = Core::tight(1, 3_600_000_000_000);
    let (mut store, mut rejects) = (Store::new(), Rejects::default());
    let line = format!("m 1 1\nm 1 -1\nm{} 1 -1\n", ";t=v".repeat(3));
    for _ in 0..2 {
        core.decode_graphite(line.as_bytes(), &[], &mut rejects);
        core.store(&mut store);
    }
    assert_eq!((store.len(), rejects.of(Reject::BeyondRetention)), (2, 2));
    assert_eq!(rejects.take_sample(Reject::BeyondRetention).as_deref(), Some(&b"m 1 1"[..]));
}

fn any_line() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        4 => "[ab](\\.[abc]){0,2}",
        2 => "[ab](;[ab]=[xy=.]{0,2}){1,2}",
        1 => "[a.;=\u{e9}\0]{0,3}",
    ];
    let value = prop_oneof![3 => "-?[0-9]{1,3}(\\.[0-9]{0,2})?", 1 => "[0-9.e+x-]{0,4}"];
    let time = prop_oneof![3 => "[0-9]{1,3}", 1 => "-?[0-9.eN]{0,4}"];
    let blank = prop_oneof![8 => Just(" "), 1 => Just("\t "), 1 => Just(""), 1 => Just("\x01")];
    let end = prop_oneof![3 => Just(""), 1 => Just("\r"), 1 => Just(" ")];
    (path, value, time, blank.clone(), blank, end).prop_map(|(path, value, time, one, two, end)| {
        format!("{path}{one}{value}{two}{time}{end}")
    })
}

/// What a line means, the slow and obvious way: (series, field, time, value), or nothing.
fn model(rules: &Rules, line: &str, now_ns: i64) -> Option<(String, String, i64, f64)> {
    let blanks = [' ', '\t', '\x0b', '\x0c', '\r'];
    let fields: Vec<&str> = line.split(blanks).filter(|field| !field.is_empty()).collect();
    let (path, value, time) = match *fields.as_slice() {
        [path, value] => (path, value, "-1"),
        [path, value, time] => (path, value, time),
        _ => return None,
    };
    let number = |text: &str| {
        let fits = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        text.parse::<f64>().ok().filter(|number| fits && number.is_finite())
    };
    let value = number(value)?;
    let time = match time {
        "N" => now_ns,
        text => {
            let seconds = number(text)?;
            if seconds.trunc() == -1.0 { now_ns } else { (seconds * 1e9).round() as i64 }
        }
    };
    if time.checked_abs()? > 9_000_000_000_000_000_000 {
        return None;
    }
    let made = rules.apply(path.as_bytes()).ok()?;
    let text = |bytes: &[u8]| super::super::testkit::text(bytes);
    let tags: String =
        made.tags.iter().map(|(name, value)| format!("|{}={}", text(name), text(value))).collect();
    Some((text(&made.measurement) + &tags, text(&made.field), time, value))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_parts_decode_as_the_model_says(
        lines in prop::collection::vec(any_line(), 1..14),
        cuts in prop::collection::vec(0..300usize, 0..5),
        templated in any::<bool>(),
    ) {
        let templates: &[&str] =
            if templated { &["a.* host.measurement.field", "measurement.x"] } else { &[] };
        let bytes = (lines.join("\n") + "\n").into_bytes();
        let mut core = Core::tight(3, 0).with_templates(".", &[], templates);
        let (mut expected, mut dropped) = (Store::new(), 0);
        for line in bytes.split(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line).unwrap()) {
            match model(&core.rules, line, core.now_ns) {
                Some((series, field, time, value)) => {
                    let kind = crate::model::FieldType::Float;
                    expected.insert((series, time, field, kind), format!("{value:?}"));
                }
                None => dropped += u64::from(!line.trim_matches([' ', '\t', '\r']).is_empty()),
            }
        }
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
        cuts.sort_unstable();
        for cuts in [&[][..], &[], &cuts] {
            let (mut store, mut rejects) = (Store::new(), Rejects::default());
            let rest = core.decode_graphite(&bytes, cuts, &mut rejects);
            core.store(&mut store);
            prop_assert_eq!(rest, 0);
            prop_assert_eq!(&store, &expected);
            prop_assert_eq!(rejects.total(), dropped);
        }
    }
}
