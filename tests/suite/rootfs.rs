//! rootfs/ against s6-rc's rules for source directories, and those of an image.

use crate::support;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use support::run;

const PAGE: &str = "rootfs/usr/share/man/man8/hermes-gw.8";
const SERVICES: &str = "etc/s6-overlay/s6-rc.d";
const BUNDLE: &str = "etc/s6-overlay/user-bundles.d/user/contents.d";
/// What s6-overlay has itself, and services may depend on.
const OVERLAYS: [&str; 1] = ["base"];

/// What s6-rc-compile reads of a service of each type, besides `type`; anything else it
/// ignores, or, like `down` in a longrun, does not keep.
fn readable(kind: &str) -> &'static [&'static str] {
    match kind {
        "oneshot" => &["up", "down", "timeout-up", "timeout-down", "dependencies.d"],
        "longrun" => &[
            "run",
            "finish",
            "notification-fd",
            "timeout-up",
            "timeout-down",
            "timeout-kill",
            "timeout-finish",
            "down-signal",
            "max-death-tally",
            "dependencies.d",
        ],
        "bundle" => &["contents.d"],
        _ => &[],
    }
}

/// What is wrong with the tree at `root`, sorted.
fn faults(root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let services = names(&root.join(SERVICES));
    let bundle = names(&root.join(BUNDLE));
    for service in &services {
        let dir = root.join(SERVICES).join(service);
        of_service(&dir, service, &services, &mut faults);
        if !bundle.contains(service) {
            faults.push(format!("{service}: in no bundle, so it is never started"));
        }
    }
    for name in bundle.difference(&services) {
        faults.push(format!("user: {name} is no service"));
    }
    // s6-overlay brings the bundle's type. Where s6-rc.d/user exists, later versions ignore
    // user-bundles.d, the image's own part of it too, and want to write there.
    if names(&root.join(BUNDLE).join("..")).len() != 1 || services.contains("user") {
        faults.push("user: more than its contents.d".into());
    }
    of_modes(root, &mut faults);
    for (link, target) in [
        ("etc/cont-init.d/02-reconcile-profiles", "/command/hermes-gw"),
        ("etc/cont-finish.d/02-stop-gateways", "/command/hermes-gw"),
        ("usr/local/bin/hermes-gw", "/command/hermes-gw"),
    ] {
        if fs::read_link(root.join(link)).ok().as_deref() != Some(Path::new(target)) {
            faults.push(format!("{link}: no link to {target}"));
        }
    }
    faults.sort();
    faults
}

fn of_service(dir: &Path, name: &str, services: &BTreeSet<String>, faults: &mut Vec<String>) {
    let mut fault = |text: String| faults.push(format!("{name}: {text}"));
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.chars().all(plain) || name.starts_with("s6rc-") || name.starts_with("s6-rc-") {
        fault("a name that s6-rc does not take".into());
    }
    let kind = read("type");
    let Some(kind) = kind.strip_suffix('\n').filter(|kind| !readable(kind).is_empty()) else {
        return fault(format!("type is {kind:?}"));
    };
    for file in names(dir) {
        if file != "type" && !readable(kind).contains(&file.as_str()) {
            fault(format!("{file} means nothing in a {kind}"));
        }
        if file.starts_with("timeout-") && read(&file).trim_end().parse::<u32>().is_err() {
            fault(format!("{file} is no number of milliseconds"));
        }
    }
    for needed in names(&dir.join("dependencies.d")) {
        let known = services.contains(&needed) || OVERLAYS.contains(&needed.as_str());
        if !known || depends(dir.parent().unwrap(), &needed, name) {
            fault(format!("dependency {needed} is no service, or a circle"));
        }
    }
    // Else it could be brought up before the volume has been seen to.
    if kind != "bundle" && !dir.join("dependencies.d/base").exists() {
        fault("does not depend on base".into());
    }
    match kind {
        "oneshot" => {
            for (file, must) in [("up", true), ("down", false)] {
                let lines = read(file);
                let command = lines.strip_suffix('\n').unwrap_or_default();
                let one = command.starts_with('/') && !command.contains('\n');
                if (must || dir.join(file).exists()) && !one {
                    fault(format!("{file} is not one command line"));
                }
            }
        }
        "longrun" => {
            for (file, must) in [("run", true), ("finish", false)] {
                let path = dir.join(file);
                let script = read(file);
                let runs = script.starts_with("#!/") && mode(&path) == 0o755;
                if (must || path.exists()) && !runs {
                    fault(format!("{file} is no script that can be executed"));
                }
            }
            let ready = read("notification-fd");
            let fd = ready.trim_end();
            if dir.join("notification-fd").exists()
                && !(fd.parse::<u32>().is_ok_and(|fd| fd > 2)
                    && read("run").contains(&format!(">&{fd}")))
            {
                fault("nothing is written to notification-fd".into());
            }
        }
        _ => {}
    }
}

