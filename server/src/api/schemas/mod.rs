//! What bodies, queries and replies look like, for the OpenAPI document. Nothing here is ever made:
//! bodies are read by `fields`, replies are written by whoever decides them, and the tests hold both
//! to these schemas.

pub mod bodies;
pub mod params;
pub mod problem;
pub mod resources;
pub mod scalars;
