//! The short messages at the edge of the page. Never the only record of anything.

use shared::LotId;

/// How long a message stays, in milliseconds: WCAG asks for time to read.
const STAY_MS: i64 = 8_000;
/// How long it stays after the pointer or the focus has left it.
const STAY_AFTER_HOLD_MS: i64 = 5_000;
/// Messages on the screen at once; the oldest gives way.
const MAX_TOASTS: usize = 4;

/// What a message is about, for its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something good.
    Good,
    /// Something lost.
    Bad,
    /// Just so one knows.
    Plain,
}

impl Tone {
    /// The word the style sheet knows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Plain => "plain",
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    /// Unique in the tab.
    pub id: u32,
    /// What it says.
    pub text: String,
    /// The lot it leads to.
    pub lot: Option<LotId>,
    /// Its mark.
    pub tone: Tone,
    leaves_at_ms: i64,
    held: bool,
}

/// The messages on the screen, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toasts {
    list: Vec<Toast>,
    last_id: u32,
}

impl Toasts {
    /// Shows a message from `now_ms` on.
    pub fn show(&mut self, text: String, lot: Option<LotId>, tone: Tone, now_ms: i64) {
        self.last_id = self.last_id.wrapping_add(1);
        self.list.push(Toast {
            id: self.last_id,
            text,
            lot,
            tone,
            leaves_at_ms: now_ms + STAY_MS,
            held: false,
        });
        if self.list.len() > MAX_TOASTS {
            self.list.remove(0);
        }
    }

    /// Takes one away.
    pub fn dismiss(&mut self, id: u32) {
        self.list.retain(|toast| toast.id != id);
    }

    /// Keeps one while the pointer or the focus is on it, and a while longer.
    pub fn hold(&mut self, id: u32, held: bool, now_ms: i64) {
        for toast in self.list.iter_mut().filter(|toast| toast.id == id) {
            toast.held = held;
            toast.leaves_at_ms = toast.leaves_at_ms.max(now_ms + STAY_AFTER_HOLD_MS);
        }
    }

    /// Whether one of them is due to leave.
    #[must_use]
    pub fn is_due(&self, now_ms: i64) -> bool {
        self.list.iter().any(|toast| toast.is_due(now_ms))
    }

    /// Lets those go whose time is over.
    pub fn sweep(&mut self, now_ms: i64) {
        self.list.retain(|toast| !toast.is_due(now_ms));
    }

    /// The messages, oldest first.
    #[must_use]
    pub fn list(&self) -> &[Toast] {
        &self.list
    }
}

impl Toast {
    const fn is_due(&self, now_ms: i64) -> bool {
        !self.held && now_ms >= self.leaves_at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_to_be_read_and_longer_while_it_is_held() {
        let mut toasts = Toasts::default();
        toasts.show("one".into(), None, Tone::Plain, 0);
        toasts.sweep(7_999);
        assert_eq!(toasts.list().len(), 1);
        toasts.hold(1, true, 7_999);
        assert!(!toasts.is_due(60_000));
        toasts.hold(1, false, 60_000);
        assert!(!toasts.is_due(64_999));
        assert!(toasts.is_due(65_000));
        toasts.sweep(65_000);
        assert!(toasts.list().is_empty());
    }

    #[test]
    fn old_ones_give_way_and_any_can_be_dismissed() {
        let mut toasts = Toasts::default();
        for n in 1..=6 {
            toasts.show(n.to_string(), None, Tone::Plain, 0);
        }
        let texts = |toasts: &Toasts| -> Vec<String> {
            toasts.list().iter().map(|t| t.text.clone()).collect()
        };
        assert_eq!(texts(&toasts), ["3", "4", "5", "6"]);
        toasts.dismiss(4);
        toasts.dismiss(99);
        assert_eq!(texts(&toasts), ["3", "5", "6"]);
    }
}
