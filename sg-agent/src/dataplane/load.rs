//! Makes the tables and programs, and pins them: all of them, or none.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    panic::resume_unwind,
    path::Path,
    thread,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::MapError,
    programs::{Program, ProgramError},
};
use sg_common::{
    control::Control,
    heap::Line,
    limits::{BUCKET_SLOTS, SLOTS_PER_ENTRY},
};

use super::{
    clock,
    error::{Attempt as _, Error, OfFile as _},
    kernel::Kernel,
    kernel_log, maps,
    place::Place,
    programs::{self, Programs},
    upgrade,
};
use crate::policy::model::Settings;

/// The BPF object; empty if there was none when the agent was built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sg-ebpf"));

/// How long ticks are counted where their rate cannot be told at once: 250 and 256 are then three ticks apart.
const MEASURED: Duration = Duration::from_millis(600);

/// Sizes of the tables, as a policy's settings ask for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Buckets of the IPv4 and IPv6 connection tables and of the fragment table.
    pub buckets: [u32; 3],
    /// Interfaces of one half of the directory, the unused slot 0 included.
    pub interfaces: u32,
    /// Lines of the heap.
    pub lines: u32,
    /// Rule counters.
    pub rule_counters: u32,
    /// Members.
    pub members: u32,
}

impl Sizes {
    /// What `settings` ask for.
    pub fn of(settings: &Settings) -> Self {
        let connections = buckets(settings.conntrack.max_entries);
        let limits = &settings.limits;
        Self {
            buckets: [connections, connections, buckets(limits.fragments)],
            interfaces: limits.interfaces + 1,
            lines: u32::try_from(limits.policy_bytes / size_of::<Line>() as u64).unwrap_or(u32::MAX),
            rule_counters: limits.rule_counters,
            members: limits.members,
        }
    }

    /// The settings that ask for these sizes.
    pub fn settings(&self) -> [(&'static str, u64); 6] {
        let entries = |buckets: u32| {
            let (numerator, denominator) = SLOTS_PER_ENTRY;
            u64::from(buckets) * BUCKET_SLOTS as u64 * u64::from(denominator) / u64::from(numerator)
        };
        [
            ("settings.conntrack.max_entries", entries(self.buckets[0])),
            ("settings.limits.fragments", entries(self.buckets[2])),
            ("settings.limits.interfaces", u64::from(self.interfaces) - 1),
            ("settings.limits.policy_bytes", u64::from(self.lines) * size_of::<Line>() as u64),
            ("settings.limits.rule_counters", self.rule_counters.into()),
            ("settings.limits.members", self.members.into()),
        ]
    }

    fn max_entries(&self, cpus: u32) -> [(&'static str, u32); 13] {
        let [v4, v6, fragments] = self.buckets;
        let slots = |buckets: u32| buckets * BUCKET_SLOTS as u32;
        [
            (maps::DIRECTORY, 2 * self.interfaces),
            (maps::IFINDEX_HIGH, self.interfaces),
            (maps::HEAP, self.lines),
            (maps::MEMBERS, self.members),
            (maps::CT4_TAGS, v4),
            (maps::CT4, slots(v4)),
            (maps::CT6_TAGS, v6),
            (maps::CT6, slots(v6)),
            (maps::FRAG_TAGS, fragments),
            (maps::FRAG, slots(fragments)),
            (maps::TABLE_USE, self.interfaces),
            (maps::STATS, self.interfaces),
            (maps::RULE_COUNTERS, self.rule_counters.saturating_mul(cpus)),
        ]
    }
}

/// Buckets for so many entries.
fn buckets(entries: u32) -> u32 {
    let (numerator, denominator) = SLOTS_PER_ENTRY;
    let per_bucket = u64::from(denominator) * BUCKET_SLOTS as u64;
    (u64::from(entries) * u64::from(numerator)).div_ceil(per_bucket) as u32
}

/// Makes everything and pins it at `place`, with no generation in force.
pub fn create(place: &Place, sizes: &Sizes) -> Result<Kernel, Error> {
    if OBJECT.is_empty() {
        return Err(Error::Environment("built without the BPF object: cargo xtask build".to_owned()));
    }
    let directory = place.unfinished_pins();
    remove(&directory)?;
    fs::create_dir(&directory).of_file(&directory)?;
    let made = load(sizes, None).and_then(|mut object| {
        pin_tables(&object, &directory)?;
        pin_programs(&mut object, &directory)?;
        kernel_log::mark(&object, &directory)?;
        upgrade::mark(&directory)?;
        initialise(&directory, sizes)
    });
    let done = made.and_then(|kernel| {
        let links = directory.join("links");
        fs::create_dir(&links).of_file(&links)?;
        fs::rename(&directory, place.pins()).of_file(&place.pins())?;
        Ok(kernel)
    });
    if done.is_err() {
        remove(&directory)?;
    }
    done
}

/// Removes a directory of pins, if it is there.
pub fn remove(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).of_file(directory),
        _ => Ok(()),
    }
}

