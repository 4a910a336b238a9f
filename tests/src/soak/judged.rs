//! The judged host: random sequences of packets, clock steps and policies against the model, the policies through the
//! daemon, which is killed in between.

use fastrand::Rng;
use sg_agent::dataplane::Loaded;

use super::{Census, Compared, Service, Tally, Until};
use crate::{
    agent::Agent,
    netns::Netns,
    progrun::Hook,
    random::one_in,
    sequence::{Control, Host, Shape, Step, add_own_devices, generate},
};

/// Runs sequences; what the daemon holds at the end beside what it held at the beginning.
pub fn run(seed: u64, until: &Until, tally: &Tally) -> Vec<Compared> {
    let namespace = Netns::new();
    add_own_devices(&namespace);
    let mut random = Rng::with_seed(seed);
    let first = generate(&mut random, Shape { length: 1, changes: 0 });
    let Some(Step::Policy(text)) = first.steps.first() else { panic!("a sequence begins with a policy") };
    let agent = Agent::new(&namespace);
    let service = Service::start(&agent, text);
    let mut census = namespace.enter(|| {
        let steered = Steered { service: &service, loaded: service.loaded(), random: random.fork(), tally };
        let before = service.census();
        let mut host = Host::under(&namespace, Box::new(steered), text);
        sequences(&mut host, &mut random, until, tally);
        service.kill();
        service.start_anew();
        before.compared_with(&service.census())
    });
    drop(service);
    drop(agent);
    census.push(Census::left_behind(&namespace));
    census
}

fn sequences(host: &mut Host<'_>, random: &mut Rng, until: &Until, tally: &Tally) {
    while until.goes_on() {
        let changes = if random.bool() { 40 } else { 0 };
        let sequence = generate(random, Shape { length: 250, changes });
        host.receive_at(if one_in(random, 4) { Hook::TcxIngress } else { Hook::Xdp });
        match host.run(&sequence) {
            Ok(()) => tally.count("judged", "sequences"),
            Err(difference) => tally.fault(format!("judged: {difference}\n{sequence}")),
        }
        let packets = sequence.steps.iter().filter(|step| matches!(step, Step::Packet(_)));
        tally.add("judged", "packets", packets.count() as u64);
    }
}

/// The daemon as whoever puts policies in force: told by `apply`, by a signal, or by nothing but its file; alive all the
/// while, or dead when the policy changes.
struct Steered<'a, 'b> {
    service: &'a Service<'b>,
    loaded: Loaded,
    random: Rng,
    tally: &'a Tally,
}

impl Control for Steered<'_, '_> {
    fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    fn put_in_force(&mut self, text: &str) {
        let tally = self.tally;
        match self.random.u8(..10) {
            0 => {
                self.service.kill();
                self.service.write(text);
                self.service.start_anew();
                tally.count("judged", "policies while dead");
            }
            1 => {
                self.service.terminate();
                self.service.write(text);
                self.service.start_anew();
                tally.count("judged", "policies while stopped");
            }
            _ => {
                self.service.put(text);
                tally.count("judged", "policies by apply");
            }
        }
        self.loaded = self.service.loaded();
    }
}
