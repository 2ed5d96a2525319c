//! Users over real sockets: every route with every kind of credential, tokens, the first
//! administrator. A route without a row in the table fails the test.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::{Answer, Server, escape, folder, start};
use hmac::{Hmac, KeyInit, Mac};
use ringtail::api::routes;
use sha2::Sha256;

const SECRET: &str = "super secret key";

fn server(flags: &[&str]) -> (tempfile::TempDir, Server) {
    let (dir, data) = folder();
    let all = [&["--http-auth-enabled", "true", "--http-shared-secret", SECRET], flags].concat();
    (dir, start(&data, &all))
}

fn ask(server: &Server, who: &str, db: &str, text: &str) -> Answer {
    server.post(&format!("/query?db={db}&q={}&{who}", escape(text)), b"")
}

/// Administrator `root`, and three users of database `d`.
fn with_users(server: &Server) {
    let first = ask(server, "", "", "CREATE USER root WITH PASSWORD 'r' WITH ALL PRIVILEGES");
    assert_eq!(first.status, 200, "{}", first.text());
    let text = "CREATE DATABASE d; CREATE DATABASE e; CREATE DATABASE kairosdb; CREATE USER reader \
                WITH PASSWORD 'p'; CREATE USER writer WITH PASSWORD 'p'; CREATE USER nobody WITH \
                PASSWORD 'p'; GRANT READ ON d TO reader; GRANT WRITE ON d TO writer; GRANT READ ON \
                kairosdb TO reader; GRANT WRITE ON kairosdb TO writer";
    let made = ask(server, "u=root&p=r", "", text);
    assert!(!made.text().contains("error"), "{}", made.text());
}

/// Who asks, in the order of the columns of the table.
const WHO: [&str; 6] =
    ["", "u=root&p=wrong", "u=nobody&p=p", "u=reader&p=p", "u=writer&p=p", "u=root&p=r"];

/// A request and the status that each of `WHO` gets.
struct Row {
    method: &'static str,
    path: &'static str,
    /// With its parameters.
    target: &'static str,
    body: &'static [u8],
    statuses: [u16; 6],
}

const fn row(
    method: &'static str,
    path: &'static str,
    target: &'static str,
    body: &'static [u8],
    statuses: [u16; 6],
) -> Row {
    Row { method, path, target, body, statuses }
}

const OPEN: [u16; 6] = [200; 6];
const PING: [u16; 6] = [204; 6];
const READ: [u16; 6] = [401, 401, 403, 200, 403, 200];
const WRITE: [u16; 6] = [401, 401, 403, 403, 204, 204];
const KNOWN: [u16; 6] = [401, 401, 200, 200, 200, 200];
/// An empty snappy block: too little for a question, enough for nothing to write.
const EMPTY: &[u8] = b"\0";

