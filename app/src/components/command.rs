//! The life of a money form: pressed, pending, answered. Never optimistic: nothing is shown as
//! done before the ledger has said so, and a retry carries the same key.

use crate::actions::NotDone;
use crate::erase::{Erase, drawn};
use crate::house::House;
use crate::lean::Lean;
use crate::live::Live;
use leptos::prelude::*;
use shared::IdempotencyKey;
use std::pin::Pin;

/// What a form says about its last command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// Whether it was done.
    pub done: bool,
    /// The sentence.
    pub sentence: String,
}

/// The state of a form, apart from any page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FormState {
    key: Option<IdempotencyKey>,
    pending: bool,
    acted: Option<Acted>,
}

impl FormState {
    /// A press: the key to send, or `None` while one is pending or no key can be made.
    fn press(&mut self) -> Option<IdempotencyKey> {
        if self.pending {
            return None;
        }
        let key = self.key.clone()?;
        self.pending = true;
        self.acted = None;
        Some(key)
    }

    /// An answer. A decided command lets go of its key, an undecided one keeps it.
    fn answer(&mut self, answer: Result<String, NotDone>, fresh: Option<IdempotencyKey>) {
        self.pending = false;
        let keeps_key = matches!(&answer, Err(not_done) if not_done.keeps_key());
        if !keeps_key {
            self.key = fresh;
        }
        self.acted = Some(match answer {
            Ok(sentence) => Acted {
                done: true,
                sentence,
            },
            Err(not_done) => Acted {
                done: false,
                sentence: not_done.sentence(),
            },
        });
    }
}

/// A money form's command.
#[derive(Clone, Copy)]
pub struct Command {
    state: RwSignal<FormState>,
    live: Live,
    is_stale: Memo<bool>,
}

impl Command {
    /// A form whose page minted `key`, and what its last plain form led to.
    #[must_use]
    pub fn new(key: IdempotencyKey, acted: Option<Acted>) -> Self {
        let live = Live::expect();
        Self {
            state: RwSignal::new(FormState {
                key: Some(key),
                pending: false,
                acted,
            }),
            live,
            is_stale: live.is_stale(),
        }
    }

    /// The key as the form has it.
    #[must_use]
    pub fn key(self) -> String {
        self.state.with(|state| {
            let key = state.key.as_ref();
            key.map(|key| key.as_str().to_owned()).unwrap_or_default()
        })
    }

    /// Whether an answer is awaited.
    #[must_use]
    pub fn is_pending(self) -> bool {
        self.state.with(|state| state.pending)
    }

    /// Whether prices may be old: then the buttons are off. While a command is pending they only
    /// say so, since a button that is off loses the focus; a second press does nothing.
    #[must_use]
    pub fn is_stale(self) -> bool {
        self.is_stale.get()
    }

    /// What the last command led to.
    #[must_use]
    pub fn acted(self) -> Option<Acted> {
        self.state.with(|state| state.acted.clone())
    }

    /// Says something without a command, such as asking to confirm.
    pub fn say(self, sentence: String) {
        self.state.update(|state| {
            state.acted = Some(Acted {
                done: false,
                sentence,
            });
        });
    }

    /// Takes back what was said of a command that was done, once it is no longer news.
    pub fn forget_done(self) {
        let is_done = self
            .state
            .with_untracked(|state| state.acted.as_ref().is_some_and(|acted| acted.done));
        if is_done {
            self.state.update(|state| state.acted = None);
        }
    }

    /// A press: runs `send` with the key, then says what it led to.
    pub fn press<Sent, Receipt>(
        self,
        send: impl FnOnce(IdempotencyKey) -> Sent + 'static,
        say: impl FnOnce(&Receipt) -> String + 'static,
    ) where
        Sent: Future<Output = Result<Lean<Receipt>, NotDone>> + 'static,
        Receipt: 'static,
    {
        if self.is_stale.get_untracked() {
            return;
        }
        let Some(key) = self.state.try_update(FormState::press).flatten() else {
            return;
        };
        let sent = send(key);
        self.await_answer(Box::pin(async move {
            sent.await.map(|receipt| say(&receipt.value))
        }));
    }

    fn await_answer(self, answer: Pin<Box<dyn Future<Output = Result<String, NotDone>>>>) {
        leptos::task::spawn_local(async move {
            let answer = answer.await;
            let sentence = match &answer {
                Ok(sentence) => sentence.clone(),
                Err(not_done) => not_done.sentence(),
            };
            // The page may have been left meanwhile; the regions that speak outlive it.
            self.live.polite.set(sentence);
            let fresh = crate::browser::fresh_key();
            self.state.try_update(|state| state.answer(answer, fresh));
        });
    }
}

/// The hidden fields of who acts and where, and the key.
#[component]
pub fn ActorFields(
    /// The form's command.
    command: Command,
) -> impl IntoView {
    let acting = House::expect().acting();
    view! {
        <input type="hidden" name="key" value=drawn(move || command.key())/>
        <input type="hidden" name="acting_as" value=acting.as_field()/>
        <input type="hidden" name="acting_in" value=acting.in_field()/>
    }
    .erase()
}

/// What the last command led to, in words.
#[component]
pub fn ActionMessage(
    /// The form's command.
    command: Command,
) -> impl IntoView {
    view! {
        <div class="said" aria-live="off">
            {drawn(move || {
                command
                    .acted()
                    .map(|acted| {
                        let tone = if acted.done { "good" } else { "bad" };
                        view! {
                            <p class="action-message" data-testid="action-message" data-tone=tone>
                                {acted.sentence}
                            </p>
                        }
                    })
            })}
        </div>
    }
    .erase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::Fault;
    use shared::auction::Refusal;

    fn key(text: &str) -> IdempotencyKey {
        text.parse().expect("a key")
    }

    fn form() -> FormState {
        FormState {
            key: Some(key("k-1")),
            pending: false,
            acted: None,
        }
    }

    #[test]
    fn a_second_press_does_nothing_while_one_is_pending() {
        let mut form = form();
        assert_eq!(form.press(), Some(key("k-1")));
        assert_eq!(form.press(), None);
    }

    #[test]
    fn a_retry_after_a_failure_carries_the_same_key_and_a_decided_answer_does_not() {
        let mut form = form();
        let unknown = NotDone::Failed {
            code: Fault::Unknown,
        };
        form.press();
        form.answer(Err(unknown), Some(key("k-2")));
        assert_eq!(form.press(), Some(key("k-1")));
        form.answer(Err(NotDone::Refused(Refusal::Ended)), Some(key("k-3")));
        assert_eq!(form.press(), Some(key("k-3")));
        form.answer(Ok("You lead.".into()), Some(key("k-4")));
        assert_eq!(form.key, Some(key("k-4")));
        assert!(form.acted.as_ref().is_some_and(|acted| acted.done));
    }

    #[test]
    fn without_a_fresh_key_nothing_more_is_sent() {
        let mut form = form();
        form.press();
        form.answer(Ok("You lead.".into()), None);
        assert_eq!(form.press(), None);
    }
}
