//! Single addresses of a group's `members:`, changed in the policy in force.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{clock::Clock, error::DoesNotFit, member_change::MemberChange, plan::Plan, state::State};
use crate::policy::Policy;

/// An address that becomes, or ceases to be, one of a group's `members:`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The group.
    pub group: String,
    /// The address.
    pub addr: IpAddr,
    /// Whether it becomes a member.
    pub is_added: bool,
}

impl Edit {
    /// Makes it in `policy`.
    pub fn make(&self, policy: &mut Policy) {
        let Some(group) = policy.groups.get_mut(&self.group) else { return };
        let net = IpNet::from(self.addr);
        match (group.members.binary_search(&net), self.is_added) {
            (Err(at), true) => group.members.insert(at, net),
            (Ok(at), false) => drop(group.members.remove(at)),
            (Ok(_), true) | (Err(_), false) => {}
        }
    }

    /// Whether it changes anything in `policy`.
    fn is_needed(&self, policy: &Policy) -> bool {
        let members = policy.groups.get(&self.group).map(|group| &group.members);
        members
            .is_some_and(|members| members.binary_search(&IpNet::from(self.addr)).is_err() == self.is_added)
    }

    /// The opposite.
    #[must_use]
    pub fn undone(&self) -> Self {
        Self { is_added: !self.is_added, ..self.clone() }
    }
}

impl State {
    /// Makes `edits` in the policy in force and tells what has to be written. If that does not fit, nothing has changed.
    ///
    /// The policy is changed in place where nobody else holds it, and copied where somebody does.
    pub fn edit_members(&mut self, edits: &[Edit], clock: &Clock) -> Result<Plan, DoesNotFit> {
        let needed: Vec<Edit> = edits.iter().filter(|edit| edit.is_needed(&self.policy)).cloned().collect();
        let zones: BTreeSet<&String> = self.interfaces.values().map(|bound| &bound.spec.zone).collect();
        let in_zone = |zone: &String, edit: &Edit| {
            let Edit { group, addr, is_added } = edit.clone();
            MemberChange { zone: zone.clone(), addr, group, is_added }
        };
        let changes: Vec<MemberChange> =
            needed.iter().flat_map(|edit| zones.iter().map(move |zone| in_zone(zone, edit))).collect();
        let agreed = !self.members_changed;
        let plan = self.change_members(&changes, clock)?;
        if !needed.is_empty() {
            let policy = Arc::make_mut(&mut self.policy);
            needed.iter().for_each(|edit| edit.make(policy));
        }
        // Members are again what the policy says.
        self.members_changed = !agreed;
        self.origin.edits.extend(needed);
        Ok(plan)
    }

    /// Takes the policy with everything that was changed one by one for a policy of its own number.
    pub fn renumber(&mut self) {
        self.origin.number = self.origin.number.wrapping_add(1);
        self.origin.edits.clear();
    }

    /// How many members were changed one by one since the policy has its number.
    pub fn edits(&self) -> usize {
        self.origin.edits.len()
    }
}
