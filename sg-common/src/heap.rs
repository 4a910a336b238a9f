//! The compiled policy as the kernel reads it: a heap of 64-byte lines, addressed by line number.
//!
//! Lines are written once and never changed while something refers to them; an update writes new lines and then
//! switches the generation word. Line 0 is never used, so 0 is "nothing" wherever a line or a tree is named.
//!
//! **Tree.** The one search structure. A node is one line: eight ascending `u32` keys, eight values. Value `i` covers
//! `keys[i] ..= keys[i + 1] - 1`; `keys[0]` is not looked at (the first value covers everything below `keys[1]`).
//! Unused places repeat the last value under the key `u32::MAX`. In an inner node a value is the child's line; in a
//! leaf it is the answer. All leaves have the same depth, which a [`TreeRef`] carries.
//!
//! What is searched:
//! - a **row**: key [`service`] (protocol and destination port, or ICMP type and code) -> [`Decision`];
//! - an **IPv4 address**: key the address in host order -> whatever the tree is for;
//! - an **IPv6 address**: four stages of 32 bits; an answer with [`LINK`] set is the tree of the next stage, any other
//!   answer is final;
//! - a **membership set** number -> row.
//!
//! **Policy root.** One line, [`PolicyRoot`]: everything that judges one direction of one set of groups.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    addr::Addr,
    limits::{ADDRESS_STAGES, MAX_TREE_DEPTH},
    opaque::opaque,
};

/// Number of a line in the heap.
pub type LineIndex = u32;

/// 64 bytes of heap: one cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Line(pub [u32; 16]);

/// Children or answers of one tree node.
pub const FANOUT: usize = 8;
const LINE_BITS: u32 = 28;
const LINE_MASK: u32 = (1 << LINE_BITS) - 1;
/// Set in an address search's answer when it is the [`TreeRef`] of the next stage.
pub const LINK: u32 = 1 << 31;

/// A tree: root line (28 bits) and depth (3 bits above). 0 is the empty tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TreeRef(pub u32);

impl TreeRef {
    /// The tree with its root in `line` and `depth` inner levels above the leaves.
    pub const fn new(line: LineIndex, depth: u32) -> Self {
        Self((line & LINE_MASK) | (depth << LINE_BITS))
    }

    /// Root line.
    #[inline(always)]
    pub const fn line(self) -> LineIndex {
        self.0 & LINE_MASK
    }

    /// Inner levels above the leaves.
    #[inline(always)]
    pub const fn depth(self) -> u32 {
        (self.0 >> LINE_BITS) & 7
    }

    /// Whether there is nothing to search.
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Access to the heap: a map in the kernel, a slice in tests.
pub trait Lines {
    /// Line `index`, or `None` outside the heap.
    fn line(&self, index: LineIndex) -> Option<&[u32; 16]>;

    /// Answer of `tree` for `key`: [`walk`], or a call of it.
    #[inline(always)]
    fn search(&self, tree: TreeRef, key: u32) -> u32 {
        walk(self, tree, key)
    }
}

impl Lines for [Line] {
    fn line(&self, index: LineIndex) -> Option<&[u32; 16]> {
        self.get(index as usize).map(|line| &line.0)
    }
}

/// Answer of `tree` for `key`; 0 for the empty tree and for a line outside the heap.
#[inline(always)]
pub fn search<L: Lines + ?Sized>(lines: &L, tree: TreeRef, key: u32) -> u32 {
    lines.search(tree, key)
}

/// The search itself.
#[inline(always)]
pub fn walk<L: Lines + ?Sized>(lines: &L, tree: TreeRef, key: u32) -> u32 {
    let mut at = tree.line();
    let mut depth = tree.depth();
    if at == 0 {
        return 0;
    }
    for _ in 0..MAX_TREE_DEPTH {
        let Some(node) = lines.line(at) else { return 0 };
        at = node[FANOUT + (rank(node, key) & (FANOUT - 1))];
        if depth == 0 {
            return at;
        }
        depth -= 1;
    }
    0
}

/// How many of the node's keys 1 to 7 are at most `key`, without a branch: the borrow of `node[i] - key - 1`.
#[inline(always)]
fn rank(node: &[u32; 16], key: u32) -> usize {
    // If the compiler knew that both sides of the subtraction are 32-bit numbers, it would make a branch of each
    // comparison, and the verifier would follow all 2^7 ways through each node: "BPF program is too large. Processed
    // 1000001 insn".
    let above = opaque(u64::from(key) + 1);
    let at_most = |i: usize| u64::from(node[i]).wrapping_sub(above) >> 63;
    (at_most(1) + at_most(2) + at_most(3) + at_most(4) + at_most(5) + at_most(6) + at_most(7)) as usize
}

/// Answer of an IPv4 address tree.
#[inline(always)]
pub fn search_v4<L: Lines + ?Sized>(lines: &L, tree: TreeRef, addr: [u8; 4]) -> u32 {
    search(lines, tree, u32::from_be_bytes(addr))
}

/// Answer of an IPv6 address tree: up to four stages.
#[inline(always)]
pub fn search_v6<L: Lines + ?Sized>(lines: &L, tree: TreeRef, addr: &Addr) -> u32 {
    let mut answer = LINK | tree.0;
    for stage in 0..ADDRESS_STAGES {
        answer = search(lines, TreeRef(answer & !LINK), addr.piece(stage));
        if answer & LINK == 0 {
            return answer;
        }
    }
    0
}

/// Which way a rule set decides a packet: rank of the rule in the policy (24 bits) above flags (8 bits), so that of
/// two decisions the smaller number is the one evaluated first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision(pub u32);

impl Decision {
    /// The packet passes.
    pub const ALLOW: u32 = 1;
    /// The deciding rule's group is stateless: no entry is made.
    pub const STATELESS: u32 = 1 << 1;
    /// No rule matched: the default policy decided.
    pub const DEFAULT: u32 = 1 << 2;
    /// No decision; loses against every other.
    pub const NONE: Self = Self(u32::MAX);
    /// Largest rank.
    pub const MAX_RANK: u32 = (1 << 24) - 2;

