//! `sg-agent run`.

use std::{env, path::PathBuf, process::ExitCode};

use super::Client;
use crate::{
    daemon,
    dataplane::{Options, Place},
};

/// Where what outlives a reboot is usually kept.
const DEFAULT_KEEP_DIR: &str = "/var/lib/sg";

/// Keep a policy file in force: the daemon
///
/// Applies the file, and again whenever it changes and on SIGHUP; a file with a fault changes nothing. Serves the control
/// socket. Ends on SIGTERM or SIGINT, and leaves everything enforced.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The policy file
    #[arg(long, value_name = "FILE", default_value = "/etc/sg/policy.yaml")]
    config: PathBuf,
    /// Directory for what is to outlive a reboot [default: systemd's STATE_DIRECTORY, else /var/lib/sg]
    #[arg(long, value_name = "DIR")]
    keep_dir: Option<PathBuf>,
}

impl Run {
    /// Runs until it is told to end.
    pub fn run(self, options: &Options, client: &Client) -> anyhow::Result<ExitCode> {
        let socket = client.path(options)?;
        let keep = Place::find(options)?.of_namespace(&self.kept());
        daemon::run(options.clone(), self.config, socket, &keep)?;
        Ok(ExitCode::SUCCESS)
    }

    fn kept(&self) -> PathBuf {
        // A colon stands between several (systemd.exec(5)); the first is ours.
        let by_systemd = || {
            let all = env::var_os("STATE_DIRECTORY")?;
            env::split_paths(&all).next().filter(|first| !first.as_os_str().is_empty())
        };
        self.keep_dir.clone().or_else(by_systemd).unwrap_or_else(|| DEFAULT_KEEP_DIR.into())
    }
}
