//! The document around the app, made by the server only.

use crate::actions::Theme;
use crate::ports::{Ports, is_panel};
use crate::routes::App;
use axum::http::{header, request::Parts};
use leptos::nonce::use_nonce;
use leptos::prelude::*;
use leptos_meta::MetaTags;

/// The fonts of the first screen, fetched before the style sheet asks for them.
const FONTS: [&str; 2] = [
    "/fonts/inter-latin-wght-normal.woff2",
    "/fonts/fraunces-latin-wght-normal.woff2",
];

/// The whole document: head, the app, and the scripts that take it over.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let theme = theme_of_request();
    let races = use_context::<Ports>().is_some_and(|ports| ports.panels.runs_races());
    let fonts = FONTS.map(|font| {
        view! { <link rel="preload" href=font r#as="font" r#type="font/woff2" crossorigin="anonymous"/> }
    });
    let style = format!("/{}/{}.css", options.site_pkg_dir, options.output_name);
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme.word() data-races=races.then_some("")>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover"/>
                <meta name="description" content="Bid live, from anywhere. The price is the loudest thing in the room."/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="theme-color" media="(prefers-color-scheme: light)" content="#f7f5f0"/>
                <meta name="theme-color" media="(prefers-color-scheme: dark)" content="#101216"/>
                {fonts.to_vec()}
                <link rel="stylesheet" href=style/>
                <link rel="icon" href="/favicon.svg" r#type="image/svg+xml"/>
                <HydrationScripts options/>
                {script(races)}
                <MetaTags/>
            </head>
            <body>
                <App/>
            </body>
        </html>
    }
}

/// What is no part of the bundle, so that whoever bids does not wait for it: the sheet and the script
/// of the instrument panels, and elsewhere the card on the floor that runs a race.
fn script(races: bool) -> Option<AnyView> {
    let parts = use_context::<Parts>()?;
    if is_panel(parts.uri.path()) {
        let panel = view! {
            <link rel="stylesheet" href="/pkg/panel.css"/>
            <script r#type="module" src="/panel/main.js" nonce=use_nonce()></script>
        };
        return Some(panel.into_any());
    }
    races.then(|| {
        view! { <script r#type="module" src="/panel/burst.js" nonce=use_nonce()></script> }
            .into_any()
    })
}

fn theme_of_request() -> Theme {
    let parts = use_context::<Parts>();
    let cookies = parts.iter().flat_map(|p| p.headers.get_all(header::COOKIE));
    cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .map(Theme::in_cookies)
        .find(|theme| *theme != Theme::System)
        .unwrap_or_default()
}
