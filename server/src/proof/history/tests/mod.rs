//! The checkers against histories that are right and histories with a planted violation: a checker
//! that has never caught anything proves nothing.

mod bank;
mod drop;
mod events;
mod isolation;
mod keys;
mod linear;
mod record;
mod script;
mod simulated;
