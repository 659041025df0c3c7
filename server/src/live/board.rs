//! Channels that only a house on one machine has: how it is, and its proof runs.
//!
//! What they tell is known elsewhere and comes as JSON; here it only travels. It is not among
//! [`shared::live::Push`], so that a browser that shows no panel does not load what reads it.

use super::frame::{self, Frame};
use super::hub::Hub;
use super::queues::{Key, Lane};
use super::state::LiveState;
use crate::events::Audience;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use shared::Timestamp;
use shared::live::{Channel, ErrorCode};
use std::sync::Arc;

/// What is told on a panel's channel: the whole state, so the latest wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Told {
    /// On `vitals`: how the house is.
    Vitals {
        /// At one moment.
        vitals: Value,
    },
    /// On `runs`: how the node's latest proof run goes.
    Run {
        /// Without its report; `None` if there was none since the node began.
        run: Option<Value>,
    },
}

/// Who knows what panels show.
pub trait Board: Send + Sync {
    /// What a channel's snapshot tells; `None` if it is not known now.
    fn now(&self, channel: Channel) -> BoxFuture<'_, Option<Told>>;
}

/// A frame that tells it, in the words of the protocol.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Telling {
    server_time: Timestamp,
    #[serde(flatten)]
    as_what: TellingAs,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum TellingAs {
    Snapshot { channel: Channel, snapshot: Told },
    Push { channel: Channel, push: Told },
}

impl Telling {
    /// A channel's snapshot.
    pub fn snapshot(server_time: Timestamp, channel: Channel, snapshot: Told) -> Self {
        Self {
            server_time,
            as_what: TellingAs::Snapshot { channel, snapshot },
        }
    }

    /// A change on a channel.
    pub fn push(server_time: Timestamp, channel: Channel, push: Told) -> Self {
        Self {
            server_time,
            as_what: TellingAs::Push { channel, push },
        }
    }
}

impl Hub {
    /// Tells everybody on a panel's channel; the latest wins.
    pub fn tell(&self, channel: Channel, told: Told) {
        let lane = Lane::Latest(Key::Panel(channel), 0);
        self.push_frame(Audience::Channel(channel), lane, |clock| {
            frame::json(&Telling::push(clock.now(), channel, told))
        });
    }
}

impl LiveState {
    /// Says who knows what panels show. Once only; without it there are no such channels.
    pub fn set_board(&self, board: Arc<dyn Board>) {
        if self.board.set(board).is_err() {
            tracing::warn!("the house has its board already");
        }
    }

    /// The snapshot of a panel's channel.
    pub(super) async fn board_now(&self, channel: Channel) -> Result<Frame, ErrorCode> {
        let board = self.board.get().ok_or(ErrorCode::NotFound)?;
        let told = board.now(channel).await.ok_or(ErrorCode::Unavailable)?;
        Ok(frame::json(&Telling::snapshot(
            self.clock.now(),
            channel,
            told,
        )))
    }
}