/// Whether `from` needs `to`, perhaps by way of others.
fn depends(services: &Path, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = vec![from.to_string()];
    while let Some(name) = next.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name.clone()) {
            next.extend(names(&services.join(name).join("dependencies.d")));
        }
    }
    false
}

/// In an image all of it is root's, read by everybody; only scripts are executed. Names of
/// services are empty files.
fn of_modes(root: &Path, faults: &mut Vec<String>) {
    for path in walk(root) {
        let name = path.strip_prefix(root).unwrap().display();
        let meta = path.symlink_metadata().unwrap();
        let script = meta.is_file() && fs::read(&path).unwrap().starts_with(b"#!");
        let (wanted, found) = (if meta.is_dir() || script { 0o755 } else { 0o644 }, mode(&path));
        if !meta.is_symlink() && found != wanted {
            faults.push(format!("{name}: mode {found:o}, not {wanted:o}"));
        }
        let dir = path.parent().unwrap().file_name().unwrap();
        let lists = dir == "dependencies.d" || dir == "contents.d";
        if lists && !(meta.is_file() && meta.len() == 0) {
            faults.push(format!("{name}: no empty file"));
        }
    }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().map_or(0, |meta| meta.permissions().mode() & 0o7777)
}

/// What is in the directory, if there is one.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for name in names(dir) {
        let path = dir.join(name);
        if path.symlink_metadata().unwrap().is_dir() {
            all.extend(walk(&path));
        }
        all.push(path);
    }
    all
}

/// A copy of rootfs/, with the modes of a checkout whatever the umask was.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(support::workspace()).unwrap();
    let rootfs = concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs/.");
    run(std::process::Command::new("cp").args(["-R", rootfs]).arg(dir.path()));
    run(std::process::Command::new("chmod").args(["-R", "go+rX,go-w"]).arg(dir.path()));
    dir
}

#[test]
fn it_keeps_the_rules() {
    assert_eq!(faults(copy().path()), [""; 0]);
}

