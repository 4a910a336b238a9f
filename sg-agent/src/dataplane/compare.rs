//! Single entries of the tables, to be compared with what they should be.

use sg_common::{
    control::Settings,
    interface::Interface,
    limits::DIRECT_IFINDEX,
    members::{MemberKey, Membership},
};

use super::{
    error::{Attempt as _, Error},
    kernel::Kernel,
    write::is_absent,
};
use crate::compile::members::Members;

impl Kernel {
    /// The directory entry of `slot` in `half`.
    pub(super) fn row(&self, half: u32, slot: u32) -> Interface {
        self.maps.directory.get((half * self.control().interfaces + slot) as usize)
    }

    /// The slot of a device; 0 if it has none.
    pub(super) fn slot_of(&self, ifindex: u32) -> Result<u32, Error> {
        if ifindex < DIRECT_IFINDEX {
            return Ok(self.maps.ifindex.load_first_half(ifindex as usize));
        }
        match self.maps.ifindex_high.get(&ifindex, 0) {
            Err(error) if is_absent(&error) => Ok(0),
            found => found.attempt(|| format!("reading the slot of interface index {ifindex}")),
        }
    }

    /// Writes the settings of `half`.
    pub(super) fn set_settings(&self, half: u32, settings: &Settings) {
        self.maps.settings.set(half as usize, settings);
    }

    /// The membership of an address.
    pub(super) fn membership(&self, key: &MemberKey) -> Result<Option<Membership>, Error> {
        match self.maps.members.get(key, 0) {
            Err(error) if is_absent(&error) => Ok(None),
            found => found
                .map(|member| (member.key == *key).then_some(member.membership))
                .attempt(|| "reading a group member".to_owned()),
        }
    }

    /// Removes who is a member in `generation` and should be in no group; tells how many.
    pub(super) fn remove_strangers(&mut self, members: &Members, generation: u32) -> Result<usize, Error> {
        let is_stranger =
            |(key, one): &(MemberKey, Membership)| members.set_of(key) == 0 && one.at(generation) != 0;
        let strangers: Vec<_> = self.all_members()?.into_iter().filter(is_stranger).collect();
        for (key, _) in &strangers {
            self.remove_member(key)?;
        }
        Ok(strangers.len())
    }
}
