//! One change of policy, whole: from the lock to the last hook.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Loaded, bind, environment,
    error::Error,
    hooks::remove_clsact,
    interfaces::{self, Device},
    kernel::Kernel,
    links,
    load::{self, Sizes},
    lock::Lock,
    not_loaded,
    place::{Options, Place},
    read_state,
    store::{Carried, Hooks, Store},
    upgrade,
    write::grace_period,
};
use crate::{
    compile::{self, State},
    policy::{Policy, model::Settings},
};

/// What is in force, for writing. There is one at a time.
pub struct Writer {
    /// What is in force.
    pub loaded: Loaded,
    pub(super) place: Place,
    pub(super) store: Store,
    pub(super) hooks: Hooks,
    origin: Origin,
    _lock: Lock,
}

/// What the tables were when they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Made just now.
    New,
    /// In force.
    Known,
    /// In force, but nobody knows what is: there is nothing to return to.
    Lost,
}

/// What came of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The generation in force.
    pub generation: u32,
    /// Whether it is a new one.
    pub is_changed: bool,
    /// Interfaces in force.
    pub interfaces: Vec<String>,
    /// Entries of the policy that name a device which is not there: indexes into [`Policy::interfaces`].
    pub missing: Vec<usize>,
    /// Programs that were attached and taken off.
    pub hooks_changed: usize,
}

impl Writer {
    /// Opens what is in force, or makes the tables that `settings` ask for; without settings nothing is made.
    pub fn open(options: &Options, settings: Option<&Settings>) -> Result<Self, Error> {
        environment::check()?;
        let mut place = Place::find(options)?;
        if settings.is_some() {
            place.prepare()?;
        } else if !place.pins().is_dir() {
            return Err(not_loaded(&place));
        }
        let store = Store::new(place.state());
        let lock = Lock::take(&place.root())?;
        let (loaded, origin) = match adopt(&place, &store, settings)? {
            Some(adopted) => adopted,
            None => (create(&place, &store, settings.ok_or(Error::NotLoaded)?)?, Origin::New),
        };
        let hooks = store.hooks();
        Ok(Self { loaded, place, store, hooks, origin, _lock: lock })
    }

    /// Brings `policy` into force on the devices that there are. On an error what was in force is in force.
    pub fn apply(&mut self, policy: &Arc<Policy>) -> Result<Outcome, Error> {
        let devices = interfaces::list()?;
        let before = self.loaded.state.clone();
        let checked = self.check_hooks(policy, &devices);
        let outcome = checked
            .and_then(|()| self.change(policy, &devices).inspect_err(|_| self.take_back(&before, &devices)));
        match (&outcome, self.origin) {
            (Ok(_), _) => self.origin = Origin::Known,
            // Links of another version may have been taken over: what hangs on them stays.
            (Err(_), Origin::New) if !upgrade::others(&self.place).is_empty() => {}
            (Err(_), Origin::New) => clear(&self.place, &self.store)?,
            (Err(_), Origin::Known | Origin::Lost) => {}
        }
        outcome
    }

    /// Returns to what was in force, on the devices that it was in force on.
    fn take_back(&mut self, before: &State, devices: &[Device]) {
        if self.origin != Origin::Known {
            return;
        }
        let was_bound = |device: &&Device| before.interfaces().contains_key(&device.name);
        let devices: Vec<Device> = devices.iter().filter(was_bound).cloned().collect();
        if let Err(error) = self.change(before.policy(), &devices) {
            log::error!("the policy before could not be brought back whole: {error}");
        }
    }

    fn change(&mut self, policy: &Arc<Policy>, devices: &[Device]) -> Result<Outcome, Error> {
        let is_changed = self.bring(policy, devices)?;
        let hooks_changed = self.sync_hooks(devices)?;
        Ok(Outcome {
            generation: self.loaded.state.generation(),
            is_changed,
            interfaces: self.loaded.state.interfaces().keys().cloned().collect(),
            missing: bind::missing(policy, devices),
            hooks_changed,
        })
    }

