//! Typed ids: one newtype per kind over a UUID, printed with a prefix so that a log line says
//! what it names. Making ids is the server's business; this crate only reads and prints them.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The text is no id of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {expected}<32 hexadecimal digits>")]
pub struct IdError {
    /// The prefix that ids of this kind have.
    pub expected: &'static str,
}

fn parse(text: &str, prefix: &'static str) -> Result<Uuid, IdError> {
    let error = IdError { expected: prefix };
    let digits = text.strip_prefix(prefix).ok_or(error)?;
    let canonical = digits.len() == 32
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !canonical {
        return Err(error);
    }
    Uuid::try_parse(digits).map_err(|_malformed| error)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The letters in front of the digits.
            pub const PREFIX: &'static str = $prefix;

            /// The id of this kind with the given number.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The number behind the prefix.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = Uuid::encode_buffer();
                f.write_str($prefix)?;
                f.write_str(self.0.simple().encode_lower(&mut digits))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $prefix).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A person or firm.
    PrincipalId = "usr_";
    /// What is sold.
    LotId = "lot_";
    /// An offer of a price.
    BidId = "bid_";
    /// A take of units at a stated price.
    ClaimId = "clm_";
    /// Money set aside for a bid.
    HoldId = "hld_";
    /// A balanced set of legs.
    TransferId = "tfr_";
    /// An outbox row.
    EventId = "evt_";
    /// A chat message.
    MessageId = "msg_";
    /// Who sells items to agents.
    MerchantId = "mer_";
    /// What agents buy.
    ItemId = "itm_";
    /// A budget that an agent may spend.
    MandateId = "mnd_";
    /// An agent's purchase, committed or refused.
    PurchaseId = "pur_";
    /// A secret that acts for its owner through the API.
    ApiKeyId = "key_";
    /// An address that hears of events through webhooks.
    WebhookEndpointId = "whe_";
    /// One event on its way to one webhook endpoint.
    DeliveryId = "dlv_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_and_reads_back() {
        let lot = LotId::from_uuid(Uuid::from_u128(0xABC));
        assert_eq!(lot.to_string(), "lot_00000000000000000000000000000abc");
        assert_eq!(lot.to_string().parse(), Ok(lot));
        let json = serde_json::to_string(&lot).expect("serialises");
        assert_eq!(serde_json::from_str::<LotId>(&json).expect("reads"), lot);
    }

    #[test]
    fn other_kinds_and_malformed_text_are_refused() {
        for bad in [
            "",
            "lot_",
            "bid_00000000000000000000000000000abc",
            "lot_00000000-0000-0000-0000-000000000abc",
            "lot_00000000000000000000000000000ABC",
            "lot_00000000000000000000000000000abcd",
            "lot_../../etc/passwd0000000000000000",
        ] {
            assert_eq!(
                bad.parse::<LotId>(),
                Err(IdError { expected: "lot_" }),
                "{bad:?}"
            );
        }
    }
}
