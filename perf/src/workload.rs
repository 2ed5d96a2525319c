//! What is sent: hosts with ten tags each (as TSBS devops cpu-only has them) and a number of fields
//! that move a little from point to point. The same seed makes the same bytes.

#![expect(
    clippy::indexing_slicing,
    reason = "places are host and field numbers below the counts the tables were made with"
)]

use crate::Args;
use std::io::Write;
use std::str::FromStr;

/// How points are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Influx,
    Telnet,
}

/// What values look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A random walk of two decimals between 0 and 100.
    Float2,
    /// A random walk of integers between 0 and 100.
    Integer,
    /// An integer that mostly stays as it is.
    Gauge,
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Protocol, String> {
        match text {
            "influx" => Ok(Protocol::Influx),
            "telnet" => Ok(Protocol::Telnet),
            _ => Err("expected influx or telnet".to_owned()),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        match text {
            "float2" => Ok(Kind::Float2),
            "integer" => Ok(Kind::Integer),
            "gauge" => Ok(Kind::Gauge),
            _ => Err("expected float2, integer or gauge".to_owned()),
        }
    }
}

/// One request.
pub struct Body {
    pub bytes: Vec<u8>,
    pub lines: u32,
    pub values: u64,
}

/// The generator's state.
pub struct Workload {
    args: Args,
    random: u64,
    /// In hundredths, per host and field.
    values: Vec<i64>,
    tags: Vec<String>,
}

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
    pub fn new(args: &Args) -> Workload {
        let mut workload = Workload {
            args: args.clone(),
            random: args.seed,
            values: Vec::new(),
            tags: Vec::new(),
        };
        for _ in 0..args.hosts * args.fields {
            let start = (workload.next() % 10_000) as i64;
            workload.values.push(start);
        }
        for host in 0..args.hosts {
            let tags = workload.tags_of(host);
            workload.tags.push(tags);
        }
        workload
    }

    /// All requests, in order of time.
    pub fn bodies(mut self) -> Vec<Body> {
        let mut out = Vec::new();
        let mut body = Body { bytes: Vec::new(), lines: 0, values: 0 };
        for point in 0..self.args.points {
            for host in 0..self.args.hosts {
                self.write_point(host, point, &mut body);
                if body.lines >= self.args.batch {
                    let next = Vec::with_capacity(body.bytes.len());
                    let empty = Body { bytes: next, lines: 0, values: 0 };
                    out.push(std::mem::replace(&mut body, empty));
                }
            }
        }
        if body.lines > 0 {
            out.push(body);
        }
        out
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn tags_of(&mut self, host: u32) -> String {
        let region = REGIONS[(self.next() % 9) as usize];
        let (rack, service) = (self.next() % 100, self.next() % 20);
        let (zone, version) = (self.next() % 3, self.next() % 2);
        let arch = if self.next().is_multiple_of(2) { "x64" } else { "x86" };
        let blank = if self.args.protocol == Protocol::Influx { ',' } else { ' ' };
        let all = [
            format!("hostname=host_{host}"),
            format!("region={region}"),
            format!("datacenter={region}{}", ['a', 'b', 'c'][zone as usize]),
            format!("rack={rack}"),
            "os=Ubuntu16.04LTS".to_owned(),
            format!("arch={arch}"),
            format!("team={}", ["SF", "NYC", "LON", "CHI"][(service % 4) as usize]),
            format!("service={service}"),
            format!("service_version={version}"),
            "service_environment=production".to_owned(),
        ];
        all.join(&blank.to_string())
    }

    fn move_value(&mut self, place: usize) -> i64 {
        let random = self.next();
        let step = match self.args.kind {
            Kind::Float2 => (random % 201) as i64 - 100,
            Kind::Integer => ((random % 3) as i64 - 1) * 100,
            Kind::Gauge if random.is_multiple_of(16) => ((random >> 8) % 3) as i64 * 100 - 100,
            Kind::Gauge => 0,
        };
        let value = &mut self.values[place];
        *value = (*value + step).clamp(0, 10_000);
        *value
    }

    fn write_point(&mut self, host: u32, point: u32, body: &mut Body) {
        let seconds = self.args.start + i64::from(point) * 10;
        for field in 0..self.args.fields {
            let value = self.move_value((host * self.args.fields + field) as usize);
            let tags = &self.tags[host as usize];
            let out = &mut body.bytes;
            // Writing into a vector cannot fail.
            let _ = match self.args.protocol {
                Protocol::Influx if field == 0 => write!(out, "cpu,{tags} "),
                Protocol::Influx => write!(out, ","),
                Protocol::Telnet => write!(out, "put cpu.f{field} {seconds} "),
            };
            if self.args.protocol == Protocol::Influx {
                let _ = write!(out, "usage_{field}=");
            }
            let (whole, part) = (value / 100, value % 100);
            let _ = match self.args.kind {
                Kind::Float2 => write!(out, "{whole}.{part:02}"),
                _ if self.args.protocol == Protocol::Influx => write!(out, "{whole}i"),
                _ => write!(out, "{whole}"),
            };
            if self.args.protocol == Protocol::Telnet {
                let _ = writeln!(out, " {tags}");
            }
            body.values += 1;
        }
        if self.args.protocol == Protocol::Influx {
            let _ = writeln!(body.bytes, " {}", seconds * 1_000_000_000);
        }
        body.lines += 1;
    }
}
