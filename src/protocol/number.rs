//! Numbers out of text: a fast way for what agents send, an exact way for everything else.
//!
//! The fast way reads a prefix of the text and says how long it was; the caller looks at the byte
//! behind it. Eight digits are read in one step. A decimal whose digits, taken as an integer, stay
//! below 2^53 and which has at most 22 digits behind the dot is exact as integer divided by a power
//! of ten, because both are floats without error (Clinger's fast path). Others go to `fast_float2`.

/// Powers of ten that are exact floats and can follow a mantissa of up to 19 digits.
const POWERS: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19,
];

/// Why text is no 64-bit integer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntegerError {
    /// Not an optional minus and digits.
    Syntax,
    /// Does not fit into 64 bits.
    Range,
}

/// Reads `[-]digits[.digits]` or, exactly but slower, any float `fast_float2` knows, from the start
/// of the text. Gives the value and its length; `None` when there is no finite number.
#[inline]
pub fn float_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let digits = if negative { text.get(1..)? } else { text };
    if let Some((mantissa, places, len)) = digits.first_chunk::<8>().and_then(short_decimal) {
        let value = mantissa as f64 / POWERS.get(places)?;
        return Some((if negative { -value } else { value }, len + usize::from(negative)));
    }
    if !digits.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let (value, len) = fast_float2::parse_partial::<f64, _>(text).ok()?;
    value.is_finite().then_some((value, len))
}

/// Reads `[-]digits` of at most 18 digits from the start of the text.
#[inline]
pub fn integer_prefix(text: &[u8]) -> Option<(i64, usize)> {
    let negative = text.first() == Some(&b'-');
    let digits = if negative { text.get(1..)? } else { text };
    let (value, len) = digits_prefix(digits);
    if len == 0 || len > 18 {
        return None;
    }
    let value = value as i64;
    Some((if negative { -value } else { value }, len + usize::from(negative)))
}

/// The value of the digits at the start of the text and their number. The value means nothing when
/// there are more than 19.
#[inline]
pub fn digits_prefix(text: &[u8]) -> (u64, usize) {
    let (mut value, mut len, mut rest) = (0u64, 0usize, text);
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let count = digit_bytes(word);
        if count == 8 {
            value = value.wrapping_mul(100_000_000).wrapping_add(eight_digits(word, 8));
            len += 8;
            rest = behind;
            continue;
        }
        let power = POWERS.get(count).copied().unwrap_or(1.0) as u64;
        return (value.wrapping_mul(power).wrapping_add(eight_digits(word, count)), len + count);
    }
    for byte in rest.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        len += 1;
    }
    (value, len)
}

/// A decimal that ends within eight bytes: digits as an integer, digits behind the dot, length.
#[inline]
fn short_decimal(chunk: &[u8; 8]) -> Option<(u64, usize, usize)> {
    let word = u64::from_le_bytes(*chunk);
    let whole = digit_bytes(word);
    if whole == 8 {
        return None;
    }
    let low = (1u64 << (8 * whole)) - 1;
    if (word >> (8 * whole)) as u8 != b'.' {
        return (whole > 0).then(|| (eight_digits(word, whole), 0, whole));
    }
    // The dot is taken out by moving what follows down by one byte; a zero byte comes in on top.
    let joined = word & low | word >> 8 & !low;
    let count = digit_bytes(joined);
    // Seven digits and the dot fill the chunk: the number may go on behind it.
    (count > 0 && count < 7).then(|| (eight_digits(joined, count), count - whole, count + 1))
}

/// How many bytes from the low end are digits.
#[inline]
fn digit_bytes(word: u64) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeroed = word ^ 0x3030_3030_3030_3030;
    // No carry between bytes below the first byte that is no digit, so the lowest mark is right.
    let other = (zeroed.wrapping_add(0x7676_7676_7676_7676) | zeroed) & HIGH;
    other.trailing_zeros() as usize / 8
}

