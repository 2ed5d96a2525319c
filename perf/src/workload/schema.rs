//! What the workloads hold: measurements, their fields and how each field moves, and tags.
//!
//! In: which workload. Out: the schema, and the tags of a host by its number. `devops` and `iot`
//! follow the data sets of the Time Series Benchmark Suite: the same measurements, fields and tags.

use super::random::Random;
use super::{FIELDS, Set, Shape};

/// How a field moves from point to point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moves {
    /// As `--kind` says.
    Chosen,
    /// An integer that grows by 0 to this.
    Counter(i64),
    /// An integer between 0 and `max` that moves by at most `step`.
    Level { max: i64, step: i64 },
    /// Two decimals between 0 and `max`, both in hundredths.
    Decimal { max: i64, step: i64 },
    /// Five decimals (a place on earth), both in 1/100,000.
    Place { max: i64, step: i64 },
    /// An integer that never changes.
    Fixed(i64),
    /// A speed between 0 and `max`, with times of standing still about as long as those of driving.
    Speed { max: i64, step: i64 },
    /// A share of what the truck can carry, in thousandths, that moves by at most `step`; sent as
    /// the weight.
    Load { step: i64 },
    /// What its model says of a truck.
    Model(Figure),
}

/// A figure of a truck's model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figure {
    LoadCapacity,
    FuelCapacity,
    FuelConsumption,
}

/// Models of trucks: name, then the figures in the order of `Figure`.
const MODELS: [(&str, [i64; 3]); 3] =
    [("F-150", [2_000, 200, 15]), ("G-2000", [5_000, 300, 19]), ("H-2", [1_500, 150, 12])];
/// Fleets of trucks.
pub const FLEETS: [&str; 4] = ["East", "West", "North", "South"];

/// A measurement: its name, fields, and the tags it has beside those of the host.
#[derive(Clone, Debug)]
pub struct Measurement {
    pub name: String,
    pub fields: Vec<String>,
    pub moves: Vec<Moves>,
    extra: &'static [(&'static str, Extra)],
}

/// A tag that only one measurement has.
#[derive(Clone, Copy, Debug)]
enum Extra {
    /// A number of its own for each host.
    Number(u64),
    OneOf(&'static [&'static str]),
}

/// All of a workload.
#[derive(Clone, Debug)]
pub struct Schema {
    pub measurements: Vec<Measurement>,
    /// The tag that tells hosts apart.
    pub host_tag: &'static str,
    set: Set,
}

/// The tags of a host, by name.
pub type Tags = Vec<(&'static str, String)>;

type Fields = &'static [(&'static str, Moves)];

const PERCENT: Moves = Moves::Decimal { max: 10_000, step: 100 };
const BYTES: Moves = Moves::Level { max: 32 << 30, step: 1 << 24 };
const FEW: Moves = Moves::Level { max: 100, step: 2 };
const SLOW: Moves = Moves::Counter(20);
const FAST: Moves = Moves::Counter(100_000);

