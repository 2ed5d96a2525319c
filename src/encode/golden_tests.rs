//! Whole queries against shards in the simulator: text in, JSON out, byte for byte.
//!
//! The data and the answers are those of the InfluxDB 1.x language reference kept with the project.

use super::json::{Options as JsonOptions, Writer};
use crate::env::sim::Sim;
use crate::influxql::{Params, parse};
use crate::protocol::line::{Context, Precision, Report, decode};
use crate::protocol::{Batcher, Progress, Tail, Target};
use crate::query::{Limits, Options, ResultPart, run};
use crate::route::cluster_tests::start;
use crate::route::message::Maintenance;
use crate::route::{Cluster, SeriesCache};

const S: i64 = 1_000_000_000;

const DATA: &str = "\
cpu,host=a,region=us v=1,i=10i,s=\"x\",b=true 0
cpu,host=a,region=us v=2,i=20i,s=\"y\",b=false 10
cpu,host=b,region=us v=3,i=30i,s=\"x\",b=true 20
cpu,host=b,region=eu v=4,i=40i,s=\"z\",b=true 60
cpu,host=c v=5,i=50i 70
cpu v=6 80
mem,host=a free=100i 0
mem,host=a free=200i 10
";

fn options() -> Options {
    Options {
        server: crate::query::testing::server(),
        user: None,
        db: Some("d".into()),
        rp: None,
        read_only: false,
        now_ns: 90 * S,
        chunk: None,
        memory_bytes: 64 << 20,
        deadline_ns: 0,
        limits: Limits::default(),
    }
}

pub(super) async fn ask(cluster: &Cluster, text: &str) -> String {
    let statements = parse(text, &Params::new()).unwrap();
    let mut parts: Vec<ResultPart> = Vec::new();
    let entry = cluster.queries().enter(text, "d", 0);
    run(cluster, &statements, &options(), &entry, &mut parts).await.unwrap();
    let mut writer = Writer::new(JsonOptions { epoch_ns: Some(S), ..JsonOptions::default() });
    parts.into_iter().for_each(|part| writer.part(part));
    writer.finish();
    String::from_utf8(writer.take()).unwrap()
}

pub(super) async fn write(cluster: &Cluster, data: &str) {
    let target = {
        let catalog = cluster.catalog();
        let db = catalog.database("d").unwrap();
        Target { db: db.id, policy: db.default_policy.unwrap() }
    };
    let (mut batcher, mut cache) = (Batcher::new(), SeriesCache::new(7, 100));
    let (mut report, mut tail) = (Report::default(), Tail::default());
    batcher.begin(target);
    let mut rest = data.as_bytes();
    loop {
        let progress = {
            let mut context = Context {
                catalog: &cluster.catalog(),
                cache: &mut cache,
                report: &mut report,
                tail: &mut tail,
                now_ns: 0,
                precision: Precision::Seconds,
                shards: cluster.shard_count(),
                more: false,
                line_bytes_max: 1000,
                names_max: 100,
            };
            decode(rest, &mut batcher, &mut context)
        };
        let Progress::NeedNames { resume_at, missing } = progress else { break };
        cluster.decide(missing.resolve(target.policy, false)).await.unwrap();
        rest = &rest[resume_at..];
    }
    for write in batcher.finish().writes {
        cluster.write(write.shard, write.request).await.unwrap();
    }
}

/// Series of an answer: name and tags as text, and the values.
fn answer(series: &[(&str, &str, &str)]) -> String {
    let one = |(head, columns, values): &(&str, &str, &str)| {
        format!("{{{head},\"columns\":[{columns}],\"values\":{values}}}")
    };
    let series: Vec<String> = series.iter().map(one).collect();
    format!("{{\"results\":[{{\"statement_id\":0,\"series\":[{}]}}]}}\n", series.join(","))
}

const EMPTY: &str = "{\"results\":[{\"statement_id\":0}]}\n";
const CPU: &str = "\"name\":\"cpu\"";

