//! Bytes as text, for what the ledger keeps as a key: Aurora DSQL takes no bytes there.

use std::fmt::Write;

/// Two small digits a byte.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}
