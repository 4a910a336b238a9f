//! What the kernel has noted: connections and drops.

use std::net::SocketAddr;

use anyhow::Result;
use sg_tests::{
    agent::{Agent, End, Tracked},
    interrupt,
};

use crate::{
    change::Held,
    scene::{Scene, Who},
    screen::{Look, Screen},
};

/// Shows both.
pub fn show(screen: &mut Screen, scene: &Scene, agent: &Agent, held: &Held) -> Result<()> {
    interrupt::check()?;
    connections(screen, agent, held);
    interrupt::check()?;
    drops(screen, agent, scene);
    Ok(())
}

fn connections(screen: &mut Screen, agent: &Agent, held: &Held) {
    screen.section(
        "The connection table",
        "One entry each, from the guest's side; the opener decides what a change does.",
    );
    let entries = agent.connections();
    let web = Who::Web.addresses()[0];
    let internet = Who::Internet.addresses()[0];
    let ours = [
        ("ingress", SocketAddr::new(web, 80), held.inbound.local()),
        ("egress", held.outbound.local(), SocketAddr::new(internet, 443)),
    ];
    screen.line(Look::Dim, &row(["interface", "proto", "state", "opened by", "local", "remote", "expires"]));
    let is_ours = |entry: &&Tracked| ours.iter().any(|(_, local, remote)| entry.is_between(*local, *remote));
    for entry in entries.iter().filter(is_ours) {
        screen.line(Look::Plain, &described(entry));
    }
    let others = entries.iter().filter(|entry| !is_ours(entry)).count();
    screen.line(Look::Dim, &format!("and {others} more, of what was tried above"));
    for (opener, local, remote) in ours {
        let found = entries.iter().find(|entry| entry.is_between(local, remote));
        let text = format!("the connection {local} – {remote} is there, opened by {opener}");
        screen.expect(found.is_some_and(|entry| entry.opener == opener), &text);
    }
}

fn described(entry: &Tracked) -> String {
    let end = |end: &End| match end.port {
        Some(port) => SocketAddr::new(end.address, port).to_string(),
        None => end.address.to_string(),
    };
    let expires = format!("{:.0} s", entry.expires_in_seconds);
    let opener = if entry.opener == "ingress" { "outside" } else { "guest" };
    let (local, remote) = (end(&entry.local), end(&entry.remote));
    row([&entry.interface, &entry.protocol, &entry.state, opener, &local, &remote, &expires])
}

fn row([interface, protocol, state, opener, local, remote, expires]: [&str; 7]) -> String {
    format!("{interface:<9}  {protocol:<5}  {state:<12}  {opener:<9}  {local:<20}  {remote:<20}  {expires}")
}

fn drops(screen: &mut Screen, agent: &Agent, scene: &Scene) {
    screen.section("The drop counters", "Every drop has one reason, counted where it happened.");
    let drops = agent.stats().drops();
    for ((interface, direction, reason), count) in drops.iter().filter(|(_, count)| **count > 0) {
        screen.line(Look::Plain, &format!("{interface:<9}  {direction:<8}  {reason:<20}  {count:>6}"));
    }
    let total = |direction: &str, reason: &str| -> u64 {
        let of = drops.iter().filter(|((_, d, r), _)| *d == direction && r == reason);
        of.map(|(_, count)| *count).sum()
    };
    let guests = scene.policy().interfaces.len();
    let by_default = total("ingress", "default");
    screen.expect(
        by_default > 0,
        &format!("{by_default} packets to {guests} guests met no rule that allows them"),
    );
    let mail = total("egress", "smtp");
    screen.expect(mail > 0, &format!("{mail} packets of outbound mail were stopped"));
}
