//! A profile's name, validated once.

use crate::text::messages::{Text, text};

/// s6-svscan skips directory names over 251 bytes, and `gateway-` has 8.
pub const MAX_NAME: usize = 243;
/// What the service directory of every gateway is named with first.
pub const PREFIX: &[u8] = b"gateway-";

/// A valid profile: `[a-z0-9][a-z0-9_-]*`, at most [`MAX_NAME`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The root profile, which lives in the Hermes home itself.
    Default,
    /// A profile below `profiles/`.
    Named(Box<str>),
}

/// Why a name is not one of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// No bytes at all.
    Empty,
    /// Over [`MAX_NAME`] bytes.
    TooLong,
    /// A leading `-` or `_`.
    Start,
    /// A byte other than `a`-`z`, `0`-`9`, `_` and `-`.
    Byte,
}

impl Invalid {
    /// The reason in words.
    pub const fn why(self) -> Text {
        match self {
            Invalid::Empty => text!("invalid name: it is empty"),
            Invalid::TooLong => text!("invalid name: it has more than 243 bytes"),
            Invalid::Start => text!("invalid name: it must begin with a-z or 0-9"),
            Invalid::Byte => text!("invalid name: only a-z, 0-9, _ and - are allowed"),
        }
    }
}

impl Profile {
    /// The profile called `name`; `default` is the root profile.
    pub fn parse(name: &[u8]) -> Result<Profile, Invalid> {
        let allowed = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        match name {
            [] => Err(Invalid::Empty),
            b"default" => Ok(Profile::Default),
            name if !name.iter().all(allowed) => Err(Invalid::Byte),
            [b'-' | b'_', ..] => Err(Invalid::Start),
            name if name.len() > MAX_NAME => Err(Invalid::TooLong),
            // Only ASCII got so far.
            name => match str::from_utf8(name) {
                Ok(name) => Ok(Profile::Named(name.into())),
                Err(_) => Err(Invalid::Byte),
            },
        }
    }

    /// The name as the operator writes it.
    #[inline(never)]
    pub fn name(&self) -> &str {
        match self {
            Profile::Default => "default",
            Profile::Named(name) => name,
        }
    }

    /// The name of its service directory.
    pub fn slot(&self) -> Vec<u8> {
        [PREFIX, self.name().as_bytes()].concat()
    }

    /// Where its service directory is built: s6-svscan skips a leading dot.
    ///
    /// The longest names are cut, for a file name has at most 255 bytes;
    /// the scandir's lock keeps two of them apart.
    pub fn staging(&self) -> Vec<u8> {
        self.hidden(STAGING_END)
    }

    /// What its service directory is called while its supervisor is sent away.
    pub fn leaving(&self) -> Vec<u8> {
        self.hidden(LEAVING_END)
    }

    fn hidden(&self, end: &[u8]) -> Vec<u8> {
        let name = self.name().as_bytes();
        [HIDDEN_START, &name[..name.len().min(240)], end].concat()
    }
}

const HIDDEN_START: &[u8] = b".gateway-";
const STAGING_END: &[u8] = b".tmp";
const LEAVING_END: &[u8] = b".gone";

/// Whether `name` is a staging directory's, ours or the Python layer's.
pub fn is_staging(name: &[u8]) -> bool {
    name.starts_with(HIDDEN_START) && name.ends_with(STAGING_END)
}

/// Whether `name` is that of a slot that is being removed.
pub fn is_leaving(name: &[u8]) -> bool {
    name.starts_with(HIDDEN_START) && name.ends_with(LEAVING_END)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_taken_or_refused_with_the_reason() {
        let longest = "a".repeat(MAX_NAME);
        for name in ["a", "0", "coder", "a-b_c", "9-", "x__", longest.as_str()] {
            assert_eq!(Profile::parse(name.as_bytes()).unwrap().name(), name);
        }
        assert_eq!(Profile::parse(b"default"), Ok(Profile::Default));
        let too_long = "a".repeat(MAX_NAME + 1);
        let refused: [(&[u8], Invalid); 14] = [
            (b"", Invalid::Empty),
            (b"-a", Invalid::Start),
            (b"_a", Invalid::Start),
            (b"A", Invalid::Byte),
            (b"a b", Invalid::Byte),
            (b"a\n", Invalid::Byte),
            (b".", Invalid::Byte),
            (b"..", Invalid::Byte),
            (b"../x", Invalid::Byte),
            (b"a/b", Invalid::Byte),
            (b"a.b", Invalid::Byte),
            ("é".as_bytes(), Invalid::Byte),
            (b"\xff", Invalid::Byte),
            (too_long.as_bytes(), Invalid::TooLong),
        ];
        for (name, why) in refused {
            assert_eq!(Profile::parse(name), Err(why), "{name:?}");
        }
    }

    #[test]
    fn slot_names_fit_their_limits() {
        let longest = Profile::parse("a".repeat(MAX_NAME).as_bytes()).unwrap();
        assert_eq!(longest.slot().len(), 251);
        assert!(longest.staging().len() <= 255);
        assert_eq!(Profile::Default.slot().as_slice(), b"gateway-default");
        assert_eq!(Profile::Default.staging().as_slice(), b".gateway-default.tmp");
    }

    proptest! {
        #[test]
        fn every_valid_name_survives_and_its_names_are_safe(name in "[a-z0-9][a-z0-9_-]{0,242}") {
            let profile = Profile::parse(name.as_bytes()).unwrap();
            prop_assert_eq!(profile.name(), &name);
            prop_assert!(is_staging(&profile.staging()));
            prop_assert!(!is_staging(&profile.slot()));
            prop_assert!(!profile.slot().contains(&b'/'));
        }

        #[test]
        fn no_bytes_crash_the_parser(name: Vec<u8>) {
            if let Ok(profile) = Profile::parse(&name) {
                prop_assert_eq!(profile.name().as_bytes(), &name);
            }
        }
    }
}
