//! What `run`, `finish` and the verbs leave in a slot for each other. s6 knows nothing of it.

use super::slots;
use crate::error::Result;
use crate::model::backoff::{CONFIGURATION, CrashRecord, Decision, Exit};
use crate::model::values;
use crate::s6::death_tally::Death;
use crate::s6::service::Service;
use crate::s6::status::Status;
use crate::s6::tai64n::Tai64n;
use crate::text::messages::text;
use crate::text::{part, parts};
use std::time::Duration;

/// Emptied by `run` when the gateway starts; once it has died, what `finish` has decided, if
/// there is something to say: a line of fields.
const RECORD: &[u8] = b"crash-record";
/// After which death an operator last sent a stop, a start or a restart, or `finish` did not
/// delay the next start: its stamp in s6's tally, or zeros, and [`IN_RUN`] if it was in the run
/// after that. Found again in the tally, whose order counts and not what a clock said: that may
/// be set back. Deaths up to it do not count, and the end of that run is planned.
const INTERVENED: &[u8] = b"intervened";
const IN_RUN: &str = " run";
/// Late deaths that were more than crashes, the newest last: a line each, with its stamp in s6's
/// tally and what it was. s6's tally itself tells an exit code, and no more.
const ENDINGS: &[u8] = b"endings";
/// What such a death was: one that does not count, or one that counts.
const KINDS: &str = "announced terminated";
/// What `finish` has decided that is worth a record, and how that calls it.
const RECORDED: [Decision; 7] = [
    Decision::Restart,
    Decision::BackOff,
    Decision::Configuration,
    Decision::Finished,
    Decision::HomeGone,
    Decision::Terminated,
    Decision::Deaths,
];
const DECISIONS: &str = "restarting backing-off parked-configuration parked-finished \
    parked-home-gone parked-terminated parked-deaths";
/// The most that is kept of them: one that does not count was up for a while, so that
/// those before are long ago.
const MAX_ENDINGS: usize = 100;
/// The most that the others have, in bytes.
const MAX_SIZE: usize = 256;
/// The most that the endings have.
const MAX_ENDINGS_SIZE: usize = MAX_ENDINGS * 40;

/// When an operator last intervened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intervened {
    /// The stamp of the last death before; zero for none.
    pub(crate) after: Tai64n,
    /// It was in the run after it, and not while it was down.
    pub(crate) in_run: bool,
}

/// Notes that an operator intervenes.
pub(crate) fn intervene(slot: &Service, it: &Intervened) -> Result<()> {
    let mut note = it.after.hex();
    if it.in_run {
        note += IN_RUN;
    }
    note += "\n";
    slot.dir().replace(INTERVENED, 0o644, note.as_bytes())
}

/// When an operator last intervened; before all deaths if never.
pub(crate) fn intervened(slot: &Service) -> Result<Intervened> {
    let note = slot.dir().read_if_there(INTERVENED, MAX_SIZE)?;
    // What is no stamp was not written by us, and says nothing.
    let (stamp, run) = note.trim_ascii_end().split_at_checked(24).unwrap_or_default();
    let noted =
        Tai64n::parse(stamp).map(|after| Intervened { after, in_run: run == IN_RUN.as_bytes() });
    Ok(noted.unwrap_or_default())
}

/// What was noted of deaths: from when on they count, and what they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Deaths up to then do not count.
    pub(crate) intervened: Intervened,
    /// Stamps of those that were not mere crashes, and whether they count.
    pub(crate) endings: Vec<(Tai64n, bool)>,
}

impl Notes {
    /// All that is noted in `slot`.
    pub(crate) fn read(slot: &Service) -> Result<Notes> {
        Ok(Notes { intervened: intervened(slot)?, endings: endings(slot)? })
    }

