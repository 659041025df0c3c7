//! A name that people read: a merchant's, an item's.

use core::fmt;

/// The longest name, in characters.
pub const MAX_LABEL_CHARS: usize = 120;

/// One line of text, 1 to [`MAX_LABEL_CHARS`] characters, that shows what it says: no control
/// characters, none that turn the direction of writing or have no width, no space at its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

/// The text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 120 visible characters")]
pub struct LabelError;

impl Label {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that hide, or make other characters stand elsewhere than they are.
const fn deceives(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
    )
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        let count = text.chars().count();
        let shows = |c: char| !c.is_control() && !deceives(c);
        if count == 0 || count > MAX_LABEL_CHARS || text.trim() != text || !text.chars().all(shows)
        {
            return Err(LabelError);
        }
        Ok(Self(text))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_what_they_say() {
        for good in ["Socks", "Ünïcode 靴下", "a", &"x".repeat(120)] {
            assert!(Label::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            " a",
            "a ",
            "a\nb",
            "a\0",
            "a\u{202e}b",
            "a\u{200b}b",
            &"x".repeat(121),
        ] {
            assert_eq!(Label::try_from(bad.to_owned()), Err(LabelError), "{bad:?}");
        }
    }
}
