//! `finish`: what becomes of a gateway that has died, and when.

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::gateway::crash_record::{self, Intervened, Notes};
use crate::gateway::{standby, turn};
use crate::hermes::state_file;
use crate::model::backoff::{self, CrashRecord, Decision, Exit, Facts, STANDING_BY};
use crate::model::profile::{PREFIX, Profile};
use crate::model::values;
use crate::s6::service::Service;
use crate::s6::status::{self, Status};
use crate::sys::clock::Deadline;
use crate::sys::dir::Dir;
use crate::sys::if_there;
use crate::sys::inotify::Watches;
use crate::sys::poll;
use crate::sys::print;
use crate::text::messages::text;
use std::time::Duration;

/// Tells s6-supervise not to start the service again.
const PARKED: u64 = 125;
/// The exit code of s6-log where a system call has failed, as one that takes a lock.
const FAILED: u8 = 111;
/// What s6-supervise gets to say that finish runs.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Where there are no watches left, the status is looked at so often.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the command, in the service directory of a gateway that has ended: its exit code is
/// what s6-supervise goes by.
///
/// # Errors
/// [`Kind::Unsupervised`] if s6-supervise has not started this process, or cannot say so.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let words = words(context);
    let exit = exit(words)?;
    if let Some(profile) = logger_of(words)? {
        return logger(context, &profile, exit);
    }
    context.warn_of_settings();
    let output = &context.output;
    // What belongs to hermes is not written as root.
    let may_write = output.warn_unless(context.drop_root(&mut |_| Ok(())));
    let slot = Service::at(b".")?;
    if !wait_until(&slot, None, TIMEOUT)? {
        // Another start would not help, whoever has started this.
        if exit == Exit::Code(backoff::CONFIGURATION) {
            return Ok(PARKED);
        }
        if_there(slot.status())?;
        let why = text!("no s6-supervise says that it has started this");
        return Err(Error::new(Kind::Unsupervised, text!("finish gateway"), ".", why));
    }
    let mut first = look(&slot).ok();
    let status = slot.status()?;
    // What is noted after its death.
    let after = Intervened { after: status.stamp, in_run: false };
    // What cannot be read is told, and counts as not there: then it is started again.
    let mut notes = Notes {
        intervened: output.or_warn(crash_record::intervened(&slot)),
        endings: output.or_warn(crash_record::endings(&slot)),
    };
    let (record, terminated) = decide(context, &slot, &status, exit, &notes);
    let text = record.text();
    if !text.is_empty() {
        print::print_if_heard(["hermes-gw: ", &text, "\n"].concat().as_bytes());
    }
    if may_write {
        output.warn_unless(crash_record::write(&slot, &record));
        output.warn_unless(match record.decision {
            Decision::Restart => notes.add(&slot, status.stamp, false),
            Decision::BackOff if terminated => notes.add(&slot, status.stamp, true),
            Decision::BackOff => Ok(()),
            _ => crash_record::intervene(&slot, &after),
        });
    }
    match record.decision {
        Decision::AsTold | Decision::Restart => Ok(0),
        // It is told to stay down by that; whoever tells it something else later is not overruled.
        Decision::StandBy => standby::stand_by(&slot).map(|()| 0),
        what if what.parks() => Ok(PARKED),
        _ => {
            let delay = record.time.saturating_sub(backoff::THROTTLE);
            // It may have come from another s6-supervise, for which this is not its finish.
            let told = wait_until(&slot, Some(&mut first), delay)? && is_this(&slot);
            if told && may_write {
                output.warn_unless(crash_record::clear(&slot));
                output.warn_unless(crash_record::intervene(&slot, &after));
            }
            Ok(0)
        }
    }
}

/// What s6-supervise has passed; before it comes the script, where this is its interpreter.
#[inline(never)]
fn words(context: &Context) -> &[Vec<u8>] {
    match &context.options.words[..] {
        [script, words @ ..] if script.starts_with(b".") => words,
        words => words,
    }
}

/// Whose logger has ended, if it is one, by the name that s6-supervise gives its service.
fn logger_of(words: &[Vec<u8>]) -> Result<Option<Profile>> {
    let name = words.get(2).and_then(|name| name.strip_suffix(b"/log"));
    let profile = name.and_then(|name| name.strip_prefix(PREFIX)).map(Profile::parse);
    profile
        .transpose()
        .map_err(|why| Error::new(Kind::Usage, text!("finish logger"), "log", why.why()))
}

/// What becomes of a logger that has ended. If another container's writes to its directory, the
/// profile is that container's, and this slot stands by.
fn logger(context: &Context, profile: &Profile, exit: Exit) -> Result<u64> {
    if exit != Exit::Code(FAILED) {
        return Ok(0);
    }
    let homes = context.homes_as_user()?;
    if !standby::locks_in(homes, profile)?.are_held_elsewhere() {
        return Ok(0);
    }
    context.output.tell(profile.name(), STANDING_BY)?;
    standby::stand_by(&Service::at(b"..")?).map(|()| 0)
}