/// What is longer than a line is tested by what it does.
#[test]
fn it_holds_what_an_image_gets_and_nothing_else() {
    let rootfs = Path::new(env!("CARGO_MANIFEST_DIR")).join("rootfs");
    let mut found: Vec<(String, String)> = Vec::new();
    for path in walk(&rootfs).iter().filter(|path| path.is_symlink() || !path.is_dir()) {
        let name = path.strip_prefix(&rootfs).unwrap().to_str().unwrap();
        let content = match path.read_link() {
            Ok(target) => format!("-> {}", target.display()),
            Err(_) => fs::read_to_string(path).unwrap(),
        };
        let longer = content.lines().count() > 1;
        found.push((name.into(), if longer { "..." } else { content.trim_end() }.into()));
    }
    found.sort();
    let found: Vec<_> = found.iter().map(|(name, what)| (&name[..], &what[..])).collect();
    let expected = [
        ("etc/cont-finish.d/02-stop-gateways", "-> /command/hermes-gw"),
        ("etc/cont-init.d/02-reconcile-profiles", "-> /command/hermes-gw"),
        ("etc/s6-overlay/s6-rc.d/dashboard/dependencies.d/base", ""),
        ("etc/s6-overlay/s6-rc.d/dashboard/finish", "..."),
        ("etc/s6-overlay/s6-rc.d/dashboard/run", "..."),
        ("etc/s6-overlay/s6-rc.d/dashboard/timeout-kill", "5000"),
        ("etc/s6-overlay/s6-rc.d/dashboard/type", "longrun"),
        ("etc/s6-overlay/s6-rc.d/hermes-gateways/dependencies.d/base", ""),
        ("etc/s6-overlay/s6-rc.d/hermes-gateways/dependencies.d/hermes-svscan", ""),
        ("etc/s6-overlay/s6-rc.d/hermes-gateways/down", "/command/hermes-gw shutdown"),
        ("etc/s6-overlay/s6-rc.d/hermes-gateways/timeout-up", "120000"),
        ("etc/s6-overlay/s6-rc.d/hermes-gateways/type", "oneshot"),
        ("etc/s6-overlay/s6-rc.d/hermes-gateways/up", "/command/hermes-gw reconcile"),
        ("etc/s6-overlay/s6-rc.d/hermes-standby/dependencies.d/base", ""),
        ("etc/s6-overlay/s6-rc.d/hermes-standby/dependencies.d/hermes-gateways", ""),
        ("etc/s6-overlay/s6-rc.d/hermes-standby/finish", "..."),
        ("etc/s6-overlay/s6-rc.d/hermes-standby/run", "..."),
        ("etc/s6-overlay/s6-rc.d/hermes-standby/type", "longrun"),
        ("etc/s6-overlay/s6-rc.d/hermes-svscan/dependencies.d/base", ""),
        ("etc/s6-overlay/s6-rc.d/hermes-svscan/finish", "..."),
        ("etc/s6-overlay/s6-rc.d/hermes-svscan/notification-fd", "3"),
        ("etc/s6-overlay/s6-rc.d/hermes-svscan/run", "..."),
        ("etc/s6-overlay/s6-rc.d/hermes-svscan/timeout-kill", "30000"),
        ("etc/s6-overlay/s6-rc.d/hermes-svscan/timeout-up", "60000"),
        ("etc/s6-overlay/s6-rc.d/hermes-svscan/type", "longrun"),
        ("etc/s6-overlay/s6-rc.d/main-hermes/dependencies.d/base", ""),
        ("etc/s6-overlay/s6-rc.d/main-hermes/run", "..."),
        ("etc/s6-overlay/s6-rc.d/main-hermes/type", "longrun"),
        ("etc/s6-overlay/user-bundles.d/user/contents.d/dashboard", ""),
        ("etc/s6-overlay/user-bundles.d/user/contents.d/hermes-gateways", ""),
        ("etc/s6-overlay/user-bundles.d/user/contents.d/hermes-standby", ""),
        ("etc/s6-overlay/user-bundles.d/user/contents.d/hermes-svscan", ""),
        ("etc/s6-overlay/user-bundles.d/user/contents.d/main-hermes", ""),
        ("usr/local/bin/hermes-gw", "-> /command/hermes-gw"),
        ("usr/share/bash-completion/completions/hermes-gw", "..."),
        ("usr/share/fish/vendor_completions.d/hermes-gw.fish", "..."),
        ("usr/share/man/man8/hermes-gw.8", "..."),
        ("usr/share/zsh/vendor-completions/_hermes-gw", "..."),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_version_is_the_same_everywhere() {
    let read =
        |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let dockerfile = read("Dockerfile");
    let versions: Vec<_> =
        dockerfile.lines().filter_map(|line| line.strip_prefix("ARG VERSION=")).collect();
    assert_eq!(versions, [version, version]);
    assert!(read(PAGE).contains(&format!("\n.Ss To {version}\n")), "no release note");
}

/// The manual lists what is linked, with its licence as cargo knows it.
#[test]
fn licences_are_listed() {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tree", "--locked", "-e", "normal"]);
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    cargo.args(["--prefix", "none", "--target", &target]);
    let tree = run(cargo.args(["--format", "{p}|{l}"]));
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    let rows: BTreeSet<_> = tree
        .lines()
        .filter(|line| !line.starts_with("hermes-gw "))
        .map(|line| line.split_once('|').unwrap())
        .map(|(package, licence)| {
            format!("\n.It {}\n{licence}\n", package.split(' ').next().unwrap())
        })
        .collect();
    assert!(rows.len() >= 4, "{tree}");
    let missing: Vec<_> = rows.iter().filter(|row| !page.contains(row.as_str())).collect();
    assert_eq!(missing, [""; 0], "not in the manual");
}

/// README.md leads to what is there: files, sections of the manual, and a Dockerfile whose
/// commands are those of the demo's image.
#[test]
fn what_readme_leads_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let readme = read("README.md");
    let links = readme.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    for link in links.filter(|link| !link.starts_with("https://")) {
        assert!(root.join(link).exists(), "{link}");
    }
    let sections = readme.split_once("\n| for | read |\n").unwrap().1.split("\n\n").next().unwrap();
    let page = read(PAGE);
    let heads: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(".Sh ")).collect();
    for cell in sections.lines().skip(1).map(|row| row.split(" | ").nth(1).unwrap()) {
        let mut rest = cell.trim_end_matches(" |").to_string();
        // A head may have a comma in it.
        for head in heads.iter().filter(|head| head.len() > 3) {
            rest = rest.replace(head, "");
        }
        let left: Vec<_> = rest.split(['(', ')', ',', ';', ' ']).collect();
        let shouts = |word: &&&str| word.len() > 1 && **word == word.to_uppercase();
        assert_eq!(left.iter().find(shouts), None, "{cell}: no such section");
    }
    let shown = readme.split_once("```dockerfile\n").unwrap().1.split("```").next().unwrap();
    let dockerfile = read("Dockerfile").replace("--from=export", "--from=hermes-gw");
    for line in shown.lines().filter(|line| line.starts_with("COPY") || line.starts_with("RUN")) {
        assert!(dockerfile.contains(&format!("\n{line}\n")), "{line}");
    }
}

