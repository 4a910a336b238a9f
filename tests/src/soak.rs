//! Long runs: a host with the daemon on it, traffic that must pass, traffic that must not, random policies, kills,
//! restarts, broken files, interfaces that come and go; compared with the model throughout, and everything counted
//! before and after.
//!
//! Two hosts run at once, each in a namespace with a daemon of its own. On the **judged** host ([`judged`]) the clock is
//! the test's: random sequences of packets and policies, each verdict, counter and table compared with the model. On the
//! **living** host ([`living`]) time is real and so are the sockets: connections that are held all the while, new ones,
//! datagrams that must never arrive, devices that are made, renamed and removed.
//!
//! | module | is |
//! |---|---|
//! | [`service`] | the daemon, started, killed, told and watched |
//! | [`judged`] | sequences against the model, policies through the daemon |
//! | [`living`] | the living host and its actors |
//! | [`actors`] | who sends what on the living host |
//! | [`trouble`] | what is done to the daemon meanwhile |
//! | [`census`] | what there is in the kernel and in the process |
//! | [`tally`] | what was done and what went wrong |

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{interrupt, random};

mod actors;
mod census;
mod judged;
mod living;
mod service;
mod tally;
mod trouble;

pub use census::{Census, Compared};
pub use service::Service;
pub use tally::Tally;

/// The soak's command line.
#[derive(clap::Parser, Debug)]
#[command(name = "sg-soak", about = "Runs the daemon under mixed traffic, kills and changes for a long time")]
pub struct Options {
    /// How long
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// What the random choices begin with; `SG_SEED` says the same
    #[arg(long)]
    seed: Option<u64>,
    /// Count the kernel's programs, maps and links of everybody too: nothing else may use BPF meanwhile
    #[arg(long)]
    alone: bool,
}

/// How long, and what chances.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Duration.
    pub time: Duration,
    /// What the random choices begin with.
    pub seed: u64,
    /// Whether nobody else uses BPF on this machine.
    pub alone: bool,
    /// How often a line says how far it is.
    pub report: Duration,
}

/// What a soak came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was done and what went wrong.
    pub tally: Arc<Tally>,
    /// What was counted before and after.
    pub census: Vec<Compared>,
    took: Duration,
    seed: u64,
}

/// When to stop.
#[derive(Clone, Debug)]
pub(crate) struct Until {
    end: Instant,
    told: Arc<AtomicBool>,
}

impl Until {
    /// In so long.
    pub fn after(time: Duration) -> Self {
        Self { end: Instant::now() + time, told: Arc::default() }
    }

    /// Whether there is time for more.
    pub fn goes_on(&self) -> bool {
        !self.told.load(Ordering::Relaxed) && Instant::now() < self.end
    }

    /// Waits, but not beyond the end.
    pub fn pause(&self, time: Duration) {
        let wake = Instant::now() + time;
        while self.goes_on() && Instant::now() < wake {
            thread::sleep(Duration::from_millis(20).min(wake.saturating_duration_since(Instant::now())));
        }
    }
}

/// Runs it and says what came of it; whether all is well.
///
/// # Errors
/// Without root, or when a signal has come.
pub fn run(options: &Options) -> Result<bool> {
    if !nix::unistd::geteuid().is_root() {
        bail!("loading BPF programs and making network namespaces needs root");
    }
    if !(options.hours.is_finite() && options.hours > 0.0) {
        bail!("--hours: more than 0");
    }
    let outcome = soak(Plan {
        time: Duration::from_secs_f64(options.hours * 3600.0),
        seed: options.seed.unwrap_or_else(random::seed),
        alone: options.alone,
        report: Duration::from_secs(10),
    })?;
    print!("{outcome}");
    Ok(outcome.is_well())
}

/// Runs it.
///
/// # Errors
/// When a signal has come.
///
/// # Panics
/// If the hosts cannot be made.
pub fn soak(plan: Plan) -> Result<Outcome> {
    let start = Instant::now();
    let tally = Arc::new(Tally::default());
    let until = Until::after(plan.time);
    let before = Census::of_kernel(plan.alone);
    let mut census = thread::scope(|scope| {
        let judged = scope.spawn(|| judged::run(plan.seed, &until, &tally));
        let living = scope.spawn(|| living::run(plan.seed ^ 1, &until, &tally));
        let interrupted = watch(plan.report, start, &until, &tally);
        until.told.store(true, Ordering::Relaxed);
        let mut census = joined(judged.join());
        census.extend(joined(living.join()));
        interrupted.map(|()| census)
    })?;
    census.extend(before.compared_with(&Census::of_kernel(plan.alone)));
    Ok(Outcome { tally, census, took: start.elapsed(), seed: plan.seed })
}

fn joined<T>(done: thread::Result<T>) -> T {
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Says how far it is until the end.
fn watch(every: Duration, start: Instant, until: &Until, tally: &Tally) -> Result<()> {
    let mut next = start + every;
    while until.goes_on() {
        interrupt::check().inspect_err(|_| until.told.store(true, Ordering::Relaxed))?;
        thread::sleep(Duration::from_millis(50));
        if Instant::now() >= next {
            next += every;
            eprintln!("{:>6} s  {}", start.elapsed().as_secs(), tally.line());
        }
    }
    Ok(())
}

impl Outcome {
    /// Whether nothing went wrong and nothing was left behind.
    pub fn is_well(&self) -> bool {
        self.tally.faults().is_empty() && self.census.iter().all(Compared::is_well)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.took.as_secs();
        writeln!(to, "soak: {} min {} s, SG_SEED={}", seconds / 60, seconds % 60, self.seed)?;
        write!(to, "{}", self.tally)?;
        for one in &self.census {
            writeln!(to, "{one}")?;
        }
        for fault in self.tally.faults() {
            writeln!(to, "FAULT: {fault}")?;
        }
        let word = if self.is_well() { "well: nothing lost, nothing leaked" } else { "NOT well" };
        writeln!(to, "{word}")
    }
}
