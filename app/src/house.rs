//! What every page knows: who looks, and how links are written.

use crate::acting::Acting;
use crate::actions::{Loaded, Page, PageForm, ReadError, ViewerPage, read_page};
use leptos::prelude::*;
use leptos::server::codee::string::FromToStringCodec;
use leptos_router::hooks::use_query_map;
use leptos_router::params::ParamsMap;
use shared::Region;
use std::pin::Pin;

/// A page's data, loaded before the first byte of HTML is sent.
pub type PageResource = Resource<Loaded, FromToStringCodec>;

/// Loads a page whenever what it asks for changes.
pub fn load(page: Page, form: impl Fn() -> PageForm + Send + Sync + 'static) -> PageResource {
    type Load = Pin<Box<dyn Future<Output = Loaded> + Send>>;
    let form: Box<dyn Fn() -> PageForm + Send + Sync> = Box::new(form);
    Resource::new_str_blocking(form, move |form| -> Load {
        Box::pin(read_page(page, form))
    })
}

/// What a page asks for besides its subject: who acts, and what the last plain form led to.
#[must_use]
pub fn asking(acting: &Acting, query: Memo<ParamsMap>) -> PageForm {
    let of = |name| query.with_untracked(|query| query.get(name).unwrap_or_default());
    PageForm {
        acting_as: acting.as_field(),
        acting_in: acting.in_field(),
        outcome: of("outcome"),
        problem: of("problem"),
        retry: of("retry"),
        before: of("before"),
        ..PageForm::default()
    }
}

/// The house's context of one page load. Who acts and where is fixed for its time: choosing
/// somebody else loads the page anew.
#[derive(Clone, Copy)]
pub struct House {
    /// Who looks.
    viewer: PageResource,
    acting: StoredValue<Acting>,
}

impl House {
    /// Reads who and where from the address; must run inside the router.
    #[must_use]
    pub fn from_address() -> Self {
        let query = use_query_map();
        let wish = |name| query.with_untracked(|query| query.get(name).unwrap_or_default());
        let (acting_as, acting_in) = (wish("as"), wish("in"));
        let acting = Acting {
            handle: Some(acting_as.clone()).filter(|handle| !handle.is_empty()),
            region: acting_in.parse::<Region>().ok(),
        };
        let viewer = load(Page::Viewer, move || PageForm {
            acting_as: acting_as.clone(),
            acting_in: acting_in.clone(),
            ..PageForm::default()
        });
        Self {
            viewer,
            acting: StoredValue::new(acting),
        }
    }

    /// The house of the page.
    #[must_use]
    pub fn expect() -> Self {
        expect_context()
    }

    /// Who looks, once it is known. From then on links name them.
    pub async fn viewer(self) -> Result<ViewerPage, ReadError> {
        let viewer: ViewerPage = self.viewer.await.page()?;
        // A handle that this browser may not act as stays in the links: dropping it would have the
        // next page act as somebody else.
        let wished = self.acting().handle;
        let known = viewer.person.as_ref().map(|p| p.handle.clone());
        let acting = Acting {
            handle: known.or(wished),
            region: Some(viewer.region),
        };
        // The page's owner may be gone when a request was given up.
        let _gone = self.acting.try_set_value(acting);
        Ok(viewer)
    }

    /// Who acts and where.
    #[must_use]
    pub fn acting(self) -> Acting {
        self.acting.try_get_value().unwrap_or_default()
    }

    /// The address of an internal page.
    #[must_use]
    pub fn link(self, path: &str) -> String {
        self.acting().link(path)
    }
}