/// The value of the `count` (0 to 8) digits at the low end of a word.
#[inline]
fn eight_digits(word: u64, count: usize) -> u64 {
    if count == 0 {
        return 0;
    }
    // Leading zeros are shifted in; the first digit of the text is the lowest byte.
    let digits = (word ^ 0x3030_3030_3030_3030) << (64 - 8 * count);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xFFFF_FFFF
}

/// The whole text as a float: decimal digits, dot, exponent. `None` when it is none; too large a
/// number is infinite, too small a one zero.
pub fn float(text: &[u8]) -> Option<f64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !digits.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    fast_float2::parse(text).ok()
}

/// The whole text as an integer: an optional minus and digits, leading zeros allowed.
pub fn integer(text: &[u8]) -> Result<i64, IntegerError> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(IntegerError::Syntax);
    }
    let mut value = 0i64;
    for byte in digits {
        let digit = i64::from(byte - b'0');
        let next = value.checked_mul(10);
        let next = if negative {
            next.and_then(|value| value.checked_sub(digit))
        } else {
            next.and_then(|value| value.checked_add(digit))
        };
        value = next.ok_or(IntegerError::Range)?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn decimals_are_read_as_the_standard_library_reads_them(
            text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?(e-?[0-9]{1,3})?", tail in "[, i]?.{0,9}"
        ) {
            let line = format!("{text}{tail}");
            if let Some((value, len)) = float_prefix(line.as_bytes()) {
                prop_assert_eq!(value.to_bits(), line[..len].parse::<f64>().unwrap().to_bits());
            } else if tail.starts_with(',') {
                let whole = text.parse::<f64>();
                prop_assert!(whole.is_err() || whole.unwrap().is_infinite(), "{}", text);
            }
        }

        #[test]
        fn two_decimals_are_exact(cents in any::<i32>(), tail in "[, \n][a-z]{0,9}") {
            let text = format!("{}.{:02}", cents / 100, (cents % 100).abs());
            let line = format!("{text}{tail}");
            prop_assert_eq!(
                float_prefix(line.as_bytes()), Some((text.parse().unwrap(), text.len())));
        }

        #[test]
        fn integers_agree_with_the_standard_library(text in "-?[0-9]{0,21}", tail in "[i,]?[0-9x]*") {
            match integer(text.as_bytes()) {
                Ok(value) => prop_assert_eq!(text.parse(), Ok(value)),
                Err(_) => prop_assert!(text.parse::<i64>().is_err()),
            }
            let line = format!("{text}i{tail}");
            if let Some((value, len)) = integer_prefix(line.as_bytes()) {
                prop_assert_eq!((text.parse(), text.len()), (Ok(value), len));
            }
        }
    }

    #[test]
    fn signs_dots_and_ends() {
        assert_eq!(float_prefix(b"-0,").map(|(v, n)| (v.to_bits(), n)), Some((1 << 63, 2)));
        assert_eq!(float_prefix(b"5.,abcdefgh"), Some((5.0, 2)));
        assert_eq!(float_prefix(b".5 1234567"), Some((0.5, 2)));
        assert_eq!(float_prefix(b"12345678"), Some((12_345_678.0, 8)));
        assert_eq!(float_prefix(b"123456.7"), Some((123_456.7, 8)));
        assert_eq!(float_prefix(b"123456.78"), Some((123_456.78, 9)));
        for bad in [b".,abcdefg".as_slice(), b"-", b"", b"nan", b"inf,aaaaaa", b"-inf", b"+1"] {
            assert_eq!(float_prefix(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(float(b"1e400"), Some(f64::INFINITY));
        assert_eq!(float(b"1e"), None);
        assert_eq!(float(b"--1"), None);
        assert_eq!(integer(b"9223372036854775808"), Err(IntegerError::Range));
        assert_eq!(integer(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer(b"+1"), Err(IntegerError::Syntax));
        assert_eq!(digits_prefix(b"1451606400000000000\n"), (1_451_606_400_000_000_000, 19));
    }
}
