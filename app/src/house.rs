//! What every page knows: who looks, and how links are written.

use crate::acting::Acting;
use crate::actions::{ReadError, ViewerPage, read_viewer};
use crate::lean::Lean;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use shared::Region;

/// The house's context of one page load. Who acts and where is fixed for its time: choosing
/// somebody else loads the page anew.
#[derive(Clone, Copy)]
pub struct House {
    /// Who looks.
    pub viewer: Resource<Result<Lean<ViewerPage>, ReadError>>,
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
        let viewer = Resource::new_blocking(
            move || (acting_as.clone(), acting_in.clone()),
            |(acting_as, acting_in)| read_viewer(acting_as, acting_in),
        );
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
        let viewer = self.viewer.await?.value;
        self.acting.set_value(Acting {
            handle: viewer.person.as_ref().map(|p| p.handle.clone()),
            region: Some(viewer.region),
        });
        Ok(viewer)
    }

    /// Who acts and where.
    #[must_use]
    pub fn acting(self) -> Acting {
        self.acting.get_value()
    }

    /// The address of an internal page.
    #[must_use]
    pub fn link(self, path: &str) -> String {
        self.acting.with_value(|acting| acting.link(path))
    }
}
