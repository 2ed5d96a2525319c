//! What each destination of each subscription was sent, by one core.
//!
//! In: a parcel's fate, noted by the core that sent it. Out: counts by destination, for whoever
//! shows figures. The lock is taken once a parcel; nobody holds it for longer than a look-up.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A destination of a subscription.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Subscriber {
    pub db: String,
    pub rp: String,
    pub name: String,
    pub destination: String,
}

/// What it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    pub points: u64,
    /// Parcels that it did not take.
    pub failures: u64,
}

/// The counts of one core.
#[derive(Debug, Default)]
pub struct Subscribers(Mutex<BTreeMap<Subscriber, Sent>>);

impl Subscribers {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Subscriber, Sent>> {
        // The map is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to a destination's counts.
    pub fn note(&self, to: &Subscriber, more: Sent) {
        let mut all = self.all();
        // Made with the first parcel; there are as many as there were subscriptions.
        if !all.contains_key(to) {
            all.insert(to.clone(), Sent::default());
        }
        if let Some(sent) = all.get_mut(to) {
            sent.points += more.points;
            sent.failures += more.failures;
        }
    }

    /// A destination's counts.
    pub fn of(&self, to: &Subscriber) -> Sent {
        self.all().get(to).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_counted_apart() {
        let one = Subscriber {
            db: "d".to_owned(),
            rp: "r".to_owned(),
            name: "n".to_owned(),
            destination: "udp://h:1".to_owned(),
        };
        let other = Subscriber { destination: "udp://h:2".to_owned(), ..one.clone() };
        let counts = Subscribers::default();
        counts.note(&one, Sent { points: 5, failures: 0 });
        counts.note(&one, Sent { points: 0, failures: 1 });
        assert_eq!(counts.of(&one), Sent { points: 5, failures: 1 });
        assert_eq!(counts.of(&other), Sent::default());
    }
}
