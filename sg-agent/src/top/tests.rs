//! Screens as text.

use ratatui::{Terminal, backend::TestBackend};
use sg_common::verdict::Reason;

use super::{
    snapshot::{Drops, Flow, Interface, Rate, Rule, Snapshot},
    theme::Theme,
    view::{Tab, View},
    *,
};
use crate::{
    observe::connection::End,
    policy::model::{Action, Direction},
};

/// A host with two guests, one of which is attacked.
fn snapshot() -> Snapshot {
    Snapshot {
        host: "hv1".to_owned(),
        time: "02:14:07".to_owned(),
        generation: 7,
        age: Some(183_600),
        connections: (196_608, 262_144),
        opened: 31.0,
        refused: 0.0,
        interfaces: interfaces(),
        flows: flows(),
        drops: vec![drops(Reason::SpoofedMac, 0.0, 3), drops(Reason::Default, 1900.0, 1_234_567)],
        rules: vec![
            rule(0, Action::Allow, "HTTPS from anywhere", 4000.0, 1_500_000),
            rule(1, Action::Deny, "no telnet", 0.0, 12),
        ],
        interval: Some(1.0),
    }
}

fn interfaces() -> Vec<Interface> {
    let rate = |packets, bytes, drops| Rate { packets, bytes, drops };
    let interface = |name: &str, ingress, egress, opened, history: &[f64]| Interface {
        name: name.to_owned(),
        ingress,
        egress,
        opened,
        history: history.to_vec(),
    };
    let (quiet, attacked) = (&[1.0, 5.0], &[100.0, 12_000.0, 23_400.0]);
    vec![
        interface("tap-db", rate(3.0, 400.0, 0.0), rate(2.0, 300.0, 0.0), 0.0, quiet),
        interface(
            "tap-web",
            rate(12_400.0, 8_700_000.0, 1900.0),
            rate(11_000.0, 56_000_000.0, 0.0),
            31.0,
            attacked,
        ),
    ]
}

fn flows() -> Vec<Flow> {
    let end = |address: &str, port| End { address: address.parse().unwrap(), port: Some(port) };
    let flow = |state, opener, remote, bytes, age| Flow {
        interface: "tap-web".to_owned(),
        protocol: "tcp".to_owned(),
        state,
        opener,
        local: end("10.0.0.5", 443),
        remote,
        bytes,
        packets: bytes / 700.0,
        age,
        expires: 600,
    };
    vec![
        flow("established", Direction::Ingress, end("192.0.2.1", 40_000), 10_000.0, 90),
        flow("syn-sent", Direction::Egress, end("2001:db8::7", 5432), 0.0, 1),
    ]
}

fn drops(reason: Reason, ingress: f64, total: u64) -> Drops {
    Drops { reason, ingress, egress: 0.0, total, most: "tap-web".into() }
}

fn rule(index: u32, action: Action, description: &str, packets: f64, total: u64) -> Rule {
    Rule {
        interface: "tap-web".to_owned(),
        direction: Direction::Ingress,
        group: "web".to_owned(),
        index,
        action,
        description: description.to_owned(),
        packets,
        bytes: packets * 700.0,
        total,
    }
}

fn screen(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let drawn = terminal.draw(|frame| draw(frame, &snapshot(), view, Theme::new(false))).unwrap();
    let line = |y| (0..width).map(|x| drawn.buffer.cell((x, y)).unwrap().symbol()).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

fn on(tab: Tab) -> View {
    View { tab, ..View::default() }
}

/// Compares with the screen in `tests/NAME.txt`, which `SG_BLESS=1` writes anew.
#[track_caller]
fn is_as_kept(name: &str, screen: &[String]) {
    let path = format!("{}/src/top/tests/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("SG_BLESS").is_some() {
        std::fs::write(&path, screen.join("\n") + "\n").unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(screen, kept.lines().collect::<Vec<_>>(), "{path}");
}

#[test]
fn the_overview_fits_80_by_24() {
    is_as_kept("overview", &screen(&View::default(), 80, 24));
}

#[test]
fn every_tab_fits_80_by_24() {
    is_as_kept("interfaces", &screen(&on(Tab::Interfaces), 80, 10));
    is_as_kept("flows", &screen(&on(Tab::Flows), 80, 10));
    is_as_kept("drops", &screen(&on(Tab::Drops), 80, 10));
    is_as_kept("rules", &screen(&on(Tab::Rules), 80, 10));
}

#[test]
fn any_size_is_drawn() {
    for tab in Tab::ALL {
        for (width, height) in [(1, 1), (7, 3), (20, 8), (300, 100)] {
            let view = View { is_help: true, offset: 99, ..on(tab) };
            assert_eq!(screen(&view, width, height).len(), usize::from(height));
        }
    }
}

#[test]
fn a_filter_leaves_what_it_is_in() {
    let view = View { filter: "TELNET".to_owned(), ..on(Tab::Rules) };
    let text = screen(&view, 80, 24).join("\n");
    assert!(text.contains("no telnet") && !text.contains("HTTPS"), "{text}");
    let nothing = View { filter: "xyz".to_owned(), ..on(Tab::Rules) };
    assert!(screen(&nothing, 80, 24).join("\n").contains("nothing has that text in it"));
}

#[test]
fn rows_are_sorted_as_the_view_says() {
    let first = |tab: Tab, order: usize| {
        let mut view = on(tab);
        view.order[tab as usize] = order;
        screen(&view, 100, 24)[5].clone()
    };
    assert!(first(Tab::Interfaces, 0).contains("tap-web") && first(Tab::Interfaces, 2).contains("tap-db"));
    assert!(first(Tab::Flows, 0).contains("192.0.2.1") && first(Tab::Flows, 1).contains("2001:db8::7"));
    assert!(first(Tab::Drops, 0).contains("default") && first(Tab::Rules, 2).contains("HTTPS"));
}

#[test]
fn a_scrolled_table_says_where_it_is() {
    let view = View { offset: 1, ..on(Tab::Rules) };
    let lines = screen(&view, 80, 8);
    assert!(lines.iter().any(|line| line.contains("2-2 of 2")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("no telnet")), "{lines:#?}");
    assert_eq!(draw::page(8, &snapshot(), &view), (1, 2));
}

#[test]
fn a_full_table_is_said_loudly() {
    let mut full = snapshot();
    full.refused = 500.0;
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let drawn = terminal.draw(|frame| draw(frame, &full, &View::default(), Theme::new(true))).unwrap();
    let cell = drawn.buffer.cell((1, 1)).unwrap();
    assert_eq!(cell.style().fg, Theme::new(true).bad().fg);
}

#[test]
fn without_colours_there_are_none() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let drawn = terminal.draw(|frame| draw(frame, &snapshot(), &View::default(), Theme::new(false))).unwrap();
    let colours = drawn.buffer.content.iter().any(|cell| {
        let plain = [ratatui::style::Color::Reset; 2];
        [cell.fg, cell.bg] != plain
    });
    assert!(!colours);
}
