//! What the tables of a policy hold, byte by byte: what a change has written is what differs.

use std::collections::{BTreeMap, BTreeSet};

use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData},
};
use sg_common::{
    control::{Control, Settings},
    heap::Line,
    interface::Interface,
    members::{Member, MemberKey},
};
use zerocopy::{Immutable, IntoBytes};

use crate::{netns::Netns, progrun::pins};

/// A table by its elements, each as bytes, by index or key.
pub type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// The tables of a policy. Not among them: the clock's part of the control line, and the counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// By name.
    pub tables: BTreeMap<&'static str, Table>,
}

impl Tables {
    /// What the tables of `host` hold now.
    ///
    /// # Panics
    /// If there are none.
    #[track_caller]
    pub fn of(host: &Netns) -> Self {
        let tables = [
            ("CONTROL", array::<Control>(host, "CONTROL")),
            ("SETTINGS", array::<Settings>(host, "SETTINGS")),
            ("DIRECTORY", array::<Interface>(host, "DIRECTORY")),
            ("IFINDEX", array::<u32>(host, "IFINDEX")),
            ("HEAP", array::<Line>(host, "HEAP")),
            ("IFINDEX_HIGH", hash::<u32, u32>(host, "IFINDEX_HIGH")),
            ("MEMBERS", hash::<MemberKey, Member>(host, "MEMBERS")),
        ];
        Self { tables: tables.into_iter().collect() }
    }

    /// How many elements of each table are not what they were `before`; tables that are the same are left out.
    pub fn written_since(&self, before: &Self) -> BTreeMap<&'static str, usize> {
        let written = |name: &'static str| {
            let (old, new) = (&before.tables[name], &self.tables[name]);
            let keys: BTreeSet<&Vec<u8>> = old.keys().chain(new.keys()).collect();
            (name, keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).count())
        };
        self.tables.keys().map(|name| written(name)).filter(|(_, count)| *count > 0).collect()
    }
}

fn open(host: &Netns, name: &str) -> MapData {
    MapData::from_pin(pins(host).join(name)).unwrap_or_else(|error| panic!("table {name}: {error}"))
}

fn array<T: Pod + IntoBytes + Immutable>(host: &Netns, name: &str) -> Table {
    let array: Array<_, T> = Array::try_from(Map::Array(open(host, name))).expect("an array");
    let elements = (0u32..).zip(array.iter());
    elements
        .map(|(at, element)| (at.to_be_bytes().to_vec(), element.expect("an element").as_bytes().to_vec()))
        .filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0))
        .collect()
}

fn hash<K, V>(host: &Netns, name: &str) -> Table
where
    K: Pod + IntoBytes + Immutable,
    V: Pod + IntoBytes + Immutable,
{
    let table: HashMap<_, K, V> = HashMap::try_from(Map::HashMap(open(host, name))).expect("a hash map");
    let entries = table.iter().map(|entry| entry.expect("an entry"));
    entries.map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// The table of group members of `host`.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn member_table(host: &Netns) -> HashMap<MapData, MemberKey, Member> {
    HashMap::try_from(Map::HashMap(open(host, "MEMBERS"))).expect("a hash map")
}
