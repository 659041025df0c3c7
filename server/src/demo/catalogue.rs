//! What the demo sells. Estimates are what the simulated bidders think a thing is worth.

use crate::ids;
use crate::ledger::lots::{NewLot, NewTerms};
use shared::auction::{Dutch, Increments, Mechanism, english::Band};
use shared::{Currency, Money, PrincipalId};

/// A thing of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Thing {
    /// Its name.
    pub title: &'static str,
    /// What it is.
    pub description: &'static str,
    /// The illustration's name.
    pub art: &'static str,
    /// What it is worth, in dollars.
    pub estimate: i64,
    /// How it is sold.
    pub mechanism: Mechanism,
}

const fn thing(
    mechanism: Mechanism,
    art: &'static str,
    estimate: i64,
    title: &'static str,
    description: &'static str,
) -> Thing {
    Thing {
        title,
        description,
        art,
        estimate,
        mechanism,
    }
}

/// Everything, by mechanism in the order in which it comes up.
pub const THINGS: [Thing; 16] = {
    use Mechanism::{Drop, Dutch, English};
    [
        thing(
            English,
            "clock",
            640,
            "Regulator wall clock",
            "Vienna pattern, one weight, walnut. Keeps time to a few seconds a week; the seconds hand is replaced.",
        ),
        thing(
            English,
            "guitar",
            2_400,
            "Parlour guitar, spruce and rosewood",
            "Small body, slotted head. A repaired crack beside the bridge; it sings.",
        ),
        thing(
            English,
            "camera",
            880,
            "Rangefinder camera with 50 mm lens",
            "Brassed at the edges, shutter true at every speed. With its leather case.",
        ),
        thing(
            English,
            "telescope",
            1_250,
            "Brass telescope on a tripod",
            "Three draws, 28 power, a maker's plate from Greenwich. Optics clean.",
        ),
        thing(
            English,
            "kimono",
            1_900,
            "Furisode kimono, cranes over waves",
            "Silk, hand-painted, about 1930. Worn once.",
        ),
        thing(
            English,
            "globe",
            720,
            "Terrestrial globe, twelve inches",
            "Varnished paper gores on plaster, meridian ring in steel. Ocean currents drawn in red.",
        ),
        thing(
            Dutch,
            "vase",
            420,
            "Blue and white vase, plum in blossom",
            "Cobalt under a clear glaze, a meiping shape. A hairline at the foot.",
        ),
        thing(
            Dutch,
            "chair",
            560,
            "Lounge chair, plum wool",
            "High back on a dark beech frame, covered anew. Stands level.",
        ),
        thing(
            Dutch,
            "lamp",
            310,
            "Reading lamp, green glass",
            "The shade is cased glass, the foot is brass. Rewired.",
        ),
        thing(
            Dutch,
            "typewriter",
            380,
            "Portable typewriter, pica",
            "Every key strikes, the bell rings. Ribbon included.",
        ),
        thing(
            Dutch,
            "radio",
            260,
            "Valve radio in walnut",
            "Medium and short wave, magic eye. Warms up in twenty seconds.",
        ),
        thing(
            Dutch,
            "watch",
            1_450,
            "Hand-wound chronograph",
            "Cream dial, three registers, serviced this year.",
        ),
        thing(
            Drop,
            "sneaker",
            120,
            "Courier running shoe, first edition",
            "Fifty pairs, numbered on the tongue. Two a person.",
        ),
        thing(
            Drop,
            "poster",
            45,
            "Zero: letterpress poster",
            "Two colours on cotton paper, printed for the house. Fifty pulled.",
        ),
        thing(
            Drop,
            "teapot",
            85,
            "Studio teapot, ash glaze",
            "Thrown in one afternoon, fifty in all. Pours without a drip.",
        ),
        thing(
            Drop,
            "camellia",
            30,
            "Camellia, rooted cutting",
            "From the house's own tree. Fifty pots, to be planted by spring.",
        ),
    ]
};

fn dollars(amount: i64) -> Money {
    // The catalogue's numbers are small and constant.
    Money::new(amount * 100, Currency::Usd).unwrap_or(Money::zero(Currency::Usd))
}

/// The house's increment bands: about five to ten per cent of the price.
#[must_use]
pub fn increments() -> Increments {
    let band = |(from, increment): (i64, i64)| Band {
        from_minor: from * 100,
        increment_minor: increment * 100,
    };
    let bands = [
        (0, 5),
        (100, 10),
        (500, 25),
        (1_000, 50),
        (5_000, 250),
        (20_000, 1_000),
    ];
    Increments::new(bands.map(band).to_vec()).unwrap_or_else(|| Increments::flat(500))
}

/// A lot of a thing. `spread` between 0 and 99 varies its length, so that lots do not end together.
#[must_use]
pub fn lot(thing: &Thing, seller: PrincipalId, spread: i64) -> NewLot {
    let seconds = 1_000;
    // Two and a half to five minutes of two seconds each, in steps of whole five cents.
    let (tick_ms, fall_minor) = (2 * seconds, thing.estimate * 150);
    let step_minor = (fall_minor / (75 + spread * 3 / 4) / 5 * 5).max(5);
    let ticks = (fall_minor + step_minor - 1) / step_minor;
    let (duration_ms, terms) = match thing.mechanism {
        Mechanism::English => (
            (180 + 3 * spread) * seconds,
            NewTerms::English {
                opening: dollars(thing.estimate / 4),
                increments: increments(),
                reserve: (thing.estimate > 1_000).then(|| dollars(thing.estimate / 2)),
                extension_window_ms: 20 * seconds,
                max_extension_ms: 300 * seconds,
            },
        ),
        // From twice the estimate down to half of it; three ticks at the floor, and the next one
        // follows. So a price is always falling somewhere.
        Mechanism::Dutch => (
            (ticks + 3) * tick_ms,
            NewTerms::Dutch(Dutch {
                start: dollars(thing.estimate * 2),
                floor: dollars(thing.estimate / 2),
                step_minor,
                tick_ms,
            }),
        ),
        Mechanism::Drop => (
            (300 + 2 * spread) * seconds,
            NewTerms::Drop {
                price: dollars(thing.estimate),
                units: 50,
                limit: Some(2),
            },
        ),
    };
    NewLot {
        id: ids::lot(),
        seller,
        title: thing.title.into(),
        description: thing.description.into(),
        art: thing.art.into(),
        currency: Currency::Usd,
        opens_in_ms: 0,
        duration_ms,
        listed: true,
        terms,
    }
}
