//! Floats of few decimals as integers, only when they come back bit for bit.
//!
//! A value `v` scales by `k` decimals if `round(v * 10^k) / 10^k` has the very bits of `v`;
//! negative zero, infinities and NaN never do. Rounding and the way to i64 and back use one
//! addition of 1.5 * 2^52, which any vector unit has; so a scaled value stays below 2^51 in
//! magnitude.

/// The most decimals tried.
pub const DECIMALS_MAX: u8 = 9;

const POWERS: [f64; DECIMALS_MAX as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Added to a double below 2^51 it leaves the rounded integer in the low mantissa bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;
const LIMIT: f64 = 2_251_799_813_685_248.0;
/// Values checked before the result is looked at.
const STRIDE: usize = 32;

/// The factor of `decimals`; 1 for more than `DECIMALS_MAX`, which readers refuse.
#[inline(always)]
pub fn power(decimals: u8) -> f64 {
    POWERS.get(decimals as usize).copied().unwrap_or(1.0)
}

/// A value that is known to scale, as an integer.
#[inline(always)]
pub fn to_integer(value: f64, power: f64) -> i64 {
    ((value * power + MAGIC).to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64)
}

/// Undoes `to_integer`; any integer gives some double.
#[inline(always)]
pub fn to_float(scaled: i64, power: f64) -> f64 {
    (f64::from_bits(scaled.wrapping_add(MAGIC.to_bits() as i64) as u64) - MAGIC) / power
}

/// The few decimals under which all of a column's values scale, and their range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scale {
    pub decimals: u8,
    /// Smallest and largest scaled value.
    pub min: i64,
    pub max: i64,
}

/// Finds the scale of `values`; `None` when some value has none. Gives up at the first value that
/// no number of decimals fits, so noise costs next to nothing.
pub fn find(values: &[f64]) -> Option<Scale> {
    let mut decimals = 0;
    loop {
        match scan(values, decimals) {
            Ok((min, max)) => return Some(Scale { decimals, min, max }),
            Err(stopper) => {
                decimals =
                    (decimals + 1..=DECIMALS_MAX).find(|k| inexact(stopper, power(*k)).0 == 0)?;
            }
        }
    }
}

/// The range of all scaled values, or a value that does not scale.
fn scan(values: &[f64], decimals: u8) -> Result<(i64, i64), f64> {
    let power = power(decimals);
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for part in values.chunks(STRIDE) {
        let mut wrong = 0;
        for value in part {
            let (bits, rounded) = inexact(*value, power);
            wrong |= bits;
            min = if rounded < min { rounded } else { min };
            max = if rounded > max { rounded } else { max };
        }
        if wrong != 0 {
            let stopper = part.iter().find(|value| inexact(**value, power).0 != 0);
            return Err(stopper.copied().unwrap_or(f64::NAN));
        }
    }
    match values {
        [] => Ok((0, 0)),
        _ => Ok((min as i64, max as i64)),
    }
}

/// Zero if the value comes back from being scaled, and the scaled value. The limit also stops NaN,
/// which would keep its bits through the arithmetic, but not through an integer.
#[inline(always)]
fn inexact(value: f64, power: f64) -> (u64, f64) {
    let rounded = value * power + MAGIC - MAGIC;
    let over = u64::from(rounded.abs() < LIMIT) ^ 1;
    ((rounded / power).to_bits() ^ value.to_bits() | over, rounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn comes_back(values: &[f64]) -> Option<u8> {
        let scale = find(values)?;
        let power = power(scale.decimals);
        for value in values {
            let scaled = to_integer(*value, power);
            assert!((scale.min..=scale.max).contains(&scaled));
            assert_eq!(to_float(scaled, power).to_bits(), value.to_bits());
        }
        Some(scale.decimals)
    }

    #[test]
    fn the_fewest_decimals_are_found() {
        assert_eq!(comes_back(&[]), Some(0));
        assert_eq!(comes_back(&[0.0, 5.0, -7.0]), Some(0));
        assert_eq!(comes_back(&[5.0, 0.1, 20.25]), Some(2));
        assert_eq!(comes_back(&[1e-9]), Some(9));
        assert_eq!(comes_back(&[2251799813685247.0, -2251799813685247.0]), Some(0));
    }

    #[test]
    fn what_would_lose_a_bit_is_refused() {
        let strange = [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-10, 1.0 / 3.0, 1e300];
        for value in strange {
            assert_eq!(find(&[1.5, value]), None, "{value}");
        }
        assert_eq!(find(&[2251799813685248.0]), None);
    }

    proptest! {
        #[test]
        fn whatever_is_found_is_exact(bits in proptest::collection::vec(any::<u64>(), 0..5)) {
            comes_back(&bits.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }

        #[test]
        fn decimal_numbers_are_found(
            scaled in proptest::collection::vec(-1_000_000_000_000i64..1_000_000_000_000, 1..100),
            decimals in 0..=3u8,
        ) {
            let power = power(decimals);
            let values: Vec<f64> = scaled.iter().map(|n| *n as f64 / power).collect();
            // Zero may come as -0.0 from no integer, so these all scale.
            prop_assert!(comes_back(&values).is_some_and(|found| found <= decimals));
        }

        #[test]
        fn foreign_integers_do_not_panic(scaled in any::<i64>(), decimals in any::<u8>()) {
            to_float(scaled, power(decimals));
        }
    }
}
