//! What a change of policy does to a tracked connection: the kernel side's own judgement (`sg-ebpf/src/track/standing.rs`),
//! on the tables that are to come into force, with the look-ups that both sides share.

use std::net::IpAddr;

use sg_common::{
    addr::{EGRESS, INGRESS, V4, V6},
    classify::classify,
    conntrack::{Life, query},
    heap::{Decision, PolicyRoot, service},
    interface::{Interface, flag},
    members::MemberKey,
};

use super::{
    State,
    members::address,
    order::{PolicyKey, View},
    policy::chain,
    state::Bound,
};
use crate::policy::model::{self, Group, Rule};

const TCP: u8 = 6;

/// A tracked connection, in the terms that it is judged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Its entry's life word.
    pub life: Life,
    /// The generation that admitted it.
    pub generation: u32,
    /// The protected side.
    pub local: IpAddr,
    /// The other end, of the same family.
    pub remote: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Local and remote port.
    pub ports: [u16; 2],
    /// [`query`] of ICMP, else 0.
    pub query: u8,
}

/// Why a connection is cut.
#[derive(Clone, Debug, PartialEq)]
pub enum Cut<'a> {
    /// A rule denies what opened it.
    Rule(&'a Group, &'a Rule),
    /// No rule matches what opened it, and the default is deny.
    Default,
    /// A group says `on_ingress_change: clear`.
    Cleared,
    /// It was a connection of another device in the interface's place.
    Predecessor,
    /// What the instance sends has a source address that is not the interface's any more.
    Spoofed,
    /// The rule that allows it is stateless, and none lets the other direction pass without a connection.
    Untracked,
}

/// Why a connection does not go on when `next` comes into force, at tick `now`; `None`: it does, or nothing filters its
/// interface any more.
pub fn cut<'a>(next: &'a State, bound: &'a Bound, one: &'a Tracked, now: u64) -> Option<Cut<'a>> {
    let Interface { generation, born, cleared, flags, .. } = bound.row;
    let is_before = |other: u32| (one.generation.wrapping_sub(other) as i32) < 0;
    if is_before(born) {
        return Some(Cut::Predecessor);
    }
    if is_spoofed(&bound.spec, one.local) {
        return Some(Cut::Spoofed);
    }
    if bound.spec.exempt.iter().any(|net| net.contains(&one.remote)) {
        return None;
    }
    let judge = Judge { state: next, bound, one, now };
    if one.generation == generation.wrapping_add(judge.version()) || one.life.opened_by_egress() {
        return None;
    }
    if is_before(cleared) {
        return Some(Cut::Cleared);
    }
    let decision = judge.decide(INGRESS);
    match (decision.has(Decision::ALLOW), decision.has(Decision::STATELESS)) {
        (true, false) => None,
        _ if flags & flag::KEEP_INGRESS != 0 => None,
        (true, true) => (!judge.lets_replies_out()).then_some(Cut::Untracked),
        (false, _) => Some(judge.refusal(decision)),
    }
}

/// Whether anti-spoofing drops what comes from `local` (`sg-ebpf/src/guard/source.rs`); MAC addresses aside, which the
/// table does not know.
fn is_spoofed(spec: &model::Interface, local: IpAddr) -> bool {
    let is_link_local = matches!(local, IpAddr::V6(address) if address.is_unicast_link_local());
    let mut pairs = spec.allowed_address_pairs.iter().map(|pair| &pair.prefix);
    spec.anti_spoof
        && !is_link_local
        && !spec.addresses.contains(&local)
        && !pairs.any(|net| net.contains(&local))
}

struct Judge<'a> {
    state: &'a State,
    bound: &'a Bound,
    one: &'a Tracked,
    now: u64,
}

impl<'a> Judge<'a> {
    fn root(&self, direction: usize) -> Option<PolicyRoot> {
        let roots = chain(self.state.heap(), self.bound.row.policy[direction]);
        let at = roots.iter().position(|root| self.now < root.until || root.next == 0)?;
        roots.into_iter().nth(at)
    }

    fn version(&self) -> u32 {
        if self.now < self.bound.row.next_change {
            0
        } else {
            self.root(INGRESS).map_or(0, |root| root.version)
        }
    }

    fn decide(&self, direction: usize) -> Decision {
        let Tracked { remote, protocol, query, ports, .. } = *self.one;
        let (family, remote) = (if remote.is_ipv4() { V4 } else { V6 }, address(remote));
        let Some(root) = self.root(direction) else { return Decision(Decision::DEFAULT) };
        let asked = query::request_kind(protocol, query & !query::LOCAL_ASKED);
        let port = match (query, direction) {
            (0, INGRESS) => ports[0],
            (0, _) => ports[1],
            _ => u16::from(asked) << 8,
        };
        let names_members = [flag::MEMBERS_INGRESS, flag::MEMBERS_EGRESS][direction];
        let may_be_member =
            self.bound.row.flags & names_members != 0 && (family == V4 || !remote.is_mapped());
        let key = MemberKey { addr: remote, zone: self.bound.row.zone };
        let set = if may_be_member { self.state.members().set_of(&key) } else { 0 };
        classify(self.state.heap(), &root, family, &remote, set, service(protocol, port))
    }

