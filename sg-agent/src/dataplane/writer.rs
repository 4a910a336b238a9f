//! One change of policy, whole: from the lock to the last hook.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Loaded,
    change::Before,
    environment,
    error::Error,
    grace::{self, grace_period},
    history::History,
    hooks::remove_clsact,
    inherit,
    interfaces::{self, Device},
    kernel::Kernel,
    links,
    load::{self, Sizes},
    lock::Lock,
    not_loaded,
    place::{Options, Place},
    programs::Programs,
    read_state,
    site::{Book, OnFault},
    store::Store,
    trial::{self, Standing},
    upgrade,
    verify::Progress,
};
use crate::{
    compile::State,
    policy::{Policy, Text, model::Settings},
};

/// What is in force, for writing. There is one at a time.
pub struct Writer {
    /// What is in force.
    pub loaded: Loaded,
    pub(super) place: Place,
    pub(super) store: Store,
    /// Where programs are.
    pub(super) book: Book,
    /// What waits for its confirmation, or did when this was opened.
    pub(super) standing: Standing,
    pub(super) origin: Origin,
    pub(super) on_fault: OnFault,
    pub(super) lock: Lock,
    pub(super) progress: Progress,
    /// Bindings by `attach` whose device is gone, and since when.
    pub(super) absent: BTreeMap<String, Instant>,
    /// The programs a second time; see `order`.
    pub(super) spare: Option<Programs>,
    is_cleared: bool,
}

/// What the tables were when they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Made just now.
    New,
    /// In force.
    Known,
    /// In force, but nobody knows what is: there is nothing to return to.
    Lost,
}

type Adopted = (Loaded, Origin);

/// What came of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The generation in force.
    pub generation: u32,
    /// Whether it is a new one.
    pub is_changed: bool,
    /// From the call, with a valid policy in memory, to the store of the control word. The call lasts longer: it waits
    /// until nobody is judged by the policy before and clears up. Zero where nothing changed.
    pub in_force_after: Duration,
    /// Interfaces in force.
    pub interfaces: Vec<String>,
    /// Entries of the policy that name a device which is not there: indexes into [`Policy::interfaces`].
    pub missing: Vec<usize>,
    /// Programs that were attached and taken off.
    pub hooks_changed: usize,
    /// Interfaces whose binding by `attach` is forgotten: there is no such device any more.
    pub forgotten: Vec<String>,
    /// How long it stays in force without a confirmation.
    pub confirm_within: Option<Duration>,
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
        grace::heal();
        let (adopted, standing) = adopt(&place, &store, settings)?;
        let (loaded, origin) = match (adopted, settings) {
            (Some(adopted), _) => adopted,
            (None, Some(settings)) => (create(&place, &store, settings)?, Origin::New),
            (None, None) => return Err(standing.nothing_loaded(&place)),
        };
        let directory = place.links();
        let book = Book { links: links::links(&directory)?, directory, hooks: store.hooks() };
        let mut writer = Self {
            loaded,
            place,
            store,
            book,
            standing,
            origin,
            on_fault: OnFault::Refuse,
            lock,
            progress: Progress::default(),
            absent: BTreeMap::new(),
            spare: None,
            is_cleared: false,
        };
        if writer.standing == Standing::Returned && origin == Origin::Known {
            writer.complete_return();
        }
        Ok(writer)
    }

    /// Where things live.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Notes what the daemon's policy file says that is about to be brought into force: whoever finds the tables later can
    /// tell whether it is what they may come from.
    pub fn note_config(&self, texts: &[Text]) -> Result<(), Error> {
        self.store.save_config(texts)
    }

    /// Whether it is known what is in force: there is something to keep.
    pub fn is_known(&self) -> bool {
        self.origin == Origin::Known
    }

    /// Whether a change waits for its confirmation.
    pub fn is_on_trial(&self) -> bool {
        matches!(self.standing, Standing::OnTrial(_))
    }

    /// Whether there is anything to hold: not if the first policy was refused or taken back. Pins that somebody else has
    /// removed make no difference; see [`Self::verify`].
    pub fn is_loaded(&self) -> bool {
        !self.is_cleared
    }

    /// Fails if `settings` ask for tables of other sizes than those that there are.
    pub fn check_settings(&self, settings: &Settings) -> Result<(), Error> {
        check_sizes(&self.loaded.kernel.sizes()?, &Sizes::of(settings))
    }

    /// Brings the policy of a file into force, with the bindings that `attach` has made beside it; see
    /// [`Self::apply_for`].
    pub fn apply_file(&mut self, policy: &Arc<Policy>, within: Option<Duration>) -> Result<Outcome, Error> {
        let start = Instant::now();
        let running = &self.loaded.state;
        let mut whole = Policy::clone(policy);
        let forgotten = inherit::inherit(&mut whole, running, &interfaces::list()?);
        let outcome = self.apply_since(start, &Arc::new(whole), within)?;
        Ok(Outcome { forgotten, ..outcome })
    }

    /// Brings `policy` into force on the devices that there are, for good; see [`Self::apply_for`].
    pub fn apply(&mut self, policy: &Arc<Policy>) -> Result<Outcome, Error> {
        self.apply_for(policy, None)
    }

    /// Brings `policy` into force; if it is not confirmed `within` that time, what was in force comes back, whatever
    /// becomes of this process.
    ///
    /// On an error what was in force is in force again. Where nobody knows what that was, or the way back fails as well,
    /// which is logged, packets are judged by the one policy or the other, and hooks may be those of both.
    pub fn apply_for(&mut self, policy: &Arc<Policy>, within: Option<Duration>) -> Result<Outcome, Error> {
        self.apply_since(Instant::now(), policy, within)
    }

    fn apply_since(
        &mut self,
        start: Instant,
        policy: &Arc<Policy>,
        within: Option<Duration>,
    ) -> Result<Outcome, Error> {
        self.check_idle()?;
        if within.is_some() {
            self.check_return()?;
        }
        let devices = interfaces::list()?;
        let before = Before::of(&self.loaded.state);
        let checked = inherit::check_in_use(policy, &self.loaded.state, &devices)
            .and_then(|()| self.check_hooks(policy, &devices));
        let outcome = checked.and_then(|()| {
            let prepared = start.elapsed();
            let changed = self.change(policy, &devices, within).and_then(|mut outcome| {
                if outcome.is_changed {
                    outcome.in_force_after += prepared;
                }
                if within.is_none() {
                    self.conclude(&before)?;
                }
                Ok(outcome)
            });
            changed.inspect_err(|_| self.take_back(&before, &devices))
        });
        if outcome.is_ok() && self.standing == Standing::Returned {
            self.standing = Standing::Idle;
        }
        match (&outcome, self.origin) {
            (Ok(_), _) => self.origin = Origin::Known,
            // Links of another version may have been taken over: what hangs on them stays.
            (Err(_), Origin::New) if !upgrade::others(&self.place).is_empty() => {}
            (Err(_), Origin::New) => self.clear()?,
            (Err(_), Origin::Known | Origin::Lost) => {}
        }
        outcome
    }

    /// Fails if there is something in force that a change on trial could not come back to.
    fn check_return(&self) -> Result<(), Error> {
        match self.origin {
            Origin::Lost => {
                Err(Error::StateLost { path: self.store.state_path(self.loaded.kernel.generation()?) })
            }
            Origin::New if !upgrade::others(&self.place).is_empty() => {
                load::remove(&self.place.pins())?;
                Err(Error::InUse(
                    "what is loaded is of another version: apply without --confirm-within first".to_owned(),
                ))
            }
            Origin::New | Origin::Known => Ok(()),
        }
    }

    /// Takes away everything that was loaded.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.is_cleared = true;
        clear(&self.place, &self.store)
    }

    /// Returns to what was in force, on the devices that it was in force on.
    fn take_back(&mut self, before: &Before, devices: &[Device]) {
        if self.origin != Origin::Known {
            return;
        }
        if matches!(self.standing, Standing::OnTrial(_)) {
            if let Err(error) = self.give_up() {
                log::error!("the policy before could not be brought back whole: {error}");
            }
            return;
        }
        let was_bound = |device: &&Device| before.interfaces.contains(&device.name);
        let devices: Vec<Device> = devices.iter().filter(was_bound).cloned().collect();
        match self.change(&before.policy, &devices, None) {
            Ok(outcome) => self.store.remove_others(outcome.generation),
            Err(error) => log::error!("the policy before could not be brought back whole: {error}"),
        }
    }
}

