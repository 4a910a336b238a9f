//! `sg-agent explain`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sg_common::probe::{ProbeRequest, probe_flag};

use super::{answer::Answer as Reply, wire};
use crate::{
    compile::state::Bound,
    dataplane::{Loaded, Options, Place, hooks},
    explain::{Answer, Asked, Packet, answer, frame::frame, words},
    observe::{names, parse},
    policy::model::{self, Role},
};

/// How often the question is put again when the policy changes between question and answer.
const TRIES: usize = 5;

/// Ask what would become of a packet, and why
///
/// The loaded program itself answers, from its tables of rules and connections. Nothing is counted, no connection is
/// made.
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// The interface
    #[arg(long)]
    interface: String,
    /// Which way the packet goes: ingress is towards the instance
    #[arg(long, value_enum)]
    direction: Direction,
    /// tcp, udp, icmp, icmpv6, gre, sctp, esp, ah or a number
    #[arg(long, value_parser = parse::protocol)]
    #[serde(with = "wire::some_protocol")]
    protocol: u8,
    /// Address of the other end
    #[arg(long, value_parser = parse::address)]
    remote: IpAddr,
    /// Address of the protected side; by default the interface's first, else 198.51.100.1 or 2001:db8::1
    #[arg(long, value_parser = parse::address)]
    #[serde(default)]
    local: Option<IpAddr>,
    /// Destination port: needed for tcp, udp and sctp
    #[arg(long, value_parser = parse::port)]
    #[serde(default)]
    port: Option<u16>,
    /// Source port; by default 49152
    #[arg(long, value_parser = parse::port)]
    #[serde(default)]
    source_port: Option<u16>,
    /// ICMP type; by default that of an echo request
    #[arg(long)]
    #[serde(default)]
    icmp_type: Option<u8>,
    /// ICMP code; by default 0
    #[arg(long)]
    #[serde(default)]
    icmp_code: Option<u8>,
    /// Judge by the rules even if the packet belongs to a tracked connection
    #[arg(long)]
    #[serde(default)]
    ignore_conntrack: bool,
    /// Print JSON
    #[arg(long)]
    #[serde(default)]
    json: bool,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    /// Towards the instance
    Ingress,
    /// From the instance
    Egress,
}

impl Explain {
    /// Asks. A packet that is dropped is no failure.
    pub fn answer(&self, options: &Options) -> anyhow::Result<Reply> {
        let answer = self.ask(options)?;
        let reply = match self.json {
            true => Reply::json(&answer)?,
            false => Reply::text(words::sentence(&answer) + "\n"),
        };
        if self.is_enforced(options)? {
            return Ok(reply);
        }
        Ok(reply.with_messages(format!(
            "sg-agent: warning: {} is not enforced: this is what the policy says, not what happens (see status)\n",
            self.interface
        )))
    }

    /// Whether the programs are on the device that has the interface's name now.
    fn is_enforced(&self, options: &Options) -> anyhow::Result<bool> {
        let all = hooks::status(&Loaded::open(options)?, &Place::find(options)?)?;
        Ok(all.iter().any(|one| one.name == self.interface && one.enforced))
    }

    fn ask(&self, options: &Options) -> anyhow::Result<Answer> {
        for _ in 0..TRIES {
            let loaded = Loaded::open(options)?;
            let (name, bound) = names::interface(&loaded.state, &self.interface)?;
            let packet = self.asked().packet(&bound.spec)?;
            let reply = loaded.kernel.probe(&self.request(bound, &packet), &frame(&packet))?;
            let now = loaded.kernel.clock()?.now_wall;
            let is_known = reply.slot == bound.slot && reply.generation == loaded.state.generation();
            // A question about an interface that the program does not know comes back without either.
            if is_known || loaded.kernel.generation()? == loaded.state.generation() {
                return Ok(answer(&loaded.state, (name, bound), &packet, &reply, now));
            }
        }
        anyhow::bail!("the policy changes faster than it can be asked about: try again")
    }

    fn asked(&self) -> Asked {
        Asked {
            direction: self.direction(),
            protocol: self.protocol,
            remote: self.remote,
            local: self.local,
            port: self.port,
            source_port: self.source_port,
            icmp_type: self.icmp_type,
            icmp_code: self.icmp_code,
        }
    }

    fn direction(&self) -> model::Direction {
        match self.direction {
            Direction::Ingress => model::Direction::Ingress,
            Direction::Egress => model::Direction::Egress,
        }
    }

    fn request(&self, bound: &Bound, packet: &Packet) -> ProbeRequest {
        ProbeRequest {
            ifindex: bound.row.ifindex,
            transmit: u32::from(is_transmitted(bound.spec.role, packet.direction)),
            flags: if self.ignore_conntrack { probe_flag::IGNORE_CONNTRACK } else { 0 },
            ..ProbeRequest::default()
        }
    }
}

/// Whether the device transmits such a packet: what a guest's device receives is the guest's egress.
fn is_transmitted(role: Role, direction: model::Direction) -> bool {
    (role == Role::Guest) == (direction == model::Direction::Ingress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_and_direction_give_the_hook() {
        use model::Direction::{Egress, Ingress};
        assert!(is_transmitted(Role::Guest, Ingress) && is_transmitted(Role::Host, Egress));
        assert!(!is_transmitted(Role::Guest, Egress) && !is_transmitted(Role::Host, Ingress));
    }
}
