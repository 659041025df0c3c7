//! The messages of a room as a tab knows them: confirmed ones, and its own on their way.

use shared::view::{ChatMessage, ChatView, Person};
use shared::{MessageId, Region, Timestamp};

/// Messages kept in the tab; older ones are let go.
const MAX_MESSAGES: usize = 200;

/// Older messages that a tab asks for at most.
const MAX_OLDER: usize = 1_000;

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
    /// Its id, once the house has it.
    pub id: Option<MessageId>,
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

    /// Whether it is this message, kept or not.
    fn is(&self, message: &ChatMessage) -> bool {
        self.who.id == message.who.id && self.client_id == message.client_id
    }

    fn kept(message: &ChatMessage) -> Self {
        Self {
            client_id: message.client_id.clone(),
            who: message.who.clone(),
            region: message.region,
            text: message.text.clone(),
            at: message.at,
            sent: Sent::Kept,
            id: Some(message.id),
        }
    }
}

/// The messages, oldest first; those on their way come last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatLog {
    lines: Vec<ChatLine>,
    /// Messages that were removed: the message itself may come after the word of it.
    removed: Vec<MessageId>,
    /// Where older messages are; `None` if there are none.
    before: Option<MessageId>,
    /// Older messages that were asked for: they are kept beyond the usual.
    older: usize,
    /// Seconds of slow mode.
    slow_s: u32,
}

impl ChatLog {
    /// The messages of a page.
    #[must_use]
    pub fn of(view: &ChatView) -> Self {
        let mut log = Self::default();
        log.restart(view);
        log
    }

    /// Begins anew with what the house has: what it lacks was removed. Own messages that it does
    /// not have yet stay. Answers how many were new.
    pub fn restart(&mut self, view: &ChatView) -> u32 {
        let mut known = std::mem::take(&mut self.lines);
        self.before = view.before;
        self.older = 0;
        self.slow_s = view.slow_s;
        let mut new = 0;
        for message in &view.messages {
            let place = known.iter().position(|line| line.is(message));
            let was_kept = place.is_some_and(|place| known.remove(place).sent == Sent::Kept);
            self.take(message);
            new += u32::from(!was_kept);
        }
        known.retain(|line| line.sent != Sent::Kept);
        self.lines.append(&mut known);
        new
    }

    /// Takes a message out, now and whenever it comes.
    pub fn remove(&mut self, message: MessageId) {
        self.removed.push(message);
        self.lines.retain(|line| line.id != Some(message));
        if self.removed.len() > MAX_MESSAGES {
            self.removed.remove(0);
        }
    }

    /// The messages, oldest first.
    #[must_use]
    pub fn lines(&self) -> &[ChatLine] {
        &self.lines
    }

    /// Takes in a message; answers whether it was new.
    pub fn take(&mut self, message: &ChatMessage) -> bool {
        if self.removed.contains(&message.id) {
            return false;
        }
        let kept = ChatLine::kept(message);
        let known = self.lines.iter().position(|line| line.is(message));
        let is_new = match known {
            Some(place) => self.lines.remove(place).sent != Sent::Kept,
            None => true,
        };
        let place = self
            .lines
            .iter()
            .rposition(|line| line.id.is_some_and(|id| id < message.id))
            .map_or(0, |before| before + 1);
        self.lines.insert(place, kept);
        if self.lines.len() > MAX_MESSAGES + self.older {
            self.lines.remove(0);
        }
        is_new
    }

    /// Takes in older messages, and where even older ones are.
    pub fn take_older(&mut self, messages: &[ChatMessage], before: Option<MessageId>) {
        self.older += messages.len();
        for message in messages {
            self.take(message);
        }
        self.before = before.filter(|_| self.older < MAX_OLDER);
    }

    /// Where older messages are; `None` if there are none, or enough of them here.
    #[must_use]
    pub const fn before(&self) -> Option<MessageId> {
        self.before
    }

