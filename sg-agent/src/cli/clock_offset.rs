//! `sg-agent clock-offset SECONDS`: moves the clock of the kernel side, for tests.

use std::process::ExitCode;

use crate::dataplane::{Loaded, Options};

/// Move the kernel side's clock ahead, for tests
#[derive(Debug, clap::Args)]
pub struct ClockOffset {
    /// How far it is ahead of the kernel's
    seconds: u64,
}

impl ClockOffset {
    /// Does it.
    pub fn run(self, options: &Options) -> anyhow::Result<ExitCode> {
        let kernel = Loaded::open(options)?.kernel;
        kernel.set_clock_offset(self.seconds * u64::from(kernel.control().hz));
        Ok(ExitCode::SUCCESS)
    }
}
