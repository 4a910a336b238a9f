//! The policy changes under live connections.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use sg_tests::{
    agent::Agent,
    interrupt,
    traffic::{self, BRIEF, Connection, PATIENT},
};

use crate::{
    scene::{Scene, Who},
    screen::{Look, Screen},
};

/// The connections that are open at the end.
#[derive(Debug)]
pub struct Held {
    /// From the internet to the web server.
    pub inbound: Connection,
    /// From the web server to the internet.
    pub outbound: Connection,
}

/// Withdraws the rule that lets HTTP in and puts it back, with a connection open each way.
pub fn show(screen: &mut Screen, scene: &Scene, agent: &Agent, text: &str) -> Result<Held> {
    let (line, without) = without_http(text)?;
    screen.section(
        "A rule is withdrawn",
        "Connections from outside are judged again; connections from inside go on.",
    );
    let (mut inbound, mut outbound) =
        (open(scene, Who::Internet, Who::Web, 80)?, open(scene, Who::Web, Who::Internet, 443)?);
    screen.expect(inbound.echoes(PATIENT), "inbound  internet → web tcp/80     open, data passes");
    screen.expect(outbound.echoes(PATIENT), "outbound web → internet tcp/443    open, data passes");

    interrupt::check()?;
    apply(screen, agent, &without, &format!("- {line}"), Look::Red)?;
    screen.expect(!inbound.echoes(BRIEF), "inbound  is cut: what it sends is dropped");
    screen.expect(outbound.echoes(PATIENT), "outbound goes on");
    screen.expect(
        connects(scene, BRIEF) == [false; 2],
        "new connections to web tcp/80 are dropped, IPv4 and IPv6",
    );

    interrupt::check()?;
    apply(screen, agent, text, &format!("+ {line}"), Look::Green)?;
    screen.expect(connects(scene, PATIENT) == [true; 2], "new connections to web tcp/80 pass, IPv4 and IPv6");
    screen.expect(outbound.echoes(PATIENT), "outbound has gone on all the time");
    let inbound = open(scene, Who::Internet, Who::Web, 80)?;
    Ok(Held { inbound, outbound })
}

/// The line of the rule that lets HTTP in, and the policy without it.
fn without_http(text: &str) -> Result<(&str, String)> {
    let is_it = |line: &&str| line.trim_start().starts_with("- {") && line.contains("service: http}");
    let line = text.lines().find(is_it).context("the policy has no one-line rule with `service: http}`")?;
    Ok((line.trim().trim_start_matches("- "), text.replace(&format!("{line}\n"), "")))
}

fn apply(screen: &Screen, agent: &Agent, text: &str, edit: &str, look: Look) -> Result<()> {
    println!();
    screen.line(look, edit);
    let start = Instant::now();
    let run = agent.try_apply(text);
    let took = start.elapsed().as_millis();
    ensure!(run.status == 0, "sg-agent apply: {}", run.stderr.trim());
    screen.line(Look::Dim, &format!("applied in {took} ms"));
    Ok(())
}

fn open(scene: &Scene, from: Who, to: Who, port: u16) -> Result<Connection> {
    let (source, target) = (from.addresses()[0], SocketAddr::new(to.addresses()[0], port));
    Connection::open(scene.ns(from), source, target, PATIENT)
        .with_context(|| format!("connecting from {} to {}", from.name(), to.name()))
}

/// Whether new connections to the web server can be opened, over IPv4 and over IPv6.
fn connects(scene: &Scene, patience: Duration) -> [bool; 2] {
    [0, 1].map(|family| {
        let target = SocketAddr::new(Who::Web.addresses()[family], 80);
        traffic::tcp(scene.ns(Who::Internet), Who::Internet.addresses()[family], target, patience)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_withdrawn_and_nothing_else() {
        let example = include_str!("../../../../rules.example.yaml");
        let (line, without) = without_http(example).expect("the rule");
        assert!(line.starts_with('{') && line.contains("HTTP from anywhere"));
        assert_eq!(without.lines().count() + 1, example.lines().count());
        assert_eq!(
            sg_tests::oracle::policy(&without).groups["web"].rules.len() + 1,
            sg_tests::oracle::policy(example).groups["web"].rules.len()
        );
    }
}
