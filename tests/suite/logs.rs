//! logs: what real s6-log has written is shown, each line once and in order, whatever
//! happens to the files meanwhile.

use crate::support;
use hermes_gw::model::calendar;
use hermes_gw::s6::tai64n::Tai64n;
use proptest::prelude::*;
use std::fs;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Container, Spec, Volume, binary, run, wait_until};

/// The directory that the logger of `profile` writes to.
fn dir(volume: &Volume, profile: &str) -> PathBuf {
    let dir = volume.path().join("logs/gateways").join(profile);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// hermes-gw as the owner of `volume`, who is root here.
fn gw(volume: &Volume, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--home").arg(volume.path()).args(args);
    command.env_clear().env("HERMES_GW_USER", "root").env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// What it prints on stdout; it must succeed and say nothing else.
#[track_caller]
fn shown(volume: &Volume, args: &[&str]) -> Vec<u8> {
    let output = gw(volume, args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{args:?}");
    output.stdout
}

#[track_caller]
fn text(volume: &Volume, args: &[&str]) -> String {
    String::from_utf8(shown(volume, args)).unwrap()
}

/// A real s6-log.
struct Logger(Child);

impl Logger {
    fn start(script: &[&str], dir: &Path) -> Logger {
        Logger::start_in("UTC", script, dir)
    }

    /// A logger in another zone.
    fn start_in(zone: &str, script: &[&str], dir: &Path) -> Logger {
        let start = || Logger::start_by(&["env", &format!("TZ={zone}")], script, dir);
        // In s6 2.11, one that was killed while it rotated leaves files that the next gives
        // the same name, and dies of it; s6-supervise starts another.
        start().or_else(start).expect("s6-log does not start")
    }

    /// A logger that is run by another program; none, if it dies at once.
    fn start_by(by: &[&str], script: &[&str], dir: &Path) -> Option<Logger> {
        // It says when it is ready.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3>&1 >/dev/null 2>&1", "sh"]).args(by);
        command.args(["s6-log", "-d", "3"]).args(script).arg(dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let ready = child.stdout.take().unwrap().read(&mut [0]).unwrap() == 1;
        if !ready {
            child.wait().unwrap();
        }
        ready.then_some(Logger(child))
    }

    fn say(&mut self, lines: &[u8]) {
        self.0.stdin.as_mut().unwrap().write_all(lines).unwrap();
    }

    /// Closes its input, and waits until it has written everything; whether it was killed.
    fn end(mut self) -> bool {
        drop(self.0.stdin.take());
        !self.0.wait().unwrap().success()
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Has a real s6-log write `lines`.
fn log(script: &[&str], dir: &Path, lines: &[u8]) {
    let mut logger = Logger::start(script, dir);
    logger.say(lines);
    logger.end();
}

/// All lines of a log without their newlines, each file by itself, in s6-log's order.
fn lines(dir: &Path) -> Vec<Vec<u8>> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.len() == 27 && (name.ends_with(".s") || name.ends_with(".u")))
        .collect();
    names.sort();
    names.extend(["previous", "current"].map(String::from));
    let mut lines = Vec::new();
    for name in names {
        let content = fs::read(dir.join(name)).unwrap_or_default();
        lines.extend(split(&content));
    }
    lines
}

fn split(content: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<_> = content.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

/// The last `count` of `lines`, a newline after each.
fn tail(lines: &[Vec<u8>], count: usize) -> Vec<u8> {
    let last = &lines[lines.len().saturating_sub(count)..];
    last.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

/// Numbered lines, so that none can be lost or come twice unnoticed.
fn numbered(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("line {number} {}\n", "x".repeat(number % 90))).collect()
}

/// A small generator of bytes, the same in each run.
fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    }
}

/// `logs -f` at work.
struct Follower {
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
}

fn collect(mut from: impl Read + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let to = all.clone();
    std::thread::spawn(move || {
        let mut block = [0; 65_536];
        while let Ok(length @ 1..) = from.read(&mut block) {
            to.lock().unwrap().extend_from_slice(&block[..length]);
        }
    });
    all
}

impl Follower {
    fn start(mut command: Command) -> Follower {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Follower { child, stdout, stderr }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    /// What it has said on stderr; this ends it, so that nothing is still on its way.
    fn errors(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Who reads holds a share of it until the end.
        wait_until("end of stderr", || Arc::strong_count(&self.stderr) == 1);
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits until it has shown something that ends so.
    #[track_caller]
    fn wait_for(&self, end: &str) {
        wait_until(&format!("{end:?} to be shown"), || self.text().ends_with(end));
    }

    fn signal(&self, signal: &str) {
        run(Command::new("kill").args(["-s", signal, &self.child.id().to_string()]));
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_last_lines_of_any_bytes_come_from_all_files_in_order() {
    let volume = Volume::new();
    let dir = dir(&volume, "one");
    let mut noise = noise(1);
    let mut content = Vec::new();
    for number in 0..3000 {
        // Some lines are empty, some longer than what is read at once.
        let length = if number % 500 == 499 { 70_000 } else { usize::from(noise()) * 2 / 3 };
        content.extend((0..length).map(|_| noise()).map(|b| if b == b'\n' { 0 } else { b }));
        content.push(b'\n');
    }
    let mut logger = Logger::start(&["-l", "0", "n20", "s65536", "T"], &dir);
    logger.say(&content[..content.len() / 2]);
    wait_until("rotation", || fs::read_dir(&dir).unwrap().count() > 5);
    logger.kill();
    // What it has left gets the end .u, and the rest of a line may be lacking.
    let mut current = fs::OpenOptions::new().append(true).open(dir.join("current")).unwrap();
    current.write_all(b"cut").unwrap();
    log(&["-l", "0", "n20", "s65536", "t"], &dir, &content[content.len() / 2..]);
    let names = run(Command::new("ls").arg(&dir));
    assert!(names.contains(".s\n") && names.contains(".u\n"), "{names}");

    let all = lines(&dir);
    assert!(all.len() > 2000, "{}", all.len());
    for count in
        [0, 1, 2, 10, 50, 333, 1500, all.len() - 1, all.len(), all.len() + 1, 4_000_000_000]
    {
        let got = shown(&volume, &["logs", "one", "-n", &count.to_string()]);
        assert!(got == tail(&all, count), "{count} lines");
    }
    assert!(shown(&volume, &["logs", "one"]) == tail(&all, 50));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_last_lines_of_any_files_are_found(
        files in proptest::collection::vec(proptest::collection::vec(
            prop_oneof![
                3 => ("[a\0\n ]{0,20}", 1..4usize),
                // Around the size of a block.
                1 => ("[\nb]", 16_380..16_390usize),
            ].prop_map(|(text, times)| text.repeat(times).into_bytes()), 0..4), 1..4),
        count in 0..40usize,
    ) {
        let volume = Volume::new();
        let dir = dir(&volume, "one");
        let (last, rotated) = files.split_last().unwrap();
        for (number, file) in rotated.iter().enumerate() {
            fs::write(dir.join(format!("@40000000000000000000000{number}.s")), file.concat()).unwrap();
        }
        fs::write(dir.join("current"), last.concat()).unwrap();
        // What is none of s6-log's files is none of the log.
        for other in ["@4000000000000000000000.s", "@400000000000000000000009.t", "state", "lock"] {
            fs::write(dir.join(other), "no line\n").unwrap();
        }
        let got = shown(&volume, &["logs", "one", "-n", &count.to_string()]);
        prop_assert!(got == tail(&lines(&dir), count));
    }

    #[test]
    fn several_logs_are_merged_by_their_stamps(
        logs in proptest::collection::vec(
            proptest::collection::vec((0..100u32, 0..3usize, any::<bool>()), 0..12), 2..5),
    ) {
        let volume = Volume::new();
        let names = ["a", "bbb", "cc", "d"];
        let mut model = Vec::new();
        for (name, log) in names.iter().zip(&logs) {
            let mut moments: Vec<_> = log.iter().map(|(at, ..)| *at).collect();
            moments.sort_unstable();
            let mut content = String::new();
            for (at, (_, more, tai)) in moments.iter().zip(log) {
                let seconds = 1_795_275_846 + u64::from(*at);
                let stamp = match tai {
                    true => format!("@{} ", Tai64n::from_unix(seconds, 7).hex()),
                    false => format!("{}.000000007  ", calendar::date_and_time(seconds as i64, " ")),
                };
                let mut lines = vec![format!("{stamp}{name}\n")];
                lines.extend((0..*more).map(|number| format!("  more {number}\n")));
                content += &lines.concat();
                model.push((*at, name, lines));
            }
            fs::write(dir(&volume, name).join("current"), content).unwrap();
        }
        // It is stable: of two at the same moment the first that was named comes first.
        model.sort_by_key(|(at, ..)| *at);
        let named: Vec<_> = names[..logs.len()].to_vec();
        let longest = named.iter().map(|name| name.len()).max().unwrap();
        let mut expected = String::new();
        for (_, name, lines) in model {
            expected.extend(lines.iter().map(|line| format!("{name:longest$} | {line}")));
        }
        prop_assert_eq!(text(&volume, &[&["logs", "-n", "1000"], &named[..]].concat()), expected);
    }
}

#[test]
fn nothing_is_lost_or_shown_twice_while_s6_log_rotates_and_is_killed() {
    let volume = Volume::new();
    let dir = dir(&volume, "one");
    let script = ["n1000000", "s4096"];
    log(&script, &dir, numbered(0..1000).as_bytes());
    let mut follower = Follower::start(gw(&volume, &["logs", "-f", "-n", "900", "one"]));
    // It counts from what is there when it begins.
    follower.wait_for(&numbered(999..1000));
    let mut next = 1000;
    for round in 0..30 {
        let mut logger = Logger::start(&script, &dir);
        logger.say(numbered(next..next + 1000).as_bytes());
        next += 1000;
        // As fast as it goes, or with time to read in between.
        if round % 3 == 0 {
            follower.wait_for(&numbered(next - 1..next));
        }
        if round % 2 == 0 {
            wait_until("s6-log to write", || {
                lines(&dir).concat().ends_with(numbered(next - 1..next).trim_end().as_bytes())
            });
            logger.kill();
        } else {
            logger.end();
        }
    }
    follower.wait_for(&numbered(next - 1..next));
    assert_eq!(follower.errors(), "");
    assert_eq!(follower.text(), numbered(100..next));
}

#[test]
fn files_that_are_deleted_once_read_are_no_loss() {
    let volume = Volume::new();
    let dir = dir(&volume, "one");
    let mut logger = Logger::start(&["n3", "s4096"], &dir);
    let mut follower = Follower::start(gw(&volume, &["logs", "-f", "-n", "999", "one"]));
    for round in 0..200 {
        // A rotation each, or two.
        logger.say(numbered(round * 100..round * 100 + 100).as_bytes());
        follower.wait_for(&numbered(round * 100 + 99..round * 100 + 100));
    }
    assert_eq!(follower.errors(), "");
    assert_eq!(follower.text(), numbered(0..20_000));
}

#[test]
fn files_that_were_deleted_unread_cause_a_warning() {
    let volume = Volume::new();
    let dir = dir(&volume, "one");
    let mut logger = Logger::start(&["n3", "s4096"], &dir);
    let mut follower = Follower::start(gw(&volume, &["logs", "-f", "one"]));
    logger.say(numbered(0..10).as_bytes());
    follower.wait_for(&numbered(9..10));
    follower.signal("STOP");
    logger.say(numbered(10..5_000).as_bytes());
    logger.end();
    let kept = tail(&lines(&dir), usize::MAX);
    follower.signal("CONT");
    follower.wait_for(&numbered(4_999..5_000));
    log(&["n3", "s4096"], &dir, b"and on\n");
    follower.wait_for("and on\n");
    // What it had open it has shown to the end, and then all that there was.
    let (text, kept) = (follower.text(), String::from_utf8(kept).unwrap());
    let Some(begun) = text.strip_suffix(&format!("{kept}and on\n")) else {
        panic!("{text}\nand not\n{kept}");
    };
    let read = begun.lines().count();
    assert!(read > 10 && numbered(0..read) == begun, "{begun}");
    assert_eq!(
        follower.errors(),
        "hermes-gw: warning: follow log of gateway: one: files were deleted before they were \
         read, or are too large or too many: lines may be missing\n"
    );
}

#[test]
fn a_rotation_that_was_cut_at_any_call_is_followed_and_shown_whole() {
    // What s6-log calls when it rotates; when it starts, it unlinks three files.
    for (call, count) in [
        ("rename", 1),
        ("chmod", 1),
        ("link", 1),
        ("unlink", 4),
        ("rename", 2),
        ("chmod", 2),
        ("link", 2),
        ("unlink", 5),
    ] {
        let volume = Volume::new();
        let dir = dir(&volume, "one");
        let follower = Follower::start(gw(&volume, &["logs", "-f", "-n", "10000", "one"]));
        let late = |shown: &str| {
            let other = Follower::start(gw(&volume, &["logs", "-f", "-n", "10000", "one"]));
            other.wait_for(shown);
            other
        };
        let mut said = 0;
        let mut followers = vec![follower];
        for inject in [format!("inject={call}:signal=KILL:when={count}"), String::new()] {
            let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
            let script = ["-l", "0", "n100", "s4096"];
            let mut logger = match inject.is_empty() {
                true => Logger::start(&script, &dir),
                false => Logger::start_by(&strace, &script, &dir).unwrap(),
            };
            // Some rotations: what it cannot take any more is not said.
            let lines = numbered(said..said + 600);
            let _ = logger.0.stdin.as_mut().unwrap().write_all(lines.as_bytes());
            said += 600;
            assert_eq!(logger.end(), !inject.is_empty(), "{call} {count}");
            let all = tail(&lines_once(&dir), usize::MAX);
            let all = String::from_utf8(all).unwrap();
            assert_eq!(text(&volume, &["logs", "-n", "10000", "one"]), all, "{call} {count}");
            let end = all.lines().last().map(|line| format!("{line}\n")).unwrap_or_default();
            followers.push(late(&end));
            followers.iter().for_each(|follower| follower.wait_for(&end));
        }
        let all = String::from_utf8(tail(&lines_once(&dir), usize::MAX)).unwrap();
        assert!(all.len() > 4096, "{call} {count}: {all}");
        for follower in &mut followers {
            assert_eq!(follower.errors(), "", "{call} {count}");
            assert_eq!(follower.text(), all, "{call} {count}");
        }
    }
}

#[test]
fn rotations_while_the_files_are_opened_change_no_order() {
    let volume = Volume::new();
    let dir = dir(&volume, "one");
    let mut logger = Logger::start(&["n10", "s4096"], &dir);
    let mut say = |text: &str| {
        logger.say(text.as_bytes());
        wait_until("s6-log to write", || {
            fs::read_to_string(dir.join("current")).is_ok_and(|current| current.ends_with(text))
        });
        logger.0.id().to_string()
    };
    let pid = say("a\nb\n");
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    // It has opened what is current, and is late to list the directory.
    command.args([
        "-e",
        "trace=openat,getdents64",
        "-e",
        "inject=getdents64:delay_enter=1000000:when=1",
    ]);
    command.arg("-o").arg(trace.path()).arg(binary()).arg("--home").arg(volume.path());
    command.args(["logs", "one"]).env("HERMES_GW_USER", "root").stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_until("it to look", || fs::read_to_string(trace.path()).unwrap().contains("\"previous\""));
    for (rotated, text) in ["c\n", "d\n", "e\n"].into_iter().enumerate() {
        // This has s6-log rotate.
        run(Command::new("kill").args(["-s", "ALRM", &pid]));
        let names = || run(Command::new("ls").arg(&dir));
        wait_until("rotation", || {
            names().matches(".s\n").count() == rotated + 1 && !names().contains("previous")
        });
        say(text);
    }
    let shown = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(shown.starts_with("a\nb\n") && "a\nb\nc\nd\ne\n".starts_with(&shown), "{shown}");
}

/// All lines of a log, of a file that has two names once.
fn lines_once(dir: &Path) -> Vec<Vec<u8>> {
    let mut files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    if files.all(|meta| meta.nlink() == 1) {
        return lines(dir);
    }
    let copy = tempfile::tempdir().unwrap();
    run(Command::new("cp").arg("-a").arg(dir).arg(copy.path()));
    let copy = copy.path().join(dir.file_name().unwrap());
    for name in ["current", "previous"] {
        if fs::metadata(copy.join(name)).is_ok_and(|meta| meta.nlink() > 1) {
            fs::remove_file(copy.join(name)).unwrap();
        }
    }
    lines(&copy)
}

#[test]
fn files_that_are_deleted_while_they_are_shown_are_shown_whole() {
    let volume = Volume::new();
    let dir = dir(&volume, "one");
    let mut logger = Logger::start(&["n10", "s65536"], &dir);
    logger.say(numbered(0..10_000).as_bytes());
    wait_until("s6-log to write", || {
        lines(&dir).concat().ends_with(numbered(9_999..10_000).trim_end().as_bytes())
    });
    let all = tail(&lines(&dir), usize::MAX);
    let mut command = gw(&volume, &["logs", "-n", "4000000000", "one"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut got = vec![0; 1];
    stdout.read_exact(&mut got).unwrap();
    // It waits for its reader; no file is left that it began with.
    let before = lines(&dir).len();
    logger.say(numbered(10_000..40_000).as_bytes());
    wait_until("rotations", || {
        !lines(&dir).concat().starts_with(b"line 0 ")
            && lines(&dir).concat().ends_with(numbered(39_999..40_000).trim_end().as_bytes())
    });
    assert!(before >= 10_000);
    stdout.read_to_end(&mut got).unwrap();
    assert!(got == all);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_line_without_its_end_is_held_until_that_comes() {
    let volume = Volume::new();
    let (one, two) = (dir(&volume, "one"), dir(&volume, "two"));
    let say = |dir: &Path, text: &str| {
        let file = fs::OpenOptions::new().create(true).append(true).open(dir.join("current"));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    };
    say(&one, "a\nb");
    say(&two, "");
    // Without following it is shown as it is.
    assert_eq!(text(&volume, &["logs", "one", "-n", "1"]), "b\n");
    let mut follower = Follower::start(gw(&volume, &["logs", "one", "two", "-f"]));
    follower.wait_for("one | a\n");
    say(&one, "c");
    say(&two, "x\n");
    follower.wait_for("one | a\ntwo | x\n");
    say(&one, "d\ne");
    follower.wait_for("two | x\none | bcd\n");
    // Longer than what is read at once, in many pieces.
    for _ in 0..50 {
        say(&one, &"e".repeat(1000));
    }
    say(&two, "y\n");
    follower.wait_for("one | bcd\ntwo | y\n");
    say(&one, "\n");
    follower.wait_for(&format!("two | y\none | {}\n", "e".repeat(50_001)));
    // No end comes any more to what a killed s6-log has left.
    say(&one, "f");
    fs::rename(one.join("current"), one.join("@400000006b01bef01a38e8fe.u")).unwrap();
    say(&one, "g\ng\n");
    follower.wait_for("e\none | f\none | g\none | g\n");
    // Somebody empties the file.
    fs::write(one.join("current"), "h\n").unwrap();
    follower.wait_for("one | g\none | h\n");
    assert_eq!(follower.errors(), "");
}

#[test]
fn a_log_that_is_made_later_or_again_is_followed() {
    let volume = Volume::new();
    let one = dir(&volume, "one");
    let follower = Follower::start(gw(&volume, &["logs", "-f", "one"]));
    wait_until("the watch", || {
        let fds = format!("/proc/{}/fdinfo", follower.child.id());
        fs::read_dir(fds).unwrap().any(|fd| {
            fs::read_to_string(fd.unwrap().path())
                .is_ok_and(|info| info.matches("inotify wd").count() == 2)
        })
    });
    log(&["n3"], &one, b"first\n");
    follower.wait_for("first\n");
    fs::remove_dir_all(&one).unwrap();
    log(&["n3"], &one, b"second\n");
    follower.wait_for("second\n");
    log(&["n3"], &one, b"third\n");
    follower.wait_for("third\n");
    assert_eq!(follower.text(), "first\nsecond\nthird\n");
}

#[test]
fn a_reader_that_closes_the_pipe_ends_it_without_an_error() {
    let volume = Volume::new();
    log(&["n3"], &dir(&volume, "one"), numbered(0..100_000).as_bytes());
    for args in [&["logs", "-f", "one"][..], &["logs", "-n", "99999", "one"]] {
        let mut command = gw(&volume, args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 10]).unwrap();
        if args[1] == "-f" {
            // It has nothing to say any more.
            wait_until("poll", || {
                let wchan = fs::read_to_string(format!("/proc/{}/syscall", child.id())).unwrap();
                wchan.starts_with("7 ") || wchan.starts_with("271 ")
            });
        }
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn it_makes_no_call_while_nothing_comes() {
    let volume = Volume::new();
    let dir = dir(&volume, "one");
    let mut logger = Logger::start(&["n3"], &dir);
    logger.say(b"a\n");
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.arg("-o").arg(trace.path()).arg(binary()).arg("--home").arg(volume.path());
    command.args(["logs", "-f", "one"]).env("HERMES_GW_USER", "root");
    let follower = Follower::start(command);
    follower.wait_for("a\n");
    let calls = || fs::read_to_string(trace.path()).unwrap();
    // Time that passes is what this is about.
    wait_until("two seconds without a call", || {
        let before = calls();
        std::thread::sleep(Duration::from_secs(2));
        before.lines().last().unwrap_or_default().contains("poll(") && calls() == before
    });
    logger.say(b"b\n");
    follower.wait_for("a\nb\n");
}

#[test]
fn of_a_long_log_no_more_is_read_than_is_shown() {
    let volume = Volume::new();
    let dir = dir(&volume, "one");
    log(&["n10", "s1000000"], &dir, numbered(0..200_000).as_bytes());
    let size: u64 = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(size > 9_000_000, "{size}");
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.args(["-e", "trace=read,pread64", "-o"]).arg(trace.path());
    command.arg(binary()).arg("--home").arg(volume.path()).args(["logs", "one"]);
    run(command.env("HERMES_GW_USER", "root"));
    let trace = fs::read_to_string(trace.path()).unwrap();
    let calls = trace.lines().filter(|line| line.starts_with("pread64"));
    // A dynamic linker's own, for another build than the static one, are small.
    let read: u64 =
        calls.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert!(read > 0 && read < 100_000, "{read}: {trace}");
}

#[test]
fn a_line_of_any_length_needs_no_more_memory() {
    let volume = Volume::new();
    let big = vec![0xc3; 100 << 20];
    for name in ["one", "two"] {
        let content = [b"a\n", &big[..], b"\nb\n"].concat();
        fs::write(dir(&volume, name).join("current"), content).unwrap();
    }
    let program = binary();
    for (args, factor) in [(&["logs", "one"][..], 1), (&["--json", "logs", "one", "two"], 6)] {
        // Address space, the program's own included.
        let limited = "ulimit -v 60000; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", limited]).arg(&program).arg("--home").arg(volume.path()).args(args);
        let mut child = command
            .env("HERMES_GW_USER", "root")
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut length, mut block) = (0, vec![0; 1 << 20]);
        let mut stdout = child.stdout.take().unwrap();
        while let length_of_piece @ 1.. = stdout.read(&mut block).unwrap() {
            length += length_of_piece;
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
        assert!(length > big.len() * factor, "{length}");
    }
}

#[test]
fn files_that_s6_log_never_made_are_read_only_so_far() {
    const TOO_MUCH: &str = "hermes-gw: warning: log of coder: what is older than the shown is too \
        much to read\n";
    let volume = Volume::new();
    volume.profile("coder");
    let dir = dir(&volume, "coder");
    let mut current = fs::File::create(dir.join("current")).unwrap();
    // Nothing but a hole, and two lines at its end.
    current.set_len(4 << 40).unwrap();
    current.seek(std::io::SeekFrom::End(0)).unwrap();
    current.write_all(b"\none\ntwo\n").unwrap();
    assert_eq!(text(&volume, &["logs", "-n", "2", "coder"]), "one\ntwo\n");
    let output = gw(&volume, &["logs", "-n", "3", "coder"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), TOO_MUCH);
    // Where the one before them begins nobody knows.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one\ntwo\n");
    // Nor what is before it: that does not follow on it.
    fs::write(dir.join(format!("@{:024x}.s", 1)), "old\n").unwrap();
    let output = gw(&volume, &["logs", "-n", "4", "coder"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one\ntwo\n");
    let scandir = tempfile::tempdir().unwrap();
    fs::create_dir(scandir.path().join("gateway-coder")).unwrap();
    let status = ["--scandir", scandir.path().to_str().unwrap(), "status", "coder"];
    let output = gw(&volume, &status).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains(TOO_MUCH), "{output:?}");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.ends_with("\n\none\ntwo\n") && shown.len() < 1000, "{}", shown.len());
    // More than descriptors: the newest are shown.
    fs::write(dir.join("current"), "last\n").unwrap();
    for number in 0..3000 {
        let name = format!("@{:024x}.s", 0x4000_0000_0000_0000_0000_0000_u128 + number);
        fs::write(dir.join(name), format!("{number}\n")).unwrap();
    }
    for (lines, warning, first) in [("60", "", 2941), ("100", TOO_MUCH, 2937)] {
        let mut command = Command::new("prlimit");
        command.arg("--nofile=100:100").arg(binary()).env("HERMES_GW_USER", "root");
        command.args(gw(&volume, &["logs", "coder", "-n", lines]).get_args());
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), warning);
        let expected: String = (first..3000).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected + "last\n");
    }
    // Several logs have a share each.
    for at in 0..12 {
        let dir = volume.path().join(format!("logs/gateways/p{at}"));
        fs::create_dir_all(&dir).unwrap();
        volume.profile(&format!("p{at}"));
        fs::write(dir.join("current"), "last\n").unwrap();
        for number in 0..20 {
            let name = format!("@{:024x}.s", 0x4000_0000_0000_0000_0000_0000_u128 + number);
            fs::write(dir.join(name), format!("{number}\n")).unwrap();
        }
    }
    let mut command = Command::new("prlimit");
    command.arg("--nofile=100:100").arg(binary()).env("HERMES_GW_USER", "root");
    command.args(gw(&volume, &["logs", "-n", "1", "coder"]).get_args());
    command.args((0..12).map(|at| format!("p{at}")));
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("last\n").count(), 13);
}

#[test]
fn of_what_a_log_grows_by_while_it_is_followed_only_so_much_is_read() {
    let volume = Volume::new();
    let current = dir(&volume, "one").join("current");
    fs::write(&current, "one\n").unwrap();
    let mut follower = Follower::start(gw(&volume, &["logs", "-f", "one"]));
    follower.wait_for("one\n");
    let current = fs::File::options().write(true).open(&current).unwrap();
    current.write_all_at(b"\ntwo\n", 4 << 40).unwrap();
    follower.wait_for("two\n");
    let shown = follower.stdout.lock().unwrap().len();
    assert!(shown < (1 << 28) + 100, "{shown}");
    // Each time that is told.
    current.write_all_at(b"\nthree\n", 5 << 40).unwrap();
    follower.wait_for("three\n");
    let told = "hermes-gw: warning: follow log of gateway: one: files were deleted before they \
        were read, or are too large or too many: lines may be missing\n";
    assert_eq!(follower.errors(), told.repeat(2));
}

#[test]
fn a_terminal_is_sent_no_unsafe_character() {
    let volume = Volume::new();
    // Not by way of s6-log, for which a NUL may end a line.
    let stamp = "2026-11-21 15:44:06.424261558  ";
    let evil = b"\x1b[2J\x1b]0;title\x07\r\x00\x7f\xc2\x9b1A\xff tab\there caf\xc3\xa9 \\x41 ";
    // Those that turn the direction of text, and those that may end a line.
    let mut marks: Vec<char> = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}').collect();
    marks.extend(['\u{2028}', '\u{2029}', '\u{85}']);
    let turned: String = marks.iter().collect();
    let content = [stamp.as_bytes(), evil, turned.as_bytes(), b"\n"].concat();
    fs::write(dir(&volume, "one").join("current"), &content).unwrap();
    // Elsewhere the bytes are exact.
    let bytes = shown(&volume, &["logs", "one"]);
    assert!(bytes == content);
    let command = format!("{} --home {}", binary().display(), volume.path().display());
    let on_terminal = |args: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{command} {args}"), "/dev/null"]);
        run(script.env("HERMES_GW_USER", "root").env("TZ", "UTC").stdin(Stdio::null()))
    };
    let expected =
        "\\x1b[2J\\x1b]0;title\\x07\\x0d\\x00\\x7f\\xc2\\x9b1A\\xff tab\there café \\x41 ";
    let escapes: String = turned.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    let shown = on_terminal("logs one");
    assert_eq!(shown, format!("{stamp}{expected}{escapes}\r\n"));
    let json = on_terminal("--json logs one");
    let is_raw = |c: char| c.is_control() || marks.contains(&c);
    assert!(!json.trim_end().contains(is_raw), "{json:?}");
    let escapes: String = marks.iter().map(|c| format!("\\u{:04x}", u32::from(*c))).collect();
    assert!(json.ends_with(&format!("{escapes}\"}}\r\n")), "{json:?}");
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    let line = String::from_utf8_lossy(&content[stamp.len()..content.len() - 1]);
    assert_eq!(read["line"], line.as_ref());
}

#[test]
fn stamps_are_rewritten_as_s6_tai64nlocal_writes_them() {
    let volume = Volume::new();
    let (tai, local) = (dir(&volume, "tai"), dir(&volume, "local"));
    log(&["t"], &tai, numbered(0..20).as_bytes());
    let mut logger = Logger::start_in("America/St_Johns", &["t", "T"], &local);
    logger.say(numbered(0..20).as_bytes());
    logger.end();
    // A line that has both stamps, cut into one that has either.
    let both = fs::read_to_string(local.join("current")).unwrap();
    let cut = |at: fn(&str) -> String| both.lines().map(at).collect::<String>();
    fs::write(local.join("current"), cut(|line| format!("{}\n", &line[26..]))).unwrap();
    let labels = cut(|line| format!("{} {}\n", &line[..25], &line[56 + 1..]));
    let tai64nlocal = |zone: &str, text: &str| {
        let mut child = Command::new("s6-tai64nlocal")
            .env("TZ", zone)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let with_offset = |text: String, offset: &str| -> String {
        text.lines().map(|line| format!("{}{offset}{}\n", &line[..29], &line[29..])).collect()
    };
    let of_tai = fs::read_to_string(tai.join("current")).unwrap();
    let zone = "<-0330>3:30";
    let in_zone = |args: &[&str]| {
        let output = gw(&volume, args).env("TZ", zone).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    for (option, zone, offset) in [("--utc", "UTC", "+00:00"), ("--local", zone, "-03:30")] {
        let expected = with_offset(tai64nlocal(zone, &of_tai), offset);
        assert_eq!(in_zone(&["logs", option, "tai"]), expected);
    }
    // The zone's winter.
    let winter = run(Command::new("date").env("TZ", "America/St_Johns").arg("+%:z")) == "-03:30\n";
    if winter {
        let utc = with_offset(tai64nlocal("UTC", &labels), "+00:00");
        let ours = in_zone(&["logs", "--utc", "local"]);
        // s6-log puts two blanks behind this one.
        assert_eq!(ours.replace("+00:00  line", "+00:00 line"), utc);
    }
    // Without either they stay.
    assert_eq!(in_zone(&["logs", "tai"]), of_tai);
    // The zone of the container's environment is tested below; one that is none is told.
    let output = gw(&volume, &["logs", "--local", "tai"]).env("TZ", "Mars/Base").output().unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "hermes-gw: warning: read: /usr/share/zoneinfo/Mars/Base: No such file or directory (ENOENT): \
         UTC counts\n"
    );
    let utc = with_offset(tai64nlocal("UTC", &of_tai), "+00:00");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), utc);
}

#[test]
fn lines_are_json_that_jq_reads_whatever_their_bytes() {
    let volume = Volume::new();
    let mut noise = noise(2);
    let mut content = Vec::new();
    for _ in 0..500 {
        let length = usize::from(noise());
        // For some versions of s6-log a NUL ends a line, too.
        content.extend(
            (0..length).map(|_| noise()).map(|b| if b"\n\0".contains(&b) { b'"' } else { b }),
        );
        content.push(b'\n');
    }
    log(&["T"], &dir(&volume, "one"), &content);
    fs::write(dir(&volume, "two").join("current"), "no\0stamp\n").unwrap();
    let json = shown(&volume, &["--json", "logs", "-n", "1000", "one", "two", "one"]);
    let path = volume.path().join("json");
    fs::write(&path, &json).unwrap();
    let jq = |filter: &str| run(Command::new("jq").args(["-c", filter]).arg(&path));
    assert_eq!(jq("keys_unsorted").lines().collect::<std::collections::BTreeSet<_>>().len(), 1);
    assert!(jq("keys_unsorted").starts_with("[\"profile\",\"at\",\"line\"]\n"));
    assert_eq!(
        jq("select(.profile==\"two\")"),
        "{\"profile\":\"two\",\"at\":null,\"line\":\"no\\u0000stamp\"}\n"
    );
    let read: Vec<serde_json::Value> = serde_json::from_str(&format!(
        "[{}]",
        jq("select(.profile==\"one\")").trim_end().replace('\n', ",")
    ))
    .unwrap();
    let written = lines(&volume.path().join("logs/gateways/one"));
    assert_eq!(read.len(), 500);
    for (read, written) in read.iter().zip(&written) {
        assert_eq!(read["line"], String::from_utf8_lossy(&written[31..]).as_ref());
        let at = String::from_utf8_lossy(&written[..29]).replace(' ', "T") + "Z";
        assert_eq!(read["at"], at);
    }
}

#[test]
fn an_error_in_one_log_is_printed_and_the_others_are_shown() {
    let volume = Volume::new();
    log(&[], &dir(&volume, "one"), b"a\n");
    volume.profile("new").profile("started");
    dir(&volume, "started");
    let bad = dir(&volume, "fifo");
    run(Command::new("mkfifo").arg(bad.join("current")));
    symlink("/etc/passwd", dir(&volume, "link").join("current")).unwrap();
    symlink(dir(&volume, "one"), volume.path().join("logs/gateways/elsewhere")).unwrap();
    let home = volume.path().to_str().unwrap();
    let name = "find profile: A: invalid name: only a-z, 0-9, _ and - are allowed";
    let table = [
        ("A", 100, name.to_string()),
        ("none", 3, "show log of gateway: none: no such gateway".into()),
        ("new", 1, "show log of gateway: new: it has no log yet".into()),
        ("started", 1, "show log of gateway: started: it has no log yet".into()),
        ("default", 1, "show log of gateway: default: it has no log yet".into()),
        (
            "fifo",
            1,
            format!("open: {home}/logs/gateways/fifo/current: is a FIFO, not a regular file"),
        ),
        (
            "link",
            111,
            format!(
                "open: {home}/logs/gateways/link/current: is a symbolic link, which is not followed (ELOOP)"
            ),
        ),
        (
            "elsewhere",
            111,
            format!(
                "open directory: {home}/logs/gateways/elsewhere: is a symbolic link, which is not \
                 followed (ELOOP)"
            ),
        ),
    ];
    for (profile, code, why) in table {
        let output = gw(&volume, &["logs", profile, "one", "none"]).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let errors = text(output.stderr);
        assert_eq!(output.status.code(), Some(code), "{profile}: {errors}");
        assert_eq!(errors.lines().next(), Some(&*format!("hermes-gw: {why}")));
        assert_eq!(errors.lines().count(), if profile == "none" { 1 } else { 2 }, "{errors}");
        assert_eq!(text(output.stdout), "one | a\n", "{profile}");
    }
    // A profile that is named twice counts once, and has no name before its lines.
    assert_eq!(text(&volume, &["logs", "one", "one"]), "a\n");
    let output = gw(&volume, &["--json", "logs", "none"]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "{\"error\":\"show log of gateway: none: no such gateway\"}\n");
    let nowhere = Command::new(binary())
        .args(["--home", "/nonexistent", "logs", "one"])
        .env("HERMES_GW_USER", "root")
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(111));
    // A profile's own home leads to the root's logs.
    let home = volume.home("new");
    let output = Command::new(binary())
        .args(["logs", "one"])
        .env("HERMES_HOME", home)
        .env("HERMES_GW_USER", "root")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a\n");
}

#[test]
fn as_root_it_becomes_hermes_before_it_touches_the_home() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let environment = vec![("TZ".to_string(), "<+0545>-5:45".to_string())];
    let container = Container::boot(volume, Spec { environment, ..Spec::default() });
    container.wait_up("one");
    let log = container.inside("/opt/data/logs/gateways/one/current");
    wait_until("the log", || fs::read_to_string(&log).is_ok_and(|log| log.ends_with("running\n")));
    let written = fs::read_to_string(&log).unwrap();
    let gw = ["/command/hermes-gw", "logs", "one"];
    for output in [container.as_root(&gw), container.as_hermes(&gw)] {
        assert_eq!((output.stderr.as_str(), output.stdout.as_str()), ("", written.as_str()));
    }
    // What s6-log wrote is local time, by the container's environment.
    let local = container.as_root(&[&gw[..], &["--local"]].concat()).ok();
    let offsets = written.lines().map(|line| format!("{}+05:45{}\n", &line[..29], &line[29..]));
    assert_eq!(local, offsets.collect::<String>());
    let bare = ["/usr/bin/env", "-i", "/command/hermes-gw", "--home", "/opt/data", "logs", "one"];
    assert_eq!(container.as_root(&[&bare[..], &["--local"]].concat()).ok(), local);

    let strace = ["strace", "-f", "-qq", "-y", "-o", "/tmp/trace"];
    container.as_root(&[&strace[..], &gw, &["-n", "9"]].concat()).ok();
    let trace = fs::read_to_string(container.inside("/tmp/trace")).unwrap();
    let (before, after) = trace.split_once("setresuid(10000, 10000, 10000)").unwrap();
    assert!(!before.contains("/opt/data"), "{before}");
    assert!(after.contains("/opt/data/logs/gateways/one"), "{after}");
    // Each component beneath the home, and no link but `profiles` itself.
    for line in after.lines().filter(|line| line.contains("openat(") && line.contains("/opt/data/"))
    {
        assert!(line.contains("O_NOFOLLOW") || line.contains(", \"profiles\", "), "{line}");
    }
    // So what hermes may not read, nobody is shown by it.
    let dir = container.inside("/opt/data/logs/gateways/one");
    fs::write(dir.join("current"), "secret\n").unwrap();
    chown(dir.join("current"), Some(0), Some(0)).unwrap();
    fs::set_permissions(dir.join("current"), fs::Permissions::from_mode(0o600)).unwrap();
    let denied = container.as_root(&gw);
    assert_eq!((denied.code, denied.stdout.as_str()), (111, ""), "{denied:?}");
    assert!(denied.stderr.contains("Permission denied (EACCES)"), "{denied:?}");
    // Following works for who was root, too.
    fs::remove_file(dir.join("current")).unwrap();
    let mut follower =
        Follower::start(container.root_command(&["/command/hermes-gw", "logs", "-f", "one"]));
    container.as_hermes(&["/command/hermes-gw", "restart", "one"]).ok();
    container.as_root(&["sh", "-c", "echo more >>/opt/data/logs/gateways/one/current"]).ok();
    follower.wait_for("more\n");
    assert!(follower.child.try_wait().unwrap().is_none());
}

