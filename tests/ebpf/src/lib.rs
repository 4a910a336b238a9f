//! What the bench and its BPF programs agree on: how packets are drawn.
#![cfg_attr(target_arch = "bpf", no_std)]

pub mod draw;
