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
//! the kernel's hash map with the same keys. Rule sets are held against one of ten rules. Other programs look a key up,
//! insert it or remove it, in sg's own table and in the kernel's maps (`designs`).
//!
//! **End to end** (`endtoend`). Generated packets through veth devices, the host's routing and a firewall to a guest,
//! all on one CPU, by the CPU time of everything (`generator`). nftables has the same policy, written as its users do
//! (`firewalls`).
//!
//! **Memory and control** (`memory`, `apply`). What the kernel has charged; the clock on the wall.
//!
//! **Noise.** Contenders take turns; every number is the median of the rounds, with the minimum and the quartiles beside
//! it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::netns::Netns;

mod apply;
mod bulk;
mod classbench;
mod designs;
mod endtoend;
mod entry;
mod established;
mod firewalls;
mod floods;
mod flows;
mod generate;
mod generator;
mod hooks;
mod machine;
mod memory;
mod object;
mod paths;
mod plan;
mod plots;
mod policy;
mod report;
mod rig;
mod rules;
mod sample;
mod sets;
mod shot;
mod sweep;
mod tables;

pub use entry::{Entry, Spread};
pub use plan::Plan;

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
    /// Rounds of every measurement, instead of as many as make the medians steady
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// List the names of the measurements
    #[arg(long)]
    list: bool,
    /// Draw the measurements as SVG into this directory
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Measure a ClassBench rule set, and judge packets by brute force
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    classbench: Option<PathBuf>,
    /// Write a generated rule set: acl, fw or ipc, and how many rules
    #[arg(long, value_name = "KIND:N", requires = "out")]
    generate: Option<generate::Wanted>,
    /// Where a generated rule set goes
    #[arg(long, value_name = "FILE", requires = "generate")]
    out: Option<PathBuf>,
}

/// Measurements that share what they run on.
struct Suite {
    /// What they are called.
    names: fn(&Plan) -> Vec<String>,
    /// Takes those that are wanted.
    measure: fn(&Plan) -> Result<Vec<Entry>>,
}

const SUITES: [Suite; 14] = [
    Suite { names: |_| vec![FLOOR.to_owned()], measure: floor },
    Suite { names: established::names, measure: established::measure },
    Suite { names: designs::names, measure: designs::measure },
    Suite { names: rules::names, measure: rules::measure },
    Suite { names: tables::names, measure: tables::measure },
    Suite { names: paths::names, measure: paths::measure },
    Suite { names: sets::names, measure: sets::measure },
    Suite { names: memory::names, measure: memory::measure },
    Suite { names: endtoend::names, measure: endtoend::measure },
    Suite { names: hooks::names, measure: hooks::measure },
    Suite { names: bulk::names, measure: bulk::measure },
    Suite { names: apply::names, measure: apply::measure },
    Suite { names: sweep::names, measure: sweep::measure },
    Suite { names: floods::names, measure: floods::measure },
];

/// Measures, and says what came of it.
///
/// # Errors
/// If something that is needed is missing: root, the agent, the bench's BPF object.
pub fn run(options: &Options) -> Result<()> {
    let plan = Plan::new(options.quick, options.only.clone(), options.rounds.map(usize::from));
    if let (Some(wanted), Some(file)) = (&options.generate, &options.out) {
        return std::fs::write(file, wanted.text()).with_context(|| format!("writing {}", file.display()));
    }
    let names: Vec<String> = SUITES.iter().flat_map(|suite| (suite.names)(&plan)).collect();
    if options.list {
        names.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("loading BPF programs and making network namespaces needs root");
    }
    let machine = machine::Machine::here();
    machine::settle()?;
    let entries = match &options.classbench {
        Some(file) => sets::of_file(&plan, file)?,
        None => {
            plan.expect(names.iter().filter(|name| plan.wants(name)).count());
            let measured: Result<Vec<Vec<Entry>>> =
                SUITES.iter().map(|suite| (suite.measure)(&plan)).collect();
            measured?.concat()
        }
    };
    if entries.is_empty() {
        bail!("no measurement has such a name; `--list` shows them");
    }
    if let Some(directory) = &options.plots {
        plots::write(&entries, directory)?;
    }
    report::publish(&machine, &entries, options.json.as_ref())
}

const FLOOR: &str = "floor: trivial program";

/// The trivial program.
fn floor(plan: &Plan) -> Result<Vec<Entry>> {
    if !plan.wants(FLOOR) {
        return Ok(Vec::new());
    }
    plan.begin(FLOOR);
    let host = Netns::new();
    let object = object::Object::load(&host)?;
    let shot = object::Shot {
        program: object::Program::Floor,
        family: object::Family::V4,
        draw: None,
        traced: false,
        frame: vec![0; 64],
        ifindex: 0,
        times: plan.packets,
    };
    let mut series = sample::rounds(plan.rounds, &[()], |()| object.time(&shot))?;
    Ok(vec![Entry::alone(FLOOR, "ns", Spread::of(&series.remove(0))).about(0, object::MODE, 0)])
}
