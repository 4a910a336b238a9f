//! Typed handles of the kernel's tables.

use std::{os::fd::AsFd as _, path::Path};

use aya::{
    maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf},
    util::nr_cpus,
};
use sg_common::{
    conntrack::{Entry, Key4, Key6, TableUse},
    control::{Control, Settings},
    events::{Audience, Told},
    heap::Line,
    interface::Interface,
    members::{Member, MemberKey},
    stats::{InterfaceStats, RuleCounter},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    error::{Attempt as _, Error},
    memory::{Access, Elements, Memory},
};

/// Every table, by the name that it is pinned under.
pub const NAMES: [&str; 19] = [
    CONTROL,
    SETTINGS,
    DIRECTORY,
    IFINDEX,
    IFINDEX_HIGH,
    HEAP,
    MEMBERS,
    CT4_TAGS,
    CT4,
    CT6_TAGS,
    CT6,
    FRAG_TAGS,
    FRAG,
    TABLE_USE,
    STATS,
    RULE_COUNTERS,
    EVENTS,
    AUDIENCE,
    TOLD,
];

pub const CONTROL: &str = "CONTROL";
pub const SETTINGS: &str = "SETTINGS";
pub const DIRECTORY: &str = "DIRECTORY";
pub const IFINDEX: &str = "IFINDEX";
pub const IFINDEX_HIGH: &str = "IFINDEX_HIGH";
pub const HEAP: &str = "HEAP";
pub const MEMBERS: &str = "MEMBERS";
pub const CT4_TAGS: &str = "CT4_TAGS";
pub const CT4: &str = "CT4";
pub const CT6_TAGS: &str = "CT6_TAGS";
pub const CT6: &str = "CT6";
pub const FRAG_TAGS: &str = "FRAG_TAGS";
pub const FRAG: &str = "FRAG";
pub const TABLE_USE: &str = "TABLE_USE";
pub const STATS: &str = "STATS";
pub const RULE_COUNTERS: &str = "RULE_COUNTERS";
pub const EVENTS: &str = "EVENTS";
pub const AUDIENCE: &str = "AUDIENCE";
pub const TOLD: &str = "TOLD";

/// The tables that the agent reads or writes.
pub struct Maps {
    pub control: Memory,
    pub settings: Elements<Settings>,
    pub directory: Elements<Interface>,
    pub ifindex: Memory,
    pub ifindex_high: HashMap<MapData, u32, u32>,
    pub heap: Elements<Line>,
    pub members: HashMap<MapData, MemberKey, Member>,
    pub ct4: Memory,
    pub ct6: Memory,
    pub table_use: Array<MapData, TableUse>,
    pub stats: PerCpuArray<MapData, InterfaceStats>,
    /// Those of one CPU after those of another.
    pub rule_counters: Elements<RuleCounter>,
    /// CPUs that there may be.
    pub cpus: usize,
}

impl Maps {
    /// The tables pinned in `directory`.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let array = |name| Opened::new(directory, name);
        Ok(Self {
            control: array(CONTROL)?.memory(size_of::<Control>(), Access::Write)?,
            settings: array(SETTINGS)?.elements()?,
            directory: array(DIRECTORY)?.elements()?,
            // The kernel gives each element of an array a multiple of eight bytes.
            ifindex: array(IFINDEX)?.memory(size_of::<u32>(), Access::Write)?,
            ifindex_high: array(IFINDEX_HIGH)?.typed()?,
            heap: array(HEAP)?.elements()?,
            members: array(MEMBERS)?.typed()?,
            ct4: array(CT4)?.memory(size_of::<Entry<Key4>>(), Access::Read)?,
            ct6: array(CT6)?.memory(size_of::<Entry<Key6>>(), Access::Read)?,
            table_use: array(TABLE_USE)?.typed()?,
            stats: array(STATS)?.typed()?,
            rule_counters: array(RULE_COUNTERS)?.elements()?,
            cpus: possible_cpus()?,
        })
    }
}

/// The tables by which the kernel side tells what happens.
pub struct EventMaps {
    pub events: RingBuf<MapData>,
    pub audience: Memory,
    pub told: PerCpuArray<MapData, Told>,
}

impl EventMaps {
    /// The tables pinned in `directory`.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Ok(Self {
            events: Opened::new(directory, EVENTS)?.typed()?,
            audience: Opened::new(directory, AUDIENCE)?.memory(size_of::<Audience>(), Access::Write)?,
            told: Opened::new(directory, TOLD)?.typed()?,
        })
    }
}

/// CPUs that there may be, whether they are there now or not.
pub fn possible_cpus() -> Result<usize, Error> {
    nr_cpus().map_err(|(what, source)| Error::Kernel { what: what.to_owned(), source: Box::new(source) })
}

/// A pinned table.
struct Opened<'a> {
    name: &'a str,
    data: MapData,
}

impl<'a> Opened<'a> {
    fn new(directory: &Path, name: &'a str) -> Result<Self, Error> {
        let data = MapData::from_pin(directory.join(name)).attempt(|| format!("opening table {name}"))?;
        Ok(Self { name, data })
    }

    fn typed<T: TryFrom<Map>>(self) -> Result<T, Error>
    where
        T::Error: std::error::Error + Send + Sync + 'static,
    {
        let what = || format!("table {}", self.name);
        Map::from_map_data(self.data).attempt(what)?.try_into().attempt(what)
    }

    fn elements<T: FromBytes + IntoBytes + Immutable>(self) -> Result<Elements<T>, Error> {
        self.memory(size_of::<T>(), Access::Write).map(Elements::new)
    }

    fn memory(self, element: usize, access: Access) -> Result<Memory, Error> {
        let what = || format!("mapping table {}", self.name);
        let info = self.data.info().attempt(what)?;
        let has = info.value_size() as usize;
        if has != element {
            return Err(Error::Environment(format!("table {} has elements of {has} bytes", self.name)));
        }
        let words = info.max_entries() as usize * element.div_ceil(size_of::<u64>());
        Memory::map(self.data.fd().as_fd(), words, access).attempt(what)
    }
}
