//! Interfaces by name.

use std::collections::BTreeMap;

use crate::{
    compile::{State, state::Bound},
    policy::suggest,
};

/// An interface that is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no interface `{name}` is in force{known}{hint}")]
pub struct UnknownInterface {
    name: String,
    hint: String,
    known: String,
}

/// The interface `name` and what is in force on it.
pub fn interface<'a>(state: &'a State, name: &str) -> Result<(&'a str, &'a Bound), UnknownInterface> {
    if let Some((name, bound)) = state.interfaces().get_key_value(name) {
        return Ok((name, bound));
    }
    let names = || state.interfaces().keys().map(String::as_str);
    let hint = suggest::near_miss(name, names()).map(|hint| format!("; {hint}")).unwrap_or_default();
    Err(UnknownInterface { name: name.escape_debug().to_string(), hint, known: known(names()) })
}

fn known<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "; there is none".to_owned(),
        1 => format!("; there is {}", names[0]),
        count if count > SHOWN => {
            format!("; there are {} and {} more", names[..SHOWN].join(", "), count - SHOWN)
        }
        _ => format!("; there are {}", names.join(", ")),
    }
}

/// Fails if an interface is named that is not in force.
pub fn check(state: &State, name: Option<&str>) -> Result<(), UnknownInterface> {
    name.map_or(Ok(()), |name| interface(state, name).map(|_| ()))
}

/// Names by directory slot.
pub fn by_slot(state: &State) -> BTreeMap<u32, (&str, &Bound)> {
    state.interfaces().iter().map(|(name, bound)| (bound.slot, (name.as_str(), bound))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::tests::make;

    #[test]
    fn an_unknown_interface_is_answered_with_the_known_ones() {
        let policy = make::policy(vec![make::group("web", Vec::new())]);
        let spec = make::interface(&["web"], &["10.0.0.5"]);
        let state = make::first(&policy, &[spec.clone(), spec]);
        assert_eq!(interface(&state, "tap2").map(|(_, bound)| bound.slot), Ok(2));
        let fault = interface(&state, "tpa1").map(|_| ()).unwrap_err().to_string();
        assert_eq!(fault, "no interface `tpa1` is in force; there are `tap1`, `tap2`; did you mean `tap1`?");
        let none = interface(&State::new(policy.settings.limits), "x").map(|_| ()).unwrap_err();
        assert_eq!(none.to_string(), "no interface `x` is in force; there is none");
    }
}
