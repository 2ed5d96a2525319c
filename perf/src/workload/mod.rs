//! What is sent: a fleet of hosts whose fields move a little from point to point, as rows.
//!
//! In: the shape of the data and a seed. Out: rows in order of time and then host, but for the
//! share that is held back or sent twice (`disorder`); the same shape gives the same rows. Values,
//! disorder and tags have streams of random numbers of their own, so that one does not move the
//! others.

mod disorder;
pub mod encode;
mod random;
mod schema;
#[cfg(test)]
pub mod tests;

use clap::ValueEnum;
use disorder::{Disorder, Sent};
pub use random::Random;
pub use schema::{FLEETS, Measurement, Schema, Tags};
use schema::{Figure, Moves};
use std::rc::Rc;

/// What values look like where the workload leaves that open.
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

/// How far a value of two decimals or an integer moves from point to point.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Steps {
    /// Up to 1 either way, all steps alike: 0.96 bytes of news a value with two decimals, 0.2 of
    /// an integer.
    Even,
    /// By the normal distribution with deviation 1, as TSBS has it: 1.08 bytes and 0.27 bytes.
    Normal,
}

/// Which measurements there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Set {
    /// One measurement with `--fields` fields, ten tags.
    Cpu,
    /// Nine measurements of a server (101 fields).
    Devops,
    /// Trucks: readings and diagnostics (16 fields).
    Iot,
    /// `--fields` measurements with one field, three tags.
    Gauges,
}

/// The shape of the data.
#[derive(Clone, PartialEq, Debug, clap::Args)]
pub struct Shape {
    /// Which measurements there are.
    #[arg(long, value_enum, default_value = "cpu")]
    pub workload: Set,
    /// What values look like (cpu and gauges).
    #[arg(long, value_enum, default_value = "float2")]
    pub kind: Kind,
    /// How far values move (float2 and integer of cpu and gauges).
    #[arg(long, value_enum, default_value = "even")]
    pub steps: Steps,
    /// Hosts (or trucks) at any time; each has tags of its own.
    #[arg(long, default_value_t = 4000)]
    pub hosts: u32,
    /// Fields of a host (cpu and gauges).
    #[arg(long, default_value_t = 10)]
    pub fields: u32,
    /// Points of each host; 0 = no end.
    #[arg(long, default_value_t = 360)]
    pub points: u32,
    /// Seconds of data time between the points of a host.
    #[arg(long, default_value_t = 10)]
    pub step: i64,
    /// Time of the first point (seconds since 1970).
    #[arg(long, default_value_t = 1_700_000_000)]
    pub start: i64,
    /// The same seed gives the same data.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Share of rows (0 to 1) that are sent one to ten points later than their turn is.
    #[arg(long, default_value_t = 0.0)]
    pub out_of_order: f64,
    /// Share of rows (0 to 1) that are sent a second time, up to ten points later.
    #[arg(long, default_value_t = 0.0)]
    pub duplicates: f64,
    /// Share of hosts that other ones replace in an hour of data time.
    #[arg(long, default_value_t = 0.0)]
    pub churn: f64,
}

/// A value as it is sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value {
    /// Hundredths.
    Hundredths(i64),
    Double(f64),
    Integer(i64),
}

/// A host as it is now in its slot.
#[derive(Debug)]
struct Host {
    number: u32,
    tags: Tags,
    /// A list for each measurement.
    extra: Vec<Tags>,
    /// What its model says of a truck.
    figures: [i64; 3],
}

/// The generator's state: the row that comes next.
pub struct Workload {
    shape: Shape,
    schema: Schema,
    random: Random,
    disorder: Disorder,
    /// Per slot, measurement and field.
    values: Vec<i64>,
    slots: Vec<Rc<Host>>,
    /// Hosts that were replaced so far.
    replaced: u32,
    point: u32,
    slot: usize,
    measurement: usize,
    /// Place in `values` of the next row.
    place: usize,
    row: Sent,
}

