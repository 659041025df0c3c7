//! What pages read: one call a page, the same for the server's rendering and for the browser.

use super::PageForm;
use super::calls::{Calls, is_unreadable};
use super::forms::reads_as_its_form;
use crate::lean::{Json, Lean, Read, reads_with_lean};
use crate::receipts::KeptOutcome;
use leptos::prelude::*;
use leptos::server_fn::codec::{GetUrl, JsonEncoding};
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use serde::Serialize;
use shared::view::{ChatView, CrowdView, FloorView, Person, RoomView, WalletView};
use shared::{IdempotencyKey, Region};
use shared::{Money, Timestamp};
use std::fmt;
use std::str::FromStr;

/// Why a page could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadError {
    /// There is no such thing.
    NotFound,
    /// A guest has none of it.
    Guest,
    /// The stores do not answer.
    Unavailable,
    /// The question cannot be read.
    BadRequest,
}

impl ReadError {
    const ALL: [Self; 4] = [
        Self::NotFound,
        Self::Guest,
        Self::Unavailable,
        Self::BadRequest,
    ];

    /// The word on the wire and beside a page's data.
    const fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Guest => "guest",
            Self::Unavailable => "unavailable",
            Self::BadRequest => "bad_request",
        }
    }
}

reads_with_lean!(ReadError);

impl FromServerFnError for ReadError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        if !is_unreadable(&error) {
            return Self::Unavailable;
        }
        #[cfg(feature = "ssr")]
        server::answer_unread();
        Self::BadRequest
    }
}

/// The colours somebody chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Paper.
    Light,
    /// Ink.
    Dark,
}

impl Theme {
    /// Every choice, in the order shown.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The cookie that keeps the choice.
    pub const COOKIE: &'static str = "lotzero_theme";

    /// The word kept and put on the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The choice after this one, going round.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }

    /// The choice in a `Cookie` header.
    #[must_use]
    pub fn in_cookies(header: &str) -> Self {
        let kept = header
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, word)| (name == Self::COOKIE).then_some(word));
        let theme = Self::ALL.into_iter().find(|t| Some(t.word()) == kept);
        theme.unwrap_or_default()
    }
}

/// Who looks, and what the header shows of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewerPage {
    /// Who acts, `None` for a guest.
    pub person: Option<Person>,
    /// Where.
    pub region: Region,
    /// Whom one may step in as.
    pub demo: Vec<Person>,
    /// The wallet in the house's first currency.
    pub wallet: Option<WalletView>,
    /// The colours chosen.
    pub theme: Theme,
}

/// What a form sent without scripts led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Said {
    /// What its key decided.
    Decided {
        /// The answer.
        answer: Box<KeptOutcome>,
    },
    /// Why it was not decided: a code of [`crate::actions::sentence_of`].
    Problem {
        /// The code.
        code: String,
    },
}

/// The floor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FloorPage {
    /// Lots and activity.
    pub floor: FloorView,
    /// The house's leaderboard, drawn by the server.
    pub leaders: String,
}

/// A page that stands still, drawn by the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StillPage {
    /// Its title.
    pub title: String,
    /// What it shows, as HTML.
    pub html: String,
}

/// A room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomPage {
    /// The lot and its ladder.
    pub room: RoomView,
    /// The latest messages and the room's rules.
    pub chat: ChatView,
    /// Whether the chat could not be read.
    pub chat_is_down: bool,
    /// Whether the viewer moderates the room.
    pub moderates: bool,
    /// Who is here.
    pub crowd: CrowdView,
    /// The viewer's wallet in the lot's currency.
    pub wallet: Option<WalletView>,
    /// The lot's picture and name, drawn by the server.
    pub head: String,
    /// What the lot is and its terms in words, drawn by the server.
    pub about: String,
    /// The key of the page's bid or claim.
    pub key: IdempotencyKey,
    /// The key of the page's settlement.
    pub settle_key: IdempotencyKey,
    /// What the last plain form led to.
    pub said: Option<Said>,
}

/// A wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WalletPage {
    /// The wallet.
    pub wallet: WalletView,
    /// What sellers are owed: the owner's proceeds so far.
    pub proceeds: Money,
    /// Database time of the snapshot.
    pub server_time: Timestamp,
    /// What is held, drawn.
    pub holds: String,
    /// The statement, drawn.
    pub statement: String,
    /// The key of the page's top-up.
    pub key: IdempotencyKey,
    /// What the last plain form led to.
    pub said: Option<Said>,
}

/// A page's data as the JSON it was written in, to be read where it is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PageText(String);

impl PageText {
    #[cfg(feature = "ssr")]
    fn of(page: &impl Serialize) -> Result<Self, ReadError> {
        let text = serde_json::to_string(page);
        text.map(Self).map_err(|_unwritable| ReadError::Unavailable)
    }
}

impl Read for PageText {
    fn read(json: &Json) -> Option<Self> {
        String::read(json).map(Self)
    }
}

/// A page's data, or why there is none. As text between the server's HTML and the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded(Result<PageText, ReadError>);

