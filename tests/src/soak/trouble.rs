//! What is done to the daemon of the living host: policies one after the other, kills, ends, broken files, clients that
//! talk nonsense.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use fastrand::Rng;

use super::{
    Service, Tally, Until,
    actors::{CLOSED, OPEN, OPEN_UDP},
};
use crate::random::one_of;

/// A policy under which what must pass passes, and what must not does not, whatever else it says.
#[derive(Clone, Debug)]
pub struct Variant {
    extra: Vec<String>,
}

impl Variant {
    /// With nothing else.
    pub fn first() -> Self {
        Self { extra: Vec::new() }
    }

    /// With random rules that touch neither.
    fn random(random: &mut Rng) -> Self {
        let rule = |random: &mut Rng| {
            let (protocol, port) = (one_of(random, &["tcp", "udp"]), random.u16(1000..60_000));
            let remote = format!("198.51.{}.0/{}", random.u8(..), random.u8(24..=32));
            let action = one_of(random, &["allow", "deny"]);
            format!(
                "      - {{direction: ingress, protocol: {protocol}, ports: {port}, remote: {remote}, \
                 action: {action}, priority: {}}}\n",
                random.u8(1..=3)
            )
        };
        Self { extra: (0..random.usize(..40)).map(|_| rule(random)).collect() }
    }

    /// As a file.
    pub fn text(&self) -> String {
        let extra = self.extra.concat();
        format!(
            "version: 1
settings: {{conntrack: {{max_entries: 65536, max_per_interface: 16384}}}}
security_groups:
  web:
    rules:
      - {{direction: ingress, protocol: tcp, ports: {OPEN}}}
      - {{direction: ingress, protocol: udp, ports: {OPEN_UDP}}}
      - {{direction: ingress, protocol: udp, ports: {CLOSED}, action: deny}}
{extra}  noise: {{rules: []}}
  churn:
    rules:
      - {{direction: ingress, protocol: tcp, ports: 22}}
interfaces:
  - {{name: tap0, role: guest, groups: [web]}}
  - {{name: tap1, role: guest, groups: [noise]}}
  - {{name: \"churn*\", role: guest, groups: [churn]}}
"
        )
    }
}

/// Makes trouble until it is over.
pub fn make(service: &Service<'_>, seed: u64, until: &Until, tally: &Tally) {
    let mut random = Rng::with_seed(seed);
    while until.goes_on() {
        let next = Variant::random(&mut random);
        match random.u8(..12) {
            0..=3 => by_file(service, &next, tally),
            4..=6 => {
                service.write(&next.text());
                service.reload();
                tally.count("trouble", "reloads by signal");
            }
            7 => service_dies(service, &next, &mut random, until, tally),
            8 => {
                service.terminate();
                tally.count("trouble", "ends by SIGTERM");
                until.pause(Duration::from_millis(random.u64(..2000)));
                service.start_anew();
            }
            9 => broken(service, &next, &mut random, until, tally),
            _ => nonsense(service, &mut random, tally),
        }
        until.pause(Duration::from_millis(random.u64(100..2000)));
    }
}

fn by_file(service: &Service<'_>, next: &Variant, tally: &Tally) {
    service.write(&next.text());
    tally.count("trouble", "files replaced");
}

/// Killed in the middle of whatever a new file makes it do.
fn service_dies(service: &Service<'_>, next: &Variant, random: &mut Rng, until: &Until, tally: &Tally) {
    service.write(&next.text());
    service.reload();
    std::thread::sleep(Duration::from_micros(random.u64(..60_000)));
    service.kill();
    tally.count("trouble", "kills");
    until.pause(Duration::from_millis(random.u64(..2000)));
    service.start_anew();
}

/// A file that is no policy changes nothing, and the next good one is taken.
fn broken(service: &Service<'_>, next: &Variant, random: &mut Rng, until: &Until, tally: &Tally) {
    let good = next.text();
    let cut = random.usize(..good.len());
    service.write(&format!("{}\n  - {{", &good[..cut]));
    service.reload();
    tally.count("trouble", "broken files");
    until.pause(Duration::from_millis(300));
    service.write(&good);
}

/// A client that talks nonsense, or hangs up in the middle.
fn nonsense(service: &Service<'_>, random: &mut Rng, tally: &Tally) {
    let Some(Ok(mut stream)) = service.socket().map(UnixStream::connect) else { return };
    let mut bytes = vec![0; random.usize(..10_000)];
    random.fill(&mut bytes);
    // Either may fail: the daemon hangs up when it has had enough.
    drop(stream.write_all(&bytes));
    drop(stream.set_read_timeout(Some(Duration::from_millis(50))));
    drop(stream.read(&mut [0; 256]));
    tally.count("trouble", "clients that talk nonsense");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_valid() {
        let mut random = Rng::with_seed(1);
        for _ in 0..50 {
            crate::oracle::policy(&Variant::random(&mut random).text());
        }
    }
}
