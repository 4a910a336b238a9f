//! Findings for people, for programs and for GitHub's workflow log.
//!
//! Text of the policy file reaches a terminal only with control characters replaced.

use std::fmt::Write;

use serde::Serialize;

use super::{
    diagnostic::{Diagnostic, Severity},
    source::Sources,
    validate::is_unprintable,
};

/// Widest piece of a source line that is shown, in characters.
const WINDOW: usize = 120;

/// `diagnostics` with source lines and carets; with ANSI colours when `colour` is set.
pub fn human(diagnostics: &[Diagnostic], sources: &Sources, colour: bool) -> String {
    let style = Style { colour };
    let mut out = String::new();
    for one in diagnostics {
        human_one(&mut out, one, sources, style);
    }
    out
}

/// Whether text is painted.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// With ANSI colours.
    pub colour: bool,
}

impl Style {
    /// `text` with the attributes `codes` (ECMA-48, SGR).
    pub fn paint(self, codes: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{codes}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        self.paint(if severity == Severity::Error { "1;31" } else { "1;33" }, text)
    }

    fn edge(self, text: &str) -> String {
        self.paint("1;34", text)
    }
}

fn human_one(out: &mut String, one: &Diagnostic, sources: &Sources, style: Style) {
    let severity = one.severity();
    let head = style.severity(severity, &format!("{}[{}]", severity.as_str(), one.code));
    let message = style.paint("1", &format!(": {}", printable(&one.message)));
    let _ = writeln!(out, "{head}{message}");
    let gutter = " ".repeat(one.span.line.to_string().len());
    let _ = writeln!(out, "{gutter}{} {}", style.edge("-->"), location(one, sources));
    let line = sources.line(one.span.file, one.span.line);
    if let Some(line) = line.filter(|_| one.span.line > 0) {
        let (shown, caret) = excerpt(line, one.span.column as usize, one.span.end_column as usize);
        let bar = style.edge("|");
        let number = style.edge(&one.span.line.to_string());
        let caret = format!("{}{}", " ".repeat(caret.0), style.severity(severity, &"^".repeat(caret.1)));
        let _ = writeln!(out, "{gutter} {bar}\n{number} {bar} {shown}\n{gutter} {bar} {caret}");
    }
    if let Some(suggestion) = &one.suggestion {
        let _ = writeln!(out, "{gutter} {} {}", style.edge("="), printable(suggestion));
    }
    if let Some(help) = &one.help {
        let _ = writeln!(out, "{gutter} {} help: {}", style.edge("="), printable(help));
    }
    out.push('\n');
}

/// `FILE:LINE:COLUMN`, or `FILE` for a fault of the whole file.
fn location(one: &Diagnostic, sources: &Sources) -> String {
    let name = printable(sources.name(one.span.file));
    match one.span.line {
        0 => name,
        line => format!("{name}:{line}:{}", one.span.column),
    }
}

/// The part of a line around the columns, and blanks and length of the caret under it.
fn excerpt(line: &str, column: usize, end: usize) -> (String, (usize, usize)) {
    let first = column.saturating_sub(1);
    let skip = if end > WINDOW { first.saturating_sub(WINDOW / 2) } else { 0 };
    let shown: String = line.chars().skip(skip).take(WINDOW).map(glyph).collect();
    let width = shown.chars().count();
    let blanks = first - skip;
    let length = end.saturating_sub(column).min(width.saturating_sub(blanks)).max(1);
    (shown.trim_end().to_owned(), (blanks, length))
}

/// One character of the same width for each, so that carets stay under what they mark.
fn glyph(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_unprintable(c) => '\u{fffd}',
        c => c,
    }
}

/// `text` with control characters written as escapes.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_unprintable(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        out
    })
}

#[derive(Serialize)]
struct JsonReport<'a> {
    ok: bool,
    diagnostics: Vec<JsonDiagnostic<'a>>,
}

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    file: &'a str,
    line: u32,
    column: u32,
    end_column: u32,
    help: Option<String>,
    suggestion: Option<&'a str>,
}

