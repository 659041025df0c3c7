//! Stepping in and out: which people this browser may act as.

use crate::router::House;
use app::acting::Acting;
use app::ports::StepIn;
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use shared::Region;

/// The fields of `POST /api/step-in`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepInForm {
    handle: String,
    region: String,
    next: String,
}

/// The answer to `POST /api/step-in`: the page to go on with, as the new person.
pub async fn step_in(
    State(house): State<House>,
    headers: HeaderMap,
    Form(form): Form<StepInForm>,
) -> Response {
    let Ok(region) = form.region.parse::<Region>() else {
        return (
            StatusCode::UNPROCESSABLE_ENTITY,
            "Choose a Region of the list.",
        )
            .into_response();
    };
    match house.ports.sessions.step_in(&headers, &form.handle).await {
        Ok(StepIn::Done { cookie }) => {
            let place = place_after(&form.next, &form.handle, region);
            let mut response = Redirect::to(&place).into_response();
            if let Some(Ok(value)) = cookie.map(|text| HeaderValue::from_str(&text)) {
                response.headers_mut().append(header::SET_COOKIE, value);
            }
            response
        }
        Ok(StepIn::Unknown) => (StatusCode::NOT_FOUND, "There is no such person.").into_response(),
        Err(failure) => (StatusCode::SERVICE_UNAVAILABLE, failure.sentence()).into_response(),
    }
}

/// The fields of `POST /api/step-out`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepOutForm {
    /// Empty for everybody.
    handle: String,
    acting_as: String,
    acting_in: String,
}

/// The answer to `POST /api/step-out`: who is left on this browser. The sockets of the sessions
/// that ended are closed on every node.
pub async fn step_out(
    State(house): State<House>,
    headers: HeaderMap,
    Form(form): Form<StepOutForm>,
) -> Response {
    let handle = Some(form.handle).filter(|handle| !handle.is_empty());
    let sessions = &house.ports.sessions;
    if let Err(failure) = sessions.step_out(&headers, handle.as_deref()).await {
        return (StatusCode::SERVICE_UNAVAILABLE, failure.sentence()).into_response();
    }
    house.live.sessions_ended();
    let stays = handle.is_some_and(|handle| handle != form.acting_as);
    let acting = Acting {
        handle: Some(form.acting_as).filter(|acting| stays && !acting.is_empty()),
        region: form.acting_in.parse().ok(),
    };
    Redirect::to(&acting.link("/sessions")).into_response()
}

/// The page to go on with: a path of ours, with the new person and Region in place of the old.
fn place_after(next: &str, handle: &str, region: Region) -> String {
    // `//host` and `/\host` would lead to another site.
    let ours = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.bytes().all(|b| b.is_ascii_graphic());
    let next = if ours { next } else { "/" };
    let next = next.split('#').next().unwrap_or("/");
    let (path, query) = next.split_once('?').unwrap_or((next, ""));
    let dropped = ["as", "in", "outcome", "problem"];
    let kept = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !pair.is_empty() && !dropped.contains(&name)
    });
    let acting = [format!("as={handle}"), format!("in={region}")];
    let pairs: Vec<&str> = kept.chain(acting.iter().map(String::as_str)).collect();
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stepping_in_leads_back_to_the_page_and_nowhere_else() {
        let after = |next| place_after(next, "lena", Region::Tokyo);
        let acting = "as=lena&in=ap-northeast-1";
        assert_eq!(after("/wallet"), format!("/wallet?{acting}"));
        assert_eq!(
            after("/lots/x?tab=chat&as=kenji"),
            format!("/lots/x?tab=chat&{acting}")
        );
        for foreign in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "",
            "/a b",
        ] {
            assert_eq!(after(foreign), format!("/?{acting}"), "{foreign:?}");
        }
    }
}
