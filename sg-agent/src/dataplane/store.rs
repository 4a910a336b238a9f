//! What is to be remembered beside the kernel's tables: the state of each generation, rule counts of earlier counters,
//! how interfaces were attached.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::{Error, OfFile as _},
    history::History,
};
use crate::{
    compile::Saved,
    metrics::rules::Departed,
    policy::{
        Text,
        model::{Role, RxHook},
    },
};

const STATE: &str = "state";
const COUNTERS: &str = "counters";
const HOOKS: &str = "hooks.json";
const TRIAL: &str = "trial.json";
const CONFIG: &str = "config.json";
const PREVIOUS: &str = "previous.json";
const DEPARTED: &str = "departed.json";

/// The state directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// How interfaces were attached and why so, by slot.
pub type Hooks = BTreeMap<u32, Hook>;

/// How an interface was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Hook {
    /// Device that it was.
    pub ifindex: u32,
    /// What the policy asked for on receive.
    pub wanted: RxHook,
    /// Whose device it was then.
    #[serde(default)]
    pub role: Option<Role>,
    /// Why the receive hook is what it is.
    pub rx_reason: String,
    /// Why a program is not where it should be.
    #[serde(default)]
    pub fault: Option<String>,
    /// Since when the device is enforced, or is not: seconds since the epoch.
    #[serde(default)]
    pub since: u64,
    /// Whether the transmit hook is a clsact filter, which has no link.
    pub has_clsact: bool,
}

/// What has to be known of a change that waits for its confirmation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Trial {
    /// Old and new counter of rules that are the same before and after it.
    pub moved: Vec<(u32, u32)>,
}

impl Store {
    /// The state in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Removes the directory, if nothing is in it.
    pub fn remove(&self) {
        let _ = fs::remove_dir(&self.directory);
    }

    /// The state of `generation`, if it is there and can be read.
    pub fn state(&self, generation: u32) -> Option<Saved> {
        self.read(&numbered(STATE, generation))
    }

    /// Writes the state of `generation` down for good.
    pub fn save_state(&self, generation: u32, saved: &Saved) -> Result<(), Error> {
        self.write(&numbered(STATE, generation), saved)
    }

    /// Where the state of `generation` is kept.
    pub fn state_path(&self, generation: u32) -> PathBuf {
        self.directory.join(numbered(STATE, generation))
    }

    /// When the state of `generation` was written, which is when it came into force.
    pub fn since(&self, generation: u32) -> Option<SystemTime> {
        fs::metadata(self.state_path(generation)).and_then(|file| file.modified()).ok()
    }

    /// What the rules of `generation` have behind them.
    pub fn history(&self, generation: u32) -> History {
        self.read(&numbered(COUNTERS, generation)).unwrap_or_default()
    }

    /// Writes down what the rules of `generation` have behind them.
    pub fn save_history(&self, generation: u32, history: &History) -> Result<(), Error> {
        self.write(&numbered(COUNTERS, generation), history)
    }

    /// What is known of the change that waits for its confirmation.
    pub fn trial(&self) -> Trial {
        self.read(TRIAL).unwrap_or_default()
    }

    /// Writes down what has to be known of a change that waits for its confirmation.
    pub fn save_trial(&self, trial: &Trial) -> Result<(), Error> {
        self.write(TRIAL, trial)
    }

    /// No change waits for its confirmation any more.
    pub fn remove_trial(&self) {
        let _ = fs::remove_file(self.directory.join(TRIAL));
    }

    /// The state that a rollback returns to.
    pub fn previous(&self) -> Option<Saved> {
        self.read(PREVIOUS)
    }

    /// Makes the state of `generation` the one that a rollback returns to. It stays what it is.
    pub fn keep_as_previous(&self, generation: u32) -> Result<(), Error> {
        let path = self.directory.join(PREVIOUS);
        let unfinished = self.directory.join(format!("{PREVIOUS}.unfinished"));
        self.forget(&unfinished)?;
        fs::hard_link(self.state_path(generation), &unfinished).of_file(&unfinished)?;
        fs::rename(&unfinished, &path).of_file(&path)?;
        // A rename onto another name of the same file does nothing.
        self.forget(&unfinished)
    }

    /// There is nothing to return to.
    pub fn forget_previous(&self) -> Result<(), Error> {
        self.forget(&self.directory.join(PREVIOUS))
    }

