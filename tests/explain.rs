//! EXPLAIN and EXPLAIN ANALYZE over real sockets: what would be read, and what was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod common;

use common::{Server, folder, read_answer, send, start};

/// The lines of an answer of one column.
fn lines(server: &Server, statement: &str) -> Vec<String> {
    let answer = server.query("d", statement);
    let rows = answer.split_once("\"values\":[[\"").unwrap_or_else(|| panic!("{answer}")).1;
    let rows = rows.split_once("\"]]").unwrap_or_else(|| panic!("{answer}")).0;
    rows.split("\"],[\"").map(str::to_owned).collect()
}

/// The sum of a figure over all lines that have it.
fn figure(lines: &[String], name: &str) -> u64 {
    let label = format!("{name}: ");
    let values = lines.iter().filter_map(|line| line.split_once(label.as_str()));
    values.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

fn hundred_points(server: &Server) {
    server.query("", "CREATE DATABASE d");
    let line = |n: usize| format!("cpu,host=h{} v={n},i={n}i {}\n", n % 10, n * 1_000_000_000);
    let body: String = (0..100).map(line).collect();
    assert_eq!(server.post("/write?db=d", body.as_bytes()).status, 204);
}

#[test]
fn a_flush_moves_values_from_memory_into_files() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    hundred_points(&server);
    let statement = "EXPLAIN SELECT mean(v) FROM cpu WHERE time < 50s AND host != 'h3'";
    let plan = lines(&server, statement);
    assert_eq!(plan[0], "EXPRESSION: mean(v::float)");
    assert_eq!(figure(&plan, "NUMBER OF SHARDS"), 1);
    assert_eq!(figure(&plan, "NUMBER OF SERIES"), 9);
    assert_eq!(figure(&plan, "CACHED VALUES"), 45);
    assert_eq!(figure(&plan, "NUMBER OF FILES"), 0);
    let mut stream = server.connect();
    send(&mut stream, "POST /debug/maintain?work=flush HTTP/1.1\r\n", b"");
    assert!(read_answer(&mut stream, false).status < 300);
    let plan = lines(&server, statement);
    assert_eq!(figure(&plan, "NUMBER OF SERIES"), 9);
    assert_eq!(figure(&plan, "CACHED VALUES"), 0);
    assert!(figure(&plan, "NUMBER OF FILES") > 0, "{plan:?}");
    assert!(figure(&plan, "NUMBER OF BLOCKS") > 0, "{plan:?}");
    assert!(figure(&plan, "SIZE OF BLOCKS") > 0, "{plan:?}");
}

#[test]
fn analyze_runs_the_query_and_tells_of_each_shard() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    hundred_points(&server);
    let statement = "EXPLAIN ANALYZE SELECT mean(v) AS m, max(i) INTO x FROM \
                     (SELECT v, i FROM cpu WHERE i >= 50) GROUP BY host";
    let tree = lines(&server, statement);
    assert_eq!(tree[..2], [".", "└── select"]);
    assert_eq!(tree.last().unwrap(), "");
    for time in ["execution_time", "planning_time", "total_time"] {
        assert!(tree.iter().any(|line| line.starts_with("    ├── ") && line.contains(time)));
    }
    let has = |text: &str| tree.iter().any(|line| line.ends_with(text));
    assert!(has(
        "statement: SELECT mean(v::float) AS m, max(i::integer) INTO x FROM (SELECT v::float, \
         i::integer FROM d.autogen.cpu WHERE i::integer \\u003e= 50) GROUP BY host"
    ));
    assert!(has("expr: mean(v::float), max(i::integer)"), "{tree:?}");
    assert!(has("cond: i::integer \\u003e= 50") && has("shard_id: 1"), "{tree:?}");
    assert_eq!(figure(&tree, "series"), 10);
    assert_eq!(figure(&tree, "rows_read"), 100);
    // Nothing was written.
    assert_eq!(server.query("d", "SELECT * FROM x"), "{\"results\":[{\"statement_id\":0}]}\n");
}
