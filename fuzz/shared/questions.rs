//! What the targets of queries share: a server in the simulator with a little of every type of data,
//! asked again and again. In: a body for one of its paths. Out: an answer, soon; or a panic.

#[path = "../../tests/common/engine.rs"]
mod engine;

use engine::Engine;

/// Few rows, but of every type, on both shards, over two days, in the measurements that the recorded
/// statements of `tests/queries` ask.
const LINES: &str = "\
cpu,host=a,region=us v=1,i=10i,s=\"x\",b=true 0
cpu,host=b,region=us v=3.25,i=-9223372036854775808i,s=\"x\",b=true 20000000000
cpu,host=c v=-1e300,i=9223372036854775807i 70000000000
cpu v=6 80000000000
m,host=a,dc=1 v=1.5,i=1i,s=\"x\",b=true 1000000000
m,host=b,dc=2 v=1.79,i=6i,s=\"y\",b=false 9000000000
m,host=b,dc=2 v=-3.71,i=-6i,b=true 86400000000000
mem,host=a free=100i,v=\"text\" 0
";

thread_local! {
    static ENGINE: Engine = engine();
}

fn engine() -> Engine {
    let engine = Engine::new(
        "[query]\nmemory = \"4m\"\nmax-buckets = 2000\nmax-points = 1000\n\
         [kairosdb]\nsave-as = false\n",
    );
    let post = |path: &str, body: &str| engine.post(path, body.as_bytes());
    assert_eq!(post("/query?q=CREATE+DATABASE+d", "").0, 200);
    for line in LINES.lines() {
        let (status, text) = post("/write?db=d", line);
        assert_eq!(status, 204, "{line}: {}", String::from_utf8_lossy(&text));
        // A part of the rows lies in files, the other in memory.
        if line.starts_with("cpu v=") {
            assert_eq!(post("/debug/maintain?work=flush", "").0, 204);
        }
    }
    engine
}

/// Asks; the answer must come within so many turns of the simulator's tasks.
pub fn ask(path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    ENGINE.with(|engine| {
        engine.sim.set_step_limit(200_000);
        engine.post(path, body)
    })
}