    /// Those of `deaths`, all that s6 knows of, that were after an operator last intervened. If
    /// the one before is not among them, they are those of another supervisor, or so many that
    /// it was forgotten.
    pub(crate) fn later<'a>(&self, deaths: &'a [Death]) -> &'a [Death] {
        after(deaths, self.intervened.after)
    }

    /// Whether a later death, which was `at`, counts, if it was more than a crash.
    #[inline(never)]
    pub(crate) fn ending(&self, at: Tai64n) -> Option<bool> {
        self.endings.iter().find(|(it, _)| *it == at).map(|(_, counts)| *counts)
    }

    /// When those of `deaths` were that count, since 1970 UTC.
    pub(crate) fn counted(&self, deaths: &[Death]) -> Vec<Duration> {
        let mut counted = Vec::new();
        for death in self.later(deaths) {
            if self.ending(death.stamp) != Some(false) {
                counted.push(death.stamp.since_unix());
            }
        }
        counted
    }

    /// Notes of the death `at` what it was, for later ones, and forgets what was long ago.
    pub(crate) fn add(&mut self, slot: &Service, at: Tai64n, counts: bool) -> Result<()> {
        self.endings.push((at, counts));
        let before = self.endings.len().saturating_sub(MAX_ENDINGS);
        let mut text = String::new();
        for (at, counts) in &self.endings[before..] {
            text += &at.hex();
            text += " ";
            text += part(KINDS, ' ', (*counts).into());
            text += "\n";
        }
        slot.dir().replace(ENDINGS, 0o644, text.as_bytes())
    }
}

/// Those of `deaths` that were after the one at `stamp`, by their order, for clocks are set back; all
/// if that is not among them.
pub(super) fn after(deaths: &[Death], stamp: Tai64n) -> &[Death] {
    let before = deaths.iter().rposition(|death| death.stamp == stamp);
    &deaths[before.map_or(0, |before| before + 1)..]
}

/// The deaths that were not mere crashes, and whether they count.
pub(crate) fn endings(slot: &Service) -> Result<Vec<(Tai64n, bool)>> {
    let text = slot.dir().read_if_there(ENDINGS, MAX_ENDINGS_SIZE)?;
    let mut endings = Vec::new();
    for line in parts(&text, b'\n') {
        // What is no such line was not written by us, and says nothing.
        let Some((stamp, kind)) = line.split_at_checked(24) else { continue };
        let kind = values::place_in(KINDS, kind.trim_ascii());
        if let (Some(at), Some(kind)) = (Tai64n::parse(stamp), kind) {
            endings.push((at, kind == 1));
        }
    }
    Ok(endings)
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
    let line = slot.dir().read_if_there(RECORD, MAX_SIZE)?;
    Ok(str::from_utf8(&line).ok().and_then(parse))
}

/// What is said of a gateway that came up and died; `None` while its finish still decides, and where
/// that has excused it, for somebody had asked for its end: then s6 starts it anew.
pub(crate) fn died_at_once(service: &Service, status: &Status) -> Option<String> {
    // Hermes' own finish writes nothing down; what cannot be read is told by status.
    let what = match read(service) {
        Ok(Some(record)) => record.text(),
        Ok(None) if status.want_up && slots::is_made_here(service.dir()).unwrap_or(false) => {
            return None;
        }
        _ if status.finishing => return None,
        _ => {
            let exit = status.last_exit();
            let parked = exit == Exit::Code(CONFIGURATION) || !status.want_up;
            let next = if parked { text!("it stays down") } else { text!("s6 tries again") };
            format!("{exit}; ") + next.read()
        }
    };
    Some([text!("it started and died at once:").read(), " ", &what].concat())
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
    slot.dir().remove(RECORD)
}

/// What is done, how the gateway ended, and numbers: deaths, and milliseconds; `None` if there
/// is nothing to say.
fn line(record: &CrashRecord) -> Option<String> {
    let CrashRecord { exit, decision, deaths, time } = record;
    let what = part(DECISIONS, ' ', RECORDED.iter().position(|it| it == decision)?);
    let (key, number) = match exit {
        Exit::Code(code) => ("exit", code),
        Exit::Signal(signal) => ("signal", signal),
    };
    let millis = time.as_millis() as u64;
    Some(format!("decision={what} {key}={number} deaths={deaths} milliseconds={millis}\n"))
}

