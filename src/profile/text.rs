//! A profile as text, for people: what `debug=1` asks for.
//!
//! In: a profile. Out: a line with the total, then each sample: its values, its thread, and a line
//! for each place of its stack. Samples come in order of the shown value, the greatest first.

use super::symbols::Symbols;
use super::{Place, Profile};
use std::fmt::Write;

/// Writes a profile under a name.
pub fn text(name: &str, profile: &Profile, symbols: &mut Symbols) -> String {
    let mut out = String::new();
    let types: Vec<String> =
        profile.types.iter().map(|(kind, unit)| format!("{kind}/{unit}")).collect();
    // Writing into a string cannot fail.
    let _ = writeln!(out, "{name} profile: total {}", profile.total());
    let _ = writeln!(out, "values: {}", types.join(" "));
    let mut samples: Vec<_> = profile.samples.iter().collect();
    samples.sort_by_key(|sample| std::cmp::Reverse(sample.values.get(profile.shown)));
    for sample in samples {
        let values: Vec<String> = sample.values.iter().map(i64::to_string).collect();
        let thread = sample.thread.as_deref().map_or(String::new(), |name| format!(" ({name})"));
        let _ = writeln!(out, "\n{} @{thread}", values.join(" "));
        for (at, place) in sample.stack.iter().enumerate() {
            match place {
                Place::Named { name, .. } => {
                    let _ = writeln!(out, "#\t{name}");
                }
                Place::Code(address) => {
                    let address = if at == 0 { *address } else { address.saturating_sub(1) };
                    for line in symbols.lines(address) {
                        let place = match line.file.is_empty() {
                            true => String::new(),
                            false => format!("\t{}:{}", line.file, line.line),
                        };
                        let _ = writeln!(out, "#\t{address:#x}\t{}{place}", line.function);
                    }
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;

    #[test]
    fn the_greatest_comes_first() {
        let sample = |value, name: &str| Sample {
            stack: vec![Place::name(name)],
            values: vec![value],
            thread: (value > 1).then(|| "t".to_owned()),
        };
        let profile = Profile::counting("tasks", vec![sample(1, "a"), sample(2, "b")]);
        let expected = "x profile: total 3\nvalues: tasks/count\n\n2 @ (t)\n#\tb\n\n1 @\n#\ta\n";
        assert_eq!(text("x", &profile, &mut Symbols::default()), expected);
    }
}
