//! Pages that stand still: the server draws them and the browser shows them as they are, so they
//! cost the bundle nothing. Which one it is follows from the path.

use super::{Broken, NotFound};
use crate::actions::{Page, PageForm, ReadError, StillPage};
use crate::erase::Erase;
use crate::head::head;
use crate::house::{House, asking, load};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

/// The page at a path.
#[component]
pub fn Still(
    /// The path.
    path: String,
) -> impl IntoView {
    let house = House::expect();
    let query = use_query_map();
    let page = load(Page::Still, move || PageForm {
        path: path.clone(),
        before: query.with(|query| query.get("before").unwrap_or_default()),
        ..asking(&house.acting(), query)
    });
    view! {
        <Suspense fallback=|| view! { <div class="skeleton tall" aria-hidden="true"></div> }>
            {move || Suspend::new(async move {
                // The header waits for the same; its links name the person from here on.
                let viewer = house.viewer().await;
                match (viewer, page.await.page()) {
                    (Ok(_), Ok(page)) => view! { <Shown page/> }.erase(),
                    (_, Err(ReadError::NotFound)) => view! { <NotFound/> }.erase(),
                    (Err(_), _)
                    | (
                        _,
                        Err(ReadError::Guest | ReadError::Unavailable | ReadError::BadRequest),
                    ) => view! { <Broken/> }.erase(),
                }
            })}
        </Suspense>
    }
    .erase()
}

#[component]
fn Shown(page: StillPage) -> impl IntoView {
    let title = page.title;
    head(move || title.clone(), Vec::new);
    // house-rule inner-html: the server drew it, and escaped what people wrote
    view! { <div class="still" inner_html=page.html></div> }.erase()
}
