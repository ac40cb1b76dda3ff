//! logs/gateways/PROFILE/: what s6-log has written for a gateway.
//!
//! s6-log appends to `current`. To rotate it renames that to `previous`, makes a new
//! `current`, links `previous` to its final name, a stamp with `.s`, and unlinks it; then
//! the oldest of these files go, by name. A `current` that a killed s6-log has left is
//! linked to a stamp with `.u`. So a file keeps its inode whatever it is called, and
//! nothing is written to it any more once there is another `current`.

use crate::error::{Error, Kind, Result};
use crate::model::profile::Profile;
use crate::sys::{Dir, File, FileKind, Meta, Name, Watches};

const LOGS: &[u8] = b"logs";
const GATEWAYS: &[u8] = b"gateways";
const CURRENT: &[u8] = b"current";
const PREVIOUS: &[u8] = b"previous";
/// How much is read at once, in bytes.
const BLOCK: usize = 16 * 1024;

/// The log of a gateway: a queue of lines.
#[derive(Debug)]
pub struct Log {
    gateways: Dir,
    name: Name,
    dir: Dir,
    /// Oldest first. Open files stay readable when they are renamed or deleted.
    parts: Vec<Part>,
    /// Which of them is being read.
    front: usize,
    /// What names there were when it was last looked.
    names: Vec<Name>,
    /// What was read of the part at the front, and is still to be taken from `taken` on.
    block: Vec<u8>,
    taken: usize,
}

/// A file of a log.
#[derive(Debug)]
struct Part {
    file: File,
    inode: u64,
    /// What was read so far, in bytes.
    at: u64,
    /// What may be read: whole lines.
    end: u64,
    /// Up to where it was looked for the ends of lines.
    seen: u64,
}

/// A line, or as much of one as fits.
pub struct Piece<'a> {
    /// Without the newline.
    pub bytes: &'a [u8],
    /// Whether the line ends here.
    pub ends: bool,
}

impl Log {
    /// Opens the log of `profile` below `home`, the root home, at its last `lines`; as they
    /// are now, or, if it `follows`, with what comes, too.
    ///
    /// # Errors
    /// [`Kind::Missing`] if there is none.
    pub fn open(home: &Dir, profile: &Profile, lines: usize, follows: bool) -> Result<Log> {
        let gateways = home.dir(LOGS)?.dir(GATEWAYS)?;
        let name = profile.name().as_bytes().to_vec();
        let dir = gateways.dir(&name)?;
        let (parts, names, block) = (Vec::new(), Vec::new(), Vec::new());
        let mut log = Log { gateways, name, dir, parts, front: 0, names, block, taken: 0 };
        log.gather()?;
        let mut left = lines;
        for part in log.parts.iter_mut().rev() {
            left = part.rewind(left)?;
        }
        if follows {
            log.hold()?;
        } else if log.parts.is_empty() {
            return Err(Error::new(
                Kind::Missing,
                "open",
                log.dir.path_of(CURRENT),
                "is not there",
            ));
        }
        Ok(log)
    }

    /// Has `watch` tell when [`Log::refresh`] may find something.
    pub fn watch(&self, watch: &Watches) -> Result<()> {
        watch.add_files_of(&self.gateways)?;
        watch.add_files_of(&self.dir)
    }

    /// The next line, or as much of it as fits into a block; `None` if there is none yet.
    pub fn peek(&mut self) -> Result<Option<Piece<'_>>> {
        let (length, ends) = loop {
            let Some(left) = self.left() else { return Ok(None) };
            let there = &self.block[self.taken..];
            match line_end(there) {
                Some(end) => break (end, true),
                None if there.len() < left.min(BLOCK) => self.fill()?,
                // Where what may be read ends, the line does, too.
                None => break (there.len(), there.len() == left),
            }
        };
        Ok(Some(Piece { bytes: &self.block[self.taken..self.taken + length], ends }))
    }

    /// Takes `count` bytes of what was peeked, and the line's end, if it `ends`.
    pub fn take(&mut self, count: usize, ends: bool) {
        let count = (count + usize::from(ends)).min(self.block.len() - self.taken);
        self.taken += count;
        self.parts[self.front].at += count as u64;
    }

    /// How many bytes may be read of the part at the front, once it has any.
    fn left(&mut self) -> Option<usize> {
        while let Some(part) = self.parts.get(self.front) {
            if part.at < part.end {
                return Some(usize::try_from(part.end - part.at).unwrap_or(usize::MAX));
            }
            if self.front + 1 == self.parts.len() {
                break;
            }
            self.front += 1;
        }
        None
    }

    /// Fills the block with what comes next.
    fn fill(&mut self) -> Result<()> {
        let part = &mut self.parts[self.front];
        let left = usize::try_from(part.end - part.at).unwrap_or(usize::MAX);
        self.block.resize(left.min(BLOCK), 0);
        self.taken = 0;
        let length = part.file.read_at(&mut self.block, part.at)?;
        self.block.truncate(length);
        if length < left.min(BLOCK) {
            // Somebody has cut the file.
            part.end = part.at + length as u64;
        }
        Ok(())
    }

    /// Looks for what is new, once all lines were taken, and has `watch` tell when it is to
    /// look again. Whether s6-log may have deleted files that were not read.
    pub fn refresh(&mut self, watch: &Watches) -> Result<bool> {
        // The last two may be met again by other names: what was current, and what was
        // previous when it became that.
        let read = self.front.min(self.parts.len().saturating_sub(2));
        self.parts.drain(..read);
        self.front -= read;
        let now = self.dir.look(CURRENT)?.map(|current| current.inode);
        if now.is_none() && self.is_replaced()? {
            self.dir = self.gateways.dir(&self.name)?;
            self.names.clear();
            self.watch(watch)?;
        } else if self.parts.last().is_some_and(|last| now.is_none_or(|now| now == last.inode)) {
            return self.hold().map(|()| false);
        }
        let lost = self.gather()?;
        self.hold()?;
        Ok(lost)
    }

    /// Opens the files that are not open, and were not rotated when it was last looked.
    /// Whether some may be lacking.
    fn gather(&mut self) -> Result<bool> {
        let (mut fresh, names) = look(&self.dir)?;
        let mut lost = false;
        if let Some(last) = self.parts.last_mut() {
            // Nothing is written to it any more.
            let meta = last.close()?;
            lost = meta.size > 0 && meta.deleted;
        }
        fresh.retain(|part| !holds(&self.parts, part));
        // Not those with greater names: the clock may have been set back.
        for name in names.iter().rev() {
            if !is_rotated(name) || self.names.contains(name) {
                continue;
            }
            // If it was deleted meanwhile, so were those before it.
            let Some(part) = Part::open(&self.dir, name)? else {
                lost = true;
                break;
            };
            if !holds(&fresh, &part) && !holds(&self.parts, &part) {
                fresh.push(part);
            }
        }
        for part in &mut fresh {
            part.close()?;
        }
        fresh.reverse();
        self.parts.append(&mut fresh);
        self.names = names;
        Ok(lost)
    }

    /// Of the last file, to which more may come, only whole lines may be read.
    fn hold(&mut self) -> Result<()> {
        self.parts.last_mut().map_or(Ok(()), Part::hold)
    }

    /// Whether there is another directory where this one was.
    fn is_replaced(&self) -> Result<bool> {
        let now = self.gateways.look(&self.name)?;
        Ok(now.is_some_and(|now| now.kind == FileKind::Directory)
            && now.map(|now| now.inode) != Some(self.dir.meta()?.inode))
    }
}

