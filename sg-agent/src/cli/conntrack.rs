//! `sg-agent conntrack list|count|flush`.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sg_common::events::End as Ended;

use super::{answer::Answer, wire};
use crate::{
    compile::Clock,
    dataplane::{Loaded, Options},
    observe::{
        connection::{self, Connection, End},
        filter::Filter,
        names, parse,
        table::table,
        time,
    },
};

/// How often a flush looks for connections that went on while it worked.
const PASSES: usize = 4;

/// List, count and end tracked connections
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conntrack {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verb {
    /// Live connections, with state, opener and remaining time
    List(Selection),
    /// How many there are
    Count(Selection),
    /// End them: their next packet is judged by the rules
    Flush(Selection),
}

/// Which connections; those that fit every option given.
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    /// Of this interface
    #[arg(long)]
    #[serde(default)]
    interface: Option<String>,
    /// Of this protocol: tcp, udp, icmp, icmpv6, sctp or a number
    #[arg(long, value_parser = parse::protocol)]
    #[serde(default, with = "wire::protocol")]
    protocol: Option<u8>,
    /// With this address or network at either end
    #[arg(long, value_name = "ADDRESS|CIDR", value_parser = parse::network)]
    #[serde(default, with = "wire::network")]
    address: Option<IpNet>,
    /// With this address or network at the protected end
    #[arg(long, value_name = "ADDRESS|CIDR", value_parser = parse::network)]
    #[serde(default, with = "wire::network")]
    local: Option<IpNet>,
    /// With this address or network at the other end
    #[arg(long, value_name = "ADDRESS|CIDR", value_parser = parse::network)]
    #[serde(default, with = "wire::network")]
    remote: Option<IpNet>,
    /// With this port at either end (for ICMP, this identifier)
    #[arg(long)]
    #[serde(default)]
    port: Option<u16>,
    /// Print JSON
    #[arg(long)]
    #[serde(default)]
    json: bool,
}

/// `conntrack count --json`.
#[derive(Serialize)]
struct Count {
    entries: u64,
}

/// `conntrack flush --json`.
#[derive(Serialize)]
struct Flushed {
    flushed: u64,
}

impl Conntrack {
    /// Lists, counts or flushes.
    pub fn answer(&self, options: &Options) -> anyhow::Result<Answer> {
        let (Verb::List(selection) | Verb::Count(selection) | Verb::Flush(selection)) = &self.verb;
        let loaded = Loaded::open(options)?;
        names::check(&loaded.state, selection.interface.as_deref())?;
        let (clock, filter) = (loaded.kernel.clock()?, selection.filter());
        let connections = selected(&loaded, &clock, &filter);
        let json = selection.json;
        match self.verb {
            Verb::List(_) => list(&connections, &clock, json),
            Verb::Count(_) => {
                let entries = connections.len() as u64;
                if json { Answer::json(&Count { entries }) } else { Ok(Answer::text(format!("{entries}\n"))) }
            }
            Verb::Flush(_) => flush(&loaded, &filter, connections, json),
        }
    }
}

impl Selection {
    fn filter(&self) -> Filter {
        Filter {
            interface: self.interface.clone(),
            protocol: self.protocol,
            address: self.address,
            local: self.local,
            remote: self.remote,
            port: self.port,
        }
    }
}

/// The live connections that `filter` takes, in the order of listings.
fn selected(loaded: &Loaded, clock: &Clock, filter: &Filter) -> Vec<Connection> {
    let mut found = connection::all(loaded, clock);
    found.retain(|connection| filter.takes(connection));
    found
}

fn list(connections: &[Connection], clock: &Clock, json: bool) -> anyhow::Result<Answer> {
    if json {
        let rows: Vec<connection::Row> = connections.iter().map(|one| one.row(clock)).collect();
        return Answer::json(&rows);
    }
    let heading =
        ["INTERFACE", "PROTOCOL", "STATE", "OPENER", "LOCAL", "REMOTE", "PACKETS", "BYTES", "AGE", "EXPIRES"];
    let numeric = [false, false, false, false, false, false, true, true, true, true];
    let cells = |one: &Connection| {
        [
            one.interface.clone(),
            one.protocol_name(),
            one.state().to_owned(),
            one.opener().to_owned(),
            one.local.to_string(),
            one.remote.to_string(),
            one.packets.iter().copied().map(u64::from).sum::<u64>().to_string(),
            one.bytes.iter().sum::<u64>().to_string(),
            time::span(time::seconds_down(clock, one.age)),
            time::span(time::seconds_up(clock, one.remaining)),
        ]
    };
    Ok(Answer::text(table(heading, numeric, &connections.iter().map(cells).collect::<Vec<_>>())))
}

/// Evicts them. A connection that moved on after it was read is read again.
fn flush(loaded: &Loaded, filter: &Filter, found: Vec<Connection>, json: bool) -> anyhow::Result<Answer> {
    let mut flushed = 0;
    let mut left = found;
    for _ in 0..PASSES {
        let mut changed = BTreeSet::new();
        for one in &left {
            if loaded.kernel.evict(one.table, one.slot, one.life, Ended::Flushed)? {
                flushed += 1;
            } else {
                changed.insert(place(one));
            }
        }
        if changed.is_empty() {
            left.clear();
            break;
        }
        left = selected(loaded, &loaded.kernel.clock()?, filter);
        left.retain(|one| changed.contains(&place(one)));
    }
    if json {
        return Answer::json(&Flushed { flushed });
    }
    let rest = match left.len() {
        0 => String::new(),
        busy => format!("; {busy} went on meanwhile: flush again"),
    };
    Ok(Answer::text(format!("flushed: {flushed}{rest}\n")))
}

/// What tells a connection from another that takes its slot.
fn place(one: &Connection) -> (usize, u32, u8, End, End) {
    (one.table, one.slot, one.protocol, one.local, one.remote)
}
