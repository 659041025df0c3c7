//! The browser's live side: one socket a tab, the server's clock, and what they feed.
//!
//! Everything here also compiles for the server, where nothing of it ever runs: pages render from
//! their snapshot until [`Live::start`] has been called by an effect.

mod link;
mod registry;
mod server_clock;
#[cfg(feature = "hydrate")]
mod socket;
#[cfg(not(feature = "hydrate"))]
#[path = "no_socket.rs"]
mod socket;
mod toasts;

pub use link::{Link, Shown};
pub use registry::{Listener, Registry};
pub use server_clock::ServerClock;
pub use shared::live::{After, Backoff, after_close};
pub use toasts::{Toast, Toasts, Tone};

use crate::browser;
use crate::erase::kept;
use leptos::prelude::*;
use shared::live::{Channel, ClientFrame, ErrorCode, Position, Push, Snapshot};
use shared::view::{ChatMessage, Notice, WalletView};
use shared::{Currency, LotId, MessageId, Timestamp};

/// What a listener hears.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// The whole state.
    Snapshot(&'a Snapshot),
    /// A change, with its place where it has one.
    Push(Option<Position>, &'a Push),
}

/// What became of a frame that asked for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// Older messages of a room, oldest first, and where to go on.
    History(Vec<ChatMessage>, Option<MessageId>),
    /// Refused, why, and from when on it may be different, if that is known.
    Refused(ErrorCode, String, Option<Timestamp>),
    /// The connection broke before an answer came.
    Lost,
}

/// The tab's live state. One per page, in a context.
#[derive(Clone, Copy)]
pub struct Live {
    /// How the connection stands.
    pub link: RwSignal<Link>,
    /// The server's time, a few times a second; `None` until the scripts run.
    pub clock: RwSignal<Option<Timestamp>>,
    /// The tab's monotonic clock, at the same pace, in milliseconds.
    pub local_ms: RwSignal<i64>,
    /// The person's wallets as last pushed.
    pub wallets: RwSignal<Vec<WalletView>>,
    /// Messages at the edge of the page.
    pub toasts: RwSignal<Toasts>,
    /// News not yet looked at: the badge in the title.
    pub unseen: RwSignal<u32>,
    /// Whether the room's chat does not answer at the moment.
    pub chat_is_down: RwSignal<bool>,
    /// What the polite region says.
    pub polite: RwSignal<String>,
    /// What the assertive region says.
    pub assertive: RwSignal<String>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            link: RwSignal::new(Link::Starting),
            clock: RwSignal::new(None),
            local_ms: RwSignal::new(0),
            wallets: RwSignal::default(),
            toasts: RwSignal::default(),
            unseen: RwSignal::new(0),
            chat_is_down: RwSignal::new(false),
            polite: RwSignal::default(),
            assertive: RwSignal::default(),
        }
    }
}

impl Live {
    /// The page's live state.
    #[must_use]
    pub fn expect() -> Self {
        expect_context()
    }

    /// Whether the scripts run: what only works with them may be offered.
    #[must_use]
    pub fn has_started(self) -> bool {
        self.clock.with(Option::is_some)
    }

    /// The server's time; until the scripts run, that of the page's snapshot.
    #[must_use]
    pub fn now(self, snapshot: Timestamp) -> Timestamp {
        self.clock.get().unwrap_or(snapshot)
    }

    /// How the connection is shown.
    #[must_use]
    pub fn shown(self) -> Memo<Shown> {
        kept(move || self.link.get().shown(self.local_ms.get()))
    }

    /// Whether numbers on the page may be old.
    #[must_use]
    pub fn is_stale(self) -> Memo<bool> {
        kept(move || self.link.get().shown(self.local_ms.get()).is_stale())
    }

    /// The newest of the page's wallet and the pushed one.
    #[must_use]
    pub fn newest_wallet(self, of_page: Option<&WalletView>) -> Option<WalletView> {
        let of_page = of_page?;
        let currency = of_page.available.currency();
        let pushed = self.wallet_in(currency);
        let newer = pushed.filter(|pushed| pushed.version > of_page.version);
        Some(newer.unwrap_or_else(|| of_page.clone()))
    }

    /// The pushed wallet in a currency.
    #[must_use]
    pub fn wallet_in(self, currency: Currency) -> Option<WalletView> {
        let all = self.wallets.read();
        let wallet = all.iter().find(|w| w.available.currency() == currency);
        wallet.cloned()
    }

    /// Starts the clock and the socket; later calls change nothing.
    pub fn start(self, address: String) {
        socket::start(self, address);
    }

    /// Tells the clock of a snapshot's time, a first guess until the socket knows better.
    pub fn seen(self, snapshot: Timestamp) {
        socket::seen(self, snapshot);
    }

    /// Listens to a channel. `since` says from where on; `news` hears snapshots and pushes and
    /// answers how many events were new to it.
    pub fn join(
        self,
        channel: Channel,
        since: impl Fn() -> Option<Position> + 'static,
        news: impl Fn(News<'_>) -> u32 + 'static,
    ) -> Option<Listener> {
        socket::join(channel, since, news)
    }

    /// Stops listening.
    pub fn leave(self, listener: Option<Listener>) {
        if let Some(listener) = listener {
            socket::leave(listener);
        }
    }

    /// Asks for a channel's whole state.
    pub fn resync(self, channel: Channel) {
        socket::resync(channel);
    }

    /// Asks for something with a frame that is made with a fresh number.
    pub fn ask(
        self,
        frame: impl FnOnce(u32) -> ClientFrame + 'static,
        reply: impl FnOnce(Reply) + 'static,
    ) {
        socket::ask(Box::new(frame), Box::new(reply));
    }

    /// Connects now instead of after the pause.
    pub fn retry_now(self) {
        socket::retry_now();
    }

    /// Takes in a wallet; the highest version wins.
    pub fn take_wallet(self, wallet: &WalletView) {
        let currency = wallet.available.currency();
        let known = untrack(|| self.wallet_in(currency));
        if known.is_none_or(|known| known.version < wallet.version) {
            let mut all = self.wallets.write();
            all.retain(|known| known.available.currency() != currency);
            all.push(wallet.clone());
        }
    }

    /// Tells the person something that concerns them.
    pub fn notify(self, notice: &Notice) {
        let tone = match notice {
            Notice::Outbid { .. } => Tone::Bad,
            Notice::Won { .. } | Notice::SoldYours { .. } => Tone::Good,
            Notice::Freed { .. } => Tone::Plain,
        };
        let sentence = notice.sentence();
        match notice {
            Notice::Outbid { .. } | Notice::Won { .. } => self.assertive.set(sentence.clone()),
            Notice::Freed { .. } | Notice::SoldYours { .. } => self.polite.set(sentence.clone()),
        }
        self.unseen.update(|unseen| *unseen += 1);
        self.toast(sentence, Some(notice.lot()), tone);
    }

    /// Shows a message at the edge of the page.
    pub fn toast(self, text: String, lot: Option<LotId>, tone: Tone) {
        let now = browser::now_ms();
        self.toasts
            .update(|toasts| toasts.show(text, lot, tone, now));
    }
}
