//! JSON with positions.
//!
//! `serde_json` judges the text first, so the walk below meets only good JSON of at most 128 levels.

use std::borrow::Cow;

use crate::policy::{
    Code, Diagnostic, FileId, Span,
    document::{
        Scalar,
        merge::last_wins,
        tree::{MAX_NODES, Node},
    },
};

/// The value that `text` holds.
pub fn parse(text: &str, file: FileId) -> Result<Node<'_>, Diagnostic> {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return Err(not_json(&error, file));
    }
    let mut walk = Walk { text, at: 0, line: 1, line_start: 0, nodes: 0, file };
    walk.value().ok_or_else(|| {
        let mut fault = Diagnostic::new(Code::Nodes, walk.span(1), format!("more than {MAX_NODES} values"));
        fault.help("import it in parts");
        fault
    })
}

fn not_json(error: &serde_json::Error, file: FileId) -> Diagnostic {
    let (line, column) = (error.line() as u32, (error.column() as u32).max(1));
    let span = Span { file, line, column, end_column: column + 1 };
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    let mut fault = Diagnostic::new(Code::Json, span, format!("not valid JSON: {reason}"));
    fault.help(match error.is_eof() {
        true => "the file ends too early; it may be half written",
        false => "take the output of the command as it comes, without messages around it",
    });
    fault
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    nodes: usize,
    file: FileId,
}

impl<'a> Walk<'a> {
    /// The value that starts here; `None` when there are too many.
    fn value(&mut self) -> Option<Node<'a>> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return None;
        }
        self.blanks();
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => Some(Node::Scalar(self.string())),
            _ => Some(Node::Scalar(self.word())),
        }
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    fn blanks(&mut self) {
        loop {
            match self.peek() {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.line_start = self.at;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                _ => return,
            }
        }
    }

    /// Whether another item follows; steps over the comma or the bracket.
    fn goes_on(&mut self) -> bool {
        self.blanks();
        let more = !matches!(self.peek(), b']' | b'}');
        if !more || self.peek() == b',' {
            self.at += 1;
        }
        self.blanks();
        more
    }

    fn object(&mut self) -> Option<Node<'a>> {
        let span = self.span(1);
        self.at += 1;
        let mut entries = Vec::new();
        while self.goes_on() {
            let key = self.string();
            self.blanks();
            self.at += 1;
            entries.push((Node::Scalar(key), self.value()?));
        }
        Some(Node::Map(span, last_wins(entries)))
    }

    fn array(&mut self) -> Option<Node<'a>> {
        let span = self.span(1);
        self.at += 1;
        let mut items = Vec::new();
        while self.goes_on() {
            items.push(self.value()?);
        }
        Some(Node::List(span, items))
    }

    fn string(&mut self) -> Scalar<'a> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while bytes.get(end).is_some_and(|byte| *byte != b'"') {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let quoted = &self.text[self.at..(end + 1).min(self.text.len())];
        let inner = &quoted[1..quoted.len().max(2) - 1];
        let text = match inner.contains('\\') {
            false => Cow::Borrowed(inner),
            true => Cow::Owned(serde_json::from_str(quoted).unwrap_or_default()),
        };
        self.scalar(text, quoted.len(), false)
    }

    fn word(&mut self) -> Scalar<'a> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| ",]} \t\r\n".contains(c)).unwrap_or(rest.len());
        self.scalar(Cow::Borrowed(&rest[..end]), end, true)
    }

    fn scalar(&mut self, text: Cow<'a, str>, length: usize, plain: bool) -> Scalar<'a> {
        let span = self.span(self.text[self.at..self.at + length].chars().count());
        self.at += length;
        Scalar { text, plain, span }
    }

    fn span(&self, width: usize) -> Span {
        // Long lines are machines' lines: counting their characters again and again would take for ever.
        let before = &self.text.as_bytes()[self.line_start..self.at];
        let column = match before.len() {
            0..1000 => String::from_utf8_lossy(before).chars().count(),
            bytes => bytes,
        } as u32
            + 1;
        Span { file: self.file, line: self.line, column, end_column: column + width as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_where_they_stand() {
        let text = "{\n\t\"a\": [1, \"\\ud83d\\ude00\\/\", null],\n  \"é\": {}}\n";
        let Ok(Node::Map(_, entries)) = parse(text, FileId::default()) else { panic!("a mapping") };
        let (Node::Scalar(key), Node::List(_, items)) = &entries[0] else { panic!("a list") };
        assert_eq!((&*key.text, key.span.line, key.span.column), ("a", 2, 2));
        let Node::Scalar(smile) = &items[1] else { panic!("a text") };
        assert_eq!((&*smile.text, smile.span.column), ("\u{1f600}/", 11));
        assert!(matches!(&items[2], Node::Scalar(null) if null.is_null()));
        assert!(matches!(&entries[1], (_, Node::Map(span, inner)) if span.column == 8 && inner.is_empty()));
    }

    #[test]
    fn faults_have_their_place() {
        let fault = parse("{\n  \"a\": 1,\n  b\n}", FileId::default()).expect_err("not JSON");
        assert_eq!((fault.code, fault.span.line, fault.span.column), (Code::Json, 3, 3));
        assert!(parse(&"[".repeat(100_000), FileId::default()).is_err());
    }
}
