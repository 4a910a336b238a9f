//! Who does what a client asks: what changes something is the owner's, what only reads is done beside it.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Daemon, owner::Remembered, reload};
use crate::{
    cli::{Answer, Served, apply::Apply},
    dataplane::{Error, Options, Writer},
};

impl Daemon {
    /// Does what a client asks for.
    pub async fn answer(&self, command: Served) -> anyhow::Result<Answer> {
        match command {
            Served::Apply(verb) => self.apply(verb).await,
            // A hook waits for it: what it has bound is enforced, and remembered soon.
            Served::Attach(verb) => Ok(self.change(move |writer| verb.answer(writer)).await?.0),
            Served::Confirm(verb) => remembered(self.change(move |writer| verb.answer(writer)).await?).await,
            Served::Detach(verb) => Ok(self.change(move |writer| verb.answer(writer)).await?.0),
            Served::Rollback(verb) => remembered(self.change(move |writer| verb.answer(writer)).await?).await,
            Served::Conntrack(verb) => self.read(move |options| verb.answer(options)).await,
            Served::Explain(verb) => self.read(move |options| verb.answer(options)).await,
            Served::Rules(verb) => self.read(move |options| verb.answer(options)).await,
            Served::Stats(verb) => self.read(move |options| verb.answer(options)).await,
            Served::Status(verb) => {
                let reload = self.reload.borrow().clone();
                self.read(move |options| verb.answer(options, Some(reload))).await
            }
            Served::Monitor(_) => Err(Error::Input("monitor is a stream of its own".to_owned()).into()),
            Served::Unload(_) => Err(would_return()),
        }
    }

    async fn change(
        &self,
        verb: impl FnOnce(&mut Writer) -> anyhow::Result<Answer> + Send + 'static,
    ) -> anyhow::Result<(Answer, Remembered)> {
        self.owner.with(move |owner| owner.change(verb)).await?
    }

    async fn read(
        &self,
        verb: impl FnOnce(&Options) -> anyhow::Result<Answer> + Send + 'static,
    ) -> anyhow::Result<Answer> {
        let options = self.options.clone();
        let _place = self.readers.acquire().await?;
        spawn_blocking(move || verb(&options)).await?
    }

    async fn apply(&self, verb: Apply) -> anyhow::Result<Answer> {
        let verb = Arc::new(verb);
        let reader = Arc::clone(&verb);
        let ready = match spawn_blocking(move || reader.load()).await? {
            Ok(ready) => ready,
            Err(refusal) => return refusal,
        };
        if verb.is_dry_run() {
            return self.read(move |options| verb.forecast(options, ready)).await;
        }
        // What is on trial is not what the file is to mean.
        let own = match verb.is_trial() {
            true => None,
            false => {
                let (config, texts) = (self.config.clone(), ready.texts());
                spawn_blocking(move || reload::as_config(&config, &texts)).await?
            }
        };
        remembered(self.owner.with(move |owner| owner.apply(&verb, ready, own)).await??).await
    }
}

/// The answer once what it is about is on disk; a warning if that fails: it is in force all the same.
async fn remembered((answer, remembered): (Answer, Remembered)) -> anyhow::Result<Answer> {
    Ok(match remembered.await {
        Ok(Err(fault)) => {
            let messages = format!("{}sg-agent: warning: {fault}\n", answer.messages);
            answer.with_messages(messages)
        }
        Ok(Ok(())) | Err(_) => answer,
    })
}

/// The error of who wants to unload what the daemon keeps in force.
fn would_return() -> anyhow::Error {
    let own = std::process::id();
    Error::InUse(format!(
        "the daemon (process {own}) keeps the policy in force: stop it first (`systemctl stop sg-agent`, or SIGTERM), then unload"
    ))
    .into()
}