/// One point of one host in one measurement.
pub struct Row<'a> {
    pub host: u32,
    /// Place of the measurement in the schema.
    pub nth: usize,
    pub measurement: &'a Measurement,
    /// The host's tags, then those only this measurement has.
    pub tags: [&'a Tags; 2],
    /// Seconds since 1970.
    pub seconds: i64,
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

impl Value {
    /// The number that a server stores for it.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::Hundredths(value) => value as f64 / 100.0,
            Value::Double(value) => value,
            Value::Integer(value) => value as f64,
        }
    }
}

impl Shape {
    /// Values in all, about: how many rows are sent twice is left to chance. 0 = no end.
    pub fn values(&self) -> u64 {
        let fields = Schema::new(self).fields() as u64;
        let values = u64::from(self.hosts) * fields * u64::from(self.points);
        (values as f64 * (1.0 + self.duplicates)) as u64
    }

    /// Points that hold at least so many values; 0 = no end, for 0 and for more than can be.
    pub fn points_for(&self, values: u64) -> u32 {
        let per_point = Shape { points: 1, ..self.clone() }.values().max(1);
        match values {
            0 => 0,
            // The last request may be a whole one more a connection.
            values => u32::try_from(values.saturating_mul(11) / 10 / per_point + 2).unwrap_or(0),
        }
    }
}

impl Workload {
    /// Hosts with their tags, and fields at a random start.
    pub fn new(shape: &Shape) -> Workload {
        let schema = Schema::new(shape);
        let mut random = Random::new(shape.seed);
        let mut values = Vec::with_capacity(schema.fields() * shape.hosts as usize);
        for _ in 0..shape.hosts {
            let moves = schema.measurements.iter().flat_map(|measurement| &measurement.moves);
            values.extend(moves.map(|moves| first(*moves, &mut random)));
        }
        let mut workload = Workload {
            disorder: Disorder::new(shape),
            slots: Vec::new(),
            replaced: 0,
            point: 0,
            slot: 0,
            measurement: 0,
            place: 0,
            row: Sent::default(),
            shape: shape.clone(),
            schema,
            random,
            values,
        };
        for number in 0..shape.hosts {
            let host = workload.host(number);
            workload.slots.push(host);
        }
        workload
    }

    /// The next row; `None` behind the last.
    pub fn row(&mut self) -> Option<Row<'_>> {
        loop {
            if let Some(late) = self.disorder.due() {
                self.row = late;
                break;
            }
            let last = self.shape.points.checked_sub(1).unwrap_or(u32::MAX);
            if self.point > last || self.slots.is_empty() || self.schema.fields() == 0 {
                return None;
            }
            if self.slot == self.slots.len() {
                self.disorder.end_point(self.point);
                (self.slot, self.place) = (0, 0);
                self.point = self.point.checked_add(1)?;
                self.replace();
                continue;
            }
            self.advance();
            if self.disorder.pass(&self.row, self.point, last) {
                break;
            }
        }
        let Sent { host, measurement: nth, seconds, values } = &self.row;
        let host = host.as_ref()?;
        let measurement = self.schema.measurements.get(*nth)?;
        let tags = [&host.tags, host.extra.get(*nth)?];
        Some(Row { host: host.number, nth: *nth, measurement, tags, seconds: *seconds, values })
    }

    /// Makes the row whose turn it is.
    fn advance(&mut self) {
        let (Some(host), Some(measurement)) =
            (self.slots.get(self.slot), self.schema.measurements.get(self.measurement))
        else {
            return;
        };
        self.row.host = Some(host.clone());
        self.row.measurement = self.measurement;
        self.row.seconds = self.shape.start + i64::from(self.point) * self.shape.step;
        self.row.values.clear();
        let state = self.values.iter_mut().skip(self.place);
        for (moves, value) in measurement.moves.iter().zip(state) {
            let step = Step { moves: *moves, shape: &self.shape, figures: host.figures };
            self.row.values.push(step.to(value, &mut self.random));
        }
        self.place += measurement.moves.len();
        self.measurement += 1;
        if self.measurement == self.schema.measurements.len() {
            (self.measurement, self.slot) = (0, self.slot + 1);
        }
    }

    /// Puts other hosts where their time has come, one slot after the other.
    fn replace(&mut self) {
        let hours = f64::from(self.point) * self.shape.step as f64 / 3600.0;
        let wanted = (hours * self.shape.churn * f64::from(self.shape.hosts)) as u32;
        while self.replaced < wanted && self.point != self.shape.points {
            let host = self.host(self.shape.hosts + self.replaced);
            let slot = self.replaced as usize % self.slots.len().max(1);
            self.replaced += 1;
            if let Some(place) = self.slots.get_mut(slot) {
                *place = host;
            }
        }
    }

    fn host(&self, number: u32) -> Rc<Host> {
        let seed = self.shape.seed;
        let measurements = self.schema.measurements.iter();
        let extra = measurements.map(|measurement| measurement.extra_of(seed, number)).collect();
        let figures = schema::figures_of(seed, number);
        Rc::new(Host { number, tags: self.schema.tags_of(seed, number), extra, figures })
    }
}

