//! References of a plan's configuration: what an argument names before its value is known.

use std::rc::Rc;

use crate::import::value::Value;

/// Longest way of a reference through variables and outputs.
const MAX_STEPS: usize = 32;

/// First words of references that name no managed resource.
const NO_RESOURCE: &[&str] = &["local", "data", "each", "count", "path", "terraform", "self"];

/// A module as the configuration has it.
pub struct Scope<'n> {
    configuration: Option<Value<'n>>,
    /// The calls that lead to it.
    calls: Vec<String>,
    parent: Option<Rc<Scope<'n>>>,
}

impl<'n> Scope<'n> {
    /// The root module.
    pub fn root(configuration: Option<Value<'n>>) -> Self {
        Self { configuration, calls: Vec::new(), parent: None }
    }

    /// The module that `call` in `parent` stands for.
    pub fn inside(parent: &Rc<Self>, call: &str) -> Self {
        let configuration = parent.call(call).and_then(|call| call.get("module"));
        let mut calls = parent.calls.clone();
        calls.push(call.to_owned());
        Self { configuration, calls, parent: Some(parent.clone()) }
    }

    /// The resources of the configuration.
    pub fn configuration(&self) -> impl Iterator<Item = Value<'n>> {
        self.configuration.into_iter().flat_map(|module| module.items_of("resources"))
    }

    fn call(&self, name: &str) -> Option<Value<'n>> {
        self.configuration?.at(&["module_calls", name])
    }

    /// The address, without indexes, of the resource that `expression` refers to.
    pub fn resource(self: &Rc<Self>, expression: Value<'n>) -> Option<String> {
        let mut at = (self.clone(), expression);
        for _ in 0..MAX_STEPS {
            let (scope, expression) = at;
            match scope.step(expression)? {
                Step::Resource(address) => return Some(address),
                Step::Further(scope, expression) => at = (scope, expression),
            }
        }
        None
    }

    /// The first of an expression's references that leads somewhere.
    fn step(self: &Rc<Self>, expression: Value<'n>) -> Option<Step<'n>> {
        let references = expression.items_of("references").filter_map(Value::text);
        references.map(without_indexes).find_map(|reference| {
            let parts: Vec<&str> = reference.split('.').collect();
            match parts.as_slice() {
                ["var", name, ..] => {
                    let parent = self.parent.as_ref()?;
                    let given = parent.call(self.calls.last()?)?.at(&["expressions", name])?;
                    Some(Step::Further(parent.clone(), given))
                }
                ["module", call, output, ..] => {
                    let inner = Rc::new(Self::inside(self, call));
                    let value = inner.configuration?.at(&["outputs", output, "expression"])?;
                    Some(Step::Further(inner, value))
                }
                ["module", ..] => None,
                [first, ..] if NO_RESOURCE.contains(first) => None,
                [kind, name, ..] => {
                    let modules: String = self.calls.iter().map(|call| format!("module.{call}.")).collect();
                    Some(Step::Resource(format!("{modules}{kind}.{name}")))
                }
                _ => None,
            }
        })
    }
}

enum Step<'n> {
    Resource(String),
    Further(Rc<Scope<'n>>, Value<'n>),
}

/// `address` without the indexes of `count` and `for_each`, which references need not have.
pub fn without_indexes(address: &str) -> String {
    let mut depth = 0_u32;
    let mut quoted = false;
    address
        .chars()
        .filter(|c| {
            match c {
                '"' if depth > 0 => quoted = !quoted,
                '[' if !quoted => depth += 1,
                ']' if !quoted => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_go() {
        assert_eq!(without_indexes("module.a[0].x.y[\"b.c]d\"].id"), "module.a.x.y.id");
        assert_eq!(without_indexes("x.y"), "x.y");
    }
}
