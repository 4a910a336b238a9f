//! What is to be remembered beside the kernel's tables: the state of each generation, rule counts of earlier counters,
//! how interfaces were attached.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use sg_common::stats::RuleCounter;

use super::error::{Error, OfFile as _};
use crate::{
    compile::{Saved, counters::CounterRange},
    policy::model::{Role, RxHook},
};

const STATE: &str = "state";
const COUNTERS: &str = "counters";
const HOOKS: &str = "hooks.json";

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
    /// Whether the transmit hook is a clsact filter, which has no link.
    pub has_clsact: bool,
}

/// What rules counted in counters that they no longer have, by the counter that they have now: packets, bytes, last hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Carried(BTreeMap<u32, [u64; 3]>);

impl Carried {
    /// Adds what was carried over to a counter.
    pub fn add_to(&self, at: u32, counter: &mut RuleCounter) {
        if let Some([packets, bytes, last_hit]) = self.0.get(&at) {
            counter.packets += packets;
            counter.bytes += bytes;
            counter.last_hit = counter.last_hit.max(*last_hit);
        }
    }

    /// What is carried once the counters in `zeroed` count anew and rules have `moved` from one counter to another.
    /// `counts` gives what a counter has, carried or not.
    pub fn after<E>(
        &self,
        zeroed: &[CounterRange],
        moved: &[(u32, u32)],
        mut counts: impl FnMut(u32) -> Result<RuleCounter, E>,
    ) -> Result<Self, E> {
        let is_new = |at: u32| zeroed.iter().any(|range| (range.base..range.base + range.len).contains(&at));
        let mut next: BTreeMap<_, _> =
            self.0.iter().filter(|(at, _)| !is_new(**at)).map(|(at, counts)| (*at, *counts)).collect();
        for &(from, to) in moved {
            let RuleCounter { packets, bytes, last_hit, .. } = counts(from)?;
            if packets > 0 {
                next.insert(to, [packets, bytes, last_hit]);
            }
        }
        Ok(Self(next))
    }
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

    /// Counts carried over into `generation`.
    pub fn carried(&self, generation: u32) -> Carried {
        self.read(&numbered(COUNTERS, generation)).unwrap_or_default()
    }

    /// Writes down the counts carried over into `generation`.
    pub fn save_carried(&self, generation: u32, carried: &Carried) -> Result<(), Error> {
        self.write(&numbered(COUNTERS, generation), carried)
    }

    /// How interfaces were attached.
    pub fn hooks(&self) -> Hooks {
        self.read(HOOKS).unwrap_or_default()
    }

    /// Writes down how interfaces were attached.
    pub fn save_hooks(&self, hooks: &Hooks) -> Result<(), Error> {
        self.write(HOOKS, hooks)
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
            if name == HOOKS || name.starts_with(STATE) || name.starts_with(COUNTERS) {
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

    fn counter(packets: u64) -> RuleCounter {
        RuleCounter { packets, bytes: packets * 100, last_hit: packets, reserved: 0 }
    }

    #[test]
    fn counts_go_with_their_rules() {
        let zeroed = [CounterRange { base: 10, len: 3 }];
        let moved = [(0, 11), (1, 12)];
        let carried = Carried(BTreeMap::from([(5, [1, 1, 1]), (10, [9, 9, 9])]));
        let counts = |at| Ok::<_, ()>(counter(if at == 0 { 7 } else { 0 }));
        let after = carried.after(&zeroed, &moved, counts).unwrap();
        assert_eq!(after, Carried(BTreeMap::from([(5, [1, 1, 1]), (11, [7, 700, 7])])));
        let mut now = counter(2);
        after.add_to(11, &mut now);
        assert_eq!((now.packets, now.bytes, now.last_hit), (9, 900, 7));
    }

    #[test]
    fn files_are_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let carried = Carried(BTreeMap::from([(5, [1, 2, 3])]));
        store.save_carried(4, &carried).unwrap();
        assert_eq!(store.carried(4), carried);
        fs::write(directory.path().join("counters-5.json"), "{").unwrap();
        assert_eq!(store.carried(5), Carried::default());
        fs::write(store.state_path(4), "{}").unwrap();
        assert!(store.has_others(5) && !store.has_others(4) && store.state(4).is_none());
        store.remove_others(5);
        assert!(!store.has_others(5));
        store.clear().unwrap();
        assert!(store.files().is_empty());
    }
}
