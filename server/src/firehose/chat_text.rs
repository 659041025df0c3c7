//! What a chat message may contain. Pure.
//!
//! Text that people type is shown to strangers, so whatever could hide, reorder or overflow what
//! is shown around it goes: control characters, bidi marks, invisible characters, towers of
//! combining marks. The joiner inside an emoji stays.

use shared::view::MAX_CHAT_GRAPHEMES;
use unicode_segmentation::UnicodeSegmentation;

/// The longest message in bytes. 280 graphemes of ordinary text are at most about 3,400; one
/// grapheme alone may be endless (emoji joined in a chain), so graphemes are not enough.
pub const MAX_CHAT_BYTES: usize = 4_096;

/// Combining marks that one character may carry.
const MAX_MARKS: usize = 3;

const JOINER: char = '\u{200D}';
const TEXT_STYLE: char = '\u{FE0E}';
const EMOJI_STYLE: char = '\u{FE0F}';

/// Why a text is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextRefusal {
    /// Nothing is left of it.
    #[error("the message is empty")]
    Empty,
    /// It is longer than [`MAX_CHAT_GRAPHEMES`].
    #[error("the message is longer than {MAX_CHAT_GRAPHEMES} characters")]
    TooLong,
}

/// Cleans a text; what comes out, cleaned again, stays as it is.
pub fn clean(text: &str) -> Result<String, TextRefusal> {
    let visible: Vec<char> = text.chars().filter_map(visible).collect();
    let joined = drop_stray_joiners(&visible);
    let leading = |c: char| c.is_whitespace() || is_mark(c);
    let trimmed = joined.trim_end().trim_start_matches(leading);
    let clean = limit_marks(trimmed);
    if clean.is_empty() {
        return Err(TextRefusal::Empty);
    }
    if clean.len() > MAX_CHAT_BYTES || clean.graphemes(true).count() > MAX_CHAT_GRAPHEMES {
        return Err(TextRefusal::TooLong);
    }
    Ok(clean)
}

/// The character as it may be shown: any white space is a space, and what cannot be seen goes.
fn visible(c: char) -> Option<char> {
    if c.is_whitespace() {
        return Some(' ');
    }
    if c.is_control() {
        return None;
    }
    let hidden = matches!(c,
        // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
        '\u{AD}' | '\u{61C}' | '\u{180E}'
        // Zero-width space and non-joiner, left-to-right and right-to-left marks.
        | '\u{200B}' | '\u{200C}' | '\u{200E}' | '\u{200F}'
        // Bidi embeddings and overrides; word joiner, invisible operators, bidi isolates and
        // the deprecated format characters.
        | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        // Fillers of Hangul, which look like nothing.
        | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}'
        // Grapheme joiner, byte order mark, interlinear annotation.
        | '\u{34F}' | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFB}'
        // Variants of letters; those of emoji are looked at later.
        | '\u{FE00}'..='\u{FE0D}' | '\u{180B}'..='\u{180F}'
        // Tags and supplementary variants.
        | '\u{E0000}'..='\u{E0FFF}');
    (!hidden).then_some(c)
}

/// Keeps a joiner only between two emoji, and an emoji's style only behind one.
fn drop_stray_joiners(chars: &[char]) -> String {
    let mut kept = String::with_capacity(chars.len());
    let mut before: Option<char> = None;
    for (index, &c) in chars.iter().enumerate() {
        let keep = match c {
            JOINER => {
                let after = chars.get(index + 1).copied();
                before.is_some_and(ends_emoji) && after.is_some_and(is_pictographic)
            }
            TEXT_STYLE | EMOJI_STYLE => {
                before.is_some_and(|b| is_pictographic(b) || is_keycap_base(b))
            }
            _ => true,
        };
        if keep {
            kept.push(c);
            before = Some(c);
        }
    }
    kept
}

fn limit_marks(text: &str) -> String {
    let mut marks = 0_usize;
    text.chars()
        .filter(|&c| {
            marks = if is_mark(c) { marks + 1 } else { 0 };
            marks <= MAX_MARKS
        })
        .collect()
}

/// Whether a character clings to the one before it. Emoji parts are no marks.
fn is_mark(c: char) -> bool {
    if c.is_ascii() || matches!(c, JOINER | TEXT_STYLE | EMOJI_STYLE) || is_skin_tone(c) {
        return false;
    }
    let pair = String::from_iter(['a', c]);
    pair.graphemes(true).nth(1).is_none()
}

fn ends_emoji(c: char) -> bool {
    is_pictographic(c) || is_skin_tone(c) || c == EMOJI_STYLE
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1F3FB}'..='\u{1F3FF}')
}

