//! What a verb says, whoever ran it: this process, or the daemon.

use std::process::ExitCode;

/// Text for the standard streams, and an exit status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub output: String,
    /// Whether that is one line of JSON.
    pub is_json: bool,
    /// For standard error.
    pub messages: String,
    /// Exit status.
    pub status: u8,
    /// The generation that a change has brought into force.
    pub generation: Option<u32>,
}

impl Answer {
    /// Words for people.
    pub fn text(output: impl Into<String>) -> Self {
        Self { output: output.into(), ..Self::default() }
    }

    /// One line of JSON.
    pub fn json(value: &impl serde::Serialize) -> anyhow::Result<Self> {
        Ok(Self::json_line(serde_json::to_string(value)?))
    }

    /// A line of JSON that is written already, without its end.
    pub fn json_line(line: String) -> Self {
        Self { output: line + "\n", is_json: true, ..Self::default() }
    }

    /// The same, with `messages` for standard error.
    pub fn with_messages(self, messages: impl Into<String>) -> Self {
        Self { messages: messages.into(), ..self }
    }

    /// The same, of a change that has brought `generation` into force.
    pub fn of_generation(self, generation: u32) -> Self {
        Self { generation: Some(generation), ..self }
    }

    /// Prints it, messages first.
    pub fn print(&self) -> anyhow::Result<ExitCode> {
        super::print_error(&self.messages)?;
        super::print(&self.output)?;
        Ok(self.status.into())
    }
}
