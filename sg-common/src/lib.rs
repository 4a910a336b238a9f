//! The ABI between `sg-agent` and `sg-ebpf`: every map key and value, and the arithmetic both sides must agree on.
//!
//! `no_std`, no kernel calls, no allocation. Map types are `repr(C)`, hold integers and byte arrays only, and derive
//! zerocopy's `IntoBytes`, which refuses padding at compile time: a padding byte would be sent to the kernel
//! uninitialised and make equal keys differ. Anything read from a map may hold any bit pattern and is decoded with a
//! function that has an answer for each.
//!
//! | module | what it fixes |
//! |---|---|
//! | [`limits`] | capacities and loop bounds |
//! | [`addr`] | one address type for both families |
//! | [`heap`] | the compiled policy: lines, search trees, policy roots, decisions |
//! | [`mod@classify`] | what a policy decides about a packet |
//! | [`interface`] | what the kernel knows of an interface |
//! | [`control`] | the generation word and the settings |
//! | [`conntrack`] | flow keys, the life word, the connection automaton |
//! | [`members`] | group membership by address |
//! | [`verdict`] | reasons and stages |
//! | [`stats`] | counters |
//! | [`events`] | what is told to whoever listens |
//! | [`sweep`] | reclaiming conntrack slots |
//! | [`probe`] | asking the loaded program about a packet |
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod addr;
pub mod classify;
pub mod conntrack;
pub mod control;
pub mod events;
pub mod heap;
pub mod interface;
pub mod limits;
pub mod members;
pub mod opaque;
pub mod probe;
pub mod stats;
pub mod sweep;
pub mod verdict;

#[cfg(feature = "user")]
mod pod;

/// Version of every layout in this crate. Part of the pin path: an agent never reads maps of another version.
pub const ABI_VERSION: u32 = 3;
