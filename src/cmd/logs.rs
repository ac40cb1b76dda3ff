//! `logs`: what gateways have said.

use crate::cli::{Logs, Options};
use crate::error::{Error, Kind, Result};
use crate::logs::printer::{Form, Printer, Stamps};
use crate::logs::stamp::Stamp;
use crate::logs::timezone::Zone;
use crate::model::profile::Profile;
use crate::render::{self, Level};
use crate::settings::Settings;
use crate::sys::user;
use crate::sys::{self, Dir, FifoWriter, Watches};
use crate::{hermes::home, logs::reader::Log};
use std::io::IsTerminal;

/// What is printed at once, in bytes, as soon as there is so much.
const ENOUGH: usize = 32 * 1024;

/// Runs the command.
pub fn run(options: &Options, it: &Logs) -> Result<u8> {
    let settings = Settings::read(options);
    sys::raise_descriptor_limit();
    user::become_gateways_user(&settings.user)?;
    let root = home::root_of(&settings.home);
    let home = Dir::open(root).map_err(|error| settings.explain(error))?;
    let mut show = Show::new(options, it, &settings);
    let watch = if it.follow { Some(Watches::new()?) } else { None };
    for (at, name) in it.names.iter().enumerate() {
        if it.names[..at].contains(name) {
            continue;
        }
        let opened = super::profile(name).and_then(|profile| {
            let log = open(&home, root, &profile, it, watch.as_ref());
            Ok(Source::new(profile, log.map_err(|error| settings.explain(error))?))
        });
        match opened {
            Ok(source) => show.sources.push(source),
            Err(error) => show.fail(&error),
        }
    }
    if show.several {
        show.pad();
    }
    let stdout = FifoWriter::stdout();
    loop {
        // At first, too: something may have come before it was watched.
        if let Some(watch) = &watch {
            watch.fifo().drain();
            show.refresh(watch);
        }
        if !show.lines()? || show.sources.is_empty() {
            return Ok(show.code);
        }
        let Some(watch) = &watch else { return Ok(show.code) };
        if sys::wait(&[(Some(watch.fifo()), stdout.as_ref())], None)?[0].1 {
            return Ok(show.code);
        }
    }
}

fn open(
    home: &Dir,
    root: &[u8],
    profile: &Profile,
    it: &Logs,
    watch: Option<&Watches>,
) -> Result<Log> {
    let log = Log::open(home, profile, it.lines, it.follow).map_err(|error| {
        if error.kind != Kind::Missing {
            return error;
        }
        let (kind, why) = match home::exists(root, profile) {
            true => (Kind::Unusable, "it has no log yet"),
            false => (Kind::NotRegistered, "no such gateway"),
        };
        Error::new(kind, "show log of gateway", profile.name(), why)
    })?;
    if let Some(watch) = watch {
        log.watch(watch)?;
    }
    Ok(log)
}

/// The log of a gateway on its way to the reader.
struct Source {
    profile: Profile,
    log: Log,
    /// What its lines begin with.
    prefix: Vec<u8>,
    /// Whether there is a line that was not shown.
    waits: bool,
    /// The stamp of that line.
    stamp: Option<Stamp>,
    /// The moment of that stamp, in seconds since 1970 UTC and nanoseconds.
    at: Option<(i64, u32)>,
    failed: bool,
}

impl Source {
    fn new(profile: Profile, log: Log) -> Source {
        let prefix = Vec::new();
        Source { profile, log, prefix, waits: false, stamp: None, at: None, failed: false }
    }
}

/// Several logs that are shown as one.
struct Show {
    printer: Printer,
    sources: Vec<Source>,
    /// Whether lines say whose they are.
    several: bool,
    /// Whether it matters which stamps lines have.
    stamps: bool,
    json: bool,
    code: u8,
}

impl Show {
    fn new(options: &Options, it: &Logs, settings: &Settings) -> Show {
        let json = options.json;
        let form = match (json, std::io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Terminal,
            (false, false) => Form::Bytes,
        };
        let several = it.names.iter().any(|name| *name != it.names[0]);
        let stamps = several || json || it.stamps != Stamps::AsTheyAre;
        let mut zone = Zone::default();
        if stamps {
            match Zone::load(settings.zone.as_deref()) {
                Ok(local) => zone = local,
                Err(error) => warn(&error.hint("UTC counts").to_string(), json),
            }
        }
        let printer = Printer { form, stamps: it.stamps, zone, out: Vec::new() };
        Show { printer, sources: Vec::new(), several, stamps, json, code: 0 }
    }

