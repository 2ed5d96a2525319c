//! Elementary functions, bit for bit the same on every machine.
//!
//! In: floats. Out: floats within about one unit of the last place, and the same units that
//! InfluxDB gives, so that answers can be compared as text. The C library's functions round
//! otherwise, and differ between its versions. Methods and coefficients: Cephes (Moshier) for the
//! circular functions, FreeBSD's msun for the logarithm, Shibata's halved Taylor series ("Efficient
//! evaluation methods of elementary functions suitable for SIMD computation") for the exponential,
//! powers by squaring the mantissa.

#![expect(clippy::excessive_precision, reason = "coefficients stand as they are published")]

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LOG2_E, LOG10_E, PI, SQRT_2};

/// From here on the reduction by three parts of pi/4 has no bits left.
const REDUCED_MAX: f64 = (1u64 << 29) as f64;

/// Coefficients, the highest power first.
const SIN: [f64; 6] = [
    1.589_623_015_765_465_680_60e-10,
    -2.505_074_776_285_780_728_66e-8,
    2.755_731_362_138_572_452_13e-6,
    -1.984_126_982_958_953_859_96e-4,
    8.333_333_333_322_118_588_78e-3,
    -1.666_666_666_666_663_072_95e-1,
];
const COS: [f64; 6] = [
    -1.135_853_652_138_768_173_00e-11,
    2.087_570_084_197_473_167_78e-9,
    -2.755_731_417_929_673_881_12e-7,
    2.480_158_728_885_170_453_48e-5,
    -1.388_888_888_887_305_641_16e-3,
    4.166_666_666_666_659_292_18e-2,
];
const TAN_OVER: [f64; 3] = [
    -1.309_369_391_813_837_342_05e4,
    1.153_516_648_385_874_161_40e6,
    -1.795_652_519_764_848_779_88e7,
];
const TAN_UNDER: [f64; 5] = [
    1.0,
    1.368_129_634_706_929_546_78e4,
    -1.320_892_344_402_109_674_47e6,
    2.500_838_018_233_579_158_39e7,
    -5.386_957_559_294_546_298_81e7,
];
const ATAN_OVER: [f64; 5] = [
    -8.750_608_600_031_904_122_785e-1,
    -1.615_753_718_733_365_076_637e1,
    -7.500_855_792_314_704_667_340e1,
    -1.228_866_684_490_136_173_410e2,
    -6.485_021_904_942_025_371_773e1,
];
const ATAN_UNDER: [f64; 6] = [
    1.0,
    2.485_846_490_142_306_297_962e1,
    1.650_270_098_316_988_542_046e2,
    4.328_810_604_912_902_668_951e2,
    4.853_903_996_359_136_964_868e2,
    1.945_506_571_482_613_964_425e2,
];
/// 1/8! to 1/2!, then 1.
const EXP: [f64; 8] = [
    2.480_158_730_158_730_158_7e-5,
    1.984_126_984_126_984_127_0e-4,
    1.388_888_888_888_888_888_9e-3,
    8.333_333_333_333_333_333_3e-3,
    4.166_666_666_666_666_666_7e-2,
    1.666_666_666_666_666_666_7e-1,
    0.5,
    1.0,
];

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().copied().reduce(|sum, next| sum * x + next).unwrap_or(0.0)
}

/// A positive angle as (octant, rest): the even octant nearest below, and what is left of it
/// (between -pi/4 and pi/4).
fn octant(x: f64) -> (u64, f64) {
    const PARTS: [f64; 3] = [
        7.853_981_256_484_985_351_56e-1,
        3.774_894_707_930_798_176_68e-8,
        2.695_151_429_079_059_526_45e-15,
    ];
    let number = (x * (4.0 / PI)) as u64;
    let even = number + (number & 1);
    let whole = even as f64;
    (even & 7, PARTS.iter().fold(x, |rest, part| rest - whole * part))
}

fn sin_of(z: f64) -> f64 {
    let zz = z * z;
    z + z * zz * polynomial(&SIN, zz)
}

fn cos_of(z: f64) -> f64 {
    let zz = z * z;
    1.0 - 0.5 * zz + zz * zz * polynomial(&COS, zz)
}

/// Sine of an angle in radians.
pub fn sin(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() || x.abs() >= REDUCED_MAX {
        return x.sin();
    }
    let (octant, rest) = octant(x.abs());
    let value = if octant & 3 == 2 { cos_of(rest) } else { sin_of(rest) };
    if (x < 0.0) == (octant > 3) { value } else { -value }
}

/// Cosine of an angle in radians.
pub fn cos(x: f64) -> f64 {
    if !x.is_finite() || x.abs() >= REDUCED_MAX {
        return x.cos();
    }
    let (octant, rest) = octant(x.abs());
    let (value, negative) = match octant {
        0 => (cos_of(rest), false),
        2 => (sin_of(rest), true),
        4 => (cos_of(rest), true),
        _ => (sin_of(rest), false),
    };
    if negative { -value } else { value }
}

