//! The rules of LotZero.
//!
//! Everything here is pure: no I/O, no clock, no randomness of its own. The same code decides
//! in the server and draws in the browser, so it compiles for the host and for wasm. A reader
//! who knows this crate knows the product.

#![warn(missing_docs)]
#![warn(clippy::float_arithmetic)]

pub mod auction;
pub mod chat;
pub mod feed;
pub mod id;
pub mod key;
pub mod ledger;
pub mod live;
pub mod money;
pub mod mutant;
pub mod purchase;
pub mod region;
pub mod time;
pub mod view;

pub use id::{
    ApiKeyId, BidId, ClaimId, DeliveryId, EventId, HoldId, ItemId, LotId, MandateId, MerchantId,
    MessageId, PrincipalId, PurchaseId, TransferId, WebhookEndpointId,
};
pub use key::IdempotencyKey;
pub use money::{Currency, Money};
pub use region::Region;
pub use time::Timestamp;
