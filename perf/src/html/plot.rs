//! Plots as SVG: figures over time, and histograms of latency.
//!
//! In: samples, or a histogram. Out: an `<svg>` whose colours are classes of the page's style.

use super::escaped;
use crate::progress::{Sample, ms};
use crate::report::number;
use hdrhistogram::Histogram;
use std::fmt::Write;

/// Width and height of what is drawn on, and the margins around it (px).
struct Canvas {
    width: f64,
    height: f64,
}

const LEFT: f64 = 52.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 24.0;
/// A plot over time, and a histogram, which has another beside it.
const WIDE: Canvas = Canvas { width: 820.0, height: 200.0 };
const HALF: Canvas = Canvas { width: 400.0, height: 190.0 };
/// Bars of a histogram for each tenfold of time.
const BARS_A_DECADE: f64 = 10.0;

/// One line of a plot.
pub struct Line {
    pub name: &'static str,
    /// Its colour.
    pub class: &'static str,
    pub value: fn(&Sample) -> f64,
}

impl Canvas {
    fn x(&self, share: f64) -> f64 {
        LEFT + share * (self.width - LEFT - RIGHT)
    }

    fn y(&self, share: f64) -> f64 {
        self.height - BOTTOM - share * (self.height - BOTTOM - TOP)
    }

    /// Begins a picture with four lines up to `top`.
    fn frame(&self, top: f64) -> String {
        let Canvas { width, height } = self;
        let mut svg = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\">");
        for quarter in 0..=4 {
            let share = f64::from(quarter) / 4.0;
            let y = self.y(share);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                width - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                short(top * share)
            );
        }
        svg
    }

    /// Whether a label would stand out at the right.
    fn is_last(&self, x: f64) -> bool {
        x > self.width - 30.0
    }

    /// A label below the picture.
    fn label(&self, svg: &mut String, x: f64, text: &str) {
        let y = self.height - 8.0;
        let anchor = if self.is_last(x) { "end" } else { "middle" };
        let _ =
            write!(svg, "<text x=\"{x:.1}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{text}</text>");
    }

    /// A line from top to bottom with a word beside it.
    fn mark(&self, svg: &mut String, x: f64, at: f64, text: &str) {
        let (top, bottom) = (self.y(1.0), self.y(0.0));
        let (anchor, beside) = if x > self.width * 0.8 { ("end", -4.0) } else { ("start", 4.0) };
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
             <text x=\"{:.1}\" y=\"{at:.0}\" text-anchor=\"{anchor}\">{}</text>",
            x + beside,
            escaped(text)
        );
    }
}

/// A round number not below `most`, so that four lines of a grid have round numbers, too.
fn ceiling(most: f64) -> f64 {
    let unit = 10f64.powf(most.max(1e-9).log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0].map(|step| step * unit);
    steps.into_iter().find(|step| *step >= most * 0.9999).unwrap_or(most)
}

/// A number in few characters.
fn short(value: f64) -> String {
    let round = |value: f64| (value * 1e4).round() / 1e4;
    match value {
        value if value >= 1e6 => format!("{} M", round(value / 1e6)),
        value if value >= 1e4 => format!("{} k", round(value / 1e3)),
        value => format!("{}", round(value)),
    }
}

/// A time in its usual unit.
fn time(ms: f64) -> String {
    match ms {
        ms if ms >= 1e3 => format!("{} s", short(ms / 1e3)),
        ms if ms < 1.0 => format!("{} \u{b5}s", short(ms * 1e3)),
        ms => format!("{} ms", short(ms)),
    }
}

/// Figures over the seconds of a run, with a mark where each phase begins.
pub fn over_time(samples: &[Sample], marks: &[(f64, String)], lines: &[Line]) -> String {
    let values = samples.iter().flat_map(|sample| lines.iter().map(|line| (line.value)(sample)));
    let top = ceiling(values.fold(0.0, f64::max));
    let last = samples.last().map_or(1.0, |sample| sample.seconds).max(0.2);
    let x = |seconds: f64| WIDE.x(seconds / last);
    let mut svg = WIDE.frame(top);
    for (at, name) in marks {
        WIDE.mark(&mut svg, x(*at), TOP - 6.0, name);
    }
    for line in lines {
        let point =
            |s: &Sample| format!("{:.1},{:.1}", x(s.seconds), WIDE.y((line.value)(s) / top));
        let points = samples.iter().map(point).collect::<Vec<_>>().join(" ");
        let class = line.class;
        if let (Some(first), true) = (samples.first(), lines.len() == 1) {
            let (left, right, base) = (x(first.seconds), x(last), WIDE.y(0.0));
            let _ = write!(
                svg,
                "<path class=\"{class}\" d=\"M{left:.1},{base} L{points} L{right:.1},{base}Z\"/>"
            );
        }
        let _ = write!(svg, "<polyline class=\"{class}\" points=\"{points}\"/>");
    }
    let step = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
    let step = step.into_iter().find(|step| last / step <= 10.0).unwrap_or(3600.0);
    for nth in 0..=(last / step) as u32 {
        let seconds = f64::from(nth) * step;
        WIDE.label(&mut svg, x(seconds), &format!("{} s", short(seconds)));
    }
    svg + "</svg>"
}

