//! What there is in the kernel and in the process, counted before and after.

use std::{collections::BTreeMap, fmt, fs, path::Path, thread, time::Duration};

use crate::netns::Netns;
use crate::progrun;

/// Things by name, and how many there are.
#[derive(Clone, Debug, Default)]
pub struct Census {
    counts: BTreeMap<&'static str, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    number: u64,
    /// How much more there may be at the end.
    slack: u64,
}

/// A count, before and after.
#[derive(Clone, Debug)]
pub struct Compared {
    name: &'static str,
    before: u64,
    after: u64,
    slack: u64,
}

/// What a process may take more than at first without a leak: an allocator keeps what was once needed.
const MEMORY_SLACK_KIB: u64 = 16 << 10;

/// Looks at the descriptors of a process, and what lies between them.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(20);

impl Census {
    /// What the kernel holds, of everybody: BPF objects where `alone`, the taint of the kernel, kept namespaces.
    pub fn of_kernel(alone: bool) -> Self {
        let mut census = Self::default();
        if alone {
            census.put("BPF programs", aya::programs::loaded_programs().count() as u64, 0);
            census.put("BPF maps", aya::maps::loaded_maps().count() as u64, 0);
            census.put("BPF links", aya::programs::loaded_links().count() as u64, 0);
        }
        let taint = fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_default();
        census.put("kernel taint", taint.trim().parse().unwrap_or_default(), 0);
        census
    }

    /// What the daemon `process` holds on `host`, with what is pinned and remembered there.
    pub fn of_service(host: &Netns, process: u32, state: &Path) -> Self {
        let mut census = Self::default();
        let proc = Path::new("/proc").join(process.to_string());
        census.put("daemon's descriptors", descriptors(&proc), 0);
        census.put("daemon's memory, KiB", resident(&proc), MEMORY_SLACK_KIB);
        let pins = progrun::pins(host);
        census.put("pins", entries(&pins), 0);
        census.put("pinned links", entries(&pins.join("links")), 0);
        census.put("files of the state", entries(state), 2);
        census
    }

    /// Nothing is pinned on `host` any more: otherwise a count that is not 0.
    pub fn left_behind(host: &Netns) -> Compared {
        let left = progrun::pins(host).parent().map(entries).unwrap_or_default();
        Compared { name: "pins left behind", before: 0, after: left, slack: 0 }
    }

    /// Each count beside the later one.
    pub fn compared_with(&self, later: &Self) -> Vec<Compared> {
        let after = |name| later.counts.get(name).map_or(0, |count| count.number);
        let pair = |(name, count): (&&'static str, &Count)| Compared {
            name,
            before: count.number,
            after: after(*name),
            slack: count.slack,
        };
        self.counts.iter().map(pair).collect()
    }

    fn put(&mut self, name: &'static str, number: u64, slack: u64) {
        self.counts.insert(name, Count { number, slack });
    }
}

impl Compared {
    /// Whether there is not more than before.
    pub fn is_well(&self) -> bool {
        self.after <= self.before + self.slack
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, before, after, .. } = self;
        let word = if self.is_well() { "" } else { "  MORE" };
        write!(to, "{:>10}  {name:<32} {before:>12} -> {after}{word}", "census")
    }
}

fn entries(directory: &Path) -> u64 {
    fs::read_dir(directory).map_or(0, |entries| entries.count() as u64)
}

/// The least of some looks: what asks the kernel for the devices, each second, has a socket open for a moment.
fn descriptors(proc: &Path) -> u64 {
    let look = |_| {
        thread::sleep(LOOK);
        entries(&proc.join("fd"))
    };
    (0..LOOKS).map(look).min().unwrap_or_default()
}

/// `VmRSS` of proc_pid_status(5).
fn resident(proc: &Path) -> u64 {
    let status = fs::read_to_string(proc.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_before_is_not_well() {
        let census = |number| {
            let mut census = Census::default();
            census.put("links", number, 0);
            census.put("memory", number, 2);
            census
        };
        let well = |after| {
            let compared = census(5).compared_with(&census(after));
            compared.iter().map(Compared::is_well).collect::<Vec<_>>()
        };
        assert_eq!(well(5), [true, true]);
        assert_eq!(well(6), [false, true]);
        assert_eq!(well(8), [false, false]);
        assert_eq!(well(4), [true, true]);
    }

    #[test]
    fn a_process_has_memory_and_descriptors() {
        let proc = Path::new("/proc/self");
        assert!(resident(proc) > 100, "{}", resident(proc));
        assert!(entries(&proc.join("fd")) > 2);
    }
}
