//! The parser's input, with a bound on how far it reads ahead.
//!
//! A list or mapping in brackets may turn out to be a mapping's key, so the parser keeps its tokens until the bracket
//! closes. Left alone, 60 MB of `[a,a,a,...` take 7 GB before the first value comes out.

use std::{cell::Cell, rc::Rc};

use saphyr_parser::{Input, StrInput};

/// Indicators (commas, brackets, quotes, ...) read for one value; each stands for two tokens at most.
pub const MAX_AHEAD: u32 = 2_000_000;

/// Text that ends early when the parser reads too far ahead.
pub struct Bounded<'a> {
    inner: StrInput<'a>,
    ahead: Rc<Cell<u32>>,
}

impl<'a> Bounded<'a> {
    /// Reads `text` and counts in `ahead`, which whoever takes the values sets to 0 with each.
    pub fn new(text: &'a str, ahead: Rc<Cell<u32>>) -> Self {
        Self { inner: StrInput::new(text), ahead }
    }

    fn count(&mut self) {
        if !matches!(
            self.inner.peek(),
            ',' | '[' | ']' | '{' | '}' | ':' | '?' | '\'' | '"' | '*' | '&' | '!'
        ) {
            return;
        }
        self.ahead.set(self.ahead.get() + 1);
        if self.ahead.get() > MAX_AHEAD {
            self.inner = StrInput::new("");
        }
    }
}

impl Input for Bounded<'_> {
    #[inline]
    fn lookahead(&mut self, count: usize) {
        self.inner.lookahead(count);
    }

    #[inline]
    fn buflen(&self) -> usize {
        self.inner.buflen()
    }

    #[inline]
    fn bufmaxlen(&self) -> usize {
        self.inner.bufmaxlen()
    }

    #[inline]
    fn raw_read_ch(&mut self) -> char {
        self.inner.raw_read_ch()
    }

    #[inline]
    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        self.inner.raw_read_non_breakz_ch()
    }

    #[inline]
    fn skip(&mut self) {
        self.count();
        self.inner.skip();
    }

    #[inline]
    fn skip_n(&mut self, count: usize) {
        self.count();
        self.inner.skip_n(count);
    }

    #[inline]
    fn peek(&self) -> char {
        self.inner.peek()
    }

    #[inline]
    fn peek_nth(&self, n: usize) -> char {
        self.inner.peek_nth(n)
    }

    #[inline]
    fn peek_opt(&self) -> Option<char> {
        self.inner.peek_opt()
    }

    #[inline]
    fn skip_while_non_breakz(&mut self) -> usize {
        self.inner.skip_while_non_breakz()
    }

    #[inline]
    fn skip_while_blank(&mut self) -> usize {
        self.inner.skip_while_blank()
    }

    #[inline]
    fn fetch_while_is_alpha(&mut self, out: &mut String) -> usize {
        self.inner.fetch_while_is_alpha(out)
    }

    #[inline]
    fn fetch_while_is_yaml_non_space(&mut self, out: &mut String) -> usize {
        self.inner.fetch_while_is_yaml_non_space(out)
    }
}
