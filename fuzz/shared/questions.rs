//! What the targets of queries share: a server in the simulator with a little of every type of data,
//! asked again and again. In: a body for one of its paths. Out: an answer, soon; or a panic.

#[path = "../../tests/common/engine.rs"]
mod engine;

use engine::Engine;

/// Few rows, but of every type, on both shards, over two days, some on disk and some not.
const LINES: &str = "\
cpu,host=a,dc=x u=1.5,n=1i,s=\"one\",b=true 1704060000000000000
cpu,host=b,dc=x u=2.5,n=2i,s=\"two\" 1704060010000000000
cpu,host=c u=-3.5,n=-9223372036854775808i,b=false 1704060020000000000
cpu,host=a,dc=x u=4.25,n=9223372036854775807i 1704063600000000000
cpu,host=b,dc=y u=1e300 1703970000000000000
mem,host=a free=1i,u=\"text\" 1704060000000000000
mem,host=b free=2i,u=\"other\" 1704060000000000000
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
        if line.contains("host=c") {
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
