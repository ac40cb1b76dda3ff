//! `logs`: what gateways have said.

use super::{fail, first, named};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::hermes::home::Homes;
use crate::logs::printer::{Form, Printer, Stamps};
use crate::logs::reader::Log;
use crate::logs::stamp::Stamp;
use crate::logs::timezone::Zone;
use crate::model::profile::Profile;
use crate::options::Opt;
use crate::sys::clock;
use crate::sys::inotify::Watches;
use crate::sys::poll::{self, FifoWriter};
use crate::sys::{print, raise_descriptor_limit};
use crate::text::messages::text;
use std::mem::ManuallyDrop;
use std::time::Duration;

/// So many lines of each log are shown, unless it is said otherwise.
const LINES: usize = 50;
/// How many bytes are printed at once, at least, while there are more lines.
const ENOUGH: usize = 32 * 1024;
/// How many descriptors are not for logs, and how many of a log's are for its two directories and
/// two files that stay open.
const SPARE: usize = 30;
const STAY: usize = 4;

/// Runs the command.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let (options, output) = (&context.options, &context.output);
    let mut stamps = match (options.has(Opt::Local), options.has(Opt::Utc)) {
        (false, false) => Stamps::AsTheyAre,
        (true, false) => Stamps::Local,
        (false, true) => Stamps::Utc,
        (true, true) => {
            let why = text!("takes --local or --utc, and not both");
            return Err(Error::new(Kind::Usage, text!("parse arguments"), "logs", why));
        }
    };
    let descriptors = raise_descriptor_limit().saturating_sub(SPARE);
    let homes = context.homes_as_user().map_err(|error| context.explain(error))?;
    // This, and what follows, lives as long as the process.
    let mut watch = ManuallyDrop::new(None);
    if options.has(Opt::Follow) {
        *watch = Some(Watches::new()?);
    }
    let profiles = ManuallyDrop::new(named(context, &options.words)?);
    let several = profiles.len() > 1;
    let most = (descriptors / profiles.len().max(1)).saturating_sub(STAY);
    let mut form = if print::is_terminal() { Form::Terminal } else { Form::Bytes };
    if output.json {
        (form, stamps) = (Form::Json, Stamps::Utc);
    }
    let mut zone = None;
    if several || options.since.is_some() || stamps != Stamps::AsTheyAre {
        zone = Some(Zone::load(context.settings.zone.as_deref()).unwrap_or_else(|error| {
            output.warn(error.hint(text!("UTC counts")));
            Zone::default()
        }));
    }
    let printer = Printer { form, stamps, zone, width: 0, out: Vec::new() };
    let since = options.since.map(|age| clock::time().saturating_sub(age));
    let (sources, failures) = (Vec::new(), Failures { context, code: 0 });
    let mut merge = ManuallyDrop::new(Merge { printer, since, sources, failures });
    for profile in profiles.iter() {
        let opened = match profile {
            Ok(profile) => open(context, homes, (profile, most), watch.as_ref()),
            Err(error) => Err(error.clone()),
        };
        match opened {
            Ok(log) => {
                if several {
                    merge.printer.width = merge.printer.width.max(log.profile.name().len());
                }
                let is_shown = since.is_none();
                let (waits, stamp, failed) = (false, None, false);
                merge.sources.push(Source { log, waits, stamp, is_shown, failed });
            }
            Err(error) => merge.failures.tell(context.explain(error)),
        }
    }
    let stdout = ManuallyDrop::new(FifoWriter::stdout()?);
    loop {
        // The first time, too: something may have been written before it was watched.
        if let Some(watch) = &*watch {
            watch.fifo().drain();
            merge.refresh(watch);
        }
        let is_read = merge.print_lines()?;
        let Some(watch) = &*watch else { break };
        if !is_read
            || merge.sources.iter().all(|source| source.failed)
            || poll::wait(&[(Some(watch.fifo()), Some(&stdout))], None)?[0].1
        {
            break;
        }
    }
    Ok(merge.failures.code)
}

/// Prints the last lines of the log of `profile`, if it has one, as a terminal may have them: as
/// many as it is said, else `lines`.
#[inline(never)]
pub(super) fn print_last(context: &Context, profile: &Profile, lines: usize) -> Result<()> {
    // What that means was told before: homes are asked for the state, too.
    let Ok(homes) = context.homes() else { return Ok(()) };
    let lines = context.options.lines.unwrap_or(lines);
    let mut log = match Log::open(homes.root(), profile, (lines, usize::MAX), false) {
        Ok(log) => log,
        Err(error) if error.kind == Kind::Missing => return Ok(()),
        Err(error) => {
            context.output.warn(error);
            return Ok(());
        }
    };
    warn_if_cut(context, &log);
    let (form, stamps, out) = (Form::Terminal, Stamps::AsTheyAre, b"\n".to_vec());
    let mut printer = Printer { form, stamps, zone: None, width: 0, out };
    let mut any = false;
    loop {
        let piece = match log.peek() {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => {
                context.output.warn(error);
                break;
            }
        };
        any = true;
        let ends = piece.ends;
        let done = printer.piece(piece.bytes, ends);
        log.take(done, ends);
        if printer.out.len() >= ENOUGH && !printer.print()? {
            return Ok(());
        }
    }
    if any {
        printer.print()?;
    }
    Ok(())
}