/// Tangent of an angle in radians.
pub fn tan(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() || x.abs() >= REDUCED_MAX {
        return x.tan();
    }
    let (octant, z) = octant(x.abs());
    let zz = z * z;
    let mut value = z;
    if zz > 1e-14 {
        value = z + z * (zz * polynomial(&TAN_OVER, zz) / polynomial(&TAN_UNDER, zz));
    }
    if octant & 2 == 2 {
        value = -1.0 / value;
    }
    if x < 0.0 { -value } else { value }
}

fn atan_small(x: f64) -> f64 {
    let z = x * x;
    let z = z * polynomial(&ATAN_OVER, z) / polynomial(&ATAN_UNDER, z);
    x * z + x
}

fn atan_positive(x: f64) -> f64 {
    /// What the double pi/2 lacks.
    const REST: f64 = 6.123_233_995_736_765_886_130e-17;
    /// tan(3 pi/8)
    const STEEP: f64 = 1.0 + SQRT_2;
    if x <= 0.66 {
        atan_small(x)
    } else if x > STEEP {
        FRAC_PI_2 - atan_small(1.0 / x) + REST
    } else {
        FRAC_PI_4 + atan_small((x - 1.0) / (x + 1.0)) + 0.5 * REST
    }
}

/// Arc tangent.
pub fn atan(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    if x > 0.0 { atan_positive(x) } else { -atan_positive(-x) }
}

/// Arc sine; not a number outside of -1..=1.
pub fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let side = x.abs();
    if side.is_nan() || side > 1.0 {
        return f64::NAN;
    }
    let other = (1.0 - side * side).sqrt();
    let value = if side > 0.7 {
        FRAC_PI_2 - atan_positive(other / side)
    } else {
        atan_positive(side / other)
    };
    if x < 0.0 { -value } else { value }
}

/// Arc cosine; not a number outside of -1..=1.
pub fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

/// The angle of the point (x, y).
pub fn atan2(y: f64, x: f64) -> f64 {
    if x == 0.0 || y == 0.0 || !x.is_finite() || !y.is_finite() {
        return y.atan2(x);
    }
    let angle = atan(y / x);
    match (x < 0.0, angle <= 0.0) {
        (true, true) => angle + PI,
        (true, false) => angle - PI,
        (false, _) => angle,
    }
}

/// e to the power of x.
pub fn exp(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN_2_LOW: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;
    if !(-700.0..=709.0).contains(&x) {
        return x.exp();
    }
    let power = (x * LOG2_E).round_ties_even();
    let rest = (-power).mul_add(LN_2_HIGH, x);
    let rest = (-power).mul_add(LN_2_LOW, rest) * 0.0625;
    let series = EXP.iter().copied().reduce(|sum, next| sum.mul_add(rest, next)).unwrap_or(1.0);
    // e^x - 1 of a sixteenth of the rest, doubled four times: (a + 1)^2 - 1 = a (a + 2), the last
    // time together with the 1 that was left out.
    let mut value = rest * series;
    for _ in 0..3 {
        value *= value + 2.0;
    }
    scale(value.mul_add(value + 2.0, 1.0), power as i32)
}

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    const ODD: [f64; 4] = [
        1.479_819_860_511_658_591e-1,
        1.818_357_216_161_805_012e-1,
        2.857_142_874_366_239_149e-1,
        6.666_666_666_666_735_130e-1,
    ];
    const EVEN: [f64; 3] =
        [1.531_383_769_920_937_332e-1, 2.222_219_843_214_978_396e-1, 3.999_999_999_940_941_908e-1];
    const LN_2_HIGH: f64 = 6.931_471_803_691_238_164_90e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;
    if !x.is_finite() || x <= 0.0 {
        return x.ln();
    }
    let (mut part, mut power) = split(x);
    if part < SQRT_2 / 2.0 {
        part *= 2.0;
        power -= 1;
    }
    let (f, k) = (part - 1.0, f64::from(power));
    let s = f / (2.0 + f);
    let (s2, s4) = (s * s, (s * s) * (s * s));
    let rest = s2 * polynomial(&ODD, s4) + s4 * polynomial(&EVEN, s4);
    let half = 0.5 * f * f;
    k * LN_2_HIGH - ((half - (s * (half + rest) + k * LN_2_LOW)) - f)
}

/// Logarithm to the base 2; exact for powers of two.
pub fn log2(x: f64) -> f64 {
    if !x.is_finite() || x <= 0.0 {
        return x.log2();
    }
    let (part, power) = split(x);
    if part == 0.5 {
        return f64::from(power - 1);
    }
    ln(part) * LOG2_E + f64::from(power)
}

/// Logarithm to the base 10.
pub fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

