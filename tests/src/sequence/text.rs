//! Sequences as text.

use std::{
    fmt::{self, Display},
    iter::Peekable,
    net::IpAddr,
    str::{FromStr, SplitWhitespace},
    time::Duration,
};

use sg_agent::policy::model::Direction;

use super::{MAC, Sequence, Step};
use crate::{
    model::{Content, Packet, Part, Quoted},
    packets::{Mac, protocol},
};

/// TCP flags by letter, lowest bit first.
const FLAGS: &str = "FSRPAU";

impl Display for Sequence {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(to, "{step}"))
    }
}

impl Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(text) => {
                write!(to, "policy:")?;
                text.lines().try_for_each(|line| write!(to, "\n    {line}"))
            }
            Self::Wait(time) => write!(to, "wait {} ms", time.as_millis()),
            Self::Packet(packet) => write!(to, "{packet}"),
        }
    }
}

impl Display for Packet {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.direction == Direction::Ingress { "in" } else { "out" };
        write!(to, "{} {way}", self.interface)?;
        if self.mac != MAC {
            write!(to, " mac {}", self.mac)?;
        }
        match self.part {
            Part::Whole => {}
            Part::First(id) => write!(to, " first {id}")?,
            Part::Later(id) => write!(to, " later {id}")?,
            Part::Middle(id) => write!(to, " middle {id}")?,
            Part::End(id) => write!(to, " end {id}")?,
            Part::Piece(id, start, end, _) => write!(to, " piece {id} {start} {end}")?,
        }
        write!(to, " {} > {} {}", self.source, self.destination, self.content)
    }
}

impl Display for Content {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { source, destination, flags } => {
                let set = FLAGS.char_indices().filter(|(bit, _)| flags >> bit & 1 == 1);
                write!(to, "tcp {source} > {destination} {}", set.map(|(_, flag)| flag).collect::<String>())
            }
            Self::Ports { protocol: protocol::UDP, source, destination } => {
                write!(to, "udp {source} > {destination}")
            }
            Self::Ports { source, destination, .. } => write!(to, "sctp {source} > {destination}"),
            Self::Icmp { kind, code, id } => write!(to, "icmp {kind}/{code} id {id}"),
            Self::Error { kind, code, quoted } => {
                let Quoted { source, destination, is_later, content } = quoted;
                let later = if *is_later { " later" } else { "" };
                write!(to, "error {kind}/{code} about{later} {source} > {destination} {content}")
            }
            Self::Neighbour { kind, target } => write!(to, "neighbour {kind} about {target}"),
            Self::Other(protocol) => write!(to, "proto {protocol}"),
        }
    }
}

impl FromStr for Sequence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps: Vec<Step> = Vec::new();
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        for line in lines {
            match (line.strip_prefix("    "), steps.last_mut()) {
                (Some(line), Some(Step::Policy(policy))) => *policy += &format!("{line}\n"),
                (Some(_), _) => return Err(format!("{line}: an indented line belongs to a policy")),
                (None, _) if line.trim() == "policy:" => steps.push(Step::Policy(String::new())),
                (None, _) => steps.push(step(line).map_err(|error| format!("{line}: {error}"))?),
            }
        }
        Ok(Self { steps })
    }
}

/// The step in one line: a packet, or a wait.
pub fn step(line: &str) -> Result<Step, String> {
    let mut words = Words(line.split_whitespace().peekable());
    if words.takes("wait") {
        return Ok(Step::Wait(Duration::from_millis(words.read("milliseconds")?)));
    }
    let interface = words.word("an interface")?.to_owned();
    let direction = match words.word("in or out")? {
        "in" => Direction::Ingress,
        "out" => Direction::Egress,
        other => return Err(format!("{other} is neither in nor out")),
    };
    let mac = if words.takes("mac") { mac(words.word("a MAC address")?)? } else { MAC };
    let part = if words.takes("first") {
        Part::First(words.read("an identification")?)
    } else if words.takes("later") {
        Part::Later(words.read("an identification")?)
    } else if words.takes("middle") {
        Part::Middle(words.read("an identification")?)
    } else if words.takes("end") {
        Part::End(words.read("an identification")?)
    } else {
        Part::Whole
    };
    let (source, destination) = words.pair("an address")?;
    let content = words.content()?;
    Ok(Step::Packet(Packet { interface, direction, mac, source, destination, part, content }))
}

struct Words<'a>(Peekable<SplitWhitespace<'a>>);

