//! How fast the dataplane is, as ratios taken in one run.
//!
//! **Programs alone** (`established`, `rules`). The programs that `sg-agent apply` has put in force on a host, with
//! its maps, through `BPF_PROG_TEST_RUN`: many runs per call, by the CPU time of the calling thread, pinned to one CPU.
//! The same loop around a trivial program is subtracted: what remains is the program's own time, and a ratio is one of
//! two such remainders.
//!
//! A test run repeats one packet, which would leave nothing to the caches but hits. So a program of the bench draws a
//! tuple, writes it into the frame and hands it on by a tail call: to sg, to a reference, or to the trivial program,
//! whose time then includes the drawing, so that subtracting it subtracts both. The tuple is written in the words that
//! the programs read, or the loads would wait for the stores. Packets of a single flow are not drawn: there is only one.
//!
//! Reference programs parse a TCP packet and make one look-up: in sg's own tables with the same entries in them, and in
//! the kernel's hash map with the same keys. Rule sets are held against one of ten rules.
//!
//! **End to end** (`endtoend`). Generated packets through veth devices, the host's routing and a firewall to a guest,
//! all on one CPU, by the CPU time of everything (`generator`). nftables has the same policy, written as its users do
//! (`firewalls`).
//!
//! **Memory and control** (`memory`, `apply`). What the kernel has charged; the clock on the wall.
//!
//! **Noise.** Contenders take turns; every number is the median of the rounds, with the minimum and the quartiles beside
//! it.

use anyhow::{Result, bail};
use std::path::PathBuf;

use crate::netns::Netns;

mod apply;
mod endtoend;
mod established;
mod firewalls;
mod flows;
mod generator;
mod machine;
mod memory;
mod object;
mod policy;
mod report;
mod rig;
mod rules;
mod sample;

pub use report::{Entry, Spread};

/// The bench's command line.
#[derive(clap::Parser, Debug)]
#[command(name = "sg-bench", about = "Measures the dataplane on this machine")]
pub struct Options {
    /// Under a minute: the programs alone, fewer rounds, no 100,000 rules
    #[arg(long)]
    quick: bool,
    /// Write the measurements as JSON, to this file or instead of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    json: Option<Option<PathBuf>>,
    /// Only measurements whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// How thoroughly to measure, and what.
#[derive(Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Packets per sample.
    pub packets: u32,
    /// Numbers of rules that are held against ten.
    pub rules: Vec<usize>,
    quick: bool,
    only: Option<String>,
}

impl Plan {
    fn of(options: &Options) -> Self {
        let (rounds, packets, rules) =
            if options.quick { (9, 100_000, vec![5_000]) } else { (21, 300_000, vec![5_000, 100_000]) };
        Self { rounds, packets, rules, quick: options.quick, only: options.only.clone() }
    }

    /// Whether there is more time than a minute.
    pub const fn thorough(&self) -> bool {
        !self.quick
    }

    /// Whether a measurement of this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|part| name.contains(part))
    }
}

/// Measures, and says what came of it.
///
/// # Errors
/// If something that is needed is missing: root, the agent, the bench's BPF object.
pub fn run(options: &Options) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("loading BPF programs and making network namespaces needs root");
    }
    let machine = machine::Machine::here();
    machine::settle()?;
    let plan = Plan::of(options);
    let mut entries = Vec::new();
    for measure in
        [floor, established::measure, rules::measure, memory::measure, endtoend::measure, apply::measure]
    {
        entries.extend(measure(&plan)?);
    }
    if entries.is_empty() {
        bail!("no measurement has such a name");
    }
    report::publish(&machine, &entries, options.json.as_ref())
}

/// The trivial program.
fn floor(plan: &Plan) -> Result<Vec<Entry>> {
    if !plan.wants("floor") {
        return Ok(Vec::new());
    }
    let host = Netns::new();
    let object = object::Object::load(&host)?;
    let shot = object::Shot {
        program: object::Program::Floor,
        family: object::Family::V4,
        draw: None,
        frame: vec![0; 64],
        ifindex: 0,
        times: plan.packets,
    };
    let mut series = sample::rounds(plan.rounds, &[()], |()| object.time(&shot))?;
    Ok(vec![Entry::alone("floor: trivial program", Spread::of(&series.remove(0)))])
}
