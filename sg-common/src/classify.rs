//! What a policy decides about a packet: at most three rows asked, the smallest answer wins.

use crate::{
    addr::{Addr, V4},
    heap::{Decision, Lines, PolicyRoot, TreeRef, search, search_v4, search_v6},
};

/// Decision of `root` on a packet of `family` ([`V4`] or [`V6`](crate::addr::V6)) whose other end is `remote`, a
/// member of the groups of set number `set` (0 = of none), and which speaks `service` (a row key: see
/// [`service`](crate::heap::service), [`icmp_service`](crate::heap::icmp_service),
/// [`fragment_service`](crate::heap::fragment_service)).
///
/// A line outside the heap answers 0, which is a deny: what cannot be read lets nothing pass.
#[inline(always)]
pub fn classify<L: Lines + ?Sized>(
    lines: &L,
    root: &PolicyRoot,
    family: usize,
    remote: &Addr,
    set: u32,
    service: u32,
) -> Decision {
    let family = family & 1;
    let prefix = if family == V4 {
        search_v4(lines, TreeRef(root.prefixes[V4]), remote.v4_octets())
    } else {
        search_v6(lines, TreeRef(root.prefixes[family]), remote)
    };
    let member = if set == 0 { 0 } else { search(lines, TreeRef(root.members[family]), set) };
    Decision(root.default)
        .min(row(lines, root.base[family], service))
        .min(row(lines, prefix, service))
        .min(row(lines, member, service))
}

/// Answer of one row; none where there is no row.
#[inline(always)]
fn row<L: Lines + ?Sized>(lines: &L, row: u32, service: u32) -> Decision {
    let tree = TreeRef(row);
    if tree.is_empty() { Decision::NONE } else { Decision(search(lines, tree, service)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        addr::V6,
        heap::{LINK, Line, service},
    };

    /// A leaf: `answer` from `from` to `to`, `other` elsewhere.
    fn leaf(from: u32, to: u32, answer: u32, other: u32) -> Line {
        let max = u32::MAX;
        Line([
            0,
            from,
            to + 1,
            max,
            max,
            max,
            max,
            max, //
            other,
            answer,
            other,
            other,
            other,
            other,
            other,
            other,
        ])
    }

    fn row(rank: u32, flags: u32) -> Line {
        leaf(service(6, 80), service(6, 90), Decision::new(rank, flags).0, Decision::NONE.0)
    }

    #[test]
    fn the_smallest_of_default_base_prefix_and_member_row_wins() {
        let row_at = |line| TreeRef::new(line, 0).0;
        let heap = [
            Line::default(),
            row(5, Decision::ALLOW),                      // 1: base
            row(3, 0),                                    // 2: 10.0.0.0/8
            row(1, Decision::ALLOW),                      // 3: set 7
            leaf(0x0a00_0000, 0x0aff_ffff, row_at(2), 0), // 4: prefixes
            leaf(7, 7, row_at(3), 0),                     // 5: sets
        ];
        let root = PolicyRoot {
            base: [row_at(1), 0],
            prefixes: [row_at(4), 0],
            members: [row_at(5), 0],
            default: Decision::new(6, Decision::DEFAULT).0,
            ..PolicyRoot::default()
        };
        let rank = |addr: [u8; 4], set, port| {
            classify(&heap[..], &root, V4, &Addr::v4(addr), set, service(6, port)).rank()
        };
        assert_eq!(rank([11, 0, 0, 1], 0, 85), 5);
        assert_eq!(rank([10, 0, 0, 1], 0, 85), 3);
        assert_eq!(rank([10, 0, 0, 1], 7, 85), 1);
        assert_eq!(rank([10, 0, 0, 1], 8, 85), 3);
        assert_eq!(rank([10, 0, 0, 1], 7, 91), 6);
        // The other family has no tables: the default.
        let v6 = classify(&heap[..], &root, V6, &Addr([1; 16]), 7, service(6, 85));
        assert_eq!((v6.rank(), v6.has(Decision::DEFAULT)), (6, true));
    }

    #[test]
    fn an_ipv6_prefix_is_found_through_its_stages() {
        let row_at = |line| TreeRef::new(line, 0).0;
        let heap = [
            Line::default(),
            row(2, Decision::ALLOW),
            leaf(0x2001_0db8, 0x2001_0db8, LINK | row_at(3), 0),
            leaf(0x0001_0000, 0x0001_ffff, row_at(1), 0), // 2001:db8:1::/48
        ];
        let root = PolicyRoot {
            prefixes: [0, row_at(2)],
            default: Decision::new(9, Decision::DEFAULT).0,
            ..PolicyRoot::default()
        };
        let mut addr = Addr([0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let rank = |addr: &Addr| classify(&heap[..], &root, V6, addr, 0, service(6, 80)).rank();
        assert_eq!(rank(&addr), 2);
        addr.0[5] = 2;
        assert_eq!(rank(&addr), 9);
    }

    #[test]
    fn what_cannot_be_read_denies() {
        let root = PolicyRoot { base: [99, 0], default: Decision::NONE.0, ..PolicyRoot::default() };
        let decision = classify(&[Line::default()][..], &root, V4, &Addr::v4([1; 4]), 0, service(6, 80));
        assert!(!decision.has(Decision::ALLOW));
    }
}