/// Removes a pin, if it is there.
pub fn remove_file(pin: &Path) -> Result<(), Error> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).of_file(pin),
        _ => Ok(()),
    }
}

/// Removes every directory of pins in `root`.
pub fn remove_all_in(root: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(root).of_file(root)?;
    entries.filter_map(|entry| Some(entry.ok()?.path())).try_for_each(|path| remove(&path))
}

/// The embedded BPF object.
pub fn object() -> &'static [u8] {
    OBJECT
}

/// Loads the programs for the tables pinned in `tables`, and pins them in `directory`.
pub fn programs_for(tables: &Path, sizes: &Sizes, directory: &Path) -> Result<(), Error> {
    let mut object = load(sizes, Some(tables))?;
    pin_programs(&mut object, directory)?;
    kernel_log::mark(&object, tables)
}

/// Loads the programs once more for the tables in use. They are not pinned.
pub fn again(place: &Place, sizes: &Sizes) -> Result<Programs, Error> {
    let directory = place.unfinished_pins();
    remove(&directory)?;
    fs::create_dir(&directory).of_file(&directory)?;
    let mut object = load(sizes, Some(&place.pins()))?;
    let loaded = pin_programs(&mut object, &directory).and_then(|()| Programs::open(&directory));
    remove(&directory)?;
    loaded
}

/// Makes tables, or takes those pinned in `tables`, and loads the programs.
fn load(sizes: &Sizes, tables: Option<&Path>) -> Result<Ebpf, Error> {
    let mut loader = EbpfLoader::new();
    for (name, directory) in maps::NAMES.into_iter().zip(tables.into_iter().cycle()) {
        loader.map_pin_path(name, directory.join(name));
    }
    let cpus = maps::possible_cpus()? as u32;
    for (name, entries) in sizes.max_entries(cpus) {
        loader.map_max_entries(name, entries);
    }
    let level = kernel_log::level();
    loader.override_global("AYA_LOG_LEVEL", &level, true);
    loader.override_global("SG_RULE_COUNTERS", &sizes.rule_counters, true);
    let mut object = loader.load(OBJECT).map_err(|error| {
        out_of_memory(&error, &sizes.max_entries(cpus)).unwrap_or_else(|| Error::Kernel {
            what: "making the kernel's tables".to_owned(),
            source: Box::new(error),
        })
    })?;
    load_programs(&mut object)?;
    Ok(object)
}