/// Detaches everything and removes every pin and file; false if there was nothing.
pub fn unload(options: &Options) -> Result<bool, Error> {
    environment::check()?;
    grace::heal();
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

/// What is pinned, if it was ever in force; and what waits for its confirmation.
fn adopt(
    place: &Place,
    store: &Store,
    settings: Option<&Settings>,
) -> Result<(Option<Adopted>, Standing), Error> {
    if !place.pins().is_dir() {
        return Ok((None, Standing::Idle));
    }
    let mut kernel = Kernel::open(&place.pins())?;
    let standing = trial::standing(&mut kernel, store)?;
    let generation = kernel.generation()?;
    if generation == 0 {
        // Links of another version may hang on it: they are `create`'s.
        if upgrade::others(place).is_empty() {
            clear(place, store)?;
        }
        return Ok((None, standing));
    }
    let sizes = kernel.sizes()?;
    if let Some(settings) = settings {
        check_sizes(&sizes, &Sizes::of(settings))?;
        if upgrade::renew(place, &sizes, &store.hooks())? {
            kernel = Kernel::open(&place.pins())?;
        }
    }
    let Some(state) = read_state(&kernel, store, generation)? else {
        let Some(settings) = settings else {
            return Err(Error::StateLost { path: store.state_path(generation) });
        };
        log::warn!("{}: not readable; everything is compiled anew", store.state_path(generation).display());
        let half = kernel.heap_half_in_force().unwrap_or(1);
        let state = State::lost(settings.limits, generation, half);
        return Ok((Some((Loaded { kernel, state, history: History::default() }, Origin::Lost)), standing));
    };
    if store.has_others(generation) && !matches!(standing, Standing::OnTrial(_)) {
        grace_period();
        kernel.repair_members(generation)?;
        store.remove_others(generation);
    }
    Ok((Some((Loaded { history: store.history(generation), kernel, state }, Origin::Known)), standing))
}

fn create(place: &Place, store: &Store, settings: &Settings) -> Result<Loaded, Error> {
    upgrade::check_others(place, &store.hooks())?;
    if upgrade::others(place).is_empty() {
        clear(place, store)?;
    } else {
        load::remove(&place.pins())?;
    }
    let kernel = load::create(place, &Sizes::of(settings))?;
    Ok(Loaded { kernel, state: State::new(settings.limits), history: History::default() })
}

pub(super) fn check_sizes(existing: &Sizes, wanted: &Sizes) -> Result<(), Error> {
    let pairs = existing.settings().into_iter().zip(wanted.settings());
    match pairs.into_iter().find(|((_, existing), (_, wanted))| existing != wanted) {
        Some(((setting, existing), (_, wanted))) => Err(Error::OtherSize { setting, wanted, existing }),
        None => Ok(()),
    }
}