/// What is there at one moment: open, the newest first, the files that s6-log is at; and
/// the names of all, those of rotated files in the order these were written.
fn look(dir: &Dir) -> Result<(Vec<Part>, Vec<Name>)> {
    loop {
        let mut open = Vec::new();
        // In this order a file that is renamed meanwhile is met twice, not missed.
        for name in [CURRENT, PREVIOUS] {
            if let Some(part) = Part::open(dir, name)? {
                open.push(part);
            }
        }
        let names = dir.names()?;
        // No other file gets the inode of one that is open.
        let still = match dir.look(CURRENT)? {
            Some(now) => open.first().is_some_and(|first| first.inode == now.inode),
            None => true,
        };
        if still {
            return Ok((open, names));
        }
    }
}

impl Part {
    /// Opens the file `name`, if it is there.
    fn open(dir: &Dir, name: &[u8]) -> Result<Option<Part>> {
        match dir.file(name) {
            Ok(file) => {
                let inode = file.meta()?.inode;
                Ok(Some(Part { file, inode, at: 0, end: 0, seen: 0 }))
            }
            Err(error) if error.kind == Kind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes to where the last `lines` that are there now begin; how many are lacking.
    fn rewind(&mut self, lines: usize) -> Result<usize> {
        self.close()?;
        if lines == 0 || self.end == 0 {
            (self.at, self.seen) = (self.end, self.end);
            return Ok(lines);
        }
        // No line begins behind the newline that may be the last byte.
        let (at, left) = match newline(&self.file, 0, self.end - 1, lines)? {
            Ok(at) => (at + 1, 0),
            Err(found) => (0, lines - found - 1),
        };
        (self.at, self.seen) = (at, at);
        Ok(left)
    }

    /// All that is there may be read; nothing will come after it.
    fn close(&mut self) -> Result<Meta> {
        let meta = self.file.meta()?;
        self.end = meta.size;
        Ok(meta)
    }

    /// Whole lines may be read; the rest of another is still to come.
    fn hold(&mut self) -> Result<()> {
        let size = self.file.meta()?.size;
        if size < self.seen {
            // Somebody has emptied it.
            (self.at, self.seen) = (0, 0);
        }
        self.end = match newline(&self.file, self.seen, size, 1)? {
            Ok(at) => at + 1,
            Err(_) => self.end.min(self.seen),
        };
        self.seen = size;
        Ok(())
    }
}

/// Where in `file`, from the byte `from` to `to`, the newline is that is the `nth` from the
/// end; else how many there are.
fn newline(file: &File, from: u64, to: u64, nth: usize) -> Result<std::result::Result<u64, usize>> {
    let (mut end, mut found) = (to, 0);
    let mut block = [0; BLOCK];
    while end > from {
        let begin = from.max(end.saturating_sub(BLOCK as u64));
        let length = usize::try_from(end - begin).unwrap_or(BLOCK);
        let length = file.read_at(&mut block[..length], begin)?;
        for at in (0..length).rev() {
            if block[at] == b'\n' {
                found += 1;
                if found == nth {
                    return Ok(Ok(begin + at as u64));
                }
            }
        }
        end = begin;
    }
    Ok(Err(found))
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&b| b == b'\n')
}

fn holds(parts: &[Part], part: &Part) -> bool {
    parts.iter().any(|known| known.inode == part.inode)
}

/// Whether a file has the name of one that is complete: `@`, 24 hexadecimal digits, `.s` or
/// `.u`.
fn is_rotated(name: &[u8]) -> bool {
    match name {
        [b'@', stamp @ .., b'.', b's' | b'u'] => {
            stamp.len() == 24 && stamp.iter().all(u8::is_ascii_hexdigit)
        }
        _ => false,
    }
}
