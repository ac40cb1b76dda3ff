//! The scripts of a slot: rendering and quoting.

use crate::model::profile::Profile;
use crate::sys::identity::Ids;
use crate::text::packed::Packed;
use crate::text::{part, quote};
use std::sync::OnceLock;

/// The `type` file.
pub(crate) const TYPE: &[u8] = b"longrun\n";

/// What the scripts are made of, in the order in which `run` has it; what only `log/run` has comes
/// last. Between its parts stands what differs.
const PARTS: &str = concat!(
    "#!/bin/sh\n# Profile \x0c",
    "; written by hermes-gw, which may replace it.\n\x0c",
    "set -e\nwhile [ \"$1\" != ready ]; do\nuser=\x0c",
    r#"
ids=/run/hermes-gw.ids.$user
set -- /bin/sh "$0" ready
if [ -O "$ids" ]; then
read -r ids <"$ids"
set -- /command/s6-applyuidgid $ids "$@"
else
while read -r key uid _ && [ "$key" != Uid: ]; do :; done </proc/self/status || :
[ "$key" = Uid: ] || uid=$(id -u)
[ "$uid" != 0 ] || set -- /command/s6-setuidgid "$user" "$@"
fi
"#,
    "\x0c[ \"0$S6_KEEP_ENV\" -ne 0 ] || set -- \x0c",
    // Which Hermes home to use, at run time, is by the rules of `settings` and `home::root_of`.
    r#"/command/s6-envdir -Lf -- /run/s6/container_environment "$@"
exec "$@"
done
: "${HERMES_HOME:=/opt/data}"
HERMES_HOME="${HERMES_HOME%/}"
case "${HERMES_HOME%/*}" in */profiles) HERMES_HOME="${HERMES_HOME%/profiles/*}" ;; esac
: "${HERMES_HOME:=/}"
"#,
    // Its turn first: it becomes the sleeper, so that no signal leaves one behind with the log's
    // pipe. s6 then starts it anew, which finds itself in the file and goes on. Without one, this
    // costs a look.
    "\x0c",
    r#"if [ -e turn ]; then
read -r ms pid at of <turn || :
if [ "$pid" = 0 ] && echo "$ms $$ $at $of" >turn; then
ms=$((ms * (at - 1)))
at=$((1000 + ms % 1000))
exec sleep $((ms / 1000)).${at#1}
fi
rm -f turn
fi
export HERMES_HOME
export HOME="$HERMES_HOME"
# So finish knows how long the gateway was up.
true 2>/dev/null >crash-record || :
cd "$HERMES_HOME"
venv="${HERMES_VENV:-/opt/hermes/.venv}"
if [ -f "$venv/bin/activate" ]; then . "$venv/bin/activate"; fi
"#,
    "\x0cexport HERMES_S6_SUPERVISED_CHILD=1 HERMES_SUPERVISED_CHILD=1\nexec hermes",
    "\x0c gateway run --replace\n",
    // Goes on where it needs not drop and has that environment. In the user tree a logger has it
    // from its s6-svscan: that is two programs less for each.
    "\x0c[ $1 != /bin/sh ] || [ ! \"$HERMES_HOME\" ] || break\n",
    "\x0cdir=\"$HERMES_HOME/logs/gateways/",
    "\x0c\"\n[ -d \"$dir\" ] || mkdir -p \"$dir\"\nexec s6-log -p 1 n10 s1000000 T \"$dir\"\n",
);
/// The parts of which [`head`] makes what both begin with, and those behind.
const HEAD: usize = 6;
const GATEWAY: usize = 6;
const PROGRAM: usize = 7;
const ARGUMENTS: usize = 8;
const IF_LOADED: usize = 9;
const LOG: usize = 10;
const LOGGER: usize = 11;

const PACKING: Packed<{ PARTS.len() }> = Packed::new("", &[PARTS]);
static PACKED: Packed<{ PACKING.length }> = PACKING.cut();

/// The part that is `at` this place.
#[inline(never)]
fn text(at: usize) -> &'static str {
    static UNPACKED: OnceLock<String> = OnceLock::new();
    part(UNPACKED.get_or_init(|| PACKED.unpack("")), '\x0c', at)
}

/// What the name of the file begins with, below /, that says what the scripts drop to; the user's
/// follows. Root writes it at each boot, and the scripts are the same whoever makes them.
const IDS: &str = "run/hermes-gw.ids.";

