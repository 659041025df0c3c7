//! Rooms on the table: reading back, slow mode, removing, muting, reactions by the thousand, and a
//! table that fails.
#![cfg(feature = "local")]

#[path = "support/store.rs"]
mod store;

use futures::StreamExt;
use server::clock::Clock;
use server::firehose::{Firehose, FirehoseConfig, Moderated, Moderator, Posted, REACTION_ROUND};
use server::ids;
use server::local::DynamoGate;
use server::local::dynamo_gate::{Fault, Rule};
use shared::chat::{Moderation, Silence};
use shared::view::{ChatMessage, Person, Reaction};
use shared::{LotId, MessageId, Region, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Store;
use uuid::Uuid;

fn person(n: u128, handle: &str) -> Person {
    Person {
        id: shared::PrincipalId::from_uuid(Uuid::from_u128(n)),
        handle: handle.to_owned(),
        name: handle.to_uppercase(),
        simulated: false,
    }
}

fn said(who: &Person, client_id: &str, at: Timestamp) -> ChatMessage {
    ChatMessage {
        id: ids::message(),
        client_id: client_id.to_owned(),
        who: who.clone(),
        region: Region::Tokyo,
        text: format!("hello {client_id}"),
        at,
    }
}

async fn node(endpoint: String) -> Firehose {
    let config = FirehoseConfig {
        table: "lotzero-test".to_owned(),
        endpoint: Some(endpoint),
    };
    let clock = Arc::new(Clock::new());
    let firehose = Firehose::connect(config, clock).await;
    firehose.ensure_table().await.expect("table");
    firehose
}

/// A gate before a store, and the address of its door.
async fn gate_before(store: &Store) -> (DynamoGate, String) {
    let gate = DynamoGate::before(&store.endpoint(), 1, 1);
    let door = gate.door("node").await.expect("a door");
    (gate, door)
}

/// Calls at a gate since this was last asked.
fn calls(gate: &DynamoGate) -> u64 {
    gate.take_calls().into_values().sum()
}

fn moderator(moderates: bool, person: &Person) -> Moderator {
    Moderator {
        person: person.clone(),
        moderates,
    }
}

async fn post(firehose: &Firehose, lot: LotId, message: &ChatMessage, slow_s: u32) -> Posted {
    let posted = firehose.post_message(lot, message.clone(), Some(slow_s));
    posted.await.expect("answers")
}

fn texts(messages: &[ChatMessage]) -> Vec<&str> {
    messages.iter().map(|m| m.client_id.as_str()).collect()
}

#[tokio::test]
async fn history_is_read_back_page_by_page_and_without_what_was_removed() {
    let store = Store::start();
    let firehose = node(store.endpoint()).await;
    let (lot, ada) = (ids::lot(), person(1, "ada"));
    let mut all = Vec::new();
    for n in 0..25 {
        let message = said(&ada, &n.to_string(), Timestamp(n));
        assert_eq!(
            post(&firehose, lot, &message, 0).await,
            Posted::New(message.clone())
        );
        all.push(message);
    }
    // Twelve in a row are more than a page.
    for gone in &all[5..17] {
        let remove = Moderation::Remove { message: gone.id };
        let by = moderator(false, &ada);
        let done = firehose.moderate(lot, &by, &remove).await;
        assert_eq!(done.expect("answers"), Moderated::Done);
    }
    let mut before: Option<MessageId> = None;
    let mut pages = Vec::new();
    loop {
        let page = firehose.messages(lot, before, 5).await.expect("reads");
        pages.push(page.messages);
        before = page.before;
        if before.is_none() {
            break;
        }
    }
    let read: Vec<_> = pages.iter().map(|page| texts(page)).collect();
    let expected = [
        vec!["20", "21", "22", "23", "24"],
        vec!["2", "3", "4", "17", "18", "19"][1..].to_vec(),
        vec!["0", "1", "2"],
    ];
    assert_eq!(read, expected);
    let elsewhere = firehose.messages(ids::lot(), Some(all[9].id), 5).await;
    assert!(elsewhere.expect("reads").messages.is_empty());
}

#[tokio::test]
async fn slow_mode_lets_one_of_two_sockets_pass_and_names_the_moment() {
    let store = Store::start();
    // Two nodes, and one person who talks on both at once.
    let (one, other) = (node(store.endpoint()).await, node(store.endpoint()).await);
    let (lot, ada, bo) = (ids::lot(), person(1, "ada"), person(2, "bo"));
    for round in 0..10_i64 {
        let at = Timestamp(1_000_000 + round * 30_000);
        let (a, b) = (
            said(&ada, &format!("a{round}"), at),
            said(&ada, &format!("b{round}"), at),
        );
        let both = tokio::join!(post(&one, lot, &a, 30), post(&other, lot, &b, 30));
        let until = at.plus_ms(30_000);
        let silenced = Posted::Silenced(Silence::Slow { until });
        let passed = [&both.0, &both.1];
        let new = passed
            .iter()
            .filter(|p| matches!(p, Posted::New(_)))
            .count();
        assert_eq!(new, 1, "{both:?}");
        assert!(passed.contains(&&silenced), "{both:?}");
    }
    let at = Timestamp(1_000_001);
    let message = said(&bo, "c", at);
    assert_eq!(
        post(&one, lot, &message, 30).await,
        Posted::New(message.clone())
    );
    // What was taken is told again, however slow the room is.
    let again = Posted::Before(Some(message.clone()));
    assert_eq!(post(&other, lot, &message, 300).await, again);
}

#[tokio::test]
async fn a_removed_message_leaves_no_text_and_cannot_be_said_again() {
    let store = Store::start();
    let firehose = node(store.endpoint()).await;
    let lot = ids::lot();
    let (ada, bo, seller) = (person(1, "ada"), person(2, "bo"), person(3, "seller"));
    let message = said(&ada, "c1", Timestamp(5));
    post(&firehose, lot, &message, 0).await;
    let remove = Moderation::Remove {
        message: message.id,
    };
    let rows = [
        (moderator(false, &bo), lot, Moderated::Forbidden),
        (moderator(true, &seller), ids::lot(), Moderated::NotFound),
        (moderator(true, &seller), lot, Moderated::Done),
        (moderator(true, &seller), lot, Moderated::Done),
        (moderator(false, &ada), lot, Moderated::Done),
        (moderator(false, &bo), lot, Moderated::Forbidden),
    ];
    for (by, lot, expected) in rows {
        let done = firehose.moderate(lot, &by, &remove).await;
        assert_eq!(done.expect("answers"), expected, "{by:?}");
    }
    assert_eq!(
        post(&firehose, lot, &message, 0).await,
        Posted::Before(None)
    );
    let recent = firehose.messages(lot, None, 9).await.expect("reads");
    assert!(recent.messages.is_empty());
    assert!(!store.holds("hello c1"), "the text is gone from the table");
    let audit = firehose.audit(lot).await.expect("reads");
    assert_eq!(audit.len(), 1, "once, however often it was asked for");
    assert_eq!((&audit[0].by, &audit[0].what), (&seller, &remove));
    assert_eq!(audit[0].whom.as_ref(), Some(&ada));
}

#[tokio::test]
async fn who_is_muted_is_silent_on_every_node_until_it_ends() {
    let store = Store::start();
    let (one, other) = (node(store.endpoint()).await, node(store.endpoint()).await);
    let lot = ids::lot();
    let (ada, bo, seller) = (person(1, "ada"), person(2, "bo"), person(3, "seller"));
    let now = Clock::new().now();
    let message = said(&ada, "c1", now);
    post(&one, lot, &message, 0).await;
    let (by, message_id) = (moderator(true, &seller), message.id);
    let mute = |seconds| Moderation::Mute {
        message: message_id,
        seconds,
    };
    let refused = one
        .moderate(lot, &moderator(false, &bo), &mute(Some(60)))
        .await;
    assert_eq!(refused.expect("answers"), Moderated::Forbidden);
    let done = one.moderate(lot, &by, &mute(Some(60))).await;
    assert_eq!(done.expect("answers"), Moderated::Done);
    let muted = other.muted(lot).await.expect("reads");
    assert_eq!(muted.len(), 1);
    let until = muted[0].until.expect("it ends");
    let lasts = until.since_ms(now);
    assert!((60_000..65_000).contains(&lasts), "{lasts} ms");
    let early = said(&ada, "c2", until.plus_ms(-1));
    let silenced = Posted::Silenced(Silence::Muted { until: Some(until) });
    assert_eq!(post(&other, lot, &early, 0).await, silenced);
    // Another room, and another person.
    let (elsewhere, theirs) = (said(&ada, "c2", now), said(&bo, "c2", now));
    assert_eq!(
        post(&other, ids::lot(), &elsewhere, 0).await,
        Posted::New(elsewhere)
    );
    assert_eq!(post(&other, lot, &theirs, 0).await, Posted::New(theirs));
    let late = said(&ada, "c3", until);
    assert_eq!(post(&other, lot, &late, 0).await, Posted::New(late));

    let done = one.moderate(lot, &by, &mute(None)).await;
    assert_eq!(done.expect("answers"), Moderated::Done);
    let for_good = Posted::Silenced(Silence::Muted { until: None });
    let much_later = said(&ada, "c4", now.plus_ms(99_000_000_000));
    assert_eq!(post(&other, lot, &much_later, 0).await, for_good);
    let unmute = Moderation::Unmute { who: ada.id };
    let done = other.moderate(lot, &by, &unmute).await;
    assert_eq!(done.expect("answers"), Moderated::Done);
    let done = other.moderate(lot, &by, &unmute).await;
    assert_eq!(done.expect("answers"), Moderated::NotFound);
    assert_eq!(one.muted(lot).await.expect("reads"), []);
    assert_eq!(
        post(&one, lot, &much_later, 0).await,
        Posted::New(much_later)
    );
    let audit = one.audit(lot).await.expect("reads");
    let done: Vec<_> = audit.iter().map(|line| line.what.clone()).collect();
    assert_eq!(done, [unmute, mute(None), mute(Some(60))], "newest first");
    assert!(audit.iter().all(|line| line.whom.as_ref() == Some(&ada)));
}

#[tokio::test]
async fn thousands_of_reactions_from_two_nodes_sum_exactly_in_a_few_writes() {
    const EACH: u64 = 1_500;
    let store = Store::start();
    let (gate, door) = gate_before(&store).await;
    let nodes = [node(door.clone()).await, node(door).await];
    let lot = ids::lot();
    gate.take_calls();
    let begun = Instant::now();
    let mut all = Vec::new();
    for n in 0..EACH {
        for node in &nodes {
            let reaction = Reaction::ALL[usize::try_from(n % 3).expect("small")];
            all.push(node.react(lot, reaction));
        }
    }
    futures::future::try_join_all(all).await.expect("all count");
    let rounds = begun.elapsed().as_millis() / REACTION_ROUND.as_millis() + 2;
    let writes = calls(&gate);
    assert!(
        writes <= 2 * u64::try_from(rounds).expect("few"),
        "{writes} writes"
    );
    let totals = nodes[0].reactions(lot).await.expect("reads");
    let expected = Reaction::ALL[..3].iter().map(|r| (*r, 2 * EACH / 3));
    assert_eq!(totals, expected.collect());
    // One after another there is more than one write, and so more than one shard.
    for _ in 0..6 {
        nodes[1].react(lot, Reaction::Laugh).await.expect("counts");
    }
    let totals = nodes[0].reactions(lot).await.expect("reads");
    assert_eq!(totals.get(&Reaction::Laugh), Some(&6));
    let other = nodes[0].reactions(ids::lot()).await.expect("reads");
    assert!(other.is_empty());
}

#[tokio::test]
async fn a_reaction_whose_answer_is_lost_counts_once() {
    let store = Store::start();
    let (gate, door) = gate_before(&store).await;
    let firehose = node(door).await;
    let lot = ids::lot();
    gate.add_fault(Rule::all(Fault::AnswerLost));
    let tried = firehose.react(lot, Reaction::Heart).await;
    assert!(tried.is_err(), "nobody knows");
    gate.heal();
    let totals = firehose.reactions(lot).await.expect("reads");
    assert_eq!(
        totals.get(&Reaction::Heart),
        Some(&1),
        "retries add nothing"
    );
}

#[tokio::test]
async fn a_message_whose_answer_is_lost_is_there_once_under_its_client_id() {
    let store = Store::start();
    let (gate, door) = gate_before(&store).await;
    let firehose = node(door).await;
    let (lot, ada) = (ids::lot(), person(1, "ada"));
    let message = said(&ada, "c1", Timestamp(5));
    gate.add_fault(Rule::all(Fault::AnswerLost));
    let tried = firehose.post_message(lot, message.clone(), Some(0)).await;
    assert!(tried.is_err(), "nobody knows");
    gate.heal();
    let again = said(&ada, "c1", Timestamp(9));
    let told = post(&firehose, lot, &again, 0).await;
    assert_eq!(told, Posted::Before(Some(message.clone())));
    let recent = firehose.messages(lot, None, 9).await.expect("reads");
    assert_eq!(recent.messages, [message]);
}

#[tokio::test]
async fn a_table_that_fails_is_asked_hardly_more_than_a_healthy_one() {
    const CALLS: u64 = 300;
    let store = Store::start();
    let (gate, door) = gate_before(&store).await;
    for fault in [Fault::Broken, Fault::Throttled] {
        let firehose = node(door.clone()).await;
        let lot = ids::lot();
        let read = async || {
            let reads = (0..CALLS).map(|_| firehose.messages(lot, None, 5));
            let reads = futures::stream::iter(reads).buffer_unordered(30);
            reads.for_each(async |_answer| {}).await;
            calls(&gate)
        };
        gate.take_calls();
        assert_eq!(read().await, CALLS, "one request each while all is well");
        gate.add_fault(Rule::all(fault));
        let asked = read().await;
        assert!(asked <= CALLS + CALLS / 10, "{fault:?}: {asked} of {CALLS}");
        gate.heal();
        assert!(
            firehose.messages(lot, None, 5).await.is_ok(),
            "and recovers"
        );
    }
}

#[tokio::test]
async fn rooms_leave_a_broken_table_alone_and_come_back_by_themselves() {
    const CALLS: u64 = 300;
    let store = Store::start();
    let (gate, door) = gate_before(&store).await;
    let firehose = node(door).await;
    let (lot, ada) = (ids::lot(), person(1, "ada"));
    let social = &firehose as &dyn app::ports::Social;
    let message = said(&ada, "c1", Timestamp(5));
    let posted = firehose.say(lot, message.clone(), true).await;
    assert_eq!(posted.expect("posts"), Posted::New(message));
    gate.add_fault(Rule::all(Fault::Broken));
    gate.take_calls();
    for n in 0..CALLS {
        let message = said(&ada, &format!("d{n}"), Timestamp(6));
        assert!(firehose.say(lot, message, true).await.is_err());
        assert!(social.chat(lot, None).await.is_err());
    }
    let asked = calls(&gate);
    assert!(asked < CALLS / 5, "{asked} requests of {CALLS} messages");
    gate.heal();
    let back = Instant::now();
    while social.chat(lot, None).await.is_err() {
        assert!(
            back.elapsed() < Duration::from_secs(5),
            "it never came back"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let message = said(&ada, "d1", Timestamp(7));
    let posted = firehose.say(lot, message.clone(), true).await;
    assert_eq!(posted.expect("posts"), Posted::New(message));
}

#[tokio::test]
async fn a_table_that_hangs_holds_up_no_page() {
    let store = Store::start();
    let (gate, door) = gate_before(&store).await;
    let firehose = node(door).await;
    let lot = ids::lot();
    let social = &firehose as &dyn app::ports::Social;
    gate.add_fault(Rule::all(Fault::Hangs));
    for _ in 0..2 {
        let begun = Instant::now();
        let both = tokio::join!(social.chat(lot, None), social.crowd(lot));
        assert!(both.0.is_err() && both.1.is_err());
        assert!(begun.elapsed() < Duration::from_millis(1_900));
    }
    // Each of them counted; after one more nobody waits.
    assert!(social.feed(None, 5).await.is_err());
    let begun = Instant::now();
    assert!(social.chat(lot, None).await.is_err());
    assert!(begun.elapsed() < Duration::from_millis(200), "left alone");
}
