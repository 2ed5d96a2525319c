//! What is sent: a fleet of hosts with ten tags each (as TSBS devops cpu-only has them) and fields
//! that move a little from point to point, as rows in order of time.
//!
//! In: the shape of the data and a seed. Out: rows; the same seed gives the same rows.

pub mod encode;

use clap::ValueEnum;

/// What values look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// A random walk of two decimals between 0 and 100.
    Float2,
    /// Any float between 0 and 100, with all its digits.
    Double,
    /// A random walk of integers between 0 and 100.
    Integer,
    /// An integer that mostly stays as it is.
    Gauge,
}

/// The shape of the data.
#[derive(Clone, Debug, clap::Args)]
pub struct Shape {
    /// What values look like.
    #[arg(long, value_enum, default_value = "float2")]
    pub kind: Kind,
    #[arg(long, default_value_t = 4000)]
    pub hosts: u32,
    #[arg(long, default_value_t = 10)]
    pub fields: u32,
    /// Points of each host.
    #[arg(long, default_value_t = 360)]
    pub points: u32,
    /// Seconds of data time between the points of a host.
    #[arg(long, default_value_t = 10)]
    pub step: i64,
    /// Time of the first point (seconds since 1970).
    #[arg(long, default_value_t = 1_700_000_000)]
    pub start: i64,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// A value as it is sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value {
    /// Hundredths.
    Hundredths(i64),
    Double(f64),
    Integer(i64),
}

/// The tags of a host, by name.
pub type Tags = Vec<(&'static str, String)>;

/// The generator's state: the row that comes next.
pub struct Workload {
    shape: Shape,
    random: u64,
    /// In hundredths, per host and field.
    values: Vec<i64>,
    hosts: Vec<Tags>,
    names: Vec<String>,
    host: u32,
    point: u32,
    row: Vec<Value>,
}

/// One point of one host.
pub struct Row<'a> {
    pub host: u32,
    pub tags: &'a Tags,
    /// Seconds since 1970.
    pub seconds: i64,
    pub names: &'a [String],
    pub values: &'a [Value],
}

/// The fields of TSBS devops cpu-only; the questions ask for them.
pub const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

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

impl Workload {
    /// Hosts with their tags, and fields at a random start.
    pub fn new(shape: &Shape) -> Workload {
        let field = |at: u32| match FIELDS.get(at as usize) {
            Some(name) => (*name).to_owned(),
            None => format!("usage_{at}"),
        };
        let mut workload = Workload {
            random: shape.seed,
            values: Vec::new(),
            hosts: Vec::new(),
            names: (0..shape.fields).map(field).collect(),
            host: 0,
            point: 0,
            row: Vec::new(),
            shape: shape.clone(),
        };
        for _ in 0..u64::from(shape.hosts) * u64::from(shape.fields) {
            let start = (workload.random() % 10_000) as i64;
            workload.values.push(start);
        }
        for host in 0..shape.hosts {
            let tags = workload.tags_of(host);
            workload.hosts.push(tags);
        }
        workload
    }

    /// The next row, in order of time and then host; `None` behind the last.
    pub fn row(&mut self) -> Option<Row<'_>> {
        if self.host >= self.shape.hosts {
            (self.host, self.point) = (0, self.point + 1);
        }
        if self.point >= self.shape.points || self.shape.hosts == 0 {
            return None;
        }
        let host = self.host;
        self.host += 1;
        self.row.clear();
        let first = host as usize * self.shape.fields as usize;
        for place in first..first + self.shape.fields as usize {
            let value = self.moved(place);
            self.row.push(value);
        }
        let seconds = self.shape.start + i64::from(self.point) * self.shape.step;
        let tags = self.hosts.get(host as usize)?;
        Some(Row { host, tags, seconds, names: &self.names, values: &self.row })
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn moved(&mut self, place: usize) -> Value {
        let random = self.random();
        let step = match self.shape.kind {
            Kind::Double => {
                return Value::Double((random >> 11) as f64 / (1u64 << 53) as f64 * 1e2);
            }
            Kind::Float2 => (random % 201) as i64 - 100,
            Kind::Integer => ((random % 3) as i64 - 1) * 100,
            Kind::Gauge if random.is_multiple_of(16) => ((random >> 8) % 3) as i64 * 100 - 100,
            Kind::Gauge => 0,
        };
        let Some(value) = self.values.get_mut(place) else { return Value::Integer(0) };
        *value = (*value + step).clamp(0, 10_000);
        match self.shape.kind {
            Kind::Float2 => Value::Hundredths(*value),
            _ => Value::Integer(*value / 100),
        }
    }

    fn tags_of(&mut self, host: u32) -> Tags {
        let region = REGIONS.get((self.random() % 9) as usize).copied().unwrap_or("nowhere");
        let zone = ["a", "b", "c"].get((self.random() % 3) as usize).copied().unwrap_or("a");
        let (rack, service) = (self.random() % 100, self.random() % 20);
        let team = ["SF", "NYC", "LON", "CHI"].get((service % 4) as usize).copied();
        let (version, wide) = (self.random() % 2, self.random().is_multiple_of(2));
        vec![
            ("arch", (if wide { "x64" } else { "x86" }).to_owned()),
            ("datacenter", format!("{region}{zone}")),
            ("hostname", format!("host_{host}")),
            ("os", "Ubuntu16.04LTS".to_owned()),
            ("rack", rack.to_string()),
            ("region", region.to_owned()),
            ("service", service.to_string()),
            ("service_environment", "production".to_owned()),
            ("service_version", version.to_string()),
            ("team", team.unwrap_or("SF").to_owned()),
        ]
    }
}
