//! Time ranges in nanoseconds since 1970-01-01 UTC, both ends inclusive.

/// The smallest time a point may have (ns). InfluxDB keeps the two values below for itself.
pub const TIME_MIN: i64 = i64::MIN + 2;
/// The largest time a point may have (ns).
pub const TIME_MAX: i64 = i64::MAX - 1;
/// Nanoseconds of a UTC day; segments never keep rows of two days in one chunk.
pub const DAY_NS: i64 = 86_400_000_000_000;

/// A range of time, both ends inclusive (ns). Empty when `first > last`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct TimeRange {
    pub first: i64,
    pub last: i64,
}

impl TimeRange {
    /// Everything a point's time can be.
    pub const ALL: TimeRange = TimeRange { first: TIME_MIN, last: TIME_MAX };

    /// The range from `first` to `last`, both inclusive.
    pub fn new(first: i64, last: i64) -> TimeRange {
        TimeRange { first, last }
    }

    /// Whether no instant lies inside.
    pub fn is_empty(self) -> bool {
        self.first > self.last
    }

    /// Whether `time` lies inside.
    pub fn contains(self, time: i64) -> bool {
        self.first <= time && time <= self.last
    }

    /// Whether some instant lies in both.
    pub fn overlaps(self, other: TimeRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether every instant of `other` lies inside.
    pub fn covers(self, other: TimeRange) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The instants that lie in both.
    pub fn intersect(self, other: TimeRange) -> TimeRange {
        TimeRange { first: self.first.max(other.first), last: self.last.min(other.last) }
    }
}

/// The UTC day of an instant, counted from 1970-01-01 (negative before).
pub fn day_of(time: i64) -> i32 {
    time.div_euclid(DAY_NS) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_downwards_before_the_epoch() {
        assert_eq!(day_of(0), 0);
        assert_eq!(day_of(-1), -1);
        assert_eq!(day_of(DAY_NS - 1), 0);
        assert_eq!(day_of(DAY_NS), 1);
        assert_eq!(day_of(TIME_MIN), -106_752);
    }

    #[test]
    fn ranges_meet_at_inclusive_ends() {
        let left = TimeRange::new(0, 10);
        assert!(left.overlaps(TimeRange::new(10, 20)));
        assert!(!left.overlaps(TimeRange::new(11, 20)));
        assert!(left.intersect(TimeRange::new(11, 20)).is_empty());
        assert!(TimeRange::ALL.covers(left) && !left.covers(TimeRange::ALL));
    }
}
