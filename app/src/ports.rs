//! What the pages need from the server, as traits. The server fills them in; this crate never
//! sees a database. Only compiled for the host.

use async_trait::async_trait;
use shared::auction::Refusal;
use shared::chat::{AuditLine, Muted};
use shared::feed::{FeedCursor, FeedPage};
use shared::view::{
    BoardLine, ChatView, CrowdView, FloorView, Person, RoomView, WalletPageView, WalletView,
};
use shared::{Currency, IdempotencyKey, LotId, MessageId, Money, PrincipalId, Region};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The person a request acts for, and where. Made by the server from the browser's sessions only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub person: Person,
    /// Where they act.
    pub region: Region,
}

/// The viewer of a page: an actor, or a guest somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Who acts, `None` for a guest.
    pub person: Option<Person>,
    /// Where.
    pub region: Region,
    /// Whom this browser may act as: what `?as=` selects among.
    pub sessions: Vec<Person>,
    /// Whether the person who acts is an operator of the house, who moderates every room.
    pub operator: bool,
    /// The session that the person acts by, `None` for a guest.
    pub session: Option<SessionKey>,
}

/// Names one session: a browser that may act as a person. It holds no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionKey {
    /// SHA-256 of the secret in the browser's cookie.
    pub secret_hash: [u8; 32],
    /// Whom it may act as.
    pub person: PrincipalId,
}

impl Viewer {
    /// Whether they moderate the room of a lot with this seller.
    #[must_use]
    pub fn moderates(&self, seller: PrincipalId) -> bool {
        let person = self.person.as_ref();
        person.is_some_and(|person| self.operator || person.id == seller)
    }
}

/// The infrastructure did not do it. Nothing in it is for people but [`Failure::sentence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing was decided and nothing happened: try again, with the same key.
    #[error("the ledger is busy or unreachable")]
    Unavailable,
    /// Whether it happened is not known: only the same key may be tried again.
    #[error("the outcome is unknown")]
    Unknown,
    /// The key was used for another command.
    #[error("the idempotency key belongs to another command")]
    KeyReused,
}

impl Failure {
    /// The failure as one would say it.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unavailable => "The house could not answer in time. Nothing happened. Try again.",
            Self::Unknown => {
                "We do not know yet whether this went through. Press again: it cannot happen twice."
            }
            Self::KeyReused => "This form was used for something else already. Reload the page.",
        }
    }
}

/// A decided answer to a money command: what happened, or the rules' no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided<T> {
    /// What happened, or why not.
    pub outcome: Result<T, Refusal>,
    /// Whether the key had been decided before and this is that answer again.
    pub replayed: bool,
    /// Tries of the transaction, at least 1.
    pub attempts: u32,
}

pub use crate::receipts::{BidReceipt, ClaimReceipt, KeptOutcome, SettleReceipt, TopUpReceipt};

/// Commands and reads of the money plane.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Bids on an English lot.
    async fn bid(
        &self,
        actor: &Actor,
        key: IdempotencyKey,
        lot: LotId,
        amount: Money,
    ) -> Result<Decided<BidReceipt>, Failure>;

    /// Claims units of a Dutch lot or a drop, at no more than `max_price` per unit.
    async fn claim(
        &self,
        actor: &Actor,
        key: IdempotencyKey,
        lot: LotId,
        units: u32,
        max_price: Money,
    ) -> Result<Decided<ClaimReceipt>, Failure>;

    /// Settles a lot that is due. Anyone may ask; it also happens by itself.
    async fn settle(
        &self,
        actor: &Actor,
        key: IdempotencyKey,
        lot: LotId,
    ) -> Result<Decided<SettleReceipt>, Failure>;

    /// Puts demo money into a wallet.
    async fn top_up(
        &self,
        actor: &Actor,
        key: IdempotencyKey,
        amount: Money,
    ) -> Result<Decided<TopUpReceipt>, Failure>;

    /// What a key of this person decided, if it did.
    async fn kept_outcome(
        &self,
        who: PrincipalId,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptOutcome>, Failure>;

    /// The floor.
    async fn floor(&self) -> Result<FloorView, Failure>;

    /// A lot's room, `None` if there is no such lot.
    async fn room(&self, lot: LotId) -> Result<Option<RoomView>, Failure>;

    /// People's wallets in a currency; people who have none are left out.
    async fn wallets(
        &self,
        of: Vec<PrincipalId>,
        currency: Currency,
    ) -> Result<BTreeMap<PrincipalId, WalletView>, Failure>;

    /// A person's wallet in a currency, `None` if they have none.
    async fn wallet(
        &self,
        who: PrincipalId,
        currency: Currency,
    ) -> Result<Option<WalletView>, Failure> {
        let mut wallets = self.wallets(vec![who], currency).await?;
        Ok(wallets.remove(&who))
    }

    /// A person's wallet page.
    async fn wallet_page(
        &self,
        who: PrincipalId,
        currency: Currency,
    ) -> Result<Option<WalletPageView>, Failure>;
}