/// The name of that file for `user`, below /.
pub(crate) fn ids_of(user: &[u8]) -> Vec<u8> {
    [IDS.as_bytes(), user].concat()
}

/// Its content: options of s6-applyuidgid.
pub(crate) fn ids(Ids { uid, gid, groups, .. }: &Ids) -> String {
    let mut text = String::new();
    let mut add = |before, id: &u32| {
        text += before;
        text += &u64::from(*id).to_string();
    };
    add("-u ", uid);
    add(" -g ", gid);
    for (at, group) in groups.iter().enumerate() {
        add(if at == 0 { " -G " } else { "," }, group);
    }
    text + "\n"
}

const ENV_BEGIN: &[u8] = b"# extra environment\n";
const ENV_END: &[u8] = b"# end of extra environment\n";

/// Appends the `run` script: the gateway of `profile`, as `user`, with `extra` (made by
/// [`environment`], or taken from an older script by [`environment_of`]).
pub(crate) fn run(profile: &Profile, user: &[u8], extra: &[u8], script: &mut Vec<u8>) {
    head(profile, user, [TO_THE_LOG, "", "/command/emptyenv -p "], script);
    let name = match profile {
        Profile::Named(_) => [" -p ", profile.name()].concat(),
        Profile::Default => String::new(),
    };
    for part in [
        text(GATEWAY).as_bytes(),
        ENV_BEGIN,
        extra,
        ENV_END,
        text(PROGRAM).as_bytes(),
        name.as_bytes(),
        text(ARGUMENTS).as_bytes(),
    ] {
        script.extend_from_slice(part);
    }
}

/// Appends the `log/run` script: s6-log in the home's logs/gateways/, as `user`.
///
/// What PID 1 has in its environment is nothing to s6-log, so that may stay. `-p` keeps s6-log reading until the gateway has closed its end.
pub(crate) fn log_run(profile: &Profile, user: &[u8], script: &mut Vec<u8>) {
    head(profile, user, ["", text(IF_LOADED), ""], script);
    for part in [text(LOG), profile.name(), text(LOGGER)] {
        script.extend_from_slice(part.as_bytes());
    }
}

/// The `finish` script, whose warnings belong to the log, too; without the binary s6 restarts
/// the gateway as it always does.
pub(crate) const FINISH: &[u8] = b"#!/bin/sh
exec 2>&1
if [ -x /command/hermes-gw ]; then exec /command/hermes-gw finish \"$@\"; fi
exit 0
";

/// That of the logger. No shell comes first: it takes longer than the rest, and when a tree stops
/// there are thousands. Without the binary s6 starts the logger again, as it always does.
pub(crate) const LOG_FINISH: &[u8] = b"#!/command/hermes-gw finish\n";

/// Has the log get what `run` itself has to say, and the gateway's warnings and tracebacks:
/// s6-log passes all of it on to the container's output.
const TO_THE_LOG: &str = "exec 2>&1\n";

/// What `run` and `log/run` begin with, `first` before all else. First they get the container's
/// environment, as with-contenv of s6-overlay loads it (`empty` or not before that), and become
/// `user`, even if that is root too: until then, programs are called by their paths, for the
/// environment's PATH may lead anywhere. A script that cannot tell who it is goes no further.
/// Where nothing says which ids `user` has, the user database's groups are all it gets.
///
/// One that has that environment and is `user` may `skip` the rest.
fn head(profile: &Profile, user: &[u8], [first, skip, empty]: [&str; 3], script: &mut Vec<u8>) {
    let mut quoted = Vec::new();
    quote(user, &mut quoted);
    let between: [&[u8]; HEAD] = [
        profile.name().as_bytes(),
        first.as_bytes(),
        &quoted,
        skip.as_bytes(),
        empty.as_bytes(),
        b"",
    ];
    for (at, more) in between.into_iter().enumerate() {
        script.extend_from_slice(text(at).as_bytes());
        script.extend_from_slice(more);
    }
}

/// The lines that set `variables`, in their order; names and values may be any bytes
/// but NUL, names as the shell has them.
pub(crate) fn environment(variables: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in variables {
        lines.extend_from_slice(b"export ");
        lines.extend_from_slice(name);
        lines.push(b'=');
        quote(value, &mut lines);
        lines.push(b'\n');
    }
    lines
}

