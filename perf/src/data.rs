//! `data`: shows what a workload is made of, without a server.
//!
//! In: the shape of the data and a protocol. Out: its first lines, or counts of rows, series,
//! values and bytes, and how much news a value holds: the entropy of a field's steps from point to
//! point, which is what no codec of single values gets below.

use crate::report::{Output, Report, Table};
use crate::source::{Making, Source};
use crate::workload::encode::Protocol;
use crate::workload::{Shape, Workload};
use std::collections::{HashMap, HashSet};
use std::io::Write;

/// Flags of `data`.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// How points are written.
    #[arg(long, value_enum, default_value = "influx")]
    protocol: Protocol,
    #[command(flatten)]
    shape: Shape,
    /// Rows a request.
    #[arg(long, default_value_t = 5000)]
    batch: u32,
    /// Print so many lines as they would be sent, instead of counts.
    #[arg(long)]
    lines: Option<usize>,
    #[command(flatten)]
    output: Output,
}

/// What is known about a shape's data once all of it was made.
#[derive(Default)]
struct Sums {
    rows: u64,
    values: u64,
    series: HashSet<(u32, usize)>,
    /// A field's last value, by host, measurement and field.
    last: HashMap<(u32, usize, usize), f64>,
    /// How often a field (measurement, place) took a step, in 1/100,000.
    steps: HashMap<(usize, usize), HashMap<i64, u64>>,
}

/// Runs the command.
///
/// # Errors
/// Points without end; the page cannot be written.
pub fn run(args: &Args) -> Result<(), String> {
    let Args { shape, protocol, batch, .. } = args;
    let making = Making { protocol: *protocol, batch: *batch, gzip: false };
    let mut source = Source::new(shape, making, 0);
    if let Some(lines) = args.lines {
        let body = source.take().map_or_else(Vec::new, |(_, body)| body.bytes);
        let text = body.split_inclusive(|byte| *byte == b'\n').take(lines);
        let text = text.collect::<Vec<_>>().concat();
        return std::io::stdout().write_all(&text).map_err(|error| error.to_string());
    }
    if shape.points == 0 {
        return Err("points without end cannot be counted".to_owned());
    }
    let sums = Sums::of(shape);
    let (mut bytes, mut requests) = (0, 0);
    while let Some((_, body)) = source.take() {
        bytes += body.bytes.len();
        requests += 1;
    }
    let mut table = Table::new("data");
    table.row("rows", sums.rows as f64, 0);
    table.row("series", sums.series.len() as f64, 0);
    table.row("values", sums.values as f64, 0);
    table.row("requests", f64::from(requests), 0);
    table.row("bytes sent/value", bytes as f64 / sums.values.max(1) as f64, 2);
    table.row("entropy of steps, bytes/value", sums.entropy(), 3);
    let timeline = crate::progress::Timeline::new(None, true);
    let mut report = Report::new("data", std::rc::Rc::new(timeline));
    report.tables.push(table);
    report.give(&args.output)
}

impl Sums {
    fn of(shape: &Shape) -> Sums {
        let (mut sums, mut workload) = (Sums::default(), Workload::new(shape));
        while let Some(row) = workload.row() {
            sums.rows += 1;
            sums.values += row.values.len() as u64;
            sums.series.insert((row.host, row.nth));
            for (at, value) in row.values.iter().enumerate() {
                let value = value.as_f64();
                if let Some(before) = sums.last.insert((row.host, row.nth, at), value) {
                    let step = ((value - before) * 1e5).round() as i64;
                    *sums.steps.entry((row.nth, at)).or_default().entry(step).or_default() += 1;
                }
            }
        }
        sums
    }

    /// Bytes a value, the mean over all fields.
    fn entropy(&self) -> f64 {
        let bits = |counts: &HashMap<i64, u64>| {
            let all = counts.values().sum::<u64>().max(1) as f64;
            counts.values().map(|count| *count as f64 / all).map(|p| -p * p.log2()).sum::<f64>()
        };
        let fields = self.steps.len().max(1) as f64;
        self.steps.values().map(bits).sum::<f64>() / fields / 8.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::shape;

    #[test]
    fn steps_hold_as_much_news_as_their_distribution() {
        let of = |flags: &str| {
            let flags = format!("--hosts 60 --points 500 --fields 2 {flags}");
            Sums::of(&shape(&flags)).entropy()
        };
        // log2(201) / 8 and log2(3) / 8; then 2.047 + log2(100) bits, and 2.16 bits.
        for (flags, bytes) in [
            ("--kind float2", 0.956),
            ("--kind integer", 0.198),
            ("--kind float2 --steps normal", 1.086),
            ("--kind integer --steps normal", 0.27),
        ] {
            let found = of(flags);
            assert!((found - bytes).abs() < 0.02, "{flags}: {found}");
        }
    }

    #[test]
    fn rows_series_and_values_are_counted() {
        let sums = Sums::of(&shape("--workload devops --hosts 3 --points 4"));
        assert_eq!((sums.rows, sums.values, sums.series.len()), (108, 1212, 27));
    }
}
