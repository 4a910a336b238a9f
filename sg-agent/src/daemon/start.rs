//! What is in force once the daemon runs: what the file says, or else what was in force before.

use std::{os::unix::net::UnixListener, path::Path, sync::Arc};

use super::{
    owner::Owner,
    reload::{self, Read, Reload, in_words},
    socket,
};
use crate::dataplane::{Error, Loaded, Only, Options, Outcome, Writer, environment};

/// A daemon whose policy is in force.
pub struct Started {
    /// What holds the tables.
    pub owner: Owner,
    /// Where clients come.
    pub listener: UnixListener,
    /// The policy file.
    pub read: Read,
    /// What came of it.
    pub reload: Reload,
    /// Keeps a second daemon out.
    pub only: Only,
}

/// Brings a policy into force, if there is one to be had.
pub fn start(options: &Options, config: &Path, socket: &Path) -> anyhow::Result<Started> {
    environment::check()?;
    let only = Only::take(&socket.with_extension("lock"))?;
    // Who finds the tables locked finds somebody to ask, and waits for the answer.
    let listener = socket::listen_at(socket)?;
    let started = bring_up(options, config).inspect_err(|_| {
        let _ = std::fs::remove_file(socket);
    });
    let (owner, read, reload) = started?;
    Ok(Started { owner, listener, read, reload, only })
}

fn bring_up(options: &Options, config: &Path) -> anyhow::Result<(Owner, Read, Reload)> {
    let read = reload::read(config);
    let mut owner = Owner { writer: open(options, &read)? };
    let done = bring(&mut owner, &read);
    let outcome = match done {
        Ok(outcome) => Ok(outcome),
        Err(why) if owner.writer.loaded.state.generation() == 0 => return Err(why),
        Err(why) => Err(format!("{why:#}")),
    };
    let generation = owner.writer.loaded.state.generation();
    let reload = Reload::new(config, &read, &outcome, generation, None);
    reload.log();
    Ok((owner, read, reload))
}

/// Opens the tables that the file asks for, or those that there are.
fn open(options: &Options, read: &Read) -> anyhow::Result<Writer> {
    let wanted = match &read.policy {
        Ok(policy) => Writer::open(options, Some(&policy.settings)).map_err(anyhow::Error::new),
        Err(faults) => Err(anyhow::anyhow!("{faults}")),
    };
    let Err(why) = wanted else { return wanted };
    match Loaded::open(options) {
        Ok(loaded) => {
            log::error!("what was in force stays in force: {why:#}");
            Ok(Writer::open(options, Some(&loaded.state.policy().settings))?)
        }
        Err(Error::NotLoaded) => Err(why.context("nothing was in force before, so there is nothing to keep")),
        Err(error) => Err(why.context(error)),
    }
}

/// Brings what the file says into force, or completes what is.
fn bring(owner: &mut Owner, read: &Read) -> anyhow::Result<Outcome> {
    let refusal = match &read.policy {
        Ok(policy) => match owner.apply_config(policy) {
            Ok(outcome) => return Ok(outcome),
            Err(error) => anyhow::Error::new(error),
        },
        Err(faults) => anyhow::anyhow!("{faults}"),
    };
    if owner.writer.loaded.state.generation() > 0 {
        let policy = Arc::clone(owner.writer.loaded.state.policy());
        if let Err(error) = owner.writer.apply(&policy) {
            log::error!("what is in force is not so on every interface: {}", in_words(error));
        }
    }
    Err(refusal)
}
