//! A report as one page that needs nothing else: tables, plots over time, histograms of latency.
//!
//! In: the report and the command line that made it. Out: HTML with inline SVG.

use crate::progress::{Sample, ms};
use crate::report::Report;
use hdrhistogram::Histogram;
use std::fmt::Write;

/// Size of a plot, and of the margins at its left and bottom (px).
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 28.0;
const TOP: f64 = 12.0;
/// Bars of a histogram for each tenfold of time.
const BARS_A_DECADE: f64 = 10.0;

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;max-width:760px;margin:24px auto;\
padding:0 16px;color:#1c2733;background:#fff}h1{font-size:22px}h2{font-size:16px;margin-top:28px}\
code{background:#eef2f5;padding:2px 4px;overflow-wrap:anywhere}table{border-collapse:collapse}\
td{padding:1px 16px 1px 0}td+td{text-align:right;font-variant-numeric:tabular-nums}\
svg{display:block;max-width:100%;height:auto}text{font-size:11px;fill:#51606f}\
.grid{stroke:#dde4ea}.mark{stroke:#98a5b1;stroke-dasharray:3 3}";

/// One line of a plot.
struct Line {
    name: &'static str,
    color: &'static str,
    value: fn(&Sample) -> f64,
}

const RATE: Line = Line { name: "values/s", color: "#0b6fb8", value: |s| s.values_per_second };
const P50: Line = Line { name: "p50", color: "#0b6fb8", value: |s| s.p50_ms };
const P99: Line = Line { name: "p99", color: "#d1495b", value: |s| s.p99_ms };
const CPU: Line = Line { name: "cores", color: "#2e8b57", value: |s| s.cpu_cores };
const MEMORY: Line = Line { name: "MB", color: "#8a5fb0", value: |s| s.rss_mb };

/// The page.
pub fn page(report: &Report, command: &str) -> String {
    let title = format!("ringtail-load {}", report.title);
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1><p><code>{}</code></p>",
        escaped(command)
    );
    let (samples, marks) = (report.timeline.samples.borrow(), report.timeline.marks.borrow());
    for (title, lines) in [
        ("Accepted a second", &[RATE][..]),
        ("Latency of the requests of each 0.2 s (ms)", &[P50, P99]),
        ("Processors used by the server", &[CPU]),
        ("Resident memory of the server (MB)", &[MEMORY]),
    ] {
        let known = samples.iter().any(|sample| lines.iter().any(|l| (l.value)(sample) > 0.0));
        if known {
            let _ = write!(out, "<h2>{title}</h2>{}", plot(&samples, &marks, lines));
        }
    }
    for (name, latency_us) in &report.latencies {
        if !latency_us.is_empty() {
            let name = escaped(name);
            let _ = write!(out, "<h2>Latency: {name}</h2>{}", histogram(latency_us));
        }
    }
    for table in &report.tables {
        let _ = write!(out, "<h2>{}</h2><table>", escaped(&table.title));
        for (name, value, digits) in &table.rows {
            let _ = write!(out, "<tr><td>{}<td>{value:.digits$}", escaped(name));
        }
        out.push_str("</table>");
    }
    out.push_str("</html>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A round number not below `most`, so that four lines of a grid have round numbers, too.
fn ceiling(most: f64) -> f64 {
    let unit = 10f64.powf(most.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0].map(|step| step * unit);
    steps.into_iter().find(|step| *step >= most).unwrap_or(most)
}

/// A number in few characters.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e4 => format!("{} k", value / 1e3),
        value => format!("{}", (value * 1e4).round() / 1e4),
    }
}

fn frame(top: f64) -> String {
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let y = HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(top * share)
        );
    }
    svg
}

