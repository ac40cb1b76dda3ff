//! What s6 writes: status, death tally, logs.

use crate::logs::printer::{Form, Printer, Stamps};
use crate::logs::reader::Log;
use crate::logs::stamp::Stamp;
use crate::logs::timezone::Zone;
use crate::model::backoff::Exit;
use crate::model::profile::Profile;
use crate::s6::tai64n::Tai64n;
use crate::s6::{death_tally as tally, status::Status};
use crate::sys::dir::Dir;
use crate::text::is_unsafe;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;
use tempfile::TempDir;

/// The number that `bytes` are, the greatest byte first.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number * 256 + u128::from(*byte))
}

/// Whether `stamp` is what the twelve bytes `bytes` say.
fn is_stamp(stamp: Tai64n, bytes: &[u8]) {
    assert_eq!(u128::from_str_radix(&stamp.hex(), 16), Ok(number(bytes)));
    assert_eq!(Tai64n::parse(stamp.hex().as_bytes()), Some(stamp));
    let _ = stamp.since_unix();
}

/// supervise/status, in either of its two forms.
pub(super) fn status(data: &[u8]) {
    let Some(status) = Status::parse(data) else {
        return assert!(data.len() != 35 && data.len() != 43);
    };
    is_stamp(status.stamp, &data[..12]);
    is_stamp(status.ready_stamp, &data[12..24]);
    assert_eq!(u128::from(status.pid), number(&data[24..32]));
    let [.., high, low, flags] = data else { unreachable!() };
    let flag = |bit: u32| flags >> bit & 1 == 1;
    let flags = [status.paused, status.finishing, status.want_up, status.ready];
    assert_eq!(flags, [flag(0), flag(1), flag(2), flag(3)]);
    assert_eq!(status.is_down(), status.pid == 0);
    assert!(!(status.is_up() && status.is_down()) && (status.may_be_up() || !status.is_up()));
    // As WEXITSTATUS(3) and WTERMSIG(3) tell it.
    let exit = if *low == 0 { Exit::Code(*high) } else { Exit::Signal(low % 128) };
    assert_eq!(status.last_exit(), exit);
}

/// supervise/death_tally.
pub(super) fn death_tally(data: &[u8]) {
    let Some(deaths) = tally::parse(data) else { return assert_ne!(data.len() % 14, 0) };
    assert_eq!(deaths.len() * 14, data.len());
    for (death, record) in deaths.iter().zip(data.chunks(14)) {
        is_stamp(death.stamp, &record[..12]);
        assert_eq!([death.exit_code, death.signal], record[12..]);
    }
}

/// The files of a log, and how it is read: by the first byte, and the last so many lines by the
/// second. Of the rest, 0xf0 ends a file, 0xf1 stands for more bytes than half a block has, and
/// 0xf2 and 0xf3 for stamps.
pub(super) fn log(data: &[u8]) {
    static HOME: Mutex<Option<TempDir>> = Mutex::new(None);
    let Some((&[how, lines], content)) = data.split_first_chunk() else { return };
    let lines = if lines == 255 { usize::MAX } else { lines.into() };
    let mut home = HOME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let home = home.get_or_insert_with(|| tempfile::tempdir().unwrap()).path();
    let dir = home.join("logs/gateways/x");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let files: Vec<_> = content.splitn(5, |byte| *byte == 0xf0).map(expanded).collect();
    for (at, content) in files.iter().enumerate() {
        let name = match (files.len() - at, how & 2 > 0, how & 4 > 0) {
            (1, false, _) => "current".to_string(),
            (2, _, true) => "previous".to_string(),
            (left, ..) => format!("@40000000{at:016}.{}", if left % 2 == 0 { 's' } else { 'u' }),
        };
        fs::write(dir.join(name), content).unwrap();
    }
    // Where no `current` is written to any more, `previous` is the newest.
    let mut files = files;
    if how & 6 == 6 && files.len() > 1 {
        let last = files.len() - 1;
        files.swap(last - 1, last);
    }
    let follows = how & 1 > 0;
    let expected = last_lines(&files, lines, follows);
    let home = Dir::open(home.as_os_str().as_bytes()).unwrap();
    let profile = Profile::parse(b"x").unwrap();
    let mut log = Log::open(&home, &profile, (lines, usize::MAX), follows).unwrap();
    let form = [Form::Bytes, Form::Terminal, Form::Json][usize::from(how >> 3) % 3];
    let stamps = if form == Form::Json { Stamps::Utc } else { Stamps::AsTheyAre };
    let zone = Some(Zone::default());
    let mut printer = Printer { form, stamps, zone, width: 0, out: Vec::new() };
    print(&mut log, &mut printer);
    check(form, &printer.out, &expected);
}

/// What a file holds that is written as `content`.
fn expanded(content: &[u8]) -> Vec<u8> {
    let expand = |byte: &u8| match byte {
        0xf1 => vec![b'y'; 9000],
        0xf2 => b"@400000006b01bc6b1949b7b6 ".to_vec(),
        0xf3 => b"2026-11-21 15:44:06.424261558  ".to_vec(),
        byte => vec![*byte],
    };
    content.iter().flat_map(expand).collect()
}

/// The last `lines` of `files`. If it `follows`, one that has no end is left for later.
fn last_lines(files: &[Vec<u8>], lines: usize, follows: bool) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for file in files {
        all.extend(file.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
    }
    all.drain(..all.len().saturating_sub(lines));
    let is_cut = files.last().is_some_and(|last| last.last().is_some_and(|byte| *byte != b'\n'));
    if follows && is_cut {
        all.pop();
    }
    all.iter().map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec()).collect()
}

/// Prints what is there, as the verb does.
fn print(log: &mut Log<'_>, printer: &mut Printer) {
    while let Some(piece) = log.peek().unwrap() {
        let stamp = Stamp::of(piece.bytes, &Zone::default());
        let mut done = printer.begin("x", stamp);
        loop {
            let piece = log.peek().unwrap().expect("the rest of a line is there");
            let ends = piece.ends;
            done += printer.piece(&piece.bytes[done..], ends);
            log.take(done, ends);
            if ends {
                break;
            }
            done = 0;
        }
    }
}

/// What must hold of `out`, by which `lines` are shown in `form`.
fn check(form: Form, out: &[u8], lines: &[Vec<u8>]) {
    if form == Form::Bytes {
        let expected: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        return assert_eq!(String::from_utf8_lossy(out), String::from_utf8_lossy(&expected));
    }
    let text = str::from_utf8(out).unwrap();
    assert!(!text.contains(|c| is_unsafe(c) && c != '\n' && c != '\t'), "{text:?}");
    assert_eq!(text.matches('\n').count(), lines.len());
    if form == Form::Json {
        for (shown, line) in text.lines().zip(lines) {
            let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
            let done = Stamp::of(line, &Zone::default()).map_or(0, |it| it.length + it.blanks);
            assert_eq!(shown["line"], *String::from_utf8_lossy(&line[done..]));
            assert_eq!(shown["at"].is_string(), done > 0);
        }
    }
}
