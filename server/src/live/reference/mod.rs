//! `/docs/socket`: the protocol of the live socket, with every frame and close code.

mod examples;

use super::frame;
use super::limits::{self, Rate};
use super::session::{MAX_CHANNELS, MAX_CROWDS};
use super::state::LiveConfig;
use crate::plain::{escaped, page};
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use examples::Example;
use http::StatusCode;
use serde::Serialize;
use shared::live::{ErrorCode, MAX_FRAME_BYTES, ServerMessage, close_code};
use std::fmt::Write;

/// The page's route.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/docs/socket", get(socket))
}

async fn socket() -> Response {
    page(StatusCode::OK, "The live socket", &body())
}

/// Close codes: what each means, and what a client does.
const CLOSE_CODES: [(u16, &str, &str); 8] = [
    (
        close_code::PROTOCOL,
        "A frame broke the WebSocket protocol.",
        "Mend the client. It may come back.",
    ),
    (
        close_code::UNSUPPORTED,
        "Binary frames are not spoken here.",
        "Send text.",
    ),
    (
        close_code::INVALID_TEXT,
        "Text was not UTF-8.",
        "Mend the client.",
    ),
    (
        close_code::POLICY,
        "Too many malformed frames, or a flood that went on after it was refused; or the session \
         ended.",
        "Come back slower, or sign in again.",
    ),
    (
        close_code::TOO_BIG,
        "A frame was larger than 64 KiB.",
        "Send less.",
    ),
    (
        close_code::RESTART,
        "The server restarts.",
        "Wait a random 2 to 20 seconds, then come back.",
    ),
    (
        close_code::SLOW,
        "The reader was too slow for what must arrive, or took nothing for six seconds.",
        "Come back with the last place: nothing is lost.",
    ),
    (
        close_code::SILENT,
        "Nothing was heard for 8 seconds after a ping.",
        "Come back.",
    ),
];

/// Every error code.
const ERROR_CODES: [ErrorCode; 11] = [
    ErrorCode::Malformed,
    ErrorCode::NotFound,
    ErrorCode::SignIn,
    ErrorCode::InvalidText,
    ErrorCode::RateLimited,
    ErrorCode::TooManyChannels,
    ErrorCode::Forbidden,
    ErrorCode::InvalidDuration,
    ErrorCode::Muted,
    ErrorCode::SlowMode,
    ErrorCode::Unavailable,
];

/// Channels, with who may join and what they carry.
const CHANNELS: [(&str, &str, &str); 7] = [
    (
        "lot:{id}",
        "everybody",
        "The money events of a lot, in order, each once: epoch and offset. Ticks and units left.",
    ),
    (
        "chat:{id}",
        "everybody; signed-in people write",
        "Messages of the lot's room. The cursor is the message's id.",
    ),
    (
        "crowd:{id}",
        "everybody; who joins is counted as there",
        "Who is there, reactions, who is on top. The latest state wins.",
    ),
    ("floor", "everybody", "Cards of lots, and activity."),
    ("me", "whom the socket acts for", "Notices and the wallet."),
    (
        "vitals",
        "everybody, in a house on one machine; else not_found",
        "How the house is, once a second. The latest state wins.",
    ),
    (
        "runs",
        "everybody, in a house on one machine; else not_found",
        "How the node's latest proof run goes, five times a second. The latest state wins.",
    ),
];