fn plot(samples: &[Sample], marks: &[(f64, String)], lines: &[Line]) -> String {
    let values = samples.iter().flat_map(|sample| lines.iter().map(|line| (line.value)(sample)));
    let top = ceiling(values.fold(0.0, f64::max));
    let last = samples.last().map_or(1.0, |sample| sample.seconds).max(0.2);
    let x = |seconds: f64| LEFT + seconds / last * (WIDTH - LEFT - 8.0);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP);
    let mut svg = frame(top);
    for (at, name) in marks {
        let x = x(*at);
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.0}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
            HEIGHT - BOTTOM,
            x + 4.0,
            TOP + 8.0,
            escaped(name)
        );
    }
    for (nth, line) in lines.iter().enumerate() {
        let points =
            samples.iter().map(|s| format!("{:.1},{:.1}", x(s.seconds), y((line.value)(s))));
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{0}\" stroke-width=\"1.5\" points=\"{1}\"/>\
             <text x=\"{2:.0}\" y=\"{3:.0}\" style=\"fill:{0}\">{4}</text>",
            line.color,
            points.collect::<Vec<_>>().join(" "),
            LEFT + 70.0 * nth as f64,
            HEIGHT - 2.0,
            line.name
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{WIDTH}\" y=\"{:.0}\" text-anchor=\"end\">{last:.1} s</text></svg>",
        HEIGHT - 10.0
    );
    svg
}

/// Shares of the requests by latency, ten bars a decade, from the least to the greatest.
fn histogram(latency_us: &Histogram<u64>) -> String {
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
    let wide = (WIDTH - LEFT - 8.0) / bars.len().max(1) as f64;
    let mut svg = frame(top);
    for (nth, count) in bars.iter().enumerate() {
        let high = share(*count) / top * (HEIGHT - BOTTOM - TOP);
        let (x, y) = (LEFT + wide * nth as f64, HEIGHT - BOTTOM - high);
        let edge = |at: f64| 10f64.powf((first + at) / BARS_A_DECADE) / 1e3;
        let (from, to) = (edge(nth as f64), edge(nth as f64 + 1.0));
        let _ = write!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{high:.1}\" fill=\"#0b6fb8\">\
             <title>{from:.3} to {to:.3} ms: {count}</title></rect>",
            (wide - 1.0).max(0.5)
        );
        let labels = (bars.len() / 6).max(1);
        if nth % labels == 0 {
            let y = HEIGHT - BOTTOM + 14.0;
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y:.0}\">{}</text>", short(from));
        }
    }
    let quantiles = [0.5, 0.9, 0.99, 0.999, 1.0];
    let quantiles = quantiles.map(|q| format!("p{}: {:.2} ms", q * 100.0, ms(latency_us, q)));
    let _ = write!(
        svg,
        "<text x=\"{WIDTH}\" y=\"{:.0}\" text-anchor=\"end\">ms (% of {}); {}</text></svg>",
        HEIGHT - 2.0,
        latency_us.len(),
        quantiles.join(", ")
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn a_page_stands_alone_and_escapes_what_it_is_given() {
        let report = sample();
        for at in 0..10 {
            report.timeline.samples.borrow_mut().push(Sample {
                seconds: f64::from(at) / 5.0,
                values_per_second: 1e6,
                p50_ms: 1.0,
                p99_ms: 7.0,
                ..Sample::default()
            });
        }
        report.timeline.mark("a & b");
        let page = page(&report, "ringtail-load <x>");
        assert!(page.contains("&lt;x&gt;") && page.contains("two &lt;&amp;&gt;"));
        assert!(page.contains("a &amp; b"));
        assert!(!page.contains("http"), "nothing is fetched from elsewhere");
        assert_eq!(page.matches("<svg").count(), 3, "no plot of what is not known");
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert_eq!(page.matches("<polyline").count(), 3);
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn bars_hold_every_request() {
        let svg = histogram(&sample().latencies[0].1);
        let counts = svg.split(" ms: ").skip(1);
        let counts = counts.filter_map(|part| part.split('<').next()?.parse::<u64>().ok());
        assert_eq!(counts.sum::<u64>(), 1000);
    }

    #[test]
    fn a_single_latency_and_no_samples_are_drawn() {
        let mut one = crate::progress::histogram().unwrap();
        one.record(1).unwrap();
        assert!(histogram(&one).contains("<rect"));
        assert!(plot(&[], &[], &[RATE]).ends_with("</svg>"));
    }

    #[test]
    fn ceilings_are_round_and_not_below() {
        for (most, round) in [(0.3, 0.4), (1.0, 1.0), (15.0, 20.0), (81.0, 100.0), (7.9e6, 8e6)] {
            assert!((ceiling(most) - round).abs() < round * 1e-9, "{most}");
        }
    }
}
