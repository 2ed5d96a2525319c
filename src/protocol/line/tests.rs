//! Line protocol against the tables of its specification, and against a model: each line decoded
//! alone by a decoder that has met nothing before.

use super::super::testkit::{Core, Store};
use super::*;
use proptest::prelude::*;

const YEAR_NS: i64 = 365 * 86_400_000_000_000;

/// Writes a body three times over (unknown, then known names and series) with one outcome, and
/// gives the stored rows as `series time field=value` and the verdict.
fn write(body: &[u8], precision: Precision) -> (Vec<String>, Verdict) {
    Core::tight(3, 0)
        .thrice(|ns| ns.to_string(), |core| core.decode_lines(body, &[], precision).verdict())
}

fn stored(body: &str) -> Vec<String> {
    let (rows, verdict) = write(body.as_bytes(), Precision::Nanoseconds);
    assert_eq!(verdict, Verdict::Stored, "{body:?}");
    rows
}

fn refused(line: &str) -> String {
    let (rows, verdict) = write(line.as_bytes(), Precision::Nanoseconds);
    assert_eq!(rows, Vec::<String>::new());
    let Verdict::AllRefused(text) = verdict else { panic!("{line:?} gives {verdict:?}") };
    let text = String::from_utf8(text).unwrap();
    let shown = line.trim_start_matches([' ', '\t', '\0']).trim_end_matches('\n');
    let head = format!("unable to parse '{shown}': ");
    text.strip_prefix(&head).unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn partial(body: &str) -> String {
    let (_, verdict) = write(body.as_bytes(), Precision::Nanoseconds);
    let Verdict::Partial(text) = verdict else { panic!("{body:?} gives {verdict:?}") };
    String::from_utf8(text).unwrap().strip_prefix("partial write: ").unwrap().to_owned()
}

#[test]
fn values_that_are_accepted() {
    let cases = [
        ("1", "1.0"),
        ("1.0", "1.0"),
        ("5.", "5.0"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("-1", "-1.0"),
        ("-0", "-0.0"),
        ("00012", "12.0"),
        ("1e5", "100000.0"),
        ("1E+5", "100000.0"),
        ("1e-400", "0.0"),
        ("99999999999999999999", "1e20"),
        ("1.7976931348623157e308", "1.7976931348623157e308"),
        ("5.e3", "5000.0"),
        ("0.6423613971632415", "0.6423613971632415"),
        ("12345678.25", "12345678.25"),
        ("1i", "1i"),
        ("-3i", "-3i"),
        ("-9223372036854775808i", "-9223372036854775808i"),
        ("9223372036854775807i", "9223372036854775807i"),
        ("0009223372036854775807i", "9223372036854775807i"),
        ("t", "true"),
        ("T", "true"),
        ("true", "true"),
        ("True", "true"),
        ("TRUE", "true"),
        ("f", "false"),
        ("F", "false"),
        ("false", "false"),
        ("False", "false"),
        ("FALSE", "false"),
        (r#""""#, r#""""#),
        (r#""x\y""#, r#""x\\y""#),
        (r#""x\,y""#, r#""x\\,y""#),
        (r#""c\nd""#, r#""c\\nd""#),
        (r#""a\"b\\c""#, r#""a\"b\\c""#),
        ("\"a\nb\"", r#""a\nb""#),
        (r#""a"b"c""#, r#""a\"b\"c""#),
        (r#""x"y"#, r#""x\"""#),
    ];
    for (sent, value) in cases {
        assert_eq!(stored(&format!("m f={sent} 1")), [format!("m 1 f={value}")], "{sent}");
    }
}

#[test]
fn values_that_are_refused() {
    let groups: [(&str, &[&str]); 4] = [
        (
            "invalid boolean",
            &["+1", "e5", "Inf", "inf", "i", "i1", "tRUE", "tr", "true1", "x", "'x'", "a\"", "\\"],
        ),
        (
            "invalid number",
            &[
                ".", "-", "1.2.3", "0x10", "1_000", "1#c", "NaN", "nan", "-Inf", "1.0i", "1i0",
                "-i", "1u", "--1", "nil", "-1u", "1i1i", "1e5i", "-.i", "1e+-5", "1\t2", "1\r",
            ],
        ),
        ("invalid float", &["1e400", "1.8e308", "1e", "1e+", "-e-e-e", ".e3", "1e5.5"]),
        ("missing field value", &["", ",g=1"]),
    ];
    for (reason, values) in groups {
        for value in values {
            assert_eq!(refused(&format!("m f={value}")), reason, "{value:?}");
        }
    }
    let line = "m f=9223372036854775808i";
    let reason = "unable to parse integer 9223372036854775808: strconv.ParseInt: \
                  parsing \"9223372036854775808\": value out of range";
    assert_eq!(refused(line), reason);
}

#[test]
fn lines_that_are_refused() {
    let cases = [
        ("m", "missing fields"),
        ("m,t=1", "missing fields"),
        (",t=1 f=1", "missing measurement"),
        (" f=1", "missing fields"),
        ("=", "missing fields"),
        ("\"", "missing fields"),
        ("m\\ f=1", "missing fields"),
        ("m,t f=1", "missing tag value"),
        ("m,t= f=1", "missing tag value"),
        ("cpu,host,", "missing tag value"),
        ("m,=1 f=1", "missing tag key"),
        ("m,t=1, f=1", "missing tag key"),
        ("m,,=1 f=1", "missing tag key"),
        ("m,a=b=c f=1", "invalid tag format"),
        ("m,t=a\\ f=1", "invalid tag format"),
        ("cpu,host=f\\==o,", "invalid tag format"),
        ("m,t=1,t=2 f=1", "duplicate tags"),
        ("m,t=1,a=2,t=3 f=1", "duplicate tags"),
        ("m ", "invalid field format"),
        ("m f", "invalid field format"),
        ("m f=1,", "invalid field format"),
        ("m f=1,g", "invalid field format"),
        ("m f=1,,g=2", "invalid field format"),
        ("m,t=x 1", "invalid field format"),
        ("m f,g=1", "invalid field format"),
        ("m f=\"a\",\"b\" 33", "invalid field format"),
        ("m f=1, =2 1", "invalid field format"),
        ("m \\=1 40", "invalid field format"),
        ("m =1", "missing field key"),
        ("m f=1,=2", "missing field key"),
        ("m ,=1 1", "missing field key"),
        ("m b=\"x", "unbalanced quotes"),
        ("m v=\"test\"\"", "unbalanced quotes"),
        ("m f=\"x\\", "unbalanced quotes"),
        ("m f=1 abc", "bad timestamp"),
        ("m f=1 1.5", "bad timestamp"),
        ("m f=1 1#c", "bad timestamp"),
        ("m f=1 --1", "bad timestamp"),
        ("m f=1 17\t", "bad timestamp"),
        ("m v=1 12:00", "bad timestamp"),
        ("m f=1 -", "strconv.ParseInt: parsing \"-\": invalid syntax"),
        ("m f=1 1 x", "point is invalid"),
        ("m v=1 1 1", "point is invalid"),
        (
            "m f=1 9223372036854775808",
            "strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
        ),
        (
            "m f=1 9223372036854775807 12",
            "time outside range -9223372036854775806 - 9223372036854775806",
        ),
        ("m f\\\\=1 10", "invalid value: field-key=f\\\\=1 10"),
        ("m f=\"blah\"=123,r 15", "invalid value: field-key=r"),
        ("m v=1\\\n", "invalid number"),
    ];
    for (line, reason) in cases {
        let reason = reason.trim_end_matches(" 10");
        assert_eq!(refused(line), reason, "{line:?}");
    }
}

#[test]
fn names_and_their_escapes() {
    let cases = [
        ("a=b v=1 1", "a=b 1 v=1.0"),
        ("\\,t=x v=1 1", ",t=x 1 v=1.0"),
        ("m\\,x\\y,t\\ a=b\\=c f=1 30", "m,x\\y|t a=b=c 30 f=1.0"),
        ("\"m\" \"f\"=1 1", "\"m\" 1 \"f\"=1.0"),
        ("m \\a=1 1", "m 1 \\a=1.0"),
        ("m,b=2,a=1 f=1 1", "m|a=1|b=2 1 f=1.0"),
        ("m,a==b f=1 5", "m|a==b 5 f=1.0"),
        ("cpu,r=\\\\,\\,\\=east v=1 1", "cpu|r=\\,,=east 1 v=1.0"),
        ("m a\\,b=1 1", "m 1 a,b=1.0"),
        ("m f=\"a\"=1,g,h=\"x\" 11", "m 11 f=\"a\\\"=\""),
        ("\0\tm2 f=1 1", "m2 1 f=1.0"),
        ("m f=1 \t17", "m 17 f=1.0"),
        ("m   f=1   1  ", "m 1 f=1.0"),
        ("m f=1,f=2 1", "m 1 f=2.0"),
        ("m time=1,f=2 1", "m 1 f=2.0"),
        ("time f=1 1", "time 1 f=1.0"),
        ("m f=1 -9223372036854775806", "m -9223372036854775806 f=1.0"),
        ("m f=1", "m 1500000000123456789 f=1.0"),
        ("m,t=a\\\nb f=1 13", "m|t=a\\\nb 13 f=1.0"),
    ];
    for (line, row) in cases {
        assert_eq!(stored(line)[0], row, "{line:?}");
    }
    for body in ["", "\n\n", " \t\0\n", "# m f=1\n", " #x\n#y", "# a=\"b\nm f=1 9\n"] {
        assert_eq!(stored(body), Vec::<String>::new(), "{body:?}");
    }
}

#[test]
fn times_have_a_unit_and_a_range() {
    let at = |line: &str, unit: &str| write(line.as_bytes(), Precision::parse(unit).unwrap());
    for (unit, time) in [
        ("ns", 2),
        ("n", 2),
        ("u", 2_000),
        ("ms", 2_000_000),
        ("s", 2_000_000_000),
        ("m", 120_000_000_000),
        ("h", 7_200_000_000_000i64),
    ] {
        assert_eq!(at("m f=1 2", unit).0, [format!("m {time} f=1.0")]);
    }
    assert_eq!(at("m f=1", "s").0, ["m 1500000000000000000 f=1.0"]);
    assert_eq!(at("m f=1", "h").0, ["m 1499997600000000000 f=1.0"]);
    let (_, verdict) = at("m v=1 9223372036854776", "u");
    assert!(matches!(verdict, Verdict::AllRefused(text) if text.ends_with(b"854775806")));
    assert_eq!(Precision::parse("us"), None);
}

#[test]
fn keys_have_a_longest_length() {
    let name = "x".repeat(65_536);
    assert_eq!(refused(&format!("m,{name}=1 f=1")), "max key length exceeded: 65540 > 65535");
    let name = "x".repeat(65_530);
    assert_eq!(refused(&format!("{name} ff=1")), "max key length exceeded: 65536 > 65535");
    assert_eq!(stored(&format!("{name} f=1 1")).len(), 1);
}

#[test]
fn a_conflict_drops_the_point_and_names_the_first() {
    let conflict = |sent: &str, stored: &str, dropped: u32| {
        format!(
            "field type conflict: input field \"f\" on measurement \"m\" is type {sent}, \
         already exists as type {stored} dropped={dropped}"
        )
    };
    assert_eq!(partial("m f=1 1\nm f=1i,g=2 2\nm f=t 3"), conflict("integer", "float", 2));
    assert_eq!(
        partial("m f=\"a\" 1\nbad\nm f=1i 2\nm,time=1 f=1"),
        "invalid tag key: input tag \"time\" on measurement \"m\" is invalid dropped=2"
    );
    assert_eq!(partial("m f=t,f=1 1\nm f=t 1"), conflict("float", "boolean", 1));
    assert_eq!(
        partial("m time=1 1\nm f=1 1"),
        "invalid field name: input field \"time\" on measurement \"m\" is invalid dropped=1"
    );
    assert_eq!(
        partial("m f=1 1\nm\nm x"),
        "unable to parse 'm': missing fields\nunable to parse 'm x': invalid field format dropped=0"
    );
    let (rows, _) = write(b"m f=1 1\nm f=1i,g=2 2\nm g=3 3", Precision::Nanoseconds);
    assert_eq!(rows, ["m 1 f=1.0", "m 3 g=3.0"]);
}

#[test]
fn points_beyond_retention_are_counted() {
    let mut core = Core::tight(2, YEAR_NS);
    let now = core.now_ns;
    let body = format!("m f=1 {now}\nm f=2 {}\nm f=3 1\nm f=4 {now}\n", now - YEAR_NS);
    for _ in 0..2 {
        let mut store = Store::new();
        let report = core.decode_lines(body.as_bytes(), &[], Precision::Nanoseconds);
        assert_eq!(core.store(&mut store).0, 3);
        let text = b"partial write: points beyond retention policy dropped=1";
        assert_eq!(report.verdict(), Verdict::Partial(text.to_vec()));
        assert_eq!((report.points(), report.dropped_points(), report.refused_lines()), (4, 1, 0));
    }
}

#[test]
fn too_long_a_line_is_refused_alone() {
    let long = format!("m f=\"{}\" 1", "y".repeat(100_001));
    let body = format!("m f=\"a\" 1\n{long}\nm f=\"b\" 2\n");
    for cuts in [vec![], vec![50, 90_000, 100_005, 100_020], (20..100_030).step_by(1000).collect()]
    {
        let mut core = Core::tight(2, 0);
        let mut store = Store::new();
        let report = core.decode_lines(body.as_bytes(), &cuts, Precision::Nanoseconds);
        assert_eq!((core.store(&mut store).0, report.refused_lines()), (2, 1));
        let Verdict::Partial(text) = report.verdict() else { panic!() };
        assert!(text.ends_with(b": line too long dropped=0") && text.len() < 300);
    }
}

#[test]
fn a_dropped_measurement_is_made_anew() {
    let mut core = Core::tight(1, 0);
    let mut store = Store::new();
    for round in 0..3 {
        core.decode_lines(b"m f=1 1\nm f=2 2\nn f=2 2\n", &[], Precision::Nanoseconds);
        assert_eq!(core.store(&mut store).0, 3);
        let id = core.state.measurement(core.target.db, b"m").unwrap();
        assert_eq!(id.0, [1, 3, 4][round]);
        let name = b"m".as_slice().into();
        core.command(&crate::catalog::command::Command::DropMeasurement { db: "d".into(), name });
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[abc]", 2 => "[a-d]{1,3}", 1 => Just("time".to_owned()), 1 => Just("".to_owned()),
        1 => "[ab\\\\,= \"é\t]{1,3}", 1 => "[ab]\\\\[, =\"\\\\][ab]?",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "-?[0-9]{1,4}\\.[0-9]{1,2}", 2 => "-?[0-9]{1,20}i", 2 => "[0-9.e+-]{0,5}",
        1 => "[tfTF]", 1 => Just("true".to_owned()), 3 => "\"[abc ,=]{0,4}\"",
        1 => "\"[a\\\\\"\n ]{0,4}\"", 1 => "[a-z0-9.\"]{0,3}", 1 => "-?[0-9]{1,19}\\.[0-9]{1,19}",
    ]
}

fn any_line() -> impl Strategy<Value = String> {
    let tags = prop::collection::vec((word(), word()), 0..3);
    let fields = prop::collection::vec((word(), value()), 0..4);
    let times = prop_oneof![6 => "[0-9]", 1 => "-?[0-9]{1,20}", 1 => "[0-9x -]{0,3}", 1 => Just(String::new())];
    (word(), tags, fields, times, "[ \t]{0,1}", 0..20u8).prop_map(
        |(name, tags, fields, time, blank, odd)| {
            let join = |pairs: Vec<(String, String)>| {
                pairs
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect::<Vec<_>>()
                    .join(",")
            };
            let tags = if tags.is_empty() { String::new() } else { format!(",{}", join(tags)) };
            match odd {
                0 => format!("{blank}{name}{tags} {}{blank}{time}", join(fields)),
                1 => format!("#{name}"),
                2 => format!("{name}{tags}\\"),
                _ if time.is_empty() => format!("{name}{tags} {}", join(fields)),
                _ => format!("{name}{tags} {} {time}", join(fields)),
            }
        },
    )
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(any_line(), 1..12);
    (lines, any::<bool>(), 1..4usize).prop_map(|(lines, end, times)| {
        let mut text = vec![lines.join("\n"); times].join("\n");
        if end {
            text.push('\n');
        }
        text.into_bytes()
    })
}

/// The model: each line on its own, with empty caches. Gives the same store and verdict if neither
/// shapes, caches, order of Batches nor discovery change anything.
fn one_by_one(body: &[u8]) -> (Store, Report) {
    let (mut store, mut report) = (Store::new(), Report::default());
    let mut core = Core::tight(3, 0);
    let mut at = 0;
    while at < body.len() {
        let end = split::line_end(body, at, false).unwrap();
        core.batcher = Batcher::new();
        core.cache.clear();
        core.batcher.begin(core.target);
        let mut tail = Tail::default();
        loop {
            let mut ctx = Context {
                catalog: &core.state,
                cache: &mut core.cache,
                report: &mut report,
                tail: &mut tail,
                now_ns: core.now_ns,
                precision: Precision::Nanoseconds,
                shards: 3,
                more: false,
                line_bytes_max: 100_000,
                names_max: 10,
            };
            match decode(&body[at..end], &mut core.batcher, &mut ctx) {
                Progress::Done { .. } => break,
                Progress::NeedNames { missing, .. } => core.resolve(missing, false),
            }
        }
        core.store(&mut store);
        at = end + 1;
    }
    (store, report)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn bodies_decode_as_their_lines_do(body in body(), cuts in prop::collection::vec(0..600usize, 0..5)) {
        let (store, report) = one_by_one(&body);
        let mut core = Core::tight(3, 0);
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= body.len()).collect();
        cuts.sort_unstable();
        // Once with unknown names, once with known ones, once in parts.
        for cuts in [&[][..], &[], &cuts] {
            let mut found = Store::new();
            let found_report = core.decode_lines(&body, cuts, Precision::Nanoseconds);
            core.store(&mut found);
            prop_assert_eq!(&found, &store);
            prop_assert_eq!(found_report.verdict(), report.verdict());
        }
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(
        body in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"m f=1,\"\\\n\t#it.-e".to_vec())], 0..300),
        cut in 0..300usize,
    ) {
        let (store, report) = one_by_one(&body);
        let mut core = Core::tight(2, 0);
        let mut found = Store::new();
        let found_report = core.decode_lines(&body, &[cut.min(body.len())], Precision::Nanoseconds);
        core.store(&mut found);
        prop_assert_eq!(&found, &store);
        prop_assert_eq!(found_report.verdict(), report.verdict());
    }
}
