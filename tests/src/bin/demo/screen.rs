//! What the visitor sees, and the count of expectations. Colours on a terminal only.

use std::{
    env,
    io::{self, IsTerminal as _},
    time::Duration,
};

/// Prints and counts.
#[derive(Debug)]
pub struct Screen {
    colours: bool,
    sections: u32,
    met: u32,
    all: u32,
}

/// How a piece of text looks.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// As it is.
    Plain,
    /// In the background.
    Dim,
    /// A heading.
    Bold,
    /// Passed.
    Green,
    /// Dropped.
    Yellow,
    /// Wrong.
    Red,
}

impl Screen {
    /// A screen with nothing on it.
    pub fn new() -> Self {
        let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { colours, sections: 0, met: 0, all: 0 }
    }

    /// The text, looking so.
    pub fn paint(&self, look: Look, text: &str) -> String {
        let code = match look {
            Look::Plain => return text.to_owned(),
            _ if !self.colours => return text.to_owned(),
            Look::Dim => 2,
            Look::Bold => 1,
            Look::Green => 32,
            Look::Yellow => 33,
            Look::Red => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The first line.
    pub fn title(&self, text: &str) {
        println!("\n{}\n", self.paint(Look::Bold, text));
    }

    /// A drawing.
    pub fn picture(&self, text: &str) {
        println!("{text}");
    }

    /// Starts a section, with a sentence about what is to be seen.
    pub fn section(&mut self, heading: &str, sentence: &str) {
        self.sections += 1;
        println!("\n{}  {sentence}\n", self.paint(Look::Bold, &format!("{}. {heading}.", self.sections)));
    }

    /// A line.
    pub fn line(&self, look: Look, text: &str) {
        println!("   {}", self.paint(look, text));
    }

    /// Counts an expectation and gives its mark.
    pub fn count(&mut self, met: bool) -> String {
        self.all += 1;
        self.met += u32::from(met);
        if met { self.paint(Look::Green, "✓") } else { self.paint(Look::Red, "✗") }
    }

    /// A line about an expectation.
    pub fn expect(&mut self, met: bool, text: &str) {
        let mark = self.count(met);
        println!("   {mark} {text}");
    }

    /// The last line; whether every expectation was met.
    pub fn end(&self, took: Duration) -> bool {
        let met = self.met == self.all;
        let look = if met { Look::Green } else { Look::Red };
        let verdict = format!("{} of {} expectations met", self.met, self.all);
        println!("\n{} in {:.1} s\n", self.paint(look, &verdict), took.as_secs_f64());
        met
    }
}
