//! What is done about a gateway that has died: the one table of it.

use super::signal;
use crate::text::messages::text;
use std::fmt;
use std::time::Duration;

/// A gateway's exit code for a fatal configuration error, as in sysexits.h.
pub(crate) const CONFIGURATION: u8 = 78;

/// What s6-supervise waits by itself, once finish has ended, before the next start.
pub(crate) const THROTTLE: Duration = Duration::from_secs(1);

/// What is said of a gateway that stands by.
pub(crate) const STANDING_BY: &str = "standing by: another container runs it";

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(u8),
    /// Killed by this signal.
    Signal(u8),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, number) = match self {
            Exit::Code(code) => ("exit", code),
            Exit::Signal(number) => match signal::name(*number) {
                "" => ("signal", number),
                name => return write!(f, "SIG{name}"),
            },
        };
        write!(f, "{what} {number}")
    }
}

/// What bounds the restarts of a gateway. No delay is shorter than s6's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The delay of the next start after a first death.
    pub first: Duration,
    /// The longest delay; each death in a row doubles it up to here.
    pub longest: Duration,
    /// A run longer than this ends the row.
    pub steady: Duration,
    /// A gateway that exits with 0 sooner than this, or after an unknown time, is tried again.
    pub early: Duration,
    /// So many deaths within `window` park; 0 for never.
    pub deaths: usize,
    /// The time that `deaths` are counted in.
    pub window: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            steady: Duration::from_secs(600),
            early: Duration::from_secs(10),
            deaths: 10,
            window: Duration::from_secs(600),
        }
    }
}

/// What a gateway's own record says of how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    /// In order, and to be started again.
    pub announced: bool,
    /// By a SIGTERM that was not this program's.
    pub terminated: bool,
}

/// What is known of a death.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// How it ended.
    pub exit: Exit,
    /// How long it was up, if that is known.
    pub uptime: Option<Duration>,
    /// An operator asked for what has happened: a stop, or a restart.
    pub planned: bool,
    /// There is no home for it any more.
    pub home_gone: bool,
    /// Another container runs the gateway of this profile.
    pub elsewhere: bool,
    /// It ended in order, and is to be started again.
    pub announced: bool,
    /// How many of `deaths` in a row were by SIGTERM, this one last.
    pub terminated: usize,
    /// When it died since an operator last intervened, since 1970 UTC: this death last.
    /// Without what was announced.
    pub deaths: &'a [Duration],
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is started again at once, and this is no death that counts.
    Restart,
    /// The next start is delayed.
    BackOff,
    /// It is parked: it says that its configuration is wrong, so that another start would not help.
    Configuration,
    /// It is parked: it ended by itself, and as it should.
    Finished,
    /// It is parked: there is no home for it any more, as after a profile was renamed.
    HomeGone,
    /// It is parked: another process has ended it too often.
    Terminated,
    /// It is parked: it has died too often.
    Deaths,
    /// What s6 was told, at once.
    AsTold,
    /// It stays down until the container has ended that runs it.
    StandBy,
}

impl Decision {
    /// Whether it stays down until it is started.
    pub(crate) fn parks(self) -> bool {
        matches!(
            self,
            Decision::Configuration
                | Decision::Finished
                | Decision::HomeGone
                | Decision::Terminated
                | Decision::Deaths
        )
    }
}

