//! The parser against recorded answers: error texts with line and character, and the public sample
//! cases.
//!
//! In: files of `tests/corpus/influxql`, pairs of lines: a statement (`\n`, `\r` and `\\` escaped),
//! then, indented, the text behind `error parsing query: `, or `ok`. Recorded from InfluxDB 1.6.7
//! by sending each statement; statements that must parse are followed by the broken `SELEC`, so
//! that the place tells how far the parser came.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::fs;

use ringtail::influxql::{ParamValue, Params, ParseError, Statement, parse, validate};

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match c {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

fn cases(file: &str) -> Vec<(String, String)> {
    let path = format!("{}/tests/corpus/influxql/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() >= 2, "{path} holds no cases");
    lines.chunks(2).map(|pair| (unescape(pair[0]), pair[1].trim_start().to_string())).collect()
}

fn outcome(parsed: &Result<Vec<Statement>, ParseError>) -> String {
    match parsed {
        Ok(_) => "ok".to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn errors_have_the_recorded_text() {
    let mut wrong = Vec::new();
    for (statement, expected) in cases("parse_errors.txt") {
        let found = outcome(&parse(&statement, &Params::new()));
        if found != expected {
            wrong.push(format!("{statement:?}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn senseless_queries_have_the_recorded_text() {
    let mut wrong = Vec::new();
    for (statement, expected) in cases("compile.txt") {
        let statements = parse(&statement, &Params::new()).unwrap();
        let [Statement::Select(select)] = statements.as_slice() else { panic!("{statement}") };
        let found = match validate::validate(select) {
            Ok(()) => "ok".to_string(),
            Err(text) => text,
        };
        if found != expected {
            wrong.push(format!("{statement:?}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn error(text: &str) -> String {
    outcome(&parse(text, &Params::new()))
}

/// Runs on a stack much smaller than that of a server thread.
fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(work).unwrap().join().unwrap();
}

#[test]
fn deep_nesting_is_an_error() {
    on_small_stack(|| {
        let deep = 100_000;
        let parens = format!("SELECT v FROM m WHERE {}1", "(".repeat(deep));
        let calls = format!("SELECT {}v FROM m", "f(".repeat(deep));
        let queries = format!("SELECT v FROM {}", "(SELECT v FROM ".repeat(deep));
        let signs = format!("SELECT v FROM m WHERE v = {}1", "-(".repeat(deep));
        for text in [parens, calls, queries, signs] {
            assert_eq!(error(&text), "more than 128 levels of nesting");
        }
        let fine = format!("SELECT v FROM m WHERE {}1{} = 1", "(".repeat(100), ")".repeat(100));
        let statements = parse(&fine, &Params::new()).unwrap();
        assert_eq!(statements[0].to_string(), fine);
    });
}

#[test]
fn long_chains_are_fine() {
    on_small_stack(|| {
        for op in ["OR", "AND", "+"] {
            let terms = vec!["a = 1"; 50_000].join(&format!(" {op} "));
            let text = format!("SELECT v FROM m WHERE {terms}");
            let statements = parse(&text, &Params::new()).unwrap();
            assert_eq!(statements[0].to_string(), text);
            let copy = statements.clone();
            assert!(copy == statements);
            if let Statement::Select(select) = &statements[0] {
                assert_eq!(validate::validate(select), Ok(()));
            }
        }
    });
}

#[test]
fn many_statements_and_regexes_are_an_error() {
    let many = "SHOW USERS;".repeat(1_000_000);
    assert_eq!(error(&many), "more than 100000 statements in one query");
    assert_eq!(error(&";".repeat(1_000_000)), "ok");
    let regexes = vec!["/a/"; 1_001].join(", ");
    let text = format!("SELECT v FROM {regexes}");
    assert_eq!(error(&text), "more than 1000 regular expressions in one query");
}

#[test]
fn parameters_stand_for_tokens() {
    let mut params = Params::new();
    params.set("s", ParamValue::String("a'b".into()));
    params.set("n", ParamValue::Integer(3));
    params.set("neg", ParamValue::Integer(-3));
    params.set("f", ParamValue::Float(1.5));
    params.set("b", ParamValue::Boolean(true));
    params.set("i", ParamValue::Identifier("select".into()));
    params.set("r", ParamValue::Regex("a/b".into()));
    params.set("d", ParamValue::Duration("1m".into()));
    params.set("t", ParamValue::Nanoseconds(90_000_000_000));
    params.set("bad", ParamValue::Duration("x".into()));
    params.set("x y", ParamValue::Invalid("unknown bind object type: foo".into()));
    let cases = [
        ("SELECT $i FROM $i LIMIT $n", "SELECT \"select\" FROM \"select\" LIMIT 3"),
        ("SELECT $i(v) FROM m", "SELECT \"select\"(v) FROM m"),
        ("SELECT v FROM $r WHERE a =~ $r", "SELECT v FROM /a\\/b/ WHERE a =~ /a\\/b/"),
        (
            "SELECT $r FROM m WHERE a = $s AND b = $f OR c = $b",
            "SELECT /a\\/b/ FROM m WHERE a = 'a\\'b' AND b = 1.500 OR c = true",
        ),
        (
            "SELECT mean(v) FROM m GROUP BY time($d, $t)",
            "SELECT mean(v) FROM m GROUP BY time(1m, 90s)",
        ),
        ("SELECT v FROM m WHERE a = $neg", "SELECT v FROM m WHERE a = -3"),
        ("SELECT v FROM m LIMIT $neg", "LIMIT must be >= 0 at line 1, char 23"),
        ("SELECT v FROM m WHERE a = $bad", "invalid duration"),
        ("SELECT v FROM m LIMIT $s", "found a'b, expected integer at line 1, char 23"),
        ("SELECT v FROM m WHERE a = $\"x y\"", "missing parameter: unknown bind object type: foo"),
        ("SELECT v FROM m WHERE a = $none", "missing parameter: none"),
    ];
    for (text, expected) in cases {
        let found = match parse(text, &params) {
            Ok(statements) => statements[0].to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn statements_print_in_one_form() {
    let cases = [
        (
            "select -v, \"a b\" as \"c d\", mean(*::field) into a..b \
             from d.r./x\\/y/, (select * from m)",
            "SELECT -1 * v, \"a b\" AS \"c d\", mean(*::field) INTO a..b \
             FROM d.r./x\\/y/, (SELECT * FROM m)",
        ),
        (
            "select mean(v) from m where t > 'it\\'s' group by time(5400s), * \
             fill(0) order by desc tz('')",
            "SELECT mean(v) FROM m WHERE t > 'it\\'s' GROUP BY time(90m), * \
             fill(0) ORDER BY DESC TZ('UTC')",
        ),
        ("select a % -b, a + -b from m", "SELECT a % (-1 * b), a + -1 * b FROM m"),
        ("select v from m fill(null) order by time", "SELECT v FROM m ORDER BY time ASC"),
        (
            "create database x with duration 36h30m name y",
            "CREATE DATABASE x WITH DURATION 36h30m0s NAME y",
        ),
        ("create database x with duration inf", "CREATE DATABASE x WITH DURATION 0s"),
        ("create user a with password 'x'", "CREATE USER a WITH PASSWORD [REDACTED]"),
        ("set password for a = 'x'", "SET PASSWORD FOR a = [REDACTED]"),
        ("grant all on d to u", "GRANT ALL PRIVILEGES ON d TO u"),
    ];
    for (text, expected) in cases {
        let statements = parse(text, &Params::new()).unwrap();
        assert_eq!(statements[0].to_string(), expected);
    }
}

/// Printing what was parsed and parsing it again changes nothing, for every good statement of the
/// corpus.
#[test]
fn printed_statements_parse_to_the_same() {
    let mut checked = 0;
    let signs = ["a % -b", "a / +f(b)", "a * -(b + c) & -d", "-a * b", "a - -b * c"];
    let signs = signs.map(|expr| (format!("SELECT {expr} FROM m"), String::new()));
    for (statement, _) in
        cases("compile.txt").into_iter().chain(cases("parse_errors.txt")).chain(signs)
    {
        let statement = statement.trim_end_matches("; SELEC").trim_end_matches(" x");
        let Ok(statements) = parse(statement, &Params::new()) else { continue };
        for statement in statements {
            let text = statement.to_string();
            if text.contains("[REDACTED]") {
                continue;
            }
            assert_eq!(parse(&text, &Params::new()), Ok(vec![statement]), "{text}");
            checked += 1;
        }
    }
    assert!(checked > 200, "only {checked}");
}

mod random {
    use proptest::prelude::*;
    use ringtail::influxql::ast::{Cast, Expr, Op, Regex, VarRef, Wildcard};
    use ringtail::influxql::{Params, Statement, parse};

    const OPS: [Op; 16] = [
        Op::Add,
        Op::Sub,
        Op::Mul,
        Op::Div,
        Op::Mod,
        Op::BitAnd,
        Op::BitOr,
        Op::BitXor,
        Op::And,
        Op::Or,
        Op::Eq,
        Op::Neq,
        Op::Lt,
        Op::Lte,
        Op::Gt,
        Op::Gte,
    ];

    fn name() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z_]{1,6}", "[ -~é\n]{1,8}", Just("select".to_string())]
    }

    fn leaf() -> impl Strategy<Value = Expr> {
        let cast =
            prop::option::of(prop::sample::select(vec![Cast::Float, Cast::Tag, Cast::Field]));
        let wildcard = prop::sample::select(vec![Wildcard::All, Wildcard::Fields, Wildcard::Tags]);
        prop_oneof![
            (name(), cast).prop_map(|(name, cast)| Expr::VarRef(VarRef { name, cast })),
            any::<i64>().prop_map(Expr::Integer),
            (1u64 << 63..=u64::MAX).prop_map(Expr::Unsigned),
            (-1e12f64..1e12).prop_map(Expr::Float),
            "[ -~é\n]{0,8}".prop_map(Expr::String),
            any::<bool>().prop_map(Expr::Boolean),
            (-i64::MAX..i64::MAX).prop_map(Expr::Duration),
            wildcard.prop_map(Expr::Wildcard),
            name().prop_map(Expr::Distinct),
        ]
    }

    /// Parentheses wherever precedence would read the printed text differently.
    fn binary(op: Op, lhs: Expr, rhs: Expr) -> Expr {
        let wrap = |expr: Expr, least: u8| match &expr {
            Expr::Binary(node) if node.op.precedence() < least => Expr::Paren(Box::new(expr)),
            _ => expr,
        };
        Expr::binary(op, wrap(lhs, op.precedence()), wrap(rhs, op.precedence() + 1))
    }

    fn expr() -> impl Strategy<Value = Expr> {
        leaf().prop_recursive(6, 48, 3, |inner| {
            let call = ("[a-z]{1,5}", prop::collection::vec(inner.clone(), 0..3));
            let op = prop::sample::select(OPS.to_vec());
            prop_oneof![
                inner.clone().prop_map(|inner| Expr::Paren(Box::new(inner))),
                call.prop_map(|(name, args)| Expr::Call { name: format!("f_{name}"), args }),
                (op, inner.clone(), inner.clone()).prop_map(|(op, l, r)| binary(op, l, r)),
                (inner, "[a-z/.]{0,5}").prop_map(|(lhs, source)| {
                    binary(Op::EqRegex, lhs, Expr::Regex(Regex { source }))
                }),
            ]
        })
    }

    fn token() -> impl Strategy<Value = String> {
        let words = [
            "SELECT",
            "FROM",
            "WHERE",
            "GROUP",
            "BY",
            "time",
            "(",
            ")",
            ",",
            "m",
            "v",
            "=",
            "=~",
            "/a/",
            "'x'",
            "\"q\"",
            "1",
            "1.5",
            "5m",
            "fill",
            "tz",
            "LIMIT",
            "SHOW",
            "TAG",
            "VALUES",
            "WITH",
            "KEY",
            "IN",
            ".",
            "::",
            ":",
            "*",
            "-",
            "$p",
            ";",
            "INTO",
            "DISTINCT",
            "DROP",
            "CREATE",
            "DATABASE",
            "ON",
            "RETENTION",
            "POLICY",
            "DURATION",
            "INF",
            "--",
            "/*",
            "*/",
            "\n",
            "'",
            "\"",
            "AND",
            "ORDER",
        ];
        prop::sample::select(words.to_vec()).prop_map(str::to_string)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn expressions_survive_print_and_parse(expr in expr()) {
            let text = format!("SELECT v FROM m WHERE {expr}");
            let statements = parse(&text, &Params::new());
            let statements = statements.map_err(|e| TestCaseError::fail(format!("{e}: {text}")))?;
            let [Statement::Select(select)] = statements.as_slice() else {
                return Err(TestCaseError::fail(text));
            };
            prop_assert_eq!(select.condition.as_ref(), Some(&expr), "{}", text);
        }

        #[test]
        fn any_text_gives_an_answer(text in "\\PC{0,60}") {
            let _ = parse(&text, &Params::new());
        }

        #[test]
        fn any_tokens_give_an_answer(tokens in prop::collection::vec(token(), 0..30)) {
            if let Ok(statements) = parse(&tokens.join(" "), &Params::new()) {
                for statement in statements {
                    let text = statement.to_string();
                    prop_assert_eq!(parse(&text, &Params::new()), Ok(vec![statement]));
                }
            }
        }
    }
}