    /// Seconds of slow mode.
    #[must_use]
    pub const fn slow_s(&self) -> u32 {
        self.slow_s
    }

    /// Sets the seconds of slow mode.
    pub const fn set_slow(&mut self, seconds: u32) {
        self.slow_s = seconds;
    }

    /// Whether the house has an own message.
    #[must_use]
    pub fn has(&self, client_id: &str) -> bool {
        let is = |line: &ChatLine| line.client_id == client_id && line.sent == Sent::Kept;
        self.lines.iter().any(is)
    }

    /// Takes an own message back that the house does not have.
    pub fn take_back(&mut self, client_id: &str) {
        let gone = |line: &ChatLine| line.client_id == client_id && line.sent != Sent::Kept;
        self.lines.retain(|line| !gone(line));
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
            id: None,
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

    fn view(messages: Vec<ChatMessage>) -> ChatView {
        ChatView {
            messages,
            ..ChatView::default()
        }
    }

    fn log_of(messages: Vec<ChatMessage>) -> ChatLog {
        ChatLog::of(&view(messages))
    }

    #[test]
    fn what_is_removed_goes_and_does_not_come_back() {
        let mut log = log_of(vec![message(1, "a"), message(2, "b")]);
        log.remove(message(1, "a").id);
        log.remove(message(3, "c").id);
        assert!(!log.take(&message(3, "c")), "removed before it came");
        assert!(!log.take(&message(1, "a")));
        assert_eq!(ids(&log), ["b"]);
    }

    #[test]
    fn a_new_beginning_shows_what_the_house_has_and_own_unsent_ones() {
        let mut log = log_of(vec![message(1, "a"), message(2, "b")]);
        log.send("mine".into(), person(), Region::Seoul, "hi".into());
        log.send("there".into(), person(), Region::Seoul, "ho".into());
        let now = vec![message(2, "b"), message(3, "there")];
        assert_eq!(log.restart(&view(now)), 1, "one is kept now");
        assert_eq!(ids(&log), ["b", "there", "mine"]);
        assert_eq!(log.lines()[1].sent, Sent::Kept);
    }

    fn ids(log: &ChatLog) -> Vec<&str> {
        log.lines().iter().map(|l| l.client_id.as_str()).collect()
    }

    #[test]
    fn messages_stand_in_the_houses_order_each_once() {
        let mut log = log_of(vec![message(1, "a"), message(3, "c")]);
        assert!(log.take(&message(2, "b")));
        assert!(!log.take(&message(2, "b")));
        assert_eq!(ids(&log), ["a", "b", "c"]);
    }

    #[test]
    fn an_own_message_is_shown_at_once_and_takes_its_place_when_kept() {
        let mut log = log_of(vec![message(1, "a")]);
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
    fn older_messages_stay_until_the_next_beginning() {
        let latest = (300..500).map(|n| message(n, &n.to_string())).collect();
        let mut log = log_of(latest);
        let older: Vec<_> = (250..300).map(|n| message(n, &n.to_string())).collect();
        let next = Some(older[0].id);
        log.take_older(&older, next);
        assert_eq!((log.lines().len(), log.before()), (250, next));
        log.take(&message(500, "500"));
        assert_eq!((log.lines().len(), ids(&log)[0]), (250, "251"));
        for n in 0..20_u32 {
            let first = 230 - n * 10;
            let page: Vec<_> = (first..first + 50)
                .map(|n| message(n, &n.to_string()))
                .collect();
            log.take_older(&page, next);
        }
        assert_eq!(log.before(), None, "enough of them");
    }

    #[test]
    fn an_own_message_that_was_not_taken_is_taken_back() {
        let mut log = log_of(vec![message(1, "a")]);
        log.send("mine".into(), person(), Region::Seoul, "hi".into());
        log.take_back("mine");
        assert_eq!(ids(&log), ["a"]);
        assert!(log.has("a") && !log.has("mine"));
        log.take_back("a");
        assert_eq!(ids(&log), ["a"], "the house has it");
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
