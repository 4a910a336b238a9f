//! How long it takes until a changed policy is in force (targets 8 and 9): the whole command, from its start to its end.

use std::time::Instant;

use anyhow::Result;

use super::{
    Plan,
    established::thousands,
    policy::{Kind, Policy},
    report::Entry,
};
use crate::{agent::Agent, interrupt, netns::Netns};

/// Numbers of rules with the time that `apply` may take, in ms.
const LIMITS: [(usize, f64); 2] = [(5_000, 10.0), (100_000, 150.0)];
const DEVICE: &str = "nic";

/// A policy of which one rule changes each time.
pub fn measure(plan: &Plan) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (rules, limit) in LIMITS {
        let name = format!("apply with one rule changed, {} rules", thousands(rules as u32));
        if plan.thorough() && plan.wants(&name) {
            entries.push(Entry::limited(&name, "ms", &times(plan, rules)?, Some(limit)));
        }
    }
    Ok(entries)
}

fn times(plan: &Plan, rules: usize) -> Result<Vec<f64>> {
    let host = Netns::new();
    host.ip(&format!("link add {DEVICE} type veth peer name peer\nlink set {DEVICE} up\nlink set peer up"));
    let agent = Agent::new(&host);
    let text = Policy { rules, kind: Kind::Tcp }.text(DEVICE);
    let changed = text.replacen("ports: 443", "ports: 444", 1);
    agent.apply(&text);
    let mut times = Vec::new();
    for round in 0..plan.rounds {
        interrupt::check()?;
        let start = Instant::now();
        agent.apply(if round % 2 == 0 { &changed } else { &text });
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}