impl Loaded {
    /// The data in its own type.
    ///
    /// # Errors
    /// Why there is none.
    pub fn page<T: Read>(&self) -> Result<T, ReadError> {
        let text = self.0.as_ref().map_err(|error| *error)?;
        let page = Json::parse(&text.0).and_then(|json| T::read(&json));
        page.ok_or(ReadError::Unavailable)
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Ok(text) => &text.0,
            Err(error) => error.word(),
        })
    }
}

impl FromStr for Loaded {
    type Err = core::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = ReadError::ALL.into_iter().find(|e| e.word() == text);
        Ok(Self(
            error.map_or_else(|| Ok(PageText(text.to_owned())), Err),
        ))
    }
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Who looks: the header of every page.
    Viewer,
    /// The floor.
    Floor,
    /// A lot's room.
    Room,
    /// The viewer's wallet.
    Wallet,
    /// One that stands still, by its path.
    Still,
}

/// Reads a page.
pub async fn read_page(page: Page, form: PageForm) -> Loaded {
    let text = match page {
        Page::Viewer => read_viewer(form).await,
        Page::Floor => read_floor(form).await,
        Page::Room => read_room(form).await,
        Page::Wallet => read_wallet(form).await,
        Page::Still => read_still(form).await,
    };
    Loaded(text.map(|text| text.value))
}

/// Reads who looks.
#[server(name = ReadViewer, prefix = "/api", endpoint = "page/viewer", protocol = Calls<GetUrl>, input_derive = (Clone,))]
pub async fn read_viewer(form: PageForm) -> Result<Lean<PageText>, ReadError> {
    let page = server::viewer(&form).await?;
    PageText::of(&page).map(Lean::from)
}

/// Reads the floor.
#[server(name = ReadFloor, prefix = "/api", endpoint = "page/floor", protocol = Calls<GetUrl>, input_derive = (Clone,))]
pub async fn read_floor(form: PageForm) -> Result<Lean<PageText>, ReadError> {
    // The floor is the same for everybody.
    drop(form);
    let page = server::floor().await?;
    PageText::of(&page).map(Lean::from)
}

/// Reads a room.
#[server(name = ReadRoom, prefix = "/api", endpoint = "page/room", protocol = Calls<GetUrl>, input_derive = (Clone,))]
pub async fn read_room(form: PageForm) -> Result<Lean<PageText>, ReadError> {
    let page = server::room(&form).await?;
    PageText::of(&page).map(Lean::from)
}

/// Reads the viewer's wallet.
#[server(name = ReadWallet, prefix = "/api", endpoint = "page/wallet", protocol = Calls<GetUrl>, input_derive = (Clone,))]
pub async fn read_wallet(form: PageForm) -> Result<Lean<PageText>, ReadError> {
    let page = server::wallet(&form).await?;
    PageText::of(&page).map(Lean::from)
}

/// Reads a page that stands still.
#[server(name = ReadStill, prefix = "/api", endpoint = "page/still", protocol = Calls<GetUrl>, input_derive = (Clone,))]
pub async fn read_still(form: PageForm) -> Result<Lean<PageText>, ReadError> {
    let page = server::still(&form).await?;
    PageText::of(&page).map(Lean::from)
}

reads_as_its_form! {
    ReadStill => PageForm,
    ReadViewer => PageForm,
    ReadFloor => PageForm,
    ReadRoom => PageForm,
    ReadWallet => PageForm,
}

#[cfg(feature = "ssr")]
pub(crate) mod server;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_loaded_reads_back_from_text() {
        for error in ReadError::ALL {
            let loaded = Loaded(Err(error));
            assert_eq!(loaded.to_string().parse(), Ok(loaded));
        }
        let loaded = Loaded(Ok(PageText(r#"{"minor":5,"currency":"USD"}"#.into())));
        let back: Loaded = loaded.to_string().parse().expect("never fails");
        assert_eq!(back, loaded);
        let money: Money = back.page().expect("money");
        assert_eq!(money.minor(), 5);
        assert_eq!(back.page::<Theme>(), Err(ReadError::Unavailable));
    }

    #[test]
    fn a_question_that_cannot_be_read_is_not_called_our_failure() {
        let unread = ReadError::from_server_fn_error(ServerFnErrorErr::Args("field".into()));
        assert_eq!(unread, ReadError::BadRequest);
        let lost = ReadError::from_server_fn_error(ServerFnErrorErr::Request("reset".into()));
        assert_eq!(lost, ReadError::Unavailable);
    }

    #[test]
    fn the_theme_is_read_from_cookies_or_left_to_the_system() {
        for (header, theme) in [
            ("lotzero_theme=dark", Theme::Dark),
            ("a=b; lotzero_theme=light; c=d", Theme::Light),
            ("lotzero_theme=\"><script>", Theme::System),
            ("xlotzero_theme=dark", Theme::System),
            ("", Theme::System),
        ] {
            assert_eq!(Theme::in_cookies(header), theme, "{header}");
        }
    }
}