const TABLE: &[Row] = &[
    row("GET", "/ping", "/ping?", b"", PING),
    row("GET", "/status", "/status?", b"", PING),
    row("GET", "/health", "/health?", b"", OPEN),
    row("GET", "/query", "/query?db=d&q=SHOW+SERIES&", b"", READ),
    row("POST", "/query", "/query?db=d&q=DROP+SHARD+9&", b"", [401, 401, 403, 403, 403, 200]),
    row("POST", "/write", "/write?db=d&", b"m v=1 1", WRITE),
    row("POST", "/api/v2/write", "/api/v2/write?bucket=d&", b"m v=1 1", WRITE),
    row("POST", "/api/v2/query", "/api/v2/query?", b"", [401, 401, 403, 403, 403, 403]),
    row("POST", "/api/v1/prom/write", "/api/v1/prom/write?db=d&", EMPTY, WRITE),
    row(
        "POST",
        "/api/v1/prom/read",
        "/api/v1/prom/read?db=d&",
        // One question: `a` equals `b`.
        b"\x0a\x24\x0a\x08\x1a\x06\x12\x01a\x1a\x01b",
        [401, 401, 403, 200, 403, 200],
    ),
    row(
        "POST",
        "/debug/maintain",
        "/debug/maintain?work=flush&",
        b"",
        [401, 401, 403, 403, 403, 204],
    ),
    row("GET", "/debug/pprof", "/debug/pprof/threadcreate?", b"", [401, 401, 403, 403, 403, 200]),
    row("GET", "/debug/requests", "/debug/requests?seconds=0&", b"", OPEN),
    row("GET", "/metrics", "/metrics?", b"", OPEN),
    row("GET", "/debug/vars", "/debug/vars?", b"", OPEN),
    row("GET", "/api/v1/version", "/api/v1/version?", b"", KNOWN),
    row("GET", "/api/v1/admin/runningqueries", "/api/v1/admin/runningqueries?", b"", KNOWN),
    row("GET", "/api/v1/admin/scheduledjobs", "/api/v1/admin/scheduledjobs?", b"", KNOWN),
    row(
        "GET",
        "/api/v1/admin/killquery/{}",
        "/api/v1/admin/killquery/x?",
        b"",
        [401, 401, 204, 204, 204, 204],
    ),
    row("GET", "/api/v1/health/check", "/api/v1/health/check?", b"", PING),
    row("GET", "/api/v1/health/status", "/api/v1/health/status?", b"", OPEN),
];

/// Paths of KairosDB that need READ or WRITE: who may not is told so before anything else.
fn refusals(path: &str, writes: bool) -> Vec<(String, [u16; 4])> {
    let (reader, writer) = if writes { (403, 0) } else { (0, 403) };
    vec![(path.replace("{}", "x"), [401, 401, reader, writer])]
}

#[test]
fn every_route_asks_for_what_it_must() {
    let (_dir, server) = server(&[]);
    with_users(&server);
    for row in TABLE {
        for (who, status) in WHO.iter().zip(row.statuses) {
            let head = format!("{} {}{who} HTTP/1.1\r\n", row.method, row.target);
            let answer = server.request(&head, row.body);
            assert_eq!(answer.status, status, "{} {} {who}", row.method, row.path);
            if status == 401 {
                assert_eq!(answer.header("www-authenticate"), "Basic realm=\"InfluxDB\"");
                assert_eq!(answer.header("x-influxdb-error"), "");
            }
        }
    }
    for (method, path, rights) in routes::all() {
        if TABLE.iter().any(|row| row.path == path) {
            continue;
        }
        let writes = match rights {
            "read" => false,
            "write" => true,
            _ => panic!("{path} has no row in the table"),
        };
        for (target, statuses) in refusals(&path, writes) {
            for (who, status) in [WHO[0], WHO[1], WHO[3], WHO[4]].iter().zip(statuses) {
                let answer = server.request(&format!("{method} {target}?{who} HTTP/1.1\r\n"), b"");
                let refused = matches!(answer.status, 401 | 403);
                assert_eq!(refused, status != 0, "{method} {target} {who}: {}", answer.status);
                assert!(status == 0 || answer.status == status, "{method} {target} {who}");
            }
        }
    }
}

