//! logs/gateways/PROFILE/: what s6-log has written for a gateway.
//!
//! s6-log appends to `current`. To rotate it renames that to `previous`, makes a new
//! `current`, links `previous` to its final name, a stamp with `.s`, and unlinks it; then
//! the oldest of these files go, by name. A `current` that a killed s6-log has left is
//! linked to a stamp with `.u`. So a file keeps its inode whatever it is called, and
//! nothing is written to it any more once there is another `current`.

use crate::error::{Kind, Result};
use crate::hermes::home::LOGS;
use crate::model::profile::Profile;
use crate::s6::tai64n::Tai64n;
use crate::sys::Name;
use crate::sys::dir::{Dir, File};
use crate::sys::inotify::Watches;

const CURRENT: &[u8] = b"current";
const PREVIOUS: &[u8] = b"previous";
/// How many bytes are read at once.
const BLOCK: usize = 16 * 1024;
/// So many files of a log are opened at once, if there are descriptors: s6-log keeps ten, unless
/// somebody else has put more there.
const MOST_FILES: usize = 64;
/// And so many bytes of each are looked at, the last: s6-log lets none grow larger.
const MOST_BYTES: u64 = 1 << 28;

/// The log of a gateway, read line by line.
pub(crate) struct Log<'a> {
    pub(crate) profile: &'a Profile,
    /// The directory of all logs.
    gateways: Dir,
    dir: Dir,
    /// The oldest first. Open files stay readable when they are renamed or deleted.
    files: Vec<LogFile>,
    /// The index of the file that is being read.
    front: usize,
    /// The names in the directory when it was last listed.
    names: Vec<Name>,
    /// The bytes that were last read from the file at `front`.
    block: Vec<u8>,
    /// How many bytes of the block were taken.
    taken: usize,
    /// How many files are opened at once.
    most: usize,
    /// Whether older lines are left out because there are too many files, or too large ones.
    pub(crate) cut: bool,
    /// Whether new lines may be missing: s6-log has deleted files that were not read, or they are
    /// too many, or too large.
    pub(crate) lost: bool,
}

struct LogFile {
    file: File,
    inode: u64,
    /// How many bytes were taken.
    at: u64,
    /// How many bytes may be taken.
    end: u64,
}

/// A line, or as much of it as fits into a block.
pub(crate) struct Piece<'a> {
    /// Without the newline.
    pub(crate) bytes: &'a [u8],
    /// Whether the line ends here.
    pub(crate) ends: bool,
}

