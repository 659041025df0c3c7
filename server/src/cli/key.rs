//! `lotzero key`: API keys, until the console makes them.

use super::quiet_ledger;
use crate::api::credentials::Secret;
use crate::config::StoreArgs;
use crate::ids;
use crate::ledger::Ledger;
use crate::ledger::checkout::api_keys::{CreateKey, KeyView, RevokeKey, of_tenant};
use crate::stores::Missing;
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use shared::view::Person;
use shared::{ApiKeyId, PrincipalId};
use std::process::ExitCode;
use std::sync::Arc;

/// The longest handle of a tenant, in characters.
const MAX_HANDLE: usize = 32;

/// What is done with keys.
#[derive(Subcommand)]
pub enum KeyCommand {
    /// Makes a key and shows it, once; a tenant that is new is made too
    Create {
        #[command(flatten)]
        owner: Owner,
    },
    /// Lists a tenant's keys
    List {
        #[command(flatten)]
        owner: Owner,
    },
    /// Ends a key: within seconds no node accepts it any more
    Revoke {
        #[command(flatten)]
        owner: Owner,
        /// The key's id, as `list` shows it
        #[arg(value_name = "KEY_ID")]
        id: ApiKeyId,
    },
}

/// Whose keys.
#[derive(Args)]
pub struct Owner {
    #[command(flatten)]
    stores: StoreArgs,
    /// The tenant's handle: small letters, digits and dashes
    #[arg(long, value_name = "HANDLE")]
    tenant: String,
    /// Keys that move real money. Without it: keys of the tenant's twin, HANDLE-test, whose money
    /// is play money
    #[arg(long)]
    live: bool,
}

impl Owner {
    fn handle(&self) -> anyhow::Result<String> {
        let handle = self.tenant.as_str();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        ensure!(
            !handle.is_empty() && handle.len() <= MAX_HANDLE && handle.bytes().all(plain),
            "a handle has 1 to {MAX_HANDLE} small letters, digits and dashes"
        );
        Ok(if self.live {
            handle.to_owned()
        } else {
            format!("{handle}-test")
        })
    }

    async fn existing(&self, ledger: &Ledger) -> anyhow::Result<PrincipalId> {
        let handle = self.handle()?;
        let people = ledger.people(&[&handle]).await?;
        let person = people.first();
        let person = person.with_context(|| format!("there is no tenant {handle}"))?;
        Ok(person.id)
    }
}

/// Runs a key command.
///
/// # Errors
/// One line that says what is wrong.
pub async fn run(command: KeyCommand, say: fn(&str)) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::Create { owner } => create(&owner, say).await,
        KeyCommand::List { owner } => {
            let (_stores, ledger) = quiet_ledger(&owner.stores, Missing::Start).await?;
            let tenant = owner.existing(&ledger).await?;
            let keys = keys(&ledger, tenant).await?;
            if keys.is_empty() {
                say("no keys");
            }
            for key in keys {
                say(&line(&key));
            }
            Ok(ExitCode::SUCCESS)
        }
        KeyCommand::Revoke { owner, id } => {
            let (_stores, ledger) = quiet_ledger(&owner.stores, Missing::Start).await?;
            let tenant = owner.existing(&ledger).await?;
            let there = ledger.runner().run(RevokeKey { tenant, id }).await?.answer;
            ensure!(there, "the tenant has no key {id}");
            say(&format!("{id} is revoked"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn keys(ledger: &Arc<Ledger>, tenant: PrincipalId) -> anyhow::Result<Vec<KeyView>> {
    let read = ledger
        .runner()
        .read(move |tx| Box::pin(of_tenant(tx, tenant)));
    Ok(read.await?)
}

fn line(key: &KeyView) -> String {
    let kind = if key.live { "live" } else { "test" };
    let state = if key.revoked_at_ms.is_some() {
        "revoked"
    } else {
        "in use"
    };
    format!("{}  lz_{kind}_…{}  {state}", key.key_id, key.hint)
}

async fn create(owner: &Owner, say: fn(&str)) -> anyhow::Result<ExitCode> {
    let handle = owner.handle()?;
    let (_stores, ledger) = quiet_ledger(&owner.stores, Missing::Start).await?;
    let person = Person {
        id: PrincipalId::from_uuid(ids::event().uuid()),
        name: handle.clone(),
        handle,
        simulated: false,
    };
    let people = ledger.register(vec![person], false).await?;
    let tenant = people.first().context("the tenant could not be made")?;
    let secret = Secret::fresh(owner.live);
    let id = ids::api_key();
    ledger
        .runner()
        .run(CreateKey {
            id,
            hash: secret.hash(),
            tenant: tenant.id,
            live: owner.live,
            hint: secret.hint(),
        })
        .await?;
    say(&format!("tenant  {} ({})", tenant.handle, tenant.id));
    say(&format!("key id  {id}"));
    say(&format!("key     {}", secret.reveal()));
    say("Keep it: it is not shown again, and only its hash is stored.");
    Ok(ExitCode::SUCCESS)
}
