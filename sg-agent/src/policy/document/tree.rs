//! YAML text to a tree in which every value knows its line and column.
//!
//! What the tree costs is bounded whatever the text says: nesting, number of values and what aliases expand to.
//! Scalars stay text here; whether `no` or `012` is acceptable depends on what the key wants.

use std::{borrow::Cow, cell::Cell, collections::BTreeMap, rc::Rc};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::super::{
    code::Code,
    diagnostic::{Diagnostic, Span},
    source::FileId,
};
use super::{
    bounded::{Bounded, MAX_AHEAD},
    dialect::Dialect,
};

/// Most values in one file, which bounds the memory of the tree to some 700 MiB.
pub const MAX_NODES: usize = 3_000_000;
/// Most values that aliases may add, and most bytes of text in them.
pub const MAX_ALIASED: usize = 100_000;
const MAX_ALIASED_BYTES: usize = 4 << 20;

/// A single value as written.
#[derive(Clone, Debug)]
pub struct Scalar<'a> {
    /// Its text, quotes and escapes resolved.
    pub text: Cow<'a, str>,
    /// Written without quotes.
    pub plain: bool,
    /// Where.
    pub span: Span,
}

impl Scalar<'_> {
    /// Nothing: an absent value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        self.plain && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }
}

/// A value of the tree.
#[derive(Clone, Debug)]
pub enum Node<'a> {
    /// A single value.
    Scalar(Scalar<'a>),
    /// A list.
    List(Span, Vec<Node<'a>>),
    /// A mapping in file order, duplicate keys included.
    Map(Span, Vec<(Node<'a>, Node<'a>)>),
}

impl Node<'_> {
    /// Where it starts.
    pub fn span(&self) -> Span {
        match self {
            Node::Scalar(scalar) => scalar.span,
            Node::List(span, _) | Node::Map(span, _) => *span,
        }
    }

    /// Number of values and bytes of text in it.
    fn weight(&self) -> (usize, usize) {
        let add = |(n, b): (usize, usize), node: &Node<'_>| {
            let (nodes, bytes) = node.weight();
            (n + nodes, b + bytes)
        };
        match self {
            Node::Scalar(scalar) => (1, scalar.text.len()),
            Node::List(_, items) => items.iter().fold((1, 0), add),
            Node::Map(_, entries) => {
                entries.iter().fold((1, 0), |sum, (key, value)| add(add(sum, key), value))
            }
        }
    }
}

/// The only document of `text`; `None` when it has no content.
pub fn parse(text: &str, file: FileId, dialect: Dialect) -> Result<Option<Node<'_>>, Diagnostic> {
    if let Some(fault) = control_character(text, file) {
        return Err(fault);
    }
    let mut builder = Builder::new(file, dialect);
    let ahead = Rc::new(Cell::new(0));
    let mut parser = Parser::new(Bounded::new(text, ahead.clone()));
    builder.run(&mut parser, &ahead)?;
    Ok(builder.root)
}

/// A list or mapping whose end is not reached yet.
struct Open<'a> {
    span: Span,
    anchor: usize,
    is_map: bool,
    function: Option<String>,
    children: Vec<Node<'a>>,
}

struct Builder<'a> {
    file: FileId,
    dialect: Dialect,
    root: Option<Node<'a>>,
    open: Vec<Open<'a>>,
    anchors: BTreeMap<usize, (Node<'a>, usize, usize)>,
    nodes: usize,
    aliased: (usize, usize),
    documents: usize,
}

impl<'a> Builder<'a> {
    fn new(file: FileId, dialect: Dialect) -> Self {
        Self {
            file,
            dialect,
            root: None,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            nodes: 0,
            aliased: (0, 0),
            documents: 0,
        }
    }

