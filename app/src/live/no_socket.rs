//! The server has no socket to itself: effects never run there, so nothing here is ever called.

use super::{Listener, Live, News, Reply};
use shared::Timestamp;
use shared::live::{Channel, ClientFrame, Position};

pub(super) fn start(_live: Live, _address: String) {}

pub(super) const fn seen(_live: Live, _snapshot: Timestamp) {}

pub(super) fn join(
    _channel: Channel,
    _since: impl Fn() -> Option<Position> + 'static,
    _news: impl Fn(News<'_>) -> u32 + 'static,
) -> Option<Listener> {
    None
}

pub(super) const fn leave(_listener: Listener) {}

pub(super) const fn resync(_channel: Channel) {}

pub(super) fn ask(_frame: Box<dyn FnOnce(u32) -> ClientFrame>, _reply: Box<dyn FnOnce(Reply)>) {}

pub(super) const fn retry_now() {}
