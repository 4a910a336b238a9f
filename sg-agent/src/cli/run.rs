//! `sg-agent run`.

use std::{env, net::SocketAddr, path::PathBuf, process::ExitCode};

use super::Client;
use crate::{
    daemon,
    dataplane::{Options, Place},
    metrics,
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
    /// Where Prometheus finds metrics, at /metrics: an address and a port, or `none`
    #[arg(long, value_name = "ADDRESS", default_value = metrics::DEFAULT_ADDRESS, value_parser = address)]
    metrics: Listen,
    /// Show at most so many rules in the metrics
    #[arg(long, value_name = "N", default_value_t = metrics::DEFAULT_RULES)]
    metrics_rules: usize,
}

/// Somewhere or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listen(Option<SocketAddr>);

fn address(text: &str) -> Result<Listen, String> {
    if text == "none" {
        return Ok(Listen(None));
    }
    let fault = "write an address and a port, `127.0.0.1:9817` or `[::1]:9817`, or `none`";
    text.parse().map(|address| Listen(Some(address))).map_err(|_| fault.to_owned())
}

impl Run {
    /// Runs until it is told to end.
    pub fn run(self, options: &Options, client: &Client) -> anyhow::Result<ExitCode> {
        let metrics = daemon::Metrics { address: self.metrics.0, rules: self.metrics_rules };
        let socket = client.path(options)?;
        let keep = Place::find(options)?.of_namespace(&self.kept());
        daemon::run(options.clone(), self.config, socket, &keep, metrics)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_somewhere_or_nowhere() {
        let at = |text: &str| Ok(Listen(Some(text.parse().unwrap())));
        assert_eq!(address(metrics::DEFAULT_ADDRESS), at("127.0.0.1:9817"));
        assert_eq!(address("[::]:80"), at("[::]:80"));
        assert_eq!(address("none"), Ok(Listen(None)));
        for bad in ["", "127.0.0.1", "localhost:9817", ":9817", "None"] {
            assert!(address(bad).is_err_and(|fault| fault.contains("or `none`")), "{bad}");
        }
    }
}
