//! The simplex method of Nelder and Mead ("A simplex method for function minimization", 1965).
//!
//! In: a function of several numbers and where to begin. Out: its least value found, and where.
//! Reflection 1, expansion 2, contraction 0.5; the first simplex is the regular one of Spendley,
//! Hext and Himsworth with edges of length 1. The work goes step by step, so that whoever waits for
//! it can pause. The function may change the place it is asked for, to pull it into its bounds.

/// Steps until the search ends anyway.
const STEPS_MAX: usize = 1000;

/// A search under way.
pub struct Search {
    /// Corners with the values there.
    corners: Vec<(Vec<f64>, f64)>,
    /// Spread of the values at which the search ends.
    spread: f64,
    steps: usize,
}

impl Search {
    /// Begins at `start`, which is not empty.
    pub fn new(function: &mut impl FnMut(&mut [f64]) -> f64, start: &[f64], spread: f64) -> Search {
        let n = start.len() as f64;
        let root = (n + 1.0).sqrt() - 1.0;
        let near = root / (n * 2f64.sqrt());
        let far = (root + n) / (n * 2f64.sqrt());
        let corner = |number: usize| {
            let step = |at: usize| if at + 1 == number { far } else { near };
            let mut place: Vec<f64> = match number {
                0 => start.to_vec(),
                _ => start.iter().enumerate().map(|(at, from)| step(at) + from).collect(),
            };
            let value = function(&mut place);
            (place, value)
        };
        Search { corners: (0..=start.len()).map(corner).collect(), spread, steps: 0 }
    }

    /// One step; whether the search is over.
    pub fn step(&mut self, function: &mut impl FnMut(&mut [f64]) -> f64) -> bool {
        let (best, second, worst) = self.ranks();
        let values = (self.value(best), self.value(second), self.value(worst));
        let center = self.center(worst);
        let mut reflected = self.along(&center, worst, -1.0);
        let value = function(&mut reflected);
        if value < values.0 {
            let beyond =
                reflected.iter().zip(&center).map(|(at, center)| center + 2.0 * (at - center));
            let mut beyond: Vec<f64> = beyond.collect();
            let further = function(&mut beyond);
            match further < value {
                true => self.put(worst, beyond, further),
                false => self.put(worst, reflected, value),
            }
        } else if value < values.1 {
            self.put(worst, reflected, value);
        } else {
            let mut between: Vec<f64> = match value < values.2 {
                true => {
                    let pairs = reflected.iter().zip(&center);
                    pairs.map(|(at, center)| center + 0.5 * (at - center)).collect()
                }
                false => self.along(&center, worst, 0.5),
            };
            let nearer = function(&mut between);
            match nearer < values.2 {
                true => self.put(worst, between, nearer),
                false => self.shrink(function, best, second, worst),
            }
        }
        self.steps += 1;
        self.steps >= STEPS_MAX || self.deviation() < self.spread
    }

    /// The least value found and its place.
    pub fn finish(mut self, function: &mut impl FnMut(&mut [f64]) -> f64) -> (f64, Vec<f64>) {
        let (best, ..) = self.ranks();
        if best >= self.corners.len() {
            return (f64::INFINITY, Vec::new());
        }
        let (mut place, _) = self.corners.swap_remove(best);
        let found = place.clone();
        (function(&mut place), found)
    }

    fn value(&self, corner: usize) -> f64 {
        self.corners.get(corner).map_or(f64::INFINITY, |(_, value)| *value)
    }

    fn put(&mut self, corner: usize, place: Vec<f64>, value: f64) {
        if let Some(slot) = self.corners.get_mut(corner) {
            *slot = (place, value);
        }
    }

    /// The corners with the least, the second largest and the largest value.
    fn ranks(&self) -> (usize, usize, usize) {
        let (mut best, mut worst) = (0, 0);
        for at in 0..self.corners.len() {
            if self.value(at) > self.value(worst) {
                worst = at;
            }
            if self.value(at) < self.value(best) {
                best = at;
            }
        }
        let mut second = best;
        for at in 0..self.corners.len() {
            if self.value(at) > self.value(second) && self.value(at) < self.value(worst) {
                second = at;
            }
        }
        (best, second, worst)
    }

    /// The middle of all corners but one.
    fn center(&self, without: usize) -> Vec<f64> {
        let count = self.corners.len().saturating_sub(1);
        let mut sums = vec![0.0; count];
        for (_, (place, _)) in self.corners.iter().enumerate().filter(|(at, _)| *at != without) {
            sums.iter_mut().zip(place).for_each(|(sum, value)| *sum += value);
        }
        sums.iter_mut().for_each(|sum| *sum /= count as f64);
        sums
    }

    /// The point on the line through the center and a corner, `share` of their distance from the
    /// center.
    fn along(&self, center: &[f64], corner: usize, share: f64) -> Vec<f64> {
        let place = self.corners.get(corner).map_or(&[][..], |(place, _)| place);
        center.iter().zip(place).map(|(center, at)| center - share * (center - at)).collect()
    }

    /// Halves all edges at the best corner. Only two corners are valued anew; the others keep
    /// theirs.
    fn shrink(
        &mut self,
        function: &mut impl FnMut(&mut [f64]) -> f64,
        best: usize,
        second: usize,
        worst: usize,
    ) {
        let Some(fixed) = self.corners.get(best).map(|(place, _)| place.clone()) else { return };
        for (at, (place, _)) in self.corners.iter_mut().enumerate() {
            if at != best {
                let pairs = place.iter_mut().zip(&fixed);
                pairs.for_each(|(value, fixed)| *value = fixed + (*value - fixed) / 2.0);
            }
        }
        for at in [worst, second] {
            if let Some((place, value)) = self.corners.get_mut(at) {
                *value = function(place);
            }
        }
    }

    fn deviation(&self) -> f64 {
        let count = self.corners.len() as f64;
        let mean = self.corners.iter().map(|(_, value)| value).sum::<f64>() / count;
        let squares = self.corners.iter().map(|(_, value)| (value - mean) * (value - mean));
        squares.map(|square| square / (count - 1.0)).sum::<f64>().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_curved_valley_is_found() {
        let mut valley =
            |x: &mut [f64]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let mut search = Search::new(&mut valley, &[-1.2, 1.0], 1e-10);
        let mut steps = 1;
        while !search.step(&mut valley) {
            steps += 1;
        }
        let (value, place) = search.finish(&mut valley);
        assert!(value < 1e-8 && (place[0] - 1.0).abs() < 1e-3, "{value} at {place:?}");
        assert!(steps < 200);
    }

    #[test]
    fn a_plain_without_end_ends() {
        let mut plain = |x: &mut [f64]| -x[0];
        let mut search = Search::new(&mut plain, &[0.0], 1e-4);
        let mut steps = 1;
        while !search.step(&mut plain) {
            steps += 1;
        }
        assert!(steps <= STEPS_MAX);
    }
}
