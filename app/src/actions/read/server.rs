//! What the server reads for a page.

use super::{FloorPage, ReadError, RoomPage, Said, StillPage, Theme, ViewerPage, WalletPage};
use crate::actions::desk::Desk;
use crate::actions::{PageForm, sentence_of};
use crate::ports::{Failure, Ports};
use crate::still;
use axum::http::{StatusCode, header};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;
use shared::view::Person;
use shared::{Currency, IdempotencyKey, LotId};

pub fn unavailable(failure: Failure) -> ReadError {
    tracing::warn!(error = %failure, "a page could not be read");
    ReadError::Unavailable
}

pub async fn viewer(form: &PageForm) -> Result<ViewerPage, ReadError> {
    let desk = Desk::open_to_read()?;
    let viewer = desk.viewer(&form.acting_as, &form.acting_in).await;
    let viewer = viewer.map_err(unavailable)?;
    let demo = desk.ports().sessions.demo_people().await;
    let demo = demo.map_err(unavailable)?;
    let wallet = match &viewer.person {
        // The header does without the numbers rather than the page without a header.
        Some(person) => desk
            .ports()
            .ledger
            .wallet(person.id, Currency::Usd)
            .await
            .unwrap_or_default(),
        None => None,
    };
    let cookies = desk.headers().get_all(header::COOKIE).iter();
    let theme = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .map(Theme::in_cookies)
        .find(|theme| *theme != Theme::System);
    Ok(ViewerPage {
        person: viewer.person,
        region: viewer.region,
        demo,
        wallet,
        theme: theme.unwrap_or_default(),
    })
}

pub async fn floor() -> Result<FloorPage, ReadError> {
    let desk = Desk::open_to_read()?;
    let floor = desk.ports().ledger.floor();
    let (floor, leaders) = futures::join!(floor, still::leaders(desk.ports()));
    let floor = floor.map_err(|failure| refuse(&desk, unavailable(failure)))?;
    Ok(FloorPage { floor, leaders })
}

pub async fn still(form: &PageForm) -> Result<StillPage, ReadError> {
    let desk = Desk::open_to_read()?;
    let page = still::page(&desk, form).await;
    page.map_err(|error| refuse(&desk, error))
}

pub async fn room(form: &PageForm) -> Result<RoomPage, ReadError> {
    let desk = Desk::open_to_read()?;
    let page = read_room(&desk, form).await;
    page.map_err(|error| refuse(&desk, error))
}

/// Answers a question that could not be read.
pub fn answer_unread() {
    if let Some(response) = use_context::<ResponseOptions>() {
        response.set_status(StatusCode::UNPROCESSABLE_ENTITY);
    }
}

/// Gives the page or the answer its status.
fn refuse(desk: &Desk, error: ReadError) -> ReadError {
    match error {
        ReadError::NotFound => desk.set_status(404),
        ReadError::Unavailable => desk.set_status(503),
        ReadError::BadRequest => desk.set_status(422),
        // The page is there; it says what is missing.
        ReadError::Guest => {}
    }
    error
}

async fn read_room(desk: &Desk, form: &PageForm) -> Result<RoomPage, ReadError> {
    let lot: LotId = form.lot.parse().map_err(|_malformed| ReadError::NotFound)?;
    let Ports {
        ledger,
        social,
        keys,
        ..
    } = desk.ports();
    let room = ledger.room(lot).await.map_err(unavailable)?;
    let room = room.ok_or(ReadError::NotFound)?;
    let viewer = desk.viewer(&form.acting_as, &form.acting_in).await;
    let viewer = viewer.map_err(unavailable)?;
    let moderates = viewer.moderates(room.lot.seller.id);
    let person = viewer.person;
    let wallet = match &person {
        Some(person) => ledger
            .wallet(person.id, room.lot.currency)
            .await
            .map_err(unavailable)?,
        None => None,
    };
    // A room without its crowd is still a room: bids do not wait for the social plane.
    let chat = social.chat(lot, form.before.parse().ok());
    let (chat, crowd) = futures::join!(chat, social.crowd(lot));
    let (said, key) = aftermath(desk, person.as_ref(), form).await;
    Ok(RoomPage {
        head: still::head(&room.lot),
        about: still::about_lot(&room),
        room,
        chat_is_down: chat.is_err(),
        chat: chat.unwrap_or_default(),
        moderates,
        crowd: crowd.unwrap_or_default(),
        wallet,
        key,
        settle_key: keys.mint(),
        said,
    })
}

pub async fn wallet(form: &PageForm) -> Result<WalletPage, ReadError> {
    let desk = Desk::open_to_read()?;
    let page = read_wallet(&desk, form).await;
    page.map_err(|error| refuse(&desk, error))
}

async fn read_wallet(desk: &Desk, form: &PageForm) -> Result<WalletPage, ReadError> {
    let currency: Currency = form.currency.parse().unwrap_or(Currency::Usd);
    let viewer = desk.viewer(&form.acting_as, &form.acting_in).await;
    let viewer = viewer.map_err(unavailable)?;
    let acting = still::acting_of(&viewer, form);
    let Some(person) = viewer.person else {
        return Err(ReadError::Guest);
    };
    let ledger = &desk.ports().ledger;
    let page = ledger.wallet_page(person.id, currency).await;
    let page = page.map_err(unavailable)?.ok_or(ReadError::NotFound)?;
    let (said, key) = aftermath(desk, Some(&person), form).await;
    Ok(WalletPage {
        wallet: page.wallet,
        proceeds: page.proceeds,
        server_time: page.server_time,
        holds: still::holds(page.holds, &acting),
        statement: still::statement(page.statement, &acting),
        key,
        said,
    })
}

/// What the last plain form led to, and the key for the next one: the same again while its
/// command is undecided, else a fresh one.
async fn aftermath(
    desk: &Desk,
    person: Option<&Person>,
    after: &PageForm,
) -> (Option<Said>, IdempotencyKey) {
    let asked = [&after.outcome, &after.retry];
    let asked = asked.into_iter().find_map(|key| key.parse().ok());
    let problem = sentence_of(&after.problem).map(|_sentence| Said::Problem {
        code: after.problem.clone(),
    });
    let (Some(person), Some(asked)) = (person, asked) else {
        return (problem, desk.ports().keys.mint());
    };
    let asked: IdempotencyKey = asked;
    match desk.ports().ledger.kept_outcome(person.id, &asked).await {
        Ok(Some(answer)) => {
            let answer = Box::new(answer);
            (Some(Said::Decided { answer }), desk.ports().keys.mint())
        }
        Ok(None) => (problem, asked),
        Err(_failure) => {
            let code = "unknown".to_owned();
            (Some(Said::Problem { code }), asked)
        }
    }
}