/// x to the power of y.
pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if x == 0.0 || !x.is_finite() || !y.is_finite() || y.abs() >= 9.223_372_036_854_775_8e18 {
        return x.powf(y);
    }
    if y == 0.5 || y == -0.5 {
        return if y > 0.0 { x.sqrt() } else { 1.0 / x.sqrt() };
    }
    let (mut whole, mut part) = (y.abs().trunc(), y.abs().fract());
    if part != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    let (mut value, mut exponent) = (1.0, 0i64);
    if part != 0.0 {
        if part > 0.5 {
            part -= 1.0;
            whole += 1.0;
        }
        value = exp(part * ln(x));
    }
    let (mut base, power) = split(x);
    let (mut power, mut times) = (i64::from(power), whole as i64);
    while times != 0 {
        if power.abs() > 1 << 12 {
            exponent += power;
            break;
        }
        if times & 1 == 1 {
            value *= base;
            exponent += power;
        }
        base *= base;
        power *= 2;
        if base < 0.5 {
            base += base;
            power -= 1;
        }
        times >>= 1;
    }
    if y < 0.0 {
        value = 1.0 / value;
        exponent = -exponent;
    }
    scale(value, exponent.clamp(-5000, 5000) as i32)
}

/// A finite number as (mantissa, exponent), the mantissa's absolute value in 0.5..1.
fn split(x: f64) -> (f64, i32) {
    const MANTISSA: u64 = (1 << 52) - 1;
    if x == 0.0 {
        return (x, 0);
    }
    let (x, shift) = if x.abs() < f64::MIN_POSITIVE { (x * 2f64.powi(52), -52) } else { (x, 0) };
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    let part = bits & (MANTISSA | 1 << 63) | 1022 << 52;
    (f64::from_bits(part), exponent + shift)
}

/// x times 2 to the power of an exponent, rounded once.
fn scale(x: f64, exponent: i32) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let (part, own) = split(x);
    let power = own + exponent;
    match power {
        1025.. => f64::INFINITY.copysign(x),
        -1020..1025 => part * 2.0 * 2f64.powi(power - 1),
        -1080..-1020 => part * 2f64.powi(power + 100) * 2f64.powi(-100),
        _ => 0f64.copysign(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(found: f64, expected: f64, scale: f64) -> bool {
        found == expected
            || found.is_nan() && expected.is_nan()
            || (found - expected).abs() <= 4.0 * f64::EPSILON * expected.abs().max(scale)
    }

    #[test]
    fn digits_are_those_of_the_reference() {
        assert_eq!(tan(5.0), -3.380_515_006_246_585_4);
        assert_eq!(tan(1.0), 1.557_407_724_654_902);
        assert_eq!(pow(2.0, 8.35), 326.287_520_593_731);
        assert_eq!(pow(2.0, -3.71), 0.076_415_017_355_754_29);
        assert_eq!(asin(1.0), FRAC_PI_2);
        assert_eq!(exp(1.0), std::f64::consts::E);
        assert_eq!(pow(3.0, 5.0), 243.0);
        assert_eq!(pow(2.0, -8.0), 0.003_906_25);
        assert_eq!(log2(8.0), 3.0);
        assert_eq!(pow(-2.0, 3.0), -8.0);
        assert!(pow(-2.0, 0.3).is_nan());
        assert_eq!(pow(10.0, 400.0), f64::INFINITY);
        assert_eq!(pow(10.0, -400.0), 0.0);
    }

    proptest! {
        #[test]
        fn values_are_those_of_the_c_library_but_for_the_last_digits(
            x in -1e4f64..1e4,
            y in -20f64..20.0,
            small in -1f64..1.0,
        ) {
            prop_assert!(close(sin(x), x.sin(), 1.0) && close(cos(x), x.cos(), 1.0));
            prop_assert!(close(tan(small), small.tan(), 1e-3));
            prop_assert!(close(atan(x), x.atan(), 1e-3) && close(atan2(y, x), y.atan2(x), 1e-3));
            prop_assert!(close(asin(small), small.asin(), 1e-3));
            prop_assert!(close(acos(small), small.acos(), 1.0));
            prop_assert!(close(exp(y), y.exp(), 1e-9), "{} {}", exp(y), y.exp());
            prop_assert!(close(ln(x), x.ln(), 1e-3) && close(log2(x), x.log2(), 1e-3));
            prop_assert!(close(log10(x), x.log10(), 1e-3));
            let power = x.abs().powf(y);
            prop_assert!((pow(x.abs(), y) - power).abs() <= 1e-13 * power, "{x} {y}");
        }

        #[test]
        fn splitting_and_scaling_undo_each_other(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            if x.is_finite() && x != 0.0 {
                let (part, power) = split(x);
                prop_assert!((0.5..1.0).contains(&part.abs()));
                prop_assert_eq!(scale(part, power), x);
            }
        }
    }
}
