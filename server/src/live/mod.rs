//! All sockets.
//!
//! An event reaches a screen like this: the ledger's commit, or the stream on every other node,
//! calls [`Hub::deliver`]; the lot's log puts it in order, once; it is encoded once; each listener
//! gets the shared bytes into one of three bounded lanes; a few loops write for all sockets.
//!
//! A subscription is put on its channel first and hears nothing yet, then its snapshot is read,
//! then it gets the snapshot and everything after it under one lock. So there is no moment in
//! which something could be missed or come twice. A client that comes back with its last offset
//! gets what it missed from the ring, without a read.

mod board;
mod channel;
mod connection;
mod counters;
mod doors;
mod frame;
mod history;
mod hub;
mod lanes;
mod limits;
mod log;
mod moderate;
mod origin;
mod outlet;
mod queues;
mod reference;
mod rooms;
mod seen;
mod session;
mod snapshots;
mod state;
mod stock;
mod ticks;
mod upgrade;
mod watch;
mod wheel;

pub use board::{Board, Told};
pub use counters::{Count, Counters};
pub use frame::Frame;
pub use history::History;
pub use hub::Hub;
pub use lanes::{ConnectionId, Lanes};
pub use origin::Origins;
pub use queues::{Close, Key, Lane};
pub use session::{MAX_CHANNELS, MAX_CROWDS};
pub use state::{LiveConfig, LiveParts, LiveState};
pub use upgrade::upgrade;

use axum::Router;
use axum::routing::get;

/// The routes of the live socket: `/live`, and `/docs/socket`, which tells how to speak to it.
pub fn routes(live: LiveState) -> Router {
    Router::new()
        .route("/live", get(upgrade))
        .merge(reference::routes())
        .with_state(live)
}