fn is_keycap_base(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '#' | '*')
}

/// The blocks that hold pictographs; a little wider than Unicode's list, which is harmless here.
fn is_pictographic(c: char) -> bool {
    let block = matches!(c,
        '\u{A9}' | '\u{AE}' | '\u{203C}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{23FF}' | '\u{24C2}'
        | '\u{25A0}'..='\u{27BF}' | '\u{2934}' | '\u{2935}' | '\u{2B00}'..='\u{2BFF}'
        | '\u{3030}' | '\u{303D}' | '\u{3297}' | '\u{3299}'
        | '\u{1F000}'..='\u{1F1E5}' | '\u{1F200}'..='\u{1FAFF}');
    block && !is_skin_tone(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_text_stays() {
        let family = "👩🏽\u{200D}🚀 👨\u{200D}👩\u{200D}👧 ❤\u{FE0F}\u{200D}🔥 1\u{FE0F}\u{20E3}";
        for text in [
            "going once",
            "größer, 東京, สวัสดี",
            "नमस्ते",
            family,
            "e\u{301}",
        ] {
            assert_eq!(clean(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_hides_or_reorders_goes() {
        for (dirty, clear) in [
            ("  a\tb\nc  ", "a b c"),
            ("a\u{0}\u{7}b\u{1B}[31m", "ab[31m"),
            ("pay \u{202E}001\u{202C}\u{2066}x\u{2069}", "pay 001x"),
            ("a\u{200B}\u{FEFF}\u{2060}\u{200C}b\u{AD}c", "abc"),
            ("a\u{200D}b", "ab"),
            ("👩\u{200D}\u{200B}🚀", "👩\u{200D}🚀"),
            ("👩\u{200D}", "👩"),
            (
                "z\u{301}\u{302}\u{303}\u{304}\u{305}!",
                "z\u{301}\u{302}\u{303}!",
            ),
            (" \u{301}\u{302} a", "a"),
            ("<b>&amp;javascript:</b>", "<b>&amp;javascript:</b>"),
            ("a\u{E0041}\u{E007F}b", "ab"),
        ] {
            assert_eq!(clean(dirty).as_deref(), Ok(clear), "{dirty:?}");
        }
    }

    #[test]
    fn empty_and_too_long_are_refused() {
        for empty in [
            "",
            " \n\t ",
            "\u{200B}\u{202E}",
            "\u{301}\u{301}",
            "\u{3164}\u{3164}",
        ] {
            assert_eq!(clean(empty), Err(TextRefusal::Empty), "{empty:?}");
        }
        let longest = "ü".repeat(MAX_CHAT_GRAPHEMES);
        assert_eq!(clean(&longest).as_deref(), Ok(longest.as_str()));
        let families = "👨\u{200D}👩".repeat(MAX_CHAT_GRAPHEMES);
        assert_eq!(clean(&families).map(|t| t.len()), Ok(11 * 280));
        assert_eq!(clean(&format!("{longest}x")), Err(TextRefusal::TooLong));
        let chain = "👩\u{200D}".repeat(2_000) + "👩";
        assert_eq!(
            clean(&chain),
            Err(TextRefusal::TooLong),
            "one endless grapheme"
        );
    }

    fn odd_text() -> impl Strategy<Value = String> {
        let odd = prop_oneof![
            any::<char>(),
            prop::sample::select(vec![
                'a',
                ' ',
                '\n',
                '1',
                '👩',
                '🚀',
                '🏽',
                '❤',
                '\u{200D}',
                '\u{FE0F}',
                '\u{FE0E}',
                '\u{301}',
                '\u{302}',
                '\u{202E}',
                '\u{2066}',
                '\u{200B}',
                '\u{1160}',
                '\u{1F1E6}',
                '\u{20E3}',
                '\u{915}',
                '\u{94D}',
                '\u{AC00}',
            ]),
        ];
        proptest::collection::vec(odd, 0..60).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn what_is_clean_is_safe_and_stays(text in odd_text()) {
            let Ok(once) = clean(&text) else { return Ok(()); };
            let again = clean(&once);
            prop_assert_eq!(again.as_deref(), Ok(once.as_str()));
            prop_assert!(once.graphemes(true).count() <= MAX_CHAT_GRAPHEMES);
            prop_assert_eq!(once.trim(), once.as_str());
            let unsafe_left = once.chars().any(|c| {
                c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
            });
            prop_assert!(!unsafe_left);
            let marks: Vec<bool> = once.chars().map(is_mark).collect();
            prop_assert!(!marks.windows(MAX_MARKS + 1).any(|run| run.iter().all(|m| *m)));
        }
    }
}
