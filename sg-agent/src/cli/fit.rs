//! Whether a policy fits the tables that its own limits ask for, found by compiling it, without a kernel.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use crate::{
    compile::{self, Binding, Clock, DoesNotFit, State, order::bound_groups},
    policy::{Loaded, Policy, Span, code::Code, diagnostic::Diagnostic, model::Remote},
};

/// Most prefixes in the rules of all bindings that are compiled to find out; some half a second. What is larger is left
/// to `apply`: a check is run at every keystroke.
const MOST_PREFIXES: usize = 2_000_000;

/// Makes a policy that does not fit a faulty one. A pattern counts as one interface; `apply` knows how many there are.
pub fn refuse(file: &mut Loaded) {
    let Some(policy) = file.policy.take_if(|policy| prefixes(policy) <= MOST_PREFIXES).map(Arc::new) else {
        return;
    };
    match compiled(&policy) {
        Ok(()) => file.policy = Some(Arc::unwrap_or_clone(policy)),
        Err(error) => {
            let at = interface(&error)
                .and_then(|name| policy.interfaces.iter().position(|entry| entry.name == name))
                .and_then(|at| file.positions.interfaces.get(at).copied());
            let mut fault = Diagnostic::new(
                Code::Capacity,
                at.unwrap_or_else(|| Span::whole(Default::default())),
                error.to_string(),
            );
            fault.help("`apply` would refuse it and touch nothing; raise the setting, or give the interface fewer rules");
            file.diagnostics.push(fault);
        }
    }
}

/// Prefixes in the rules of all bindings, each set of groups once.
fn prefixes(policy: &Policy) -> usize {
    let bound: BTreeSet<Vec<String>> =
        policy.interfaces.iter().map(|spec| bound_groups(policy, spec)).collect();
    let rules =
        bound.iter().flatten().filter_map(|name| policy.groups.get(name)).flat_map(|group| &group.rules);
    let size = |remote: &Remote| match remote {
        Remote::AddressGroup(name) => policy.address_groups.get(name).map_or(0, |list| list.prefixes.len()),
        _ => 1,
    };
    rules.fold(0, |sum, rule| sum.saturating_add(size(&rule.remote)))
}

fn compiled(policy: &Arc<Policy>) -> Result<(), DoesNotFit> {
    let bindings: Vec<Binding<'_>> = (1..)
        .zip(&policy.interfaces)
        .map(|(slot, spec)| Binding { name: &spec.name, ifindex: slot, slot, spec })
        .collect();
    let clock = Clock { now_wall: SystemTime::now(), now_tick: 0, hz: 100 };
    compile::plan(&State::new(policy.settings.limits), policy, &bindings, &clock).map(drop)
}

/// The interface that an error is about.
fn interface(error: &DoesNotFit) -> Option<&str> {
    match error {
        DoesNotFit::RuleCounters { interface, .. }
        | DoesNotFit::Interfaces { interface, .. }
        | DoesNotFit::Macs { interface, .. } => Some(interface),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::policy::{self, render};

    /// Y28: the golden test of this code, which `check` finds; the others are in `tests/diagnostics.rs`.
    #[test]
    fn a_policy_that_does_not_fit_has_its_golden_file() {
        let mut file = policy::load(Path::new("tests/diagnostics/E-CAPACITY.yaml"));
        refuse(&mut file);
        assert!(file.policy.is_none());
        let shown = render::human(&file.diagnostics, &file.sources, false);
        assert_eq!(fs::read_to_string("tests/diagnostics/E-CAPACITY.txt").unwrap(), shown);
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let mut file = policy::load(Path::new("../rules.example.yaml"));
        let before = file.policy.clone();
        refuse(&mut file);
        assert_eq!(file.policy, before);
    }
}
