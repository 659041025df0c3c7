//! The messages of a room as a tab knows them: confirmed ones, and its own on their way.

use shared::view::{ChatMessage, Person};
use shared::{Region, Timestamp};

/// Messages kept in the tab; older ones are let go.
const MAX_MESSAGES: usize = 200;

/// How a message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The house has it.
    Kept,
    /// On its way.
    Pending,
    /// Not kept, and why.
    Failed(String),
}

/// A message in the tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatLine {
    /// The sender's own id for it.
    pub client_id: String,
    /// Who wrote it.
    pub who: Person,
    /// Where they were.
    pub region: Region,
    /// The text.
    pub text: String,
    /// When, as far as known.
    pub at: Timestamp,
    /// How it stands.
    pub sent: Sent,
    order: Option<shared::MessageId>,
}

impl ChatLine {
    /// The key of the line as it is drawn: it is drawn anew when its state changes.
    #[must_use]
    pub fn drawn_key(&self) -> String {
        let state = match self.sent {
            Sent::Kept => "kept",
            Sent::Pending => "pending",
            Sent::Failed(_) => "failed",
        };
        format!("{}{}{state}", self.who.id, self.client_id)
    }

    fn kept(message: &ChatMessage) -> Self {
        Self {
            client_id: message.client_id.clone(),
            who: message.who.clone(),
            region: message.region,
            text: message.text.clone(),
            at: message.at,
            sent: Sent::Kept,
            order: Some(message.id),
        }
    }
}

/// The messages, oldest first; those on their way come last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatLog {
    lines: Vec<ChatLine>,
}

impl ChatLog {
    /// The messages of a page.
    #[must_use]
    pub fn of(messages: &[ChatMessage]) -> Self {
        let mut log = Self::default();
        for message in messages {
            log.take(message);
        }
        log
    }

    /// The messages, oldest first.
    #[must_use]
    pub fn lines(&self) -> &[ChatLine] {
        &self.lines
    }

    /// Takes in a message; answers whether it was new.
    pub fn take(&mut self, message: &ChatMessage) -> bool {
        let kept = ChatLine::kept(message);
        let known = self
            .lines
            .iter()
            .position(|l| l.who.id == kept.who.id && l.client_id == kept.client_id);
        let is_new = match known {
            Some(place) => self.lines.remove(place).sent != Sent::Kept,
            None => true,
        };
        let place = self
            .lines
            .iter()
            .rposition(|line| line.order.is_some_and(|order| order < message.id))
            .map_or(0, |before| before + 1);
        self.lines.insert(place, kept);
        if self.lines.len() > MAX_MESSAGES {
            self.lines.remove(0);
        }
        is_new
    }

    /// Shows an own message before the house has it.
    pub fn send(&mut self, client_id: String, who: Person, region: Region, text: String) {
        let at = self.lines.last().map_or(Timestamp(0), |line| line.at);
        self.lines.push(ChatLine {
            client_id,
            who,
            region,
            text,
            at,
            sent: Sent::Pending,
            order: None,
        });
    }

    /// The house did not keep it.
    pub fn fail(&mut self, client_id: &str, why: String) {
        let mine = |line: &&mut ChatLine| line.client_id == client_id && line.sent == Sent::Pending;
        if let Some(line) = self.lines.iter_mut().find(mine) {
            line.sent = Sent::Failed(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Person {
        Person {
            id: format!("usr_{:032x}", 7).parse().expect("an id"),
            handle: "lena".into(),
            name: "Lena".into(),
            simulated: false,
        }
    }

    fn message(number: u32, client_id: &str) -> ChatMessage {
        ChatMessage {
            id: format!("msg_{number:032x}").parse().expect("an id"),
            client_id: client_id.into(),
            who: person(),
            region: Region::Seoul,
            text: "hello".into(),
            at: Timestamp(i64::from(number)),
        }
    }

    fn ids(log: &ChatLog) -> Vec<&str> {
        log.lines().iter().map(|l| l.client_id.as_str()).collect()
    }

    #[test]
    fn messages_stand_in_the_houses_order_each_once() {
        let mut log = ChatLog::of(&[message(1, "a"), message(3, "c")]);
        assert!(log.take(&message(2, "b")));
        assert!(!log.take(&message(2, "b")));
        assert_eq!(ids(&log), ["a", "b", "c"]);
    }

    #[test]
    fn an_own_message_is_shown_at_once_and_takes_its_place_when_kept() {
        let mut log = ChatLog::of(&[message(1, "a")]);
        log.send("mine".into(), person(), Region::Seoul, "hi".into());
        assert!(log.take(&message(2, "b")));
        assert_eq!(ids(&log), ["a", "b", "mine"]);
        assert!(log.take(&message(3, "mine")));
        assert_eq!(log.lines()[2].sent, Sent::Kept);
        log.fail("mine", "too late".into());
        assert_eq!(log.lines()[2].sent, Sent::Kept);
        log.send("lost".into(), person(), Region::Seoul, "hi".into());
        log.fail("lost", "Too many.".into());
        assert_eq!(log.lines()[3].sent, Sent::Failed("Too many.".into()));
    }

    #[test]
    fn the_tab_forgets_the_oldest() {
        let mut log = ChatLog::default();
        for number in 0..250 {
            log.take(&message(number, &number.to_string()));
        }
        assert_eq!(log.lines().len(), MAX_MESSAGES);
        assert_eq!(log.lines()[0].client_id, "50");
    }
}
