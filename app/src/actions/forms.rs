//! The fields of forms, all text: they are read strictly on the server.

use serde::{Deserialize, Serialize};

/// A form's fields as they are sent.
pub trait Fields {
    /// Names and values.
    fn fields(&self) -> Vec<(&'static str, &str)>;
}

macro_rules! forms {
    ($($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* })*) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$doc])* pub $field: String,)*
        }

        impl Fields for $name {
            fn fields(&self) -> Vec<(&'static str, &str)> {
                vec![$((stringify!($field), self.$field.as_str())),*]
            }
        }
    )*};
}

forms! {
    /// A bid.
    BidForm {
        /// The lot.
        lot,
        /// The amount in major units, as typed.
        amount,
        /// The currency's code.
        currency,
        /// The idempotency key.
        key,
        /// The handle of who acts.
        acting_as,
        /// The code of the Region they act in.
        acting_in,
    }

    /// A claim.
    ClaimForm {
        /// The lot.
        lot,
        /// The number of units.
        units,
        /// The highest price per unit agreed to, in minor units.
        max_price,
        /// The currency's code.
        currency,
        /// The idempotency key.
        key,
        /// The handle of who acts.
        acting_as,
        /// The code of the Region they act in.
        acting_in,
    }

    /// The wish to settle a lot that is due.
    SettleForm {
        /// The lot.
        lot,
        /// The idempotency key.
        key,
        /// The handle of who acts.
        acting_as,
        /// The code of the Region they act in.
        acting_in,
    }

    /// A top-up.
    TopUpForm {
        /// The amount in major units, as typed.
        amount,
        /// The currency's code.
        currency,
        /// The idempotency key.
        key,
        /// The handle of who acts.
        acting_as,
        /// The code of the Region they act in.
        acting_in,
    }

    /// What a page asks for; what it does not need is empty.
    PageForm {
        /// The lot, for its room.
        lot,
        /// The currency's code, for the wallet.
        currency,
        /// The handle of who acts.
        acting_as,
        /// The code of the Region they act in.
        acting_in,
        /// The key whose outcome is to be shown, after a plain form.
        outcome,
        /// Why it was not decided, after a plain form.
        problem,
        /// The key to try again with, after a plain form.
        retry,
        /// The path, for a page that stands still.
        path,
        /// What is older than this is asked for: messages of a room, lines of the activity.
        before,
    }
}

/// Makes a server function's arguments read exactly like its form: the generated struct would
/// accept unknown fields, the form does not.
macro_rules! reads_as_its_form {
    ($($arguments:ty => $form:ty,)*) => {$(
        impl $crate::actions::forms::Fields for $arguments {
            fn fields(&self) -> Vec<(&'static str, &str)> {
                self.form.fields()
            }
        }

        impl serde::Serialize for $arguments {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(&self.form, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $arguments {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$form as serde::Deserialize>::deserialize(deserializer).map(|form| Self { form })
            }
        }
    )*};
}
pub(super) use reads_as_its_form;
