//! holt_winters() and holt_winters_with_fit(): damped trend with multiplicative seasons.
//!
//! In: numbers in time order, one an interval. Out: predicted points behind the last one, with the
//! fit also those before. The method is that of Holt and Winters with a damped trend (Gardner and
//! McKenzie 1985, "Forecasting trends in time series"); its parameters are those with the least
//! squared one-step error that sixteen searches find. Gaps count as missing. Starting values and
//! the order of operations are InfluxDB's, so that results agree with it as far as the searches do
//! not diverge.

use super::nelder_mead::Search;
use super::timed;
use crate::model::Value;
use crate::query::QueryError;
use crate::query::select::fill::Timed;
use crate::shard::scan::ScanError;
use crate::shard::scan::expr::elementary::pow;
use futures_lite::future::yield_now;

/// Where searches begin, for each of alpha, beta, gamma and phi.
const BEGINNINGS: [f64; 2] = [0.3, 0.3 + 0.4];
/// Spread of errors at which a search ends.
const SPREAD: f64 = 1e-4;
/// Parameters before the seasonal factors: alpha, beta, gamma, phi, level, trend.
const PLAIN: usize = 6;
/// Steps of one forecast between two turns of other tasks, about.
const PAUSE_STEPS: usize = 8192;

/// A call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoltWinters {
    /// Points to predict.
    pub count: usize,
    /// Points of a season; below 2 there is none.
    pub season: usize,
    /// Whether the fitted points come as well.
    pub fit: bool,
    /// Distance of the points (ns, above 0).
    pub interval_ns: i64,
}

impl HoltWinters {
    /// Fits and predicts. Points backwards in time give nothing.
    ///
    /// # Errors
    /// More intervals, seasons or predictions than the memory allows.
    pub async fn apply(
        self,
        points: &[(i64, f64)],
        memory_bytes: usize,
    ) -> Result<Vec<Timed>, QueryError> {
        let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
            return Ok(Vec::new());
        };
        let seasonal = self.season > 1;
        let intervals =
            (self.round(*last) - self.round(*first)) / i128::from(self.interval_ns.max(1));
        // A gap that is not a number leaves no least error to be found.
        if points.iter().any(|(_, value)| value.is_nan()) {
            return Ok(Vec::new());
        }
        if points.len() < 2 || seasonal && points.len() < self.season || intervals <= 0 {
            return Ok(Vec::new());
        }
        let parameters = if seasonal { self.season.saturating_add(PLAIN) } else { PLAIN } as f64;
        let cells = (intervals as f64 + self.count as f64) * 8.0 + parameters * parameters;
        if cells * 8.0 > memory_bytes as f64 {
            return Err(ScanError::Memory { limit: memory_bytes }.into());
        }
        let known = self.spread_out(points);
        if seasonal && known.len() < self.season {
            return Ok(Vec::new());
        }
        let model = Model { known, seasonal };
        let Some(mut best) = model.fit(self.season).await else { return Ok(Vec::new()) };
        let forecast = model.forecast(self.count, &mut best);
        let (skipped, from) = if self.fit { (0, *first) } else { (model.known.len(), *last) };
        let mut out = Vec::new();
        for (at, value) in forecast.iter().skip(skipped).enumerate() {
            let steps = at as i64 + i64::from(!self.fit);
            let time = from.saturating_add(self.interval_ns.saturating_mul(steps));
            if !value.is_nan() {
                out.push(timed(time, Value::Float(*value)));
            }
        }
        Ok(out)
    }

    /// The multiple of the interval that is nearest, of two the lower; before 1970 towards 1970.
    fn round(self, at: i64) -> i128 {
        let interval = self.interval_ns.max(1);
        let up = at % interval > interval / 2;
        i128::from(at / interval + i64::from(up)) * i128::from(interval)
    }

    /// The values by interval; not a number where one is missing. The first of an interval counts.
    fn spread_out(self, points: &[(i64, f64)]) -> Vec<f64> {
        let mut out = Vec::new();
        let mut last: Option<i128> = None;
        for (at, value) in points {
            let rounded = self.round(*at);
            let gap = match last {
                Some(last) if rounded <= last => continue,
                Some(last) => (rounded - last) / i128::from(self.interval_ns.max(1)) - 1,
                None => 0,
            };
            out.extend((0..gap).map(|_| f64::NAN));
            out.push(*value);
            last = Some(rounded);
        }
        out
    }
}

