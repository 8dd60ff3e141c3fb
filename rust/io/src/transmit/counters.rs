//! What a transmitter did.
use crate::transmit::Rung;
use netfast_time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What went over one rung.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RungCounters {
    /// Parts handed over: what one message header of a call describes.
    pub parts: u64,
    /// Datagrams in them; of a stream the parts.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// System calls.
    pub calls: u64,
    /// Parts whose notification said that nothing was copied.
    pub zero_copied: u64,
    /// Parts that the system copied although zero-copy was asked for.
    pub copied: u64,
    /// Time from hand-over to notification, summed over [`RungCounters::notified`].
    pub notification_time: Duration,
    /// The longest of them.
    pub notification_longest: Duration,
}

impl RungCounters {
    /// Notifications that came.
    pub fn notified(&self) -> u64 {
        self.zero_copied + self.copied
    }
}

/// What a transmitter did. At any time those taken are those sent, failed, cancelled and queued; and they are those
/// released, and those in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransmitCounters {
    /// Messages taken.
    pub taken: u64,
    /// Messages that the system took to their end.
    pub sent: u64,
    /// Messages that it refused.
    pub failed: u64,
    /// Messages cancelled.
    pub cancelled: u64,
    /// Messages whose memory its owner has back.
    pub released: u64,
    /// Messages refused at the door because a limit was reached.
    pub full: u64,
    /// Times that the socket could take no more and messages waited.
    pub blocked: u64,
    /// Times that the system's memory for what is in flight (`net.core.optmem_max`, `RLIMIT_MEMLOCK`) was used up.
    pub out_of_memory: u64,
    /// Stream parts of which the system took only the beginning; the rest was sent after it.
    pub short: u64,
    /// Messages that were to be segmented by the system and had to be cut here.
    pub unsegmented: u64,
    /// Parts that had to be copied because zero-copy was refused for them.
    pub zero_copy_refused: u64,
    /// Messages kept for ever because the system did not let go of their memory in time.
    pub leaked: u64,
    /// Changes of the rung.
    pub changes: u64,
    rungs: [RungCounters; Rung::ALL.len()],
}

impl TransmitCounters {
    /// What went over a rung.
    pub fn rung(&self, rung: Rung) -> &RungCounters {
        &self.rungs[rung as usize]
    }

    pub(super) fn rung_mut(&mut self, rung: Rung) -> &mut RungCounters {
        &mut self.rungs[rung as usize]
    }
}

/// Memory that transmitters left to the system for ever, because it was still reading when they ended: freed, it would
/// be sent with what others write there. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct LeakCounter(Arc<[AtomicU64; 2]>);

impl LeakCounter {
    pub(super) fn add(&self, messages: u64, bytes: u64) {
        self.0[0].fetch_add(messages, Ordering::Relaxed);
        self.0[1].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Messages whose memory was left.
    pub fn messages(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }
}
