//! The kernel half of `sg`. [`pipeline::judge`] is the life of a packet, read from top to bottom.
//!
//! | module | does |
//! |---|---|
//! | [`frame`] | reads bytes: the only bounds checks and pointer casts on packet data |
//! | [`packet`], [`parse`] | bytes -> [`packet::Packet`], or the reason why not; pure |
//! | [`guard`] | spoofing, what a guest may not send, infrastructure, exempt networks; pure |
//! | [`scene`] | what is known before the first byte is read: interface, direction, settings, clock |
//! | [`classify`] | the policy maps: which rule decides |
//! | [`conntrack`] | the conntrack tables: find, admit, move on, evict, sweep |
//! | [`case`] | one packet on its way through the stages |
//! | [`short`] | all of that at once, for the common packet of a live connection |
//! | [`track`] | connection or rules: the verdict on an IP packet |
//! | [`account`] | the counters |
//! | [`events`] | tells whoever listens of drops and connections |
//! | [`atomic`] | compare-and-swap on map words |
//! | [`pipeline`] | the story |
//!
//! The library compiles for the host too, where the pure modules are tested. Every map is a private static of the
//! module that owns it.
#![cfg_attr(target_arch = "bpf", no_std, feature(asm_experimental_arch))]
#![expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "every pointer is one that a map look-up in this crate has returned; such a pointer stays valid while the program runs"
)]
#![expect(clippy::len_without_is_empty, reason = "a frame of no bytes is only one more that is cut short")]

/// A map that the agent maps into its memory (`BPF_F_MMAPABLE`, include/uapi/linux/bpf.h).
const MMAPABLE: usize = 1 << 10;

pub mod account;
pub mod atomic;
pub mod case;
pub mod classify;
pub mod conntrack;
pub mod events;
pub mod frame;
pub mod guard;
pub mod packet;
pub mod parse;
pub mod pipeline;
pub mod scene;
pub mod short;
pub mod track;
