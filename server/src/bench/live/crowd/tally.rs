//! What the sockets received.

use anyhow::ensure;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// The longest latency that is told apart: what takes longer counts as this.
const LONGEST_US: u64 = 60_000_000;

/// Receipts that are remembered one by one: those of the first socket.
const MAX_RECEIPTS: usize = 10_000;

const NS_PER_US: u64 = 1_000;

/// What was received since the last time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Frames of the socket with the fewest.
    pub least: u64,
    /// Frames of the socket with the most.
    pub most: u64,
    /// Frames in all.
    pub received: u64,
    /// When the first was published, in nanoseconds since 1970.
    pub first_ns: u64,
    /// When the last was received.
    pub last_ns: u64,
    /// From publish to receipt, in milliseconds.
    pub p50_ms: f64,
    /// One in a hundred took longer.
    pub p99_ms: f64,
}

impl Figures {
    /// Tests that every socket received each frame once.
    ///
    /// # Errors
    /// When one received more or fewer: the run is void.
    pub fn of_each(&self, frames: u64) -> anyhow::Result<()> {
        ensure!(
            self.least == frames && self.most == frames,
            "of {frames} frames each socket received between {} and {}: the run is void",
            self.least,
            self.most
        );
        Ok(())
    }

    /// Frames a second, from the first publish to the last receipt.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let ns = self.last_ns.saturating_sub(self.first_ns).max(1);
        let seconds = std::time::Duration::from_nanos(ns).as_secs_f64();
        f64::from(u32::try_from(self.received).unwrap_or(u32::MAX)) / seconds
    }
}

/// What is counted of one socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// Stamped frames since the last time.
    pub frames: u64,
    /// The last offset, on a lot's channel.
    pub offset: i64,
}

/// The counts of all sockets.
#[derive(Debug)]
pub struct Tally {
    pub sockets: Vec<Socket>,
    /// Sockets from the first that do not read.
    pub stopped: usize,
    latencies: Option<Histogram<u64>>,
    received: u64,
    first_ns: u64,
    last_ns: u64,
    /// The text of the last frame.
    pub sample: Option<String>,
    /// The highest offset that anybody saw.
    pub newest: i64,
    /// How long each took to come back and catch up, in nanoseconds.
    pub caught_up: Vec<u64>,
    /// Whole snapshots that were sent instead of what was missed.
    pub snapshots: u64,
    /// Offset and time of the first socket's frames.
    pub receipts: Vec<(i64, u64)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Tally {
    pub fn new(sockets: usize) -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Self {
            sockets: vec![Socket::default(); sockets],
            stopped: 0,
            // One is below the other, and so many digits there are.
            latencies: latencies.ok(),
            received: 0,
            first_ns: u64::MAX,
            last_ns: 0,
            sample: None,
            newest: 0,
            caught_up: Vec::new(),
            snapshots: 0,
            receipts: Vec::new(),
        }
    }

    /// Counts a stamped frame.
    pub fn count(&mut self, index: usize, published_ns: u64, now_ns: u64) {
        if let Some(socket) = self.sockets.get_mut(index) {
            socket.frames += 1;
        }
        self.received += 1;
        self.first_ns = self.first_ns.min(published_ns);
        self.last_ns = self.last_ns.max(now_ns);
        if index >= self.stopped {
            let took = now_ns.saturating_sub(published_ns) / NS_PER_US;
            if let Some(latencies) = &mut self.latencies {
                latencies.saturating_record(took.max(1));
            }
        }
    }

    /// Notes an offset that a socket saw.
    pub fn saw(&mut self, index: usize, offset: i64, now_ns: u64) {
        if let Some(socket) = self.sockets.get_mut(index) {
            socket.offset = socket.offset.max(offset);
        }
        self.newest = self.newest.max(offset);
        if index == 0 && self.receipts.len() < MAX_RECEIPTS {
            self.receipts.push((offset, now_ns));
        }
    }

    fn reading(&self) -> &[Socket] {
        self.sockets.get(self.stopped..).unwrap_or_default()
    }

    /// Whether every socket that reads has as many frames.
    pub fn has_each(&self, frames: u64) -> bool {
        self.reading().iter().all(|socket| socket.frames >= frames)
    }

    /// What was received, and starts anew.
    pub fn take(&mut self) -> Figures {
        let frames = || self.reading().iter().map(|socket| socket.frames);
        let ms = |quantile| {
            let latencies = self.latencies.as_ref();
            let us = latencies.map_or(0, |all| all.value_at_quantile(quantile));
            std::time::Duration::from_micros(us).as_secs_f64() * 1_000.0
        };
        let figures = Figures {
            least: frames().min().unwrap_or(0),
            most: frames().max().unwrap_or(0),
            received: self.received,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
        };
        for socket in &mut self.sockets {
            socket.frames = 0;
        }
        if let Some(latencies) = &mut self.latencies {
            latencies.reset();
        }
        self.received = 0;
        self.first_ns = u64::MAX;
        self.last_ns = 0;
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_counts_and_those_that_stopped_do_not() {
        let mut tally = Tally::new(3);
        for index in [1, 2, 2] {
            tally.count(index, 1_000_000, 3_000_000);
        }
        assert!(!tally.has_each(1));
        tally.stopped = 1;
        assert!(tally.has_each(1) && !tally.has_each(2));
        let figures = tally.take();
        assert_eq!((figures.least, figures.most, figures.received), (1, 2, 3));
        // Of two frames one socket missed one; of one frame another received it twice.
        assert!(figures.of_each(2).is_err() && figures.of_each(1).is_err());
        assert!((1.9..2.1).contains(&figures.p50_ms), "{}", figures.p50_ms);
        assert!((1_400.0..1_600.0).contains(&figures.per_second()));
        assert_eq!(tally.take().received, 0);
    }

    #[test]
    fn a_run_in_which_each_socket_received_each_frame_counts() {
        let mut tally = Tally::new(2);
        for index in [0, 1, 1, 0] {
            tally.count(index, 1_000_000, 2_000_000);
        }
        tally.take().of_each(2).expect("whole");
    }
}
