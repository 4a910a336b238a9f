//! Why the dataplane could not be read or changed.

use std::{error::Error as StdError, path::PathBuf};

use crate::compile::DoesNotFit;

/// A failure, with the exit status that goes with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine lacks something.
    #[error("{0}")]
    Environment(String),
    /// There are no tables.
    #[error("nothing is loaded: `sg-agent apply FILE` does that")]
    NotLoaded,
    /// The tables are there, but nobody knows what they mean.
    #[error("{path}: what is in force is not known any more: `sg-agent apply FILE` sets it anew")]
    StateLost {
        /// Where the state should be.
        path: PathBuf,
    },
    /// The policy needs more than the tables hold.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
    /// The tables have other sizes than the policy asks for.
    #[error(
        "{setting} is {wanted}, but the tables were made with {existing}: `sg-agent unload` first, which stops \
         filtering, or keep the value"
    )]
    OtherSize {
        /// The setting.
        setting: &'static str,
        /// Its new value.
        wanted: u64,
        /// The value in force.
        existing: u64,
    },
    /// Something else is where we have to be.
    #[error("{0}")]
    InUse(String),
    /// The name of an interface is not known.
    #[error("{0}")]
    Input(String),
    /// The kernel refused.
    #[error("{what}")]
    Kernel {
        /// What was attempted.
        what: String,
        /// Its answer.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Exit status: 1 the input is wrong, 3 the environment is missing something, 4 refused.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) => 1,
            Self::Environment(_)
            | Self::NotLoaded
            | Self::StateLost { .. }
            | Self::Kernel { .. }
            | Self::File { .. } => 3,
            Self::DoesNotFit(_) | Self::OtherSize { .. } | Self::InUse(_) => 4,
        }
    }
}

/// Says what was attempted.
pub(super) trait Attempt<T> {
    /// Wraps the error in [`Error::Kernel`].
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: StdError + Send + Sync + 'static> Attempt<T> for Result<T, E> {
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Kernel { what: what(), source: Box::new(source) })
    }
}

/// Names the file of an I/O error.
pub(super) trait OfFile<T> {
    /// Wraps the error in [`Error::File`].
    fn of_file(self, path: &std::path::Path) -> Result<T, Error>;
}

impl<T, E: Into<std::io::Error>> OfFile<T> for Result<T, E> {
    fn of_file(self, path: &std::path::Path) -> Result<T, Error> {
        self.map_err(|source| Error::File { path: path.to_owned(), source: source.into() })
    }
}
