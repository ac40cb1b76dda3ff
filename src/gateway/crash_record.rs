//! What `run`, `finish` and the verbs leave in a slot for each other. s6 knows nothing of it.

use crate::error::Result;
use crate::model::backoff::{CrashRecord, Decision, Exit, Reason};
use crate::model::values;
use crate::s6::service::Service;
use crate::s6::tai64n::Tai64n;
use crate::sys::if_there;
use std::time::Duration;

/// Emptied by `run` when the gateway starts; once it has died, what `finish` has decided, if
/// there is something to say: a line of fields.
const RECORD: &[u8] = b"crash-record";
/// A TAI64N stamp from s6's status: when the run began, or when the death was, in which an
/// operator last sent a stop, a start or a restart, or after which `finish` did not delay the
/// next start. Deaths up to it do not count, and the end of a run that began at it is planned.
const INTERVENED: &[u8] = b"intervened";
/// The most that either has, in bytes.
const MAX_SIZE: usize = 256;

/// Notes that an operator intervenes in the run that began `at`, or after the death that was
/// `at`.
pub(crate) fn intervene(slot: &Service, at: Tai64n) -> Result<()> {
    slot.dir().replace(INTERVENED, 0o644, format!("{}\n", at.hex()).as_bytes())
}

/// When an operator last intervened; long ago if never.
pub(crate) fn intervened(slot: &Service) -> Result<Tai64n> {
    let note = if_there(slot.dir().read(INTERVENED, MAX_SIZE))?.unwrap_or_default();
    // What is no stamp was not written by us, and says nothing.
    Ok(Tai64n::parse(note.trim_ascii()).unwrap_or_default())
}

/// When the gateway was started that runs or has died, since 1970 UTC, by the clock's last
/// tick; `None` if `run` did not get that far, or is not ours.
pub(crate) fn started(slot: &Service) -> Result<Option<Duration>> {
    let record = slot.dir().look(RECORD)?.filter(|record| record.size == 0);
    Ok(record.map(|record| record.modified))
}

/// What `finish` has decided when it last ran; `None` if it had nothing to say, or if the
/// gateway was started since.
pub(crate) fn read(slot: &Service) -> Result<Option<CrashRecord>> {
    let line = if_there(slot.dir().read(RECORD, MAX_SIZE))?.unwrap_or_default();
    Ok(str::from_utf8(&line).ok().and_then(parse))
}

/// Writes down what `finish` has decided.
pub(crate) fn write(slot: &Service, record: &CrashRecord) -> Result<()> {
    match line(record) {
        None => clear(slot),
        Some(line) => slot.dir().replace(RECORD, 0o644, line.as_bytes()),
    }
}

/// Says that there is nothing to say.
pub(crate) fn clear(slot: &Service) -> Result<()> {
    slot.dir().remove(RECORD).map(drop)
}

/// What is done, how the gateway ended, and numbers: deaths, and milliseconds; `None` if there
/// is nothing to say.
fn line(record: &CrashRecord) -> Option<String> {
    let (what, deaths, time) = match record.decision {
        Decision::AsTold => return None,
        Decision::BackOff { delay, deaths } => ("backing-off", deaths, delay),
        Decision::Park(Reason::Configuration) => ("parked-configuration", 0, Duration::ZERO),
        Decision::Park(Reason::Finished) => ("parked-finished", 0, Duration::ZERO),
        Decision::Park(Reason::Deaths { deaths, window }) => ("parked-deaths", deaths, window),
    };
    let (key, number) = match record.exit {
        Exit::Code(code) => ("exit", code),
        Exit::Signal(signal) => ("signal", signal),
    };
    let millis = time.as_secs().saturating_mul(1000) + u64::from(time.subsec_millis());
    Some(format!("decision={what} {key}={number} deaths={deaths} milliseconds={millis}\n"))
}

fn parse(line: &str) -> Option<CrashRecord> {
    let mut words = line.split(' ');
    let mut field = || words.next()?.split_once('=');
    let ("decision", what) = field()? else { return None };
    let (how, number) = field()?;
    let number = u8::try_from(values::number(number.as_bytes())?).ok()?;
    let exit = match how {
        "exit" => Exit::Code(number),
        "signal" => Exit::Signal(number),
        _ => return None,
    };
    let deaths = values::number(field()?.1.as_bytes())?;
    let time = Duration::from_millis(values::digits(field()?.1.trim_ascii().as_bytes())?);
    let decision = match what {
        "backing-off" => Decision::BackOff { delay: time, deaths },
        "parked-configuration" => Decision::Park(Reason::Configuration),
        "parked-finished" => Decision::Park(Reason::Finished),
        "parked-deaths" => Decision::Park(Reason::Deaths { deaths, window: time }),
        _ => return None,
    };
    Some(CrashRecord { exit, decision })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_decision_is_read_back() {
        // The longest that a setting can say.
        let longest = Duration::from_millis(u64::from(u32::MAX) * 1000 + 999);
        let (delay, window) = (Duration::from_millis(1500), longest);
        for exit in [Exit::Code(0), Exit::Code(78), Exit::Signal(9)] {
            for decision in [
                Decision::BackOff { delay, deaths: 3 },
                Decision::Park(Reason::Configuration),
                Decision::Park(Reason::Finished),
                Decision::Park(Reason::Deaths { deaths: 10, window }),
            ] {
                let record = CrashRecord { exit, decision };
                let line = line(&record).unwrap();
                assert_eq!(parse(&line), Some(record));
                assert!(line.len() <= MAX_SIZE);
            }
        }
        let exit = Exit::Code(1);
        let record = CrashRecord { exit, decision: Decision::BackOff { delay, deaths: 3 } };
        let expected = "decision=backing-off exit=1 deaths=3 milliseconds=1500\n";
        assert_eq!(line(&record).unwrap(), expected);
    }

    #[test]
    fn what_is_no_record_says_nothing() {
        for line in [
            "",
            "backing off 2s, 2 deaths: exit 1\n",
            "decision=backing-off deaths=3 milliseconds=1500\n",
            "decision=backing-off exit=256 deaths=3 milliseconds=1500\n",
            "decision=gone exit=1 deaths=3 milliseconds=1500\n",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_crashes_it(line: String, near in "decision=backing-off (exit|signal)=[0-9]{1,4} deaths=[0-9]{1,20} milliseconds=[0-9]{1,20}") {
            let _ = (parse(&line), parse(&near));
        }
    }
}