    fn forget(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).of_file(path),
            _ => Ok(()),
        }
    }

    /// What the daemon's policy file said when it was last about to be brought into force.
    pub fn config(&self) -> Option<Vec<Text>> {
        self.read(CONFIG)
    }

    /// Writes that down, unless it is there.
    pub fn save_config(&self, texts: &[Text]) -> Result<(), Error> {
        if self.config().is_some_and(|there| there == texts) {
            return Ok(());
        }
        self.write(CONFIG, &texts)
    }

    /// How interfaces were attached.
    pub fn hooks(&self) -> Hooks {
        self.read(HOOKS).unwrap_or_default()
    }

    /// Writes down how interfaces were attached.
    pub fn save_hooks(&self, hooks: &Hooks) -> Result<(), Error> {
        self.write(HOOKS, hooks)
    }

    /// What rules counted on interfaces that are gone.
    pub fn departed(&self) -> Departed {
        self.read(DEPARTED).unwrap_or_default()
    }

    /// Writes down what rules counted on interfaces that are gone.
    pub fn save_departed(&self, departed: &Departed) -> Result<(), Error> {
        self.write(DEPARTED, departed)
    }

    /// When the state of `generation` was written down.
    pub fn written(&self, generation: u32) -> Option<SystemTime> {
        fs::metadata(self.state_path(generation)).ok()?.modified().ok()
    }

    /// Whether there is a state of another generation than `generation`: somebody was interrupted.
    pub fn has_others(&self, generation: u32) -> bool {
        let keep = numbered(STATE, generation);
        self.files().iter().any(|name| name.starts_with(STATE) && *name != keep)
    }

    /// Removes states and counts of other generations than `generation`.
    pub fn remove_others(&self, generation: u32) {
        let keep = [numbered(STATE, generation), numbered(COUNTERS, generation)];
        for name in self.files() {
            if (name.starts_with(STATE) || name.starts_with(COUNTERS)) && !keep.contains(&name) {
                let _ = fs::remove_file(self.directory.join(name));
            }
        }
    }

    /// Removes everything.
    pub fn clear(&self) -> Result<(), Error> {
        for name in self.files() {
            let is_ours = [HOOKS, TRIAL, CONFIG, PREVIOUS, DEPARTED, STATE, COUNTERS]
                .iter()
                .any(|kind| name.starts_with(kind));
            if is_ours {
                let path = self.directory.join(name);
                fs::remove_file(&path).of_file(&path)?;
            }
        }
        Ok(())
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.directory.join(name);
        let file = File::open(&path).ok()?;
        match serde_json::from_reader(BufReader::new(file)) {
            Ok(value) => Some(value),
            Err(error) => {
                log::warn!("{}: {error}", path.display());
                None
            }
        }
    }

    /// Writes beside, flushes, renames: the file is whole or not there.
    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let path = self.directory.join(name);
        let unfinished = self.directory.join(format!("{name}.unfinished"));
        let file = File::create(&unfinished).of_file(&unfinished)?;
        let mut writer = BufWriter::new(&file);
        serde_json::to_writer(&mut writer, value).of_file(&unfinished)?;
        writer.flush().of_file(&unfinished)?;
        file.sync_all().of_file(&unfinished)?;
        fs::rename(&unfinished, &path).of_file(&path)?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).of_file(&self.directory)
    }
}

fn numbered(kind: &str, generation: u32) -> String {
    format!("{kind}-{generation}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let trial = Trial { moved: vec![(5, 2)] };
        store.save_trial(&trial).unwrap();
        assert_eq!(store.trial(), trial);
        fs::write(directory.path().join("trial.json"), "{").unwrap();
        assert_eq!(store.trial(), Trial::default());
        fs::write(store.state_path(4), "{}").unwrap();
        assert!(store.has_others(5) && !store.has_others(4) && store.state(4).is_none());
        store.remove_others(5);
        assert!(!store.has_others(5));
        store.clear().unwrap();
        assert!(store.files().is_empty());
    }

    #[test]
    fn the_previous_state_outlives_its_generation() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let there = || directory.path().join(PREVIOUS).exists();
        fs::write(store.state_path(4), "{}").unwrap();
        store.keep_as_previous(4).unwrap();
        store.keep_as_previous(4).unwrap();
        assert_eq!(store.files().len(), 2, "{:?}", store.files());
        store.remove_others(5);
        assert!(there());
        store.forget_previous().unwrap();
        assert!(!there());
    }
}
