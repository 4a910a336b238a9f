//! Kinds of YAML text that the tree reads.

use saphyr_parser::Tag;

use super::{
    super::{
        code::Code,
        diagnostic::{Diagnostic, Span},
    },
    merge,
    tree::{self, Node},
};

/// What a text may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A policy file: no tags, and six levels are enough.
    Policy,
    /// A template of another product: deeper, and a tag `!Name` stands for a mapping `{Fn::Name: ...}`.
    Template,
}

impl Dialect {
    /// Deepest nesting of lists and mappings.
    pub const fn max_depth(self) -> usize {
        match self {
            Dialect::Policy => 32,
            Dialect::Template => 120,
        }
    }

    /// What to say about deeper nesting.
    pub const fn depth_help(self) -> &'static str {
        match self {
            Dialect::Policy => "a policy file needs six levels; check the brackets and the indentation",
            Dialect::Template => "check the brackets and the indentation",
        }
    }

    /// What the entries of a mapping come to; a policy file's are judged as they are written.
    pub fn entries<'a>(
        self,
        written: Vec<(Node<'a>, Node<'a>)>,
    ) -> Result<Vec<(Node<'a>, Node<'a>)>, Diagnostic> {
        match self {
            Dialect::Policy => Ok(written),
            Dialect::Template => merge::merged(written),
        }
    }

    /// The function that `tag` stands for.
    pub fn function(self, tag: Option<&Tag>, span: Span) -> Result<Option<String>, Diagnostic> {
        match (self, tag) {
            (_, None) => Ok(None),
            (Dialect::Policy, Some(_)) => {
                let help = "tags mean nothing in a policy file; leave it out";
                Err(tree::fault(Code::Tag, span, "a YAML tag (`!...`)", help))
            }
            (Dialect::Template, Some(tag)) if tag.handle != "!" => Ok(None),
            (Dialect::Template, Some(tag)) => Ok(Some(match tag.suffix.as_str() {
                short @ ("Ref" | "Condition") => short.to_owned(),
                other => format!("Fn::{other}"),
            })),
        }
    }
}
