//! The fields of the money forms, all text: they are read strictly on the server.

use serde::{Deserialize, Serialize};

/// A bid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BidForm {
    /// The lot.
    pub lot: String,
    /// The amount in major units, as typed.
    pub amount: String,
    /// The currency's code.
    pub currency: String,
    /// The idempotency key.
    pub key: String,
    /// The handle of who acts.
    pub acting_as: String,
    /// The code of the Region they act in.
    pub acting_in: String,
}

/// A claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimForm {
    /// The lot.
    pub lot: String,
    /// The number of units.
    pub units: String,
    /// The highest price per unit agreed to, in minor units.
    pub max_price: String,
    /// The currency's code.
    pub currency: String,
    /// The idempotency key.
    pub key: String,
    /// The handle of who acts.
    pub acting_as: String,
    /// The code of the Region they act in.
    pub acting_in: String,
}

/// The wish to settle a lot that is due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleForm {
    /// The lot.
    pub lot: String,
    /// The idempotency key.
    pub key: String,
    /// The handle of who acts.
    pub acting_as: String,
    /// The code of the Region they act in.
    pub acting_in: String,
}

/// A top-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopUpForm {
    /// The amount in major units, as typed.
    pub amount: String,
    /// The currency's code.
    pub currency: String,
    /// The idempotency key.
    pub key: String,
    /// The handle of who acts.
    pub acting_as: String,
    /// The code of the Region they act in.
    pub acting_in: String,
}

/// Makes a server function's arguments read exactly like its form: the generated struct would
/// accept unknown fields, the form does not.
macro_rules! reads_as_its_form {
    ($($arguments:ty => $form:ty,)*) => {$(
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
