//! The man page: mandoc takes it without a word, and it says what the program, its help and
//! its settings say.

mod support;

use hermes_gw::model::backoff::Limits;
use hermes_gw::model::observation::{Report, State};
use hermes_gw::model::profile::Profile;
use hermes_gw::s6::scandir::Tree;
use hermes_gw::{cli, cli::help, render};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::run;

type Names = BTreeSet<String>;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn page() -> PathBuf {
    file("rootfs/usr/share/man/man8/hermes-gw.8")
}

/// The source of the section that begins with the line `head`.
#[track_caller]
fn source(head: &str) -> String {
    let all = fs::read_to_string(page()).unwrap();
    let mut lines = all.lines().skip_while(|line| *line != head);
    assert_eq!(lines.next(), Some(head), "the page has no such section");
    let end = if head.starts_with(".Ss") { ".S" } else { ".Sh" };
    let section: Vec<_> = lines.take_while(|line| !line.starts_with(end)).collect();
    section.join("\n")
}

/// What `text` has as `.It MACRO NAME`, also several in a line.
fn items(text: &str, of: &str) -> Names {
    let lines = text.lines().filter_map(|line| line.strip_prefix(".It ")?.strip_prefix(of));
    let words = lines.flat_map(|line| line.split([' ', ',']));
    words.filter(|word| !word.is_empty() && *word != of.trim()).map(String::from).collect()
}

/// The options that are items of `text`, without the names of their values.
fn options(text: &str) -> Names {
    let lines = text.lines().map(|line| line.split(" Ar ").next().unwrap());
    let names = items(&lines.collect::<Vec<_>>().join("\n"), "Fl ");
    names.into_iter().map(|name| format!("-{name}")).collect()
}

/// The page without its white space, for lines break anywhere: each section with its head,
/// those of COMMANDS by the command's name.
struct Rendered(Vec<(String, String)>);

impl Rendered {
    fn new() -> Rendered {
        let text = plain(&run(Command::new("mandoc").args(["-T", "ascii"]).arg(page())));
        let mut sections: Vec<(String, String)> = Vec::new();
        // The first line and the last are about the page.
        for line in text.lines().skip(1) {
            let indent = line.len() - line.trim_start().len();
            match (indent, sections.last_mut()) {
                (0 | 3, _) if !line.is_empty() => sections.push((line.trim().into(), "".into())),
                (_, Some((_, section))) => *section += &squeezed(line),
                _ => {}
            }
        }
        Rendered(sections)
    }

    #[track_caller]
    fn section(&self, head: &str) -> &str {
        let section = self.0.iter().find(|(known, _)| known == head);
        &section.unwrap_or_else(|| panic!("the page has no section {head}")).1
    }
}

/// Text without what makes it bold or underlined on paper.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '\x08' => drop(plain.pop()),
            c => plain.push(c),
        }
    }
    plain
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// What a usage text says: its usage, each sentence, and each entry of a list.
fn statements(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for paragraph in text.strip_prefix("Usage: ").unwrap().split("\n\n") {
        parts.push(String::new());
        for line in paragraph.lines() {
            if line.starts_with("  ") && !line.starts_with("   ") {
                parts.push(String::new());
            }
            *parts.last_mut().unwrap() += &format!("{line} ");
        }
    }
    let sentences = parts.iter().flat_map(|part| match part.starts_with("  ") {
        true => vec![part.trim()],
        false => part.trim().split_inclusive(". ").collect(),
    });
    // "Commands:" is but the head of a list.
    sentences.filter(|it| !it.is_empty() && !it.ends_with(':')).map(String::from).collect()
}

#[test]
fn mandoc_takes_it_without_a_word() {
    let lint = ["-T", "lint", "-W", "style"];
    let output = Command::new("mandoc").args(lint).arg(page()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    assert!(output.status.success(), "{}", output.status);
}

#[test]
fn it_says_what_the_help_says_word_for_word() {
    let page = Rendered::new();
    for command in cli::commands() {
        let section = page.section(command);
        let statements = statements(help::text(Some(command)));
        assert!(statements.len() > 1, "{command}: {statements:?}");
        for statement in statements {
            let is_there = section.contains(&squeezed(&statement));
            assert!(is_there, "{command}: the page does not say: {statement}");
        }
    }
    let everything: String = page.0.iter().map(|(_, section)| section.as_str()).collect();
    let mut codes = 0;
    for statement in statements(help::text(None)) {
        if let Some(list) = statement.strip_prefix("Exit codes: ") {
            for code in list.trim().trim_end_matches('.').split(", ") {
                assert!(page.section("EXIT STATUS").contains(&squeezed(code)), "{code}");
                codes += 1;
            }
            continue;
        }
        let is_there = everything.contains(&squeezed(&statement));
        assert!(is_there, "the page does not say: {statement}");
    }
    assert_eq!(codes, items(&source(".Sh EXIT STATUS"), "").len());
}

#[test]
fn commands_and_options_are_those_of_the_program() {
    let commands: Names = cli::commands().map(String::from).collect();
    let headed = source(".Sh COMMANDS");
    let headed: Names =
        headed.lines().filter_map(|line| line.strip_prefix(".Ss ")).map(String::from).collect();
    assert_eq!(headed, commands);
    assert_eq!(
        items(&source(".Sh DESCRIPTION"), "Cm ").intersection(&commands).count(),
        commands.len()
    );
    let words =
        |text: &str| -> Names { text.split([' ', '|', '[', ']', ',']).map(String::from).collect() };
    for command in &commands {
        let usage = words(help::text(Some(command)).lines().next().unwrap());
        let told = options(&source(&format!(".Ss {command}")));
        assert!(told.is_subset(&usage), "{command}: {told:?}");
    }
    let listed = help::text(None).lines().filter_map(|line| line.strip_prefix("  -"));
    let listed: Vec<_> = listed.map(|line| line.split("  ").next().unwrap()).collect();
    let global = words(&format!("-{}", listed.join(" -")));
    let global: Names = global.into_iter().filter(|word| word.starts_with('-')).collect();
    assert_eq!(options(&source(".Sh OPTIONS")), global);
}

/// The variables of ours that `text` names.
fn variables(text: &str) -> Names {
    let is_of_a_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_of_a_name(c));
    let is_one = |word: &&str| word.starts_with("HERMES_") || word.starts_with("S6_");
    words.filter(is_one).map(String::from).collect()
}

