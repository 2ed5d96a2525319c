//! Numbers of pickles: lines of digits, and two's complement of any length.
//!
//! An integer beyond 64 bits becomes a float, an infinite one if it is beyond those, too; whoever
//! uses it refuses that. The cost is in proportion to the bytes.

use super::super::number;
use super::item::Item;

/// More digits than any finite float has.
const DIGITS_MAX: usize = 400;

/// INT: decimal digits, or `00` and `01` for the truth values.
pub fn int_line(line: &[u8]) -> Result<Item, &'static str> {
    match line {
        b"00" => Ok(Item::Bool(false)),
        b"01" => Ok(Item::Bool(true)),
        line => decimal(line.trim_ascii()),
    }
}

/// LONG: decimal digits, with or without an `L`.
pub fn long_line(line: &[u8]) -> Result<Item, &'static str> {
    let line = line.trim_ascii();
    decimal(line.strip_suffix(b"L").unwrap_or(line))
}

fn decimal(text: &[u8]) -> Result<Item, &'static str> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match number::integer(text) {
        Ok(value) => Ok(Item::Int(value)),
        Err(number::IntegerError::Syntax) => Err("no integer"),
        Err(number::IntegerError::Range) => {
            let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
            let digits = digits.get(zeros..).unwrap_or_default();
            let size = if digits.len() > DIGITS_MAX {
                f64::INFINITY
            } else {
                number::float(digits).ok_or("no integer")?
            };
            Ok(Item::Float(if text.first() == Some(&b'-') { -size } else { size }))
        }
    }
}

/// FLOAT: what Python prints of a float.
pub fn float_line(line: &[u8]) -> Result<Item, &'static str> {
    let line = line.trim_ascii();
    let (negative, body) = match line {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        body => (false, body),
    };
    let size = match body.to_ascii_lowercase().as_slice() {
        b"nan" => f64::NAN,
        b"inf" | b"infinity" => f64::INFINITY,
        _ if body.first() == Some(&b'-') => return Err("no float"),
        _ => number::float(body).ok_or("no float")?,
    };
    Ok(Item::Float(if negative { -size } else { size }))
}

/// LONG1 and LONG4: two's complement, the lowest byte first.
pub fn long(bytes: &[u8]) -> Item {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    if bytes.len() <= 8 {
        let mut word = [fill; 8];
        word.iter_mut().zip(bytes).for_each(|(into, byte)| *into = *byte);
        return Item::Int(i64::from_le_bytes(word));
    }
    // Bytes that only repeat the sign say nothing.
    let spare = bytes.iter().rev().take_while(|byte| **byte == fill).count();
    let used = bytes.len() - spare;
    if used > 128 {
        return Item::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let low = used.saturating_sub(15);
    let mut top = [fill; 16];
    let kept = bytes.get(low..).unwrap_or_default();
    top.iter_mut().zip(kept).for_each(|(into, byte)| *into = *byte);
    let mut value = i128::from_le_bytes(top);
    // One bit stands for all that is left out, so that the rounding is right.
    let left_out = bytes.get(..low).unwrap_or_default();
    if left_out.iter().any(|byte| *byte != 0) {
        value |= 1;
    }
    Item::Float(value as f64 * 256f64.powi(low as i32))
}

/// A memo's slot in digits.
pub fn slot_line(line: &[u8]) -> Result<u32, &'static str> {
    let slot = number::integer(line.trim_ascii()).ok();
    slot.and_then(|slot| u32::try_from(slot).ok()).ok_or("no slot of the memo")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_digits() {
        assert_eq!(int_line(b"01"), Ok(Item::Bool(true)));
        assert_eq!(int_line(b"-5"), Ok(Item::Int(-5)));
        assert_eq!(long_line(b"1609459200L"), Ok(Item::Int(1_609_459_200)));
        assert_eq!(
            long_line(b"9223372036854775808L"),
            Ok(Item::Float(9_223_372_036_854_775_808.0))
        );
        assert_eq!(
            long_line(b"-18446744073709551616"),
            Ok(Item::Float(-18_446_744_073_709_551_616.0))
        );
        let many = vec![b'9'; 1 << 20];
        assert_eq!(long_line(&many), Ok(Item::Float(f64::INFINITY)));
        assert_eq!(long_line(&[&[b'0'; 1000][..], b"7"].concat()), Ok(Item::Int(7)));
        for bad in [b"".as_slice(), b"L", b"1x", b"--1", b"1.5", b"1 2"] {
            assert!(long_line(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(float_line(b"1609459200.5"), Ok(Item::Float(1_609_459_200.5)));
        assert_eq!(float_line(b"-1e-05"), Ok(Item::Float(-1e-5)));
        assert!(matches!(float_line(b"nan"), Ok(Item::Float(value)) if value.is_nan()));
        assert_eq!(float_line(b"-inf"), Ok(Item::Float(f64::NEG_INFINITY)));
        assert!(float_line(b"").is_err() && float_line(b"+-1").is_err());
        assert_eq!((slot_line(b"7"), slot_line(b"-1").is_err()), (Ok(7), true));
    }

    #[test]
    fn long_bytes_of_any_length() {
        assert_eq!(long(&[]), Item::Int(0));
        assert_eq!(long(&[0xff]), Item::Int(-1));
        assert_eq!(long(&[0, 0, 0, 0, 0, 0, 0, 0x80]), Item::Int(i64::MIN));
        assert_eq!(long(&[0; 9]), Item::Float(0.0));
        assert_eq!(long(&[0xff; 200]), Item::Float(-1.0));
        let mut big = [0; 200];
        big[199] = 1;
        assert_eq!(long(&big), Item::Float(f64::INFINITY));
        big[199] = 0x80;
        assert_eq!(long(&big), Item::Float(f64::NEG_INFINITY));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn two_hundred_bits_round_as_text_does(low in any::<u128>(), shift in 0usize..9) {
            let value = (low >> 2) as i128;
            let mut bytes = vec![0; shift];
            bytes.extend_from_slice(&value.to_le_bytes());
            let digits = format!("{value}e0").replace("e0", "");
            let expected = digits.parse::<f64>().unwrap() * 256f64.powi(shift as i32);
            prop_assert_eq!(long(&bytes), Item::Float(expected));
        }
    }
}
