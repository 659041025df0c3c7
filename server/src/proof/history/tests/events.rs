use super::script::{
    Script, accepted, bid, caught, close, closed, english, leads, passes, proves_nothing, read,
    watch,
};
use super::simulated::Dice;
use crate::proof::history::{History, SightEvent, Verdict, events};
use proptest::prelude::*;

fn rooms(script: &Script) -> Verdict {
    events::rooms(&script.history)
}

/// A session joins at version 2 and sees two bids.
fn seen() -> Script {
    let mut script = Script::default();
    script
        .done(1, bid("a", 100), accepted("bid_a", Some(2)))
        .done(5, watch(None), english(2, Some(100), false))
        .done(1, bid("b", 110), accepted("bid_b", Some(3)))
        .saw(5, 3, leads(110))
        .saw(5, 4, leads(120));
    script
}

#[test]
fn a_right_view_passes() {
    let mut script = seen();
    script
        .done(6, watch(None), english(3, Some(110), false))
        .saw(6, 4, leads(120))
        .done(5, watch(Some(4)), crate::proof::history::Reply::Resumed)
        .done(1, close("c"), closed(Some(120), Some(5)))
        .saw(
            5,
            5,
            SightEvent::Closed {
                amount_minor: Some(120),
            },
        )
        .done(6, watch(None), english(5, Some(120), true));
    let verdict = rooms(&script);
    passes(&verdict);
    let Verdict::Valid { coverage, .. } = verdict else {
        return;
    };
    let figures = ["frames", "snapshots", "resumed", "views"].map(|it| coverage[it]);
    assert_eq!(figures, [4, 3, 1, 2]);
}

#[test]
fn duplicates_gaps_and_late_frames_are_caught() {
    let mut twice = seen();
    twice.saw(5, 4, leads(120));
    caught(&rooms(&twice), "a frame came twice");
    let mut late = seen();
    late.saw(5, 3, leads(110));
    caught(&rooms(&late), "a frame came late");
    let mut gap = seen();
    gap.saw(5, 6, leads(140));
    caught(&rooms(&gap), "a frame was left out");
    let mut early = seen();
    early.saw(9, 5, leads(130));
    caught(&rooms(&early), "a frame before any snapshot");
}

#[test]
fn a_snapshot_that_goes_back_is_caught() {
    let mut script = seen();
    script.done(5, watch(None), english(3, Some(110), false));
    caught(&rooms(&script), "a snapshot is older");
}

#[test]
fn two_histories_are_caught() {
    let mut other = seen();
    other
        .done(6, watch(None), english(3, Some(110), false))
        .saw(6, 4, leads(125));
    caught(&rooms(&other), "different frames at one place");
    let mut told = seen();
    told.done(1, bid("c", 130), accepted("bid_c", Some(5)))
        .saw(5, 5, leads(140));
    caught(&rooms(&told), "differs from the answer");
    let mut state = seen();
    state.done(6, read(), english(4, Some(110), false));
    caught(&rooms(&state), "a read differs from the frame");
    let mut double = seen();
    double.done(1, bid("c", 130), accepted("bid_c", Some(3)));
    caught(&rooms(&double), "two commands were answered one version");
}

#[test]
fn bids_that_do_not_rise_and_frames_after_the_close_are_caught() {
    let mut low = seen();
    low.saw(5, 5, leads(120));
    caught(&rooms(&low), "a bid does not rise");
    let mut after = seen();
    after
        .saw(5, 5, SightEvent::Closed { amount_minor: None })
        .saw(5, 6, leads(130));
    caught(&rooms(&after), "a frame follows the close");
}

#[test]
fn own_writes_are_read() {
    let mut right = seen();
    right.done(1, read(), english(3, Some(110), false));
    passes(&events::own_writes(&right.history));
    let mut stale = seen();
    stale.done(1, read(), english(2, Some(100), false));
    caught(
        &events::own_writes(&stale.history),
        "does not see what it wrote",
    );
    // Another session may be behind; it only must not go back.
    let mut other = right;
    other.done(8, read(), english(2, Some(100), false));
    passes(&events::own_writes(&other.history));
    other.done(8, read(), english(4, Some(120), false)).done(
        8,
        read(),
        english(3, Some(110), false),
    );
    caught(
        &events::own_writes(&other.history),
        "an older state than before",
    );
}

#[test]
fn too_little_is_invalid() {
    proves_nothing(&rooms(&Script::default()), "frames: 0");
    proves_nothing(
        &events::own_writes(&seen().history),
        "reads after an own write: 0",
    );
}

/// Sessions that join a lot at random moments and get every frame from then on.
fn watched(dice: &mut Dice) -> History {
    let mut script = Script::default();
    let mut joined = Vec::new();
    for offset in 2..30 {
        let session = dice.small(9);
        if !joined.contains(&session) {
            let high = Some(offset - 1);
            script.done(session, watch(None), english(offset - 1, high, false));
            joined.push(session);
        }
        for session in &joined {
            script.saw(*session, offset, leads(offset));
        }
    }
    script.history
}

proptest! {
    #[test]
    fn views_that_are_right_pass_and_one_frame_out_of_place_is_caught(seed: u64) {
        let mut dice = Dice(seed);
        let mut history = watched(&mut dice);
        passes(&events::rooms(&history));
        let place = usize::try_from(dice.below(10)).expect("an index");
        let session = history.sightings[place].session;
        let next = (place + 1..history.sightings.len())
            .find(|it| history.sightings[*it].session == session)
            .expect("every session sees the end");
        match dice.below(3) {
            0 => {
                history.sightings.remove(place);
            }
            1 => {
                let sight = history.sightings[place].sight;
                history.sightings[next].sight = sight;
            }
            _ => {
                let sight = history.sightings[place].sight;
                history.sightings[place].sight = history.sightings[next].sight;
                history.sightings[next].sight = sight;
            }
        }
        caught(&events::rooms(&history), "a frame");
    }
}
