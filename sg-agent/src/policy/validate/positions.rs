//! Where the items of a policy stand in the file: the model itself carries no positions.

use std::collections::BTreeMap;

use super::super::diagnostic::Span;

/// Positions of a validated policy's items.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// Security groups by name.
    pub groups: BTreeMap<String, GroupPositions>,
    /// Names of the address groups.
    pub address_groups: BTreeMap<String, Span>,
    /// Names of the interfaces, as in `Policy::interfaces`.
    pub interfaces: Vec<Span>,
}

/// Positions in one security group.
#[derive(Clone, Debug, Default)]
pub struct GroupPositions {
    /// Its name.
    pub name: Span,
    /// Its rules by `Rule::index`; those of a template stand where it is named.
    pub rules: Vec<Span>,
    /// Number of rules that the file writes; those from here on are a template's.
    pub own: u32,
}

impl Positions {
    /// Where the rule `index` of `group` stands.
    pub fn rule(&self, group: &str, index: u32) -> Span {
        let found = self.groups.get(group).and_then(|group| group.rules.get(index as usize));
        found.copied().unwrap_or_default()
    }
}
