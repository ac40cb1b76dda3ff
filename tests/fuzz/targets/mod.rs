//! What is fuzzed: a function for each kind of input, which panics where something is wrong.
//!
//! It is a part of the crate, so that it reaches what is private, but only of the unit tests,
//! which run each target over its corpus, and of what `make fuzz` builds.

mod hermes;
mod peers;
mod s6;
mod system;
mod words;
mod zone;

use std::sync::OnceLock;

/// Takes an input.
type Target = fn(&[u8]);

/// All targets; each has a directory of its name in tests/fuzz/corpus.
const TARGETS: [(&str, Target); 12] = [
    ("command_line", words::command_line),
    ("config", hermes::config),
    ("death_tally", s6::death_tally),
    ("dotenv", hermes::dotenv),
    ("environment", system::environment),
    ("log", s6::log),
    ("quote", words::quote),
    ("role", system::role),
    ("state_file", hermes::state_file),
    ("status", s6::status),
    ("users", system::users),
    ("zone", zone::zone),
];

/// Hands `data` to the target that HERMES_GW_FUZZ names.
pub fn run(data: &[u8]) {
    static TARGET: OnceLock<Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let asked = std::env::var("HERMES_GW_FUZZ").unwrap_or_default();
        let found = TARGETS.iter().find(|(name, _)| *name == asked);
        found.unwrap_or_else(|| panic!("HERMES_GW_FUZZ names no target: {asked:?}")).1
    });
    target(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn each_target_holds_over_its_corpus() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        assert_eq!(fs::read_dir(&corpora).unwrap().count(), TARGETS.len());
        for (name, target) in TARGETS {
            let mut count = 0;
            for file in fs::read_dir(corpora.join(name)).unwrap() {
                let file = file.unwrap().path();
                // What panics tells what was wrong, and this where.
                let _print = PrintOnPanic(&file);
                target(&fs::read(&file).unwrap());
                count += 1;
            }
            assert!((5..100).contains(&count), "{name}: {count}");
        }
    }

    struct PrintOnPanic<'a>(&'a Path);

    impl Drop for PrintOnPanic<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input is {}", self.0.display());
            }
        }
    }
}
