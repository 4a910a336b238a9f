//! Names: of groups, address groups and zones, and of interfaces.

use super::{
    super::{
        code::Code,
        diagnostic::Report,
        document::{Scalar, clip},
        language::{self, MAX_INTERFACE, MAX_NAME},
    },
    scalars,
};

/// The name of a group, an address group or a zone, which `what` says.
pub fn name(scalar: &Scalar<'_>, what: &str, report: &mut Report) -> Option<String> {
    let text = scalars::text(scalar, &format!("the name of {what}"), report)?;
    let Some(why) = name_fault(&text) else { return Some(text) };
    report
        .push(Code::Name, scalar.span, format!("`{}` as the name of {what} {why}", clip(&text)))
        .help(language::NAME);
    None
}

/// Why `text` cannot be a name.
pub fn name_fault(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("is empty"),
        _ if text.len() > MAX_NAME => Some("is too long"),
        _ if text.contains('/') => Some("has a `/`"),
        _ if text.starts_with('.') => Some("starts with `.`"),
        _ if text.trim() != text => Some("has blanks at its ends"),
        _ if text.chars().any(is_unprintable) => Some("has control characters"),
        _ => None,
    }
}

/// Characters that move the cursor, break lines or turn the direction of writing.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// An interface's name, or a pattern with `*` and `?`.
pub fn interface(scalar: &Scalar<'_>, report: &mut Report) -> Option<String> {
    let text = scalars::text(scalar, "an interface name", report)?;
    let Some(why) = interface_fault(&text) else { return Some(text) };
    report
        .push(Code::InterfaceName, scalar.span, format!("`{}` as an interface name {why}", clip(&text)))
        .help(language::INTERFACE_NAME);
    None
}

fn interface_fault(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("is empty"),
        "." | ".." => Some("is a path"),
        // `*` may stand for nothing.
        _ if text.bytes().filter(|b| *b != b'*').count() > MAX_INTERFACE => Some("is too long"),
        _ if text.len() > 4 * MAX_INTERFACE => Some("is too long"),
        _ if text.contains(['/', ':']) => Some("has a `/` or `:`"),
        _ if text.chars().any(|c| c.is_whitespace() || is_unprintable(c)) => {
            Some("has blanks or control characters")
        }
        _ => None,
    }
}
