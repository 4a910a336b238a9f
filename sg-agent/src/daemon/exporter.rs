//! The daemon's metrics.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{net::TcpListener, sync::watch::Receiver, time::sleep};

use super::{Daemon, reload::Reload};
use crate::{
    dataplane::{Error, Loaded, Options, Place},
    metrics::{self, DaemonFacts, InForce, Reloads, Snapshot, Totals},
};

/// How long until an address that is not to be had is tried again: the network may not be up yet.
const AGAIN: Duration = Duration::from_secs(5);

/// What a scrape is made of. Not the way to the owner: a reader that is slow does not hold up the end.
#[derive(Debug)]
pub struct Exporter {
    options: Options,
    config: PathBuf,
    started: SystemTime,
    reload: Receiver<Reload>,
    most_rules: usize,
    totals: Mutex<Totals>,
}

impl Exporter {
    /// Shows what `daemon` does, with at most `most_rules` rules.
    pub fn new(daemon: &Daemon, most_rules: usize) -> Result<Self, Error> {
        Ok(Self {
            options: daemon.options.clone(),
            config: daemon.config.clone(),
            started: SystemTime::now(),
            reload: daemon.reload.subscribe(),
            most_rules,
            totals: Mutex::new(Totals::restore(&Place::find(&daemon.options)?)),
        })
    }

    /// Serves the metrics at `address`, as soon as that can be had.
    pub async fn serve(self, address: SocketAddr) {
        let listener = bind(address).await;
        log::info!("metrics are at http://{address}{}", metrics::http::PATH);
        metrics::serve(listener, move || self.read()).await;
    }

    fn read(&self) -> anyhow::Result<Snapshot> {
        let in_force = match Loaded::open(&self.options) {
            Ok(loaded) => Some(self.in_force(&loaded)?),
            Err(Error::NotLoaded) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Snapshot { in_force, daemon: self.facts() })
    }

    fn in_force(&self, loaded: &Loaded) -> Result<InForce, Error> {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        InForce::read(loaded, &Place::find(&self.options)?, &mut totals, self.most_rules)
    }

    fn facts(&self) -> DaemonFacts {
        let file_modified = fs::metadata(&self.config).and_then(|file| file.modified()).ok();
        DaemonFacts { started: Some(self.started), reloads: reloads(&self.reload.borrow()), file_modified }
    }
}

fn reloads(reload: &Reload) -> Reloads {
    Reloads {
        succeeded: reload.reloads - reload.failures,
        failed: reload.failures,
        is_last_success: Some(reload.ok),
        last: Some(reload.looked),
        last_success: reload.succeeded,
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if !told => {
                log::error!("no metrics at {address} for now: {error}");
                told = true;
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    }
}
