//! Interfaces that a policy names and the host does not have.

use super::apply::list;
use crate::{
    dataplane::{bind, interfaces::Device},
    policy::{Loaded, code::Code, diagnostic::Diagnostic, suggest},
};

/// Makes a policy that names an interface which is not there a faulty one: a misspelt name would leave a guest without
/// its filter.
pub fn refuse(file: &mut Loaded, devices: &[Device]) {
    let Some(policy) = &file.policy else { return };
    let names = || devices.iter().map(|device| device.name.as_str());
    let faults: Vec<Diagnostic> = bind::missing(policy, devices)
        .into_iter()
        .map(|at| {
            let name = &policy.interfaces[at].name;
            let span = file.positions.interfaces.get(at).copied().unwrap_or_default();
            let message = format!("there is no interface `{name}` on this host");
            let mut fault = Diagnostic::new(Code::InterfaceMissing, span, message);
            fault.help(format!(
                "this host has {}; a pattern (`tap*`) or --allow-missing accepts interfaces that come later",
                list(&names().map(str::to_owned).collect::<Vec<_>>())
            ));
            fault.suggestion = suggest::near_miss(name, names());
            fault
        })
        .collect();
    if !faults.is_empty() {
        file.policy = None;
        file.diagnostics.extend(faults);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::policy::{self, render};

    /// The golden test of this code, which no file causes by itself; the others are in `tests/diagnostics.rs`.
    #[test]
    fn a_missing_interface_has_its_golden_file() {
        let device = |name: &str| Device {
            name: name.to_owned(),
            ifindex: 1,
            is_ethernet: true,
            is_veth: false,
            is_macvtap: false,
            xdp: None,
        };
        let mut file = policy::load(Path::new("tests/diagnostics/E-INTERFACE-MISSING.yaml"));
        refuse(&mut file, &[device("tap0"), device("tap10"), device("eth0")]);
        assert!(file.policy.is_none());
        let shown = render::human(&file.diagnostics, &file.sources, false);
        assert_eq!(fs::read_to_string("tests/diagnostics/E-INTERFACE-MISSING.txt").unwrap(), shown);
    }
}
