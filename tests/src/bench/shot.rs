//! What is timed: a program, and the packets that it gets.

use sg_bench_ebpf::draw::Draw;

use super::designs::{Act, Design};
use crate::progrun::{XDP_DROP, XDP_PASS};

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// How packets meet the programs.
pub const MODE: &str = "XDP, BPF_PROG_TEST_RUN";

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The trivial program.
    Floor,
    /// The reference with sg's tables.
    Table,
    /// The reference with the kernel's hash map.
    Hash,
    /// sg, which must let the packet pass.
    Passes,
    /// sg, which must drop it.
    Drops,
    /// A design of a table, and what is done with it.
    Design(Design, Act),
}

impl Program {
    /// What it must return.
    pub const fn verdict(self) -> u32 {
        match self {
            Self::Drops | Self::Design(_, Act::Miss) => XDP_DROP,
            _ => XDP_PASS,
        }
    }
}

/// One call of the kernel: many packets through one program.
#[derive(Clone, Debug)]
pub struct Shot {
    /// The program.
    pub program: Program,
    /// Family of the packets.
    pub family: Family,
    /// How packets are drawn; `None`: all are the same.
    pub draw: Option<Draw>,
    /// Whether what is drawn is the number of a packet of the trace.
    pub traced: bool,
    /// The frame, or what stays of it.
    pub frame: Vec<u8>,
    /// Where it comes in.
    pub ifindex: u32,
    /// How many.
    pub times: u32,
}

impl Shot {
    /// Packets that come before those that are timed.
    pub const fn warm_up(&self) -> u32 {
        self.times / 8
    }

    /// All of its packets.
    pub const fn packets(&self) -> u64 {
        self.times as u64 + self.warm_up() as u64
    }
}
