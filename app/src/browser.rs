//! The few things that only a browser can do, behind plain functions.

use js_sys::Reflect;
use leptos::prelude::{document, window, window_event_listener};
use shared::IdempotencyKey;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Element, HtmlFormElement, RequestInit, Response, UrlSearchParams, VisibilityState};

/// Bytes of randomness in a key: 128 bits.
const KEY_BYTES: usize = 16;

/// The tab's monotonic clock, in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "milliseconds since the page's start fit an i64 for longer than any tab lives"
)]
pub fn now_ms() -> i64 {
    window().performance().map_or(0, |clock| clock.now() as i64)
}

fn random<const BYTES: usize>() -> Option<[u8; BYTES]> {
    let mut bytes = [0_u8; BYTES];
    let crypto = window().crypto().ok()?;
    crypto.get_random_values_with_u8_array(&mut bytes).ok()?;
    Some(bytes)
}

/// Any number.
pub fn random_u32() -> u32 {
    random().map_or(0, u32::from_le_bytes)
}

fn random_hex() -> Option<String> {
    let bytes = random::<KEY_BYTES>()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A fresh key for a form; `None` if the browser has no randomness.
pub fn fresh_key() -> Option<IdempotencyKey> {
    random_hex()?.parse().ok()
}

/// A fresh id for something of this tab's own.
pub fn fresh_id() -> String {
    random_hex().unwrap_or_else(|| now_ms().to_string())
}

/// Sends a form, in the address or as a body, and answers the status and the text; `None` if there
/// is no answer.
pub async fn send(path: &str, in_address: bool, form: &str) -> Option<(u16, String)> {
    let how = RequestInit::new();
    let mut address = path.to_owned();
    if in_address {
        address.push('?');
        address.push_str(form);
    } else {
        how.set_method("POST");
        // The browser names the kind of such a body by itself.
        let body = UrlSearchParams::new_with_str(form).ok()?;
        how.set_body(&body.into());
    }
    let sent = window().fetch_with_str_and_init(&address, &how);
    let answer: Response = JsFuture::from(sent).await.ok()?.unchecked_into();
    let text = JsFuture::from(answer.text().ok()?).await.ok()?;
    Some((answer.status(), text.as_string()?))
}

/// The address of the live socket at `path` on the page's own host.
pub fn socket_address(path: &str) -> String {
    let location = window().location();
    let secure = location.protocol().is_ok_and(|p| p == "https:");
    let scheme = if secure { "wss" } else { "ws" };
    let host = location.host().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Keeps the theme for a year and puts it on the page.
pub fn keep_theme(word: &str) {
    let cookie = format!("lotzero_theme={word}; Path=/; Max-Age=31536000; SameSite=Lax");
    let document = document();
    // The page goes on with the colours it has if the browser keeps no cookies.
    let _kept = Reflect::set(&document, &JsValue::from("cookie"), &JsValue::from(cookie));
    if let Some(root) = document.document_element() {
        let _set = root.set_attribute("data-theme", word);
    }
}

fn element(id: &str) -> Option<Element> {
    document().get_element_by_id(id)
}

/// Scrolls a list to its newest line.
pub fn scroll_to_end(element_id: &str) {
    if let Some(list) = element(element_id) {
        list.set_scroll_top(list.scroll_height());
    }
}

/// Keeps what a list shows where it is while lines are put in before it.
pub fn keep_place(element_id: &'static str) {
    if let Some(list) = element(element_id) {
        let from_end = list.scroll_height() - list.scroll_top();
        leptos::prelude::request_animation_frame(move || {
            list.set_scroll_top(list.scroll_height() - from_end);
        });
    }
}

/// Whether a list shows its newest line.
pub fn is_at_end(element_id: &str) -> bool {
    /// Closer to the end than this counts as at the end, in CSS pixels.
    const NEAR: i32 = 48;
    element(element_id)
        .is_none_or(|list| list.scroll_height() - list.scroll_top() - list.client_height() < NEAR)
}

/// Whether the focus goes from inside the listening element to another one outside of it.
pub fn leaves(event: &leptos::ev::FocusEvent) -> bool {
    let here = event
        .current_target()
        .and_then(|t| t.dyn_into::<Element>().ok());
    let to = event
        .related_target()
        .and_then(|t| t.dyn_into::<Element>().ok());
    here.zip(to)
        .is_some_and(|(here, to)| !here.contains(Some(&to)))
}

/// Sends the form that an event's control is in.
pub fn submit_form_of(event: &leptos::ev::Event) {
    let control = event.target().and_then(|t| t.dyn_into::<Element>().ok());
    let form = control.and_then(|c| c.closest("form").ok().flatten());
    if let Some(form) = form.and_then(|f| f.dyn_into::<HtmlFormElement>().ok()) {
        let _sent = form.submit();
    }
}

/// Whether the tab is looked at.
pub fn is_visible() -> bool {
    document().visibility_state() == VisibilityState::Visible
}

/// Calls when the tab is looked at again or the network is back.
pub fn on_wake(act: impl Fn() + Clone + 'static) {
    let again = act.clone();
    let awake = move |_: web_sys::Event| {
        if is_visible() {
            again();
        }
    };
    window_event_listener(leptos::ev::online, move |_| act());
    let _listening = document().add_event_listener_with_callback(
        "visibilitychange",
        wasm_bindgen::closure::Closure::<dyn Fn(web_sys::Event)>::new(awake)
            .into_js_value()
            .unchecked_ref(),
    );
}

/// Calls when the browser says that the network is gone.
pub fn on_offline(act: impl Fn() + 'static) {
    window_event_listener(leptos::ev::offline, move |_| act());
}
