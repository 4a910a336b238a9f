//! What is in force once the daemon runs. A policy file that says what it said when it was last brought into force changes
//! nothing; another one is applied, so that what it does not allow any more is gone before the daemon says that it is
//! ready. A file that cannot be used keeps what was in force, or brings back what is remembered.

use std::{os::unix::net::UnixListener, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow};

use super::{
    memory::{self, Keeper, Memory},
    owner::Owner,
    reload::{self, Read, Reload},
    socket,
};
use crate::{
    dataplane::{Error, Loaded, Only, Options, Place, Writer, environment, store::Store},
    policy::{Policy, model::Settings},
};

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

/// Where a policy can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The policy file.
    File,
    /// What is in force.
    Kept,
    /// What is remembered.
    Remembered,
}

/// What there is to start from.
struct Start<'a> {
    options: &'a Options,
    read: &'a Read,
    memory: Option<Memory>,
    /// Whether something is in force, and is known.
    is_loaded: bool,
}

/// Brings a policy into force, if there is one to be had.
pub fn start(options: &Options, config: &Path, socket: &Path, keep: &Path) -> anyhow::Result<Started> {
    environment::check()?;
    let only = Only::take(&socket.with_extension("lock"))?;
    // Who finds the tables locked finds somebody to ask, and waits for the answer.
    let listener = socket::listen_at(socket)?;
    let started = bring_up(options, config, keep).inspect_err(|_| {
        let _ = std::fs::remove_file(socket);
    });
    let (owner, read, reload) = started?;
    Ok(Started { owner, listener, read, reload, only })
}

fn bring_up(options: &Options, config: &Path, keep: &Path) -> anyhow::Result<(Owner, Read, Reload)> {
    let read = reload::read(config);
    let start =
        Start { options, read: &read, memory: memory::read(keep), is_loaded: Loaded::open(options).is_ok() };
    let is_unchanged = start.is_unchanged();
    let (writer, failure) = start.first_that_works(is_unchanged)?;
    let mut owner = Owner::new(writer, start.memory.as_ref(), Keeper::spawn(keep.to_owned())?);
    match (&read.policy, &failure) {
        (Ok(policy), None) if !is_unchanged => owner.loaded_from(policy, &read.texts),
        _ => drop(owner.remember()),
    }
    if failure.is_none() {
        owner.writer.note_config(&read.texts)?;
    }
    let generation = owner.writer.loaded.state.generation();
    let reload = Reload::new(config, &read, &failure.map_or(Ok(()), Err), generation, None);
    reload.log();
    Ok((owner, read, reload))
}

impl Start<'_> {
    /// Tries what there is, best first. Beside what is in force then: why it is not what the file says, if it is not.
    fn first_that_works(&self, is_unchanged: bool) -> anyhow::Result<(Writer, Option<String>)> {
        let mut failure = self.read.policy.as_ref().err().map(|faults| anyhow!("{faults}"));
        for origin in origins(self.is_loaded, self.memory.is_some(), self.read.policy.is_ok(), is_unchanged) {
            match self.bring(origin) {
                Ok(writer) => {
                    let failure = failure.filter(|_| origin != Origin::File);
                    return Ok((writer, failure.map(|error| format!("{error:#}"))));
                }
                Err(error) => {
                    log::error!("{}: {error:#}", origin.name());
                    failure.get_or_insert(error);
                }
            }
        }
        let why = failure.unwrap_or_else(|| anyhow!("there is no policy"));
        Err(why.context("nothing could be brought into force"))
    }

    /// Whether the file says what it said when it was last brought into force, and nothing else was about to be since:
    /// the last daemon may have been killed before it had written that down.
    fn is_unchanged(&self) -> bool {
        let is_last = || {
            let noted = Place::find(self.options).ok().and_then(|place| Store::new(place.state()).config());
            noted.is_some_and(|noted| *noted == *self.read.texts)
        };
        let is_remembered = self.memory.as_ref().is_some_and(|memory| memory.config == self.read.texts);
        is_remembered && (!self.is_loaded || is_last())
    }

    fn bring(&self, origin: Origin) -> anyhow::Result<Writer> {
        match origin {
            Origin::Kept => self.keep(),
            Origin::File => self.apply_file(),
            Origin::Remembered => {
                let policy = self.memory.as_ref().context("nothing is remembered")?.policy()?;
                self.apply(&policy)
            }
        }
    }

    /// Takes over what is in force, and completes it: devices may have come meanwhile, programs been taken off.
    fn keep(&self) -> anyhow::Result<Writer> {
        let settings = Loaded::open(self.options)?.state.policy().settings.clone();
        let mut writer = self.open(&settings)?;
        anyhow::ensure!(writer.is_known(), "what is in force is not known any more");
        let policy = Arc::clone(writer.loaded.state.policy());
        if !writer.is_on_trial()
            && let Err(error) = writer.apply(&policy)
        {
            log::error!("not complete on every interface: {:#}", anyhow::Error::new(error));
        }
        Ok(writer)
    }

    fn apply_file(&self) -> anyhow::Result<Writer> {
        let policy = self.read.policy.as_ref().map_err(|faults| anyhow!("{faults}"))?;
        if self.is_loaded {
            let mut writer = self.open(&policy.settings)?;
            writer.note_config(&self.read.texts)?;
            writer.apply_file(policy, None)?;
            return Ok(writer);
        }
        match &self.memory {
            Some(memory) => self.apply(&Arc::new(memory.with_attached(Policy::clone(policy)))),
            None => self.apply(policy),
        }
    }

    /// What is in force, for writing; one interface that cannot be enforced is no reason not to enforce the others.
    fn open(&self, settings: &Settings) -> Result<Writer, Error> {
        let mut writer = Writer::open(self.options, Some(settings))?;
        writer.report_faults();
        Ok(writer)
    }

    fn apply(&self, policy: &Arc<Policy>) -> anyhow::Result<Writer> {
        let mut writer = self.open(&policy.settings)?;
        writer.apply(policy)?;
        Ok(writer)
    }
}

/// Where to take a policy from, best first.
fn origins(is_loaded: bool, is_remembered: bool, is_good: bool, is_unchanged: bool) -> Vec<Origin> {
    use Origin::{File, Kept, Remembered};
    let old = if is_loaded { Kept } else { Remembered };
    let has_old = is_loaded || is_remembered;
    match (is_good, is_unchanged && has_old) {
        (true, true) => vec![old, File],
        (true, false) if has_old => vec![File, old],
        (true, false) => vec![File],
        (false, _) if has_old => vec![old],
        (false, _) => vec![],
    }
}

impl Origin {
    fn name(self) -> &'static str {
        match self {
            Self::File => "the policy file could not be applied",
            Self::Kept => "what is in force could not be taken over",
            Self::Remembered => "what is remembered could not be brought back",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin::*, *};

    #[test]
    fn a_changed_file_is_applied_and_an_unchanged_one_is_not() {
        assert_eq!(origins(true, true, true, true), [Kept, File]);
        assert_eq!(origins(true, true, true, false), [File, Kept]);
        assert_eq!(origins(true, false, true, false), [File, Kept]);
        assert_eq!(origins(false, true, true, true), [Remembered, File]);
        assert_eq!(origins(false, true, true, false), [File, Remembered]);
        assert_eq!(origins(false, false, true, false), [File]);
    }

    #[test]
    fn a_bad_file_keeps_what_there_is() {
        assert_eq!(origins(true, true, false, false), [Kept]);
        assert_eq!(origins(false, true, false, false), [Remembered]);
        assert_eq!(origins(false, false, false, false), []);
    }
}
