//! A report as one page that needs nothing else: headlines, plots over time, histograms of latency,
//! tables.
//!
//! In: the report and the command line that made it. Out: HTML with inline SVG, in the reader's
//! light or dark colours.

mod plot;

use crate::progress::Sample;
use crate::report::{Report, Table};
use plot::Line;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

const RATE: Line = Line { name: "values/s", class: "c1", value: |s| s.values_per_second };
const P50: Line = Line { name: "p50", class: "c1", value: |s| s.p50_ms };
const P99: Line = Line { name: "p99", class: "c2", value: |s| s.p99_ms };
const CPU: Line = Line { name: "cores", class: "c3", value: |s| s.cpu_cores };
const MEMORY: Line = Line { name: "MB", class: "c4", value: |s| s.rss_mb };

/// The page.
pub fn page(report: &Report, command: &str) -> String {
    let title = format!("ringtail-load {}", report.title);
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><h1>{title}</h1><p><code>{}</code></p>",
        escaped(command)
    );
    out.push_str("<div class=\"tiles\">");
    for (name, figure) in &report.headlines {
        let _ = write!(
            out,
            "<div class=\"tile\"><b>{}</b><span>{}</span></div>",
            escaped(figure),
            escaped(name)
        );
    }
    out.push_str("</div>");
    over_time(&mut out, report);
    report.tables.iter().for_each(|table| write_table(&mut out, table));
    for note in &report.notes {
        let _ = write!(out, "<p class=\"note\">{}</p>", escaped(note));
    }
    out.push_str("<div class=\"pairs\">");
    for (name, latency_us) in report.latencies.iter().filter(|(_, latency)| !latency.is_empty()) {
        let head = format!("{}: % of requests by latency", escaped(name));
        figure(&mut out, &head, "", &plot::histogram(latency_us));
    }
    out.push_str("</div></body></html>\n");
    out
}

/// The plots of what is known.
fn over_time(out: &mut String, report: &Report) {
    let (samples, marks) = (report.timeline.samples.borrow(), report.timeline.marks.borrow());
    let rate =
        if report.title == "query" { "Questions a second" } else { "Values accepted a second" };
    for (title, lines) in [
        (rate, &[RATE][..]),
        ("Latency of the requests of each 0.2 s, in ms", &[P50, P99]),
        ("Processors used by the server", &[CPU]),
        ("Resident memory of the server, in MB", &[MEMORY]),
    ] {
        let value = |sample: &Sample| lines.iter().any(|line| (line.value)(sample) > 0.0);
        if samples.iter().any(value) {
            let legend = lines
                .iter()
                .filter(|_| lines.len() > 1)
                .map(|line| format!("<span class=\"{}\">{}</span>", line.class, line.name));
            let legend = legend.collect::<String>();
            figure(out, title, &legend, &plot::over_time(&samples, &marks, lines));
        }
    }
}

fn figure(out: &mut String, title: &str, legend: &str, svg: &str) {
    let _ = write!(out, "<figure><figcaption>{title}<i>{legend}</i></figcaption>{svg}</figure>");
}

fn write_table(out: &mut String, table: &Table) {
    let _ = write!(out, "<h2>{}</h2><div class=\"wide\"><table>", escaped(&table.title));
    if table.columns.len() > 1 {
        out.push_str("<tr><th>");
        table.columns.iter().for_each(|name| out.push_str(&format!("<th>{}", escaped(name))));
    }
    for row in &table.rows {
        let _ = write!(out, "<tr><td>{}", escaped(&row.name));
        row.shown().for_each(|cell| out.push_str(&format!("<td>{cell}")));
    }
    out.push_str("</table></div>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
        for foreign in ["http", "src=", "url(", "@import", "<script"] {
            assert!(!page.contains(foreign), "nothing is fetched from elsewhere: {foreign}");
        }
        assert_eq!(page.matches("<svg").count(), 3, "no plot of what is not known");
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert_eq!(page.matches("<polyline").count(), 3);
        assert!(!page.contains("NaN") && !page.contains(">inf"));
        assert!(page.contains("<b>25,000</b><span>values a second</span>"));
        assert!(page.contains("<tr><td>lastpoint<td>1.25<td>"));
    }
}