const DISKIO: Fields = &[
    ("reads", SLOW),
    ("writes", SLOW),
    ("read_bytes", FAST),
    ("write_bytes", FAST),
    ("read_time", SLOW),
    ("write_time", SLOW),
    ("io_time", SLOW),
];
const DISK: Fields = &[
    ("total", Moves::Fixed(1 << 40)),
    ("free", BYTES),
    ("used", BYTES),
    ("used_percent", Moves::Level { max: 100, step: 1 }),
    ("inodes_total", Moves::Fixed(1 << 28)),
    ("inodes_free", Moves::Level { max: 1 << 28, step: 500 }),
    ("inodes_used", Moves::Level { max: 1 << 28, step: 500 }),
];
const KERNEL: Fields = &[
    ("boot_time", Moves::Fixed(1_600_000_000)),
    ("interrupts", SLOW),
    ("context_switches", SLOW),
    ("processes_forked", SLOW),
    ("disk_pages_in", SLOW),
    ("disk_pages_out", SLOW),
];
const MEM: Fields = &[
    ("total", Moves::Fixed(32 << 30)),
    ("available", BYTES),
    ("used", BYTES),
    ("free", BYTES),
    ("cached", BYTES),
    ("buffered", BYTES),
    ("used_percent", PERCENT),
    ("available_percent", PERCENT),
    ("buffered_percent", PERCENT),
];
const NET: Fields = &[
    ("bytes_sent", FAST),
    ("bytes_recv", FAST),
    ("packets_sent", SLOW),
    ("packets_recv", SLOW),
    ("err_in", SLOW),
    ("err_out", SLOW),
    ("drop_in", SLOW),
    ("drop_out", SLOW),
];
const NGINX: Fields = &[
    ("accepts", SLOW),
    ("active", FEW),
    ("handled", SLOW),
    ("reading", FEW),
    ("requests", SLOW),
    ("waiting", FEW),
    ("writing", FEW),
];
const POSTGRESL: Fields = &[
    ("numbackends", FEW),
    ("xact_commit", SLOW),
    ("xact_rollback", SLOW),
    ("blks_read", SLOW),
    ("blks_hit", SLOW),
    ("tup_returned", SLOW),
    ("tup_fetched", SLOW),
    ("tup_inserted", SLOW),
    ("tup_updated", SLOW),
    ("tup_deleted", SLOW),
    ("conflicts", FEW),
    ("temp_files", FEW),
    ("temp_bytes", BYTES),
    ("deadlocks", FEW),
    ("blk_read_time", SLOW),
    ("blk_write_time", SLOW),
];
const REDIS: Fields = &[
    ("uptime_in_seconds", Moves::Counter(20)),
    ("total_connections_received", SLOW),
    ("expired_keys", SLOW),
    ("evicted_keys", SLOW),
    ("keyspace_hits", SLOW),
    ("keyspace_misses", SLOW),
    ("instantaneous_ops_per_sec", FEW),
    ("instantaneous_input_kbps", FEW),
    ("instantaneous_output_kbps", FEW),
    ("connected_clients", FEW),
    ("used_memory", BYTES),
    ("used_memory_rss", BYTES),
    ("used_memory_peak", BYTES),
    ("used_memory_lua", BYTES),
    ("rdb_changes_since_last_save", SLOW),
    ("sync_full", FEW),
    ("sync_partial_ok", FEW),
    ("sync_partial_err", FEW),
    ("pubsub_channels", FEW),
    ("pubsub_patterns", FEW),
    ("latest_fork_usec", FEW),
    ("connected_slaves", FEW),
    ("master_repl_offset", FEW),
    ("repl_backlog_active", FEW),
    ("repl_backlog_size", BYTES),
    ("repl_backlog_histlen", FEW),
    ("mem_fragmentation_ratio", FEW),
    ("used_cpu_sys", FEW),
    ("used_cpu_user", FEW),
    ("used_cpu_sys_children", FEW),
    ("used_cpu_user_children", FEW),
];
// Numbers of a truck are fields beside its readings, for a tag cannot be reckoned with.
const LOAD_CAPACITY: (&str, Moves) = ("load_capacity", Moves::Model(Figure::LoadCapacity));
const FUEL_CAPACITY: (&str, Moves) = ("fuel_capacity", Moves::Model(Figure::FuelCapacity));
const FUEL_CONSUMPTION: (&str, Moves) =
    ("nominal_fuel_consumption", Moves::Model(Figure::FuelConsumption));
const READINGS: Fields = &[
    ("latitude", Moves::Place { max: 9_000_000, step: 500 }),
    ("longitude", Moves::Place { max: 18_000_000, step: 500 }),
    ("elevation", Moves::Level { max: 5_000, step: 10 }),
    ("velocity", Moves::Speed { max: 100, step: 5 }),
    ("heading", Moves::Level { max: 360, step: 5 }),
    ("grade", Moves::Level { max: 100, step: 5 }),
    ("fuel_consumption", Moves::Decimal { max: 5_000, step: 100 }),
    LOAD_CAPACITY,
    FUEL_CAPACITY,
    FUEL_CONSUMPTION,
];
const DIAGNOSTICS: Fields = &[
    ("fuel_state", Moves::Decimal { max: 100, step: 1 }),
    ("current_load", Moves::Load { step: 10 }),
    ("status", Moves::Level { max: 5, step: 1 }),
    LOAD_CAPACITY,
    FUEL_CAPACITY,
    FUEL_CONSUMPTION,
];

const PATHS: Extra = Extra::OneOf(&["/dev/sda0", "/dev/sda1", "/dev/sda2", "/dev/sda3"]);
const KINDS: Extra = Extra::OneOf(&["ext3", "ext4", "btrfs"]);
const PORT: Extra = Extra::Number(10_000);
const LINKS: Extra = Extra::OneOf(&["eth0", "eth1", "eth2", "eth3"]);
const SERIAL: Extra = Extra::Number(1_000_000);

const REGIONS: [&str; 9] = [
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
];

impl Measurement {
    fn listed(name: &str, fields: Fields, extra: &'static [(&'static str, Extra)]) -> Measurement {
        Measurement {
            name: name.to_owned(),
            fields: fields.iter().map(|(name, _)| (*name).to_owned()).collect(),
            moves: fields.iter().map(|(_, moves)| *moves).collect(),
            extra,
        }
    }

    /// Tags of a host that only this measurement has.
    pub fn extra_of(&self, seed: u64, host: u32) -> Tags {
        let mut random = Random::of_host(seed ^ 0x45_78_74_72_61, host);
        let value = |random: &mut Random, extra: &Extra| match extra {
            Extra::Number(below) => random.below(*below).to_string(),
            Extra::OneOf(list) => random.one_of(list).to_owned(),
        };
        self.extra.iter().map(|(name, extra)| (*name, value(&mut random, extra))).collect()
    }
}

