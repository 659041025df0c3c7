//! What touches the world: the ledger, the firehose, the sockets and the command line.

pub mod clock;
pub mod events;
pub mod firehose;
pub mod ids;
pub mod live;
