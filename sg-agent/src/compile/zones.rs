//! Tenant address spaces by number: the common one is 0, and no other is ever given a number twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Numbers of zones in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zones {
    last: u32,
    numbers: BTreeMap<String, u32>,
}

impl Zones {
    /// Zones of the next policy: those of `names` that are known keep their number.
    pub fn next<'a>(&self, names: impl Iterator<Item = &'a String>) -> Self {
        let mut next = Self { last: self.last, numbers: BTreeMap::new() };
        for name in names.filter(|name| !name.is_empty()) {
            if !next.numbers.contains_key(name) {
                let number = self.numbers.get(name).copied().unwrap_or_else(|| {
                    next.last += 1;
                    next.last
                });
                next.numbers.insert(name.clone(), number);
            }
        }
        next
    }

    /// The number of zone `name`; `None` if no interface is in it. The common zone's name is empty.
    pub fn number(&self, name: &str) -> Option<u32> {
        if name.is_empty() { Some(0) } else { self.numbers.get(name).copied() }
    }
}
