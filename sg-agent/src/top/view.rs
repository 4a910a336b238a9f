//! What is looked at, and what keys do about it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What the body of the screen shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Tab {
    /// Something of everything.
    Overview,
    /// Interfaces.
    Interfaces,
    /// Connections.
    Flows,
    /// Drops by reason.
    Drops,
    /// Rules by hits.
    Rules,
}

impl Tab {
    /// Every tab, in the order of their keys `1` to `5`.
    pub const ALL: [Self; 5] = [Self::Overview, Self::Interfaces, Self::Flows, Self::Drops, Self::Rules];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Interfaces => "Interfaces",
            Self::Flows => "Flows",
            Self::Drops => "Drops",
            Self::Rules => "Rules",
        }
    }

    /// What its rows can be sorted by, the default first.
    pub const fn orders(self) -> &'static [&'static str] {
        match self {
            Self::Overview => &["busiest"],
            Self::Interfaces => &["busiest", "drops", "name"],
            Self::Flows => &["busiest", "newest", "oldest", "expiry", "interface"],
            Self::Drops => &["rate", "total", "reason"],
            Self::Rules => &["hits", "total", "evaluation"],
        }
    }
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The tab.
    pub tab: Tab,
    /// What the rows of each tab are sorted by, as an index of [`Tab::orders`].
    pub order: [usize; 5],
    /// Rows shown have this text in them.
    pub filter: String,
    /// The filter is being typed.
    pub is_typing: bool,
    /// Nothing moves.
    pub is_paused: bool,
    /// The keys are explained.
    pub is_help: bool,
    /// How many rows are scrolled past.
    pub offset: usize,
}

impl Default for View {
    fn default() -> Self {
        Self {
            tab: Tab::Overview,
            order: [0; 5],
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            is_help: false,
            offset: 0,
        }
    }
}

/// What a key comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The view is drawn again.
    Draw,
    /// The end.
    Quit,
}

impl View {
    /// What the rows of `tab` are sorted by.
    pub fn order(&self, tab: Tab) -> &'static str {
        let orders = tab.orders();
        orders[self.order[tab as usize] % orders.len()]
    }

    /// A key was pressed, where a screen has room for `page` rows and there are `rows`.
    pub fn press(&mut self, key: KeyEvent, page: usize, rows: usize) -> Effect {
        if key.kind == KeyEventKind::Release {
            return Effect::Draw;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return Effect::Quit;
        }
        if self.is_typing {
            self.typed(key.code);
            return Effect::Draw;
        }
        match key.code {
            KeyCode::Char('q') => return Effect::Quit,
            KeyCode::Esc => return self.escape(),
            _ if self.is_help => self.is_help = false,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.is_help = true,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('s') => self.sort(1),
            KeyCode::Char('S') => self.sort(self.tab.orders().len() - 1),
            code => self.navigate(code, page, rows),
        }
        Effect::Draw
    }

    /// Out of what one is in; at last out of the program.
    fn escape(&mut self) -> Effect {
        if self.is_help {
            self.is_help = false;
        } else if self.filter.is_empty() {
            return Effect::Quit;
        } else {
            self.filter.clear();
            self.offset = 0;
        }
        Effect::Draw
    }

    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
        self.offset = 0;
    }

    fn sort(&mut self, steps: usize) {
        let order = &mut self.order[self.tab as usize];
        *order = (*order + steps) % self.tab.orders().len();
        self.offset = 0;
    }

    fn navigate(&mut self, code: KeyCode, page: usize, rows: usize) {
        let last = rows.saturating_sub(page);
        match code {
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(Tab::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='5') => self.show(digit as usize - '1' as usize),
            KeyCode::Down | KeyCode::Char('j') => self.offset = (self.offset + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.offset = self.offset.min(last).saturating_sub(1),
            KeyCode::PageDown => self.offset = (self.offset + page).min(last),
            KeyCode::PageUp => self.offset = self.offset.min(last).saturating_sub(page),
            KeyCode::Home | KeyCode::Char('g') => self.offset = 0,
            KeyCode::End | KeyCode::Char('G') => self.offset = last,
            _ => {}
        }
    }

    fn turn(&mut self, steps: usize) {
        self.show((self.tab as usize + steps) % Tab::ALL.len());
    }

    fn show(&mut self, number: usize) {
        self.tab = Tab::ALL[number];
        self.offset = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The view after these keys, on a screen of 10 rows of which there are 25; `None` if that was the end.
    fn after(codes: &[KeyCode]) -> Option<View> {
        let mut view = View::default();
        for code in codes {
            if view.press((*code).into(), 10, 25) == Effect::Quit {
                return None;
            }
        }
        Some(view)
    }

    fn typed(text: &str) -> Vec<KeyCode> {
        text.chars().map(KeyCode::Char).collect()
    }

    #[test]
    fn tabs_turn_round() {
        let tab = |codes: &[KeyCode]| after(codes).unwrap().tab;
        assert_eq!(tab(&[KeyCode::Tab]), Tab::Interfaces);
        assert_eq!(tab(&[KeyCode::BackTab]), Tab::Rules);
        assert_eq!(tab(&[KeyCode::BackTab, KeyCode::Tab]), Tab::Overview);
        assert_eq!(tab(&[KeyCode::Char('4')]), Tab::Drops);
    }

    #[test]
    fn every_tab_has_its_order() {
        let view = after(&typed("3s4ss")).unwrap();
        assert_eq!((view.order(Tab::Flows), view.order(Tab::Drops)), ("newest", "reason"));
        assert_eq!(after(&typed("3S")).unwrap().order(Tab::Flows), "interface");
    }

    #[test]
    fn rows_are_scrolled_to_the_last_page() {
        let offset = |codes: &[KeyCode]| after(codes).unwrap().offset;
        assert_eq!(offset(&[KeyCode::PageDown]), 10);
        assert_eq!(offset(&[KeyCode::PageDown, KeyCode::PageDown, KeyCode::Down]), 15);
        assert_eq!(offset(&[KeyCode::End, KeyCode::Up]), 14);
        assert_eq!(offset(&[KeyCode::Up]), 0);
        assert_eq!(offset(&[KeyCode::End, KeyCode::Tab]), 0);
    }

    #[test]
    fn a_filter_is_typed_and_taken_back() {
        let mut codes = typed("/q10");
        assert_eq!(after(&codes).map(|view| (view.filter, view.is_typing)), Some(("q10".into(), true)));
        codes.extend([KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!(after(&codes).map(|view| (view.filter, view.is_typing)), Some(("q1".into(), false)));
        codes.push(KeyCode::Esc);
        assert_eq!(after(&codes).map(|view| view.filter), Some(String::new()));
        codes.push(KeyCode::Esc);
        assert_eq!(after(&codes), None);
    }

    #[test]
    fn help_goes_with_any_key_and_q_ends() {
        assert!(after(&typed("?")).unwrap().is_help && !after(&typed("?x")).unwrap().is_help);
        assert!(after(&typed("p")).unwrap().is_paused && !after(&typed("pp")).unwrap().is_paused);
        assert_eq!(after(&typed("q")), None);
        let mut view = View { is_typing: true, ..View::default() };
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.press(interrupt, 10, 25), Effect::Quit);
    }
}