/// Where a field begins.
fn first(moves: Moves, random: &mut Random) -> i64 {
    let start = random.draw();
    let below = |max: i64| (start % (max.unsigned_abs() + 1)) as i64;
    match moves {
        Moves::Chosen => below(9_999),
        Moves::Counter(_) => below(1_000_000),
        Moves::Level { max, .. } | Moves::Decimal { max, .. } | Moves::Place { max, .. } => {
            below(max)
        }
        Moves::Speed { max, .. } => below(2 * max),
        Moves::Load { .. } => below(1000),
        Moves::Fixed(value) => value,
        Moves::Model(_) => 0,
    }
}

/// How a field of one host gets from point to point.
struct Step<'a> {
    moves: Moves,
    shape: &'a Shape,
    figures: [i64; 3],
}

impl Step<'_> {
    /// The next value to send; `value` is where the field is.
    fn to(&self, value: &mut i64, random: &mut Random) -> Value {
        let random = random.draw();
        let mut walk = |max: i64, step: i64| {
            let by = (random % (2 * step.unsigned_abs() + 1)) as i64 - step;
            *value = (*value + by).clamp(0, max);
            *value
        };
        let figure = |which: Figure| self.figures.get(which as usize).copied().unwrap_or(0);
        match self.moves {
            Moves::Counter(step) => {
                *value += (random % (step.unsigned_abs() + 1)) as i64;
                Value::Integer(*value)
            }
            Moves::Level { max, step } => Value::Integer(walk(max, step)),
            Moves::Decimal { max, step } => Value::Hundredths(walk(max, step)),
            Moves::Place { max, step } => Value::Double(walk(max, step) as f64 / 1e5),
            // The lower half of its way is spent standing.
            Moves::Speed { max, step } => Value::Integer((walk(2 * max, step) - max).max(0)),
            Moves::Load { step } => {
                let most = figure(Figure::LoadCapacity);
                Value::Double((walk(1000, step) * most / 1000) as f64)
            }
            Moves::Fixed(value) => Value::Integer(value),
            Moves::Model(which) => Value::Double(figure(which) as f64),
            Moves::Chosen => self.shape.kind.step(self.shape.steps, value, random),
        }
    }
}

impl Kind {
    /// Moves `value` (in hundredths).
    fn step(self, steps: Steps, value: &mut i64, random: u64) -> Value {
        let by = match (self, steps) {
            (Kind::Double, _) => {
                return Value::Double((random >> 11) as f64 / (1u64 << 53) as f64 * 1e2);
            }
            (Kind::Gauge, _) if !random.is_multiple_of(16) => 0,
            (Kind::Float2 | Kind::Integer, Steps::Normal) => (random::normal(random) * 1e2) as i64,
            (Kind::Float2, Steps::Even) => (random % 201) as i64 - 100,
            (Kind::Integer | Kind::Gauge, _) => ((random >> 8) % 3) as i64 * 100 - 100,
        };
        *value = (*value + by).clamp(0, 10_000);
        match self {
            Kind::Float2 => Value::Hundredths(*value),
            _ => Value::Integer(*value / 100),
        }
    }
}
