//! How this user becomes root.

use std::{ffi::OsStr, process::Command};

use crate::exec::{find_program, output};

/// The way to run something as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// We are root.
    Root,
    /// `sudo` is installed; it may ask for a password.
    Sudo,
    /// Neither.
    None,
}

impl Privilege {
    /// Looks at this process and at the search path.
    pub fn probe() -> Self {
        let root = output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
        match (root, find_program("sudo")) {
            (true, _) => Self::Root,
            (false, Some(_)) => Self::Sudo,
            (false, None) => Self::None,
        }
    }

    /// `program` as root, or `None` if there is no way. The environment goes along.
    pub fn command(self, program: impl AsRef<OsStr>) -> Option<Command> {
        match self {
            Self::Root => Some(Command::new(program)),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.arg("-E").arg(program);
                Some(command)
            }
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::show;

    #[test]
    fn root_needs_no_sudo_and_nobody_has_no_way() {
        let shown = |privilege: Privilege| privilege.command("nft").as_ref().map(show);
        assert_eq!(shown(Privilege::Root).as_deref(), Some("nft"));
        assert_eq!(shown(Privilege::Sudo).as_deref(), Some("sudo -E nft"));
        assert_eq!(shown(Privilege::None), None);
    }
}
