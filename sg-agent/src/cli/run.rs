//! `sg-agent run`.

use std::{path::PathBuf, process::ExitCode};

use super::Client;
use crate::{daemon, dataplane::Options};

/// Keep a policy file in force: the daemon
///
/// Applies the file, and again whenever it changes and on SIGHUP; a file with a fault changes nothing. Serves the control
/// socket. Ends on SIGTERM or SIGINT, and leaves everything enforced.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The policy file
    #[arg(long, value_name = "FILE", default_value = "/etc/sg/policy.yaml")]
    config: PathBuf,
}

impl Run {
    /// Runs until it is told to end.
    pub fn run(self, options: &Options, client: &Client) -> anyhow::Result<ExitCode> {
        daemon::run(options.clone(), self.config, client.path(options)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
