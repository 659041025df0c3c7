//! A system that is right by construction: clients whose requests take effect one at a time, at a
//! random moment between invocation and answer, or get lost on the way there or back.

use super::script::Script;
use crate::proof::history::{History, Operation, Reply};

/// A small generator (splitmix64): a seed is all that a failing case needs.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub fn small(&mut self, sides: u32) -> u32 {
        u32::try_from(self.below(u64::from(sides))).expect("below a u32")
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A state machine that answers operations, and thinks of new ones.
pub trait System {
    fn next(&mut self, dice: &mut Dice, name: &str) -> Operation;
    fn apply(&mut self, operation: &Operation) -> Reply;
}

/// Where a client's request is.
enum Client {
    Idle,
    Sent(Operation),
    Done(Reply),
}

/// Runs a number of operations by some clients; `lost` percent of the answers never arrive, and
/// half of those requests did not either, or arrive at the very end.
pub fn run(system: &mut impl System, dice: &mut Dice, ops: u32, width: u32, lost: u64) -> History {
    let mut script = Script::default();
    let mut clients: Vec<(u32, Client)> = (0..width).map(|it| (it, Client::Idle)).collect();
    let mut next_process = width;
    let mut left = ops;
    let mut late = Vec::new();
    while left > 0 || clients.iter().any(|(_, it)| !matches!(it, Client::Idle)) {
        let place = usize::try_from(dice.small(width)).expect("an index");
        let (process, client) = &mut clients[place];
        match std::mem::replace(client, Client::Idle) {
            Client::Idle if left == 0 => {}
            Client::Idle => {
                let operation = system.next(dice, &format!("k{left}"));
                left -= 1;
                script.invoke(*process, operation.clone());
                *client = Client::Sent(operation);
            }
            Client::Sent(operation) if dice.chance(lost) => {
                if dice.chance(50) {
                    late.push(operation);
                }
                script.unknown(*process);
                *process = next_process;
                next_process += 1;
            }
            Client::Sent(operation) => *client = Client::Done(system.apply(&operation)),
            Client::Done(_) if dice.chance(lost) => {
                script.unknown(*process);
                *process = next_process;
                next_process += 1;
            }
            Client::Done(reply) => {
                script.ok(*process, reply);
            }
        }
        if dice.chance(30)
            && let Some(operation) = late.pop()
        {
            system.apply(&operation);
        }
    }
    script.history
}