/// Decides: the first line that fits counts.
#[inline(never)]
pub(crate) fn decide(facts: &Facts<'_>, limits: &Limits) -> CrashRecord {
    let last = facts.deaths.last().copied().unwrap_or_default();
    let deaths = recent(facts.deaths, last, limits.window);
    let lasted = facts.uptime.is_some_and(|uptime| uptime >= limits.early);
    let mut record = CrashRecord {
        exit: facts.exit,
        decision: Decision::AsTold,
        deaths: 0,
        time: Duration::ZERO,
    };
    record.decision = match facts.exit {
        _ if facts.planned => Decision::AsTold,
        Exit::Code(CONFIGURATION) => Decision::Configuration,
        _ if facts.home_gone => Decision::HomeGone,
        _ if facts.elsewhere => Decision::StandBy,
        // Two that end each other at once are never up for so long.
        _ if facts.announced && lasted => Decision::Restart,
        Exit::Code(0) if lasted => Decision::Finished,
        _ if limits.deaths > 0 && deaths >= limits.deaths => {
            // What most of them were is the reason.
            if facts.terminated * 2 > deaths {
                record.deaths = facts.terminated;
                Decision::Terminated
            } else {
                (record.deaths, record.time) = (deaths, limits.window);
                Decision::Deaths
            }
        }
        _ => {
            let steady = facts.uptime.is_some_and(|uptime| uptime > limits.steady);
            record.deaths = if steady { 1 } else { limits.row(facts.deaths) };
            record.time = limits.delay(record.deaths);
            Decision::BackOff
        }
    };
    record
}

/// How many of `deaths`, the newest last, were within `window` before `now`. How long ago each
/// was is the sum of the times in between: where the clock was set back, that one is not known,
/// and counts as none.
pub(crate) fn recent(deaths: &[Duration], now: Duration, window: Duration) -> usize {
    let (mut later, mut ago, mut count) = (now, Duration::ZERO, 0);
    for at in deaths.iter().rev() {
        ago = ago.saturating_add(later.saturating_sub(*at));
        if ago >= window {
            break;
        }
        (later, count) = (*at, count + 1);
    }
    count
}

impl Limits {
    /// How many of `deaths`, up to the last, were in a row.
    fn row(&self, deaths: &[Duration]) -> usize {
        let mut row = 1;
        for pair in deaths.windows(2) {
            let between = pair[1].saturating_sub(pair[0]);
            let steady = between.saturating_sub(self.delay(row)) > self.steady;
            row = if steady { 1 } else { row + 1 };
        }
        row
    }

    /// The delay after so many deaths in a row.
    fn delay(&self, row: usize) -> Duration {
        let mut delay = self.first.max(THROTTLE);
        for _ in 1..row {
            if delay >= self.longest {
                break;
            }
            delay *= 2;
        }
        delay.min(self.longest.max(THROTTLE))
    }
}

/// What was decided about a gateway that ended with `exit`: all that is known of it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashRecord {
    /// How it ended.
    pub(crate) exit: Exit,
    /// What was decided.
    pub(crate) decision: Decision,
    /// How many deaths were the reason: in a row, for a delay and for those by another process.
    pub(crate) deaths: usize,
    /// From the death to the next start; or what the deaths were within.
    pub(crate) time: Duration,
}

impl CrashRecord {
    /// As people read it; empty if there is nothing to say.
    pub(crate) fn text(&self) -> String {
        let (time, deaths) = (Seconds(self.time), Deaths(self.deaths));
        let made;
        let (what, why) = match self.decision {
            Decision::AsTold => return String::new(),
            Decision::StandBy => return STANDING_BY.into(),
            Decision::BackOff => return format!("backing off {time}, {deaths}: {}", self.exit),
            Decision::Terminated => {
                let (times, more) = (
                    self.deaths,
                    text!(" times in a row: does another gateway use the same token?").read(),
                );
                made = format!("ended by SIGTERM from another process, {times}{more}");
                ("parked", &made[..])
            }
            Decision::Deaths => {
                made = format!("{deaths} within {time}");
                ("parked", &made[..])
            }
            Decision::Restart => ("restarting", "it ended in order"),
            Decision::Configuration => ("parked", "configuration"),
            Decision::Finished => ("parked", "it ended by itself"),
            Decision::HomeGone => ("parked", "its home is gone"),
        };
        format!("{what}: {} ({why})", self.exit)
    }
}

/// A time in seconds, with what fraction it has.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (whole, 0) => write!(f, "{whole}s"),
            (whole, millis) => write!(f, "{whole}.{millis:03}s"),
        }
    }
}

