//! The faults that a test must notice: each is one change of the source that somebody could make by mistake.

/// A change of the source, and the test that turns red on it.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What the firewall does wrong with it.
    pub name: &'static str,
    /// File, from the root of the workspace.
    pub file: &'static str,
    /// Text that occurs in the file exactly once.
    pub old: &'static str,
    /// What takes its place.
    pub new: &'static str,
    /// Who notices.
    pub test: Test,
    /// Whether `--quick` runs it.
    pub quick: bool,
}

/// A test by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Of the library of a package; needs neither root nor the BPF object.
    Pure(&'static str, &'static str),
    /// Of a test program in `tests/tests`, on the loaded programs.
    Loaded(&'static str, &'static str),
}

impl Test {
    /// Its name, as the test runner has it.
    pub const fn name(self) -> &'static str {
        let (Self::Pure(_, name) | Self::Loaded(_, name)) = self;
        name
    }
}

use Test::{Loaded, Pure};

const COMMON: &str = "sg-common/src/conntrack/automaton.rs";
const TRACK: &str = "sg-ebpf/src/track.rs";
const FLOW: &str = "sg-ebpf/src/track/flow.rs";
const STANDING: &str = "sg-ebpf/src/track/standing.rs";
const FRAGMENTS: &str = "sg-ebpf/src/track/fragments.rs";
const ORDER: &str = "sg-agent/src/compile/order.rs";

const fn quick(
    name: &'static str,
    file: &'static str,
    old: &'static str,
    new: &'static str,
    test: Test,
) -> Mutant {
    Mutant { name, file, old, new, test, quick: true }
}

pub(super) const fn mutant(
    name: &'static str,
    file: &'static str,
    old: &'static str,
    new: &'static str,
    test: Test,
) -> Mutant {
    Mutant { name, file, old, new, test, quick: false }
}