/// Shares of the requests by latency, ten bars a decade, from the least to the greatest.
pub fn histogram(latency_us: &Histogram<u64>) -> String {
    let place = |micros: u64| (micros.max(1) as f64).log10() * BARS_A_DECADE;
    let (first, last) = (place(latency_us.min()).floor(), place(latency_us.max()).floor());
    let mut bars = vec![0u64; (last - first) as usize + 1];
    for bucket in latency_us.iter_recorded() {
        let at = (place(bucket.value_iterated_to()).floor() - first) as usize;
        let at = at.min(bars.len().saturating_sub(1));
        if let Some(bar) = bars.get_mut(at) {
            *bar += bucket.count_since_last_iteration();
        }
    }
    let share = |count: u64| count as f64 / latency_us.len().max(1) as f64 * 100.0;
    let top = ceiling(bars.iter().map(|count| share(*count)).fold(0.0, f64::max));
    // A single bar or two would fill the picture; at least half a decade is shown.
    let count = (bars.len() as f64).max(BARS_A_DECADE / 2.0);
    let x = |at: f64| HALF.x(at / count);
    let edge = |at: f64| 10f64.powf((first + at) / BARS_A_DECADE) / 1e3;
    let mut svg = HALF.frame(top);
    for (nth, bar) in bars.iter().enumerate() {
        let at = nth as f64;
        let (y, base) = (HALF.y(share(*bar) / top), HALF.y(0.0));
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{:.3} to {:.3} ms: {bar}</title></rect>",
            x(at),
            (x(at + 1.0) - x(at) - 1.0).max(0.5),
            base - y,
            edge(at),
            edge(at + 1.0)
        );
    }
    let mut labelled = f64::MIN;
    for nth in 0..=count as u32 {
        // 1, 2 and 5 of a decade lie on the edges of its bars, as near as can be seen.
        let at = f64::from(nth);
        let of_decade = (first + at).rem_euclid(BARS_A_DECADE) as u32;
        let lead = [(0, 1.0), (3, 2.0), (7, 5.0)].into_iter().find(|(edge, _)| *edge == of_decade);
        if let (Some((_, lead)), true) =
            (lead, x(at) - labelled > if HALF.is_last(x(at)) { 70.0 } else { 44.0 })
        {
            let decade = ((first + at) / BARS_A_DECADE).floor();
            HALF.label(&mut svg, x(at), &time(lead * 10f64.powf(decade) / 1e3));
            labelled = x(at);
        }
    }
    for (quantile, name) in [(0.5, "p50"), (0.99, "p99")] {
        let value = latency_us.value_at_quantile(quantile);
        let at = x(place(value) - first).min(x(count));
        HALF.mark(&mut svg, at, if quantile < 0.9 { TOP - 6.0 } else { TOP + 6.0 }, name);
    }
    svg + "</svg>" + &line(latency_us)
}

/// The percentiles in words.
fn line(latency_us: &Histogram<u64>) -> String {
    let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
    let shown = quantiles.map(|(name, q)| format!("{name} {}", number(ms(latency_us, q), 2)));
    let count = number(latency_us.len() as f64, 0);
    format!("<p class=\"note\">{count} requests; ms: {}</p>", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    const RATE: Line = Line { name: "values/s", class: "c1", value: |s| s.values_per_second };

    #[test]
    fn bars_hold_every_request() {
        let svg = histogram(&sample().latencies[0].1);
        let counts = svg.split(" ms: ").skip(1);
        let counts = counts.filter_map(|part| part.split('<').next()?.parse::<u64>().ok());
        assert_eq!(counts.sum::<u64>(), 1000);
        assert!(svg.contains("p50") && svg.contains("1,000 requests"));
    }

    #[test]
    fn a_single_latency_and_no_samples_are_drawn() {
        let mut one = crate::progress::histogram().unwrap();
        one.record(1).unwrap();
        assert!(histogram(&one).contains("<rect"));
        assert!(over_time(&[], &[], &[RATE]).ends_with("</svg>"));
    }

    #[test]
    fn seconds_are_labelled_at_round_steps() {
        let samples: Vec<_> = (0..=115)
            .map(|at| Sample {
                seconds: f64::from(at) / 5.0,
                values_per_second: 1.0,
                ..Sample::default()
            })
            .collect();
        let svg = over_time(&samples, &[], &[RATE]);
        let labels = svg.matches(" s</text>").count();
        assert!(labels == 5 && svg.contains(">20 s<") && svg.contains(">5 s<"), "{svg}");
    }

    #[test]
    fn ceilings_are_round_and_not_below() {
        for (most, round) in [(0.3, 0.32), (1.0, 1.0), (15.0, 16.0), (81.0, 100.0), (7.9e6, 8e6)] {
            assert!((ceiling(most) - round).abs() < round * 1e-9, "{most}");
        }
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        for (ms, text) in [(0.05, "50 \u{b5}s"), (20.0, "20 ms"), (2000.0, "2 s")] {
            assert_eq!(time(ms), text);
        }
    }
}
