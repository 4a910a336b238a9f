//! Freeing a million expired entries (target 11), while traffic goes on beside them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Result, ensure};
use sg_agent::dataplane::Kernel;

use super::{
    Plan,
    entry::Entry,
    flows, machine,
    object::{Family, Program, Shot, cpu_time},
    policy::{self, Kind, Policy},
    rig::{Rig, Way, frame},
};
use crate::{
    interrupt,
    netns::Netns,
    packets::flag,
    progrun::{Hook, Programs},
};

const NAMES: [&str; 2] = ["sweep of 1,000,000 expired entries", "sweep beside traffic, of 1,000 live"];
const ENTRIES: u32 = 1_048_576;
const EXPIRED: u32 = 1_000_000;
const LIVE: u32 = 1_000;
const RULES: usize = 5_000;
/// ms.
const TARGET: f64 = 100.0;
/// How long an established connection lives; a half-open one lives for half as long.
const LIFETIME: u64 = 60;

/// What they are called.
pub fn names(plan: &Plan) -> Vec<String> {
    if plan.thorough() { NAMES.map(str::to_owned).to_vec() } else { Vec::new() }
}

/// Fills, lets time pass, sweeps. Every round two thirds of the live connections' lifetime pass, so that those that
/// traffic did not refresh would be gone after two.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    if names(plan).iter().all(|name| !plan.wants(name)) {
        return Ok(Vec::new());
    }
    plan.begin_together(&names(plan));
    let rig = Rig::with(Policy { rules: RULES, kind: Kind::Tcp }, &settings())?;
    flows::open(&rig, Family::V4, 0, LIVE)?;
    let traffic = Traffic::of(&rig);
    let counters = rig.counters();
    let (mut times, mut lost) = (Vec::new(), Vec::new());
    for _ in 0..plan.slow_rounds {
        interrupt::check()?;
        fill(&rig)?;
        let (time, gone) = traffic.beside(&counters.loaded.kernel)?;
        times.push(time);
        lost.push(f64::from(gone));
    }
    let mode = "sg_sweep, BPF_PROG_TEST_RUN";
    Ok(vec![
        Entry::limited(NAMES[0], "ms", &times, TARGET).about(11, mode, RULES),
        Entry::none(NAMES[1], "lost", &lost).about(11, mode, RULES),
    ])
}

fn settings() -> String {
    format!(
        "  conntrack: {{max_entries: {ENTRIES}, max_per_interface: {ENTRIES}}}
  timeouts: {{tcp_established: {LIFETIME}s, unidirectional: {}s}}
",
        LIFETIME / 2
    )
}

/// Opens a million connections that nobody answers.
fn fill(rig: &Rig) -> Result<()> {
    let draw = rig.policy.allowed(Family::V4);
    let shot = rig.shot(Program::Passes, Family::V4, Some(draw), flag::SYN, EXPIRED);
    rig.object.time(&Shot { times: EXPIRED - EXPIRED / 9, ..shot }).map(drop)
}

/// What refreshes the live connections.
struct Traffic {
    host: Netns,
    ifindex: u32,
    programs: Programs,
    /// A packet of each.
    frames: Vec<Vec<u8>>,
}

impl Traffic {
    fn of(rig: &Rig) -> Self {
        let draw = policy::flows(Family::V4, LIVE);
        let packet = |flow| frame(Family::V4, &draw.tuple(flow, 0, true), flag::ACK, Way::In);
        let frames = (0..LIVE).map(packet).collect();
        Self { host: rig.host.clone(), ifindex: rig.ifindex, programs: Programs::of(&rig.host), frames }
    }

    /// Sends a packet of every live connection, over and over until told to stop, at least once; how many of those
    /// connections are not there.
    fn refresh(&self, stop: &AtomicBool) -> u32 {
        self.host.enter(|| {
            loop {
                let passes = |frame: &&Vec<u8>| self.programs.passes_here(Hook::Xdp, self.ifindex, frame);
                let gone = self.frames.iter().filter(|frame| !passes(frame)).count() as u32;
                if gone > 0 || stop.load(Ordering::Relaxed) {
                    return gone;
                }
            }
        })
    }

    /// Lets the half-open connections expire and sweeps while packets of the live ones go on; ms of CPU time for
    /// [`EXPIRED`] entries, and how many live ones are gone.
    fn beside(&self, kernel: &Kernel) -> Result<(f64, u32)> {
        let control = kernel.control();
        kernel.set_clock_offset(control.clock_offset + LIFETIME * 2 / 3 * u64::from(control.hz));
        let [once, stop] = [true, false].map(AtomicBool::new);
        ensure!(self.refresh(&once) == 0, "live connections were gone before the sweep");
        let (spent, freed, gone) = thread::scope(|scope| {
            let traffic = scope.spawn(|| machine::anywhere().map(|()| self.refresh(&stop)));
            let before = cpu_time()?;
            let swept = kernel.sweep_all();
            let spent = (cpu_time()? - before) as f64 / 1e6;
            stop.store(true, Ordering::Relaxed);
            let gone = traffic.join().map_err(|_| anyhow::anyhow!("the traffic stopped"))??;
            Ok::<_, anyhow::Error>((spent, swept?.0, gone))
        })?;
        ensure!(freed >= u64::from(EXPIRED) * 99 / 100, "only {freed} entries were there to be freed");
        Ok((spent * f64::from(EXPIRED) / freed as f64, gone + self.refresh(&once)))
    }
}
