//! What the environment and the command line say. Nothing set means: everything on this machine.

use clap::Args;
use std::path::PathBuf;

/// Where the two planes are kept.
#[derive(Args, Clone, Debug)]
pub struct StoreArgs {
    /// Endpoint of the Aurora DSQL cluster that holds the money plane
    #[arg(long, env = "DSQL_CLUSTER_ENDPOINT", value_name = "HOST")]
    pub dsql_cluster_endpoint: Option<String>,

    /// Endpoint of its peer in another Region, used when the first one fails
    #[arg(long, env = "DSQL_PEER_ENDPOINT", value_name = "HOST")]
    pub dsql_peer_endpoint: Option<String>,

    /// A PostgreSQL of one's own for the money plane (REPEATABLE READ by default)
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,

    /// DynamoDB table of the social plane
    #[arg(long, env = "DYNAMODB_TABLE", value_name = "NAME")]
    pub dynamodb_table: Option<String>,

    /// DynamoDB endpoint other than the Region's
    #[arg(long, env = "DYNAMODB_ENDPOINT", value_name = "URL")]
    pub dynamodb_endpoint: Option<String>,

    /// Where the local stores keep everything
    #[arg(
        long,
        env = "LOTZERO_DATA_DIR",
        default_value = ".lotzero",
        value_name = "DIR"
    )]
    pub data_dir: PathBuf,

    /// Database connections of this node
    #[arg(long, env = "LOTZERO_POOL", default_value_t = crate::ledger::endpoint::DEFAULT_POOL_SIZE,
          value_parser = clap::value_parser!(u32).range(2..=500), value_name = "N")]
    pub pool: u32,
}

impl StoreArgs {
    /// Whether the money plane needs the local stores.
    #[must_use]
    pub const fn local_ledger(&self) -> bool {
        self.dsql_cluster_endpoint.is_none() && self.database_url.is_none()
    }

    /// Whether the social plane needs the local stores.
    #[must_use]
    pub const fn local_firehose(&self) -> bool {
        self.dynamodb_table.is_none()
    }
}

/// How a node serves.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Where the two planes are kept
    #[command(flatten)]
    pub stores: StoreArgs,

    /// Address to listen on; port 0 takes a free one
    #[arg(
        long,
        env = "LOTZERO_ADDR",
        default_value = "127.0.0.1:3000",
        value_name = "ADDR"
    )]
    pub addr: std::net::SocketAddr,

    /// Folder with the built pages' files
    #[arg(
        long,
        env = "LEPTOS_SITE_ROOT",
        default_value = "target/site",
        value_name = "DIR"
    )]
    pub site_root: PathBuf,

    /// The address people use, such as `https://lotzero.example`: cookies become Secure, and the
    /// live socket accepts this origin
    #[arg(long, env = "LOTZERO_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,

    /// No simulated bidders
    #[arg(long)]
    pub no_crowd: bool,

    /// The demo's people and lots also on stores that are not local
    #[arg(long, env = "LOTZERO_DEMO")]
    pub demo: bool,

    /// Do not tell this node's sockets directly; they hear through the stream only
    #[arg(long, env = "LOTZERO_STREAM_ONLY", hide = true)]
    pub stream_only: bool,
}

impl ServeArgs {
    /// Whether the demo's people and lots are there: on one machine always, elsewhere on demand.
    #[must_use]
    pub const fn has_demo(&self) -> bool {
        self.demo || self.stores.local_ledger()
    }
}
