//! `sg-agent attach IFACE`, `sg-agent detach IFACE`: one binding more or less in the policy in force.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{answer::Answer, wire};
use crate::{
    dataplane::{Error, Writer, bind, interfaces},
    observe::parse,
    policy::{
        Policy,
        model::{Interface, LinkLocal, Role, RxHook},
        suggest,
    },
};

/// Bind an interface to groups and return when it is enforced
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The interface
    interface: String,
    /// Groups to bind it to, one or more, behind one `--group` or each behind its own; without any, the default group
    #[arg(long = "group", value_name = "GROUP", num_args = 1..)]
    #[serde(default)]
    groups: Vec<String>,
    /// Whose interface it is
    #[arg(long, value_enum, default_value_t = RoleName::Guest)]
    #[serde(default)]
    role: RoleName,
    /// Addresses of the instance, one or more
    #[arg(long = "address", value_name = "ADDRESS", value_parser = parse::address, num_args = 1..)]
    #[serde(default)]
    addresses: Vec<IpAddr>,
    /// MAC address of the instance
    #[arg(long, value_parser = parse::mac)]
    #[serde(default, with = "wire::mac")]
    mac: Option<[u8; 6]>,
}

/// Take the binding of an interface back; it is not filtered any more
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detach {
    /// The interface
    interface: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoleName {
    /// The host's end of an instance's NIC
    #[default]
    Guest,
    /// The host's own NIC
    Host,
}

impl Attach {
    /// Does it.
    pub fn answer(&self, writer: &mut Writer) -> anyhow::Result<Answer> {
        if bind::is_pattern(&self.interface) {
            let fault =
                format!("`{}` would be read as a pattern: `*` and `?` stand for others", self.interface);
            return Err(Error::Input(fault).into());
        }
        let mut policy = Policy::clone(writer.loaded.state.policy());
        for group in &self.groups {
            check_group(&policy, group)?;
        }
        if interfaces::find(&self.interface)?.is_none() {
            return Err(Error::Environment(format!("there is no interface {}", self.interface)).into());
        }
        let entry = self.entry();
        match policy.interfaces.iter_mut().find(|known| known.name == entry.name) {
            Some(known) => *known = entry,
            None => policy.interfaces.push(entry),
        }
        let default = &policy.settings.default_group;
        let is_shut = self.groups.is_empty() && !policy.groups.contains_key(default);
        let warning = format!(
            "sg-agent: warning: {} names no group and there is no group `{default}`: nothing passes\n",
            self.interface
        );
        let generation = writer.apply(&Arc::new(policy))?.generation;
        if let Some(fault) = writer.fault(&self.interface) {
            return Err(Error::InUse(format!("{} is bound and NOT enforced: {fault}", self.interface)).into());
        }
        let text = format!("{}: enforced, generation {generation}\n", self.interface);
        let answer = Answer::text(text).of_generation(generation);
        Ok(if is_shut { answer.with_messages(warning) } else { answer })
    }

    fn entry(&self) -> Interface {
        let role = if self.role == RoleName::Guest { Role::Guest } else { Role::Host };
        Interface {
            name: self.interface.clone(),
            role,
            groups: self.groups.clone(),
            addresses: self.addresses.clone(),
            mac: self.mac,
            allowed_address_pairs: Vec::new(),
            anti_spoof: role == Role::Guest && !self.addresses.is_empty(),
            exempt: Vec::new(),
            rx_hook: RxHook::Auto,
            zone: String::new(),
            link_local: LinkLocal::Any,
            attached: true,
        }
    }
}

impl Detach {
    /// Does it.
    pub fn answer(&self, writer: &mut Writer) -> anyhow::Result<Answer> {
        let mut policy = Policy::clone(writer.loaded.state.policy());
        let count = policy.interfaces.len();
        policy.interfaces.retain(|entry| entry.name != self.interface);
        let pattern = bind::entry(&policy, &self.interface).map(|entry| entry.name.clone());
        let name = &self.interface;
        if policy.interfaces.len() == count {
            return match pattern {
                Some(pattern) => {
                    let fault = format!("{name} is bound by the pattern {pattern}: change the policy");
                    Err(Error::Input(fault).into())
                }
                None => self.not_bound(),
            };
        }
        let generation = writer.apply(&Arc::new(policy))?.generation;
        let text = match pattern {
            Some(pattern) => {
                format!("{name}: bound by the pattern {pattern} again, generation {generation}\n")
            }
            None => format!("{name}: not filtered any more, generation {generation}\n"),
        };
        Ok(Answer::text(text).of_generation(generation))
    }

    /// A hook that runs twice has done its work; a name that nobody knows is misspelt.
    fn not_bound(&self) -> anyhow::Result<Answer> {
        let name = &self.interface;
        if interfaces::find(name)?.is_none() {
            let fault = format!("{name} is not bound, and there is no such interface");
            return Err(Error::Input(fault).into());
        }
        Ok(Answer::text(format!("{name}: was not bound\n")))
    }
}

fn check_group(policy: &Policy, name: &str) -> Result<(), Error> {
    if policy.groups.contains_key(name) {
        return Ok(());
    }
    let names = || policy.groups.keys().map(String::as_str);
    let hint = suggest::near_miss(name, names()).map(|hint| format!("; {hint}")).unwrap_or_default();
    Err(Error::Input(format!("no group of the policy in force is named {name}{hint}")))
}