/// Each rule, broken: so that the test above means something.
#[test]
fn what_breaks_a_rule_is_found() {
    type Break = fn(&Path);
    let table: [(&str, Break); 18] = [
        ("dashboard: type is \"longrun\"", |it| write(it, "dashboard/type", "longrun")),
        ("dashboard: type is \"service\\n\"", |it| write(it, "dashboard/type", "service\n")),
        ("dashboard: up means nothing in a longrun", |it| write(it, "dashboard/up", "/x\n")),
        ("dashboard: down means nothing in a longrun", |it| write(it, "dashboard/down", "")),
        ("dashboard: run is no script that can be executed", |it| remove(it, "dashboard/run")),
        ("dashboard: does not depend on base", |it| remove(it, "dashboard/dependencies.d/base")),
        ("dashboard: dependency nobody is no service, or a circle", |it| {
            write(it, "dashboard/dependencies.d/nobody", "");
        }),
        ("hermes-svscan: dependency hermes-gateways is no service, or a circle", |it| {
            write(it, "hermes-svscan/dependencies.d/hermes-gateways", "");
        }),
        ("hermes-svscan: nothing is written to notification-fd", |it| {
            write(it, "hermes-svscan/notification-fd", "4\n");
        }),
        ("hermes-svscan: timeout-up is no number of milliseconds", |it| {
            write(it, "hermes-svscan/timeout-up", "60 s\n");
        }),
        ("hermes-gateways: up is not one command line", |it| {
            write(it, "hermes-gateways/up", "hermes-gw reconcile\n");
        }),
        ("hermes-gateways: down is not one command line", |it| {
            write(it, "hermes-gateways/down", "/a\n/b\n");
        }),
        ("new one: a name that s6-rc does not take", |it| {
            fs::create_dir(it.join(SERVICES).join("new one")).unwrap();
        }),
        ("dashboard: in no bundle, so it is never started", |it| {
            fs::remove_file(it.join(BUNDLE).join("dashboard")).unwrap();
        }),
        ("user: nobody is no service", |it| fs::write(it.join(BUNDLE).join("nobody"), "").unwrap()),
        ("user: more than its contents.d", |it| {
            fs::create_dir_all(it.join(SERVICES).join("user/contents.d")).unwrap();
        }),
        ("etc/s6-overlay/s6-rc.d/dashboard/type: mode 755, not 644", |it| {
            let path = it.join(SERVICES).join("dashboard/type");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }),
        ("etc/cont-init.d/02-reconcile-profiles: no link to /command/hermes-gw", |it| {
            let link = it.join("etc/cont-init.d/02-reconcile-profiles");
            fs::remove_file(&link).unwrap();
            symlink("/usr/bin/hermes-gw", link).unwrap();
        }),
    ];
    for (fault, broken) in table {
        let tree = copy();
        broken(tree.path());
        let found = faults(tree.path());
        assert!(found.iter().any(|it| it == fault), "{fault}: found {found:#?}");
    }
}

fn write(root: &Path, file: &str, content: &str) {
    let path = root.join(SERVICES).join(file);
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

fn remove(root: &Path, file: &str) {
    fs::remove_file(root.join(SERVICES).join(file)).unwrap();
}
