//! What the catalogue of scenarios tells packet by packet, each life of both families and with received frames judged
//! at XDP and at TCX. Lives on real wires are in `established.rs`, `icmp.rs` and `fragments.rs`.

mod changes;
mod closing;
mod datagrams;
mod expiry;
mod fragments;
mod icmp;
mod pickup;
mod tcp;

use sg_common::{
    addr::{EGRESS, INGRESS},
    events::End,
    verdict::Reason,
};
use sg_tests::{
    life::{Life, Plane, tell},
    packets::{
        Ip, Transport,
        flag::{ACK, FIN, PSH, RST, SYN, URG},
    },
};

const PORT: &str = "tap0";

/// Inbound connections to 8080, 5353, GRE and SCTP; outbound ones to 443, 53 and pings.
const RULES: &str = "
      - {direction: ingress, protocol: tcp, ports: 8080}
      - {direction: ingress, protocol: udp, ports: [0, 5353]}
      - {direction: ingress, protocol: sctp, ports: 3366}
      - {direction: ingress, protocol: 47}
      - {direction: egress, protocol: tcp, ports: 443}
      - {direction: egress, protocol: udp, ports: 53}
      - {direction: egress, service: ping}
      - {direction: egress, protocol: icmp, icmp: {type: 13, code: 0}}
";

fn policy(rules: &str) -> String {
    format!(
        "version: 1
settings: {{conntrack: {{max_entries: 4096, max_per_interface: 2048}}, limits: {{policy_bytes: 1048576}}}}
security_groups:
  guest:
    default_policy: {{ingress: deny, egress: deny}}
    rules: [{}]
interfaces:
  - {{name: {PORT}, role: guest, groups: [guest], addresses: [10.9.2.2, \"fd02::2\"]}}
",
        rules.trim().lines().map(|line| line.trim().trim_start_matches("- ")).collect::<Vec<_>>().join(", ")
    )
}

/// A host with one guest under [`RULES`].
fn plane() -> Plane {
    Plane::new(&[PORT], &policy(RULES))
}

/// From the peer's port 40000 to the guest's 8080, which a rule allows.
fn to_guest(flags: u8) -> Transport {
    Transport::tcp(40_000, 8080, flags)
}

/// Its answer.
fn to_peer(flags: u8) -> Transport {
    Transport::tcp(8080, 40_000, flags)
}

fn open(life: &Life<'_>) {
    handshake(life);
    life.is("established", 600);
}

fn handshake(life: &Life<'_>) {
    life.enters(&to_guest(SYN));
    life.leaves(&to_peer(SYN | ACK));
    life.enters(&to_guest(ACK));
}
