//! Random policies, and random packets that keep close to where those change their mind.
//!
//! Everything comes from a seed, the same one every time unless `SG_SEED` names another: a number, or `random` for one
//! that was never used before. Whoever uses this prints it when something is wrong.

mod packet;
mod policy;

use std::{env, time::SystemTime};

pub use packet::{Probe, packet};
pub use policy::{Shape, policy};

/// Where a change is judged, the same packets as before it judge it.
const SEED: u64 = 20_261_120;

/// `$SG_SEED`, else [`SEED`].
///
/// # Panics
/// If `$SG_SEED` is neither a number nor `random`.
pub fn seed() -> u64 {
    match env::var("SG_SEED").as_deref() {
        Err(_) => SEED,
        Ok("random") => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            now.as_nanos() as u64
        }
        Ok(text) => text.parse().expect("SG_SEED is a number, or `random`"),
    }
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
