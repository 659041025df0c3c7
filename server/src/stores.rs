//! Opens the stores that the configuration names, starting the local ones where it names none.

use crate::config::StoreArgs;
use crate::firehose::FirehoseConfig;
use crate::ledger::endpoint::Endpoints;
use anyhow::Context;

/// The DynamoDB table of the local stores.
#[cfg(feature = "local")]
const LOCAL_TABLE: &str = "lotzero";

/// What was opened.
pub struct Stores {
    /// The money plane's connections.
    pub endpoints: Endpoints,
    /// Where the social plane is.
    pub firehose: FirehoseConfig,
    /// What a person at the terminal should know, a line each.
    pub banner: Vec<String>,
    /// Keeps the local stores alive.
    #[cfg(feature = "local")]
    pub local: Option<crate::local::Attached>,
}

/// Which local stores to use when the configuration names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Those of the data directory, started if they do not run.
    Start,
    /// Those of the data directory if they run, else temporary ones.
    Temporary,
    /// Those of the data directory if it holds any, started if they do not run, else temporary
    /// ones: an audit of a stopped house must not look elsewhere and find nothing.
    Kept,
}

#[cfg(feature = "local")]
async fn local(
    args: &StoreArgs,
    missing: Missing,
) -> anyhow::Result<Option<crate::local::Attached>> {
    if !args.local_ledger() && !args.local_firehose() {
        return Ok(None);
    }
    let running = match missing {
        Missing::Start => None,
        Missing::Kept if crate::local::holds_stores(&args.data_dir) => None,
        Missing::Temporary | Missing::Kept => {
            match crate::local::attach_running(&args.data_dir).await {
                Some(attached) => Some(attached),
                None => Some(crate::local::attach_temporary().await?),
            }
        }
    };
    Ok(Some(match running {
        Some(attached) => attached,
        None => crate::local::attach(&args.data_dir).await?,
    }))
}

/// Opens both planes.
///
/// # Errors
/// One line that names what is missing or does not answer.
pub async fn open(args: &StoreArgs, missing: Missing) -> anyhow::Result<Stores> {
    let mut banner = Vec::new();
    #[cfg(feature = "local")]
    let local = local(args, missing).await?;
    #[cfg(feature = "local")]
    if let Some(local) = &local {
        banner.extend(local.notes.iter().cloned());
    }
    #[cfg(not(feature = "local"))]
    let _only_for_local_stores = missing;
    let endpoints = if let Some(host) = &args.dsql_cluster_endpoint {
        let hosts: Vec<String> = std::iter::once(host)
            .chain(&args.dsql_peer_endpoint)
            .cloned()
            .collect();
        banner.push(format!("ledger    Aurora DSQL, {}", hosts.join(" and ")));
        let endpoints = Endpoints::dsql(&hosts, args.pool()).await;
        endpoints.context("the DSQL_CLUSTER_ENDPOINT cannot be used")?
    } else if let Some(url) = &args.database_url {
        banner.push("ledger    PostgreSQL of DATABASE_URL".into());
        Endpoints::postgres(url, args.pool())
            .await
            .context("the DATABASE_URL cannot be used")?
    } else {
        #[cfg(not(feature = "local"))]
        anyhow::bail!("set DSQL_CLUSTER_ENDPOINT or DATABASE_URL: this build has no local stores");
        #[cfg(feature = "local")]
        {
            let local = local
                .as_ref()
                .context("the local stores are not attached")?;
            let version = &local.postgres_version;
            banner.push(format!("ledger    private PostgreSQL {version}"));
            Endpoints::postgres(&local.database_url, args.pool()).await?
        }
    };
    let firehose = if let Some(table) = &args.dynamodb_table {
        banner.push(format!("firehose  DynamoDB table {table}"));
        FirehoseConfig {
            table: table.clone(),
            endpoint: args.dynamodb_endpoint.clone(),
        }
    } else {
        #[cfg(not(feature = "local"))]
        anyhow::bail!("set DYNAMODB_TABLE: this build has no local stores");
        #[cfg(feature = "local")]
        {
            let local = local
                .as_ref()
                .context("the local stores are not attached")?;
            banner.push("firehose  embedded DynamoDB".into());
            FirehoseConfig {
                table: LOCAL_TABLE.into(),
                endpoint: Some(local.dynamodb_endpoint.clone()),
            }
        }
    };
    Ok(Stores {
        endpoints,
        firehose,
        banner,
        #[cfg(feature = "local")]
        local,
    })
}
