//! Runs a program under ptrace(2), and interferes at one of its system calls.

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fmt;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it is.
    Alone,
    /// All its calls are listed.
    List,
    /// One of them is interfered with.
    Disturb(Point),
}

/// What is done to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The program is killed before it.
    Kill,
    /// It fails.
    Fail(Errno),
    /// It reads or writes one byte, or lists a few names, where it asked for more.
    Short,
}

/// The one system call that is interfered with: that many came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub at: usize,
    pub act: Act,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.act {
            Act::Kill => write!(f, "kill@{}", self.at),
            Act::Fail(errno) => write!(f, "{errno:?}@{}", self.at),
            Act::Short => write!(f, "short@{}", self.at),
        }
    }
}

/// One system call: its number, and the path it is about, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub number: u64,
    pub what: String,
    /// Whether it asked for more than one byte, where [`Act::Short`] gives one.
    pub can_be_short: bool,
}

/// How a traced program ended.
#[derive(Debug, Default)]
pub struct Traced {
    /// The exit code, or 128 and the signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// Its calls, where they were to be listed, or the one that was interfered with.
    pub calls: Vec<Call>,
    /// Whether the point was reached.
    pub hit: bool,
    /// Whether it was still there when time was over.
    pub hung: bool,
}

/// Numbers of x86-64.
mod number {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const GETDENTS64: u64 = 217;
}

/// The calls that take a path: which argument that is.
const PATHS: [(u64, &str, usize); 20] = [
    (2, "open", 0),
    (4, "stat", 0),
    (6, "lstat", 0),
    (59, "execve", 0),
    (87, "unlink", 0),
    (89, "readlink", 0),
    (254, "inotify_add_watch", 1),
    (257, "openat", 1),
    (258, "mkdirat", 1),
    (259, "mknodat", 1),
    (260, "fchownat", 1),
    (262, "newfstatat", 1),
    (263, "unlinkat", 1),
    (264, "renameat", 3),
    (265, "linkat", 3),
    (267, "readlinkat", 1),
    (268, "fchmodat", 1),
    (269, "faccessat", 1),
    (316, "renameat2", 3),
    (437, "openat2", 1),
];

/// Others, by name: for messages only.
const OTHERS: [(u64, &str); 33] = [
    (0, "read"),
    (1, "write"),
    (3, "close"),
    (5, "fstat"),
    (7, "poll"),
    (8, "lseek"),
    (9, "mmap"),
    (10, "mprotect"),
    (11, "munmap"),
    (12, "brk"),
    (13, "rt_sigaction"),
    (14, "rt_sigprocmask"),
    (16, "ioctl"),
    (25, "mremap"),
    (28, "madvise"),
    (39, "getpid"),
    (72, "fcntl"),
    (73, "flock"),
    (74, "fsync"),
    (77, "ftruncate"),
    (91, "fchmod"),
    (93, "fchown"),
    (95, "umask"),
    (97, "getrlimit"),
    (116, "setgroups"),
    (117, "setresuid"),
    (119, "setresgid"),
    (158, "arch_prctl"),
    (217, "getdents64"),
    (218, "set_tid_address"),
    (231, "exit_group"),
    (271, "ppoll"),
    (302, "prlimit64"),
];

/// Calls whose failure is the end of any program, of memory and of the process itself; and those
/// that cannot fail, by which rustix goes: of ids, the umask and limits.
const SPARED: [u64; 20] =
    [9, 10, 11, 12, 15, 25, 28, 39, 59, 60, 95, 102, 104, 107, 108, 131, 158, 218, 231, 302];

impl Call {
    /// Whether it is of any use to have it fail.
    pub fn may_fail(&self) -> bool {
        !SPARED.contains(&self.number)
    }

    /// Whether the program itself begins here: what came before is the C library's and std's.
    pub fn opens(&self) -> bool {
        self.number == 257 || self.number == 437 || self.number == 2
    }
}

/// A script that waits, stopped, for its tracer, and then becomes the program, in the directory
/// that is named first.
pub const STOPPED: &str = "cd \"$0\" && kill -STOP $$ && exec \"$@\"";

/// Runs `command`, which is to stop itself ([`STOPPED`]) before it becomes the program that is
/// meant, or to start one process that does. `prepare` is given the program's pid, outside.
/// What is not over after `time` is killed.
pub fn trace(
    mut command: Command,
    mode: Mode,
    time: Duration,
    prepare: &mut dyn FnMut(u32),
) -> Traced {
    let [out, err] = [(); 2].map(|()| tempfile::tempfile().unwrap());
    command.stdin(Stdio::null());
    command.stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let pid = stopped(&mut child);
    prepare(pid);
    let (over, watched) = mpsc::channel::<()>();
    let pid = Pid::from_raw(pid.try_into().unwrap());
    let watch = std::thread::spawn(move || {
        let late = watched.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout);
        late.then(|| kill(pid, Signal::SIGKILL)).is_some()
    });
    let mut traced = Traced::default();
    let enters = Pid::from_raw(child.id().cast_signed());
    traced.code = follow(pid, enters, mode, &mut traced);
    drop(over);
    traced.hung = watch.join().unwrap();
    // It was reaped as a tracee; if it was the child itself, nobody else has to wait for it.
    if child.id() != pid.as_raw().cast_unsigned() {
        child.wait().unwrap();
    }
    [traced.stdout, traced.stderr] = [out, err].map(|file| {
        let mut bytes = vec![0; file.metadata().unwrap().len().try_into().unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    });
    traced
}