/// Query, columns, values; all of the one series `cpu`.
const OF_CPU: &[(&str, &str, &str)] = &[
    (
        "select * from cpu limit 1",
        "\"time\",\"b\",\"host\",\"i\",\"region\",\"s\",\"v\"",
        "[[0,true,\"a\",10,\"us\",\"x\",1]]",
    ),
    ("select v, v as v_1, v from cpu limit 1", "\"time\",\"v\",\"v_1\",\"v_2\"", "[[0,1,1,1]]"),
    ("select host,v from cpu limit 1", "\"time\",\"host\",\"v\"", "[[0,\"a\",1]]"),
    (
        "select mean(v) from cpu where R group by time(20s)",
        "\"time\",\"mean\"",
        "[[0,1.5],[20,3],[40,null],[60,4.5],[80,6]]",
    ),
    (
        "select mean(v) from cpu where R group by time(20s) fill(linear)",
        "\"time\",\"mean\"",
        "[[0,1.5],[20,3],[40,3.75],[60,4.5],[80,6]]",
    ),
    (
        "select mean(v) from cpu where R group by time(20s) fill(none)",
        "\"time\",\"mean\"",
        "[[0,1.5],[20,3],[60,4.5],[80,6]]",
    ),
    (
        "select sum(i) from cpu where R group by time(20s) fill(linear)",
        "\"time\",\"sum\"",
        "[[0,30],[20,30],[40,60],[60,90],[80,null]]",
    ),
    (
        "select count(v) from cpu where R group by time(20s)",
        "\"time\",\"count\"",
        "[[0,2],[20,1],[40,0],[60,2],[80,1]]",
    ),
    (
        "select max(v),host from cpu where R group by time(20s) fill(0)",
        "\"time\",\"max\",\"host\"",
        "[[0,2,\"a\"],[20,3,\"b\"],[40,0,0],[60,5,\"c\"],[80,6,0]]",
    ),
    (
        "select mean(v) from cpu where time>=5s and time<=65s group by time(20s,5s)",
        "\"time\",\"mean\"",
        "[[5,2.5],[25,null],[45,4],[65,null]]",
    ),
    (
        "select distinct(s) from cpu where R group by time(20s)",
        "\"time\",\"distinct\"",
        "[[0,\"x\"],[0,\"y\"],[20,\"x\"],[60,\"z\"]]",
    ),
    ("select percentile(v,50),host from cpu", "\"time\",\"percentile\",\"host\"", "[[20,3,\"b\"]]"),
    (
        "select mean(v),count(v) from cpu where time >= 10s",
        "\"time\",\"mean\",\"count\"",
        "[[10,4,5]]",
    ),
    ("select v from cpu order by time desc limit 2", "\"time\",\"v\"", "[[80,6],[70,5]]"),
    ("select v from cpu where host = '' or i > 40", "\"time\",\"v\"", "[[70,5],[80,6]]"),
    (
        "select v + i from cpu where host != 'a'",
        "\"time\",\"v_i\"",
        "[[20,33],[60,44],[70,55],[80,null]]",
    ),
    (
        "select derivative(mean(v)) from cpu where R group by time(20s)",
        "\"time\",\"derivative\"",
        "[[20,1.5],[60,0.75],[80,1.5]]",
    ),
    (
        "select derivative(mean(v)) from cpu where R group by time(20s) fill(0)",
        "\"time\",\"derivative\"",
        "[[0,1.5],[20,1.5],[40,-3],[60,4.5],[80,1.5]]",
    ),
    (
        "select difference(count(distinct(s))) from cpu where R group by time(20s)",
        "\"time\",\"difference\"",
        "[[0,2],[20,-1],[40,-1],[60,1],[80,-1]]",
    ),
    (
        "select moving_average(mean(v),2) from cpu where time>=60s and time<90s group by time(20s)",
        "\"time\",\"moving_average\"",
        "[[80,5.25]]",
    ),
    (
        "select top(v,2) from cpu where R group by time(30s)",
        "\"time\",\"top\"",
        "[[10,2],[20,3],[70,5],[80,6]]",
    ),
    (
        "select bottom(v,2), host from cpu",
        "\"time\",\"bottom\",\"host\"",
        "[[0,1,\"a\"],[10,2,\"a\"]]",
    ),
    ("select max(v) + min(v) from cpu", "\"time\",\"max_min\"", "[[0,7]]"),
    ("select v from cpu limit 2 offset 3", "\"time\",\"v\"", "[[60,4],[70,5]]"),
];

