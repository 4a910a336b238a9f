//! `sg-agent template list|show NAME`.

use std::{collections::BTreeMap, fmt::Write, process::ExitCode};

use serde::Serialize;

use crate::policy::{
    model::Direction,
    suggest,
    templates::{self, Peer, TemplateRule, Traffic},
};

/// List and show the built-in templates
#[derive(Debug, clap::Args)]
pub struct Template {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Names and purpose
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// A template as a policy file
    Show {
        /// Its name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Template {
    /// Prints the list or one template.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::List { json } => list(json),
            Verb::Show { name, json } => show(&name, json),
        }
    }
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    description: &'static str,
    rules: usize,
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let rows = templates::ALL.iter().map(|template| Row {
        name: template.name,
        description: template.description,
        rules: template.rules.len(),
    });
    if json {
        super::print(&(serde_json::to_string(&rows.collect::<Vec<_>>())? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = String::new();
    for row in rows {
        writeln!(out, "{:<12} rules: {:<3} {}", row.name, row.rules, row.description)?;
    }
    super::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// The keys of a policy file that a template needs.
#[derive(Serialize)]
struct File<'a> {
    version: u32,
    security_groups: BTreeMap<&'a str, Group<'a>>,
}

#[derive(Serialize)]
struct Group<'a> {
    description: &'a str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    description: &'static str,
    direction: Direction,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
}

fn show(name: &str, json: bool) -> anyhow::Result<ExitCode> {
    let Some(template) = templates::find(name) else {
        let names = || templates::ALL.iter().map(|template| template.name);
        let hint = suggest::near_miss(name, names()).map(|hint| format!("; {hint}")).unwrap_or_default();
        let known = suggest::one_of(names());
        super::print_error(&format!(
            "no template is named `{}`; there is {known}{hint}\n",
            name.escape_debug()
        ))?;
        return Ok(ExitCode::FAILURE);
    };
    let rules = template.rules.iter().map(|one| rule(one, template.name)).collect();
    let group = Group { description: template.description, rules };
    let file = File { version: 1, security_groups: BTreeMap::from([(template.name, group)]) };
    let text = if json { serde_json::to_string(&file)? + "\n" } else { serde_yaml::to_string(&file)? };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn rule(rule: &TemplateRule, group: &str) -> Rule {
    let (protocol, ports) = match rule.traffic {
        Traffic::All => ("all", None),
        Traffic::Tcp(port) => ("tcp", Some(port)),
        Traffic::Icmp => ("icmp", None),
        Traffic::Icmpv6 => ("icmpv6", None),
    };
    let remote = (rule.peer == Peer::Members).then(|| format!("group:{group}"));
    Rule { description: rule.description, direction: rule.direction, protocol, ports, remote }
}
