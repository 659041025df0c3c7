//! The server's side of a form: reading fields, seeing who acts, finding the way back.

use super::{Fault, NotDone, Problem, ReadError};
use crate::acting::Acting;
use crate::ports::{Actor, Decided, Failure, Ports, Viewer};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;
use shared::{Currency, IdempotencyKey, LotId, Money, Region};

/// The longest handle or Region that is looked at, in bytes; longer text selects nobody.
const MAX_ACTING_BYTES: usize = 64;

/// What a request brings: who may answer it and how.
pub(crate) struct Desk {
    ports: Ports,
    headers: HeaderMap,
    response: ResponseOptions,
}

impl Desk {
    /// The desk of the current request.
    pub fn open() -> Result<Self, NotDone> {
        Self::from_context().ok_or(NotDone::Failed {
            code: Fault::Unavailable,
        })
    }

    /// The desk of the current request, for a page's reading.
    pub fn open_to_read() -> Result<Self, ReadError> {
        Self::from_context().ok_or(ReadError::Unavailable)
    }

    fn from_context() -> Option<Self> {
        Some(Self {
            ports: use_context::<Ports>()?,
            headers: use_context::<Parts>()?.headers,
            response: use_context::<ResponseOptions>()?,
        })
    }

    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub fn set_status(&self, status: u16) {
        if let Ok(status) = StatusCode::from_u16(status) {
            self.response.set_status(status);
        }
    }

    /// The viewer that the fields select.
    pub async fn viewer(&self, acting_as: &str, acting_in: &str) -> Result<Viewer, Failure> {
        let wish = |text: &'_ str| {
            (!text.is_empty() && text.len() <= MAX_ACTING_BYTES).then(|| text.to_owned())
        };
        let (acting_as, acting_in) = (wish(acting_as), wish(acting_in));
        let sessions = &self.ports.sessions;
        sessions
            .viewer(&self.headers, acting_as.as_deref(), acting_in.as_deref())
            .await
    }

    /// Who acts; a guest cannot.
    pub async fn actor(&self, acting_as: &str, acting_in: &str) -> Result<Actor, NotDone> {
        let viewer = self.viewer(acting_as, acting_in).await.map_err(failed)?;
        let person = viewer.person.ok_or(NotDone::Failed {
            code: Fault::SignIn,
        })?;
        Ok(Actor {
            person,
            region: viewer.region,
        })
    }

    /// The way back to a lot's room, or to the floor when the id is none.
    pub fn room(&self, lot: &str, acting_as: &str, acting_in: &str) -> Back {
        let path = lot.parse::<LotId>().map_or_else(
            |_malformed| "/".to_owned(),
            |lot: LotId| format!("/lots/{lot}"),
        );
        Back {
            path,
            acting: acting(acting_as, acting_in),
            currency: None,
        }
    }

    /// The way back to the wallet.
    pub fn wallet(&self, currency: &str, acting_as: &str, acting_in: &str) -> Back {
        Back {
            path: "/wallet".to_owned(),
            acting: acting(acting_as, acting_in),
            currency: currency.parse().ok(),
        }
    }

    /// Sets the response for what became of a command: a status for pages with scripts, the way
    /// back for plain forms.
    pub fn answer<T>(
        &self,
        back: &Back,
        key: &str,
        done: Result<T, NotDone>,
    ) -> Result<T, NotDone> {
        if accepts_html(&self.headers) {
            let address = back.address(key, done.as_ref().err());
            send_back(&self.response, &address);
        } else if let Err(not_done) = &done {
            self.set_status(not_done.status());
        }
        done
    }
}

/// A form that could not even be read: its fields name no way back, so it leads to the floor.
pub(super) fn answer_unread(not_done: &NotDone) {
    let (Some(response), Some(parts)) = (use_context::<ResponseOptions>(), use_context::<Parts>())
    else {
        return;
    };
    if accepts_html(&parts.headers) {
        send_back(&response, &format!("/?problem={}", not_done.code()));
    } else if let Ok(status) = StatusCode::from_u16(not_done.status()) {
        response.set_status(status);
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| {
        accept
            .to_str()
            .is_ok_and(|accept| accept.contains("text/html"))
    })
}

fn send_back(response: &ResponseOptions, address: &str) {
    // The address is built of percent-encoded text, so it is always a header value.
    if let Ok(address) = HeaderValue::from_str(address) {
        response.set_status(StatusCode::SEE_OTHER);
        response.insert_header(header::LOCATION, address);
    }
}

fn acting(acting_as: &str, acting_in: &str) -> Acting {
    let handle = Some(acting_as).filter(|h| !h.is_empty() && h.len() <= MAX_ACTING_BYTES);
    Acting {
        handle: handle.map(str::to_owned),
        region: acting_in.parse::<Region>().ok(),
    }
}

/// The page a plain form came from. Built from the form's own fields, never from `Referer`.
pub(crate) struct Back {
    path: String,
    acting: Acting,
    currency: Option<Currency>,
}