    /// The rule of `rank` (0 is evaluated first) decides as `flags` say.
    pub const fn new(rank: u32, flags: u32) -> Self {
        Self(rank << 8 | flags & 0xff)
    }

    /// Place of the rule in evaluation order, which is also its counter's offset.
    #[inline(always)]
    pub const fn rank(self) -> u32 {
        self.0 >> 8
    }

    /// Whether every bit of `flag` is set.
    #[inline(always)]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag == flag
    }
}

/// Everything that judges one direction of one set of groups. The decision on a packet is the smallest of
/// `default`, the base row's, the prefix row's and the membership row's answers for the packet's [`service`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PolicyRoot {
    /// Rows of the rules that match any remote, by family.
    pub base: [u32; 2],
    /// Address trees of the rules with prefixes, by family; answers are rows (or 0).
    pub prefixes: [u32; 2],
    /// Trees from membership set to row, by family.
    pub members: [u32; 2],
    /// The default policy as a [`Decision`] whose rank is the number of rules.
    pub default: u32,
    /// Line of the root that takes over at `until`; 0 = none.
    pub next: LineIndex,
    /// Tick at which the next rule expires; `u64::MAX` = never.
    pub until: u64,
    /// How many expiries lie behind this root: added to the interface's generation.
    pub version: u32,
    /// Unused.
    pub reserved: [u32; 5],
}

const _: () = assert!(size_of::<PolicyRoot>() == size_of::<Line>());

/// Row key of a packet: protocol and destination port.
#[inline(always)]
pub const fn service(protocol: u8, port: u16) -> u32 {
    (protocol as u32) << 16 | port as u32
}

/// Row key of an ICMP or ICMPv6 message.
#[inline(always)]
pub const fn icmp_service(protocol: u8, kind: u8, code: u8) -> u32 {
    service(protocol, (kind as u16) << 8 | code as u16)
}

/// Row key of a later fragment, whose ports are unknown: there a row answers with the first rule that either has no
/// ports or types, or denies. (A deny with ports might have matched, an allow with ports might not.)
#[inline(always)]
pub const fn fragment_service(protocol: u8) -> u32 {
    1 << 24 | (protocol as u32) << 16
}

/// First key past every service.
pub const SERVICE_END: u32 = 1 << 25;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(keys: [u32; 8], values: [u32; 8]) -> Line {
        let mut words = [0; 16];
        words[..8].copy_from_slice(&keys);
        words[8..].copy_from_slice(&values);
        Line(words)
    }

    #[test]
    fn a_leaf_answers_by_the_last_key_not_above() {
        let max = u32::MAX;
        let heap = [Line::default(), node([0, 10, 20, max, max, max, max, max], [1, 2, 3, 3, 3, 3, 3, 3])];
        let tree = TreeRef::new(1, 0);
        for (key, answer) in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (max - 1, 3), (max, 3)] {
            assert_eq!(search(&heap[..], tree, key), answer, "key {key}");
        }
    }

    #[test]
    fn inner_nodes_lead_to_their_leaf() {
        let max = u32::MAX;
        let heap = [
            Line::default(),
            node([0, 100, max, max, max, max, max, max], [2, 3, 3, 3, 3, 3, 3, 3]),
            node([0, 50, max, max, max, max, max, max], [7, 8, 8, 8, 8, 8, 8, 8]),
            node([100, 150, max, max, max, max, max, max], [9, 10, 10, 10, 10, 10, 10, 10]),
        ];
        let tree = TreeRef::new(1, 1);
        for (key, answer) in [(0, 7), (50, 8), (99, 8), (100, 9), (149, 9), (150, 10)] {
            assert_eq!(search(&heap[..], tree, key), answer, "key {key}");
        }
    }

    #[test]
    fn nothing_is_found_in_an_empty_tree_or_outside_the_heap() {
        assert_eq!(search(&[Line::default()][..], TreeRef(0), 5), 0);
        assert_eq!(search(&[Line::default()][..], TreeRef::new(9, 0), 5), 0);
    }

    #[test]
    fn the_smaller_decision_is_evaluated_first_whatever_its_flags() {
        assert!(Decision::new(1, 0xff) < Decision::new(2, 0));
        assert!(Decision::new(Decision::MAX_RANK, 0xff) < Decision::NONE);
    }
}
