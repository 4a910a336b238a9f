//! The life of one connection.

use std::time::Duration;

use sg_agent::policy::model::{Direction, Timeouts};

use super::packet::{Content, Packet};
use crate::packets::flag::{FIN, RST, SYN};

/// A tracked connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The direction of its first packet.
    pub opener: Direction,
    /// How far it has come.
    pub state: State,
    /// Whether its last segment was a RST.
    pub is_reset: bool,
    /// When it is forgotten if no packet comes.
    pub ends: Duration,
    /// What a rule sees of the packet that opened it.
    pub asked: crate::oracle::Service,
    /// The change of policy under which it was judged last.
    pub judged: u32,
    /// A change of policy cut it; its next packet is to notice.
    pub is_cleared: bool,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// TCP that nobody answered.
    SynSent,
    /// TCP that was answered.
    SynReceived,
    /// TCP.
    Established,
    /// TCP after a FIN.
    FinWait,
    /// An ICMP query.
    Query,
    /// Anything else, seen one way.
    OneWay,
    /// Anything else, seen both ways.
    TwoWay,
}

impl State {
    /// The word in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::Established => "established",
            Self::FinWait => "fin-wait",
            Self::Query => "icmp",
            Self::OneWay => "one-way",
            Self::TwoWay => "two-way",
        }
    }

    fn life(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::SynSent | Self::SynReceived | Self::OneWay => timeouts.unidirectional,
            Self::Established => timeouts.tcp_established,
            Self::FinWait => timeouts.tcp_fin_wait,
            Self::Query => timeouts.icmp,
            Self::TwoWay => timeouts.bidirectional,
        }
    }
}

impl Entry {
    /// The entry of a connection that begins with `packet`.
    pub fn opened_by(packet: &Packet, judged: u32, timeouts: &Timeouts, now: Duration) -> Self {
        let state = match packet.content {
            Content::Tcp { .. } if packet.has(FIN) => State::FinWait,
            Content::Tcp { .. } => State::SynSent,
            Content::Icmp { .. } => State::Query,
            _ => State::OneWay,
        };
        Self {
            opener: packet.direction,
            state,
            is_reset: false,
            ends: now + state.life(timeouts),
            asked: packet.service(),
            judged,
            is_cleared: false,
        }
    }

    /// A packet of the connection, other than a SYN.
    pub fn goes_on(&mut self, packet: &Packet, timeouts: &Timeouts, now: Duration) {
        if packet.has(RST) {
            self.is_reset = true;
            self.ends = now + timeouts.tcp_fin_wait;
            return;
        }
        self.is_reset = false;
        let answers = packet.direction != self.opener;
        self.state = match self.state {
            State::SynSent | State::SynReceived | State::Established if packet.has(FIN) => State::FinWait,
            State::SynSent if answers => State::SynReceived,
            State::SynReceived if !answers && !packet.has(SYN) => State::Established,
            State::OneWay if answers => State::TwoWay,
            state => state,
        };
        self.ends = now + self.state.life(timeouts);
    }

    /// A SYN that the rules allow, on a connection that is neither closing nor reset.
    pub fn syn(&mut self, packet: &Packet, timeouts: &Timeouts, now: Duration) {
        if self.state == State::SynSent && packet.direction != self.opener {
            self.state = State::SynReceived;
        }
        self.ends = now + self.state.life(timeouts);
    }

    /// Whether a SYN that the rules allow makes another connection of it.
    pub fn is_over(&self) -> bool {
        self.is_reset || self.state == State::FinWait
    }
}
