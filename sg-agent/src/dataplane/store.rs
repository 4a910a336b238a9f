//! What is to be remembered beside the kernel's tables: the state of each generation and the policy that it is of, rule
//! counts of earlier counters, how interfaces were attached.
//!
//! A file is whole or not there, whenever its writer ends: it is written beside and renamed. Nothing is flushed to a disk:
//! the kernel's tables do not outlive the kernel, and without them the files say nothing.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::{Error, OfFile as _},
    history::History,
    load::remove_file,
    private,
};
use crate::{
    compile::{Saved, counters::Run},
    metrics::rules::Departed,
    policy::{
        Policy, Text,
        model::{Role, RxHook},
    },
};

const STATE: &str = "state";
const POLICY: &str = "policy";
const COUNTERS: &str = "counters";
const HOOKS: &str = "hooks.json";
const TRIAL: &str = "trial.json";
const CONFIG: &str = "config.json";
const PREVIOUS: &str = "previous";
const DEPARTED: &str = "departed.json";

/// What the files of [`STATE`], [`POLICY`] and [`PREVIOUS`] begin with. Their format says nothing of itself: with another
/// layout of what is in them goes another number.
const FORMAT: &[u8; 8] = b"sg 0001\n";

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
    pub moved: Vec<Run>,
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
        let saved: Saved = self.read_packed(&numbered(STATE, generation))?;
        let policy = self.read_packed(&numbered(POLICY, saved.policy_number()))?;
        Some(saved.with_policy(policy))
    }

    /// Writes the state of `generation` down. Its policy must be there, see [`Self::save_policy`].
    pub fn save_state(&self, generation: u32, saved: &Saved) -> Result<(), Error> {
        self.write_packed(&numbered(STATE, generation), saved)
    }

    /// Writes a policy down, under its number.
    pub fn save_policy(&self, number: u32, policy: &Policy) -> Result<(), Error> {
        self.write_packed(&numbered(POLICY, number), policy)
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
        self.read(&counters(generation)).unwrap_or_default()
    }

    /// Writes down what the rules of `generation` have behind them.
    pub fn save_history(&self, generation: u32, history: &History) -> Result<(), Error> {
        self.write(&counters(generation), history)
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

    /// The policy that a rollback returns to.
    pub fn previous(&self) -> Option<Policy> {
        self.read_packed(PREVIOUS)
    }

    /// Makes `policy` the one that a rollback returns to.
    pub fn keep_as_previous(&self, policy: &Policy) -> Result<(), Error> {
        self.write_packed(PREVIOUS, policy)
    }

    /// There is nothing to return to.
    pub fn forget_previous(&self) -> Result<(), Error> {
        remove_file(&self.directory.join(PREVIOUS))
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

    /// Whether there is a state of another generation than `generation`: somebody was interrupted.
    pub fn has_others(&self, generation: u32) -> bool {
        let keep = numbered(STATE, generation);
        self.files().iter().any(|name| name.starts_with(STATE) && *name != keep)
    }

    /// Removes states and counts of other generations than `generation`, and policies of others.
    pub fn remove_others(&self, generation: u32) {
        let state = numbered(STATE, generation);
        let saved: Option<Saved> = self.read_packed(&state);
        let policy = saved.map(|saved| numbered(POLICY, saved.policy_number()));
        let keep = [Some(state), Some(counters(generation)), policy];
        for name in self.files() {
            if is_numbered(&name) && !keep.iter().flatten().any(|kept| *kept == name) {
                let _ = fs::remove_file(self.directory.join(name));
            }
        }
    }

    /// Removes everything.
    pub fn clear(&self) -> Result<(), Error> {
        for name in self.files() {
            let is_single =
                [HOOKS, TRIAL, CONFIG, PREVIOUS, DEPARTED].iter().any(|kind| name.starts_with(kind));
            if is_single || is_numbered(&name) {
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

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let bytes = serde_json::to_vec(value).of_file(&self.directory.join(name))?;
        self.put(name, &bytes)
    }

    fn read_packed<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.directory.join(name);
        let bytes = fs::read(&path).ok()?;
        let value = bytes.strip_prefix(FORMAT).and_then(|bytes| postcard::from_bytes(bytes).ok());
        if value.is_none() {
            log::warn!("{}: not written by this version, or damaged", path.display());
        }
        value
    }

    fn write_packed(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let path = self.directory.join(name);
        let bytes = postcard::to_extend(value, FORMAT.to_vec()).map_err(io::Error::other).of_file(&path)?;
        self.put(name, &bytes)
    }

    /// Writes beside and renames.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.directory.join(name);
        let unfinished = self.directory.join(format!("{name}.unfinished"));
        private::create_file(&unfinished).and_then(|mut file| file.write_all(bytes)).of_file(&unfinished)?;
        fs::rename(&unfinished, &path).of_file(&path)
    }
}

fn numbered(kind: &str, number: u32) -> String {
    format!("{kind}-{number}")
}

/// Whether a file is of a generation, or a policy with its number. What the daemon remembers over a reboot may stand beside
/// them and is neither.
fn is_numbered(name: &str) -> bool {
    let kind = name.split_once('-').map(|(kind, _)| kind);
    kind.is_some_and(|kind| [STATE, COUNTERS, POLICY].contains(&kind))
}

fn counters(generation: u32) -> String {
    numbered(COUNTERS, generation) + ".json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let trial = Trial { moved: vec![Run { from: 5, to: 2, len: 1 }] };
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

    /// What is written says nothing of its layout. Whoever changes [`Policy`] or [`Saved`] changes [`FORMAT`] with it, and
    /// then the numbers here.
    #[test]
    fn another_layout_is_another_format() {
        let policy =
            crate::policy::parse_str(include_str!("../../../rules.example.yaml"), "example").policy.unwrap();
        let bytes = [
            postcard::to_stdvec(&policy).unwrap(),
            postcard::to_stdvec(&crate::compile::State::new(policy.settings.limits).save()).unwrap(),
        ];
        let sums = bytes.map(|bytes| {
            let sum = bytes.iter().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
            (bytes.len(), sum)
        });
        assert_eq!((*FORMAT, sums), (*b"sg 0001\n", [(510, 2_858_741_389), (27, 2_799_535_855)]));
    }

    #[test]
    fn the_previous_state_outlives_its_generation() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let there = || directory.path().join(PREVIOUS).exists();
        store.keep_as_previous(&Policy::default()).unwrap();
        store.keep_as_previous(&Policy::default()).unwrap();
        assert_eq!((store.files().len(), store.previous()), (1, Some(Policy::default())));
        store.remove_others(5);
        assert!(there());
        store.forget_previous().unwrap();
        assert!(!there());
    }
}