fn token(claims: &str, secret: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims));
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn credentials_come_in_four_ways() {
    let (_dir, server) = server(&[]);
    with_users(&server);
    let with = |header: &str| {
        let head = format!("GET /query?db=d&q=SHOW+SERIES HTTP/1.1\r\n{header}");
        let answer = server.request(&head, b"");
        (answer.status, answer.text())
    };
    let basic = |pair: &str| format!("Authorization: Basic {}\r\n", STANDARD.encode(pair));
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let far = r#"{"username":"reader","exp":99999999999}"#;
    let good = [
        basic("reader:p"),
        bearer(&token(far, SECRET)),
        "Authorization: Token reader:p\r\n".into(),
    ];
    for header in good {
        // The second time the password is known already.
        assert_eq!(with(&header).0, 200, "{header}");
        assert_eq!(with(&header).0, 200, "{header}");
    }
    let refused = [
        (String::new(), "unable to parse authentication credentials"),
        ("Authorization: Digest x\r\n".to_owned(), "unable to parse authentication credentials"),
        (basic("reader:wrong"), "authorization failed"),
        (basic("unknown:p"), "authorization failed"),
        (basic(":p"), "username required"),
        (bearer(&token(far, "other")), "signature is invalid"),
        (bearer(&token(r#"{"username":"reader","exp":1}"#, SECRET)), "Token is expired"),
        (bearer(&token(r#"{"username":"x","exp":99999999999}"#, SECRET)), "user not found"),
        (bearer("garbage"), "token contains an invalid number of segments"),
    ];
    for (header, text) in refused {
        assert_eq!(with(&header), (401, format!("{{\"error\":\"{text}\"}}\n")), "{header}");
    }
    let url = server.request(
        "GET /query?q=SHOW+USERS&u=root&p=r HTTP/1.1\r\nAuthorization: Basic eDp5\r\n",
        b"",
    );
    assert_eq!(url.status, 200);
    // A new password ends what was known of the old one.
    ask(&server, "u=root&p=r", "", "SET PASSWORD FOR reader = 'new'");
    assert_eq!(with(&basic("reader:p")).0, 401);
    assert_eq!(with(&basic("reader:new")).0, 200);
}

#[test]
fn the_first_user_is_an_administrator_and_users_see_what_is_theirs() {
    let (_dir, server) = server(&[]);
    let early = ask(&server, "", "", "SHOW DATABASES");
    let text = "error authorizing query: create admin user first or disable authentication";
    assert_eq!((early.status, early.text()), (403, format!("{{\"error\":\"{text}\"}}\n")));
    assert_eq!(early.header("x-influxdb-error"), text);
    with_users(&server);
    let seen = |who: &str| ask(&server, who, "", "SHOW DATABASES").text();
    assert!(seen("u=reader&p=p").contains("[[\"d\"],[\"kairosdb\"]]"));
    assert!(!seen("u=nobody&p=p").contains("[["));
    assert!(seen("u=root&p=r").contains("[[\"d\"],[\"e\"],[\"kairosdb\"]]"));
    let refused = ask(&server, "u=reader&p=p", "d", "SELECT * FROM d..m; SELECT * FROM e..m");
    let text = "error authorizing query: reader not authorized to execute statement 'SELECT * FROM \
                e..m', requires READ on e";
    assert_eq!((refused.status, refused.text()), (403, format!("{{\"error\":\"{text}\"}}\n")));
    let write = server.post("/write?db=d&u=reader&p=p", b"m v=1");
    let text =
        "{\"error\":\"\\\"reader\\\" user is not authorized to write to database \\\"d\\\"\"}\n";
    assert_eq!((write.status, write.text().as_str()), (403, text));
    let hidden = ask(&server, "u=reader&p=p", "", "CREATE USER x WITH PASSWORD 'topsecret'");
    assert!(hidden.text().contains("[REDACTED]") && !hidden.text().contains("topsecret"));
}

#[test]
fn listeners_without_users_are_closed() {
    let (_dir, data) = folder();
    let flags = ["--http-auth-enabled", "true", "--http-open-listeners", "true"];
    let open = start(&data, &flags);
    assert!(std::net::TcpStream::connect(open.telnet).is_ok());
    drop(open);
    let (_dir, closed) = server(&[]);
    assert!(closed.lines.iter().any(|line| line.contains("telnet closed")), "{:?}", closed.lines);
}

#[test]
fn ping_asks_for_credentials_only_when_told_so() {
    let (_dir, server) = server(&["--http-ping-auth-enabled", "true"]);
    assert_eq!(server.get("/ping").status, 204);
    with_users(&server);
    assert_eq!(server.get("/ping").status, 401);
    assert_eq!(server.get("/ping?u=nobody&p=p").status, 204);
}
