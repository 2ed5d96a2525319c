//! The hot kernels one at a time, for counting instructions: what `scripts/kernels` runs.
//!
//! `kernels --list` prints each kernel's name, the elements of a round and the rounds to count;
//! `kernels NAME ROUNDS` prepares, then does so many rounds of the same work. Everything is made
//! from fixed seeds, so the instructions of two runs differ by those of the rounds alone. Nothing
//! here uses the runtime, whose io_uring the counting tool does not know.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a benchmark; helpers are shared with others"
)]

mod answers;
#[path = "../../tests/common/decoding.rs"]
mod decoding;
#[path = "../hours/mod.rs"]
mod hours;
mod lines;
mod store;

/// A kernel: prepares, then does the given number of rounds.
struct Kernel {
    name: &'static str,
    /// What one is, for the table.
    unit: &'static str,
    /// Of a round.
    elements: u64,
    /// Rounds that are counted.
    rounds: u64,
    run: fn(u64),
}

const fn kernel(
    name: &'static str,
    (elements, unit): (u64, &'static str),
    rounds: u64,
    run: fn(u64),
) -> Kernel {
    Kernel { name, unit, elements, rounds, run }
}

const KERNELS: &[Kernel] = &[
    kernel("decode/line", (lines::ROWS, "line"), 4, lines::influx),
    kernel("decode/telnet", (lines::ROWS, "line"), 4, lines::telnet),
    kernel("decode/graphite", (lines::ROWS, "line"), 4, lines::graphite),
    kernel("decode/pickle", (lines::ROWS, "point"), 4, lines::pickle),
    kernel("decode/kairos", (lines::ROWS, "point"), 4, lines::kairos),
    kernel("decode/kairos-batched", (lines::ROWS, "point"), 4, lines::kairos_batched),
    kernel("log/put-rows", (store::RECORD_VALUES, "value"), 4, store::record_put),
    kernel("log/get-rows", (store::RECORD_VALUES, "value"), 4, store::record_get),
    kernel("head/append-1", (store::HEAD_ROWS, "value"), 1, store::append_narrow),
    kernel("head/append-10", (store::HEAD_ROWS * 10, "value"), 1, store::append_wide),
    kernel("head/gather", (store::HEAD_ROWS, "row"), 2, store::gather),
    kernel("merge/disjoint", (store::MERGE_ROWS, "row"), 4, store::merge_disjoint),
    kernel("merge/overwritten", (store::MERGE_ROWS, "row"), 4, store::merge_overwritten),
    kernel("chunk/floats-light-in", (store::CHUNK_ROWS, "value"), 2, store::floats_light_in),
    kernel("chunk/floats-light-out", (store::CHUNK_ROWS, "value"), 4, store::floats_light_out),
    kernel("chunk/floats-packed-in", (store::CHUNK_ROWS, "value"), 1, store::floats_packed_in),
    kernel("chunk/floats-packed-out", (store::CHUNK_ROWS, "value"), 4, store::floats_packed_out),
    kernel("chunk/integers-light-in", (store::CHUNK_ROWS, "value"), 2, store::integers_light_in),
    kernel("chunk/integers-light-out", (store::CHUNK_ROWS, "value"), 4, store::integers_light_out),
    kernel("chunk/integers-packed-in", (store::CHUNK_ROWS, "value"), 1, store::integers_packed_in),
    kernel(
        "chunk/integers-packed-out",
        (store::CHUNK_ROWS, "value"),
        4,
        store::integers_packed_out,
    ),
    kernel("index/define", (store::SERIES, "series"), 1, store::define),
    kernel("index/look-up", (store::SERIES, "series"), 2, store::look_up),
    kernel("index/select-regex", (store::SERIES, "series"), 2, store::select_regex),
    kernel("index/group", (store::SERIES, "series"), 2, store::group),
    kernel("scan/head", (store::SCAN_ROWS, "value"), 2, store::scan_head),
    kernel("scan/light", (store::SCAN_ROWS, "value"), 2, store::scan_light),
    kernel("scan/packed", (store::SCAN_ROWS, "value"), 2, store::scan_packed),
    kernel("scan/packed-under-head", (store::SCAN_ROWS, "value"), 2, store::scan_overlapped),
    kernel("influxql/parse", (1, "query"), 20, answers::parse),
    kernel("encode/json", (answers::CELLS, "cell"), 4, answers::json),
    kernel("encode/csv", (answers::CELLS, "cell"), 4, answers::csv),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let found = words.first().and_then(|name| KERNELS.iter().find(|one| one.name == name));
    match (found, words.get(1).and_then(|rounds| rounds.parse().ok())) {
        (Some(kernel), Some(rounds)) => (kernel.run)(rounds),
        _ => {
            for Kernel { name, unit, elements, rounds, .. } in KERNELS {
                println!("{name} {elements} {unit} {rounds}");
            }
        }
    }
}