fn body() -> String {
    let mut body = String::from(OPENING);
    table(
        &mut body,
        "Channels",
        ["Channel", "For", "Carries"],
        CHANNELS.map(|(name, whose, what)| [code(name), whose.into(), what.into()]),
    );
    body.push_str(RESUMING);
    body.push_str("<h2>What a client sends</h2>");
    for Example { frame, text } in examples::client_frames() {
        example(&mut body, &frame, text);
    }
    for (title, all) in [
        (
            "What the server answers and says",
            examples::server_frames(),
        ),
        ("Snapshots", examples::snapshots()),
        ("Pushes", examples::pushes()),
    ] {
        // Writing to a string cannot fail.
        let _written = write!(body, "<h2>{title}</h2>");
        for Example { frame, text } in all {
            example(&mut body, &examples::sent(frame), text);
        }
    }
    body.push_str("<h2>Panels</h2>");
    for Example { frame, text } in examples::panels() {
        example(&mut body, &frame, text);
    }
    table(
        &mut body,
        "Errors",
        ["Code", "In words", "May succeed later"],
        ERROR_CODES.map(error),
    );
    table(
        &mut body,
        "Close codes",
        ["Code", "Means", "What to do"],
        CLOSE_CODES
            .map(|(number, means, what)| [code(&number.to_string()), means.into(), what.into()]),
    );
    table(
        &mut body,
        "Limits",
        ["What", "How much", "Beyond it"],
        limits_of(&LiveConfig::default()),
    );
    body.push_str(CLOSING);
    body
}

const OPENING: &str = "<h1>The live socket</h1>\
    <p>Prices, bids, chat and reactions are pushed over one WebSocket at <code>/live</code>. Money \
    does not travel over it: bids and claims are HTTP requests with an idempotency key, by the pages \
    or by the <a href=\"/docs/api\">API</a>.</p>\
    <h2>Opening</h2>\
    <ul><li>Offer the subprotocol <code>lotzero.v1.json</code> (else 400). Frames are JSON texts of \
    at most 64 KiB.</li>\
    <li>The <code>Origin</code> must be the house's own (else 403). A native client sends the \
    house's address as its origin.</li>\
    <li><code>?as=lena</code> chooses among the people that the cookie may act for, \
    <code>?in=ap-northeast-1</code> the Region. Without a session the socket is a guest's.</li>\
    <li>503 says that there are too many sockets of this person, of this address, or in all; 426 \
    asks for version 13 of the protocol.</li></ul>\
    <p>A client's frame with an <code>id</code> gets one answer with that <code>id</code>. \
    Everything else is pushed. Every frame of the server carries <code>server_time</code> in \
    milliseconds since 1970.</p>";

const RESUMING: &str = "<h2>Missing nothing</h2>\
    <ol><li>Subscribe, take the snapshot, and note its epoch and offset.</li>\
    <li>An event whose offset is one more than the last follows. One that is not higher is a \
    repeat: drop it. Anything else is a gap: subscribe again without <code>since</code>.</li>\
    <li>After a cut come back by a random pause whose bound doubles from 200 ms to 20 s, and starts \
    anew after 30 s of a stable connection. Subscribe with the last place as <code>since</code>.\
    </li>\
    <li>The server remembers the last 512 events or two minutes of each lot. Beyond that, after \
    another epoch, and always in the room of a drop, whose claims have no place, it answers with a \
    snapshot.</li>\
    <li>Codes from 4000 to 4499 mean come back, from 4500 to 4999 stay away.</li></ol>\
    <p>What must arrive (events, notices, answers) arrives in order or the socket is closed with \
    1013. Answers come when they are ready, which may be in another order than the questions: the \
    <code>id</code> tells which is which. Of prices, crowds, cards and wallets only the latest is \
    kept for a slow reader. Messages and activity may be left out for one.</p>";

const CLOSING: &str = "<p>A native client of two hundred lines is in the project, \
    <code>server/examples/watch.rs</code>: <code>cargo run -p server --example watch -- \
    http://localhost:3000 lot_…</code></p>";

fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

fn example(body: &mut String, frame: &impl Serialize, text: &str) {
    let json = serde_json::to_string_pretty(frame).unwrap_or_default();
    let _written = write!(
        body,
        "<p>{text}</p><pre tabindex=\"0\"><code>{}</code></pre>",
        escaped(&json)
    );
}

