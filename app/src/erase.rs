//! Views without their types, so that the bundle carries little code for each.
//!
//! A typed view is compiled in many ways: drawn anew, taken over from the server's HTML, changed
//! in place, moved. Here a view can be drawn and taken over, and nothing else: where it changes,
//! it is drawn anew. [`drawn`] and [`rows`] do the same for closures and for lists.

use leptos::prelude::*;
use std::sync::{Arc, Mutex};

#[cfg(not(feature = "hydrate"))]
pub use leptos::prelude::AnyView as Plain;
#[cfg(feature = "hydrate")]
pub use plain::Plain;

/// Turns a view into one without its type.
pub trait Erase {
    /// The view without its type.
    fn erase(self) -> Plain;
}

#[cfg(not(feature = "hydrate"))]
impl<V: IntoView> Erase for V {
    fn erase(self) -> Plain {
        self.into_any()
    }
}

#[cfg(feature = "hydrate")]
impl<V: RenderHtml<State: 'static> + Send + 'static> Erase for V {
    fn erase(self) -> Plain {
        const {
            assert!(
                V::EXISTS,
                "a view that leaves no trace cannot be found again"
            )
        }
        Plain::of(self)
    }
}

/// A closure that views draw from, without its type.
pub type Drawn<T> = Arc<Mutex<dyn FnMut() -> T + Send>>;

/// Makes a closure that a view draws from again whenever what it reads changes.
pub fn drawn<T>(draw: impl FnMut() -> T + Send + 'static) -> Drawn<T> {
    Arc::new(Mutex::new(draw))
}

/// A value that is worked out again when what it reads changes, and tells only of changes.
pub fn kept<T: PartialEq + Send + Sync + 'static>(
    work_out: impl Fn() -> T + Send + Sync + 'static,
) -> Memo<T> {
    untyped_kept(Box::new(work_out))
}

fn untyped_kept<T: PartialEq + Send + Sync + 'static>(
    work_out: Box<dyn Fn() -> T + Send + Sync>,
) -> Memo<T> {
    Memo::new(move |_| work_out())
}

/// Does something in the browser now, and again whenever what it reads changes.
pub fn react(act: impl FnMut() + 'static) {
    untyped_react(Box::new(act));
}

fn untyped_react(mut act: Box<dyn FnMut()>) {
    Effect::new(move |_: Option<()>| act());
}

/// Shows a view while a condition holds.
pub fn only(
    when: impl FnMut() -> bool + Send + Sync + 'static,
    view: impl FnMut() -> Plain + Send + 'static,
) -> Drawn<Option<Plain>> {
    let (when, view) = (drawn(when), drawn(view));
    untyped_only(when, view)
}

fn untyped_only(when: Drawn<bool>, view: Drawn<Plain>) -> Drawn<Option<Plain>> {
    // Drawn again only when the answer changes.
    let when = kept(move || call(&when));
    drawn(move || when.get().then(|| call(&view)))
}

fn call<T>(closure: &Drawn<T>) -> T {
    // A panic in a closure ends the page, so nobody comes after it.
    let mut closure = closure.lock().unwrap_or_else(|broken| broken.into_inner());
    closure()
}

/// One row of a list: its key, and how it is drawn.
pub struct Row {
    key: String,
    draw: Box<dyn FnOnce() -> Plain + Send>,
}

impl Row {
    /// A row that stays as it is for as long as its key is in the list.
    pub fn new(key: impl ToString, draw: impl FnOnce() -> Plain + Send + 'static) -> Self {
        Self {
            key: key.to_string(),
            draw: Box::new(draw),
        }
    }
}

/// A list whose rows are drawn once and moved with their keys.
pub fn rows(each: impl FnMut() -> Vec<Row> + Send + 'static) -> Plain {
    untyped_rows(drawn(each))
}

fn untyped_rows(each: Drawn<Vec<Row>>) -> Plain {
    view! {
        <For each=move || call(&each) key=|row| row.key.clone() children=|row| (row.draw)()/>
    }
    .erase()
}

#[cfg(feature = "hydrate")]
mod plain {
    use leptos::attr::Attribute;
    use leptos::attr::any_attribute::AnyAttribute;
    use leptos::prelude::*;
    use leptos::tachys::hydration::Cursor;
    use leptos::tachys::renderer::types::{Element, Node};
    use leptos::tachys::view::add_attr::AddAnyAttr;
    use leptos::tachys::view::{Mountable, Position, PositionState};

    /// A view without its type.
    pub struct Plain(Box<dyn Draw>);

    /// What a page has to do with a view.
    trait Draw: Send {
        fn build(self: Box<Self>) -> Box<dyn Mountable>;
        fn hydrate(self: Box<Self>, cursor: &Cursor, at: &PositionState) -> Box<dyn Mountable>;
    }

    impl<V: RenderHtml<State: 'static>> Draw for V {
        fn build(self: Box<Self>) -> Box<dyn Mountable> {
            Box::new(Render::build(*self))
        }

        fn hydrate(self: Box<Self>, cursor: &Cursor, at: &PositionState) -> Box<dyn Mountable> {
            Box::new(RenderHtml::hydrate::<true>(*self, cursor, at))
        }
    }

    impl Plain {
        pub(super) fn of(view: impl RenderHtml<State: 'static> + 'static) -> Self {
            Self(Box::new(view))
        }
    }

    /// A view on the page.
    pub struct OnPage(Box<dyn Mountable>);

    impl Mountable for OnPage {
        fn unmount(&mut self) {
            self.0.unmount();
        }

        fn mount(&mut self, parent: &Element, marker: Option<&Node>) {
            self.0.mount(parent, marker);
        }

        fn insert_before_this(&self, child: &mut dyn Mountable) -> bool {
            self.0.insert_before_this(child)
        }

        fn elements(&self) -> Vec<Element> {
            self.0.elements()
        }
    }

    impl Render for Plain {
        type State = OnPage;

        fn build(self) -> OnPage {
            OnPage(self.0.build())
        }

        fn rebuild(self, state: &mut OnPage) {
            let mut new = self.build();
            state.insert_before_this(&mut new);
            state.unmount();
            *state = new;
        }
    }

    /// Attributes are never spread over views of the house.
    impl AddAnyAttr for Plain {
        type Output<SomeNewAttr: Attribute> = Self;

        fn add_any_attr<NewAttr: Attribute>(self, _attribute: NewAttr) -> Self {
            self
        }
    }

    impl RenderHtml for Plain {
        type AsyncOutput = Self;
        type Owned = Self;

        const MIN_LENGTH: usize = 0;

        fn dry_resolve(&mut self) {}

        async fn resolve(self) -> Self {
            self
        }

        /// The browser writes no HTML.
        fn to_html_with_buf(
            self,
            _html: &mut String,
            _position: &mut Position,
            _escape: bool,
            _mark_branches: bool,
            _extra_attrs: Vec<AnyAttribute>,
        ) {
        }

        fn hydrate<const FROM_SERVER: bool>(
            self,
            cursor: &Cursor,
            position: &PositionState,
        ) -> OnPage {
            OnPage(self.0.hydrate(cursor, position))
        }

        fn into_owned(self) -> Self {
            self
        }
    }
}
