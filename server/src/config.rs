//! What the environment and the command line say. Nothing set means: everything on this machine.

use crate::api::limits::{self, Quota, Quotas};
use crate::ledger::endpoint::DEFAULT_POOL_SIZE;
use clap::Args;
use http::Uri;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

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

    /// Database connections of this node, 16 if not said; of each kernel of a proof run, if not said
    /// 8, or with the local stores two for each core, 4 to 8
    #[arg(long, env = "LOTZERO_POOL", value_parser = clap::value_parser!(u32).range(2..=500),
          value_name = "N")]
    pool: Option<u32>,
}

impl StoreArgs {
    /// Database connections of this node.
    #[must_use]
    pub fn pool(&self) -> u32 {
        self.pool.unwrap_or(DEFAULT_POOL_SIZE)
    }

    /// Database connections of each kernel of a proof run. Two kernels with four each keep 2 cores
    /// busy where PostgreSQL runs on them too; more of them only wait longer at the same rows.
    #[must_use]
    pub fn kernel_pool(&self) -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let by_cores = u32::try_from(2 * cores).unwrap_or(u32::MAX).clamp(4, 8);
        let unsaid = if self.local_ledger() {
            by_cores
        } else {
            DEFAULT_POOL_SIZE / 2
        };
        self.pool.unwrap_or(unsaid)
    }

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
    pub addr: SocketAddr,

    /// Folder with the built pages' files
    #[arg(
        long,
        env = "LEPTOS_SITE_ROOT",
        default_value = "target/site",
        value_name = "DIR"
    )]
    pub site_root: PathBuf,

    /// The address people use, such as `https://lotzero.example`: cookies become Secure, and forms
    /// and the live socket accept this origin only
    #[arg(long, env = "LOTZERO_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Where the other nodes reach this one, such as `http://10.0.3.17:3000`: the node that reads the
    /// table's stream feeds the others there. Internal: plain HTTP within one's own network. Not
    /// needed if --addr is an address of the network, or on one machine
    #[arg(long, env = "LOTZERO_NODE_URL", value_name = "URL")]
    pub node_url: Option<NodeUrl>,

    /// No simulated bidders
    #[arg(long)]
    pub no_crowd: bool,

    /// The demo's people and lots also on stores that are not local
    #[arg(long, env = "LOTZERO_DEMO")]
    pub demo: bool,

    /// Handles of the house's operators, who moderate every room, with commas between them; a
    /// lot's seller moderates its room anyway
    #[arg(
        long,
        env = "LOTZERO_OPERATORS",
        value_delimiter = ',',
        value_name = "HANDLES"
    )]
    pub operators: Vec<String>,

    /// How often callers of the API may call
    #[command(flatten)]
    pub limits: LimitArgs,

    /// Regions, with commas between them: each is a gate before the local PostgreSQL that can be
    /// closed, hung or made to fail. This node is at home in the first and moves to the next. Tokyo
    /// and Seoul if none are named
    #[cfg(feature = "local")]
    #[arg(
        long,
        env = "LOTZERO_REGIONAL_GATES",
        value_delimiter = ',',
        num_args = 0..,
        default_missing_value = "ap-northeast-1,ap-northeast-2",
        value_name = "REGIONS"
    )]
    pub regional_gates: Option<Vec<shared::Region>>,

    /// A build for production breaks nothing, and says so
    #[cfg(not(feature = "local"))]
    #[arg(
        long,
        env = "LOTZERO_REGIONAL_GATES",
        hide = true,
        num_args = 0..,
        default_missing_value = "",
        value_parser = breaks_nothing
    )]
    pub regional_gates: Option<Vec<String>>,

    /// Do not tell this node's sockets directly; they hear through the stream only
    #[arg(long, env = "LOTZERO_STREAM_ONLY", hide = true)]
    pub stream_only: bool,
}

/// How often callers of the API may call. A quota is requests/seconds, such as 60/3: so many at once,
/// all of which are there again after so many seconds; `off` for no bound.
#[derive(Args, Clone, Debug)]
pub struct LimitArgs {
    /// Requests of an API key: requests/seconds, or off
    #[arg(long, env = "LOTZERO_LIMIT_KEY", default_value = limits::KEY, value_name = "N/S")]
    limit_key: Quota,

    /// Requests of an address at the sandbox (an IPv6 address counts by its /64 network)
    #[arg(long, env = "LOTZERO_LIMIT_SANDBOX", default_value = limits::SANDBOX, value_name = "N/S")]
    limit_sandbox: Quota,

    /// Requests of an address that shows no valid API key
    #[arg(long, env = "LOTZERO_LIMIT_STRANGER", default_value = limits::STRANGER, value_name = "N/S")]
    limit_stranger: Quota,

    /// Proxies of one's own before the node, each of which adds the caller's address to
    /// X-Forwarded-For; with none the header is ignored
    #[arg(long, env = "LOTZERO_PROXIES", default_value_t = 0, value_name = "N")]
    proxies: u8,
}

impl LimitArgs {
    /// The quotas.
    #[must_use]
    pub const fn quotas(&self) -> Quotas {
        Quotas {
            key: self.limit_key,
            sandbox: self.limit_sandbox,
            stranger: self.limit_stranger,
            proxies: self.proxies,
        }
    }
}

impl ServeArgs {
    /// Whether the demo's people and lots are there: on one machine always, elsewhere on demand.
    #[must_use]
    pub const fn has_demo(&self) -> bool {
        self.demo || self.stores.local_ledger()
    }
}

