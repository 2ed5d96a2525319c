//! Technical analysis: moving averages that weigh the newest points most, and what is made of them.
//!
//! In: numbers in output order. Out: one number for each point, from the one behind the hold period
//! on. Definitions are those of InfluxDB 1.8, starting values included: averages before their
//! period is full ("warm-up"), previous values of 0.

use super::timed;
use crate::model::Value;
use crate::query::select::fill::Timed;
use std::collections::VecDeque;

/// Which number is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// exponential_moving_average
    Single,
    /// double_exponential_moving_average
    Double,
    /// triple_exponential_moving_average
    Triple,
    /// triple_exponential_derivative
    TripleDerivative,
    /// relative_strength_index
    Strength,
    /// kaufmans_efficiency_ratio
    Efficiency,
    /// kaufmans_adaptive_moving_average
    Adaptive,
    /// chande_momentum_oscillator
    Momentum,
}

/// How averages begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WarmUp {
    /// Sums over the period in place of averages.
    None,
    Exponential,
    Simple,
}

/// A call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Technical {
    pub method: Method,
    /// Points, at least 1; at least 2 for momentum without a warm-up.
    pub period: u64,
    /// Points that give no result; `None`: as many as the method needs.
    pub hold: Option<u64>,
    pub warm_up: WarmUp,
}

impl Technical {
    /// Applies it to a stream.
    pub fn apply(self, points: impl Iterator<Item = (i64, f64)>) -> Vec<Timed> {
        let hold = usize::try_from(self.hold()).unwrap_or(usize::MAX);
        let mut state = State::new(self);
        let mut out = Vec::new();
        for (number, (at, value)) in points.enumerate() {
            let found = state.add(value);
            let endless = self.method == Method::TripleDerivative && found.is_infinite();
            if number >= hold && !endless {
                out.push(timed(at, Value::Float(found)));
            }
        }
        out
    }

    fn hold(self) -> u64 {
        let period = self.period;
        let before = period.saturating_sub(1);
        let simple = self.warm_up == WarmUp::Simple;
        self.hold.unwrap_or(match self.method {
            Method::Single => before,
            Method::Double => before.saturating_mul(if simple { 2 } else { 1 }),
            Method::Triple => before.saturating_mul(if simple { 3 } else { 1 }),
            Method::TripleDerivative => {
                before.saturating_mul(if simple { 3 } else { 1 }).saturating_add(1)
            }
            Method::Momentum if self.warm_up == WarmUp::None => before,
            _ => period,
        })
    }
}

/// What the points so far leave behind.
enum State {
    /// Averages of averages.
    Smooth {
        method: Method,
        averages: [Average; 3],
        last: f64,
    },
    /// Averages of rises and falls.
    Swing {
        method: Method,
        up: Average,
        down: Average,
        last: f64,
    },
    Efficiency(Efficiency),
    Adaptive {
        ratio: Efficiency,
        last: f64,
    },
    Momentum {
        period: u64,
        held: VecDeque<(f64, f64)>,
        up: f64,
        down: f64,
    },
}

impl State {
    fn new(call: Technical) -> State {
        let simple = call.warm_up == WarmUp::Simple;
        let average =
            |period: u64, alpha: f64| Average { period, alpha, simple, count: 0, last: 0.0 };
        let smooth = average(call.period, 2.0 / (call.period as f64 + 1.0));
        let swing = average(call.period.saturating_add(1), 1.0 / call.period as f64);
        let ratio =
            || Efficiency { period: call.period, held: VecDeque::new(), noise: 0.0, turned: false };
        let method = call.method;
        match method {
            Method::Single | Method::Double | Method::Triple | Method::TripleDerivative => {
                State::Smooth { method, averages: [smooth; 3], last: 0.0 }
            }
            Method::Momentum if call.warm_up == WarmUp::None => {
                let period = call.period.saturating_sub(1).max(1);
                State::Momentum { period, held: VecDeque::new(), up: 0.0, down: 0.0 }
            }
            Method::Strength | Method::Momentum => {
                State::Swing { method, up: swing, down: swing, last: 0.0 }
            }
            Method::Efficiency => State::Efficiency(ratio()),
            Method::Adaptive => State::Adaptive { ratio: ratio(), last: 0.0 },
        }
    }

    /// Takes a point and gives the number for it.
    fn add(&mut self, value: f64) -> f64 {
        match self {
            State::Smooth { method, averages, last } => smooth(*method, averages, last, value),
            State::Swing { method, up, down, last } => {
                let rise = if value > *last { value - *last } else { 0.0 };
                let fall = if value < *last { *last - value } else { 0.0 };
                *last = value;
                let (up, down) = (up.add(rise), down.add(fall));
                match method {
                    Method::Strength => 100.0 - 100.0 / (1.0 + up / down),
                    _ => 100.0 * ((up - down) / (up + down)),
                }
            }
            State::Efficiency(ratio) => ratio.add(value),
            State::Adaptive { ratio, last } => {
                if !ratio.turned {
                    *last = ratio.held.back().map_or(0.0, |(before, _)| *before);
                }
                let (fast, slow) = (2.0 / 3.0, 2.0 / 31.0);
                let weight = ratio.add(value) * (fast - slow) + slow;
                *last += weight * weight * (value - *last);
                *last
            }
            State::Momentum { period, held, up, down } => {
                let change = held.back().map_or(0.0, |(before, _)| value - before);
                if change > 0.0 {
                    *up += change;
                } else {
                    *down -= change;
                }
                let found = match *up != 0.0 || *down != 0.0 {
                    true => 100.0 * ((*up - *down) / (*up + *down)),
                    false => 0.0,
                };
                if held.len() as u64 == *period
                    && let Some((_, oldest)) = held.pop_front()
                {
                    if oldest > 0.0 {
                        *up -= oldest;
                    } else {
                        *down += oldest;
                    }
                }
                held.push_back((value, change));
                found
            }
        }
    }
}