    /// Makes `policy` the one that packets are judged by; false if it was.
    fn bring(&mut self, policy: &Arc<Policy>, devices: &[Device]) -> Result<bool, Error> {
        let linked = self.linked()?;
        let is_lost = self.origin == Origin::Lost;
        let Self { loaded, store, .. } = self;
        let bindings = bind::bindings(policy, devices, &loaded.state, &linked);
        let (mut plan, next) = compile::plan(&loaded.state, policy, &bindings, &loaded.kernel.clock()?)?;
        if is_lost {
            loaded.kernel.inherit_members(&mut plan)?;
        }
        if plan.is_empty() {
            // Descriptions, and groups that nobody is bound to.
            if loaded.state.policy() != policy {
                store.save_state(next.generation(), &next.save())?;
                loaded.state = next;
            }
            return Ok(false);
        }
        for slot in newcomers(&loaded.state, &next) {
            loaded.kernel.zero_stats(slot)?;
        }
        store.save_state(plan.generation, &next.save())?;
        if let Err(error) = loaded.kernel.prepare(&plan) {
            store.remove_others(loaded.state.generation());
            return Err(error);
        }
        loaded.kernel.switch_to(&plan);
        let before = std::mem::replace(&mut loaded.state, next);
        loaded.kernel.retire(&plan, &unused(&before, &loaded.state))?;
        let carried = std::mem::take(&mut loaded.carried);
        let kernel = &loaded.kernel;
        loaded.carried = carried.after(&plan.counters_to_zero, &plan.counter_moves, |at| {
            let mut counter = kernel.rule_counters(at..at + 1)?.pop().unwrap_or_default();
            carried.add_to(at, &mut counter);
            Ok::<_, Error>(counter)
        })?;
        store.save_carried(plan.generation, &loaded.carried)?;
        store.remove_others(plan.generation);
        Ok(true)
    }
}

/// Detaches everything and removes every pin and file; false if there was nothing.
pub fn unload(options: &Options) -> Result<bool, Error> {
    environment::check()?;
    let place = Place::find(options)?;
    let store = Store::new(place.state());
    if !place.root().is_dir() {
        store.clear()?;
        store.remove();
        return Ok(false);
    }
    let lock = Lock::take(&place.root())?;
    let was_loaded = place.pins().is_dir() || !upgrade::others(&place).is_empty();
    clear(&place, &store)?;
    store.remove();
    lock.remove();
    Ok(was_loaded)
}

fn clear(place: &Place, store: &Store) -> Result<(), Error> {
    remove_clsact(store.hooks().values(), &interfaces::list()?)?;
    if place.links().is_dir() {
        links::detach(links::links(&place.links())?.values())?;
    }
    // Not the directory itself: it is the lock.
    load::remove_all_in(&place.root())?;
    store.clear()
}

/// What is pinned, if it was ever in force.
fn adopt(
    place: &Place,
    store: &Store,
    settings: Option<&Settings>,
) -> Result<Option<(Loaded, Origin)>, Error> {
    if !place.pins().is_dir() {
        return Ok(None);
    }
    let mut kernel = Kernel::open(&place.pins())?;
    let generation = kernel.generation();
    if generation == 0 {
        return Ok(None);
    }
    let sizes = kernel.sizes()?;
    if let Some(settings) = settings {
        check_sizes(&sizes, &Sizes::of(settings))?;
        if upgrade::renew(place, &sizes, &store.hooks())? {
            kernel = Kernel::open(&place.pins())?;
        }
    }
    let Some(state) = read_state(&kernel, store, generation) else {
        let Some(settings) = settings else {
            return Err(Error::StateLost { path: store.state_path(generation) });
        };
        log::warn!("{}: not readable; everything is compiled anew", store.state_path(generation).display());
        let half = kernel.heap_half_in_force()?.unwrap_or(1);
        let state = State::lost(settings.limits, generation, half);
        return Ok(Some((Loaded { kernel, state, carried: Carried::default() }, Origin::Lost)));
    };
    if store.has_others(generation) {
        grace_period();
        kernel.repair_members(generation)?;
        store.remove_others(generation);
    }
    Ok(Some((Loaded { carried: store.carried(generation), kernel, state }, Origin::Known)))
}

fn create(place: &Place, store: &Store, settings: &Settings) -> Result<Loaded, Error> {
    upgrade::check_others(place, &store.hooks())?;
    if upgrade::others(place).is_empty() {
        clear(place, store)?;
    } else {
        load::remove(&place.pins())?;
    }
    let kernel = load::create(place, &Sizes::of(settings))?;
    Ok(Loaded { kernel, state: State::new(settings.limits), carried: Carried::default() })
}

fn check_sizes(existing: &Sizes, wanted: &Sizes) -> Result<(), Error> {
    let pairs = existing.settings().into_iter().zip(wanted.settings());
    match pairs.into_iter().find(|((_, existing), (_, wanted))| existing != wanted) {
        Some(((setting, existing), (_, wanted))) => Err(Error::OtherSize { setting, wanted, existing }),
        None => Ok(()),
    }
}

/// Slots whose interface is another than before.
fn newcomers(before: &State, next: &State) -> Vec<u32> {
    let had = |name: &str, slot| before.interfaces().get(name).is_some_and(|bound| bound.slot == slot);
    let bound = next.interfaces().iter();
    bound.filter(|(name, bound)| !had(name, bound.slot)).map(|(_, bound)| bound.slot).collect()
}

/// Device indexes that were bound and are not.
fn unused(before: &State, next: &State) -> Vec<u32> {
    let indexes = |state: &State| -> BTreeSet<u32> {
        state.interfaces().values().map(|bound| bound.row.ifindex).collect()
    };
    indexes(before).difference(&indexes(next)).copied().collect()
}
