//! The live plane's contract: the socket's frames, the estimate of the server's clock, and the
//! reducer that turns events into what a page shows.

mod backoff;
mod clock;
mod protocol;
mod reducer;

pub use backoff::{After, Backoff, after_close};
pub use clock::ClockOffset;
pub use protocol::{
    Channel, ChannelError, ClientFrame, ErrorCode, LotEvent, MAX_FRAME_BYTES, Position, Push,
    SUBPROTOCOL, ServerFrame, ServerMessage, Snapshot, close_code,
};
pub use reducer::{Applied, apply, apply_units_left};
