//! Moderation as a plain form: it leads back to the page of the room's moderation.

use crate::router::House;
use app::acting::Acting;
use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use shared::chat::Moderation;
use shared::live::ErrorCode;
use shared::{LotId, Region};
use std::collections::BTreeMap;

/// The fields that every form has; the others are those of [`Moderation`].
const COMMON: [&str; 3] = ["lot", "acting_as", "acting_in"];

/// The answer to `POST /api/moderate`.
pub async fn moderate(
    State(house): State<House>,
    headers: HeaderMap,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Redirect {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let acting = Acting {
        handle: Some(field("acting_as").to_owned()).filter(|handle| !handle.is_empty()),
        region: field("acting_in").parse::<Region>().ok(),
    };
    let Ok(lot) = field("lot").parse::<LotId>() else {
        return Redirect::to(&acting.link("/"));
    };
    let path = format!("/lots/{lot}/moderation");
    let done = async {
        let action = action(&fields).ok_or(ErrorCode::Malformed)?;
        let viewer = house.ports.sessions.viewer(
            &headers,
            acting.handle.as_deref(),
            acting.region.map(Region::code),
        );
        let viewer = viewer.await.map_err(|_failure| ErrorCode::Unavailable)?;
        house.live.moderate(&viewer, lot, &action).await
    };
    match done.await {
        Ok(()) => Redirect::to(&acting.link(&path)),
        Err(code) => Redirect::to(&acting.link_with(&path, &[("problem", &word(code))])),
    }
}

/// The word of a code, as it is on the socket.
fn word(code: ErrorCode) -> String {
    let word = serde_json::to_value(code).ok();
    let word = word.and_then(|word| word.as_str().map(str::to_owned));
    word.unwrap_or_default()
}

/// Reads an action as strictly as the socket does.
fn action(fields: &BTreeMap<String, String>) -> Option<Moderation> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Value<'a> {
        Number(u32),
        Text(&'a str),
    }
    let mut object = BTreeMap::new();
    for (name, text) in fields {
        if COMMON.contains(&name.as_str()) {
            continue;
        }
        let value = match name.as_str() {
            // A choice without a number has no end.
            "seconds" if text.is_empty() => continue,
            "seconds" => Value::Number(text.parse().ok()?),
            _ => Value::Text(text),
        };
        object.insert(name, value);
    }
    let json = serde_json::to_value(object).ok()?;
    Moderation::deserialize(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Option<Moderation> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        action(&fields.iter().map(owned).collect())
    }

    #[test]
    fn a_form_is_read_as_strictly_as_a_frame() {
        let message = "msg_000000000000000000000000000000ab";
        let id = message.parse().expect("an id");
        let (all, lot) = (("acting_as", "lena"), ("lot", "lot_x"));
        let slow = Some(Moderation::Slow { seconds: 5 });
        assert_eq!(read(&[all, lot, ("do", "slow"), ("seconds", "5")]), slow);
        let mute = |seconds| {
            Some(Moderation::Mute {
                message: id,
                seconds,
            })
        };
        let fields = |seconds| [("do", "mute"), ("message", message), ("seconds", seconds)];
        assert_eq!(read(&fields("60")), mute(Some(60)));
        assert_eq!(read(&fields("")), mute(None), "until the end");
        for bad in ["-1", "1.5", "4294967296", "x", " 5"] {
            assert_eq!(read(&fields(bad)), None, "{bad}");
        }
        assert_eq!(read(&[("do", "slow")]), None);
        assert_eq!(read(&[("do", "ban"), ("message", message)]), None);
        let more = [("do", "remove"), ("message", message), ("x", "1")];
        assert_eq!(read(&more), None, "an unknown field");
    }
}
