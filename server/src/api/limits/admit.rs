//! What every call goes through before anything of it is read: who calls, and whether they may now.

use super::super::Api;
use super::super::credentials::{Credentials, KeyHash, Tenant};
use super::super::problem::Problem;
use super::Limits;
use super::limiter::{Limiter, Standing};
use super::peer::{self, Peer};
use axum::extract::Request;
use http::StatusCode;

/// Routes without a key begin so.
const SANDBOX: &str = "/v1/sandbox";

/// Who calls.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Somebody with a key.
    Tenant(Tenant),
    /// Somebody at the sandbox.
    Visitor(Peer),
    /// Somebody else: why there is no tenant.
    Stranger(Problem),
}

/// Finds out who calls, for the routes to read, and where they stand. A call that is one too many is
/// answered by the problem.
pub async fn admit(api: &Api, request: &mut Request) -> (Result<(), Problem>, Option<Standing>) {
    let peer = peer::of(request, api.limits.proxies);
    let is_sandbox = is_sandbox(request.uri().path());
    let shown = Credentials::shown(request.headers());
    let (caller, standing) = who(api, peer, is_sandbox, shown).await;
    let wait_s = standing.as_ref().and_then(|standing| standing.wait_s);
    let admitted = match wait_s {
        Some(wait_s) => {
            let problem = Problem::new("rate_limited", "Too many requests in too short a time.");
            Err(problem.retry_after(wait_s))
        }
        None => {
            request.extensions_mut().insert(caller);
            Ok(())
        }
    };
    (admitted, standing)
}

/// Who calls, and where they stand once the call is counted.
type Counted = (Caller, Option<Standing>);

async fn who(api: &Api, peer: Peer, is_sandbox: bool, shown: Result<KeyHash, Problem>) -> Counted {
    let limits = &api.limits;
    if is_sandbox {
        return (Caller::Visitor(peer), counted(&limits.sandbox, peer.0));
    }
    let key = match shown {
        Ok(key) => key,
        Err(problem) => return stranger(limits, peer, problem),
    };
    if let Some(tenant) = api.credentials.remembered(&key) {
        return (Caller::Tenant(tenant), counted(&limits.key, key.number()));
    }
    let waits = limits.stranger.as_ref().and_then(|all| all.waits(peer.0));
    if let Some(standing) = waits {
        // Who has shown too many wrong keys waits before the ledger is asked about another.
        return (Caller::Visitor(peer), Some(standing));
    }
    match api.credentials.find(&key).await {
        Ok(tenant) => (Caller::Tenant(tenant), counted(&limits.key, key.number())),
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            stranger(limits, peer, problem)
        }
        // Nobody is to blame for a ledger that does not answer.
        Err(problem) => (Caller::Stranger(problem), None),
    }
}

fn is_sandbox(path: &str) -> bool {
    let rest = path.strip_prefix(SANDBOX);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn stranger(limits: &Limits, peer: Peer, problem: Problem) -> Counted {
    let standing = counted(&limits.stranger, peer.0);
    (Caller::Stranger(problem), standing)
}

fn counted(limiter: &Option<Limiter>, caller: u128) -> Option<Standing> {
    limiter.as_ref().map(|limiter| limiter.check(caller))
}
