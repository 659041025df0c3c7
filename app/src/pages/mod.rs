//! The pages.

mod floor;
mod floor_state;
mod not_found;
mod room;
mod still;
mod wallet;

pub use floor::Floor;
pub use not_found::{Broken, NotFound};

use crate::actions::{KeptOutcome, Said, sentence_of};
use crate::components::{Acted, claimed};
use crate::erase::{Erase, drawn};
use crate::words;
use leptos::prelude::*;
use leptos_router::hooks::use_location;
use room::Room;
use shared::PrincipalId;
use shared::auction::Mechanism;
use still::Still;
use wallet::Wallet;

/// Every page but the floor. One route for all of them: each more is compiled into the router in
/// many ways.
#[component]
pub fn Rest() -> impl IntoView {
    let path = use_location().pathname;
    drawn(move || {
        let path = path.get();
        let path = path.trim_end_matches('/');
        let lot = path.strip_prefix("/lots/").filter(|lot| !lot.contains('/'));
        match (path, lot) {
            // On the way to the floor.
            ("", _) => view! { <div></div> }.erase(),
            ("/wallet", _) => view! { <Wallet/> }.erase(),
            (_, Some(lot)) => view! { <Room lot=lot.to_owned()/> }.erase(),
            (path, None) => view! { <Still path=path.to_owned()/> }.erase(),
        }
    })
}

/// What a plain form led to, as the page says it.
fn acted(said: Said, viewer: Option<PrincipalId>, mechanism: Mechanism) -> Option<Acted> {
    let done = |sentence| {
        Some(Acted {
            done: true,
            sentence,
        })
    };
    let not_done = |sentence| {
        Some(Acted {
            done: false,
            sentence,
        })
    };
    match said {
        Said::Problem { code } => not_done(sentence_of(&code)?.to_owned()),
        Said::Decided { answer } => match *answer {
            KeptOutcome::Bid(receipt) => {
                done(format!("Your bid of {} is in.", receipt.line.amount))
            }
            KeptOutcome::Claim(receipt) => done(claimed(&receipt, mechanism)),
            KeptOutcome::Settle(receipt) => done(words::outcome(&receipt.outcome, viewer)),
            KeptOutcome::TopUp(receipt) => done(format!("{} came in.", receipt.amount)),
            KeptOutcome::Refused(refusal) => not_done(refusal.sentence()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::auction::Refusal;

    #[test]
    fn a_plain_form_is_answered_in_words() {
        let said = |code: &str| Said::Problem { code: code.into() };
        let acted_on = |said| acted(said, None, Mechanism::English);
        let problem = acted_on(said("invalid_amount")).expect("known");
        assert!(!problem.done && problem.sentence.contains("not an amount"));
        assert_eq!(acted_on(said("<b>")), None);
        let refused = Said::Decided {
            answer: Box::new(KeptOutcome::Refused(Refusal::Ended)),
        };
        let refused = acted_on(refused).expect("decided");
        assert_eq!(refused.sentence, Refusal::Ended.sentence());
    }
}