/// So many deaths, in words.
pub(crate) struct Deaths(pub usize);

impl fmt::Display for Deaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} death{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn judge(exit: Exit, uptime: Option<u64>, planned: bool, deaths: &[u64]) -> String {
        let deaths: Vec<_> = deaths.iter().map(|at| s(*at)).collect();
        let facts = Facts { uptime: uptime.map(s), planned, ..facts(exit, &deaths) };
        decide(&facts, &Limits::default()).text()
    }

    fn facts(exit: Exit, deaths: &[Duration]) -> Facts<'_> {
        Facts {
            exit,
            uptime: None,
            planned: false,
            home_gone: false,
            elsewhere: false,
            announced: false,
            terminated: 0,
            deaths,
        }
    }

    const NINE: [u64; 9] = [1000, 1001, 1003, 1007, 1015, 1031, 1063, 1123, 1183];
    const TEN: [u64; 10] = [1000, 1001, 1003, 1007, 1015, 1031, 1063, 1123, 1183, 1243];

    #[test]
    #[rustfmt::skip]
    fn every_way_to_die() {
        use Exit::{Code, Signal};
        const DAY: u64 = 86_400;
        type Row = (Exit, Option<u64>, bool, &'static [u64], &'static str);
        let table: [Row; 29] = [
            // Somebody asked for it: nothing counts.
            (Code(0), Some(50), true, &[1000], ""),
            (Code(1), Some(0), true, &TEN, ""),
            (Code(78), Some(0), true, &[1000], ""),
            (Signal(9), None, true, &[1000], ""),
            // A configuration that is wrong stays wrong.
            (Code(78), Some(0), false, &[1000], "parked: exit 78 (configuration)"),
            (Code(78), Some(DAY), false, &[1000], "parked: exit 78 (configuration)"),
            (Code(78), None, false, &TEN, "parked: exit 78 (configuration)"),
            // Who was up and says 0 has meant it; who was not has not.
            (Code(0), Some(10), false, &[1000], "parked: exit 0 (it ended by itself)"),
            (Code(0), Some(DAY), false, &TEN, "parked: exit 0 (it ended by itself)"),
            (Code(0), None, false, &[1000], "backing off 1s, 1 death: exit 0"),
            (Code(0), Some(9), false, &[1000], "backing off 1s, 1 death: exit 0"),
            (Code(0), Some(0), false, &[1000, 1001, 1003], "backing off 4s, 3 deaths: exit 0"),
            (Code(0), Some(0), false, &TEN, "parked: exit 0 (10 deaths within 600s)"),
            // Killed during its start, or long after it.
            (Signal(15), Some(0), false, &[1000], "backing off 1s, 1 death: SIGTERM"),
            (Signal(9), Some(DAY), false, &[1000], "backing off 1s, 1 death: SIGKILL"),
            // Doubled with each death in a row, up to a minute.
            (Code(1), Some(0), false, &[1000], "backing off 1s, 1 death: exit 1"),
            (Code(75), Some(0), false, &[1000, 1001], "backing off 2s, 2 deaths: exit 75"),
            (Code(1), None, false, &NINE[..6], "backing off 32s, 6 deaths: exit 1"),
            (Code(1), None, false, &NINE[..7], "backing off 60s, 7 deaths: exit 1"),
            (Code(1), Some(0), false, &NINE, "backing off 60s, 9 deaths: exit 1"),
            (Code(1), Some(0), false, &TEN, "parked: exit 1 (10 deaths within 600s)"),
            (Signal(11), Some(0), false, &TEN, "parked: SIGSEGV (10 deaths within 600s)"),
            // A long run ends the row: the last, or one before; a delay is no run.
            (Code(1), Some(601), false, &[1000, 1001, 1002], "backing off 1s, 1 death: exit 1"),
            (Code(1), Some(600), false, &[1000, 1601], "backing off 2s, 2 deaths: exit 1"),
            (Code(1), None, false, &[1000, 1602], "backing off 1s, 1 death: exit 1"),
            (Code(1), Some(0), false, &[1000, 2000, 2001], "backing off 2s, 2 deaths: exit 1"),
            // Deaths that are long ago do not park.
            (Code(1), Some(0), false, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 608], "backing off 60s, 10 deaths: exit 1"),
            // A clock that was put back, and a tally that could not be read.
            (Code(1), Some(0), false, &[5000, 1000], "backing off 2s, 2 deaths: exit 1"),
            (Code(1), Some(0), false, &[], "backing off 1s, 1 death: exit 1"),
        ];
        for (exit, uptime, planned, deaths, text) in table {
            assert_eq!(judge(exit, uptime, planned, deaths), text, "{uptime:?} {deaths:?}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_it_has_recorded_and_where_it_lived() {
        use Exit::{Code, Signal};
        const DAY: u64 = 86_400;
        const GONE: &str = "parked: exit 1 (its home is gone)";
        const FIGHT: &str = "parked: exit 1 (ended by SIGTERM from another process, 10 times in a row: \
            does another gateway use the same token?)";
        // How it ended, how long it was up, (home gone, announced, by SIGTERM so often), deaths.
        type Row = (Exit, Option<u64>, (bool, bool, usize), &'static [u64], &'static str);
        let table: [Row; 22] = [
            // In order after a while, it is restarted and nothing else, however often.
            (Code(75), Some(10), (false, true, 0), &[1000], "restarting: exit 75 (it ended in order)"),
            (Code(1), Some(10), (false, true, 1), &TEN, "restarting: exit 1 (it ended in order)"),
            (Code(0), Some(DAY), (false, true, 1), &[1000], "restarting: exit 0 (it ended in order)"),
            (Code(75), Some(DAY), (false, true, 0), &[], "restarting: exit 75 (it ended in order)"),
            // As soon as it has started, or after nobody knows how long, it counts.
            (Code(75), Some(9), (false, true, 0), &[1000, 1001], "backing off 2s, 2 deaths: exit 75"),
            (Code(1), Some(9), (false, true, 1), &[1000], "backing off 1s, 1 death: exit 1"),
            (Code(1), None, (false, true, 1), &[1000, 1001], "backing off 2s, 2 deaths: exit 1"),
            (Code(0), Some(9), (false, true, 1), &[1000], "backing off 1s, 1 death: exit 0"),
            // What is not announced is as it was.
            (Code(75), Some(DAY), (false, false, 0), &[1000], "backing off 1s, 1 death: exit 75"),
            (Code(0), Some(10), (false, false, 1), &[1000], "parked: exit 0 (it ended by itself)"),
            (Signal(15), Some(DAY), (false, false, 1), &[1000], "backing off 1s, 1 death: SIGTERM"),
            // A wrong configuration is one, whatever else.
            (Code(78), Some(DAY), (false, true, 0), &[1000], "parked: exit 78 (configuration)"),
            // Ended by another again and again; what most were is the reason.
            (Code(1), Some(0), (false, true, 10), &TEN, FIGHT),
            (Code(1), Some(0), (false, false, 10), &TEN, FIGHT),
            (Code(1), Some(0), (false, true, 9), &NINE, "backing off 60s, 9 deaths: exit 1"),
            (Signal(15), Some(0), (false, false, 6), &TEN, "parked: SIGTERM (ended by SIGTERM from another process, 6 times in a row: does another gateway use the same token?)"),
            (Code(1), Some(0), (false, true, 5), &TEN, "parked: exit 1 (10 deaths within 600s)"),
            (Code(1), Some(0), (false, false, 0), &TEN, "parked: exit 1 (10 deaths within 600s)"),
            // Without a home another start does not help.
            (Code(1), Some(0), (true, false, 0), &[1000], GONE),
            (Code(1), None, (true, false, 0), &TEN, GONE),
            (Code(1), Some(DAY), (true, true, 1), &[1000], GONE),
            (Signal(9), None, (true, false, 0), &[1000], "parked: SIGKILL (its home is gone)"),
        ];
        for (exit, uptime, (home_gone, announced, terminated), deaths, text) in table {
            let deaths: Vec<_> = deaths.iter().map(|at| s(*at)).collect();
            let facts = Facts {
                uptime: uptime.map(s), home_gone, announced, terminated, ..facts(exit, &deaths)
            };
            let says = |facts| decide(facts, &Limits::default()).text();
            assert_eq!(says(&facts), text, "{facts:?}");
            assert_eq!(says(&Facts { planned: true, ..facts }), "", "{facts:?}");
        }
    }

    #[test]
    fn the_limits_are_settings() {
        let limits = Limits {
            first: Duration::from_millis(1500),
            longest: s(4),
            steady: s(5),
            early: s(1),
            deaths: 4,
            window: s(100),
        };
        let text = |exit, uptime, deaths: &[u64]| {
            let deaths: Vec<_> = deaths.iter().map(|at| s(*at)).collect();
            let facts = Facts { uptime: Some(s(uptime)), ..facts(exit, &deaths) };
            decide(&facts, &limits).text()
        };
        let one = Exit::Code(1);
        assert_eq!(text(one, 0, &[10]), "backing off 1.500s, 1 death: exit 1");
        assert_eq!(text(one, 0, &[10, 11]), "backing off 3s, 2 deaths: exit 1");
        assert_eq!(text(one, 0, &[10, 11, 12]), "backing off 4s, 3 deaths: exit 1");
        assert_eq!(text(one, 0, &[10, 11, 12, 109]), "parked: exit 1 (4 deaths within 100s)");
        assert_eq!(text(one, 6, &[10, 11, 12, 111]), "backing off 1.500s, 1 death: exit 1");
        assert_eq!(text(Exit::Code(0), 1, &[10]), "parked: exit 0 (it ended by itself)");
        let never = Limits { deaths: 0, ..limits };
        let many = [s(7); 5000];
        let facts = facts(one, &many);
        let record = decide(&facts, &never);
        assert_eq!((record.decision, record.deaths, record.time), (Decision::BackOff, 5000, s(4)));
        let nothing = Limits { first: s(0), longest: s(0), deaths: 1, ..limits };
        let facts = Facts { deaths: &[s(7)], ..facts };
        assert_eq!(decide(&facts, &nothing).text(), "parked: exit 1 (1 death within 100s)");
        let nothing = Limits { deaths: 2, ..nothing };
        assert_eq!(decide(&facts, &nothing).text(), "backing off 1s, 1 death: exit 1");
    }

    #[test]
    fn what_another_container_runs_stands_by_unless_it_was_asked_to_end() {
        let ten = TEN.map(s);
        for (planned, home_gone, code, expected) in [
            (false, false, 1, Decision::StandBy),
            (true, false, 1, Decision::AsTold),
            (false, true, 1, Decision::HomeGone),
            (false, false, 0, Decision::StandBy),
        ] {
            let dead = facts(Exit::Code(code), &ten);
            let facts = Facts { planned, home_gone, elsewhere: true, announced: true, ..dead };
            assert_eq!(
                decide(&facts, &Limits::default()).decision,
                expected,
                "{planned} {home_gone}"
            );
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_clock_that_is_set_back_or_forward_neither_forgives_deaths_nor_adds_old_ones() {
        let limits = Limits { deaths: 5, ..Limits::default() };
        // When it died; what is said of the last death.
        let table: [(&[u64], &str); 9] = [
            // Set back in the middle of a row: it goes on, and ends as it would have.
            (&[9000, 9001, 9003, 100], "backing off 8s, 4 deaths: exit 1"),
            (&[9000, 9001, 9003, 100, 108], "parked: exit 1 (5 deaths within 600s)"),
            // Set back each time.
            (&[9000, 8000, 7000, 6000], "backing off 8s, 4 deaths: exit 1"),
            (&[9000, 8000, 7000, 6000, 5000], "parked: exit 1 (5 deaths within 600s)"),
            // Ahead for a while, and then right again: what was before is long ago, for a while.
            (&[100, 101, 9003, 107], "backing off 2s, 2 deaths: exit 1"),
            (&[100, 101, 9003, 107, 115], "backing off 4s, 3 deaths: exit 1"),
            // Deaths of days before it was set back are as old as they were to each other.
            (&[100_000, 200_000, 300_000, 400_000, 1000], "backing off 2s, 2 deaths: exit 1"),
            (&[400_000, 400_001, 400_003, 400_007, 1000], "parked: exit 1 (5 deaths within 600s)"),
            // Nor do those that are said to be yet to come count for ever.
            (&[400_000, 400_001, 400_003, 1000, 9000], "backing off 1s, 1 death: exit 1"),
        ];
        for (deaths, text) in table {
            let deaths: Vec<_> = deaths.iter().map(|at| s(*at)).collect();
            let facts = facts(Exit::Code(1), &deaths);
            assert_eq!(decide(&facts, &limits).text(), text, "{deaths:?}");
        }
        // (deaths, now, those within ten minutes before)
        let table: [(&[u64], u64, usize); 7] = [
            (&[], 1000, 0),
            (&[100, 900, 1000], 1000, 2),
            (&[400, 401], 1000, 1),
            (&[400, 401], 1001, 0),
            // As seen after the clock was set back, and later.
            (&[9000, 9001], 1000, 2),
            (&[9000, 9001, 1000], 1200, 3),
            (&[9000, 9001, 1000], 1600, 0),
        ];
        for (deaths, now, count) in table {
            let all: Vec<_> = deaths.iter().map(|at| s(*at)).collect();
            assert_eq!(recent(&all, s(now), limits.window), count, "{deaths:?} {now}");
        }
    }

    proptest! {
        #[test]
        fn where_the_clock_is_right_the_time_since_each_death_counts(
            mut at in proptest::collection::vec(0..5000u64, 0..30), now in 0..2000u64,
        ) {
            at.sort_unstable();
            let now = s(at.last().unwrap_or(&0) + now);
            let all: Vec<_> = at.into_iter().map(s).collect();
            let window = s(600);
            let expected = all.iter().filter(|at| now - **at < window).count();
            prop_assert_eq!(recent(&all, now, window), expected);
        }

        #[test]
        fn a_delay_is_between_the_bounds_and_grows_with_the_row(
            first in 0..100_000u64, longest in 0..u64::MAX, row in 1..10_000usize,
        ) {
            let limits = Limits {
                first: Duration::from_millis(first),
                longest: Duration::from_millis(longest),
                ..Limits::default()
            };
            let delay = limits.delay(row);
            let (least, most) = (limits.first.min(limits.longest), limits.longest);
            prop_assert!(delay <= most.max(THROTTLE) && delay >= least.max(THROTTLE));
            prop_assert!(limits.delay(row + 1) >= delay);
        }

        #[test]
        fn any_facts_have_a_decision(
            code: u8, signal: bool, uptime: Option<u64>, planned: bool, home_gone: bool,
            elsewhere: bool, announced: bool, terminated in 0..9999usize, at in proptest::collection::vec(any::<u64>(), 0..30),
        ) {
            let exit = if signal { Exit::Signal(code) } else { Exit::Code(code) };
            let deaths: Vec<_> = at.into_iter().map(s).collect();
            let facts = Facts {
                uptime: uptime.map(s), planned, home_gone, elsewhere, announced, terminated, ..facts(exit, &deaths)
            };
            let record = decide(&facts, &Limits::default());
            prop_assert_eq!(record.decision == Decision::AsTold, planned);
            prop_assert_eq!(record.text().is_empty(), planned);
        }
    }
}
