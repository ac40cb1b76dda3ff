//! What gateways cost: the memory and the time of their processes.

/// What one process has, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// How many there are.
    pub(crate) processes: u64,
    /// What of them is in memory, in bytes. What several share counts for each of them.
    pub(crate) memory: u64,
    /// How long they ran, in hundredths of a second, their children that have ended included.
    pub(crate) cpu: u64,
}

impl Usage {
    /// How long they ran, in whole seconds.
    pub(crate) fn cpu_seconds(&self) -> u64 {
        self.cpu / 100
    }

    fn add(&mut self, other: Usage) {
        self.processes += other.processes;
        self.memory = self.memory.wrapping_add(other.memory);
        self.cpu = self.cpu.wrapping_add(other.cpu);
    }
}

/// A process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    pub(crate) parent: u64,
    /// What it has alone.
    pub(crate) own: Usage,
    /// What it has with all that are below it.
    pub(crate) all: Usage,
}

/// What has more ancestors than this counts for the nearest ones. A list that was made while
/// pids were given again may also have a circle in it.
const GENERATIONS: usize = 64;

/// All processes, by their pids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processes(Vec<Process>);

impl Processes {
    /// Adds up what each of `all`, which are sorted by their pids, has with those below it.
    #[inline(never)]
    pub(crate) fn new(all: Vec<Process>) -> Processes {
        let mut it = Processes(all);
        for at in 0..it.0.len() {
            let Process { own, mut parent, .. } = it.0[at];
            for _ in 0..GENERATIONS {
                let Some(above) = it.find(parent) else { break };
                it.0[above].all.add(own);
                parent = it.0[above].parent;
            }
        }
        it
    }

    #[inline(never)]
    fn find(&self, pid: u64) -> Option<usize> {
        self.0.binary_search_by(|it| it.pid.cmp(&pid)).ok()
    }

    /// What the process `pid` has with all that are below it, if it is one of them.
    pub(crate) fn of(&self, pid: u64) -> Option<Usage> {
        self.find(pid).map(|at| self.0[at].all)
    }
}

/// So many bytes as people read them: `412M`, `1.2G`.
pub(crate) fn size(bytes: u64) -> String {
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) >> 10, 0);
    // What would have four digits has less of the next unit.
    while tenths >= 10_000 && unit < 3 {
        tenths >>= 10;
        unit += 1;
    }
    let mut text = (tenths / 10).to_string();
    if tenths < 100 {
        text.push('.');
        text.push(char::from(b'0' + (tenths % 10) as u8));
    }
    text.push(char::from(b"KMGT"[unit]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process((pid, parent, memory): (u64, u64, u64)) -> Process {
        let own = Usage { processes: 1, memory, cpu: memory * 2 };
        Process { pid, parent, own, all: own }
    }

    #[test]
    fn each_has_what_is_below_it() {
        // pid, parent, memory: two gateways below a supervisor each, one with a grandchild that
        // has a smaller pid than its parent.
        let all =
            [(1, 0, 1), (5, 9, 2), (7, 1, 4), (8, 7, 8), (9, 8, 16), (20, 1, 32), (21, 20, 64)];
        let processes = Processes::new(all.map(process).to_vec());
        let table = [
            (8, Some((3, 26))),
            (21, Some((1, 64))),
            (9, Some((2, 18))),
            (1, Some((7, 127))),
            (2, None),
            (0, None),
        ];
        for (pid, expected) in table {
            let got = processes.of(pid);
            assert_eq!(got.map(|it| (it.processes, it.memory)), expected, "{pid}");
            assert!(got.is_none_or(|it| it.cpu == it.memory * 2), "{pid}");
        }
        assert_eq!(Processes::new(Vec::new()).of(1), None);
    }

    #[test]
    fn a_circle_or_a_long_row_ends() {
        let circle = Processes::new([(2, 3, 1), (3, 2, 1)].map(process).to_vec());
        assert!(circle.of(2).unwrap().processes > 1);
        let row: Vec<_> = (1..=1000).map(|pid| process((pid, pid - 1, 1))).collect();
        let row = Processes::new(row);
        assert_eq!(row.of(990).unwrap().processes, 11);
        assert_eq!(row.of(1).unwrap().processes, 1 + GENERATIONS as u64);
    }

    #[test]
    fn sizes_have_three_digits_at_most() {
        let table = [
            (0, "0.0K"),
            (999, "0.9K"),
            (1024, "1.0K"),
            (10_240, "10K"),
            (999 << 10, "999K"),
            (1000 << 10, "0.9M"),
            (412 << 20, "412M"),
            ((1 << 30) + (205 << 20), "1.2G"),
            (9 << 30, "9.0G"),
            (10 << 30, "10G"),
            (3 << 40, "3.0T"),
        ];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_size_has_a_text(bytes: u64) {
            prop_assert!(size(bytes).len() <= 9);
        }

        #[test]
        fn the_root_of_any_tree_has_all(parents in proptest::collection::vec(any::<prop::sample::Index>(), 0..40)) {
            let mut all = vec![process((1, 0, 7))];
            for (at, parent) in parents.iter().enumerate() {
                all.push(process((at as u64 + 2, 1 + parent.index(at + 1) as u64, 7)));
            }
            let count = all.len() as u64;
            let root = Processes::new(all).of(1).unwrap();
            prop_assert_eq!(root, Usage { processes: count, memory: 7 * count, cpu: 14 * count });
        }
    }
}
