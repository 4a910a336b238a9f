//! Connections that were there before the policy: `tcp_pickup`.

use super::*;

/// T04, with `tcp_pickup: loose`: what the rules allow is taken up in the middle; what could not be the middle of
/// anything is not.
#[test]
fn loose_pickup_takes_what_the_rules_allow() {
    let loose = policy(RULES).replace("conntrack: {", "conntrack: {tcp_pickup: loose, ");
    tell(&Plane::new(&[PORT], &loose), PORT, &[("loose pickup", loose_pickup)]);
}

fn loose_pickup(life: &Life<'_>) {
    life.is_kept_out(Reason::NoConnection, &to_guest(RST));
    life.is_kept_out(Reason::NoConnection, &to_guest(SYN | ACK));
    life.is_kept_out(Reason::Default, &Transport::tcp(40_000, 9, ACK));
    life.enters(&to_guest(PSH | ACK));
    life.leaves(&to_peer(ACK));
    life.enters(&to_guest(ACK));
    life.is("established", 600);
}
