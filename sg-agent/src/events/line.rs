//! A line for people.
//!
//! ```text
//! 02:14:07.123Z DROP  tap1  in   tcp   192.0.2.1:40000 > 10.0.0.5:23   rule: web #0, no telnet; 60 B
//! 02:14:07.900Z AUDIT tap1  in   tcp   192.0.2.1:40001 > 10.0.0.5:80   would drop: rule soon #1, 60 B
//! 02:14:08.001Z OPEN  tap1  out  udp   10.0.0.5:5353 > 192.0.2.53:53   web, default
//! ```

use super::event::{Event, How, Missed, Rule, Told, What};
use crate::{
    observe::connection::{Both, End},
    policy::{
        model::Direction,
        render::{Style, printable},
    },
};

const RED: &str = "1;31";
const GREEN: &str = "32";
const BLUE: &str = "34";
const YELLOW: &str = "1;33";
const DIM: &str = "2";
/// Columns grow with what comes, up to here: an IPv6 address with a port, twice.
const WIDEST: usize = 2 * 47 + 3;

/// Writes lines whose columns line up.
#[derive(Debug)]
pub struct Lines {
    style: Style,
    interface: usize,
    ends: usize,
}

impl Lines {
    /// Lines with colours or without.
    pub fn new(colour: bool) -> Self {
        Self { style: Style { colour }, interface: 6, ends: 40 }
    }

    /// The line of `told`, with its end.
    pub fn line(&mut self, told: &Told) -> String {
        match told {
            Told::Event(event) => self.event(event),
            Told::Missed(missed) => self.style.paint(YELLOW, &self::missed(missed)) + "\n",
        }
    }

    fn event(&mut self, event: &Event) -> String {
        let time = self.style.paint(DIM, &clock_time(&event.time));
        let (colour, word) = match &event.what {
            What::Dropped { .. } => (RED, "DROP "),
            What::Audited { .. } => (YELLOW, "AUDIT"),
            What::Opened { .. } => (GREEN, "OPEN "),
            What::Closed { .. } => (BLUE, "CLOSE"),
        };
        let way = match event.direction() {
            Direction::Ingress => "in ",
            Direction::Egress => "out",
        };
        let interface = column(&printable(&event.interface), &mut self.interface);
        let ends = column(&ends(event), &mut self.ends);
        let protocol = event.protocol.as_deref().unwrap_or("-");
        let word = self.style.paint(colour, word);
        let what = what(event);
        format!("{time} {word} {interface} {way} {protocol:<6} {ends}  {}\n", self.style.paint(colour, &what))
    }
}

fn column(text: &str, width: &mut usize) -> String {
    *width = (*width).max(text.chars().count()).min(WIDEST);
    format!("{text:<width$}", width = *width)
}

/// `2026-03-01T02:14:07.123Z` as `02:14:07.123Z`.
fn clock_time(stamp: &str) -> String {
    stamp.split_once('T').map_or(stamp, |(_, time)| time).to_owned()
}

/// From whom to whom the packet went, or the first one of the connection.
fn ends(event: &Event) -> String {
    let text = |end: Option<End>| end.map_or_else(|| "?".to_owned(), |end| end.to_string());
    let icmp = event.icmp.map(|icmp| format!(" type {} code {}", icmp.kind, icmp.code)).unwrap_or_default();
    let (from, to) = match event.direction() {
        Direction::Ingress => (event.remote, event.local),
        Direction::Egress => (event.local, event.remote),
    };
    match (&event.what, from, to) {
        (What::Dropped { source_mac: Some(mac), .. }, None, None) => format!("from {mac}"),
        _ => format!("{} > {}{icmp}", text(from), text(to)),
    }
}

fn what(event: &Event) -> String {
    let rule = event.rule.as_ref().map(rule);
    let by = || rule.as_ref().map(|rule| format!(" {rule}")).unwrap_or_default();
    match &event.what {
        What::Dropped { reason, packet_bytes, source_mac, .. } => {
            let is_spoofed = reason.starts_with("spoofed-") && event.local.is_some();
            let mac = source_mac.as_ref().filter(|_| is_spoofed);
            let mac = mac.map(|mac| format!(", from {mac}")).unwrap_or_default();
            format!("{reason}{}{mac}, {packet_bytes} B", by())
        }
        What::Audited { reason, packet_bytes, .. } => {
            format!("would drop: {reason}{}, {packet_bytes} B", by())
        }
        What::Opened { .. } => rule.unwrap_or_else(|| "default".to_owned()),
        What::Closed { how, packets, bytes, duration_seconds, .. } => format!(
            "{} after {duration_seconds:.1} s; in {}, out {}{}",
            ended(*how),
            amount(*packets, *bytes, |both| both.ingress),
            amount(*packets, *bytes, |both| both.egress),
            rule.map(|rule| format!("; {rule}")).unwrap_or_default()
        ),
    }
}

