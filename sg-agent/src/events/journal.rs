//! An entry of systemd's journal, by its native protocol: a datagram of fields to a Unix socket
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).

use std::{io, os::unix::net::UnixDatagram, path::Path};

use super::{
    event::{Event, Told, What},
    line::Lines,
};
use crate::observe::connection::End;

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// Priorities of syslog (RFC 5424, 6.2.1).
const NOTICE: &str = "5";
const INFO: &str = "6";

/// The journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// The journal that listens at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self { socket })
    }

    /// Writes an entry.
    pub fn write(&self, told: &Told) -> io::Result<()> {
        self.socket.send(&entry(told)).map(|_| ())
    }
}

/// The datagram.
fn entry(told: &Told) -> Vec<u8> {
    let mut entry = Entry::default();
    let message = Lines::new(false).line(told);
    entry.field("SYSLOG_IDENTIFIER", "sg");
    match told {
        Told::Event(event) => {
            // The journal has a time and columns of its own.
            let words: Vec<&str> = message.split_whitespace().skip(1).collect();
            entry.field("MESSAGE", &words.join(" "));
            event_fields(&mut entry, event);
        }
        Told::Missed(missed) => {
            entry.field("MESSAGE", message.trim_end());
            entry.field("PRIORITY", NOTICE);
            entry.field("SG_EVENT", "not-shown");
            entry.field("SG_DROPPED_NOT_SHOWN", &missed.dropped_not_shown.to_string());
            entry.field("SG_OPENED_NOT_SHOWN", &missed.opened_not_shown.to_string());
            entry.field("SG_CLOSED_NOT_SHOWN", &missed.closed_not_shown.to_string());
            entry.field("SG_AUDITED_NOT_SHOWN", &missed.audited_not_shown.to_string());
        }
    }
    entry.bytes
}

fn event_fields(entry: &mut Entry, event: &Event) {
    let direction =
        if event.direction() == crate::policy::model::Direction::Ingress { "ingress" } else { "egress" };
    let (priority, kind, way) = match event.what {
        What::Dropped { .. } => (NOTICE, "dropped", "SG_DIRECTION"),
        What::Audited { .. } => (NOTICE, "audited", "SG_DIRECTION"),
        What::Opened { .. } => (INFO, "opened", "SG_OPENER"),
        What::Closed { .. } => (INFO, "closed", "SG_OPENER"),
    };
    entry.field("PRIORITY", priority);
    entry.field("SG_EVENT", kind);
    entry.field(way, direction);
    entry.field("SG_TIME", &event.time);
    entry.field("SG_INTERFACE", &event.interface);
    if let Some(protocol) = &event.protocol {
        entry.field("SG_PROTOCOL", protocol);
    }
    entry.end("LOCAL", event.local);
    entry.end("REMOTE", event.remote);
    if let Some(rule) = &event.rule {
        entry.field("SG_GROUP", &rule.group);
        entry.field("SG_RULE", &rule.rule.to_string());
        entry.field("SG_DESCRIPTION", &rule.description);
    }
    match &event.what {
        What::Dropped { reason, packet_bytes, source_mac, .. } => {
            entry.field("SG_REASON", reason);
            entry.field("SG_PACKET_BYTES", &packet_bytes.to_string());
            if let Some(mac) = source_mac {
                entry.field("SG_SOURCE_MAC", mac);
            }
        }
        What::Audited { reason, packet_bytes, .. } => {
            entry.field("SG_REASON", reason);
            entry.field("SG_PACKET_BYTES", &packet_bytes.to_string());
        }
        What::Opened { .. } => {}
        What::Closed { how, packets, bytes, duration_seconds, .. } => {
            entry.field("SG_HOW", how.word());
            entry.field("SG_PACKETS_INGRESS", &packets.ingress.to_string());
            entry.field("SG_PACKETS_EGRESS", &packets.egress.to_string());
            entry.field("SG_BYTES_INGRESS", &bytes.ingress.to_string());
            entry.field("SG_BYTES_EGRESS", &bytes.egress.to_string());
            entry.field("SG_DURATION_SECONDS", &format!("{duration_seconds:.3}"));
        }
    }
}

