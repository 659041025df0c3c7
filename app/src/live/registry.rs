//! Who in the tab listens to which channel: one subscription per channel, however many listen.

use shared::live::{Channel, ClientFrame, Position};

/// One listener, to be given back when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener(u64);

/// The channels that are listened to, and frames' numbers.
#[derive(Debug, Default)]
pub struct Registry {
    // A handful at most, so a list serves better than a map.
    listeners: Vec<(Listener, Channel)>,
    last_listener: u64,
    last_frame: u32,
}

impl Registry {
    /// A fresh frame number.
    pub const fn frame_id(&mut self) -> u32 {
        self.last_frame = self.last_frame.wrapping_add(1);
        self.last_frame
    }

    /// Joins a channel. The frame is sent also when others listen already, so that the newcomer
    /// gets what it lacks; pushes that others have seen are recognised as repeats.
    pub fn join(&mut self, channel: Channel, since: Option<Position>) -> (Listener, ClientFrame) {
        self.last_listener += 1;
        let listener = Listener(self.last_listener);
        self.listeners.push((listener, channel));
        (listener, self.subscribe(channel, since))
    }

    /// Asks for a channel from a place, or from a snapshot.
    pub const fn subscribe(&mut self, channel: Channel, since: Option<Position>) -> ClientFrame {
        ClientFrame::Subscribe {
            id: self.frame_id(),
            channel,
            since,
        }
    }

    /// Leaves; the last one out turns the channel off.
    pub fn leave(&mut self, listener: Listener) -> Option<ClientFrame> {
        let place = self.listeners.iter().position(|(l, _)| *l == listener)?;
        let (_, channel) = self.listeners.remove(place);
        let id = self.frame_id();
        (!self.is_heard(channel)).then_some(ClientFrame::Unsubscribe { id, channel })
    }

    /// Whether anybody listens to the channel.
    #[must_use]
    pub fn is_heard(&self, channel: Channel) -> bool {
        self.listeners.iter().any(|(_, heard)| *heard == channel)
    }

    /// Everybody who listens to the channel.
    #[must_use]
    pub fn listeners(&self, channel: Channel) -> Vec<Listener> {
        let heard = self.listeners.iter().filter(|(_, c)| *c == channel);
        heard.map(|(listener, _)| *listener).collect()
    }

    /// Every channel once.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        let mut each = Vec::new();
        for (_, channel) in &self.listeners {
            if !each.contains(channel) {
                each.push(*channel);
            }
        }
        each
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_out_turns_the_channel_off() {
        let mut registry = Registry::default();
        let (first, frame) = registry.join(Channel::Floor, None);
        assert!(matches!(frame, ClientFrame::Subscribe { id: 1, .. }));
        let (second, _) = registry.join(Channel::Floor, None);
        assert_eq!(registry.listeners(Channel::Floor), [first, second]);
        assert_eq!(registry.leave(first), None);
        assert_eq!(registry.leave(first), None, "twice is once");
        assert!(registry.is_heard(Channel::Floor));
        assert_eq!(registry.channels(), [Channel::Floor]);
        let left = registry.leave(second).expect("the last one");
        assert!(matches!(
            left,
            ClientFrame::Unsubscribe {
                channel: Channel::Floor,
                ..
            }
        ));
        assert!(registry.channels().is_empty());
    }
}