/// `EXIT_CODE SIGNAL NAME [PGID]`: what s6-supervise passes to the script.
fn exit(words: &[Vec<u8>]) -> Result<Exit> {
    let number = |at: usize| {
        let word = words.get(at).map_or(&b""[..], |word| word);
        let wrong =
            || Error::new(Kind::Usage, text!("parse number"), word, text!("is not a number"));
        values::number(word).ok_or_else(wrong)
    };
    let (code, signal) = (number(0)?, number(1)?);
    // For what a signal has ended, the code is 256.
    Ok(match u8::try_from(code) {
        Ok(code) => Exit::Code(code),
        Err(_) => Exit::Signal(u8::try_from(signal).unwrap_or(0)),
    })
}

/// What is done about the gateway in `slot`, which ended with `exit`, and whether another process
/// has terminated it; `status` is that of its death.
#[inline(never)]
fn decide(
    context: &Context,
    slot: &Service,
    status: &Status,
    exit: Exit,
    notes: &Notes,
) -> (CrashRecord, bool) {
    let (died, intervened) = (status.stamp, notes.intervened);
    let deaths = context.output.or_warn(slot.deaths());
    let (mut is_first, mut terminated) = (true, 0);
    for death in notes.later(&deaths).iter().filter(|death| death.stamp != died) {
        is_first = false;
        match notes.ending(death.stamp) {
            None => terminated = 0,
            Some(counts) => terminated += usize::from(counts),
        }
    }
    let started = context.output.or_warn(crash_record::started(slot));
    // Where the clock was set back meanwhile, it does not tell how long ago that was.
    let started = started.filter(|started| *started <= died.since_unix());
    // Its turn had not come, or only just. What cannot be looked at is not there.
    let waited = matches!(slot.dir().kind(turn::FILE), Ok(Some(_)));
    // Asked for in this run, or after its death.
    let planned = !status.want_up
        || intervened.after == died
        || intervened.in_run && is_first
        || waited && !matches!(exit, Exit::Code(1..));
    let mut facts = Facts {
        exit,
        uptime: started.map(|started| died.since_unix() - started),
        planned,
        home_gone: false,
        elsewhere: false,
        announced: false,
        terminated: 0,
        deaths: &notes.counted(&deaths),
    };
    // Whatever is in its home then makes no difference.
    if !planned && exit != Exit::Code(backoff::CONFIGURATION) {
        let looked = look_at_home(context, started, terminated, &mut facts);
        context.output.warn_unless(looked);
    }
    (backoff::decide(&facts, &context.settings.limits), facts.terminated > 0)
}

/// Adds to `facts` what the gateway has recorded in its home of how its run ended that `started`
/// then, after so many that were `terminated`, and whether another container runs it.
#[inline(never)]
fn look_at_home(
    context: &Context,
    started: Option<Duration>,
    terminated: usize,
    facts: &mut Facts<'_>,
) -> Result<()> {
    let Some(home) = home(context)? else {
        facts.home_gone = true;
        return Ok(());
    };
    // Where `run` did not get that far, nothing in there is of that run.
    let started = started.unwrap_or(Duration::MAX);
    let elsewhere = standby::runs_elsewhere(&home)?;
    let ending = state_file::read_ending(&home, facts.exit, started)?;
    facts.elsewhere = elsewhere;
    facts.announced = ending.announced;
    facts.terminated = if ending.terminated { terminated + 1 } else { 0 };
    Ok(())
}

/// The home of the gateway, by the name that s6-supervise passes; `None` if it is gone, while
/// the Hermes home is there.
fn home(context: &Context) -> Result<Option<Dir>> {
    let name = words(context).get(2).and_then(|word| word.strip_prefix(PREFIX));
    let profile = super::profile(name.unwrap_or_default())?;
    if_there(context.homes()?.of(&profile))
}

/// Whether `slot` is where this process is the finish that runs.
fn is_this(slot: &Service) -> bool {
    let own = u64::from(std::process::id());
    // What cannot be read does not say so; it is read again, and told when the time is over.
    slot.status().is_ok_and(|status| status.finishing && status.pid == own)
}

/// What tells one status from another: the inode of its file, and when that was written; `None` if
/// it is not there.
type Seen = Option<(u64, Duration)>;

/// The status as it is now.
fn look(slot: &Service) -> Result<Seen> {
    let status = slot.dir().look(status::FILE)?;
    Ok(status.map(|status| (status.inode, status.modified)))
}

/// Waits until `slot` is where this process is the finish that runs; or, with the `first` status
/// given, until there is another, for any letter makes for one; `time` at most. Whether it is. s6
/// has no event for what it is told while finish runs.
fn wait_until(
    slot: &Service,
    mut first: Option<&mut Option<Seen>>,
    time: Duration,
) -> Result<bool> {
    let mut is = || match &mut first {
        None => is_this(slot),
        // What cannot be looked at is no other one.
        Some(first) => look(slot).is_ok_and(|now| *first.get_or_insert(now) != now),
    };
    // Not one watch more than there must be: the end of one takes the kernel milliseconds.
    if is() || time.is_zero() {
        return Ok(is());
    }
    let watch = || -> Result<Watches> {
        let watches = Watches::new()?;
        watches.add(b"supervise").map(|_| watches)
    };
    // Where no watch is left, it is looked each PAUSE.
    let watches = watch().ok();
    let events = watches.as_ref().map(Watches::fifo);
    poll::wait_until(Deadline::after(time), events, PAUSE, &mut || Ok(is()))
}
