//! Segment files of 4,000 series x 360 rows (10 s, one hour) x 10 two-decimal random walks.
//!
//! Prints, for each effort: writing per value and bytes per value; scans of one column over all
//! series and of all columns, from disk and from the block cache; one series' hour. Files lie in
//! the `target` folder of the build, in the real environment. Each figure is given as time on the
//! processor and as time passed, which on a busy machine differ. Run with `cargo bench --bench
//! segment`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use ringtail::codec::chunk::Effort;
use ringtail::env::Env;
use ringtail::env::real::{Core, RealEnv, io_memory, memlock_limit, run_on_core};
use ringtail::model::time::{DAY_NS, TimeRange};
use ringtail::model::{Column, ColumnId, FieldNo, FieldType, MeasurementId, PartitionId};
use ringtail::model::{SeriesId, Values};
use ringtail::shard::block::{Block, Run};
use ringtail::shard::cache::BlockCache;
use ringtail::shard::segment::{FileIdent, FileMeta, Reader, SectionKey, Select, Writer};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SERIES: u32 = 4000;
const ROWS: u32 = 360;
const COLUMNS: u32 = 10;
const STEP_NS: i64 = 10_000_000_000;
const DAY: i32 = 19_000;
/// Series in a block, so that a block is about what a flush hands over.
const BLOCK_SERIES: u32 = 40;
const LOOKUPS: u32 = 400;
const IDENT: FileIdent = FileIdent { store: 1, shard: 0, file_id: 1 };

fn main() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-segment");
    let _ = std::fs::remove_dir_all(&dir);
    assert!(std::fs::create_dir_all(&dir).is_ok());
    let core = Core {
        processor: None,
        name: "bench".into(),
        io_memory: io_memory(1, memlock_limit().unwrap_or(0)),
    };
    let folder = dir.clone();
    let ran = run_on_core(core, |env| async move {
        for effort in [Effort::Light, Effort::Pco] {
            measure(&env, &folder, effort).await;
        }
    });
    assert!(ran.and_then(|core| core.join()).is_ok());
    let _ = std::fs::remove_dir_all(&dir);
}

async fn measure(env: &RealEnv, dir: &Path, effort: Effort) {
    let path = dir.join(format!("{effort:?}.seg"));
    let (meta, spent) = write(env, &path, effort).await;
    let values = u64::from(SERIES * ROWS * COLUMNS);
    println!("{effort:?}: {} chunks, {} bytes", meta.sections[0].chunks, meta.bytes);
    println!("  write: {} ns a value", spent.per(values));
    println!("  bytes a value: {:.3}", meta.bytes as f64 / values as f64);
    let cache = Rc::new(BlockCache::new(256 << 20));
    let Ok(reader) = Reader::open(env, &path, IDENT, cache.clone()).await else { return };
    let one = Select { columns: Some([column_id(4)].into()), ..Select::all() };
    for (what, select) in [("one column", one.clone()), ("all columns", Select::all())] {
        for source in ["disk", "cache", "cache"] {
            let start = Clock::start();
            let found = scan(&reader, &select).await;
            println!("  scan of {what} from {source}: {} ns a value", start.spent().per(found));
        }
        cache.forget_file(IDENT.file_id);
    }
    for source in ["disk", "cache"] {
        let start = Clock::start();
        for n in 0..LOOKUPS {
            let series = Some([SeriesId(n * 7919 % SERIES)].into());
            assert_eq!(scan(&reader, &Select { series, ..one.clone() }).await, u64::from(ROWS));
        }
        let each = start.spent().per(u64::from(LOOKUPS));
        println!("  one series, one column, one hour, at first from {source}: {each} ns");
    }
    let fewer: Rc<[SeriesId]> = (0..SERIES).filter(|id| id % 10 == 0).map(SeriesId).collect();
    let first = i64::from(DAY) * DAY_NS;
    let range = TimeRange::new(first, first + 60 * STEP_NS);
    let start = Clock::start();
    let found = scan(&reader, &Select { series: Some(fewer), range, ..one }).await;
    println!("  every tenth series, 10 minutes: {} ns a value", start.spent().per(found));
}

