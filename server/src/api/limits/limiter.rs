//! Who may call now, and what replies say about it: `RateLimit-Policy` and `RateLimit` as in draft 11
//! of the HTTP API working group, and `Retry-After`.

use super::Quota;
use governor::RateLimiter;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// Checks between two looks at how many callers are remembered. A caller is forgotten once its quota
/// is whole again, so what is kept are those of the last window and of as many checks: about 50 bytes
/// each.
const CHECKS_PER_SWEEP: u32 = 4_096;

/// Callers whose wait is remembered at most.
const MAX_WAITING: usize = 10_000;

/// Callers that are never worth a sweep.
const FEW: usize = 1_024;

/// One kind of limit, for many callers.
pub struct Limiter<C: Clock = DefaultClock> {
    name: &'static str,
    requests: u32,
    seconds: u32,
    policy: HeaderValue,
    callers: RateLimiter<u128, DashMapStateStore<u128>, C, StateInformationMiddleware>,
    checks: AtomicU32,
    waiting: Mutex<HashMap<u128, C::Instant>>,
}

/// Where a caller stands after a call.
#[derive(Debug)]
pub struct Standing {
    policy: HeaderValue,
    state: Option<HeaderValue>,
    /// Seconds to wait, if the call was one too many.
    pub wait_s: Option<u32>,
}

impl Standing {
    /// Tells the caller.
    pub fn mark(self, headers: &mut HeaderMap) {
        headers.insert(POLICY, self.policy);
        headers.extend(self.state.map(|state| (STATE, state)));
    }
}

impl Limiter {
    /// A limiter; none if there is no bound.
    pub fn new(name: &'static str, quota: Quota) -> Option<Self> {
        Self::with_clock(name, quota, DefaultClock::default())
    }
}

impl<C: Clock> Limiter<C> {
    fn with_clock(name: &'static str, quota: Quota, clock: C) -> Option<Self> {
        let (requests, seconds) = quota.bound()?;
        let window = Duration::from_secs(u64::from(seconds.get()));
        let quota = governor::Quota::with_period(window / requests.get())?;
        let policy = format!("\"{name}\";q={requests};w={seconds}");
        let callers = RateLimiter::dashmap_with_clock(quota.allow_burst(requests), clock);
        Some(Self {
            name,
            requests: requests.get(),
            seconds: seconds.get(),
            policy: HeaderValue::from_str(&policy).ok()?,
            callers: callers.with_middleware::<StateInformationMiddleware>(),
            checks: AtomicU32::new(0),
            waiting: Mutex::default(),
        })
    }

    /// Counts a call.
    pub fn check(&self, caller: u128) -> Standing {
        self.sweep();
        match self.callers.check_key(&caller) {
            Ok(state) => self.standing(state.remaining_burst_capacity(), None),
            Err(until) => {
                let wait = until.wait_time_from(self.callers.clock().now());
                self.remember(caller, until.earliest_possible());
                self.standing(0, Some(whole_s(wait)))
            }
        }
    }

    /// Whether a caller has to wait since its last call that was one too many. This counts nothing.
    pub fn waits(&self, caller: u128) -> Option<Standing> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let until = *waiting.get(&caller)?;
        let now = self.callers.clock().now();
        if until <= now {
            waiting.remove(&caller);
            return None;
        }
        let wait: Duration = until.duration_since(now).into();
        Some(self.standing(0, Some(whole_s(wait))))
    }

    fn remember(&self, caller: u128, until: C::Instant) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING {
            waiting.clear();
        }
        waiting.insert(caller, until);
    }

    fn standing(&self, remaining: u32, wait_s: Option<u32>) -> Standing {
        // The time until the quota is whole: what is missing comes back evenly.
        let missing = u64::from(self.requests.saturating_sub(remaining));
        let whole_s = (missing * u64::from(self.seconds)).div_ceil(u64::from(self.requests));
        let state = format!("\"{}\";r={remaining};t={whole_s}", self.name);
        Standing {
            policy: self.policy.clone(),
            state: HeaderValue::from_str(&state).ok(),
            wait_s,
        }
    }

    fn sweep(&self) {
        let checks = self.checks.fetch_add(1, Ordering::Relaxed);
        if checks % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 && self.callers.len() > FEW {
            self.callers.retain_recent();
            self.callers.shrink_to_fit();
        }
    }
}

/// A time in whole seconds, none of which is too early.
fn whole_s(wait: Duration) -> u32 {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn limiter(quota: &str) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let quota = quota.parse().expect("a quota");
        let limiter = Limiter::with_clock("key", quota, clock.clone());
        (limiter.expect("a bound"), clock)
    }

    fn said(standing: Standing) -> [String; 2] {
        let mut headers = HeaderMap::new();
        standing.mark(&mut headers);
        [POLICY, STATE].map(|name| {
            let value = headers[name].to_str();
            value.expect("is text").to_owned()
        })
    }

    #[test]
    fn a_quota_is_used_up_and_comes_back_evenly() {
        let (limiter, clock) = limiter("4/2");
        for (left, whole) in [(3, 1), (2, 1), (1, 2), (0, 2)] {
            let standing = limiter.check(1);
            assert_eq!(standing.wait_s, None);
            let state = format!("\"key\";r={left};t={whole}");
            assert_eq!(said(standing), ["\"key\";q=4;w=2".to_owned(), state]);
        }
        let refused = limiter.check(1);
        assert_eq!(refused.wait_s, Some(1));
        assert_eq!(said(refused)[1], "\"key\";r=0;t=2");
        assert_eq!(
            limiter.waits(1).and_then(|standing| standing.wait_s),
            Some(1)
        );
        assert!(limiter.waits(2).is_none());
        // Another caller is another one.
        assert_eq!(limiter.check(2).wait_s, None);
        clock.advance(Duration::from_millis(500));
        assert!(limiter.waits(1).is_none(), "one is back");
        assert_eq!(limiter.check(1).wait_s, None, "one is back");
        assert_eq!(limiter.check(1).wait_s, Some(1), "and no more");
        clock.advance(Duration::from_secs(60));
        assert_eq!(
            said(limiter.check(1))[1],
            "\"key\";r=3;t=1",
            "never more than all"
        );
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let (limiter, clock) = limiter("2/1");
        for caller in 0..10_000 {
            limiter.check(caller);
        }
        assert!(limiter.callers.len() >= 10_000, "{}", limiter.callers.len());
        clock.advance(Duration::from_secs(10));
        for _ in 0..CHECKS_PER_SWEEP {
            limiter.check(1);
        }
        assert!(limiter.callers.len() <= 2, "{}", limiter.callers.len());
    }

    #[test]
    fn without_a_bound_there_is_no_limiter() {
        assert!(Limiter::new("key", Quota::OFF).is_none());
    }
}