/// What is in the files below `dir`, without the tests of sources.
fn contents(dir: &Path) -> String {
    let files = run(Command::new("find").arg(dir).args(["-type", "f"]));
    assert!(!files.is_empty(), "{}", dir.display());
    let read = |path: &str| fs::read_to_string(path).unwrap();
    let own = |text: String| text.split("#[cfg(test)]").next().unwrap().to_string();
    files.lines().map(read).map(own).collect()
}

#[test]
fn the_environment_is_that_of_settings_help_scripts_and_rootfs() {
    let settings = variables(&fs::read_to_string(file("src/settings.rs")).unwrap());
    let texts = cli::commands().map(|command| help::text(Some(command)));
    let texts: String = texts.chain([help::text(None)]).collect();
    assert_eq!(variables(&texts), settings, "help and settings");
    let mut used = variables(&(contents(&file("src")) + &contents(&file("rootfs/etc"))));
    assert!(used.is_superset(&settings) && used.contains("HERMES_VENV"), "{used:?}");
    for (name, by) in [
        ("NO_COLOR", "src/render/mod.rs"),
        ("TERM", "src/render/mod.rs"),
        ("TZ", "src/settings.rs"),
    ] {
        assert!(fs::read_to_string(file(by)).unwrap().contains(&format!("\"{name}\"")), "{name}");
        used.insert(name.into());
    }
    assert_eq!(items(&source(".Sh ENVIRONMENT"), "Ev "), used, "page and program");
}

#[test]
fn defaults_are_those_of_the_program() {
    let environment = source(".Sh ENVIRONMENT");
    let limits = Limits::default();
    let (root, user) = (Tree::Root, Tree::User);
    for (name, default) in [
        ("HERMES_GW_BACKOFF_FIRST", limits.first.as_secs().to_string()),
        ("HERMES_GW_BACKOFF_MAX", limits.longest.as_secs().to_string()),
        ("HERMES_GW_BACKOFF_RESET", limits.steady.as_secs().to_string()),
        ("HERMES_GW_EARLY_EXIT", limits.early.as_secs().to_string()),
        ("HERMES_GW_PARK_WINDOW", limits.window.as_secs().to_string()),
        ("HERMES_GW_PARK_DEATHS", limits.deaths.to_string()),
        (
            "HERMES_GW_SERVICES_MAX",
            format!("{}, in the user tree {}", root.services_max(), user.services_max()),
        ),
        (
            "S6_PROFILE_GATEWAY_SCANDIR",
            format!(".Pa {} , in the user tree .Pa {}", root.path(), user.path()),
        ),
    ] {
        let (_, item) = environment.split_once(&format!(".It Ev {name}\n")).unwrap();
        let item = item.split(".It").next().unwrap().replace('\n', " ");
        let said = item.split_once("By default ").unwrap().1;
        let after = said.strip_prefix(&default).unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(!after.starts_with(|c: char| c.is_ascii_alphanumeric()), "{name}: {said}");
    }
}

#[test]
fn exit_codes_are_those_of_the_program() {
    // Each kind of error has one: "Kind::Usage => 100,".
    let errors = fs::read_to_string(file("src/error.rs")).unwrap();
    let code = |line: &str| line.trim().strip_suffix(',')?.split_once(" => ")?.1.parse::<u8>().ok();
    let mut codes: Names = errors.lines().filter_map(code).map(|code| code.to_string()).collect();
    assert!(codes.len() > 5, "{codes:?}");
    codes.insert("0".into());
    let told = source(".Sh EXIT STATUS");
    let told = told.lines().filter_map(|line| line.strip_prefix(".It "));
    assert_eq!(told.map(String::from).collect::<Names>(), codes);
    // finish has its own.
    codes.insert("125".into());
    for command in cli::commands() {
        for statement in statements(help::text(Some(command))) {
            let Some((_, list)) = statement.split_once("Exit codes") else { continue };
            let list = list.split_once(": ").unwrap().1;
            for code in list.split(", ").filter_map(|it| it.split([' ', '.']).next()) {
                let is_number = code.starts_with(|c: char| c.is_ascii_digit());
                assert!(!is_number || codes.contains(code), "{command}: {code}");
            }
        }
    }
}

#[test]
fn the_keys_of_status_are_those_that_it_prints() {
    let report = Report::new(Profile::Default, State::Up, String::new());
    let json = render::report::json(&report, "root", Duration::ZERO);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    let keys: Names = row.as_object().unwrap().keys().cloned().collect();
    assert_eq!(items(&source(".Sh JSON"), "Va "), keys);
}

#[test]
fn whatever_rootfs_installs_is_named() {
    let root = file("rootfs");
    let named = items(&source(".Sh FILES"), "Pa ");
    let installed = run(Command::new("find").arg(&root).args(["!", "-type", "d"]));
    assert!(installed.lines().count() > 10);
    for path in installed.lines() {
        let path = &path[root.to_str().unwrap().len()..];
        let names = |name: &String| match name.ends_with('/') {
            true => path.starts_with(name.as_str()),
            false => path == name,
        };
        assert!(named.iter().any(names), "{path}");
    }
}