/// What is known, by interval.
struct Model {
    known: Vec<f64>,
    seasonal: bool,
}

impl Model {
    /// The parameters with the least error.
    async fn fit(&self, season: usize) -> Option<Vec<f64>> {
        let mut start = self.start(season)?;
        let mut best: Option<(f64, Vec<f64>)> = None;
        let mut work = 0;
        for number in 0..16 {
            // Bits of the number choose the beginnings, those of alpha vary slowest.
            for (at, parameter) in start.iter_mut().take(4).enumerate() {
                let choice = number >> (3 - at) & 1;
                *parameter = BEGINNINGS.get(choice).copied().unwrap_or_default();
            }
            let mut error = |parameters: &mut [f64]| self.error(parameters);
            let mut search = Search::new(&mut error, &start, SPREAD);
            work += self.known.len() * start.len();
            loop {
                if work > PAUSE_STEPS {
                    work = 0;
                    yield_now().await;
                }
                work += 2 * self.known.len() + start.len() * start.len();
                if search.step(&mut error) {
                    break;
                }
            }
            let found = search.finish(&mut error);
            if best.as_ref().is_none_or(|(least, _)| found.0 < *least) {
                best = Some(found);
            }
        }
        best.map(|(_, parameters)| parameters)
    }

    /// Level, trend and seasons to begin with; the first four are chosen later.
    fn start(&self, season: usize) -> Option<Vec<f64>> {
        let y = |at: usize| self.known.get(at).copied().unwrap_or(f64::NAN);
        if !self.seasonal {
            let trend = 0.5 * (y(1) - y(0));
            let trend = if trend.is_nan() { 0.0 } else { trend };
            return Some(vec![0.0, 0.0, 0.0, 0.0, 0.5 * y(0), trend]);
        }
        let length = season as f64;
        let (mut level, mut trend) = (0.0, 0.0);
        let first = self.known.get(..season)?;
        for value in first.iter().filter(|value| !value.is_nan()) {
            level += 1.0 / length * value;
        }
        for (at, value) in first.iter().enumerate() {
            let change = y(season + at) - value;
            if !change.is_nan() {
                trend += 1.0 / (length * length) * change;
            }
        }
        let factor = |value: &f64| if value.is_nan() { 0.0 } else { value / level };
        let mut out = vec![0.0, 0.0, 0.0, 0.0, level, trend];
        out.extend(first.iter().map(factor));
        Some(out)
    }

    /// The sum of squared errors of the one-step forecasts.
    fn error(&self, parameters: &mut [f64]) -> f64 {
        let forecast = self.forecast(0, parameters);
        let mut sum = 0.0;
        for (found, known) in forecast.iter().zip(&self.known) {
            if known.is_nan() {
                continue;
            }
            if found.is_nan() {
                return f64::INFINITY;
            }
            sum += (found - known) * (found - known);
        }
        sum
    }