impl Schema {
    /// What `shape` asks for.
    pub fn new(shape: &Shape) -> Schema {
        let chosen = |name: String, fields: Vec<String>| {
            let moves = vec![Moves::Chosen; fields.len()];
            Measurement { name, fields, moves, extra: &[] }
        };
        let cpu = |fields| chosen("cpu".to_owned(), (0..fields).map(field).collect());
        let measurements = match shape.workload {
            Set::Cpu => vec![cpu(shape.fields)],
            Set::Gauges => {
                let gauge = |at| chosen(format!("cpu_{}", field(at)), vec!["value".to_owned()]);
                (0..shape.fields).map(gauge).collect()
            }
            Set::Devops => vec![
                cpu(FIELDS.len() as u32),
                Measurement::listed("diskio", DISKIO, &[("serial", SERIAL)]),
                Measurement::listed("disk", DISK, &[("path", PATHS), ("fstype", KINDS)]),
                Measurement::listed("kernel", KERNEL, &[]),
                Measurement::listed("mem", MEM, &[]),
                Measurement::listed("net", NET, &[("interface", LINKS)]),
                Measurement::listed("nginx", NGINX, &[("port", PORT), ("server", SERIAL)]),
                Measurement::listed("postgresl", POSTGRESL, &[]),
                Measurement::listed("redis", REDIS, &[("port", PORT), ("server", SERIAL)]),
            ],
            Set::Iot => vec![
                Measurement::listed("readings", READINGS, &[]),
                Measurement::listed("diagnostics", DIAGNOSTICS, &[]),
            ],
        };
        let host_tag = if shape.workload == Set::Iot { "name" } else { "hostname" };
        Schema { measurements, host_tag, set: shape.workload }
    }

    /// Fields of all measurements.
    pub fn fields(&self) -> usize {
        self.measurements.iter().map(|measurement| measurement.fields.len()).sum()
    }

    /// The value of the tag that tells a host from the others.
    pub fn host_name(&self, host: u32) -> String {
        format!("{}_{host}", if self.set == Set::Iot { "truck" } else { "host" })
    }

    /// The tags that all measurements of a host have, ordered by name.
    pub fn tags_of(&self, seed: u64, host: u32) -> Tags {
        let mut random = Random::of_host(seed, host);
        let name = self.host_name(host);
        match self.set {
            Set::Cpu | Set::Devops => server(&mut random, name),
            Set::Gauges => vec![
                ("datacenter", random.one_of(&REGIONS).to_owned()),
                ("hostname", name),
                ("rack", random.below(100).to_string()),
            ],
            Set::Iot => truck(&mut random, name),
        }
    }
}

fn field(at: u32) -> String {
    match FIELDS.get(at as usize) {
        Some(name) => (*name).to_owned(),
        None => format!("usage_{at}"),
    }
}

fn server(random: &mut Random, name: String) -> Tags {
    let region = random.one_of(&REGIONS);
    let zone = random.one_of(&["a", "b", "c"]);
    vec![
        ("arch", random.one_of(&["x64", "x86"]).to_owned()),
        ("datacenter", format!("{region}{zone}")),
        ("hostname", name),
        ("os", "Ubuntu16.04LTS".to_owned()),
        ("rack", random.below(100).to_string()),
        ("region", region.to_owned()),
        ("service", random.below(20).to_string()),
        ("service_environment", "production".to_owned()),
        ("service_version", random.below(2).to_string()),
        ("team", random.one_of(&["SF", "NYC", "LON", "CHI"]).to_owned()),
    ]
}

fn truck(random: &mut Random, name: String) -> Tags {
    let (model, _) = model(random);
    vec![
        ("device_version", random.one_of(&["v1.0", "v1.5", "v2.0", "v2.3"]).to_owned()),
        (
            "driver",
            random.one_of(&["Derek", "Rodney", "Albert", "Andy", "Seth", "Trish"]).to_owned(),
        ),
        ("fleet", random.one_of(&FLEETS).to_owned()),
        ("model", model.to_owned()),
        ("name", name),
    ]
}

/// The first thing drawn for a truck.
fn model(random: &mut Random) -> (&'static str, [i64; 3]) {
    let drawn = random.below(MODELS.len() as u64) as usize;
    MODELS.get(drawn).copied().unwrap_or_default()
}

/// What the model of a truck says, by `Figure`.
pub fn figures_of(seed: u64, host: u32) -> [i64; 3] {
    model(&mut Random::of_host(seed, host)).1
}
