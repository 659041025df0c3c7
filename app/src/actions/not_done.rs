//! Why a money command was not done, as the wire carries it.

use super::calls::is_unreadable;
use crate::lean::reads_with_lean;
use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use serde::Serialize;
use shared::auction::Refusal;

/// Why a money command was not done. The transport reads any answer of 400 and above as an error,
/// so a refusal travels here too; it stays a decided answer of its own, apart from failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "not_done", rename_all = "snake_case")]
pub enum NotDone {
    /// The rules said no. Decided: the next try is a new command.
    Refused(Refusal),
    /// The form cannot be read. Nothing was asked of the ledger.
    Invalid {
        /// What is wrong.
        code: Problem,
        /// The field that is.
        field: String,
    },
    /// The infrastructure did not do it.
    Failed {
        /// How.
        code: Fault,
    },
}

/// What is wrong with a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The amount is none, has too many decimals, or is out of range.
    InvalidAmount,
    /// The lot's id is malformed.
    InvalidId,
    /// The currency is unknown.
    InvalidCurrency,
    /// The key is missing, too long or has strange characters.
    InvalidKey,
    /// The number of units is none.
    InvalidUnits,
    /// A field is missing, twice there, or unknown.
    InvalidForm,
}

impl Problem {
    pub(crate) const ALL: [Self; 6] = [
        Self::InvalidAmount,
        Self::InvalidId,
        Self::InvalidCurrency,
        Self::InvalidKey,
        Self::InvalidUnits,
        Self::InvalidForm,
    ];

    /// The code as the wire has it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidAmount => "invalid_amount",
            Self::InvalidId => "invalid_id",
            Self::InvalidCurrency => "invalid_currency",
            Self::InvalidKey => "invalid_key",
            Self::InvalidUnits => "invalid_units",
            Self::InvalidForm => "invalid_form",
        }
    }

    /// The problem of a code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| problem.code() == code)
    }

    /// The problem as one would say it, with the next step.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::InvalidAmount => {
                "That is not an amount. Write it like 1250 or 1,250.50, without signs."
            }
            Self::InvalidId => "There is no lot with that number. Go back to the floor.",
            Self::InvalidCurrency => "The house does not know that currency.",
            Self::InvalidKey => "This form was not made by this page. Reload the page.",
            Self::InvalidUnits => "Write the number of units as a whole number, like 2.",
            Self::InvalidForm => "This form was not complete. Reload the page.",
        }
    }
}

/// How the infrastructure failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A guest cannot do this.
    SignIn,
    /// Nothing happened.
    Unavailable,
    /// Whether it happened is not known; only the same key may be tried again.
    Unknown,
    /// The key belongs to another command.
    KeyReused,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [
        Self::SignIn,
        Self::Unavailable,
        Self::Unknown,
        Self::KeyReused,
    ];

    /// The code as the wire has it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::KeyReused => "key_reused",
        }
    }

    /// The fault of a code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.code() == code)
    }

    /// The fault as one would say it, with the next step.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::SignIn => "Choose who you are first: the menu is at the top of the page.",
            Self::Unavailable => "The house could not answer in time. Nothing happened. Try again.",
            Self::Unknown => {
                "We do not know yet whether this went through. Press again: it cannot happen twice."
            }
            Self::KeyReused => "This form was used for something else already. Reload the page.",
        }
    }
}

/// The sentence for a code that a redirect carries in `problem=`.
#[must_use]
pub fn sentence_of(code: &str) -> Option<&'static str> {
    let fault = || Fault::of_code(code).map(Fault::sentence);
    Problem::of_code(code).map(Problem::sentence).or_else(fault)
}

impl NotDone {
    /// The code, whatever the kind.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Invalid { code, .. } => code.code(),
            Self::Failed { code } => code.code(),
        }
    }

    /// The HTTP status it travels with.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Refused(_) => 409,
            Self::Invalid { .. }
            | Self::Failed {
                code: Fault::KeyReused,
            } => 422,
            Self::Failed {
                code: Fault::SignIn,
            } => 401,
            Self::Failed {
                code: Fault::Unavailable | Fault::Unknown,
            } => 503,
        }
    }

    /// The same in words.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.sentence(),
            Self::Invalid { code, .. } => code.sentence().to_owned(),
            Self::Failed { code } => code.sentence().to_owned(),
        }
    }

    /// Whether the next try must carry the same key: the command may still happen, or has not
    /// been decided.
    #[must_use]
    pub const fn keeps_key(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::Failed {
                code: Fault::KeyReused,
            } => false,
            Self::Invalid { .. } | Self::Failed { .. } => true,
        }
    }
}

reads_with_lean!(NotDone);

impl FromServerFnError for NotDone {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        let not_done = if is_unreadable(&error) {
            Self::Invalid {
                code: Problem::InvalidForm,
                field: "form".to_owned(),
            }
        } else {
            Self::Failed {
                code: Fault::Unknown,
            }
        };
        #[cfg(feature = "ssr")]
        super::desk::answer_unread(&not_done);
        not_done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{Currency, Money};

    #[test]
    fn the_wire_names_every_reason_by_one_code() {
        let minimum = Money::new(42_000, Currency::Usd).expect("in range");
        let refused = NotDone::Refused(Refusal::TooLow { minimum });
        let json = serde_json::to_value(&refused).expect("writes");
        assert_eq!(json["not_done"], "refused");
        assert_eq!(json["code"], "too_low");
        assert_eq!(json["minimum"]["minor"], 42_000);
        let invalid = NotDone::Invalid {
            code: Problem::InvalidAmount,
            field: "amount".into(),
        };
        let text = serde_json::to_string(&invalid).expect("writes");
        assert_eq!(
            text,
            r#"{"not_done":"invalid","code":"invalid_amount","field":"amount"}"#
        );
        for one in [refused, invalid] {
            let text = serde_json::to_string(&one).expect("writes");
            let read: NotDone = serde_json::from_str(&text).expect("reads");
            assert_eq!(read, one);
        }
    }

    #[test]
    fn only_a_decided_answer_lets_go_of_its_key() {
        assert!(!NotDone::Refused(Refusal::Ended).keeps_key());
        for (code, keeps) in [
            (Fault::Unknown, true),
            (Fault::Unavailable, true),
            (Fault::SignIn, true),
            (Fault::KeyReused, false),
        ] {
            assert_eq!(NotDone::Failed { code }.keeps_key(), keeps, "{code:?}");
        }
    }

    #[test]
    fn codes_in_links_are_words_of_ours_or_nothing() {
        for problem in Problem::ALL {
            assert_eq!(sentence_of(problem.code()), Some(problem.sentence()));
        }
        for fault in Fault::ALL {
            assert_eq!(sentence_of(fault.code()), Some(fault.sentence()));
        }
        assert_eq!(sentence_of("<script>"), None);
    }

    #[test]
    fn what_the_transport_could_not_say_is_not_called_a_failure() {
        let lost = NotDone::from_server_fn_error(ServerFnErrorErr::Request("reset".into()));
        assert_eq!(lost.code(), "unknown");
        let unread = NotDone::from_server_fn_error(ServerFnErrorErr::Args("field".into()));
        assert_eq!(unread.code(), "invalid_form");
    }
}