#[test]
fn since_shows_what_is_late_enough_in_all_files_and_with_what_belongs_to_it() {
    let volume = Volume::new();
    volume.profile("one");
    let one = dir(&volume, "one");
    let now = now();
    let line = |ago: i64, what: &str| {
        format!("{}.000000000  {what}\n", calendar::date_and_time(now - ago, " "))
    };
    // A rotated file, by its name of no matter when, and the current one.
    let rotated = line(7200, "old") + "  goes on\n" + &line(1700, "late") + "  goes on, too\n";
    fs::write(one.join("@400000006b01bc6b1949b7b6.s"), rotated).unwrap();
    let long = "x".repeat(40_000);
    let current = line(1200, "later") + &line(7200, &long) + &line(60, "last");
    fs::write(one.join("current"), current).unwrap();
    let words = |args: &[&str]| {
        let shown = text(&volume, &[&["logs", "one"], args].concat());
        let word = |line: &str| line.get(31..).unwrap_or(line).to_string();
        shown.lines().map(word).collect::<Vec<_>>().join("|")
    };
    let all = "late|  goes on, too|later|last";
    for (args, expected) in [
        (&["--since", "30m"][..], all),
        (&["--since", "1800"], all),
        (&["--since=25m"], "later|last"),
        (&["--since", "3m"], "last"),
        (&["--since", "10s"], ""),
        (&["--since", "0"], ""),
        (&["--since", "1h", "-n", "1"], "last"),
        (&["--since", "1h", "-n", "3"], "later|last"),
        (&["--since", "10s", "-n", "50"], ""),
    ] {
        assert_eq!(words(args), expected, "{args:?}");
    }
    assert!(words(&["--since", "1d"]).starts_with("old|  goes on|late"));

    // What comes is shown, as it comes.
    let mut follow = gw(&volume, &["logs", "one", "-f", "--since", "5m"]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = follow.stdout.take().unwrap();
    let mut read = |expected: &str| {
        let mut bytes = vec![0; expected.len()];
        out.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    };
    read(&line(60, "last"));
    let mut current = fs::File::options().append(true).open(one.join("current")).unwrap();
    let new = line(0, "new");
    write!(current, "{}{new}", line(3600, "an old one, by a clock that was set back")).unwrap();
    read(&new);
    follow.kill().unwrap();
    follow.wait().unwrap();
}

/// Seconds since 1970 UTC.
fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_secs().try_into().unwrap()
}
