//! The wasm entry: hydrates the page that the server rendered.

/// Starts the app in the browser; called by the page's module script.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
}
