//! The money commands as server functions, and what pages read.
//!
//! A command is thin: read the form, see who acts, call one port, say what became of it. Sent by
//! a page with scripts it answers JSON with a status; sent as a plain form it answers with a way
//! back to the page, whose address names what to show.

mod calls;
#[cfg(feature = "ssr")]
pub(crate) mod desk;
mod forms;
mod not_done;
pub(crate) mod read;

pub use crate::receipts::{BidReceipt, ClaimReceipt, KeptOutcome, SettleReceipt, TopUpReceipt};
pub use forms::{BidForm, ClaimForm, PageForm, SettleForm, TopUpForm};
pub use not_done::{Fault, NotDone, Problem, sentence_of};
pub use read::{
    FloorPage, Loaded, Page, PageText, ReadError, RoomPage, Said, StillPage, Theme, ViewerPage,
    WalletPage, read_page,
};

use crate::lean::Lean;
use calls::Calls;
use forms::reads_as_its_form;
use leptos::prelude::*;
use leptos::server_fn::codec::PostUrl;

/// Bids on an English lot.
#[server(name = PlaceBid, prefix = "/api", endpoint = "bid", protocol = Calls<PostUrl>, input_derive = (Clone,))]
pub async fn bid(form: BidForm) -> Result<Lean<BidReceipt>, NotDone> {
    let desk = desk::Desk::open()?;
    let back = desk.room(&form.lot, &form.acting_as, &form.acting_in);
    let done = async {
        let lot = desk::lot(&form.lot)?;
        let key = desk::key(&form.key)?;
        let amount = desk::major("amount", &form.amount, &form.currency)?;
        let actor = desk.actor(&form.acting_as, &form.acting_in).await?;
        desk::decided(desk.ports().ledger.bid(&actor, key, lot, amount).await)
    };
    let done = done.await;
    desk.answer(&back, &form.key, done).map(Lean::from)
}

/// Claims units of a Dutch lot or a drop.
#[server(name = ClaimUnits, prefix = "/api", endpoint = "claim", protocol = Calls<PostUrl>, input_derive = (Clone,))]
pub async fn claim(form: ClaimForm) -> Result<Lean<ClaimReceipt>, NotDone> {
    let desk = desk::Desk::open()?;
    let back = desk.room(&form.lot, &form.acting_as, &form.acting_in);
    let done = async {
        let lot = desk::lot(&form.lot)?;
        let key = desk::key(&form.key)?;
        let units = desk::units(&form.units)?;
        let max = desk::minor("max_price", &form.max_price, &form.currency)?;
        let actor = desk.actor(&form.acting_as, &form.acting_in).await?;
        let ledger = &desk.ports().ledger;
        desk::decided(ledger.claim(&actor, key, lot, units, max).await)
    };
    let done = done.await;
    desk.answer(&back, &form.key, done).map(Lean::from)
}

/// Settles a lot that is due.
#[server(name = SettleNow, prefix = "/api", endpoint = "settle", protocol = Calls<PostUrl>, input_derive = (Clone,))]
pub async fn settle(form: SettleForm) -> Result<Lean<SettleReceipt>, NotDone> {
    let desk = desk::Desk::open()?;
    let back = desk.room(&form.lot, &form.acting_as, &form.acting_in);
    let done = async {
        let lot = desk::lot(&form.lot)?;
        let key = desk::key(&form.key)?;
        let actor = desk.actor(&form.acting_as, &form.acting_in).await?;
        desk::decided(desk.ports().ledger.settle(&actor, key, lot).await)
    };
    let done = done.await;
    desk.answer(&back, &form.key, done).map(Lean::from)
}

/// Puts demo money into a wallet.
#[server(name = TopUp, prefix = "/api", endpoint = "top-up", protocol = Calls<PostUrl>, input_derive = (Clone,))]
pub async fn top_up(form: TopUpForm) -> Result<Lean<TopUpReceipt>, NotDone> {
    let desk = desk::Desk::open()?;
    let back = desk.wallet(&form.currency, &form.acting_as, &form.acting_in);
    let done = async {
        let key = desk::key(&form.key)?;
        let amount = desk::major("amount", &form.amount, &form.currency)?;
        let actor = desk.actor(&form.acting_as, &form.acting_in).await?;
        desk::decided(desk.ports().ledger.top_up(&actor, key, amount).await)
    };
    let done = done.await;
    desk.answer(&back, &form.key, done).map(Lean::from)
}

reads_as_its_form! {
    PlaceBid => BidForm,
    ClaimUnits => ClaimForm,
    SettleNow => SettleForm,
    TopUp => TopUpForm,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde::de::value::{Error, MapDeserializer};

    fn read(fields: &[(&'static str, &'static str)]) -> Result<SettleNow, Error> {
        SettleNow::deserialize(MapDeserializer::new(fields.iter().copied()))
    }

    #[test]
    fn a_form_has_exactly_its_fields() {
        let whole = [
            ("lot", "l"),
            ("key", "k"),
            ("acting_as", "lena"),
            ("acting_in", "eu-west-1"),
        ];
        assert_eq!(read(&whole).expect("reads").form.acting_as, "lena");
        assert!(read(&whole[1..]).is_err(), "a field is missing");
        let more: Vec<_> = whole.into_iter().chain([("price", "1")]).collect();
        assert!(read(&more).is_err(), "a field is unknown");
        let twice: Vec<_> = whole.into_iter().chain([("lot", "m")]).collect();
        assert!(read(&twice).is_err(), "a field is there twice");
    }
}