impl Back {
    fn address(&self, key: &str, not_done: Option<&NotDone>) -> String {
        let mut more: Vec<(&str, &str)> = Vec::new();
        more.extend(self.currency.map(|c| ("currency", c.code())));
        match not_done {
            // What a key decided is kept under it, refusals too.
            None | Some(NotDone::Refused(_)) => more.push(("outcome", key)),
            Some(not_done) => {
                more.push(("problem", not_done.code()));
                if not_done.keeps_key() && key.parse::<IdempotencyKey>().is_ok() {
                    more.push(("retry", key));
                }
            }
        }
        self.acting.link_with(&self.path, &more)
    }
}

fn invalid(code: Problem, field: &str) -> NotDone {
    NotDone::Invalid {
        code,
        field: field.to_owned(),
    }
}

pub(super) fn failed(failure: Failure) -> NotDone {
    let code = match failure {
        Failure::Unavailable => Fault::Unavailable,
        Failure::Unknown => Fault::Unknown,
        Failure::KeyReused => Fault::KeyReused,
    };
    NotDone::Failed { code }
}

/// What the ledger decided.
pub(super) fn decided<T>(answer: Result<Decided<T>, Failure>) -> Result<T, NotDone> {
    answer.map_err(failed)?.outcome.map_err(NotDone::Refused)
}

pub(super) fn lot(text: &str) -> Result<LotId, NotDone> {
    text.parse()
        .map_err(|_malformed| invalid(Problem::InvalidId, "lot"))
}

pub(super) fn key(text: &str) -> Result<IdempotencyKey, NotDone> {
    text.parse()
        .map_err(|_malformed| invalid(Problem::InvalidKey, "key"))
}

fn currency(text: &str) -> Result<Currency, NotDone> {
    text.parse()
        .map_err(|_unknown| invalid(Problem::InvalidCurrency, "currency"))
}

/// An amount in major units, more than nothing.
pub(super) fn major(field: &str, text: &str, code: &str) -> Result<Money, NotDone> {
    let currency = currency(code)?;
    let amount = Money::parse_major(text, currency);
    let amount = amount.ok().filter(|amount| amount.minor() > 0);
    amount.ok_or_else(|| invalid(Problem::InvalidAmount, field))
}

/// An amount in minor units, digits only, more than nothing.
pub(super) fn minor(field: &str, text: &str, code: &str) -> Result<Money, NotDone> {
    let currency = currency(code)?;
    let amount = digits(text)
        .and_then(|text| text.parse::<i64>().ok())
        .and_then(|minor| Money::new(minor, currency).ok())
        .filter(|amount| amount.minor() > 0);
    amount.ok_or_else(|| invalid(Problem::InvalidAmount, field))
}

/// A number of units, digits only, at least one.
pub(super) fn units(text: &str) -> Result<u32, NotDone> {
    let units = digits(text)
        .and_then(|text| text.parse::<u32>().ok())
        .filter(|units| *units > 0);
    units.ok_or_else(|| invalid(Problem::InvalidUnits, "units"))
}

fn digits(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::auction::Refusal;

    const LOT: &str = "lot_00000000000000000000000000000abc";

    #[test]
    fn fields_are_read_exactly_or_named() {
        let code = |answer: Result<Money, NotDone>| answer.expect_err("invalid").code();
        for bad in ["", "0", "-1", "1e9", "1.001", "99999999999999999999", "$5"] {
            assert_eq!(code(major("amount", bad, "USD")), "invalid_amount", "{bad}");
        }
        for bad in ["", "0", "-1", "+1", "1.5", "9007199254740992", "x"] {
            assert_eq!(code(minor("max", bad, "USD")), "invalid_amount", "{bad}");
        }
        assert_eq!(code(major("amount", "1", "XXX")), "invalid_currency");
        assert_eq!(code(major("amount", "1", "usd")), "invalid_currency");
        for bad in ["", "0", "-1", "1.0", "4294967296"] {
            assert_eq!(units(bad).expect_err("invalid").code(), "invalid_units");
        }
        assert_eq!(units(" 3 "), Ok(3));
        assert_eq!(lot("lot_1").expect_err("invalid").code(), "invalid_id");
        assert_eq!(key("").expect_err("invalid").code(), "invalid_key");
        let amount = major("amount", "1,250.50", "USD").expect("reads");
        assert_eq!(amount.minor(), 125_050);
    }

    #[test]
    fn the_way_back_is_built_of_the_form_and_leads_nowhere_else() {
        let back = |lot: &str| Back {
            path: lot
                .parse::<LotId>()
                .map_or_else(|_| "/".to_owned(), |lot| format!("/lots/{lot}")),
            acting: acting("lena", "eu-west-1"),
            currency: None,
        };
        assert_eq!(
            back(LOT).address("k-1", None),
            format!("/lots/{LOT}?as=lena&in=eu-west-1&outcome=k-1")
        );
        let refused = NotDone::Refused(Refusal::Ended);
        assert_eq!(
            back(LOT).address("k-1", Some(&refused)),
            format!("/lots/{LOT}?as=lena&in=eu-west-1&outcome=k-1")
        );
        let lost = NotDone::Failed {
            code: Fault::Unknown,
        };
        assert_eq!(
            back("//evil.example").address("k 1\r\nx: y", Some(&lost)),
            "/?as=lena&in=eu-west-1&problem=unknown"
        );
        assert_eq!(
            back(LOT).address("k-1", Some(&lost)),
            format!("/lots/{LOT}?as=lena&in=eu-west-1&problem=unknown&retry=k-1")
        );
    }
}