/// The process that `child` has become or started, once it has stopped itself.
fn stopped(child: &mut Child) -> u32 {
    let start = Instant::now();
    let only_child = |pid: u32| {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        children.ok().and_then(|it| it.trim().parse().ok())
    };
    loop {
        let mut pid = child.id();
        while let Some(only) = only_child(pid) {
            pid = only;
        }
        // Who enters a namespace for it stops together with it.
        let is_stopped = |pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|it| it.starts_with('T'))
        };
        if is_stopped(pid) && is_stopped(child.id()) {
            return pid;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{pid} has not stopped");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Traces `pid` until it ends, and lets `enters`, which started it, go on; its exit code.
fn follow(pid: Pid, enters: Pid, mode: Mode, traced: &mut Traced) -> i32 {
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC).unwrap();
    for stopped in [pid, enters] {
        kill(stopped, Signal::SIGCONT).unwrap();
    }
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut memory = Some(memory);
    // What is to come next, once it is the program: the begin of a call, or its end.
    let (mut runs, mut begins, mut count) = (false, true, 0);
    // What is to be put right at its end: the error that it gives, or the size it asked for.
    let (mut result, mut asked, mut missed) = (None, None, false);
    loop {
        let mut signal = None;
        match waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::Exited(_, code) => return code,
            WaitStatus::Signaled(_, signal, _) => return 128 + signal as i32,
            WaitStatus::PtraceEvent(_, _, event) if event == Event::Exec as i32 && !runs => {
                runs = true;
                memory = Some(fs::File::open(format!("/proc/{pid}/mem")).unwrap());
                // The end of execve itself is still to come.
                begins = false;
            }
            WaitStatus::PtraceSyscall(_) if begins => {
                begins = false;
                let act = match mode {
                    Mode::Disturb(point) if point.at != count => {
                        count += 1;
                        went_on(ptrace::syscall(pid, None));
                        continue;
                    }
                    Mode::Disturb(point) => Some(point.act),
                    _ => None,
                };
                let mut registers = ptrace::getregs(pid).unwrap();
                let call = describe(&registers, memory.as_ref().unwrap());
                let (short, may_fail) = (call.can_be_short, call.may_fail());
                traced.calls.push(call);
                match act {
                    None => {}
                    Some(Act::Kill) => {
                        traced.hit = true;
                        kill(pid, Signal::SIGKILL).unwrap();
                        continue;
                    }
                    // Runs differ a little: here it may be another call than was meant.
                    Some(Act::Fail(errno)) if may_fail => {
                        traced.hit = true;
                        registers.orig_rax = u64::MAX;
                        ptrace::setregs(pid, registers).unwrap();
                        result = Some(errno);
                    }
                    Some(Act::Short) if short => {
                        traced.hit = true;
                        asked = Some(registers.rdx);
                        let is_list = registers.orig_rax == number::GETDENTS64;
                        registers.rdx = if is_list { 280 } else { 1 };
                        ptrace::setregs(pid, registers).unwrap();
                    }
                    Some(_) => missed = true,
                }
            }
            WaitStatus::PtraceSyscall(_) => {
                begins = true;
                if result.is_some() || asked.is_some() {
                    let mut registers = ptrace::getregs(pid).unwrap();
                    if let Some(errno) = result.take() {
                        registers.rax = i64::from(-(errno as i32)).cast_unsigned();
                    }
                    // The kernel leaves it as it is, and the program knows that.
                    registers.rdx = asked.take().unwrap_or(registers.rdx);
                    ptrace::setregs(pid, registers).unwrap();
                }
            }
            WaitStatus::Stopped(_, it) => signal = Some(it),
            _ => {}
        }
        // A tracee that was killed meanwhile is heard of by the next waitpid.
        let done = missed || traced.hit && result.is_none() && asked.is_none();
        went_on(match runs && !done && mode != Mode::Alone {
            true => ptrace::syscall(pid, signal),
            false => ptrace::cont(pid, signal),
        });
    }
}

#[track_caller]
fn went_on(result: nix::Result<()>) {
    assert!(matches!(result, Ok(()) | Err(Errno::ESRCH)), "{result:?}");
}

use ptrace::Event as PtraceEvent;
/// The events of ptrace(2) by their numbers.
enum Event {
    Exec = PtraceEvent::PTRACE_EVENT_EXEC as isize,
}

fn describe(registers: &nix::libc::user_regs_struct, memory: &fs::File) -> Call {
    let number = registers.orig_rax;
    let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10];
    let path = PATHS.iter().find(|it| it.0 == number);
    let what = match path {
        Some((_, name, at)) => format!("{name} {}", text(memory, arguments[*at])),
        None => match OTHERS.iter().find(|it| it.0 == number) {
            Some((_, name)) => format!("{name} {}", arguments[0].cast_signed()),
            None => format!("call {number}"),
        },
    };
    let asked = registers.rdx;
    let can_be_short = match number {
        number::READ | number::WRITE => asked > 1,
        number::GETDENTS64 => asked > 280,
        _ => false,
    };
    Call { number, what, can_be_short }
}

/// The string at `address`, as far as it can be read.
fn text(memory: &fs::File, address: u64) -> String {
    let mut bytes = [0; 160];
    let length = memory.read_at(&mut bytes, address).unwrap_or(0);
    let end = bytes[..length].iter().position(|byte| *byte == 0).unwrap_or(length);
    String::from_utf8_lossy(&bytes[..end]).into()
}
