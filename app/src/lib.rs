//! What people see: pages, components, the browser's socket client, and server functions.
//!
//! Compiled twice, with exactly one of `ssr` (into the server) and `hydrate` (into the page).

pub mod acting;
pub mod actions;
#[cfg(feature = "hydrate")]
mod browser;
#[cfg(not(feature = "hydrate"))]
#[path = "no_browser.rs"]
mod browser;
mod components;
mod erase;
mod head;
mod house;
mod lean;
pub mod live;
mod pages;
#[cfg(feature = "ssr")]
pub mod ports;
mod receipts;
mod routes;
#[cfg(feature = "ssr")]
mod shell;
#[cfg(feature = "ssr")]
mod still;
mod words;

pub use routes::App;
#[cfg(feature = "ssr")]
pub use shell::shell;
