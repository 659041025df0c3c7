//! Double entry: transfers whose legs sum to zero because nothing else can be built, and the
//! wallet whose three numbers are projections of them.

mod fund;
mod transfer;
mod wallet;

pub use fund::FundSource;
pub use transfer::{Account, AccountKind, Leg, Transfer, TransferKind};
pub use wallet::{Wallet, WalletError};
