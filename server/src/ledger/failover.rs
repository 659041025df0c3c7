//! Which of the database's endpoints a node talks to first.
//!
//! A node has an endpoint of its own, home, and peers in other Regions that lead to the same rows.
//! A command whose try fails goes on at the next endpoint by itself; this is about where the *next*
//! command begins, so that not each of them has to find out again. The rules, and what they cost:
//!
//! | what happens | what follows |
//! |---|---|
//! | nothing but refusals for [`REFUSED_FOR`] | the next endpoint becomes the first |
//! | nothing but silence for [`HUNG_FOR`], after a try's own 1.5 s | the same |
//! | anything answered in between, a lost race too | counting begins anew |
//! | a switch less than [`MIN_STAY`] ago | no switch: an endpoint that comes and goes is not followed |
//! | home answers for [`HOME_WELL_FOR`] | back to it |
//!
//! Whatever was under way at the endpoint that was lost is resolved by its key where it goes on.

use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Refusals without any answer before a switch.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Silence without any answer before a switch.
const HUNG_FOR: Duration = Duration::from_secs(3);

/// From one switch to the next.
const MIN_STAY: Duration = Duration::from_secs(10);

/// How long home must answer every probe before a node comes back to it.
const HOME_WELL_FOR: Duration = Duration::from_secs(5);

/// The index of the endpoint of the node's own Region.
pub const HOME: usize = 0;

/// What a try learned about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It answered, be it with an error: a lost race is an answer.
    Answer,
    /// It turned the connection away, or cut it.
    Refusal,
    /// It said nothing in time.
    Silence,
}

/// A stretch in which the first endpoint has not answered.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Instant,
    refused: bool,
}

#[derive(Debug)]
struct State {
    first: usize,
    trouble: Option<Trouble>,
    switched: Option<Instant>,
    switches: u64,
    home_well: Option<Instant>,
}

/// How an endpoint was chosen, for people who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The endpoint that commands begin at: 0 is home.
    pub first: usize,
    /// Endpoints there are.
    pub endpoints: usize,
    /// How often the first one changed.
    pub switches: u64,
    /// Whether the first one has not answered since something was last asked of it.
    pub in_trouble: bool,
}

impl Display for Standing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let trouble = if self.in_trouble { ", in trouble" } else { "" };
        write!(
            f,
            "endpoint {} of {}, {} switches{trouble}",
            self.first + 1,
            self.endpoints,
            self.switches
        )
    }
}

/// Chooses the endpoint that commands begin at.
#[derive(Debug)]
pub struct Failover {
    count: usize,
    state: Mutex<State>,
}