    fn run(&mut self, parser: &mut Parser<'a, Bounded<'a>>, ahead: &Cell<u32>) -> Result<(), Diagnostic> {
        for event in parser {
            if ahead.replace(0) > MAX_AHEAD {
                return Err(too_far(
                    self.file,
                    event.as_ref().map_or_else(|e| *e.marker(), |(_, at)| at.start),
                ));
            }
            let (event, at) = event.map_err(|e| syntax(&e, self.file))?;
            let span = self.span(&event, &at);
            self.take(event, span)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'a>, span: Span) -> Result<(), Diagnostic> {
        match event {
            Event::DocumentStart(_) => self.document(span),
            Event::Alias(id) => self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => {
                let function = self.dialect.function(tag.as_deref(), span)?;
                let plain = style == ScalarStyle::Plain;
                self.place(called(function, Node::Scalar(Scalar { text, plain, span })), anchor)
            }
            Event::SequenceStart(anchor, tag) => self.begin(span, anchor, false, tag.as_deref()),
            Event::MappingStart(anchor, tag) => self.begin(span, anchor, true, tag.as_deref()),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Diagnostic> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let help = "a policy file holds one document; a second `---` starts another";
        Err(fault(Code::Documents, span, "a second YAML document starts here", help))
    }

    fn begin(
        &mut self,
        span: Span,
        anchor: usize,
        is_map: bool,
        tag: Option<&Tag>,
    ) -> Result<(), Diagnostic> {
        let function = self.dialect.function(tag, span)?;
        let most = self.dialect.max_depth();
        if self.open.len() >= most {
            let help = self.dialect.depth_help();
            return Err(fault(Code::Depth, span, format!("more than {most} nested levels"), help));
        }
        self.open.push(Open { span, anchor, is_map, function, children: Vec::new() });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Diagnostic> {
        let Some(Open { span, anchor, is_map, function, children }) = self.open.pop() else { return Ok(()) };
        let node = match is_map {
            true => Node::Map(span, self.dialect.entries(pairs(children))?),
            false => Node::List(span, children),
        };
        self.place(called(function, node), anchor)
    }

    fn place(&mut self, node: Node<'a>, anchor: usize) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let help = "move addresses to files with `address_groups: {NAME: {file: ...}}`";
            return Err(fault(Code::Nodes, node.span(), format!("more than {MAX_NODES} values"), help));
        }
        if anchor != 0 {
            let (nodes, bytes) = node.weight();
            self.charge(nodes, bytes, node.span())?;
            self.anchors.insert(anchor, (node.clone(), nodes, bytes));
        }
        match self.open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Diagnostic> {
        let Some((_, nodes, bytes)) = self.anchors.get(&id) else {
            let help = "an alias repeats a value that is complete before it";
            return Err(fault(Code::Alias, span, "an alias inside of its own value", help));
        };
        let (nodes, bytes) = (*nodes, *bytes);
        self.charge(nodes, bytes, span)?;
        match self.anchors.get(&id).map(|(node, ..)| node.clone()) {
            Some(node) => self.place(node, 0),
            None => Ok(()),
        }
    }

    /// Takes a copy's size from the budget, before the copy is made.
    fn charge(&mut self, nodes: usize, bytes: usize, span: Span) -> Result<(), Diagnostic> {
        self.aliased.0 += nodes;
        self.aliased.1 += bytes;
        if self.aliased.0 <= MAX_ALIASED && self.aliased.1 <= MAX_ALIASED_BYTES {
            return Ok(());
        }
        let message =
            format!("aliases expand to more than {MAX_ALIASED} values or {MAX_ALIASED_BYTES} bytes");
        Err(fault(Code::Alias, span, message, "write the values out, or use an address group"))
    }

    fn span(&self, event: &Event<'_>, at: &saphyr_parser::Span) -> Span {
        let line = at.start.line() as u32;
        let column = at.start.col() as u32 + 1;
        let width = match event {
            // The parser lets a plain scalar end after the blanks that follow it.
            Event::Scalar(text, ScalarStyle::Plain, ..) if text == "~" && at.is_empty() => 1,
            Event::Scalar(text, ScalarStyle::Plain, ..) => text.chars().count() as u32,
            Event::Scalar(..) | Event::Alias(_) if at.end.line() == at.start.line() => {
                (at.end.col() as u32 + 1).saturating_sub(column)
            }
            _ => 1,
        };
        Span { file: self.file, line, column, end_column: column + width.max(1) }
    }
}

fn pairs(children: Vec<Node<'_>>) -> Vec<(Node<'_>, Node<'_>)> {
    let mut entries = Vec::with_capacity(children.len() / 2);
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        entries.push((key, value));
    }
    entries
}

/// `node` as the argument of `function`.
fn called(function: Option<String>, node: Node<'_>) -> Node<'_> {
    let Some(name) = function else { return node };
    let span = node.span();
    let key = Node::Scalar(Scalar { text: Cow::Owned(name), plain: false, span });
    Node::Map(span, vec![(key, node)])
}

/// The first character that YAML forbids; it would also reach terminals that show the line.
fn control_character(text: &str, file: FileId) -> Option<Diagnostic> {
    let bad = |byte: u8| (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7f;
    let at = text.bytes().position(bad)?;
    let before = &text[..at];
    let start = before.rfind(['\n', '\r']).map_or(0, |found| found + 1);
    let breaks = before.bytes().filter(|b| *b == b'\n').count() + lone_returns(before);
    let column = before[start..].chars().count() as u32 + 1;
    let span = Span { file, line: breaks as u32 + 1, column, end_column: column + 1 };
    let byte = text.as_bytes()[at];
    let help = "remove it; inside of double quotes it can be written as an escape such as \\t";
    Some(fault(Code::Control, span, format!("control character U+{byte:04X}"), help))
}

fn lone_returns(text: &str) -> usize {
    let bytes = text.as_bytes();
    (0..bytes.len()).filter(|at| bytes[*at] == b'\r' && bytes.get(at + 1) != Some(&b'\n')).count()
}

fn too_far(file: FileId, at: Marker) -> Diagnostic {
    let column = at.col() as u32 + 1;
    let span = Span { file, line: at.line() as u32, column, end_column: column + 1 };
    let message = format!("a list or mapping in brackets with more than {MAX_AHEAD} parts");
    fault(Code::Nodes, span, message, "write it in block style: one `key: value` or `- item` per line")
}

fn syntax(error: &ScanError, file: FileId) -> Diagnostic {
    let column = error.marker().col() as u32 + 1;
    let span = Span { file, line: error.marker().line() as u32, column, end_column: column + 1 };
    let info = error.info();
    let help = match info {
        _ if info.contains("tab") => "YAML indents with spaces; replace the tab",
        _ if info.contains("unknown anchor") => "an alias `*name` needs a value marked `&name` before it",
        _ if info.contains("quote") || info.contains("end of stream") => {
            "close what is open: a quote, a bracket or a brace; the file may be half written"
        }
        _ => "check indentation, quotes, brackets and the blank after each `:`",
    };
    fault(Code::Yaml, span, format!("not valid YAML: {info}"), help)
}

/// A fault with its help.
pub fn fault(code: Code, span: Span, message: impl Into<String>, help: &str) -> Diagnostic {
    let mut fault = Diagnostic::new(code, span, message);
    fault.help(help);
    fault
}
