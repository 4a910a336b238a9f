//! Random policies, and random packets that keep close to where those change their mind.
//!
//! Everything comes from a seed, which whoever uses this prints when something is wrong: `SG_SEED=… cargo test …` does
//! the same again.

mod packet;
mod policy;

use std::{env, time::SystemTime};

pub use packet::{Probe, packet};
pub use policy::{Shape, policy};

/// `$SG_SEED`, else one that was never used before.
pub fn seed() -> u64 {
    let given = env::var("SG_SEED").ok().map(|text| text.parse().expect("SG_SEED is a number"));
    given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        now.as_nanos() as u64
    })
}

/// One of `choices`.
///
/// # Panics
/// If there are none.
pub(crate) fn one_of<T: Clone>(random: &mut fastrand::Rng, choices: &[T]) -> T {
    random.choice(choices).expect("something to choose from").clone()
}

/// True in one of `n` cases.
pub(crate) fn one_in(random: &mut fastrand::Rng, n: u32) -> bool {
    random.u32(..n) == 0
}