    /// One value for each known interval and `more` after them. Pulls the smoothing factors into
    /// 0..=1 and leaves the last seasonal factors in the parameters.
    fn forecast(&self, more: usize, parameters: &mut [f64]) -> Vec<f64> {
        let Some(([alpha, beta, gamma, phi, level, trend], seasons)) =
            parameters.split_first_chunk_mut::<PLAIN>()
        else {
            return Vec::new();
        };
        for factor in [&mut *alpha, &mut *beta, &mut *gamma, &mut *phi] {
            *factor = factor.clamp(0.0, 1.0);
        }
        let (alpha, beta, gamma, phi) = (*alpha, *beta, *gamma, *phi);
        let (mut level, mut trend, mut damping) = (*level, *trend, phi);
        let mut value = self.known.first().copied().unwrap_or(f64::NAN);
        let count = self.known.len().saturating_add(more);
        let mut out = Vec::with_capacity(count);
        out.push(value);
        let length = seasons.len();
        for t in 1..count {
            // A step replaces the factor at `2 (t - 1)` and forecasts with the one `t` further.
            let at = |step: usize| step.checked_rem(length).unwrap_or(0);
            let (now, ahead) = match self.seasonal {
                true => (
                    seasons.get(at(2 * (t - 1))).copied().unwrap_or(1.0),
                    seasons.get(at(2 * (t - 1) + t % length.max(1))).copied().unwrap_or(1.0),
                ),
                false => (1.0, 1.0),
            };
            let before = level + phi * trend;
            let raised = alpha * (value / now) + (1.0 - alpha) * before;
            let next_trend = beta * (raised - level) + (1.0 - beta) * phi * trend;
            let season = gamma * (value / before) + (1.0 - gamma) * now;
            (level, trend) = (raised, next_trend);
            value = (level + damping * trend) * ahead;
            damping += pow(phi, t as f64);
            if self.seasonal
                && let Some(slot) = seasons.get_mut(at(2 * (t - 1)))
            {
                *slot = season;
            }
            out.push(value);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::number;
    use super::*;
    use futures_lite::future::block_on;

    fn run(model: HoltWinters, points: &[(i64, f64)]) -> Vec<(i64, f64)> {
        let found = block_on(model.apply(points, 1 << 20)).unwrap();
        found.into_iter().map(|(at, point)| (at, number(&point.value.unwrap()).unwrap())).collect()
    }

    fn assert_close(found: &[(i64, f64)], expected: &[(i64, f64)]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                found.0 == expected.0 && (found.1 / expected.1 - 1.0).abs() < 1e-9,
                "{found:?} {expected:?}"
            );
        }
    }

    #[test]
    fn predictions_are_those_of_the_reference() {
        let model = HoltWinters { count: 3, season: 0, fit: false, interval_ns: 10 };
        let points = [(0, 1.0), (10, 2.0), (20, 3.0), (60, 4.0), (70, 5.0), (80, 6.0)];
        let expected =
            [(90, 7.386969181068271), (100, 9.34419153845424), (110, 12.070552195838353)];
        assert_close(&run(model, &points), &expected);
        let model = HoltWinters { season: 2, fit: true, ..model };
        let expected = [
            (0, 1.0),
            (10, 2.049076356340305),
            (20, 2.9211477499357494),
            (30, 2.505995128004543),
            (40, 3.1613751631110687),
            (50, 3.330818350490378),
            (60, 4.135260588501875),
            (70, 4.804304317352885),
            (80, 6.072420288184329),
            (90, 6.906924439178956),
            (100, 8.532393837230996),
            (110, 9.40859564214107),
        ];
        assert_close(&run(model, &points), &expected);
    }

    #[test]
    fn too_little_gives_nothing_and_too_much_is_refused() {
        let model = HoltWinters { count: 3, season: 4, fit: false, interval_ns: 10 };
        assert!(run(model, &[(0, 1.0), (10, 2.0), (20, 3.0)]).is_empty());
        assert!(run(model, &[(0, 1.0)]).is_empty());
        let model = HoltWinters { season: 0, ..model };
        assert!(run(model, &[(20, 1.0), (10, 2.0)]).is_empty());
        let far = [(0, 1.0), (i64::MAX, 2.0)];
        assert!(block_on(model.apply(&far, 1 << 20)).is_err());
        let model = HoltWinters { count: usize::MAX, ..model };
        assert!(block_on(model.apply(&[(0, 1.0), (10, 2.0)], 1 << 20)).is_err());
    }
}