/// `{ok, diagnostics: [...]}` on one line.
pub fn json(diagnostics: &[Diagnostic], sources: &Sources, ok: bool) -> serde_json::Result<String> {
    let diagnostics = diagnostics.iter().map(|one| JsonDiagnostic {
        severity: one.severity().as_str(),
        code: one.code.as_str(),
        message: &one.message,
        file: sources.name(one.span.file),
        line: one.span.line,
        column: one.span.column,
        end_column: one.span.end_column,
        help: one.advice(),
        suggestion: one.suggestion.as_deref(),
    });
    serde_json::to_string(&JsonReport { ok, diagnostics: diagnostics.collect() })
}

/// One workflow command per finding, which GitHub shows beside the line.
pub fn github(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut out = String::new();
    for one in diagnostics {
        let advice = one.advice().map(|advice| format!(" ({advice})")).unwrap_or_default();
        let _ = writeln!(
            out,
            "::{} file={},line={},col={},endColumn={},title={}::{}",
            one.severity().as_str(),
            property(&printable(sources.name(one.span.file))),
            one.span.line.max(1),
            one.span.column.max(1),
            one.span.end_column.max(1),
            one.code,
            data(&printable(&format!("{}{advice}", one.message))),
        );
    }
    out
}

/// Escapes of a workflow command's text.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes of a workflow command's properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::{code::Code, diagnostic::Span};
    use super::*;

    fn finding(name: &str, text: &str, span: (u32, u32, u32), message: &str) -> (Diagnostic, Sources) {
        let mut sources = Sources::default();
        let file = sources.add(name);
        sources.set_text(file, text.into());
        let span = Span { file, line: span.0, column: span.1, end_column: span.2 };
        (Diagnostic::new(Code::Name, span, message), sources)
    }

    #[test]
    fn nothing_from_the_file_moves_the_cursor() {
        let text = "a: \u{202e}x\u{85}\u{9b}31m \u{7f}\n";
        let (one, sources) = finding("a\x1b[2J.yaml", text, (1, 4, 6), "`\x1b[2J\r\n` is bad");
        let all = [
            human(std::slice::from_ref(&one), &sources, false),
            github(std::slice::from_ref(&one), &sources),
        ];
        for shown in all {
            let bad = shown.chars().find(|c| *c != '\n' && is_unprintable(*c));
            assert_eq!(bad, None, "{shown:?}");
        }
    }

    #[test]
    fn carets_stay_under_what_they_mark() {
        let text = format!("{}\tétat: bad\n", "x".repeat(300));
        let (one, sources) = finding("f", &text, (1, 308, 311), "m");
        let shown = human(&[one], &sources, false);
        let lines: Vec<&str> = shown.lines().collect();
        let blanks = lines[4].chars().take_while(|c| *c != '^').count();
        let marked: String = lines[3].chars().skip(blanks).take(3).collect();
        assert_eq!((marked.as_str(), lines[4].matches('^').count()), ("bad", 3));
        assert!(lines[3].chars().count() < 140);
    }

    #[test]
    fn colours_come_only_when_asked_for() {
        let (one, sources) = finding("f", "a\n", (1, 1, 2), "m");
        assert!(human(std::slice::from_ref(&one), &sources, true).contains("\x1b[1;31merror[E-NAME]"));
        assert!(!human(&[one], &sources, false).contains('\x1b'));
    }

    #[test]
    fn workflow_commands_are_escaped() {
        let (one, sources) = finding("a,b:c%.yaml", "a\n", (1, 1, 2), "100%");
        let shown = github(&[one], &sources);
        assert!(shown.starts_with("::error file=a%2Cb%3Ac%25.yaml,line=1,"), "{shown}");
        assert!(shown.ends_with("::100%25\n"), "{shown}");
    }
}