async fn write(env: &RealEnv, path: &Path, effort: Effort) -> (FileMeta, Spent) {
    let key = SectionKey { partition: PartitionId(1), day: DAY, min_seq: 1, max_seq: 2 };
    let mut spent = Spent::default();
    let mut random = 1;
    let start = Clock::start();
    let mut writer = match Writer::create(env, path, IDENT).await {
        Ok(writer) => writer,
        Err(error) => unreachable!("{error}"),
    };
    assert!(writer.begin_section(key, effort).await.is_ok());
    spent.add(start.spent());
    for first in (0..SERIES).step_by(BLOCK_SERIES as usize) {
        let block = block(first, &mut random);
        let start = Clock::start();
        assert!(writer.push(&block).await.is_ok());
        spent.add(start.spent());
        env.yield_now().await;
    }
    let start = Clock::start();
    match writer.finish().await {
        Ok(meta) => {
            spent.add(start.spent());
            (meta, spent)
        }
        Err(error) => unreachable!("{error}"),
    }
}

/// Number of values a selection gives.
async fn scan(reader: &Rc<Reader<RealEnv>>, select: &Select) -> u64 {
    let mut cursor = reader.cursor(0, select.clone());
    let mut values = 0;
    while let Ok(Some(block)) = cursor.next().await {
        values += (block.rows() * block.columns.len()) as u64;
        std::hint::black_box(&block);
    }
    values
}

/// A moment, on the wall and in this thread's time on the processor.
struct Clock {
    wall: Instant,
    cpu_ns: u64,
}

/// Time between two moments (ns).
#[derive(Default)]
struct Spent {
    wall_ns: u64,
    cpu_ns: u64,
}

impl Clock {
    fn start() -> Clock {
        Clock { wall: Instant::now(), cpu_ns: cpu_ns() }
    }

    fn spent(&self) -> Spent {
        let wall_ns = self.wall.elapsed().as_nanos() as u64;
        Spent { wall_ns, cpu_ns: cpu_ns() - self.cpu_ns }
    }
}

impl Spent {
    fn add(&mut self, more: Spent) {
        self.wall_ns += more.wall_ns;
        self.cpu_ns += more.cpu_ns;
    }

    fn per(&self, count: u64) -> String {
        let each = |ns: u64| ns as f64 / count as f64;
        format!("{:.2} cpu, {:.2} wall", each(self.cpu_ns), each(self.wall_ns))
    }
}

/// What the scheduler has given this thread so far.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn column_id(n: u32) -> ColumnId {
    ColumnId::new(FieldNo(n + 1), FieldType::Float)
}

fn block(first: u32, random: &mut u64) -> Block {
    let start = i64::from(DAY) * DAY_NS;
    let mut block = Block::default();
    for series in first..first + BLOCK_SERIES {
        block.runs.push(Run {
            measurement: MeasurementId(1),
            series: SeriesId(series),
            start: block.times.len() as u32,
            rows: ROWS,
            step: STEP_NS,
        });
        block.times.extend((0..i64::from(ROWS)).map(|row| start + row * STEP_NS));
    }
    for n in 0..COLUMNS {
        let mut values = Vec::with_capacity(block.times.len());
        for _ in 0..BLOCK_SERIES {
            let mut at = 5000.0;
            for _ in 0..ROWS {
                *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // A step of about a standard deviation of 0.6, two decimals, between 0 and 100.
                let step = (*random >> 33) % 201;
                at = (at + step as f64 - 100.0_f64).clamp(0.0, 10_000.0);
                values.push(at / 100.0);
            }
        }
        block.columns.push(Column {
            id: column_id(n),
            values: Values::Float(values),
            validity: None,
        });
    }
    block
}
