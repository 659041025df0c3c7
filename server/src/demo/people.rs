//! The demo's people: five whom a browser may step in as, the sellers, and the simulated crowd.

use crate::ids;
use shared::view::Person;
use shared::{PrincipalId, Region};

/// Whom a browser may step in as, with the Region where they live.
pub const BIDDERS: [(&str, &str, Region); 5] = [
    ("amara", "Amara Okafor", Region::Ireland),
    ("diego", "Diego Fuentes", Region::Oregon),
    ("kenji", "Kenji Watanabe", Region::Tokyo),
    ("lena", "Lena Hartmann", Region::Frankfurt),
    ("minjun", "Kim Min-jun", Region::Seoul),
];

/// Who sells; a browser may step in as the house, to see that it cannot bid on its own lots.
pub const SELLERS: [(&str, &str); 2] = [("house", "The house"), ("oku", "Maison Oku")];

/// The simulated crowd.
pub const CROWD: [(&str, &str, Region); 8] = [
    ("sim-ada", "Ada", Region::Virginia),
    ("sim-bela", "Béla", Region::Frankfurt),
    ("sim-chidi", "Chidi", Region::Ireland),
    ("sim-emi", "Emi", Region::Tokyo),
    ("sim-hana", "Hana", Region::Seoul),
    ("sim-joao", "João", Region::Virginia),
    ("sim-mira", "Mira", Region::Oregon),
    ("sim-otto", "Otto", Region::Frankfurt),
];

/// A person to be registered; the ledger keeps the id of whoever has the handle already.
#[must_use]
pub fn person(handle: &str, name: &str, simulated: bool) -> Person {
    Person {
        id: PrincipalId::from_uuid(ids::lot().uuid()),
        handle: handle.into(),
        name: name.into(),
        simulated,
    }
}
