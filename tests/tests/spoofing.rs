//! Who a guest claims to be is asked before anything that is known of its connections.

use sg_common::verdict::{Reason, Stage};
use sg_tests::{
    agent::Agent,
    netns::Netns,
    packets::{Ethernet, Ip, Mac, Transport},
    progrun::{Hook, Programs, Verdict},
    wire::Family,
};

const POLICY: &str = r#"
version: 1
security_groups:
  guest: {default_policy: {ingress: deny, egress: deny}, rules: [{direction: egress, protocol: udp}]}
interfaces:
  - {name: tap0, role: guest, groups: [guest], addresses: [10.9.2.2, "fd02::2"], mac: "52:54:00:12:34:56"}
"#;
const GUEST: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const STRANGER: Mac = Mac([0x52, 0x54, 0, 0, 0, 9]);
const ROUTER: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

/// The guest's own packets are tracked; the same from a stranger's MAC address, and those from an address that the
/// guest has no longer, are dropped although the entry lives.
#[test]
fn a_tracked_connection_excuses_no_spoofing() {
    let host = Netns::with_devices(&["tap0"]);
    let agent = Agent::new(&host);
    agent.apply(POLICY);
    let programs = Programs::of(&host);
    let ifindex = host.ifindex("tap0");
    let frame = |mac: Mac, family: Family| {
        let ip = Ip::new(family.guest(), family.peer());
        Ethernet::new(mac, ROUTER).ip(&ip, &Transport::udp(40_000, 53))
    };
    let says = |mac, family| programs.verdict(ifindex, false, &frame(mac, family));
    for family in Family::BOTH {
        for hook in [Hook::Xdp, Hook::TcxIngress] {
            assert!(programs.passes(hook, ifindex, &frame(GUEST, family)));
            assert_eq!(says(GUEST, family), Verdict::Pass(Stage::Established));
            assert_eq!(says(STRANGER, family), Verdict::Drop(Reason::SpoofedMac));
            assert!(!programs.passes(hook, ifindex, &frame(STRANGER, family)));
        }
    }
    agent.apply(&POLICY.replace(r#"[10.9.2.2, "fd02::2"]"#, r#"[10.9.2.3, "fd02::3"]"#));
    assert_eq!(agent.status().conntrack.entries, 2, "both connections are still tracked");
    for family in Family::BOTH {
        assert_eq!(says(GUEST, family), Verdict::Drop(Reason::SpoofedAddress));
        assert!(!programs.passes(Hook::Xdp, ifindex, &frame(GUEST, family)));
    }
}