impl<'a> Log<'a> {
    /// Opens the log of `profile` below `home`, the root home, at its last `lines`. If it
    /// `follows`, a last line without a newline is left for later. No more than `most` of its files
    /// are opened when it is listed, nor more than [`MOST_FILES`]; the two newest are in any case.
    ///
    /// # Errors
    /// [`Kind::Missing`] if there is no log.
    #[inline(never)]
    pub(crate) fn open(
        home: &Dir,
        profile: &'a Profile,
        (lines, most): (usize, usize),
        follows: bool,
    ) -> Result<Box<Log<'a>>> {
        let gateways = home.dir(LOGS)?;
        let dir = gateways.dir(profile.name().as_bytes())?;
        let (files, names, block) = (Vec::new(), Vec::new(), Vec::new());
        // In a box, because moving it would take more code.
        let mut log = Box::new(Log {
            profile,
            gateways,
            dir,
            files,
            front: 0,
            names,
            block,
            taken: 0,
            most: most.min(MOST_FILES),
            cut: false,
            lost: false,
        });
        log.open_new()?;
        let mut lines = lines;
        let mut too_large = false;
        for file in log.files.iter_mut().rev() {
            if file.go_back(&mut lines)? {
                // What is older does not follow on what is shown.
                (too_large, lines) = (true, 0);
            }
        }
        log.cut = too_large || log.cut && lines > 0;
        if follows {
            log.lost = false;
            log.find_whole_lines()?;
            log.cut |= log.lost;
        } else if log.files.is_empty() {
            // This fails, unless the file was made just now.
            log.dir.file(CURRENT)?;
        }
        Ok(log)
    }

    /// Makes `watch` report what [`Log::refresh`] should look for.
    pub(crate) fn watch(&self, watch: &Watches) -> Result<()> {
        watch.add_files_of(&self.gateways)?;
        watch.add_files_of(&self.dir)
    }

    /// The next line, or as much of it as fits into a block; `None` if there is none yet.
    pub(crate) fn peek(&mut self) -> Result<Option<Piece<'_>>> {
        let (length, ends) = loop {
            let Some(file) = self.files.get_mut(self.front) else { return Ok(None) };
            let left = file.end.saturating_sub(file.at);
            if left == 0 {
                if self.front + 1 == self.files.len() {
                    return Ok(None);
                }
                self.front += 1;
                continue;
            }
            let unread = &self.block[self.taken..];
            if let Some(end) = unread.iter().position(|&b| b == b'\n') {
                break (end, true);
            }
            let wanted = left.min(BLOCK as u64) as usize;
            if unread.len() >= wanted {
                // The end of the file ends the line, too.
                break (unread.len(), unread.len() as u64 == left);
            }
            self.block.resize(wanted, 0);
            self.taken = 0;
            let length = file.file.read_at(&mut self.block, file.at)?;
            if length < wanted {
                // Somebody has cut the file.
                self.block.truncate(length);
                file.end = file.at + length as u64;
            }
        };
        Ok(Some(Piece { bytes: &self.block[self.taken..self.taken + length], ends }))
    }

    /// Takes `count` bytes of the line that [`Log::peek`] has returned, and its newline if the
    /// line `ends` there.
    pub(crate) fn take(&mut self, count: usize, ends: bool) {
        let count = (count + usize::from(ends)).min(self.block.len() - self.taken);
        self.taken += count;
        self.files[self.front].at += count as u64;
    }

    /// Looks for new lines, after all lines were taken, and whether some are lost. `watch` reports
    /// the next change.
    #[inline(never)]
    pub(crate) fn refresh(&mut self, watch: &Watches) -> Result<()> {
        self.lost = false;
        // The last two files stay open, because they may be found again by other names: the
        // last `current`, and what was `previous` when that one was opened.
        while self.front > 0 && self.files.len() > 2 {
            self.files.remove(0);
            self.front -= 1;
        }
        let current = self.dir.look(CURRENT)?.map(|current| current.inode);
        let mut is_new = match self.files.last() {
            Some(last) => current.is_some_and(|current| current != last.inode),
            None => true,
        };
        if current.is_none() {
            let name = self.profile.name().as_bytes();
            let there = self.gateways.look(name)?;
            if let Some(there) = there
                && there.inode != self.dir.meta()?.inode
            {
                // The directory was deleted and made again.
                self.dir = self.gateways.dir(name)?;
                self.names.clear();
                self.watch(watch)?;
                is_new = true;
            }
        }
        if is_new {
            self.open_new()?;
        }
        self.find_whole_lines()?;
        for file in &mut self.files {
            self.lost |= file.skip_to(file.end.saturating_sub(MOST_BYTES));
        }
        Ok(())
    }

    /// Opens the files that were not there when the directory was last listed.
    fn open_new(&mut self) -> Result<()> {
        let known = self.files.len();
        // The newest first.
        let names = loop {
            // In this order a file that is renamed meanwhile is found twice, not missed.
            self.open_file(CURRENT, known)?;
            self.open_file(PREVIOUS, known)?;
            let names = self.dir.names()?;
            let current = self.dir.look(CURRENT)?;
            if current.is_none_or(|current| self.is_open(current.inode)) {
                break names;
            }
            // s6-log has rotated meanwhile.
            self.files.truncate(known);
        };
        if let Some(last) = known.checked_sub(1) {
            // Nothing is written to it any more.
            let last = &mut self.files[last];
            let meta = last.file.meta()?;
            last.end = meta.size;
            self.lost |= meta.size > 0 && meta.deleted;
        }
        // Names that are not known, not greater names: the clock may have been set back.
        for name in names.iter().rev() {
            if !is_rotated(name) || self.names.binary_search(name).is_ok() {
                continue;
            }
            if self.files.len() - known >= self.most {
                if self.dir.look(name)?.is_some_and(|it| self.is_open(it.inode)) {
                    continue;
                }
                (self.cut, self.lost) = (true, true);
                break;
            }
            if !self.open_file(name, known)? {
                // It was deleted meanwhile, and then so were the older ones.
                self.lost = true;
                break;
            }
        }
        self.names = names;
        Ok(())
    }

    /// Opens the file `name`, unless it is open by another name. It is older than those that were
    /// opened just now, which are from `at` on. Returns whether it is there.
    fn open_file(&mut self, name: &[u8], at: usize) -> Result<bool> {
        let file = match self.dir.file(name) {
            Err(error) if error.kind == Kind::Missing => return Ok(false),
            file => file?,
        };
        let meta = file.meta()?;
        if !self.is_open(meta.inode) {
            self.files.insert(at, LogFile { file, inode: meta.inode, at: 0, end: meta.size });
        }
        Ok(true)
    }

    fn is_open(&self, inode: u64) -> bool {
        self.files.iter().any(|file| file.inode == inode)
    }

    /// Makes the whole lines of the last file available; the rest of another may follow. What is
    /// too large to look at all of it is lost in part.
    fn find_whole_lines(&mut self) -> Result<()> {
        let Some(last) = self.files.last_mut() else { return Ok(()) };
        let size = last.file.meta()?.size;
        if size < last.at {
            // Somebody has emptied it.
            last.at = 0;
        }
        self.lost |= last.skip_to(size.saturating_sub(MOST_BYTES));
        last.end = last.line_start(last.at, size, &mut 1)?;
        Ok(())
    }
}

