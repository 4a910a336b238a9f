//! One member of a large group.

use std::{collections::BTreeMap, net::IpAddr, net::Ipv4Addr, sync::Arc};

use ipnet::IpNet;
use sg_agent::dataplane::{Loaded, Writer};
use sg_common::{addr::Addr, members::MemberKey};
use sg_tests::{
    held::{Held, policy},
    netns::Netns,
    oracle,
    packets::{Ethernet, Ip, Transport},
    progrun::{Hook, Programs},
    tables::{Tables, member_table},
};
use zerocopy::IntoBytes as _;

const MEMBERS: u32 = 100_000;
const NEWCOMER: Ipv4Addr = Ipv4Addr::new(172, 16, 5, 5);

const POLICY: &str = "version: 1
settings: {conntrack: {max_entries: 4096, max_per_interface: 1024}, limits: {policy_bytes: 1048576, interfaces: 16}}
security_groups:
  fleet: {members: [192.0.2.1]}
  web:
    stateful: false
    rules:
      - {direction: ingress, protocol: udp, ports: 53, remote: 'group:fleet'}
  other:
    rules: [{direction: ingress, protocol: tcp, ports: 80}]
interfaces:
  - {name: tap0, role: guest, groups: [web]}
  - {name: tap1, role: guest, groups: [other]}
";

/// A host whose group `fleet` has [`MEMBERS`] members.
fn fleet() -> Held {
    let host = Netns::with_devices(&["tap0", "tap1"]);
    let mut policy = oracle::policy(POLICY);
    let group = policy.groups.get_mut("fleet").expect("the group");
    group.members =
        (0..MEMBERS).map(|number| IpNet::from(IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number)))).collect();
    Held::new(&host, &Arc::new(policy))
}

fn change(held: &mut Held, added: &[Ipv4Addr], removed: &[Ipv4Addr]) -> sg_agent::dataplane::Outcome {
    let addrs = |addrs: &[Ipv4Addr]| addrs.iter().map(|addr| IpAddr::from(*addr)).collect::<Vec<_>>();
    let (added, removed) = (addrs(added), addrs(removed));
    let done = held.with(|writer: &mut Writer| writer.change_members("fleet", &added, &removed));
    done.unwrap_or_else(|error| panic!("{error}"))
}

fn key(addr: Ipv4Addr) -> MemberKey {
    MemberKey { addr: Addr::v4(addr.octets()), zone: 0 }
}

fn passes(programs: &Programs, host: &Netns, from: Ipv4Addr) -> bool {
    let ip = Ip::new(from.into(), Ipv4Addr::new(10, 9, 9, 9).into());
    let frame = Ethernet::default().ip(&ip, &Transport::udp(40_000, 53));
    programs.passes(Hook::TcxEgress, host.ifindex("tap0"), &frame)
}

/// One member of 100,000 comes and goes: one key of the table, the control word, and the generation of the interface
/// whose rules name the group. No line of the compiled policy is written, and no other member.
#[test]
fn a_member_more_or_less_is_one_key() {
    let mut held = fleet();
    let host = held.host.clone();
    let programs = Programs::of(&host);
    // Both halves of the directory hold this policy from here on.
    change(&mut held, &[Ipv4Addr::new(172, 16, 0, 1)], &[]);
    change(&mut held, &[], &[Ipv4Addr::new(172, 16, 0, 1)]);
    assert!(!passes(&programs, &host, NEWCOMER));
    for is_added in [true, false] {
        let before = Tables::of(&host);
        let one: &[Ipv4Addr] = &[NEWCOMER];
        let outcome = if is_added { change(&mut held, one, &[]) } else { change(&mut held, &[], one) };
        let after = Tables::of(&host);
        let written = after.written_since(&before);
        // The half that comes into force differs in the generation of tap0 from what was there.
        assert_eq!(written, BTreeMap::from([("CONTROL", 1), ("DIRECTORY", 1), ("MEMBERS", 1)]), "{is_added}");
        let stored = after.tables["MEMBERS"].contains_key(key(NEWCOMER).as_bytes());
        assert_eq!((stored, passes(&programs, &host, NEWCOMER)), (is_added, is_added));
        println!(
            "one member {}: in force after {:?}",
            if is_added { "added" } else { "removed" },
            outcome.in_force_after
        );
    }
    assert!(passes(&programs, &host, Ipv4Addr::new(10, 0, 0, 7)));
}

/// The policy in force has the change, also for who comes after this process, and whoever applies the file again takes it
/// back.
#[test]
fn who_comes_later_knows_the_members() {
    let mut held = fleet();
    let (host, options) = (held.host.clone(), held.options.clone());
    change(&mut held, &[NEWCOMER], &[Ipv4Addr::new(10, 0, 0, 7)]);
    let again = change(&mut held, &[NEWCOMER], &[]);
    assert!(!again.is_changed);
    let members = |loaded: &Loaded| {
        let group = &loaded.state.policy().groups["fleet"];
        let has = |addr: Ipv4Addr| group.members.contains(&IpNet::from(IpAddr::from(addr)));
        (
            group.members.len() as u32,
            has(NEWCOMER),
            has(Ipv4Addr::new(10, 0, 0, 7)),
            loaded.state.members().len() as u32,
        )
    };
    let seen = host.enter(|| members(&Loaded::open(&options).expect("what is in force")));
    assert_eq!(seen, (MEMBERS, true, false, MEMBERS));
    let unknown = held.with(|writer| writer.change_members("nobody", &[NEWCOMER.into()], &[]));
    assert!(unknown.is_err_and(|error| error.to_string().contains("no group `nobody`")));
    held.apply(&policy(POLICY));
    assert_eq!(member_table(&host).keys().count(), 1);
}

/// More members one by one than the books take as changes: the policy is written anew, and nothing is lost.
#[test]
fn many_members_one_by_one_are_all_remembered() {
    let host = Netns::with_devices(&["tap0", "tap1"]);
    let mut held = Held::new(&host, &policy(POLICY));
    let batch = |number: u32| -> Vec<IpAddr> {
        (0..300).map(|at| Ipv4Addr::from(0x0a01_0000 + number * 300 + at).into()).collect()
    };
    for number in 0..5 {
        let added = batch(number);
        held.with(|writer| writer.change_members("fleet", &added, &[]))
            .unwrap_or_else(|error| panic!("{error}"));
        let options = held.options.clone();
        let members = host.enter(|| Loaded::open(&options).expect("what is in force").state.members().len());
        assert_eq!(members, 1 + 300 * (number as usize + 1));
    }
}