/// Those of the kernel side, of what it shares with the agent, and of the compiler.
pub const MUTANTS: &[Mutant] = &[
    quick(
        "fragments always pass",
        FRAGMENTS,
        "if verdict.outcome == Ok(Stage::Default) {\n        verdict.outcome = Err(Reason::Default);\n    }",
        "verdict.outcome = Ok(Stage::Rule);",
        Loaded("fragments", "later_fragments_follow_a_dropped_first"),
    ),
    quick(
        "a RST deletes the connection",
        COMMON,
        "_ if reset => timeouts.fin_wait,",
        "_ if reset => 0,",
        Loaded("established", "a_reset_shortens_the_timer_and_traffic_restores_it"),
    ),
    quick(
        "deny is sorted after allow",
        ORDER,
        "ranked.sort_unstable();",
        "ranked.sort_unstable_by_key(|&(priority, action, rule)| (priority, std::cmp::Reverse(action), rule));",
        Pure("sg-agent", "compile::tests::roots::priority_comes_before_deny_and_deny_before_allow"),
    ),
    quick(
        "an empty set means any",
        "sg-agent/src/compile/fold.rs",
        "let group = policy.address_groups.get(name);\n",
        "let group = policy.address_groups.get(name);\n                if group.is_none_or(|group| group.prefixes.is_empty()) {\n                    self.any.iter_mut().for_each(|rules| rules.push(number));\n                }\n",
        Pure("sg-agent", "compile::tests::agreement::tables_agree_with_a_reading_of_the_rules"),
    ),
    quick(
        "expiry is not checked at look-up",
        "sg-ebpf/src/conntrack.rs",
        "if !life.is_live_at(now) || !holds(entry, key)",
        "if !life.is_live_at(now.min(1)) || !holds(entry, key)",
        Loaded("established", "an_idle_connection_lives_ten_minutes"),
    ),
    quick(
        "a SYN against the grain of an entry passes",
        TRACK,
        "if generation != scene.judged || flow.is_opening_syn() {",
        "if generation != scene.judged {",
        Loaded("established", "a_syn_against_the_grain_of_an_entry_is_judged"),
    ),
    quick(
        "connections are asked before spoofing is",
        "sg-ebpf/src/case.rs",
        "let guarded = !plain && sg_guard(case_ptr) != GO_ON;",
        "let guarded = !plain && sg_established_v4(case_ptr) == GO_ON && sg_guard(case_ptr) != GO_ON;",
        Loaded("spoofing", "a_tracked_connection_excuses_no_spoofing"),
    ),
    mutant(
        "a second first fragment passes",
        FRAGMENTS,
        "return case.close(Verdict::without_rule(Err(Reason::BadFragment)));",
        "return Answer::GoOn;",
        Loaded("fragments", "a_second_first_fragment_is_dropped"),
    ),
    mutant(
        "a request rides on a reply's entry",
        FLOW,
        "let asker = if outward != is_reply { query::LOCAL_ASKED } else { 0 };",
        "let asker = if outward != is_reply { query::LOCAL_ASKED } else { query::LOCAL_ASKED };",
        Loaded("icmp", "a_request_never_rides_on_a_replys_entry"),
    ),
    mutant(
        "an echo reply opens a connection",
        FLOW,
        "opens: !is_reply }",
        "opens: !is_reply || true }",
        Loaded("icmp", "a_reply_is_never_new"),
    ),
    mutant(
        "an ICMP error goes to anybody",
        "sg-ebpf/src/track/related.rs",
        "if quoted.src != error.dst || !Flow::of(quoted).tracked {",
        "if error.end == 0 || !Flow::of(quoted).tracked {",
        Loaded("icmp", "an_error_goes_to_the_sender_of_what_it_quotes"),
    ),
    mutant(
        "interfaces share their entries",
        FLOW,
        "slot: slot as u16,",
        "slot: (slot & 0) as u16,",
        Loaded("guests", "each_guest_has_its_own_entry"),
    ),
    mutant(
        "an interface may fill the table",
        "sg-ebpf/src/conntrack/admit.rs",
        "if own.fetch_add(1) >= u64::from(limits.interface) {",
        "if own.fetch_add(1) >= u64::from(limits.host) {",
        Loaded("limits", "an_interface_that_used_up_its_share_keeps_what_it_has"),
    ),
    mutant(
        "a change of policy cuts nothing",
        STANDING,
        "let keeps = by_egress || scene.iface.flags & flag::KEEP_INGRESS != 0;",
        "let keeps = by_egress || scene.iface.flags | flag::KEEP_INGRESS != 0;",
        Loaded("reload", "inbound_is_cut_and_outbound_goes_on"),
    ),
    mutant(
        "a change of policy cuts what was opened from inside",
        STANDING,
        "let keeps = by_egress || scene.iface.flags & flag::KEEP_INGRESS != 0;",
        "let keeps = scene.iface.flags & flag::KEEP_INGRESS != 0;",
        Loaded("reload", "an_outbound_connection_outlives_the_rule_that_let_it_out"),
    ),
    mutant(
        "stateless rules are tracked",
        TRACK,
        "if verdict.outcome.is_err() || !flow.tracked || verdict.decision.has(Decision::STATELESS) {",
        "if verdict.outcome.is_err() || !flow.tracked {",
        Loaded("established", "a_stateless_group_tracks_nothing"),
    ),
    mutant(
        "TCP is picked up in mid-stream",
        TRACK,
        "flow.is_mid_stream() && scene.settings.flags & setting::TCP_LOOSE != 0",
        "flow.is_mid_stream() && scene.settings.flags | setting::TCP_LOOSE != 0",
        Loaded("verdicts", "transport_headers"),
    ),
    mutant(
        "mail leaves by the submission port",
        TRACK,
        "SMTP | SUBMISSIONS | SUBMISSION)",
        "SMTP | SUBMISSIONS)",
        Loaded("verdicts", "transport_headers"),
    ),
    mutant(
        "a FIN can be taken back",
        COMMON,
        "if flags.fin() {\n        return State::FinWait;\n    }",
        "if flags.fin() {\n        return State::FinWait;\n    }\n    if matches!(state, State::FinWait) {\n        return State::Established;\n    }",
        Pure("sg-common", "conntrack::automaton::tests::a_fin_is_final"),
    ),
    mutant(
        "an answer alone establishes TCP",
        COMMON,
        "State::OneWay if !from_opener => State::SynReceived,\n        State::SynReceived",
        "State::OneWay if !from_opener => State::Established,\n        State::SynReceived",
        Pure("sg-common", "conntrack::automaton::tests::a_handshake_is_complete_with_the_openers_ack"),
    ),
    mutant(
        "one group's open default opens them all",
        ORDER,
        "if groups.iter().all(|(_, group)| allows(group)) {",
        "if groups.iter().any(|(_, group)| allows(group)) {",
        Pure("sg-agent", "compile::tests::roots::a_default_is_open_only_if_every_group_agrees"),
    ),
    mutant(
        "a ninth extension header passes",
        "sg-ebpf/src/parse/ipv6.rs",
        "if is_extension(packet.protocol) { Err(Reason::ExtensionHeaders) } else { Ok(()) }",
        "Ok(())",
        Pure("sg-ebpf", "parse::tests::ipv6::more_than_eight_extension_headers_are_dropped"),
    ),
    mutant(
        "IPv6 routing header 0 passes",
        "sg-ebpf/src/parse/ipv6.rs",
        "if header == next::ROUTING && bytes[2] == 0 {",
        "if header == next::ROUTING && bytes[2] == 255 {",
        Pure("sg-ebpf", "parse::tests::ipv6::routing_header_type_0_is_dropped"),
    ),
    mutant(
        "IPv4 source routes pass",
        "sg-ebpf/src/parse/ipv4.rs",
        "LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(Reason::IpOptions),",
        "LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => end - at,",
        Pure("sg-ebpf", "parse::tests::ipv4::source_routes_are_dropped"),
    ),
    mutant(
        "transport headers are read from the padding",
        "sg-ebpf/src/parse/transport.rs",
        "if packet.end - packet.transport < N as u32 {",
        "if frame.len() - packet.transport < N as u32 {",
        Pure("sg-ebpf", "parse::tests::combinations::every_length_in_the_ip_header"),
    ),
    mutant(
        "a guest sends router advertisements",
        "sg-ebpf/src/guard.rs",
        "(V6, icmpv6::ROUTER_ADVERTISEMENT) => Err(Reason::RouterAdvertisement),",
        "(V6, icmpv6::ROUTER_ADVERTISEMENT) => Ok(()),",
        Pure("sg-ebpf", "guard::tests::neighbours::router_advertisements_come_in_and_never_from_a_guest"),
    ),
    mutant(
        "a tag is found in the lane beside its own",
        "sg-ebpf/src/conntrack.rs",
        "0x0000_0001_0002_0003",
        "0x0000_0001_0003_0002",
        Pure("sg-ebpf", "conntrack::tests::hits_are_taken_one_by_one_in_order"),
    ),
    mutant(
        "listeners hear of a cut as of a lost interface",
        TRACK,
        "forget::<T>(scene, &found, End::Cut);",
        "forget::<T>(scene, &found, End::Gone);",
        Loaded("monitor", "what_happens_is_told_exactly"),
    ),
    mutant(
        "what an audit group's default would drop is put down to a rule",
        TRACK,
        "let by_rule = !decision.has(Decision::DEFAULT);",
        "let by_rule = true;",
        Loaded("monitor", "audit::what_would_be_dropped_is_told_and_passes"),
    ),
];
