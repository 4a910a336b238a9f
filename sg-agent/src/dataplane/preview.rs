//! What a change would do: everything that `apply` works out before it writes, and nothing written.

use std::sync::Arc;

use super::{
    Loaded, bind, environment,
    error::Error,
    hooks::{self, check_hooks, linked},
    inherit,
    interfaces::{self, Device},
    links,
    load::Sizes,
    place::{Options, Place},
    store::Store,
    trial::Pending,
    writer::check_sizes,
};
use crate::{
    compile::{self, Clock, State},
    policy::Policy,
};

/// A change that has not been made.
pub struct Preview {
    /// What is in force; `None` if nothing is.
    pub loaded: Option<Loaded>,
    /// What would be in force.
    pub next: State,
    /// The time that this holds for.
    pub clock: Clock,
    /// Interfaces that are not filtered and would be.
    pub gained: Vec<String>,
    /// Interfaces that are filtered and would not be.
    pub lost: Vec<String>,
    /// Bindings by `attach` that would be forgotten, because there is no such device any more.
    pub forgotten: Vec<String>,
}

/// What applying the file of `policy` would do. Fails where that would.
pub fn preview(options: &Options, policy: &Policy) -> Result<Preview, Error> {
    let place = Place::find(options)?;
    let devices = interfaces::list()?;
    let loaded = match Loaded::open(options) {
        Ok(loaded) => Some(loaded),
        Err(Error::NotLoaded) => None,
        Err(error) => return Err(error),
    };
    environment::check()?;
    let clock = match &loaded {
        Some(loaded) => check_tables(loaded, policy)?,
        None => Clock { now_wall: std::time::SystemTime::now(), now_tick: 0, hz: 100 },
    };
    let nothing = State::new(policy.settings.limits);
    let state = loaded.as_ref().map_or(&nothing, |loaded| &loaded.state);
    let mut whole = Policy::clone(policy);
    let forgotten = inherit::inherit(&mut whole, state, &devices);
    inherit::check_in_use(&whole, state, &devices)?;
    let linked = if place.links().is_dir() {
        let links = links::links(&place.links())?;
        check_hooks(&place, &links, &Store::new(place.state()).hooks(), &whole, &devices)?;
        linked(&links, &devices)
    } else {
        Default::default()
    };
    let whole = Arc::new(whole);
    let (_, next) = compile::plan(state, &whole, &bind::bindings(&whole, &devices, state, &linked), &clock)?;
    let enforced = loaded.as_ref().map(|loaded| enforced(loaded, &place)).transpose()?.unwrap_or_default();
    let (gained, lost) = (gained(&next, &enforced), lost(&next, &enforced, &devices));
    Ok(Preview { loaded, next, clock, gained, lost, forgotten })
}

/// Fails if the tables are not as `policy` wants them, or may not be changed now.
fn check_tables(loaded: &Loaded, policy: &Policy) -> Result<Clock, Error> {
    let clock = loaded.kernel.clock()?;
    if let Some(pending) = Pending::of(&loaded.kernel.control(), &clock) {
        return Err(pending.refusal());
    }
    check_sizes(&loaded.kernel.sizes()?, &Sizes::of(&policy.settings))?;
    Ok(clock)
}

/// Names of the interfaces whose programs are where they belong.
pub fn enforced(loaded: &Loaded, place: &Place) -> Result<Vec<String>, Error> {
    let all = hooks::status(loaded, place)?;
    Ok(all.into_iter().filter(|one| one.enforced).map(|one| one.name).collect())
}

fn gained(next: &State, enforced: &[String]) -> Vec<String> {
    next.interfaces().keys().filter(|name| !enforced.contains(name)).cloned().collect()
}

/// Those of the `enforced` interfaces that are there and that `next` does not filter.
pub fn lost(next: &State, enforced: &[String], devices: &[Device]) -> Vec<String> {
    let is_there = |name: &str| devices.iter().any(|device| device.name == name);
    let is_lost = |name: &&String| is_there(name) && !next.interfaces().contains_key(*name);
    enforced.iter().filter(is_lost).cloned().collect()
}
