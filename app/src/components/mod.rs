//! The parts pages are made of.

mod chart;
mod command;
mod control;
mod crowd;
mod header;
mod icons;
mod ladder;
mod lot_card;
mod notices;
mod outcome;
mod price;
mod timing;

pub use chart::PriceChart;
pub use command::{Acted, ActionMessage, ActorFields, Command};
pub use control::{Control, claimed};
pub use crowd::Crowd;
pub use header::Header;
pub use icons::{FALLING, FIXED, HAMMER, Mark, PERSON, RISING, Sign};
pub use ladder::Ladder;
pub use lot_card::{Labelled, LotCard, SettledCard};
pub use notices::{Announcer, StaleBanner, ToastList};
pub use price::{Amount, Price, length_word};
pub use timing::{Clock, PersonName, TickBar};
