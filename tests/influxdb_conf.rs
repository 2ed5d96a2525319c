//! A configuration made for InfluxDB 1.x: its file, its variables, and what is said of the rest.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{folder, program, start_as};
use std::process::Stdio;

const FILE: &str = r#"
reporting-disabled = true
[meta]
  dir = "/var/lib/influxdb/meta"
  retention-autocreate = false
[http]
  bind-address = ":8086"
  auth-enabled = false
  realm = "plant 7"
  max-body-size = 20
  pprof-auth-enabled = true
  [http.headers]
    X-Plant = "7"
[coordinator]
  max-select-series = 1
[[graphite]]
  enabled = true
  bind-address = "127.0.0.1:0"
  database = "carbon"
[[udp]]
  enabled = false
"#;

#[test]
fn a_file_and_variables_of_influxdb_configure_the_server() {
    let (dir, data) = folder();
    let (file, errors) = (dir.path().join("influxdb.conf"), dir.path().join("errors"));
    std::fs::write(&file, FILE).unwrap();
    let mut command = program();
    command.env("INFLUXDB_CONFIG_PATH", &file).env("INFLUXDB_HTTP_AUTH_ENABLED", "true");
    command.env("INFLUXDB_HTTP_SHARED_SECRET", "quiet").env("INFLUXDB_DATA_WAL_DIR", "/w");
    command.stderr(std::fs::File::create(&errors).unwrap());
    let server = start_as(command, &data, &["--http-open-listeners", "true"]);
    let said = std::fs::read_to_string(&errors).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    for name in [" reporting-disabled has", " meta.dir has", " data.wal-dir has"] {
        assert_eq!(lines.iter().filter(|line| line.contains(name)).count(), 1, "{said}");
    }
    assert!(server.door("graphite").ip().is_loopback());
    server.query("", "CREATE USER root WITH PASSWORD 'r' WITH ALL PRIVILEGES");

    let refused = server.get("/query?q=SHOW+DATABASES");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), "Basic realm=\"plant 7\"");
    assert_eq!(refused.header("x-plant"), "7");
    assert_eq!(server.get("/debug/vars").status, 401);
    assert_eq!(server.get("/debug/vars?u=root&p=r").status, 200);
    assert_eq!(server.get("/debug/requests?seconds=0").status, 401);

    let ask = |query: &str| server.post(&format!("/query?u=root&p=r&db=d&q={query}"), b"").text();
    ask("CREATE+DATABASE+d");
    assert!(ask("SHOW+RETENTION+POLICIES").contains("\"columns\":[\"name\","));
    assert!(!ask("SHOW+RETENTION+POLICIES").contains("autogen"));
    ask("CREATE+RETENTION+POLICY+a+ON+d+DURATION+0s+REPLICATION+1+DEFAULT");
    assert_eq!(server.post("/write?u=root&p=r&db=d", b"m,a=1 v=1\nm,a=2 v=2\n#").status, 413);
    assert_eq!(server.post("/write?u=root&p=r&db=d", b"m,a=1 v=1").status, 204);
    assert_eq!(server.post("/write?u=root&p=r&db=d", b"m,a=2 v=1").status, 204);
    let many = ask("SELECT+v+FROM+m");
    assert!(many.contains("max-select-series limit exceeded: (2/1)"), "{many}");
}

#[test]
fn the_effective_configuration_names_where_each_value_came_from() {
    let (dir, _) = folder();
    let file = dir.path().join("influxdb.conf");
    std::fs::write(&file, FILE).unwrap();
    let output = program()
        .args(["config", "--effective", "--config", file.to_str().unwrap()])
        .env("INFLUXDB_COORDINATOR_QUERY_TIMEOUT", "1m30s")
        .env("INFLUXDB_HTTP_SHARED_SECRET", "quiet")
        .env("RINGTAIL_QUERY_MAX_SERIES", "9")
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "query.timeout = 1m30s  (environment INFLUXDB_COORDINATOR_QUERY_TIMEOUT)".to_owned(),
        "query.max-series = 9  (environment RINGTAIL_QUERY_MAX_SERIES)".to_owned(),
        format!("http.realm = plant 7  (file {})", file.display()),
        "http.shared-secret = [REDACTED]  (environment INFLUXDB_HTTP_SHARED_SECRET)".to_owned(),
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in {text}");
    }
    assert!(!text.contains("quiet"));
    assert!(String::from_utf8(output.stderr).unwrap().contains("meta.dir has no meaning here"));
}
