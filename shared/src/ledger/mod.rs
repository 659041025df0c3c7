//! Double entry: transfers whose legs sum to zero because nothing else can be built, and the
//! wallet whose three numbers are projections of them.

mod transfer;
mod wallet;

pub use transfer::{Account, AccountKind, Leg, Transfer, TransferKind};
pub use wallet::{Wallet, WalletError};