/// The extra environment of an existing `run` script, as its lines; empty if it has none.
pub(crate) fn environment_of(script: &[u8]) -> &[u8] {
    let is_at = |marker: &[u8], at: usize| script[at..].starts_with(marker);
    let mut places = 0..script.len();
    // A value may contain either marker, but only between the outermost two.
    match (places.find(|at| is_at(ENV_BEGIN, *at)), places.rfind(|at| is_at(ENV_END, *at))) {
        (Some(begin), Some(end)) => script.get(begin + ENV_BEGIN.len()..end).unwrap_or_default(),
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;
    use std::process::{Command, Stdio};

    fn run(profile: &Profile, user: &[u8], extra: &[u8]) -> Vec<u8> {
        let mut script = Vec::new();
        super::run(profile, user, extra, &mut script);
        script
    }

    fn log_run(profile: &Profile, user: &[u8]) -> Vec<u8> {
        let mut script = Vec::new();
        super::log_run(profile, user, &mut script);
        script
    }

    fn coder() -> Profile {
        Profile::parse(b"coder").unwrap()
    }

    #[test]
    fn each_profile_runs_its_own_gateway() {
        let text = |profile: &Profile| String::from_utf8(run(profile, b"hermes", b"")).unwrap();
        let default = text(&Profile::Default);
        assert!(default.ends_with("\nexec hermes gateway run --replace\n"), "{default}");
        let named = text(&coder());
        assert!(named.ends_with("\nexec hermes -p coder gateway run --replace\n"), "{named}");
        for script in [default, named] {
            assert!(script.starts_with("#!/bin/sh\n"));
            let drops = [
                "user=hermes\nids=/run/hermes-gw.ids.$user\n",
                "if [ -O \"$ids\" ]; then\nread -r ids <\"$ids\"\nset -- /command/s6-applyuidgid $ids \"$@\"\n",
                "[ \"$uid\" != 0 ] || set -- /command/s6-setuidgid \"$user\" \"$@\"\n",
                "set -- /command/emptyenv -p /command/s6-envdir -Lf -- /run/s6/container_environment \"$@\"\n",
            ];
            for lines in drops {
                assert!(script.contains(lines), "{script}");
            }
        }
    }

    #[test]
    fn ids_are_options_of_s6_applyuidgid_which_has_always_a_list_to_set() {
        let table: [(u32, u32, &[u32], &str); 2] = [
            (10000, 10001, &[10001, 44, 0], "-u 10000 -g 10001 -G 10001,44,0\n"),
            (1001, 0, &[0], "-u 1001 -g 0 -G 0\n"),
        ];
        for (uid, gid, groups, text) in table {
            assert_eq!(ids(&Ids { uid, gid, groups: groups.to_vec(), flaw: None }), text);
        }
        assert_eq!(ids_of(b"hermes"), b"run/hermes-gw.ids.hermes");
    }

    #[test]
    fn the_logger_writes_below_the_home_of_the_moment() {
        let script = String::from_utf8(log_run(&coder(), b"o'neil")).unwrap();
        assert!(script.contains("\nuser='o'\\''neil'\n"), "{script}");
        assert!(script.contains("dir=\"$HERMES_HOME/logs/gateways/coder\"\n"));
        assert!(script.ends_with("\nexec s6-log -p 1 n10 s1000000 T \"$dir\"\n"));
    }

    #[test]
    fn a_logger_that_has_its_users_environment_loads_none_and_a_gateway_always_does() {
        let scripts = [log_run(&coder(), b"hermes"), run(&coder(), b"hermes", b"")];
        let dir = tempfile::tempdir().unwrap();
        // What the script has come to there: as root it drops, and whose it is already is not told.
        for (uid, home, goes_on) in [("7", "/x", true), ("7", "", false), ("0", "/x", false)] {
            let status = dir.path().join("status");
            std::fs::write(&status, format!("Uid:\t{uid}\t{uid}\n")).unwrap();
            for (script, is_logger) in scripts.iter().zip([true, false]) {
                let script = str::from_utf8(script).unwrap();
                let script = script
                    .replace("/proc/self/status", status.to_str().unwrap())
                    .replace("ids=/run/", "ids=/nowhere/")
                    .replace("exec \"$@\"\n", "echo loads; exit\n")
                    .replace(": \"${HERMES_HOME:=/opt/data}\"\n", "echo goes on; exit\n");
                let output = Command::new("sh")
                    .args(["-c", &script])
                    .env_remove("S6_KEEP_ENV")
                    .env("HERMES_HOME", home)
                    .output()
                    .unwrap();
                let expected: &[u8] = if goes_on && is_logger { b"goes on\n" } else { b"loads\n" };
                assert_eq!(output.stdout, expected, "{uid} {home} {output:?}");
            }
        }
    }

    #[test]
    fn who_it_is_must_be_known_before_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let sh =
            ["/bin/sh", "/usr/bin/sh"].into_iter().find(|sh| std::path::Path::new(sh).exists());
        for script in [run(&coder(), b"hermes", b""), log_run(&coder(), b"hermes")] {
            let path = dir.path().join("run");
            // Neither /proc nor id, and so nothing else either.
            let script = String::from_utf8(script).unwrap().replace("/proc/self", "/nowhere");
            std::fs::write(&path, script).unwrap();
            let output =
                Command::new(sh.unwrap()).arg(&path).env("PATH", dir.path()).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(!output.status.success() && said.contains("id: not found"), "{said}");
            assert_eq!(said.lines().count(), 2, "{said}");
        }
    }

    #[test]
    fn what_goes_wrong_in_run_is_for_the_log_and_what_does_in_the_logger_is_not() {
        let place = |script: &[u8], what: &str| str::from_utf8(script).unwrap().find(what);
        let run = run(&coder(), b"hermes", b"");
        assert!(place(&run, "exec 2>&1\n").unwrap() < place(&run, "id -u").unwrap());
        assert_eq!(place(&log_run(&coder(), b"hermes"), "2>&1"), None);
        assert!(place(FINISH, "exec 2>&1\n").unwrap() < place(FINISH, "hermes-gw").unwrap());
    }

    #[test]
    fn the_home_is_found_as_the_program_finds_it() {
        let table = [
            ("", "/opt/data"),
            ("/data/hermes", "/data/hermes"),
            ("/data/hermes/", "/data/hermes"),
            ("/data/profiles/x", "/data"),
            ("/data/profiles/x/", "/data"),
            ("/data/profiles", "/data/profiles"),
            ("/a b/profiles/x", "/a b"),
            ("/profiles/x", "/"),
            ("/", "/"),
        ];
        let (_, lines) = text(HEAD - 1).split_once("done\n").unwrap();
        for (variable, home) in table {
            let script = format!("{lines}printf %s \"$HERMES_HOME\"");
            let output = Command::new("sh")
                .args(["-euc", &script])
                .env("HERMES_HOME", variable)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), home, "{variable}");
            if !variable.is_empty() {
                assert_eq!(crate::hermes::home::root_of(variable.as_bytes()), home.as_bytes());
            }
        }
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let marker = prop_oneof![Just(ENV_BEGIN.to_vec()), Just(ENV_END.to_vec())];
        prop_oneof![
            4 => proptest::collection::vec(1u8.., 0..40),
            1 => "[a'\"$`\\\\\n !#~*?-]{0,20}".prop_map(String::into_bytes),
            1 => marker,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_real_shell_gets_every_byte(values in proptest::collection::vec(value(), 1..5)) {
            let variables: Vec<_> =
                values.iter().enumerate().map(|(i, v)| (format!("V{i}").into_bytes(), v.clone())).collect();
            let mut script = environment(&variables);
            script.extend_from_slice(b"for i in \"$@\"; do printenv -0 V$i; done");
            let output = Command::new("sh")
                .arg("-c")
                .arg(std::ffi::OsStr::from_bytes(&script))
                .arg("sh")
                .args((0..values.len()).map(|i| i.to_string()))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let expected: Vec<u8> = values.iter().flat_map(|v| [v.as_slice(), b"\0"].concat()).collect();
            prop_assert_eq!(output.stdout, expected);
        }

        #[test]
        fn the_environment_is_found_again(values in proptest::collection::vec(value(), 0..4)) {
            let variables: Vec<_> =
                values.into_iter().enumerate().map(|(i, v)| (format!("V{i}").into_bytes(), v)).collect();
            let lines = environment(&variables);
            let script = run(&coder(), b"hermes", &lines);
            prop_assert_eq!(environment_of(&script), &lines);
            prop_assert_eq!(run(&coder(), b"hermes", environment_of(&script)), script.clone());
        }
    }
}
