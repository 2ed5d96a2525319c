//! The mean of one field by hour and series, on one shard: nanoseconds a value.
//!
//! In: `SCAN_SERIES` (default 400) series x 12 h at 10 s, in the simulator, whose disk is memory;
//! so decoding, merging and adding are measured, not the disk. Read from the head, from a light
//! segment, from a packed one, and from a segment that a head overlaps. Out: a line for each,
//! processor time of the best of some runs.

mod hours;

use hours::{Outcome, options, question, write};
use ringtail::env::sim::{ROOT, SimEnv, test};
use ringtail::model::ShardId;
use ringtail::shard::Shard;
use ringtail::shard::scan::run;
use ringtail::shard::store::Store;
use std::path::Path;
use std::time::Instant;

const ROWS: i64 = 12 * 360;
/// Rows of each series in a write.
const WRITE_ROWS: i64 = 60;

async fn measure(name: &str, shard: &Shard<SimEnv>) -> Outcome<()> {
    let request = question();
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let start = Instant::now();
        let summary = run(shard, &request, async |_| true, || false).await?;
        best = best.min(start.elapsed().as_nanos() as f64 / summary.rows.max(1) as f64);
    }
    println!("{name:<32} {best:>8.2} ns/value");
    Ok(())
}

async fn all(env: SimEnv) -> Outcome<()> {
    let series = std::env::var("SCAN_SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let store = Store { id: 7, shards: 1, epoch: 1 };
    let shard = Shard::open(&env, Path::new(ROOT), &store, ShardId(0), options()).await?.shard;
    for from in (0..ROWS).step_by(WRITE_ROWS as usize) {
        write(&shard, series, from, from + WRITE_ROWS).await?;
    }
    measure("head", &shard).await?;
    shard.flush().await?;
    measure("light segment", &shard).await?;
    shard.compact().await?;
    measure("packed segment", &shard).await?;
    write(&shard, series, ROWS - WRITE_ROWS, ROWS).await?;
    measure("packed segment under a head", &shard).await
}

fn main() -> Outcome<()> {
    test(1, all)?
}
