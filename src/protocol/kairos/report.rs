//! What was wrong with a body, in KairosDB's words, bounded in number and bytes.

/// Messages kept of one body.
const MESSAGES_MAX: usize = 10_000;
/// Bytes of messages kept of one body.
const BYTES_MAX: usize = 1 << 20;

/// Messages and counts of one body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    messages: Vec<String>,
    bytes: usize,
    hidden: u64,
    /// Metrics of which nothing was stored.
    pub refused_metrics: u64,
    /// Points left out of good metrics.
    pub refused_points: u64,
}

impl Report {
    /// Adds a message, which is made only if it is kept.
    pub fn add(&mut self, message: impl FnOnce() -> String) {
        if self.messages.len() >= MESSAGES_MAX || self.bytes >= BYTES_MAX {
            self.hidden += 1;
            return;
        }
        let message = message();
        self.bytes += message.len();
        self.messages.push(message);
    }

    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages in order; a last one counts those that were not kept.
    pub fn into_messages(mut self) -> Vec<String> {
        if self.hidden > 0 {
            self.messages.push(format!("{} more errors are not shown.", self.hidden));
        }
        self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_and_the_rest_counted() {
        let mut report = Report::default();
        (0..MESSAGES_MAX + 5).for_each(|n| report.add(|| n.to_string()));
        let messages = report.into_messages();
        assert_eq!(messages.len(), MESSAGES_MAX + 1);
        assert_eq!(messages.last().unwrap(), "5 more errors are not shown.");
        let mut report = Report::default();
        report.add(|| "x".repeat(BYTES_MAX));
        report.add(|| "y".to_owned());
        assert_eq!(report.into_messages()[1], "1 more errors are not shown.");
    }
}
