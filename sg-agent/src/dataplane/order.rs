//! The place of our programs among others on a TCX hook: the first, so that none lets a frame pass before it is judged.
//!
//! A program cannot be on a hook twice, and a link keeps its place when its program is replaced. So a second load of the
//! same programs is put in front, and the link that was overtaken goes. It takes turns: the two are the same to a packet.

use super::{
    attach,
    error::Error,
    interfaces::Device,
    links::{self, Side},
    load,
    programs::Programs,
    writer::Writer,
};

impl Writer {
    /// Puts our program on the TCX hook `key` of `device` in front of the others; tells what was done. The device is
    /// judged all the while.
    pub(super) fn go_first(&mut self, key: (u32, Side), device: &Device) -> Result<String, Error> {
        let (slot, side) = key;
        let Some(overtaken) = self.book.links.get(&key).cloned() else { return Ok(String::new()) };
        let is_egress = side == Side::Tx;
        let own = self.loaded.kernel.programs.number(is_egress)?;
        let pin = links::pin(&self.book.directory, slot, Side::Front);
        let link = if overtaken.program == own {
            let spare = self.spare()?;
            attach::first(spare, device, is_egress, &pin)?
        } else {
            attach::first(&mut self.loaded.kernel.programs, device, is_egress, &pin)?
        };
        links::detach([&overtaken])?;
        let link = links::rename(link, &overtaken.path)?;
        self.book.links.insert(key, link);
        let side = if is_egress { "transmit" } else { "receive" };
        Ok(format!(
            "{}: another program had gone before ours on the {side} hook: ours is first again",
            device.name
        ))
    }

    /// The programs once more, loaded for the tables in use.
    fn spare(&mut self) -> Result<&mut Programs, Error> {
        let programs = match self.spare.take() {
            Some(programs) => programs,
            None => load::again(&self.place, &self.loaded.kernel.sizes()?)?,
        };
        Ok(self.spare.insert(programs))
    }
}
