//! The machine, in words and numbers.

use std::fs;

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::utsname::uname,
    unistd::Pid,
};

/// What was measured on.
#[derive(Debug)]
pub struct Machine {
    /// Release of the kernel.
    pub kernel: String,
    /// Model of the CPU.
    pub cpu: String,
    /// Number of CPUs.
    pub cpus: usize,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let mut models = text.lines().filter_map(|line| line.strip_prefix("model name"));
        let model = models.next().map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
        let kernel = uname().map(|name| name.release().to_string_lossy().into_owned());
        Self {
            kernel: kernel.unwrap_or_default(),
            cpu: model.unwrap_or_else(|| "unknown CPU".to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// The last CPU that this thread may use.
pub fn cpu() -> Result<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("the CPUs that may be used")?;
    let mut usable = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    usable.next_back().context("no CPU may be used")
}

/// Stays on that CPU; threads and processes that are started do too.
pub fn settle() -> Result<()> {
    let mut one = CpuSet::new();
    one.set(cpu()?).context("naming a CPU")?;
    sched_setaffinity(Pid::from_raw(0), &one).context("staying on one CPU")
}

/// Lets this thread run on every CPU that the kernel allows.
pub fn anywhere() -> Result<()> {
    let mut all = CpuSet::new();
    (0..CpuSet::count()).try_for_each(|cpu| all.set(cpu)).context("naming the CPUs")?;
    sched_setaffinity(Pid::from_raw(0), &all).context("leaving the CPU")
}