/// The address people use, as browsers write an origin: lower case, without the port that the
/// scheme implies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: Scheme,
    host: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// The text is no address that people could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "LOTZERO_PUBLIC_URL must be http:// or https://, a host and nothing else but a port, \
     such as https://lotzero.example"
)]
pub struct PublicUrlError;

impl PublicUrl {
    /// Whether people come over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.host)
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let uri: Uri = text.trim().parse().map_err(|_malformed| PublicUrlError)?;
        let (scheme, implied) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            Some(_) | None => return Err(PublicUrlError),
        };
        let authority = uri.authority().ok_or(PublicUrlError)?;
        let is_bare = uri.path() == "/" && uri.query().is_none() && !text.contains('#');
        let (host, port) = (authority.host().to_ascii_lowercase(), authority.port_u16());
        // What is left beside host and port is a name and a password, or a port that is none.
        let written = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        if !is_bare || host.is_empty() || authority.as_str().to_ascii_lowercase() != written {
            return Err(PublicUrlError);
        }
        let host = if port == Some(implied) { host } else { written };
        Ok(Self { scheme, host })
    }
}

/// Where other nodes reach a node: plain HTTP, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUrl {
    host: String,
    port: u16,
}

/// The text is no address of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "LOTZERO_NODE_URL must be http://, a host and nothing else but a port, \
     such as http://10.0.3.17:3000"
)]
pub struct NodeUrlError;

impl NodeUrl {
    /// The host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as the `Host` header has them.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The address of a node that listens on `address`, if others can reach it there: not every
    /// address at once, and the loopback only if they are on the same machine.
    #[must_use]
    pub fn of_listener(address: SocketAddr, one_machine: bool) -> Option<Self> {
        let ip = address.ip();
        let reached = match (ip.is_unspecified(), ip.is_loopback()) {
            (true, _) if one_machine => SocketAddr::from(([127, 0, 0, 1], address.port())),
            (true, _) => return None,
            (false, true) if !one_machine => return None,
            (false, _) => address,
        };
        format!("http://{reached}").parse().ok()
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl FromStr for NodeUrl {
    type Err = NodeUrlError;

    fn from_str(text: &str) -> Result<Self, NodeUrlError> {
        let url: PublicUrl = text.parse().map_err(|PublicUrlError| NodeUrlError)?;
        if url.scheme != Scheme::Http {
            return Err(NodeUrlError);
        }
        let uri: Uri = text.trim().parse().map_err(|_malformed| NodeUrlError)?;
        let authority = uri.authority().ok_or(NodeUrlError)?;
        Ok(Self {
            host: authority.host().to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(80),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_kept_as_browsers_write_it() {
        for (text, expected) in [
            ("https://lotzero.example", "https://lotzero.example"),
            ("HTTPS://LotZero.Example:443/", "https://lotzero.example"),
            (" http://lotzero.example:80 ", "http://lotzero.example"),
            (
                "https://lotzero.example:8443",
                "https://lotzero.example:8443",
            ),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            let url: PublicUrl = text.parse().expect("an address");
            assert_eq!(url.to_string(), expected);
            assert_eq!(url.is_secure(), expected.starts_with("https"));
        }
    }

    #[test]
    fn a_node_is_reached_where_it_listens_if_anybody_can_come_there() {
        let of = |address: &str, one_machine| {
            let address = address.parse().expect("an address");
            NodeUrl::of_listener(address, one_machine).map(|url| url.to_string())
        };
        let url = |text: &str| Some(text.to_owned());
        assert_eq!(of("10.0.3.17:3000", false), url("http://10.0.3.17:3000"));
        assert_eq!(of("[fd00::1]:3000", false), url("http://[fd00::1]:3000"));
        assert_eq!(of("127.0.0.1:3000", true), url("http://127.0.0.1:3000"));
        assert_eq!(of("0.0.0.0:3000", true), url("http://127.0.0.1:3000"));
        for unreachable in ["127.0.0.1:3000", "[::1]:3000", "0.0.0.0:3000", "[::]:3000"] {
            assert_eq!(of(unreachable, false), None, "{unreachable}");
        }
    }

    #[test]
    fn a_nodes_url_has_a_host_a_port_and_no_tls() {
        let url: NodeUrl = "http://[FD00::1]:8080/".parse().expect("an address");
        assert_eq!((url.host(), url.port()), ("fd00::1", 8080));
        assert_eq!(url.authority(), "[fd00::1]:8080");
        let url: NodeUrl = "http://node-a".parse().expect("an address");
        assert_eq!(url.to_string(), "http://node-a:80");
        for text in [
            "",
            "node-a:3000",
            "https://node-a",
            "http://node-a/x",
            "http://me@node-a",
        ] {
            assert_eq!(text.parse::<NodeUrl>(), Err(NodeUrlError), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "lotzero.example",
            "lotzero.example:443",
            "ftp://lotzero.example",
            "https://",
            "https://:443",
            "https://lotzero.example/house",
            "https://lotzero.example/?x=1",
            "https://lotzero.example/#x",
            "https://me:secret@lotzero.example",
            "https://lotzero.example:99999",
            "https://lotzero.example:",
            "https://lot zero.example",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(PublicUrlError), "{text}");
        }
    }
}

/// Refuses what only a build for one machine can do.
///
/// # Errors
/// Always, with the reason.
#[cfg(not(feature = "local"))]
pub fn breaks_nothing(_asked: &str) -> Result<String, String> {
    Err(BREAKS_NOTHING.to_owned())
}

/// Why a build for production refuses what would break something.
#[cfg(not(feature = "local"))]
pub const BREAKS_NOTHING: &str =
    "this build is for production: it has no gates, and injects no faults";
