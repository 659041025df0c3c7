//! Inline drawings: the mark, reactions, and small signs. All are decoration beside words.

use crate::erase::Erase;
use leptos::prelude::*;
use shared::view::Reaction;

/// The mark: a lot tag with a zero for its hole.
#[component]
pub fn Mark() -> impl IntoView {
    view! {
        <svg class="mark-sign" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
            <path class="mark-tag" d="M11 3h13a4 4 0 0 1 4 4v18a4 4 0 0 1-4 4H11L3 20.6V11.4z"/>
            <ellipse class="mark-zero" cx="15.5" cy="16" rx="4.2" ry="6"/>
        </svg>
    }
    .erase()
}

/// A reaction's drawing, from the lines of a 24 by 24 grid.
#[component]
pub fn ReactionSign(reaction: Reaction) -> impl IntoView {
    let drawing = match reaction {
        Reaction::Heart => {
            "M12 20.5S3.5 15.6 3.5 9.4A4.7 4.7 0 0 1 12 6.7a4.7 4.7 0 0 1 8.5 2.7c0 6.2-8.5 11.1-8.5 11.1z"
        }
        Reaction::Clap => {
            "M8.5 11.5 5.9 8.9a1.4 1.4 0 0 1 2-2l4.3 4.3-5-5a1.4 1.4 0 0 1 2-2l5.4 5.4-3.6-3.6a1.4 1.4 0 0 1 2-2l5.3 5.3a6.6 6.6 0 0 1 0 9.3 6.6 6.6 0 0 1-9.3 0l-4.6-4.6a1.4 1.4 0 0 1 2-2zM4 4 2.6 2.6M7 3V1M3 7H1"
        }
        Reaction::Fire => {
            "M12 2.5c.6 3.6 5.8 5.4 5.8 11A5.8 5.8 0 0 1 12 21.500a5.8 5.800 0 0 1-5.800-6c0-2.600 1.300-4 2.400-5.500.5 1.500 1.200 2.200 2.100 2.500C10.300 8.800 10.600 5.200 12 2.500z"
        }
        Reaction::Gasp => {
            "M12 2.500a9.500 9.500 0 1 0 0 19 9.500 9.500 0 0 0 0-19zM8.500 9v1M15.500 9v1M12 13.200a2.300 2.600 0 1 0 0 5.200 2.300 2.600 0 0 0 0-5.200z"
        }
        Reaction::Laugh => {
            "M12 2.500a9.500 9.500 0 1 0 0 19 9.500 9.500 0 0 0 0-19zM7 9.500l2.500-1 .500 2M17 9.500l-2.500-1-.500 2M7 13.500h10c-.400 3-2.500 4.500-5 4.500s-4.600-1.500-5-4.500z"
        }
    };
    view! {
        <svg class="sign" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
            <path d=drawing/>
        </svg>
    }
    .erase()
}

/// A small sign by the lines it is drawn of, on a 24 by 24 grid.
#[component]
pub fn Sign(
    /// The lines.
    lines: &'static str,
) -> impl IntoView {
    view! {
        <svg class="sign" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
            <path d=lines/>
        </svg>
    }
    .erase()
}

/// An arrow up.
pub const RISING: &str = "M12 19V5M6 11l6-6 6 6";
/// An arrow down.
pub const FALLING: &str = "M12 5v14M6 13l6 6 6-6";
/// A level line with a stop.
pub const FIXED: &str = "M4 12h16M8 8v8M16 8v8";
/// A person.
pub const PERSON: &str =
    "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.500 20.500c.800-4 3.800-6 7.500-6s6.700 2 7.500 6";
/// A sun.
pub const SUN: &str = "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M19.100 4.900l-1.400 1.400M6.300 17.700l-1.400 1.400";
/// A moon.
pub const MOON: &str = "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z";
/// A screen.
pub const SCREEN: &str = "M4 4.500h16v11H4zM9 20h6M12 15.500V20";
/// A cross.
pub const CROSS: &str = "M6 6l12 12M18 6 6 18";
/// A hammer.
pub const HAMMER: &str = "M13.500 4.500l6 6-3 3-6-6zM11.500 9.500 4 17l3 3 7.500-7.500M13 21h8";