    /// Whether packets to the remote end pass without a connection, or make one.
    fn lets_replies_out(&self) -> bool {
        let decision = self.decide(EGRESS);
        let is_stateless = decision.has(Decision::STATELESS);
        decision.has(Decision::ALLOW) && (is_stateless || self.one.protocol != TCP)
    }

    fn refusal(&self, decision: Decision) -> Cut<'a> {
        let key: Option<&PolicyKey> = self.bound.keys[View::Enforced as usize][INGRESS].as_ref();
        let is_default = decision.has(Decision::DEFAULT);
        let rule = key.filter(|_| !is_default).and_then(|key| self.state.rule(key, decision.rank()));
        rule.map_or(Cut::Default, |(group, rule)| Cut::Rule(group, rule))
    }
}

#[cfg(test)]
mod tests {
    use sg_common::conntrack::State as LifeState;

    use super::*;
    use crate::{
        compile::tests::make,
        policy::model::{Action, OnIngressChange, Remote},
    };

    fn opened(by_egress: bool, port: u16) -> Tracked {
        Tracked {
            life: Life::live(Life(0), LifeState::Established, by_egress, 1 << 40),
            generation: 1,
            local: "10.0.0.5".parse().unwrap(),
            remote: "192.0.2.1".parse().unwrap(),
            protocol: 6,
            ports: [port, 40_000],
            query: 0,
        }
    }

    /// What becomes of connections to ports 80 and 81 when `change` is made to a group that allows 80.
    fn fates(change: impl Fn(&mut Group)) -> Vec<String> {
        let before = make::group("web", vec![make::allow(80, Remote::Any), make::allow(81, Remote::Any)]);
        let spec = [make::interface(&["web"], &["10.0.0.5"])];
        let state = make::first(&make::policy(vec![before.clone()]), &spec);
        let mut after = before;
        change(&mut after);
        let (_, next) = make::apply(&state, &make::policy(vec![after]), &spec);
        let bound = &next.interfaces()["tap1"];
        let fate = |one: &Tracked| match cut(&next, bound, one, 0) {
            None => "goes on".to_owned(),
            Some(Cut::Rule(group, rule)) => format!("rule {} of {}", rule.index, group.name),
            Some(other) => format!("{other:?}"),
        };
        [opened(false, 80), opened(false, 81), opened(true, 80)].iter().map(fate).collect()
    }

    #[test]
    fn what_the_new_rules_refuse_is_cut_if_it_was_opened_from_outside() {
        let deny =
            make::rule(crate::policy::model::Direction::Ingress, make::tcp(81), Remote::Any, Action::Deny);
        assert_eq!(fates(|_| ()), ["goes on"; 3]);
        assert_eq!(fates(|web| web.rules.truncate(1)), ["goes on", "Default", "goes on"]);
        assert_eq!(fates(|web| web.rules.push(deny.clone())), ["goes on", "rule 0 of web", "goes on"]);
    }

    #[test]
    fn clear_cuts_all_and_keep_none() {
        let change = |how| {
            fates(move |web| {
                web.on_ingress_change = how;
                web.rules.truncate(1);
            })
        };
        assert_eq!(change(OnIngressChange::Clear), ["Cleared", "Cleared", "goes on"]);
        assert_eq!(change(OnIngressChange::Keep), ["goes on"; 3]);
    }

    #[test]
    fn an_address_taken_away_ends_all_and_an_exempt_network_none() {
        let web = make::policy(vec![make::group("web", vec![make::allow(80, Remote::Any)])]);
        let before = make::interface(&["web"], &["10.0.0.5"]);
        let state = make::first(&web, std::slice::from_ref(&before));
        let fates = |spec: model::Interface, port: u16| {
            let (_, next) = make::apply(&state, &web, &[spec]);
            [false, true].map(|out| {
                cut(&next, &next.interfaces()["tap1"], &opened(out, port), 0).map(|cut| format!("{cut:?}"))
            })
        };
        let spoofed = || Some("Spoofed".to_owned());
        let moved = model::Interface {
            anti_spoof: true,
            addresses: vec!["10.0.0.6".parse().unwrap()],
            ..before.clone()
        };
        assert_eq!(fates(moved, 80), [spoofed(), spoofed()]);
        let exempt = model::Interface { exempt: vec!["192.0.2.0/24".parse().unwrap()], ..before };
        assert_eq!(fates(exempt, 81), [None, None]);
    }

    #[test]
    fn a_stateless_rule_carries_a_connection_on_if_replies_pass() {
        let stateless = |web: &mut Group| web.stateful = false;
        assert_eq!(fates(stateless), ["goes on"; 3]);
        let closed = |web: &mut Group| {
            web.stateful = false;
            web.default_egress = Action::Deny;
        };
        assert_eq!(fates(closed), ["Untracked", "Untracked", "goes on"]);
    }

    #[test]
    fn replies_that_only_a_stateful_group_lets_out_have_no_connection() {
        let mut web = make::group("web", vec![make::allow(80, Remote::Any)]);
        let others = make::group("others", Vec::new());
        let spec = [make::interface(&["web", "others"], &["10.0.0.5"])];
        let state = make::first(&make::policy(vec![web.clone(), others.clone()]), &spec);
        web.stateful = false;
        let (_, next) = make::apply(&state, &make::policy(vec![web, others]), &spec);
        let bound = &next.interfaces()["tap1"];
        assert_eq!(cut(&next, bound, &opened(false, 80), 0), Some(Cut::Untracked));
    }
}
