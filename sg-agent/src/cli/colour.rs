//! `--color`.

use std::io::IsTerminal;

/// When findings are coloured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Colour {
    /// Colours; auto is where standard error is a terminal, NO_COLOR is not set and TERM is not dumb
    #[arg(long = "color", value_name = "WHEN", value_enum, default_value_t = When::Auto)]
    when: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl Colour {
    /// Whether standard error takes colours.
    pub fn on_stderr(self) -> bool {
        let is = |name: &str, test: fn(&str) -> bool| std::env::var(name).is_ok_and(|value| test(&value));
        match self.when {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                let unwanted =
                    is("NO_COLOR", |value| !value.is_empty()) || is("TERM", |value| value == "dumb");
                std::io::stderr().is_terminal() && !unwanted
            }
        }
    }
}