fn table<const ROWS: usize>(
    body: &mut String,
    title: &str,
    heads: [&str; 3],
    rows: [[String; 3]; ROWS],
) {
    let [first, second, third] = heads;
    let _written = write!(
        body,
        "<h2>{title}</h2><div class=\"scrolls\" tabindex=\"0\"><table><thead><tr><th>{first}</th><th>{second}</th>\
         <th>{third}</th></tr></thead><tbody>"
    );
    for [first, second, third] in rows {
        let _written = write!(
            body,
            "<tr><td>{first}</td><td>{second}</td><td>{third}</td></tr>"
        );
    }
    body.push_str("</tbody></table></div>");
}

fn error(of: ErrorCode) -> [String; 3] {
    let name = serde_json::to_value(of).ok();
    let name = name.as_ref().and_then(|name| name.as_str());
    let ServerMessage::Error {
        message, temporary, ..
    } = frame::error(None, of)
    else {
        return Default::default();
    };
    let later = if temporary { "yes" } else { "no" };
    [code(name.unwrap_or_default()), message, later.into()]
}

fn limits_of(config: &LiveConfig) -> [[String; 3]; 9] {
    let row = |what: &str, much: String, beyond: &str| [what.into(), much, beyond.into()];
    let rate = |of: Rate| {
        let every = of.every.as_secs_f64();
        format!("one every {every} s, {} at once", of.burst)
    };
    [
        row(
            "Sockets of a person on a node",
            config.max_sockets_per_person.to_string(),
            "503 at the handshake",
        ),
        row(
            "Guests' sockets from an address",
            config.max_guest_sockets_per_address.to_string(),
            "503 at the handshake",
        ),
        row(
            "Channels of a socket",
            format!("{MAX_CHANNELS}, {MAX_CROWDS} of them crowds"),
            "too_many_channels",
        ),
        row(
            "Bytes of a client's frame",
            MAX_FRAME_BYTES.to_string(),
            "closed with 1009",
        ),
        row(
            "Frames of any kind",
            rate(limits::FRAMES),
            "rate_limited, then 1008",
        ),
        row(
            "Subscriptions",
            rate(limits::SUBSCRIPTIONS),
            "rate_limited, then 1008",
        ),
        row("Messages", rate(limits::CHAT), "rate_limited, then 1008"),
        row(
            "Reactions",
            rate(limits::REACTIONS),
            "rate_limited, then 1008",
        ),
        row(
            "Moderation",
            rate(limits::MODERATION),
            "rate_limited, then 1008",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::live::{Channel, SUBPROTOCOL};

    #[test]
    fn every_channel_is_on_the_page() {
        let named = |channel: &str| {
            let rows = CHANNELS.iter();
            rows.filter(|(name, ..)| *name == channel).count()
        };
        for channel in [Channel::Floor, Channel::Me, Channel::Vitals, Channel::Runs] {
            assert_eq!(named(&channel.to_string()), 1, "{channel}");
        }
        let body = body();
        for kind in ["vitals", "run"] {
            let shown = format!("\"kind\": \"{kind}\"");
            assert!(body.contains(&shown), "{kind} has an example");
        }
    }

    #[test]
    fn every_close_code_and_error_is_on_the_page() {
        let body = body();
        assert_eq!(CLOSE_CODES.map(|(number, ..)| number), close_code::ALL);
        for number in close_code::ALL {
            assert!(body.contains(&format!("<code>{number}</code>")), "{number}");
        }
        // A code that is not listed does not compile here, or fails.
        for of in ERROR_CODES {
            let place = match of {
                ErrorCode::Malformed => 0,
                ErrorCode::NotFound => 1,
                ErrorCode::SignIn => 2,
                ErrorCode::InvalidText => 3,
                ErrorCode::RateLimited => 4,
                ErrorCode::TooManyChannels => 5,
                ErrorCode::Forbidden => 6,
                ErrorCode::InvalidDuration => 7,
                ErrorCode::Muted => 8,
                ErrorCode::SlowMode => 9,
                ErrorCode::Unavailable => 10,
            };
            assert_eq!(ERROR_CODES[place], of);
        }
        assert!(body.contains("<code>slow_mode</code>") && body.contains(SUBPROTOCOL));
    }
}
