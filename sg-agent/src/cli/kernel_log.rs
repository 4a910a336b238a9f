//! `sg-agent kernel-log`: the debugging log of the kernel side.

use std::process::ExitCode;

use crate::dataplane::{Options, kernel_log};

/// Follow the kernel side's debugging log (programs loaded with SG_KERNEL_LOG=debug)
#[derive(Debug, clap::Args)]
pub struct KernelLog {}

impl KernelLog {
    /// Does it, until interrupted.
    pub fn run(self, options: &Options) -> anyhow::Result<ExitCode> {
        match kernel_log::follow(options)? {}
    }
}
