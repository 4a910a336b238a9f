//! Tables to kernel maps, programs to hooks: the only place that speaks to aya.
//!
//! [`Loaded::open`] gives what is in force to whoever reads: the [`Kernel`], and the compiler's [`State`] that says what
//! its numbers mean.
//!
//! [`Writer::apply`] brings a policy into force: state to disk, lines, members and the other half of the directory to the
//! kernel, one store of the control word, a grace period, then programs on and off their hooks. What was in force stays,
//! or comes back, when a step fails.
//!
//! | module | does |
//! |---|---|
//! | [`place`], [`environment`] | where things live; what has to be there |
//! | `writer`, `change` | one change of policy, from the lock to the last hook |
//! | `members` | single members of a group in force |
//! | [`load`], [`clock`] | makes and pins tables and programs; how fast the kernel ticks |
//! | [`kernel`], `write`, `maps`, `programs`, `memory` | tables and programs, opened; a plan written |
//! | [`bind`], [`interfaces`] | which device goes with which entry of the policy, in which slot |
//! | [`hooks`], `site`, [`attach`], [`links`] | which programs are where, and putting them there |
//! | [`reconcile`], `trial_devices` | follows devices that come and go, also while a change is on trial |
//! | `verify`, `compare`, `pins`, `order` | notices what somebody else has changed, and repairs it |
//! | [`preview`] | what a change would do |
//! | [`capacity`] | how full the tables are |
//! | [`kernel_log`] | the debugging log of the kernel side |
//! | [`inherit`] | what a policy file takes over from what is in force |
//! | [`trial`] | a change that is taken back unless it is confirmed; the policy before |
//! | [`store`], [`history`] | what is remembered beside the tables |
//! | `upgrade` | programs of another build for the tables in use |
//! | [`listen`] | the kernel side's events |
//! | `grace` | waits until nobody is judged by what has been replaced |
//! | `lock` | keeps two writers apart |
//! | [`private`] | files for their owner alone |

pub mod attach;
pub mod bind;
pub mod capacity;
mod change;
pub mod clock;
mod compare;
mod confirm;
pub mod environment;
pub mod error;
mod grace;
mod history;
pub mod hooks;
pub mod inherit;
pub mod interfaces;
pub mod kernel;
pub mod kernel_log;
pub mod links;
pub mod listen;
pub mod load;
mod lock;
mod maps;
mod members;
mod memory;
mod order;
mod pins;
pub mod place;
pub mod preview;
pub mod private;
mod programs;
pub mod reconcile;
mod site;
pub mod store;
pub mod trial;
mod trial_devices;
mod upgrade;
mod verify;
mod write;
mod writer;

use sg_common::stats::RuleCounter;

pub use error::Error;
use history::History;
pub use kernel::Kernel;
pub use lock::Only;
pub use place::{Options, Place};
use store::Store;
pub use writer::{Outcome, Writer, unload};

use crate::compile::State;

/// How often the state is looked for while another process switches generations.
const TRIES: usize = 5;

/// What is in force in this network namespace.
pub struct Loaded {
    /// Tables and programs.
    pub kernel: Kernel,
    /// What they mean.
    pub state: State,
    history: History,
}

impl Loaded {
    /// Opens what is in force, for reading.
    pub fn open(options: &Options) -> Result<Self, Error> {
        environment::check()?;
        Self::at(&Place::find(options)?)
    }

    pub(crate) fn at(place: &Place) -> Result<Self, Error> {
        if !place.pins().is_dir() {
            return Err(not_loaded(place));
        }
        let kernel = Kernel::open(&place.pins())?;
        let store = Store::new(place.state());
        for _ in 0..TRIES {
            let generation = kernel.generation()?;
            if generation == 0 {
                return Err(Error::NotLoaded);
            }
            if let Some(state) = read_state(&kernel, &store, generation)? {
                return Ok(Self { history: store.history(generation), kernel, state });
            }
        }
        Err(Error::StateLost { path: store.state_path(kernel.generation()?) })
    }

    /// What the rules with these counters decided, what they counted before a change of policy included.
    pub fn rule_counters(&self, range: std::ops::Range<u32>) -> Result<Vec<RuleCounter>, Error> {
        let mut counters = self.kernel.rule_counters(range.clone())?;
        for (at, counter) in range.zip(&mut counters) {
            self.history.add_to(at, counter);
        }
        Ok(counters)
    }

    /// Whether it is still what is in force.
    pub fn is_current(&self) -> Result<bool, Error> {
        Ok(self.kernel.is_pinned() && self.kernel.generation()? == self.state.generation())
    }

    /// The tick from which on the rule with this counter, or one that is the same, has been in force.
    pub fn in_force_since(&self, counter: u32) -> Option<u64> {
        self.history.since(counter)
    }
}

/// Nothing of our version is loaded.
fn not_loaded(place: &Place) -> Error {
    match upgrade::others(place).first() {
        None if place.is_out_of_sight() => Error::Environment(format!(
            "nothing is loaded, or it is out of sight: there is no BPF file system at {} here (`ip netns exec` hides the host's; \
             `nsenter --net` does not)",
            place.bpffs().display()
        )),
        None => Error::NotLoaded,
        Some(other) => Error::Environment(format!(
            "what is loaded is of another version ({}): `sg-agent apply FILE` takes over from it",
            other.display()
        )),
    }
}

/// The state of `generation`, if it is known and still in force.
fn read_state(kernel: &Kernel, store: &Store, generation: u32) -> Result<Option<State>, Error> {
    let Some(saved) = store.state(generation) else { return Ok(None) };
    let lines = kernel.lines(saved.heap_lines());
    Ok((kernel.generation()? == generation).then(|| State::restore(saved, lines)))
}