impl<'a> Words<'a> {
    fn word(&mut self, what: &str) -> Result<&'a str, String> {
        self.0.next().ok_or_else(|| format!("{what} is missing"))
    }

    fn takes(&mut self, word: &str) -> bool {
        self.0.next_if_eq(&word).is_some()
    }

    fn read<T: FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.word(what)?;
        word.parse().map_err(|_| format!("{word} is not {what}"))
    }

    fn pair<T: FromStr>(&mut self, what: &str) -> Result<(T, T), String> {
        let first = self.read(what)?;
        if !self.takes(">") {
            return Err(format!("> is missing behind {what}"));
        }
        Ok((first, self.read(what)?))
    }

    fn kind(&mut self) -> Result<(u8, u8), String> {
        let word = self.word("type/code")?;
        let parsed =
            word.split_once('/').and_then(|(kind, code)| Some((kind.parse().ok()?, code.parse().ok()?)));
        parsed.ok_or_else(|| format!("{word} is not type/code"))
    }

    fn content(&mut self) -> Result<Content, String> {
        match self.word("what it carries")? {
            "tcp" => {
                let (source, destination) = self.pair("a port")?;
                let flags = self.word("flags")?.chars().map(flag).sum::<Result<u8, String>>()?;
                Ok(Content::Tcp { source, destination, flags })
            }
            name @ ("udp" | "sctp") => {
                let (source, destination) = self.pair("a port")?;
                let protocol = if name == "udp" { protocol::UDP } else { protocol::SCTP };
                Ok(Content::Ports { protocol, source, destination })
            }
            "icmp" => {
                let (kind, code) = self.kind()?;
                self.takes("id");
                Ok(Content::Icmp { kind, code, id: self.read("an identifier")? })
            }
            "error" => self.error(),
            "neighbour" => {
                let kind = self.read("a type")?;
                self.takes("about");
                Ok(Content::Neighbour { kind, target: self.read("an address")? })
            }
            "proto" => Ok(Content::Other(self.read("a protocol")?)),
            other => Err(format!("{other} is nothing that a packet carries")),
        }
    }

    fn error(&mut self) -> Result<Content, String> {
        let (kind, code) = self.kind()?;
        self.takes("about");
        let is_later = self.takes("later");
        let (source, destination): (IpAddr, IpAddr) = self.pair("an address")?;
        let content = Box::new(self.content()?);
        Ok(Content::Error { kind, code, quoted: Quoted { source, destination, is_later, content } })
    }
}

fn flag(letter: char) -> Result<u8, String> {
    FLAGS.find(letter).map(|bit| 1 << bit).ok_or_else(|| format!("{letter} is no TCP flag"))
}

fn mac(text: &str) -> Result<Mac, String> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map(Mac).ok_or_else(|| format!("{text} is no MAC address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_its_text() {
        let text = "policy:\n    version: 1\n      x: y\nwait 29700 ms\n\
            tap0 in 10.0.0.1 > 10.0.0.2 tcp 1 > 80 SA\n\
            tap0 out mac 02:00:00:00:00:99 first 7 fd00::1 > fd00::2 udp 53 > 53\n\
            tap0 out later 7 fd00::1 > fd00::2 proto 17\n\
            tap0 out middle 7 fd00::1 > fd00::2 proto 17\n\
            tap0 out end 7 fd00::1 > fd00::2 proto 17\n\
            tap0 in 10.0.0.1 > 10.0.0.2 icmp 8/0 id 9\n\
            tap0 in 10.0.0.1 > 10.0.0.2 error 3/3 about later 10.0.0.2 > 10.0.0.1 sctp 1 > 2\n\
            tap0 out fe80::1 > ff02::1 neighbour 136 about fd00::1\n";
        let sequence: Sequence = text.parse().expect("a sequence");
        assert_eq!(sequence.steps.len(), 10);
        assert_eq!(sequence.to_string(), text);
        let commented: Sequence = format!("# why\n\n{text}").parse().expect("a sequence");
        assert_eq!(commented, sequence);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, complaint) in [
            ("tap0 up", "neither in nor out"),
            ("tap0 in 10.0.0.1 10.0.0.2", "> is missing"),
            ("tap0 in 10.0.0.1 > 10.0.0.2 tcp 1 > 80 X", "no TCP flag"),
            ("tap0 in 10.0.0.1 > 10.0.0.2 icmp 8 id 1", "type/code"),
        ] {
            let error = step(line).expect_err(line);
            assert!(error.contains(complaint), "{line}: {error}");
        }
    }
}
