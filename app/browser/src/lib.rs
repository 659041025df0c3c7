//! The wasm entry: hydrates the page that the server rendered.

// The pages' view types nest deeper than the compiler's default allows.
#![recursion_limit = "512"]

/// Starts the app in the browser; called by the page's module script.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
}
