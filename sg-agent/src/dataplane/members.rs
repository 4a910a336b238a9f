//! Single members of a group in force: written as they are, with nothing compiled but what names a new set of groups.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    error::Error,
    writer::{Origin, Outcome, Writer},
};
use crate::compile::{Edit, Plan};

/// So many members are changed one by one before the policy is written anew with them.
const MOST_EDITS: usize = 1000;

impl Writer {
    /// Makes `added` members of `group` and takes `removed` from it, as if its `members:` had been edited, in one switch.
    /// Members by prefix are not touched.
    ///
    /// Quick where nobody else holds the policy in force: it is then changed in place. On an error nothing has changed.
    pub fn change_members(
        &mut self,
        group: &str,
        added: &[IpAddr],
        removed: &[IpAddr],
    ) -> Result<Outcome, Error> {
        let start = Instant::now();
        self.check_idle()?;
        if self.origin != Origin::Known {
            return Err(Error::NotLoaded);
        }
        if !self.loaded.state.policy().groups.contains_key(group) {
            return Err(Error::Input(format!("there is no group `{group}` in force")));
        }
        let edit =
            |(addr, is_added): (&IpAddr, bool)| Edit { group: group.to_owned(), addr: *addr, is_added };
        let removed = removed.iter().map(|addr| (addr, false));
        let edits: Vec<Edit> = removed.chain(added.iter().map(|addr| (addr, true))).map(edit).collect();
        let clock = self.loaded.kernel.clock()?;
        let was = self.loaded.state.generation();
        let plan = self.loaded.state.edit_members(&edits, &clock)?;
        if plan.is_empty() {
            return Ok(self.outcome(None));
        }
        if let Err(error) = self.prepare_members(&plan) {
            let undone: Vec<Edit> = edits.iter().rev().map(Edit::undone).collect();
            self.loaded.state.edit_members(&undone, &clock)?;
            self.loaded.state.enter(was);
            self.store.remove_others(was);
            return Err(error);
        }
        self.loaded.kernel.switch_to(&plan);
        let in_force_after = start.elapsed();
        self.finish_members(&plan)?;
        Ok(self.outcome(Some(in_force_after)))
    }

    fn prepare_members(&mut self, plan: &Plan) -> Result<(), Error> {
        let kernel = &mut self.loaded.kernel;
        kernel.prepare(plan)?;
        let saved = self.store.save_state(plan.generation, &self.loaded.state.save());
        if saved.is_err() {
            kernel.take_back(&plan.members)?;
        }
        saved
    }

    fn finish_members(&mut self, plan: &Plan) -> Result<(), Error> {
        let Self { loaded, store, .. } = self;
        loaded.kernel.retire(plan, &[])?;
        store.save_history(plan.generation, &loaded.history)?;
        loaded.state.settle();
        if loaded.state.edits() > MOST_EDITS {
            loaded.state.renumber();
            store.save_policy(loaded.state.policy_number(), loaded.state.policy())?;
            store.save_state(plan.generation, &loaded.state.save())?;
        }
        store.remove_others(plan.generation);
        Ok(())
    }

    fn outcome(&self, in_force_after: Option<Duration>) -> Outcome {
        Outcome {
            is_changed: in_force_after.is_some(),
            in_force_after: in_force_after.unwrap_or_default(),
            ..self.in_force()
        }
    }
}
