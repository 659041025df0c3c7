#[cfg(feature = "ssr")]
pub mod ports;
mod receipts;

use leptos::prelude::*;
#[component]
pub fn App() -> impl IntoView {
    "x"
}