#[inline(never)]
fn open<'a>(
    context: &Context,
    homes: &Homes,
    (profile, most): (&'a Profile, usize),
    watch: Option<&Watches>,
) -> Result<Box<Log<'a>>> {
    let lines = match context.options.since {
        None => LINES,
        Some(_) => usize::MAX,
    };
    let lines = context.options.lines.unwrap_or(lines);
    let limits = (lines, most);
    let log = Log::open(homes.root(), profile, limits, watch.is_some()).map_err(|error| {
        if error.kind != Kind::Missing {
            return error;
        }
        let (kind, why) = match homes.names().and_then(|names| homes.has(profile, &names)) {
            Ok(true) => (Kind::Unusable, text!("it has no log yet")),
            Ok(false) => (Kind::NotRegistered, text!("no such gateway")),
            Err(error) => return error,
        };
        Error::new(kind, text!("show log of gateway"), profile.name(), why)
    })?;
    warn_if_cut(context, &log);
    if let Some(watch) = watch {
        log.watch(watch)?;
    }
    Ok(log)
}

fn warn_if_cut(context: &Context, log: &Log<'_>) {
    if log.cut {
        let what = text!(": what is older than the shown is too much to read").read();
        context.output.warn_of(&["log of ", log.profile.name(), what].concat());
    }
}

/// One of the logs that are shown.
struct Source<'a> {
    log: Box<Log<'a>>,
    /// Whether its next line is known.
    waits: bool,
    /// The stamp of that line.
    stamp: Option<Stamp>,
    /// Whether the last line with a stamp, and what belongs to it, is late enough.
    is_shown: bool,
    /// Whether it cannot be read any more.
    failed: bool,
}

impl Source<'_> {
    /// Looks for its next line, from `since` on; lines without a stamp go with the one before.
    fn look(&mut self, zone: Option<&Zone>, since: Option<Duration>) -> Result<()> {
        let mut goes_on = false;
        while let Some(piece) = self.log.peek()? {
            if !goes_on {
                self.stamp = zone.and_then(|zone| Stamp::of(piece.bytes, zone));
                if let (Some(stamp), Some(since)) = (&self.stamp, since) {
                    let seconds = since.as_secs().cast_signed();
                    self.is_shown = (stamp.seconds, stamp.nanos) >= (seconds, since.subsec_nanos());
                }
                if self.is_shown {
                    self.waits = true;
                    break;
                }
            }
            let (length, ends) = (piece.bytes.len(), piece.ends);
            self.log.take(length, ends);
            goes_on = !ends;
        }
        Ok(())
    }
}

/// Errors are printed while the other logs are shown.
struct Failures<'a> {
    context: &'a Context,
    /// The exit code.
    code: u64,
}

impl Failures<'_> {
    fn tell(&mut self, error: Box<Error>) {
        self.code = first(self.code, fail(self.context, error));
    }

    fn give_up(&mut self, source: &mut Source, error: Box<Error>) {
        self.tell(error);
        source.failed = true;
    }
}

/// Several logs that are shown as one.
struct Merge<'a> {
    printer: Printer,
    /// From when on lines are shown, since 1970 UTC, if not all are.
    since: Option<Duration>,
    sources: Vec<Source<'a>>,
    failures: Failures<'a>,
}

impl Merge<'_> {
    /// Looks for new lines in all logs.
    #[inline(never)]
    fn refresh(&mut self, watch: &Watches) {
        for source in &mut self.sources {
            if source.failed {
                continue;
            }
            match source.log.refresh(watch) {
                Ok(()) if !source.log.lost => {}
                Ok(()) => {
                    let name = source.log.profile.name();
                    let why = text!(
                        "files were deleted before they were read, or are too large or too many: lines may be missing"
                    );
                    let error =
                        Error::new(Kind::Missing, text!("follow log of gateway"), name, why);
                    self.failures.context.output.warn(error);
                }
                Err(error) => self.failures.give_up(source, error),
            }
        }
    }

    /// Prints all lines that are there, the earliest first. Returns whether anybody reads them.
    fn print_lines(&mut self) -> Result<bool> {
        let mut last = usize::MAX;
        loop {
            last = self.next(last);
            if last == usize::MAX {
                return self.printer.print();
            }
            if !self.print_line(last)? {
                return Ok(false);
            }
        }
    }

    /// The index of the source with the earliest line, the first one of several; `usize::MAX` if
    /// there is no line. A line without a stamp comes right after the line before it, which was
    /// one of the source `last`.
    #[inline(never)]
    fn next(&mut self, last: usize) -> usize {
        let mut first = (usize::MAX, (i64::MAX, 0));
        for (at, source) in self.sources.iter_mut().enumerate() {
            if !source.waits
                && !source.failed
                && let Err(error) = source.look(self.printer.zone.as_ref(), self.since)
            {
                self.failures.give_up(source, error);
            }
            if !source.waits {
                continue;
            }
            let mut moment = (i64::MIN, 0);
            if let Some(stamp) = &source.stamp {
                moment = (stamp.seconds, stamp.nanos);
            } else if at == last {
                return at;
            }
            if moment < first.1 {
                first = (at, moment);
            }
        }
        first.0
    }

    /// Prints the next line of the source `at`. Returns whether anybody reads it.
    #[inline(never)]
    fn print_line(&mut self, at: usize) -> Result<bool> {
        let source = &mut self.sources[at];
        let mut done = self.printer.begin(source.log.profile.name(), source.stamp);
        source.waits = false;
        let mut ends = false;
        while !ends {
            match source.log.peek() {
                Ok(Some(piece)) => {
                    ends = piece.ends;
                    done += self.printer.piece(&piece.bytes[done..], ends);
                    source.log.take(done, ends);
                }
                // The rest of the line has gone.
                rest => {
                    self.printer.piece(b"", true);
                    if let Err(error) = rest {
                        self.failures.give_up(source, error);
                    }
                    break;
                }
            }
            done = 0;
            if self.printer.out.len() >= ENOUGH && !self.printer.print()? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
