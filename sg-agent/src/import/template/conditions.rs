//! Conditions: whether a resource is there, which branch a choice takes.

use super::{Resolved, Template};
use crate::import::value::Value;

impl<'n> Template<'n> {
    /// Whether a condition holds, if the template tells.
    pub(super) fn condition(&self, value: Value<'n>) -> Option<bool> {
        if let Some(name) = value.text() {
            return match name {
                "true" => Some(true),
                "false" => Some(false),
                _ => self.named_condition(name),
            };
        }
        let (name, argument) = value.entries().next()?;
        self.bounded(|| self.judge(name, argument)).flatten()
    }

    fn named_condition(&self, name: &str) -> Option<bool> {
        let value = self.conditions.get(name)?;
        self.bounded(|| self.condition(*value)).flatten()
    }

    fn judge(&self, name: &'n str, argument: Value<'n>) -> Option<bool> {
        let verdicts = || argument.items().map(|item| self.condition(item)).collect::<Option<Vec<bool>>>();
        match name {
            "Condition" | "get_condition" => argument.text().and_then(|name| self.named_condition(name)),
            "Fn::Not" | "not" => {
                let inner = argument.items().next().unwrap_or(argument);
                self.condition(inner).map(|verdict| !verdict)
            }
            "Fn::And" | "and" => verdicts().map(|all| all.iter().all(|one| *one)),
            "Fn::Or" | "or" => verdicts().map(|all| all.iter().any(|one| *one)),
            "Fn::Equals" | "equals" => {
                let sides: Vec<Resolved<'n>> = argument.items().map(|item| self.resolve(item)).collect();
                match sides.as_slice() {
                    [one, other] => Some(side(one)? == side(other)?),
                    _ => None,
                }
            }
            _ => match self.call(name, argument, argument) {
                Resolved::Text(text) => Some(text.eq_ignore_ascii_case("true")),
                _ => None,
            },
        }
    }
}

fn side<'v>(resolved: &'v Resolved<'_>) -> Option<&'v str> {
    match resolved {
        Resolved::Text(text) => Some(text),
        Resolved::Absent => Some(""),
        _ => None,
    }
}
