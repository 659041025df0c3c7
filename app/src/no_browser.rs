//! The server has no browser: effects and handlers never run there, so nothing here is called.

use shared::IdempotencyKey;

pub const fn now_ms() -> i64 {
    0
}

pub const fn fresh_key() -> Option<IdempotencyKey> {
    None
}

pub const fn fresh_id() -> String {
    String::new()
}

#[expect(clippy::unused_async, reason = "as the browser's")]
pub async fn send(_path: &str, _in_address: bool, _form: &str) -> Option<(u16, String)> {
    None
}

pub const fn socket_address(_path: &str) -> String {
    String::new()
}

pub const fn keep_theme(_word: &str) {}

pub const fn scroll_to_end(_element_id: &str) {}

pub const fn keep_place(_element_id: &str) {}

pub const fn is_at_end(_element_id: &str) -> bool {
    true
}

pub const fn leaves(_event: &leptos::ev::FocusEvent) -> bool {
    false
}

pub const fn submit_form_of(_event: &leptos::ev::Event) {}