impl LogFile {
    /// Leaves out what is before `from`; whether anything is.
    fn skip_to(&mut self, from: u64) -> bool {
        let skips = self.at < from;
        self.at = self.at.max(from);
        skips
    }

    /// Goes to where the last `lines` begin, and subtracts from `lines` those that are there.
    /// Returns whether it stopped before, for the file is too large.
    fn go_back(&mut self, lines: &mut usize) -> Result<bool> {
        self.at = self.end;
        let from = self.end.saturating_sub(MOST_BYTES);
        if *lines > 0 && self.end > 0 {
            // No line begins after a newline that is the last byte.
            let begin = self.line_start(from, self.end - 1, lines)?;
            if begin > from || from == 0 {
                self.at = begin;
            }
            if *lines > 0 && from == 0 {
                // The first line begins without a newline.
                (self.at, *lines) = (0, *lines - 1);
            }
        }
        Ok(from > 0 && *lines > 0)
    }

    /// Looks backwards in the bytes `from` to `to` for as many newlines as there are `lines`,
    /// at least one, and subtracts those it finds. Returns where the line after the last of
    /// them begins, or `from` if there is none.
    fn line_start(&self, from: u64, to: u64, lines: &mut usize) -> Result<u64> {
        let mut block = [0; BLOCK];
        let (mut start, mut end) = (from, to);
        while end > from {
            let begin = from.max(end.saturating_sub(BLOCK as u64));
            let length = self.file.read_at(&mut block[..(end - begin) as usize], begin)?;
            for at in (0..length).rev() {
                if block[at] == b'\n' {
                    start = begin + at as u64 + 1;
                    *lines -= 1;
                    if *lines == 0 {
                        return Ok(start);
                    }
                }
            }
            end = begin;
        }
        Ok(start)
    }
}

/// Whether a rotated file is called `name`: `@`, 24 hexadecimal digits, `.s` or `.u`.
fn is_rotated(name: &[u8]) -> bool {
    match name {
        [b'@', stamp @ .., b'.', b's' | b'u'] => Tai64n::parse(stamp).is_some(),
        _ => false,
    }
}
