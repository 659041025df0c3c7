#[cfg(feature = "ssr")]
pub mod ports;

use leptos::prelude::*;
#[component]
pub fn App() -> impl IntoView {
    "x"
}
