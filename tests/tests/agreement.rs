//! The loaded program and the oracle give the same answer to random packets under random policies.

use fastrand::Rng;
use sg_agent::policy::Policy;
use sg_common::{
    heap::Decision,
    probe::ProbeRequest,
    verdict::{Reason, Stage},
};
use sg_tests::{
    agent::Agent,
    netns::Netns,
    oracle::{self, Answer, By, Oracle, Service},
    progrun::{Programs, Verdict},
    random::{self, Probe, Shape},
};

const POLICIES: usize = 25;
const PACKETS_PER_POLICY: usize = 1_000;

/// Three guests and a NIC of the host's own.
const DEVICES: [(&str, bool); 4] = [("dev0", true), ("dev1", true), ("dev2", true), ("dev3", false)];

#[test]
fn program_and_oracle_agree() {
    let seed = random::seed();
    let mut random = Rng::with_seed(seed);
    let host = Netns::with_devices(&DEVICES.map(|(name, _)| name));
    let devices = DEVICES.map(|(name, guest)| (name.to_owned(), guest)).to_vec();
    let shape = Shape { devices, groups: 6, rules: 40 };
    let agent = Agent::new(&host);
    for number in 0..POLICIES {
        let text = random::policy(&mut random, &shape);
        agent.apply(&text);
        let policy = oracle::policy(&text);
        let programs = Programs::of(&host);
        for _ in 0..PACKETS_PER_POLICY {
            let probe = random::packet(&mut random, &policy);
            if let Err(difference) = compare(&host, &programs, &policy, &probe) {
                panic!("SG_SEED={seed}, policy {number}: {difference}\n{probe:#?}\n{text}");
            }
        }
    }
}

fn compare(host: &Netns, programs: &Programs, policy: &Policy, probe: &Probe) -> Result<(), String> {
    let interface = &policy.interfaces[probe.interface];
    let answer = Oracle::new(policy).judge(interface, &probe.question);
    let request = ProbeRequest {
        ifindex: host.ifindex(&interface.name),
        transmit: u32::from(probe.transmit),
        ..ProbeRequest::default()
    };
    let reply = programs.ask(request, &probe.frame);
    let said = Verdict::of(&reply);
    if !is_same(&answer, said, probe) {
        return Err(format!("the oracle says {answer:?}, the program {said:?}"));
    }
    let rank = Decision(reply.decision).rank() as usize;
    match answer.by {
        By::Rule { place, .. } if place != rank => {
            Err(format!("the oracle says rule {place}, the program rule {rank}"))
        }
        _ => Ok(()),
    }
}

fn is_same(answer: &Answer, said: Verdict, probe: &Probe) -> bool {
    let is_fragment = matches!(probe.question.service, Service::LaterFragment(_));
    match (&answer.by, answer.allowed, said) {
        (By::Rule { .. }, true, Verdict::Pass(Stage::Rule)) => true,
        (By::Rule { .. }, false, Verdict::Drop(Reason::Rule)) => true,
        (By::Default, true, Verdict::Pass(Stage::Default)) => true,
        (By::Default, false, Verdict::Drop(Reason::Default)) => true,
        (By::Default, false, Verdict::Drop(_)) => is_fragment,
        (By::NoPolicy, false, Verdict::Drop(Reason::NoPolicy)) => true,
        (By::Exempt, true, Verdict::Pass(Stage::Exempt)) => true,
        (By::Smtp, false, Verdict::Drop(Reason::Smtp)) => true,
        _ => false,
    }
}