impl Failover {
    /// A choice among so many endpoints, at least one.
    #[must_use]
    pub fn among(count: usize) -> Self {
        Self {
            count: count.max(1),
            state: Mutex::new(State {
                first: HOME,
                trouble: None,
                switched: None,
                switches: 0,
                home_well: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint of a command's try: the first one, and the next for each time that an endpoint
    /// has failed this command.
    #[must_use]
    pub fn endpoint(&self, failures: usize) -> usize {
        (self.state().first + failures) % self.count
    }

    /// Whether somebody should ask the endpoints: the first one is in trouble or is not home.
    #[must_use]
    pub fn wants_probes(&self) -> bool {
        let state = self.state();
        self.count > 1 && (state.first != HOME || state.trouble.is_some())
    }

    /// Takes in what a try at an endpoint learned.
    pub fn hear(&self, endpoint: usize, heard: Heard, now: Instant) {
        let mut state = self.state();
        if endpoint == HOME && state.first != HOME {
            self.hear_of_home(&mut state, heard, now);
        }
        if endpoint != state.first || self.count == 1 {
            return;
        }
        let refused = match heard {
            Heard::Answer => {
                state.trouble = None;
                return;
            }
            Heard::Refusal => true,
            Heard::Silence => false,
        };
        let trouble = state.trouble.get_or_insert(Trouble {
            since: now,
            refused,
        });
        // One refusal among silence proves nothing: the longer time counts.
        trouble.refused &= refused;
        let patience = if trouble.refused {
            REFUSED_FOR
        } else {
            HUNG_FOR
        };
        if now.duration_since(trouble.since) >= patience && may_switch(&state, now) {
            let next = (state.first + 1) % self.count;
            switch(&mut state, next, now);
        }
    }

    fn hear_of_home(&self, state: &mut State, heard: Heard, now: Instant) {
        match heard {
            Heard::Refusal | Heard::Silence => state.home_well = None,
            Heard::Answer => {
                let since = *state.home_well.get_or_insert(now);
                if now.duration_since(since) >= HOME_WELL_FOR && may_switch(state, now) {
                    switch(state, HOME, now);
                }
            }
        }
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let state = self.state();
        Standing {
            first: state.first,
            endpoints: self.count,
            switches: state.switches,
            in_trouble: state.trouble.is_some(),
        }
    }
}

fn may_switch(state: &State, now: Instant) -> bool {
    state
        .switched
        .is_none_or(|switched| now.duration_since(switched) >= MIN_STAY)
}

fn switch(state: &mut State, to: usize, now: Instant) {
    tracing::warn!(from = state.first, to, "commands begin at another endpoint");
    state.first = to;
    state.trouble = None;
    state.home_well = None;
    state.switched = Some(now);
    state.switches += 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Tells `heard` every 100 ms for `time`; answers when it ends.
    fn tell(
        failover: &Failover,
        endpoint: usize,
        heard: Heard,
        from: Instant,
        time: Duration,
    ) -> Instant {
        let mut now = from;
        while now < from + time {
            failover.hear(endpoint, heard, now);
            now += ms(100);
        }
        failover.hear(endpoint, heard, from + time);
        from + time
    }

    #[test]
    fn refusals_switch_after_a_second_and_silence_after_three() {
        for (heard, before, after) in [
            (Heard::Refusal, ms(900), ms(1_000)),
            (Heard::Silence, ms(2_900), ms(3_000)),
        ] {
            let (failover, start) = (Failover::among(2), Instant::now());
            tell(&failover, 0, heard, start, before);
            assert_eq!(failover.endpoint(0), 0, "{heard:?}: not yet");
            failover.hear(0, heard, start + after);
            assert_eq!(failover.endpoint(0), 1, "{heard:?}");
            assert_eq!(failover.endpoint(1), 0, "a failed try goes on at home");
        }
    }

    #[test]
    fn one_answer_in_between_and_counting_begins_anew() {
        let (failover, start) = (Failover::among(2), Instant::now());
        let mut now = start;
        for _ in 0..10 {
            now = tell(&failover, 0, Heard::Refusal, now, ms(900));
            failover.hear(0, Heard::Answer, now);
        }
        assert_eq!(failover.standing().switches, 0);
        assert!(!failover.wants_probes());
    }

    #[test]
    fn it_comes_home_once_home_has_answered_for_a_while() {
        let (failover, start) = (Failover::among(2), Instant::now());
        let now = tell(&failover, 0, Heard::Refusal, start, ms(1_000));
        assert!(failover.wants_probes());
        let now = tell(&failover, 0, Heard::Answer, now + ms(1_000), ms(4_900));
        failover.hear(0, Heard::Refusal, now);
        let now = tell(&failover, 0, Heard::Answer, now + ms(100), ms(4_900));
        assert_eq!(
            failover.endpoint(0),
            1,
            "a refusal in between began it anew"
        );
        failover.hear(0, Heard::Answer, now + ms(100));
        assert_eq!(failover.endpoint(0), 0);
        assert!(!failover.wants_probes());
        assert_eq!(failover.standing().switches, 2);
    }

    #[test]
    fn an_endpoint_that_comes_and_goes_is_not_followed() {
        let (failover, start) = (Failover::among(2), Instant::now());
        let mut now = start;
        let mut switches = Vec::new();
        for _ in 0..60 {
            let before = failover.standing().switches;
            let first = failover.endpoint(0);
            // Both are lost in turn, so that something always asks for a switch.
            now = tell(&failover, first, Heard::Refusal, now, ms(1_000));
            if failover.standing().switches > before {
                switches.push(now);
            }
        }
        assert!(switches.len() >= 5);
        let gaps = switches
            .windows(2)
            .map(|pair| pair[1].duration_since(pair[0]));
        assert!(gaps.min().expect("some") >= MIN_STAY);
    }

    #[test]
    fn a_single_endpoint_has_nowhere_to_go() {
        let (failover, start) = (Failover::among(1), Instant::now());
        tell(&failover, 0, Heard::Refusal, start, ms(60_000));
        assert_eq!((failover.endpoint(0), failover.endpoint(7)), (0, 0));
        assert!(!failover.wants_probes());
    }

    proptest! {
        /// Whatever is heard, two switches are never closer than the least stay.
        #[test]
        fn switches_keep_their_distance(
            heard in proptest::collection::vec((0_usize..3, 0_u8..3, 1_u64..2_000), 1..300)
        ) {
            let failover = Failover::among(3);
            let (mut now, mut last) = (Instant::now(), None::<Instant>);
            for (endpoint, what, pause) in heard {
                now += ms(pause);
                let what = match what {
                    0 => Heard::Answer,
                    1 => Heard::Refusal,
                    _ => Heard::Silence,
                };
                let before = failover.standing().switches;
                failover.hear(endpoint, what, now);
                if failover.standing().switches > before {
                    if let Some(last) = last {
                        prop_assert!(now.duration_since(last) >= MIN_STAY);
                    }
                    last = Some(now);
                }
            }
        }
    }
}