    /// Says what went wrong; the others go on.
    fn fail(&mut self, error: &Error) {
        render::complain(Level::Error, &error.to_string(), self.json);
        if self.code == 0 {
            self.code = error.kind.exit_code();
        }
    }

    /// Makes the names before the lines as long as the longest.
    fn pad(&mut self) {
        let mut longest = 0;
        for source in &self.sources {
            longest = longest.max(source.profile.name().len());
        }
        for source in &mut self.sources {
            source.prefix.extend_from_slice(source.profile.name().as_bytes());
            source.prefix.resize(longest, b' ');
            source.prefix.extend_from_slice(b" | ");
        }
    }

    /// Looks for what has come.
    fn refresh(&mut self, watch: &Watches) {
        for at in 0..self.sources.len() {
            let source = &mut self.sources[at];
            match source.log.refresh(watch) {
                Ok(false) => {}
                Ok(true) => {
                    let name = source.profile.name();
                    let why = "files were deleted before they were read: lines may be missing";
                    warn(&format!("follow log of gateway: {name}: {why}"), self.json);
                }
                Err(error) => self.lose(at, &error),
            }
        }
    }

    fn lose(&mut self, at: usize, error: &Error) {
        self.fail(error);
        self.sources[at].failed = true;
    }

    /// Shows all lines that are there, the earliest first; whether somebody reads them.
    ///
    /// What has no stamp stays with the line before it.
    fn lines(&mut self) -> Result<bool> {
        while let Some(first) = self.first() {
            loop {
                if !self.line(first)? {
                    return Ok(false);
                }
                if !self.look(first) || self.sources[first].stamp.is_some() {
                    break;
                }
            }
        }
        self.sources.retain(|source| !source.failed);
        self.print()
    }

    /// The source whose line comes first; of several the one that was named first.
    fn first(&mut self) -> Option<usize> {
        let mut first: Option<usize> = None;
        for at in 0..self.sources.len() {
            if !self.look(at) {
                continue;
            }
            if first.is_none_or(|first| self.sources[at].at < self.sources[first].at) {
                first = Some(at);
            }
        }
        first
    }

    /// Whether there is another line of the source `at`.
    fn look(&mut self, at: usize) -> bool {
        let source = &mut self.sources[at];
        if source.waits || source.failed {
            return source.waits;
        }
        match source.log.peek() {
            Ok(Some(piece)) => {
                source.stamp = if self.stamps { Stamp::of(piece.bytes) } else { None };
                source.at = source.stamp.map(|stamp| self.printer.moment(&stamp));
                source.waits = true;
            }
            Ok(None) => {}
            Err(error) => self.lose(at, &error),
        }
        self.sources[at].waits
    }

    /// Shows the line that waits; whether somebody reads it.
    fn line(&mut self, at: usize) -> Result<bool> {
        let Source { profile, log, prefix, waits, stamp, .. } = &mut self.sources[at];
        let mut done = self.printer.begin(profile.name(), prefix, *stamp);
        *waits = false;
        loop {
            match log.peek() {
                Ok(Some(piece)) => {
                    let ends = piece.ends;
                    done += self.printer.piece(&piece.bytes[done..], ends);
                    log.take(done, ends);
                    if ends {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.lose(at, &error);
                    break;
                }
            }
            done = 0;
            if self.printer.out.len() >= ENOUGH && !print(&mut self.printer.out)? {
                return Ok(false);
            }
        }
        self.printer.end();
        if self.printer.out.len() < ENOUGH { Ok(true) } else { self.print() }
    }

    fn print(&mut self) -> Result<bool> {
        print(&mut self.printer.out)
    }
}

/// Prints `bytes`, of which none are left then; whether somebody reads them.
fn print(bytes: &mut Vec<u8>) -> Result<bool> {
    let heard = sys::print_while_heard(bytes)?;
    bytes.clear();
    Ok(heard)
}

fn warn(text: &str, json: bool) {
    render::complain(Level::Warning, text, json);
}
