//! What a loop is given, and what it tells.
use crate::device::{DeviceError, Link};
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_time::{Duration, Instant};
use thiserror::Error;

/// Limits and times of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopConfig {
    /// Packets that may wait to be sent by a port. At the limit the newest is dropped.
    pub queue_packets: usize,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Packets in a queue at which ports that feed it and can wait are not read any more.
    pub pause_packets: usize,
    /// Bytes in a queue at which they are not.
    pub pause_bytes: u64,
    /// How long a device may take nothing of what waits for it.
    pub patience: Duration,
    /// When a device that is gone is first tried again.
    pub retry_first: Duration,
    /// The longest time between two tries.
    pub retry_last: Duration,
}

impl Default for LoopConfig {
    fn default() -> Self {
        Self {
            queue_packets: 4_096,
            queue_bytes: 32 << 20,
            pause_packets: 512,
            pause_bytes: 4 << 20,
            patience: Duration::from_secs(1),
            retry_first: Duration::from_millis(50),
            retry_last: Duration::from_secs(5),
        }
    }
}

/// Why a loop cannot do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoopError {
    /// An answer of the system.
    #[error("{call}: {source}")]
    System {
        /// What was asked of the system.
        call: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
    /// The port has a device already.
    #[error("port {0} has a device: take it away first")]
    Taken(u32),
    /// A number that no port can have.
    #[error("port {0}: give a number below 1,048,576")]
    Number(u32),
}

/// Something that happened to a port.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoopEvent {
    /// Its device failed and was taken out.
    Gone {
        /// The port.
        port: u32,
        /// What the device said.
        error: DeviceError,
        /// Whether it will be opened again.
        retried: bool,
    },
    /// Its device cannot be opened again as things are, which is told once: a privilege is missing. It is tried all the same,
    /// since the remedy that the error names may be applied.
    Refused {
        /// The port.
        port: u32,
        /// What would help.
        error: DeviceError,
    },
    /// Its device was opened again.
    Returned {
        /// The port.
        port: u32,
        /// What it is on its link now.
        link: Link,
    },
    /// Its link went up or down, or has another MTU.
    Link {
        /// The port.
        port: u32,
        /// What it is on its link now.
        link: Link,
    },
    /// Nothing will come from it any more: a capture is at its end, a peer has closed.
    Ended {
        /// The port.
        port: u32,
    },
}

/// What a loop did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopCounters {
    /// Turns.
    pub turns: u64,
    /// Turns that began because the deadline had come.
    pub timeouts: u64,
    /// Turns that began because somebody asked for one.
    pub wakes: u64,
    /// Batches that were received.
    pub batches: u64,
    /// Packets in them.
    pub packets: u64,
    /// Packets for ports without a device.
    pub nowhere: u64,
    /// Events that were not kept because nobody took those before.
    pub missed_events: u64,
}

/// What stands above the ports.
pub trait Above {
    /// The memory of its packets.
    fn pool(&mut self) -> &mut PacketPool;

    /// Packets that came in at a port; what comes out goes into `out` with the number of its port. The batch is empty then.
    fn push(&mut self, now: Instant, port: u32, batch: &mut PacketBatch, out: &mut Vec<(u32, Skb)>);

    /// Lets time pass.
    fn poll(&mut self, now: Instant, out: &mut Vec<(u32, Skb)>);

    /// When [`Above::poll`] has something to do at the latest.
    fn next_timeout(&self) -> Option<Instant>;
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is more to do now: take the next turn without waiting.
    More,
    /// Nothing until the poller says so.
    Idle,
    /// The loop is drained: nothing waits any more, or the time for it is over.
    Drained,
}
