//! Signals as people call them, with the numbers that they have on every Linux.

use super::values::place_in;
use crate::text::part;

/// Their names without `SIG`: that of number 1 first.
const NAMES: &str = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT \
    CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";
/// SIGKILL, which the kernel sends where memory is short.
pub(crate) const KILL: u8 = 9;

/// The name of the one with this number, without `SIG`; empty if it has none.
pub(crate) fn name(number: u8) -> &'static str {
    part(NAMES, ' ', usize::from(number).wrapping_sub(1))
}

/// The number of the one called `name`, without `SIG`.
pub(crate) fn number(name: &str) -> Option<u8> {
    Some(place_in(NAMES, name.as_bytes())? as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_name() {
        use nix::sys::signal::Signal;
        for signal in Signal::iterator() {
            let number = signal as i32 as u8;
            assert_eq!(format!("SIG{}", name(number)), signal.as_str());
            assert_eq!(super::number(&signal.as_str()[3..]), Some(number));
        }
        for number in [0, 32, 64, 255] {
            assert_eq!(name(number), "", "{number}");
        }
        assert_eq!(name(KILL), "KILL");
    }
}
