//! What s6-supervise can be told: one letter each.

use crate::error::Result;
use crate::model::signal;
use crate::model::values::place_in;
use crate::sys::poll::FifoWriter;
use crate::text::part;
use tinyvec::ArrayVec;

/// A letter for `supervise/control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Control {
    /// Bring it up, and keep it up.
    Up = b'u',
    /// The same, and remove `down`, so that the wish outlives the supervisor.
    UpForGood = b'U',
    /// Bring it down, and leave it down.
    Down = b'd',
    /// The same, and make `down`, so that the wish outlives the supervisor.
    DownForGood = b'D',
    /// Exit when the service is down.
    Exit = b'x',
    /// SIGALRM.
    Alarm = b'a',
    /// SIGABRT.
    Abort = b'b',
    /// SIGQUIT.
    Quit = b'q',
    /// SIGHUP.
    HangUp = b'h',
    /// SIGKILL.
    Kill = b'k',
    /// SIGTERM.
    Terminate = b't',
    /// SIGINT.
    Interrupt = b'i',
    /// SIGUSR1.
    User1 = b'1',
    /// SIGUSR2.
    User2 = b'2',
    /// SIGSTOP.
    Pause = b'p',
    /// SIGCONT.
    Continue = b'c',
    /// SIGWINCH.
    Window = b'y',
}

/// The names of the signals that can be sent, without `SIG`.
pub(crate) const NAMES: &str = "ALRM ABRT QUIT HUP KILL TERM INT USR1 USR2 STOP CONT WINCH";
/// And what sends each.
const SIGNALS: [Control; 12] = [
    Control::Alarm,
    Control::Abort,
    Control::Quit,
    Control::HangUp,
    Control::Kill,
    Control::Terminate,
    Control::Interrupt,
    Control::User1,
    Control::User2,
    Control::Pause,
    Control::Continue,
    Control::Window,
];

impl Control {
    /// The number of the signal that it sends, or 0; down begins with SIGTERM.
    pub(crate) fn number(self) -> u8 {
        let sent = match self {
            Control::Down => Control::Terminate,
            other => other,
        };
        let known = SIGNALS.iter().position(|it| *it == sent);
        known.and_then(|at| signal::number(part(NAMES, ' ', at))).unwrap_or(0)
    }
}

/// Tells a supervisor `letters`, by the FIFO that it reads, in one piece.
pub(crate) fn tell(control: &FifoWriter, letters: &[Control]) -> Result<()> {
    let mut bytes = ArrayVec::<[u8; 8]>::new();
    for letter in letters {
        bytes.push(*letter as u8);
    }
    control.write(&bytes)
}

/// The signal called `name`: in any case, with `SIG` or without.
#[inline(never)]
pub(crate) fn signal(name: &[u8]) -> Option<Control> {
    let name = match name.split_at_checked(3) {
        Some((sig, rest)) if place_in("SIG", sig).is_some() => rest,
        _ => name,
    };
    let at = place_in(NAMES, name)?;
    SIGNALS.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_found_as_people_write_them() {
        for name in ["TERM", "SIGTERM", "term", "sigterm"] {
            assert_eq!(signal(name.as_bytes()), Some(Control::Terminate), "{name}");
        }
        for name in ["", "SIG", "SIGSIGTERM", "15", "CHLD", "TERM "] {
            assert_eq!(signal(name.as_bytes()), None, "{name}");
        }
        let letters: String = NAMES
            .split(' ')
            .map(|name| char::from(signal(name.as_bytes()).unwrap() as u8))
            .collect();
        assert_eq!(letters, "abqhkti12pcy");
        let numbers: Vec<_> = SIGNALS.iter().map(|it| it.number()).collect();
        assert_eq!(numbers, [14, 6, 3, 1, 9, 15, 2, 10, 12, 19, 18, 28]);
        for (control, number) in [(Control::Down, 15), (Control::Exit, 0)] {
            assert_eq!(control.number(), number, "{control:?}");
        }
    }
}
