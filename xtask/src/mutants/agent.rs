//! The agent's faults, beside those of the [table](super::table): what commands answer, the daemon, metrics.

use super::table::{
    Mutant,
    Test::{Loaded, Pure},
    mutant,
};

const ATTACH: &str = "sg-agent/src/cli/attach.rs";
const NOTIFY: &str = "sg-agent/src/daemon/notify.rs";
const OWNER: &str = "sg-agent/src/daemon/owner.rs";
const RELOAD: &str = "sg-agent/src/daemon/reload.rs";

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "attach succeeds where nothing is enforced",
        ATTACH,
        "if let Some(fault) = writer.fault(&self.interface) {",
        "if let Some(fault) = writer.fault(\"\") {",
        Loaded("daemon", "service::an_interface_that_cannot_be_enforced_is_an_error"),
    ),
    mutant(
        "attach takes a name for a pattern",
        ATTACH,
        "if bind::is_pattern(&self.interface) {",
        "if bind::is_pattern(\"\") {",
        Loaded("daemon", "service::an_interface_that_cannot_be_enforced_is_an_error"),
    ),
    mutant(
        "what attach has bound under a pattern cannot be detached",
        ATTACH,
        "if policy.interfaces.len() == count {",
        "if policy.interfaces.len() == count || pattern.is_some() {",
        Loaded("bindings", "a_pattern_holds_again_after_a_detach"),
    ),
    mutant(
        "a client that stays holds up the end of the daemon",
        "sg-agent/src/daemon/mod.rs",
        "    daemon.owner.end().await;\n",
        "",
        Loaded("daemon", "service::clients_do_not_hold_up_the_end"),
    ),
    mutant(
        "the watchdog is fed whatever the owner does",
        NOTIFY,
        "if owner.with(feed).await.is_err() {",
        "let _ = (&owner, feed);\n        tell(Words::Watchdog);\n        if often.period().is_zero() {",
        Loaded("daemon", "service::a_stuck_owner_starves_the_watchdog"),
    ),
    mutant(
        "a manager that wakes up is fed for the time that it slept",
        NOTIFY,
        "if !FED.swap(true, Ordering::Relaxed) {",
        "FED.store(true, Ordering::Relaxed);\n        {",
        Loaded("daemon", "service::a_manager_that_wakes_up_is_fed_for_now_alone"),
    ),
    mutant(
        "a policy file that was changed while the daemon was dead is not read",
        "sg-agent/src/daemon/start.rs",
        "is_remembered && (!self.is_loaded || is_last())",
        "self.is_loaded || is_remembered && is_last()",
        Loaded("daemon", "killed::an_old_allow_is_gone_at_once"),
    ),
    mutant(
        "what is about to be in force is not noted",
        OWNER,
        "        self.writer.note_config(texts)?;\n        let outcome",
        "        let outcome",
        Loaded("daemon", "killed::a_change_that_was_not_written_down_is_no_secret"),
    ),
    mutant(
        "the daemon's own file, applied by a client, is not noted",
        RELOAD,
        "(says == *main.text).then(",
        "(says != *main.text).then(",
        Loaded("daemon", "killed::a_file_that_is_changed_back_while_nobody_runs_is_in_force"),
    ),
    mutant(
        "a file that a client applied and that is changed back is taken for unchanged",
        RELOAD,
        "!daemon.owner.with(|owner| owner.is_unread()).await? && ",
        "",
        Loaded("daemon", "reload::a_file_that_is_changed_back_at_once_is_in_force"),
    ),
    mutant(
        "the daemon ends when somebody removes its pins",
        "sg-agent/src/dataplane/writer.rs",
        "        !self.is_cleared\n",
        "        self.place.pins().is_dir()\n",
        Loaded("daemon", "killed::without_its_pins_it_makes_them_again"),
    ),
    mutant(
        "of the locks of files the first is read by itself",
        "sg-agent/src/dataplane/lock.rs",
        "String::with_capacity(1 << 16)",
        "String::new()",
        Pure("sg-agent", "dataplane::lock::tests::the_holder_is_named_while_others_let_go"),
    ),
    mutant(
        "a file that was read before a client's apply undoes it",
        OWNER,
        "self.applied.is_some_and(|applied| applied > then)",
        "self.applied.is_some_and(|applied| applied < then)",
        Loaded("daemon", "reload::what_was_read_before_an_apply_does_not_undo_it"),
    ),
    mutant(
        "everybody may connect to the daemon",
        "sg-agent/src/daemon/socket.rs",
        "fchmod(&socket, Mode::RUSR | Mode::WUSR)?;",
        "fchmod(&socket, Mode::all())?;",
        Loaded("daemon", "socket::every_verb_is_served"),
    ),
    mutant(
        "everybody may read the policy",
        "sg-agent/src/dataplane/private.rs",
        ".create_new(true).mode(0o600)",
        ".create_new(true)",
        Loaded("environment", "what_is_remembered_is_roots_alone"),
    ),
    mutant(
        "what an operator sets while programs go on is set back",
        "sg-agent/src/dataplane/grace.rs",
        "    if says(switch, OURS)\n",
        "    if !says(switch, OFF)\n",
        Pure("sg-agent", "dataplane::grace::tests::what_the_operator_turns_on_meanwhile_stays_on"),
    ),
    mutant(
        "grace periods stay short",
        "sg-agent/src/dataplane/grace.rs",
        "if let Some(switch) = self.switch {",
        "if let Some(switch) = self.switch.filter(|switch| switch.is_dir()) {",
        Loaded("environment", "grace_periods_are_short_while_hooks_change"),
    ),
    mutant(
        "metrics count one interface's packets for all",
        "sg-agent/src/metrics/snapshot.rs",
        "loaded.kernel.interface_stats(*slot)?",
        "loaded.kernel.interface_stats(1)?",
        Loaded("metrics", "each_interface_counts_for_itself"),
    ),
    mutant(
        "metrics take one direction for the other",
        "sg-agent/src/metrics/families.rs",
        "&used.stats.0[at])",
        "&used.stats.0[1 - at])",
        Pure("sg-agent", "metrics::page::tests::the_page_is_the_golden_one"),
    ),
    mutant(
        "metrics know of refusals in one direction alone",
        "sg-agent/src/metrics/families.rs",
        "stats.0.iter().map(|direction| direction.dropped[reason as usize]).sum()",
        "stats.0.iter().skip(1).map(|direction| direction.dropped[reason as usize]).sum()",
        Pure("sg-agent", "metrics::page::tests::the_page_is_the_golden_one"),
    ),
];