/// Averages of averages; with the simple warm-up one begins when the one before it is warm.
fn smooth(method: Method, averages: &mut [Average; 3], last: &mut f64, value: f64) -> f64 {
    let [one, two, three] = averages;
    let begins = |before: &Average| before.is_warm() || !before.simple;
    let first = one.add(value);
    let second = if begins(one) && method != Method::Single { two.add(first) } else { first };
    let deep = matches!(method, Method::Triple | Method::TripleDerivative);
    let third = if begins(two) && deep { three.add(second) } else { second };
    match method {
        Method::Double => 2.0 * first - second,
        Method::Triple => 3.0 * first - 3.0 * second + third,
        Method::TripleDerivative => (third / std::mem::replace(last, third) - 1.0) * 100.0,
        _ => first,
    }
}

/// An exponential moving average.
#[derive(Clone, Copy)]
struct Average {
    period: u64,
    alpha: f64,
    simple: bool,
    /// Points so far, up to the period.
    count: u64,
    last: f64,
}

impl Average {
    fn is_warm(&self) -> bool {
        self.count == self.period
    }

    fn add(&mut self, value: f64) -> f64 {
        let count = self.count as f64;
        self.last = match (self.count, self.is_warm()) {
            (0, _) => value,
            (_, true) => (value - self.last) * self.alpha + self.last,
            (_, false) if self.simple => (self.last * count + value) / (count + 1.0),
            (_, false) => (value - self.last) * (2.0 / (count + 2.0)) + self.last,
        };
        self.count = (self.count + 1).min(self.period);
        self.last
    }
}

/// How straight the way of the last points was.
struct Efficiency {
    period: u64,
    /// Values and their distances from the ones before.
    held: VecDeque<(f64, f64)>,
    noise: f64,
    /// Whether the first point left the period.
    turned: bool,
}

impl Efficiency {
    fn add(&mut self, value: f64) -> f64 {
        let before = self.held.back().map_or(0.0, |(before, _)| *before);
        let full = self.held.len() as u64 == self.period;
        self.turned |= full;
        let (oldest, step) = if full { self.held.pop_front() } else { None }.unwrap_or_default();
        let signal = (value - oldest).abs();
        let distance = (value - before).abs();
        self.noise -= step;
        self.noise += distance;
        self.held.push_back((value, distance));
        if signal == 0.0 || self.noise == 0.0 { 0.0 } else { signal / self.noise }
    }
}

#[cfg(test)]
mod tests {
    use super::super::number;
    use super::*;

    /// 1 to 15 and down again, one a second.
    fn call(method: Method, warm_up: WarmUp) -> Vec<(i64, f64)> {
        let values = (1..=15).chain((1..15).rev());
        let points = values.enumerate().map(|(at, value)| (at as i64, f64::from(value)));
        let found = Technical { method, period: 4, hold: None, warm_up }.apply(points);
        found.into_iter().map(|(at, point)| (at, number(&point.value.unwrap()).unwrap())).collect()
    }

    fn check(found: &[(i64, f64)], from: i64, first: &[f64], last: f64) {
        assert_eq!(found[0].0, from);
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12 * expected.abs();
        for (found, expected) in found.iter().zip(first) {
            assert!(close(found.1, *expected), "{found:?} {expected}");
        }
        assert!(close(found[found.len() - 1].1, last), "{found:?}");
        assert_eq!(found[found.len() - 1].0, 28);
    }

    #[test]
    fn averages_are_those_of_the_reference() {
        use Method as M;
        use WarmUp::{Exponential as E, Simple as S};
        check(&call(M::Single, E), 3, &[3.0, 3.8, 4.68, 5.608], 2.4976504965915214);
        check(&call(M::Single, S), 3, &[2.5, 3.5, 4.5], 2.49764907507712);
        check(&call(M::Double, E), 3, &[3.666666666666667, 4.68, 5.736], 1.0131500167478458);
        check(&call(M::Triple, E), 3, &[3.8888888888888893, 4.941333333333332], 0.9737385053391945);
        let first = [21.835294117647063, 22.989571263035913];
        check(&call(M::TripleDerivative, E), 4, &first, -15.075074837762559);
        assert_eq!(call(M::Double, S)[0].0, 6);
        assert_eq!(call(M::Triple, S)[0].0, 9);
        assert_eq!(call(M::TripleDerivative, S)[0].0, 10);
    }

    #[test]
    fn indices_are_those_of_the_reference() {
        use Method as M;
        use WarmUp::{Exponential as E, None as N, Simple as S};
        check(&call(M::Strength, E), 4, &[100.0], 1.7817948013544083);
        check(
            &call(M::Adaptive, E),
            4,
            &[4.444444444444445, 5.135802469135803],
            2.2504569539910184,
        );
        check(&call(M::Efficiency, E), 4, &[1.0], 1.0);
        check(&call(M::Momentum, N), 3, &[100.0], -100.0);
        check(&call(M::Momentum, S), 4, &[100.0], -96.43641039729118);
    }

    #[test]
    fn the_hold_period_can_be_chosen() {
        let points = || (0..5).map(|at| (at, at as f64));
        let call = Technical {
            method: Method::Single,
            period: 3,
            hold: Some(0),
            warm_up: WarmUp::Exponential,
        };
        assert_eq!(call.apply(points()).len(), 5);
        assert_eq!(Technical { hold: Some(4), ..call }.apply(points()).len(), 1);
        assert!(Technical { period: u64::MAX, hold: None, ..call }.apply(points()).is_empty());
    }
}