fn parse(line: &str) -> Option<CrashRecord> {
    let value = |at| part(part(line, ' ', at), '=', 1).as_bytes();
    let code = u8::try_from(values::number(value(1))?).ok()?;
    let exit = match part(part(line, ' ', 1), '=', 0) {
        "exit" => Exit::Code(code),
        "signal" => Exit::Signal(code),
        _ => return None,
    };
    let deaths = values::number(value(2))?;
    let time = Duration::from_millis(values::digits(value(3).trim_ascii())?);
    let decision = *RECORDED.get(values::place_in(DECISIONS, value(0))?)?;
    Some(CrashRecord { exit, decision, deaths, time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::dir::Dir;
    use proptest::prelude::*;

    #[test]
    fn every_decision_is_read_back() {
        // The longest that a setting can say.
        let longest = Duration::from_millis(u64::from(u32::MAX) * 1000 + 999);
        for exit in [Exit::Code(0), Exit::Code(78), Exit::Signal(9)] {
            for decision in RECORDED {
                let record = CrashRecord { exit, decision, deaths: 10, time: longest };
                let line = line(&record).unwrap();
                assert_eq!(parse(&line), Some(record));
                assert!(line.len() <= MAX_SIZE);
            }
        }
        let exit = Exit::Code(1);
        let time = Duration::from_millis(1500);
        let record = CrashRecord { exit, decision: Decision::BackOff, deaths: 3, time };
        let expected = "decision=backing-off exit=1 deaths=3 milliseconds=1500\n";
        assert_eq!(line(&record).unwrap(), expected);
    }

    #[test]
    fn what_a_death_was_is_kept_until_an_operator_intervenes() {
        let dir = tempfile::tempdir().unwrap();
        let scandir = Dir::open(dir.path().as_os_str().as_encoded_bytes()).unwrap();
        let slot = Service::open(&scandir, b".").unwrap();
        let at = |seconds| Tai64n::from_unix(seconds, 5);
        assert_eq!(Notes::read(&slot).unwrap(), Notes::default());
        for second in 0..300 {
            let mut notes = Notes::read(&slot).unwrap();
            notes.add(&slot, at(second), second % 3 > 0).unwrap();
        }
        let mut notes = Notes::read(&slot).unwrap();
        assert_eq!(notes.endings.len(), MAX_ENDINGS);
        let kinds = [297, 298, 3000].map(|second| notes.ending(at(second)));
        assert_eq!(kinds, [Some(false), Some(true), None]);
        notes.add(&slot, at(301), false).unwrap();
        let kept = || -> Vec<_> {
            let all = endings(&slot).unwrap();
            all[all.len() - 2..].iter().map(|(at, counts)| (at.unix(), *counts)).collect()
        };
        assert_eq!(kept(), [(299, true), (301, false)]);
        // What was not written by us is no ending.
        let path = dir.path().join("endings");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(" terminated\n400000000000015200000005 announced\n"), "{text}");
        std::fs::write(&path, text + "x\n400000000000015300000005 pardoned\nno announced").unwrap();
        assert_eq!(kept(), [(299, true), (301, false)]);
    }

    #[test]
    fn deaths_are_late_by_their_order_and_not_by_what_the_clock_said() {
        let dir = tempfile::tempdir().unwrap();
        let scandir = Dir::open(dir.path().as_os_str().as_encoded_bytes()).unwrap();
        let slot = Service::open(&scandir, b".").unwrap();
        let at = |seconds| Tai64n::from_unix(seconds, 5);
        // The tally; after which death an operator intervened; those that count from then on.
        let table: [(&[u64], u64, &[u64]); 9] = [
            (&[], 0, &[]),
            (&[10, 20, 30], 20, &[30]),
            (&[10, 20, 30], 30, &[]),
            // The clock was set back after it, or has also been ahead before.
            (&[9010, 9020, 30, 31], 9020, &[30, 31]),
            (&[9010, 20, 9030, 9040, 50], 20, &[9030, 9040, 50]),
            (&[9010, 20, 9030, 9040, 50], 9040, &[50]),
            // Twice the same moment: the later one was meant.
            (&[10, 20, 10, 30], 10, &[30]),
            // A stamp that no death has: from the future, forgotten, or of another supervisor.
            (&[10, 20], 99_999, &[10, 20]),
            (&[10, 20], 5, &[10, 20]),
        ];
        for (tally, after, counted) in table {
            for in_run in [false, true] {
                let it = Intervened { after: at(after), in_run };
                intervene(&slot, &it).unwrap();
                let notes = Notes::read(&slot).unwrap();
                assert_eq!(notes.intervened, it);
                let death = |seconds: &u64| Death { stamp: at(*seconds), exit_code: 1, signal: 0 };
                let deaths: Vec<_> = tally.iter().map(death).collect();
                let got = notes.counted(&deaths);
                let got: Vec<_> = got.iter().map(|at| at.as_secs()).collect();
                assert_eq!(got, counted, "{tally:?} {after}");
            }
        }
        // What was not written by us says nothing.
        for note in ["", "soon\n", "4000000000000152000000", "400000000000015200000005x run"] {
            std::fs::write(dir.path().join("intervened"), note).unwrap();
            let it = intervened(&slot).unwrap();
            assert!(!it.in_run, "{note}");
            assert_eq!(it.after == Tai64n::default(), !note.contains("5x"), "{note}");
        }
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
