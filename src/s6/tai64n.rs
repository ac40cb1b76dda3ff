//! TAI64N: how s6 writes a moment.

use crate::text::hex_digits;
use std::time::Duration;

/// What a label is ahead of the seconds since 1970 UTC: 2^62, and the leap seconds
/// that skalibs counts by default, which is 10 plus 27 since 1972.
const OFFSET: u64 = (1 << 62) + 37;

/// A moment, to the nanosecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tai64n {
    label: u64,
    nanos: u32,
}

impl Tai64n {
    /// The moment that these twelve bytes, big-endian, stand for.
    pub fn from_bytes(bytes: [u8; 12]) -> Tai64n {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Tai64n {
            label: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            nanos: u32::from_be_bytes([i, j, k, l]),
        }
    }

    /// The moment that is so many seconds, and nanoseconds, after 1970 UTC.
    pub fn from_unix(seconds: u64, nanos: u32) -> Tai64n {
        Tai64n { label: OFFSET.wrapping_add(seconds), nanos }
    }

    /// Seconds since 1970 UTC, rounded down; negative before that.
    pub fn unix(self) -> i64 {
        self.label.wrapping_sub(OFFSET).cast_signed()
    }

    /// Its nanoseconds: any number, for any bytes can be a label.
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// The time since 1970 UTC; none before that.
    pub fn since_unix(self) -> Duration {
        Duration::new(u64::try_from(self.unix()).unwrap_or(0), self.nanos.min(999_999_999))
    }

    /// The moment that 24 hexadecimal digits stand for.
    pub fn parse(text: &[u8]) -> Option<Tai64n> {
        let mut number = 0u128;
        for byte in text {
            number = number << 4 | u128::from(char::from(*byte).to_digit(16)?);
        }
        let nanos = (number & 0xffff_ffff) as u32;
        (text.len() == 24).then_some(Tai64n { label: (number >> 32) as u64, nanos })
    }

    /// As 24 hexadecimal digits.
    pub fn hex(self) -> String {
        hex_digits(self.label, 16) + &hex_digits(self.nanos.into(), 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_label_is_37_seconds_ahead() {
        // As `printf %s | s6-tai64n` and `date` agreed on it.
        let label = [0x40, 0, 0, 0, 0x6a, 0x5f, 0xb1, 0x25, 0x1d, 0xcd, 0x65, 0];
        let moment = Tai64n::from_bytes(label);
        assert_eq!(moment.unix(), 0x6a5f_b125 - 37);
        assert_eq!(moment.hex(), "400000006a5fb1251dcd6500");
        assert_eq!(Tai64n::from_unix(0x6a5f_b125 - 37, 500_000_000), moment);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_moment_and_the_later_one_is_greater(a: [u8; 12], b: [u8; 12]) {
            let [one, other] = [a, b].map(Tai64n::from_bytes);
            prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            prop_assert_eq!(Tai64n::parse(one.hex().as_bytes()), Some(one));
            prop_assert_eq!(Tai64n::parse(&a).is_some(), false);
            prop_assert_eq!(Tai64n::from_unix(one.unix().cast_unsigned(), one.nanos), one);
        }
    }
}
