//! `--color`.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};

/// When what is written is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Colour {
    /// Colours; auto is where the output is a terminal, NO_COLOR is not set and TERM is not dumb
    #[arg(long = "color", value_name = "WHEN", value_enum, default_value_t = When::Auto)]
    when: When,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum When {
    Auto,
    Always,
    #[default]
    Never,
}

impl Colour {
    /// The same, told by another process that does not see this one's terminal.
    pub fn settled(self) -> Self {
        Self { when: if self.on_stderr() { When::Always } else { When::Never } }
    }

    /// Whether standard error takes colours.
    pub fn on_stderr(self) -> bool {
        self.on(&std::io::stderr())
    }

    /// Whether `output` takes colours.
    pub fn on(self, output: &impl IsTerminal) -> bool {
        let is = |name: &str, test: fn(&str) -> bool| std::env::var(name).is_ok_and(|value| test(&value));
        match self.when {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                let unwanted =
                    is("NO_COLOR", |value| !value.is_empty()) || is("TERM", |value| value == "dumb");
                output.is_terminal() && !unwanted
            }
        }
    }
}
