//! The document's head: the title, and what links to the page show elsewhere.

/// A tag for whoever shows a link to the page: its name and what it says.
pub type Tag = (&'static str, String);

/// Gives the page its title, now and whenever it changes, and its tags.
#[cfg(feature = "ssr")]
pub fn head(
    title: impl Fn() -> String + Send + Sync + 'static,
    tags: impl FnOnce() -> Vec<Tag> + 'static,
) {
    use leptos::prelude::*;
    use leptos_meta::{Meta, Title, provide_meta_context};

    provide_meta_context();
    // Read now: the head is written later, when the page's signals may be out of reach.
    let title = title();
    // Nothing shows at its place in the page: drawing it hands it to the document's head.
    let _nothing = view! { <Title text=title/> }.to_html();
    for (name, says) in tags() {
        let _nothing = if name.starts_with("og:") {
            view! { <Meta property=name content=says/> }.to_html()
        } else {
            view! { <Meta name=name content=says/> }.to_html()
        };
    }
}

/// Gives the page its title, now and whenever it changes, with the number of what was not seen.
/// Nobody reads the tags of a page that a browser has loaded.
#[cfg(not(feature = "ssr"))]
pub fn head(
    title: impl Fn() -> String + Send + Sync + 'static,
    _tags: impl FnOnce() -> Vec<Tag> + 'static,
) {
    use leptos::prelude::*;

    let live = crate::live::Live::expect();
    crate::erase::react(move || {
        let (unseen, title) = (live.unseen.get(), title());
        let title = if unseen > 0 {
            format!("({unseen}) {title}")
        } else {
            title
        };
        document().set_title(&title);
    });
}