#[derive(Default)]
struct Entry {
    bytes: Vec<u8>,
}

impl Entry {
    /// A field. A value of several lines is preceded by its length.
    fn field(&mut self, name: &str, value: &str) {
        self.bytes.extend(name.as_bytes());
        if value.contains('\n') {
            self.bytes.push(b'\n');
            self.bytes.extend((value.len() as u64).to_le_bytes());
        } else {
            self.bytes.push(b'=');
        }
        self.bytes.extend(value.as_bytes());
        self.bytes.push(b'\n');
    }

    fn end(&mut self, side: &str, end: Option<End>) {
        let Some(end) = end else { return };
        self.field(&format!("SG_{side}_ADDRESS"), &end.address.to_string());
        if let Some(port) = end.port {
            self.field(&format!("SG_{side}_PORT"), &port.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{
        event::Missed,
        selection::tests::{audited, closed, dropped},
    };

    fn text(told: &Told) -> String {
        String::from_utf8(entry(told)).unwrap()
    }

    #[test]
    fn an_event_has_fields() {
        let text = text(&Told::Event(Box::new(dropped())));
        let expected = "SYSLOG_IDENTIFIER=sg\nMESSAGE=DROP tap1 in tcp 192.0.2.1:40000 > 10.0.0.5:23 rule web #0 (no \
                        telnet), 60 B\nPRIORITY=5\nSG_EVENT=dropped\nSG_DIRECTION=ingress\n\
                        SG_TIME=2026-03-01T02:14:07.123Z\nSG_INTERFACE=tap1\nSG_PROTOCOL=tcp\n\
                        SG_LOCAL_ADDRESS=10.0.0.5\nSG_LOCAL_PORT=23\nSG_REMOTE_ADDRESS=192.0.2.1\n\
                        SG_REMOTE_PORT=40000\nSG_GROUP=web\nSG_RULE=0\nSG_DESCRIPTION=no telnet\nSG_REASON=rule\n\
                        SG_PACKET_BYTES=60\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_audited_packet_has_the_fields_of_a_drop() {
        let text = text(&Told::Event(Box::new(audited())));
        assert!(text.contains("PRIORITY=5\nSG_EVENT=audited\nSG_DIRECTION=ingress\n"), "{text}");
        assert!(text.ends_with("SG_DESCRIPTION=no telnet\nSG_REASON=rule\nSG_PACKET_BYTES=60\n"), "{text}");
    }

    #[test]
    fn a_value_of_lines_cannot_forge_a_field() {
        let mut event = dropped();
        if let Some(rule) = &mut event.rule {
            rule.description = "a\nPRIORITY=0".to_owned();
        }
        let bytes = entry(&Told::Event(Box::new(event)));
        let field = [b"SG_DESCRIPTION\n".as_slice(), &12_u64.to_le_bytes(), b"a\nPRIORITY=0\n"].concat();
        assert!(bytes.windows(field.len()).any(|window| window == field));
    }

    #[test]
    fn the_journal_is_sent_what_ended_and_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let server = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::open(&path).unwrap();
        journal.write(&Told::Event(Box::new(closed()))).unwrap();
        journal.write(&Told::Missed(Missed { opened_not_shown: 3, ..Missed::default() })).unwrap();
        let mut buffer = [0; 4096];
        let mut received = || {
            let length = server.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert!(received().contains("SG_HOW=fin\nSG_PACKETS_INGRESS=12\n"));
        assert!(received().contains("SG_EVENT=not-shown\nSG_DROPPED_NOT_SHOWN=0\nSG_OPENED_NOT_SHOWN=3\n"));
        assert!(Journal::open(&directory.path().join("none")).is_err());
    }
}