/// Loads the programs at once: the verifier takes a processor for each of them, for longer than all the rest takes.
fn load_programs(object: &mut Ebpf) -> Result<(), Error> {
    if let Some(name) = programs::NAMES.into_iter().find(|name| object.program(name).is_none()) {
        return Err(absent("program", name));
    }
    let mut ours: Vec<_> = object.programs_mut().filter(|(name, _)| programs::NAMES.contains(name)).collect();
    // Of several faults always the same is told.
    ours.sort_by_key(|(name, _)| programs::NAMES.iter().position(|known| known == name));
    thread::scope(|scope| {
        let start =
            |(name, program)| thread::Builder::new().spawn_scoped(scope, move || load_program(name, program));
        let loads: Vec<_> = ours.into_iter().map(start).collect();
        loads.into_iter().try_for_each(|load| {
            let load = load.attempt(|| "starting a thread to load a program".to_owned())?;
            load.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    })
}

fn load_program(name: &str, program: &mut Program) -> Result<(), Error> {
    let loaded = match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => return Err(absent("program", name)),
    };
    loaded.map_err(|error| refused(name, error))
}

/// Says that the tables are too large, if that is what `error` is.
fn out_of_memory(error: &aya::EbpfError, sizes: &[(&str, u32)]) -> Option<Error> {
    let aya::EbpfError::MapError(MapError::CreateError { name, io_error, .. }) = error else { return None };
    let is_memory = matches!(io_error.raw_os_error(), Some(libc::ENOMEM | libc::E2BIG));
    is_memory.then(|| {
        let entries = sizes.iter().find(|(known, _)| known == name).map_or(0, |found| found.1);
        Error::InUse(format!(
            "no memory for table {name} of {entries} elements ({io_error}): lower settings.conntrack or settings.limits"
        ))
    })
}

/// The verifier's complaint is long: its end tells the fault, the whole is for `SG_LOG=debug`.
fn refused(name: &str, error: ProgramError) -> Error {
    let what = format!("the kernel refused program {name}");
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            log::debug!("{what}: {log}");
            let end: Vec<&str> = log.lines().rev().take(4).collect();
            let end = end.into_iter().rev().collect::<Vec<_>>().join("\n");
            Error::Kernel { what, source: format!("{io_error}\n{end}").into() }
        }
        other => Error::Kernel { what, source: Box::new(other) },
    }
}

fn absent(kind: &str, name: &str) -> Error {
    Error::Environment(format!("the embedded BPF object has no {kind} {name}: cargo xtask build"))
}

fn pin_tables(object: &Ebpf, directory: &Path) -> Result<(), Error> {
    for name in maps::NAMES {
        let map = object.map(name).ok_or_else(|| absent("table", name))?;
        map.pin(directory.join(name)).attempt(|| format!("pinning table {name}"))?;
    }
    Ok(())
}

fn pin_programs(object: &mut Ebpf, directory: &Path) -> Result<(), Error> {
    for name in programs::NAMES {
        let program = object.program_mut(name).ok_or_else(|| absent("program", name))?;
        program.pin(directory.join(name)).attempt(|| format!("pinning program {name}"))?;
    }
    Ok(())
}

fn initialise(directory: &Path, sizes: &Sizes) -> Result<Kernel, Error> {
    let kernel = Kernel::open(directory)?;
    let mut control = Control {
        seed: random()?,
        buckets: sizes.buckets,
        interfaces: sizes.interfaces,
        ..Control::default()
    };
    kernel.set_control(&control);
    control.hz = tick_rate(&kernel)?;
    kernel.set_control(&control);
    Ok(kernel)
}

fn random() -> Result<u64, Error> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 8];
    File::open(path).and_then(|mut source| source.read_exact(&mut bytes)).of_file(path)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn tick_rate(kernel: &Kernel) -> Result<u32, Error> {
    let (ticks, time) = kernel.now()?;
    if let Some(rate) = clock::rate_at_boot(ticks, time) {
        return Ok(rate);
    }
    std::thread::sleep(MEASURED);
    let (later_ticks, later) = kernel.now()?;
    let rate = clock::rate_between(later_ticks.wrapping_sub(ticks), later.saturating_sub(time));
    rate.ok_or_else(|| Error::Environment("the kernel's tick rate could not be told".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_half_as_many_slots_again_as_entries() {
        assert_eq!(buckets(262_144), 49_152);
        assert_eq!(buckets(1024), 192);
        assert_eq!(buckets(1), 1);
        assert_eq!(buckets(16_777_216), 3_145_728);
    }

    #[test]
    fn sizes_follow_the_settings() {
        let sizes = Sizes::of(&Settings::default());
        assert_eq!(sizes.interfaces, 4097);
        assert_eq!(sizes.lines, 1 << 20);
        let of =
            |name| sizes.max_entries(2).into_iter().find(|(known, _)| *known == name).map(|found| found.1);
        assert_eq!(of(maps::DIRECTORY), Some(8194));
        assert_eq!(of(maps::CT6), Some(393_216));
        assert_eq!(of(maps::RULE_COUNTERS), Some(2 * 262_144));
        assert_eq!(of(maps::FRAG_TAGS), Some(3072));
    }
}