async fn check(cluster: &Cluster) {
    for (query, columns, values) in OF_CPU {
        let query = query.replace(" R ", " time >= 0 AND time < 90s ");
        assert_eq!(ask(cluster, &query).await, answer(&[(CPU, columns, values)]), "{query}");
    }
    for query in ["select host from cpu", "select nope from cpu", "select v from nope"] {
        assert_eq!(ask(cluster, query).await, EMPTY, "{query}");
    }
    let tags = |host: &str| format!("{CPU},\"tags\":{{\"host\":\"{host}\"}}");
    let (a, b, c, none) = (tags("a"), tags("b"), tags("c"), tags(""));
    let columns = "\"time\",\"v\"";
    let expected = answer(&[
        (&c, columns, "[[70,5]]"),
        (&b, columns, "[[60,4],[20,3]]"),
        (&a, columns, "[[10,2],[0,1]]"),
        (&none, columns, "[[80,6]]"),
    ]);
    let query = "select v from cpu group by host order by time desc";
    assert_eq!(ask(cluster, query).await, expected);
    let expected =
        answer(&[(&a, "\"time\",\"sum\"", "[[0,3]]"), (&b, "\"time\",\"sum\"", "[[0,7]]")]);
    let query = "select sum(v) from cpu group by host slimit 2 soffset 1";
    assert_eq!(ask(cluster, query).await, expected);
}

#[test]
fn golden_answers_from_the_head_and_from_files() {
    for seed in [1, 2] {
        let sim = Sim::new(seed);
        sim.run(async {
            let clusters = start(&sim, 1 + seed as u32).await;
            let cluster = &clusters[0];
            assert_eq!(ask(cluster, "create database d").await, EMPTY);
            write(cluster, DATA).await;
            check(cluster).await;
            for shard in cluster.shards() {
                cluster.maintain(shard, Maintenance::Flush).await.unwrap();
            }
            check(cluster).await;
        })
        .unwrap();
    }
}

#[test]
fn names_are_listed_and_deleted() {
    let sim = Sim::new(9);
    sim.run(async {
        let clusters = start(&sim, 1).await;
        let cluster = &clusters[0];
        ask(cluster, "create database d").await;
        write(cluster, DATA).await;
        let listing = |name: &str, columns, values| answer(&[(name, columns, values)]);
        let measurements = |values| listing("\"name\":\"measurements\"", "\"name\"", values);
        let query = "show measurements";
        assert_eq!(ask(cluster, query).await, measurements("[[\"cpu\"],[\"mem\"]]"));
        let query = "show measurements where region != 'eu'";
        assert_eq!(ask(cluster, query).await, EMPTY);
        let query = "show tag values from cpu with key = host where region = 'us'";
        let expected = listing(CPU, "\"key\",\"value\"", "[[\"host\",\"a\"],[\"host\",\"b\"]]");
        assert_eq!(ask(cluster, query).await, expected);
        let query = "show field keys from mem";
        let expected =
            listing("\"name\":\"mem\"", "\"fieldKey\",\"fieldType\"", "[[\"free\",\"integer\"]]");
        assert_eq!(ask(cluster, query).await, expected);
        assert_eq!(ask(cluster, "delete from cpu where host = 'a'").await, EMPTY);
        assert_eq!(ask(cluster, "drop series from cpu where host = ''").await, EMPTY);
        let count = answer(&[(CPU, "\"time\",\"count\"", "[[0,3]]")]);
        assert_eq!(ask(cluster, "select count(v) from cpu").await, count);
        assert_eq!(ask(cluster, "drop measurement cpu").await, EMPTY);
        assert_eq!(ask(cluster, "show measurements").await, measurements("[[\"mem\"]]"));
        assert_eq!(ask(cluster, "select * from cpu").await, EMPTY);
    })
    .unwrap();
}

#[test]
fn a_failure_ends_the_query() {
    let sim = Sim::new(3);
    sim.run(async {
        let clusters = start(&sim, 1).await;
        let cluster = &clusters[0];
        let query = "show databases; select v from nope..m; show databases";
        let expected = concat!(
            r#"{"results":[{"statement_id":0,"series":[{"name":"databases","#,
            r#""columns":["name"]}]},{"statement_id":1,"error":"not executed"}]}"#,
            "\n"
        );
        assert_eq!(ask(cluster, query).await, expected);
        let query = "select v from nope..m";
        let expected =
            "{\"results\":[{\"statement_id\":0,\"error\":\"database not found: nope\"}]}\n";
        assert_eq!(ask(cluster, query).await, expected);
    })
    .unwrap();
}