/// `web #0 (HTTPS)`.
fn rule(rule: &Rule) -> String {
    let description = match printable(&rule.description) {
        text if text.is_empty() => String::new(),
        text => format!(" ({text})"),
    };
    format!("{} #{}{description}", printable(&rule.group), rule.rule)
}

const fn ended(how: How) -> &'static str {
    match how {
        How::Expired => "expired",
        How::Fin => "closed by FIN",
        How::Rst => "closed by RST",
        How::Cut => "cut by a change of policy",
        How::Flushed => "flushed",
        How::Gone => "interface or rule gone",
    }
}

fn amount(packets: Both, bytes: Both, of: impl Fn(Both) -> u64) -> String {
    format!("{} packets {}", of(packets), size(of(bytes)))
}

/// Bytes in the largest unit that leaves a number before the point: `52.0 kB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

fn missed(missed: &Missed) -> String {
    let kinds = [
        (missed.dropped_not_shown, "dropped"),
        (missed.opened_not_shown, "opened"),
        (missed.closed_not_shown, "closed"),
        (missed.audited_not_shown, "audited"),
    ];
    let kinds: Vec<String> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}")).collect();
    format!("... and {} more not shown: {}", missed.total(), kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{
        event::Icmp,
        selection::tests::{audited, closed, dropped, opened},
    };

    fn line(event: Event) -> String {
        Lines::new(false).line(&Told::Event(Box::new(event)))
    }

    #[test]
    fn a_line_says_who_what_and_why() {
        assert_eq!(
            line(dropped()),
            "02:14:07.123Z DROP  tap1   in  tcp    192.0.2.1:40000 > 10.0.0.5:23             \
             rule web #0 (no telnet), 60 B\n"
        );
        assert_eq!(
            line(audited()),
            "02:14:07.123Z AUDIT tap1   in  tcp    192.0.2.1:40000 > 10.0.0.5:23             \
             would drop: rule web #0 (no telnet), 60 B\n"
        );
        let reason = "default".to_owned();
        let what = What::Audited { direction: Direction::Egress, reason, packet_bytes: 60 };
        assert!(line(Event { what, rule: None, ..audited() }).ends_with("  would drop: default, 60 B\n"));
        assert_eq!(
            line(opened()),
            "02:14:07.123Z OPEN  tap1   out tcp    10.0.0.5:23 > 192.0.2.1:40000             web #0 (no telnet)\n"
        );
        assert_eq!(
            line(closed()),
            "02:14:07.123Z CLOSE tap1   in  tcp    192.0.2.1:40000 > 10.0.0.5:23             \
             closed by FIN after 31.2 s; in 12 packets 1.4 kB, out 10 packets 52.0 kB; web #0 (no telnet)\n"
        );
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let what = What::Dropped {
            direction: Direction::Egress,
            reason: "spoofed-arp".to_owned(),
            packet_bytes: 42,
            source_mac: Some("02:00:00:00:00:0a".to_owned()),
        };
        let base = Event { rule: None, remote: None, protocol: None, what, ..dropped() };
        assert!(
            line(base.clone()).contains("- 10.0.0.5:23 > ?")
                || line(base.clone()).contains("10.0.0.5:23 > ?")
        );
        assert!(line(base.clone()).ends_with("spoofed-arp, from 02:00:00:00:00:0a, 42 B\n"));
        let nothing = line(Event { local: None, ..base });
        assert!(nothing.contains("out -      from 02:00:00:00:00:0a"), "{nothing}");
        let ping = Event { icmp: Some(Icmp { kind: 8, code: 0 }), ..dropped() };
        assert!(line(ping).contains("> 10.0.0.5:23 type 8 code 0"));
    }

    #[test]
    fn columns_grow_and_stay() {
        let mut lines = Lines::new(false);
        let long = Event { interface: "a-long-interface".to_owned(), ..dropped() };
        lines.line(&Told::Event(Box::new(long)));
        assert!(lines.line(&Told::Event(Box::new(dropped()))).contains("tap1             in "));
    }

    #[test]
    fn no_control_character_reaches_the_terminal() {
        let mut evil = dropped();
        evil.rule = Some(Rule { group: "web".into(), rule: 0, description: "\x1b[2J".into() });
        assert!(!line(evil).contains('\x1b'));
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let missed =
            Missed { dropped_not_shown: 200, closed_not_shown: 1, audited_not_shown: 7, ..Missed::default() };
        let text = Lines::new(true).line(&Told::Missed(missed));
        assert_eq!(text, "\x1b[1;33m... and 208 more not shown: 200 dropped, 1 closed, 7 audited\x1b[0m\n");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!([size(999), size(1000), size(52_000_000)], ["999 B", "1.0 kB", "52.0 MB"]);
    }
}