/// Reads of the social plane that pages render.
#[async_trait]
pub trait Social: Send + Sync {
    /// The latest messages of a room, or those before one of them, and the room's rules.
    async fn chat(&self, lot: LotId, before: Option<MessageId>) -> Result<ChatView, Failure>;

    /// Who is in a room and what they feel.
    async fn crowd(&self, lot: LotId) -> Result<CrowdView, Failure>;

    /// The people with the highest amounts on a lot, at most `n`, highest first.
    async fn top_of_lot(&self, lot: LotId, n: usize) -> Result<Vec<BoardLine>, Failure>;

    /// The people who spent most in a currency, at most `n`, highest first.
    async fn top_overall(&self, currency: Currency, n: usize) -> Result<Vec<BoardLine>, Failure>;

    /// The latest lines of the house's activity, or those before a place.
    async fn feed(&self, before: Option<FeedCursor>, limit: usize) -> Result<FeedPage, Failure>;

    /// What a room's moderators see.
    async fn moderation(&self, lot: LotId) -> Result<ModerationView, Failure>;
}

/// What a room's moderators see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModerationView {
    /// Seconds of slow mode.
    pub slow_s: u32,
    /// Who is muted.
    pub muted: Vec<Muted>,
    /// What was done, newest first.
    pub audit: Vec<AuditLine>,
}

/// What became of the wish to act as somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepIn {
    /// This browser may act as them now.
    Done {
        /// The `Set-Cookie` value that the response must carry, if the browser had none.
        cookie: Option<String>,
    },
    /// There is no such person, or the house is no demo.
    Unknown,
}

/// Who may act, by the browser's cookie.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Reads the browser's cookie and selects among its sessions by handle. A handle that the
    /// cookie does not hold selects nobody; without a handle the first session acts. A bad cookie
    /// is a guest, an unknown Region the default one.
    async fn viewer(
        &self,
        headers: &http::HeaderMap,
        acting_as: Option<&str>,
        acting_in: Option<&str>,
    ) -> Result<Viewer, Failure>;

    /// The people of the demo whom a browser may step in as; empty outside the demo.
    async fn demo_people(&self) -> Result<Vec<Person>, Failure>;

    /// Lets this browser act as a person of the demo too.
    async fn step_in(&self, headers: &http::HeaderMap, handle: &str) -> Result<StepIn, Failure>;

    /// Ends this browser's session as somebody, or all of its sessions. What it did before stays
    /// done. Ending what is not there changes nothing.
    async fn step_out(
        &self,
        headers: &http::HeaderMap,
        handle: Option<&str>,
    ) -> Result<(), Failure>;

    /// Those of some sessions that have ended: stepped out of, or expired.
    async fn ended(&self, sessions: &[SessionKey]) -> Result<Vec<SessionKey>, Failure>;
}

/// A page that only the server can draw: its title and its HTML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// The title.
    pub title: String,
    /// The HTML, escaped where people wrote something.
    pub html: String,
}

/// The instrument panels: pages for sceptics and operators, about things that only the server knows.
#[async_trait]
pub trait Panels: Send + Sync {
    /// The panel at a path; `None` if there is none.
    async fn panel(&self, path: &str) -> Option<Panel>;

    /// Whether this house runs races for whoever asks: only then the floor offers one.
    fn runs_races(&self) -> bool;
}

/// Whether a path is a panel's: its page is opened as a whole, and has a script of its own.
#[must_use]
pub fn is_panel(path: &str) -> bool {
    ["/proof", "/mission-control", "/playground"].contains(&path) || path.starts_with("/proof/")
}

/// A fresh random key, for a form.
pub trait Keys: Send + Sync {
    /// 128 random bits as text.
    fn mint(&self) -> IdempotencyKey;
}

/// Everything a page may ask for; provided as a context of each request.
#[derive(Clone)]
pub struct Ports {
    /// The money plane.
    pub ledger: Arc<dyn Ledger>,
    /// The social plane.
    pub social: Arc<dyn Social>,
    /// Who may act.
    pub sessions: Arc<dyn Sessions>,
    /// Keys for forms.
    pub keys: Arc<dyn Keys>,
    /// Pages that the server draws from what only it knows.
    pub panels: Arc<dyn Panels>,
}
