//! The `sg-agent` binary, run inside a host's namespace, and what its JSON says.

mod json;

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde::de::DeserializeOwned;
use sg_agent::{
    dataplane::{Loaded, Options, Place},
    metrics::{InForce, Totals},
};
use tempfile::TempDir;

use crate::{counters::Counters, netns::Netns};
pub use json::{
    Capacity, DirectionCounts, End, Explained, InterfaceCounts, InterfaceStatus, RuleHits, Stats, Status,
    TableStatus, Tracked,
};

/// The agent of one host. What it loaded is unloaded on drop.
#[derive(Debug)]
pub struct Agent {
    host: Netns,
    files: TempDir,
}

/// What a run of the agent came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// Exit status; -1 if a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Agent {
    /// The agent of `host`. Nothing is loaded yet.
    pub fn new(host: &Netns) -> Self {
        Self { host: host.clone(), files: TempDir::new().expect("a temporary directory") }
    }

    /// Runs the agent.
    ///
    /// # Panics
    /// If there is no agent to run.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_by(Command::new(binary()), arguments)
    }

    /// Runs the agent by `command`, which is the agent or one that runs what it is given.
    #[track_caller]
    pub fn run_by(&self, mut command: Command, arguments: &[&str]) -> Run {
        command.arg("--state-dir").arg(self.state_dir()).args(arguments);
        // Ctrl-C is for whoever runs the agent: it must be able to unload still.
        command.process_group(0);
        let output = self.host.output(&mut command);
        Run {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The host that it is the agent of.
    pub fn host(&self) -> &Netns {
        &self.host
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.files.path()
    }

    /// Where it remembers what is in force.
    pub fn state_dir(&self) -> PathBuf {
        self.files.path().join("state")
    }

    /// Writes a file beside the policy, such as one that an address group names.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files.path().join(name);
        fs::write(&path, text).expect("writing to a temporary directory");
        path
    }

    /// Applies the policy in `text`, whatever comes of it.
    #[track_caller]
    pub fn try_apply(&self, text: &str) -> Run {
        let path = self.write("policy.yaml", text);
        self.run(&["apply", &path.to_string_lossy()])
    }

    /// Applies the policy in `text`.
    ///
    /// # Panics
    /// If the agent refuses it.
    #[track_caller]
    pub fn apply(&self, text: &str) {
        let run = self.try_apply(text);
        assert_eq!(run.status, 0, "sg-agent apply: {}{}", run.stdout, run.stderr);
    }

    /// What a read command says with `--json`.
    ///
    /// # Panics
    /// If it fails or says something of another shape.
    #[track_caller]
    pub fn read<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let run = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(run.status, 0, "sg-agent {}: {}", arguments.join(" "), run.stderr);
        serde_json::from_str(&run.stdout)
            .unwrap_or_else(|error| panic!("sg-agent {}: {error} in {}", arguments.join(" "), run.stdout))
    }

    /// `status`
    #[track_caller]
    pub fn status(&self) -> Status {
        self.read(&["status"])
    }

    /// `rules`
    #[track_caller]
    pub fn rules(&self) -> Vec<RuleHits> {
        self.read(&["rules"])
    }

    /// `conntrack list`
    #[track_caller]
    pub fn connections(&self) -> Vec<Tracked> {
        self.read(&["conntrack", "list"])
    }

    /// `stats`
    #[track_caller]
    pub fn stats(&self) -> Stats {
        self.read(&["stats"])
    }

    /// `explain` with these options.
    #[track_caller]
    pub fn explain(&self, options: &str) -> Explained {
        let arguments: Vec<&str> = ["explain"].into_iter().chain(options.split_whitespace()).collect();
        self.read(&arguments)
    }

    /// Does `work` and says which drop counters moved meanwhile, and by how much.
    #[track_caller]
    pub fn drops_during(&self, work: impl FnOnce()) -> Vec<Drops> {
        let mut watch = self.watch();
        work();
        watch.moved()
    }

    /// Watches the drop counters from now on.
    #[track_caller]
    pub fn watch(&self) -> Watch<'_> {
        Watch { agent: self, seen: self.stats().drops() }
    }

    /// Does `work`, during which exactly one packet is dropped, on `interface`, for `reason`, and which leaves the
    /// connection table as it was.
    #[track_caller]
    pub fn expect_drop(&self, interface: &str, direction: &'static str, reason: &str, work: impl FnOnce()) {
        let counters = self.counters();
        let before = counters.read();
        work();
        let after = counters.read();
        let expected =
            Drops { interface: interface.to_owned(), direction, reason: reason.to_owned(), count: 1 };
        assert_eq!(after.drops_since(&before), [expected]);
        assert!(after.adds_no_entry_to(&before), "a dropped packet made an entry: {before:?}, {after:?}");
    }

    /// What the dataplane counts, under the policy in force.
    ///
    /// # Panics
    /// If none is.
    #[track_caller]
    pub fn counters(&self) -> Counters {
        Counters::open(&self.host, &self.options())
    }

    /// What metrics are made of, with at most `most_rules` rules.
    ///
    /// # Panics
    /// If nothing is in force.
    #[track_caller]
    pub fn in_force(&self, totals: &mut Totals, most_rules: usize) -> InForce {
        let options = self.options();
        let read = self.host.enter(|| {
            let loaded = Loaded::open(&options)?;
            InForce::read(&loaded, &Place::find(&options)?, totals, most_rules)
        });
        read.unwrap_or_else(|error| panic!("{error}"))
    }

    /// What an agent that starts now knows of interfaces that are gone.
    #[track_caller]
    pub fn recalled(&self) -> Totals {
        let place = self.host.enter(|| Place::find(&self.options()));
        Totals::restore(&place.unwrap_or_else(|error| panic!("{error}")))
    }

    /// The options that the library needs to do what the binary does.
    pub fn options(&self) -> Options {
        Options { bpffs: "/sys/fs/bpf".into(), state_dir: self.state_dir() }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let run = self.run(&["unload"]);
        // 3: nothing was loaded.
        if !matches!(run.status, 0 | 3) {
            eprintln!("sg-agent unload: {}", run.stderr);
        }
    }
}

/// The binary: `$SG_AGENT`, else the one in the target directory that this program was built into.
pub fn binary() -> PathBuf {
    if let Some(given) = env::var_os("SG_AGENT") {
        return given.into();
    }
    let program = env::current_exe().expect("the path of the running program");
    let built = |directory: &Path| directory.join("release/sg-agent");
    let found = program.ancestors().map(built).find(|candidate| candidate.is_file());
    found.expect("no sg-agent: run `cargo xtask build`, or name one in SG_AGENT")
}

/// The drop counters, as they were when last looked at.
#[derive(Debug)]
pub struct Watch<'a> {
    agent: &'a Agent,
    seen: BTreeMap<(String, &'static str, String), u64>,
}

impl Watch<'_> {
    /// Which counters moved since the last look, and by how much.
    #[track_caller]
    pub fn moved(&mut self) -> Vec<Drops> {
        let now = self.agent.stats().drops();
        let before = std::mem::replace(&mut self.seen, now);
        let moved =
            self.seen.iter().map(|(place, count)| (place.clone(), count - before.get(place).unwrap_or(&0)));
        moved
            .filter(|(_, count)| *count > 0)
            .map(|((interface, direction, reason), count)| Drops { interface, direction, reason, count })
            .collect()
    }
}

/// Packets dropped in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops {
    /// Interface.
    pub interface: String,
    /// `ingress` or `egress`.
    pub direction: &'static str,
    /// Reason.
    pub reason: String,
    /// How many.
    pub count: u64,
}
