//! What reassembly gives back: packets, events, counters.
use crate::key::FragmentKey;
use crate::reason::{FragmentReason, REASONS};
use netfast_buf::Skb;
use netfast_time::Instant;
use netfast_wire::router::IcmpError;

/// What became of a packet.
#[derive(Debug)]
#[must_use]
pub enum Outcome {
    /// No fragment; as it was.
    NotFragment(Skb),
    /// A fragment that waits for others.
    Held,
    /// The last fragment of a datagram, which is whole now.
    Complete(Reassembled),
    /// An IPv6 packet with a fragment header of which it is the only fragment (RFC 6946); the header is gone.
    Atomic(Skb),
    /// It cannot be used.
    Dropped(Dropped),
}

impl Outcome {
    /// Becomes a whole datagram, which is made where it is then.
    #[inline(always)]
    pub(crate) fn complete(&mut self, datagram: Reassembled) -> &mut Reassembled {
        *self = Self::Complete(datagram);
        match self {
            Self::Complete(datagram) => datagram,
            _ => unreachable!("it was just made one"),
        }
    }

    /// The packet that goes on: whole, atomic, or no fragment.
    pub fn into_packet(self) -> Option<Skb> {
        match self {
            Self::NotFragment(packet) | Self::Atomic(packet) => Some(packet),
            Self::Complete(datagram) => Some(datagram.packet),
            Self::Held | Self::Dropped(_) => None,
        }
    }
}

/// A reassembled datagram.
#[derive(Debug)]
pub struct Reassembled {
    /// Link and IP header of the first fragment, length, flags and checksum made right, and the data of all.
    /// [`netfast_buf::HotLine::outer`] says where the headers are.
    pub packet: Skb,
    /// What the fragments had in common.
    pub key: FragmentKey,
    /// Fragments that it was made of.
    pub fragments: u32,
    /// IP bytes of the largest of them, header included: the MTU that [`crate::refragment`] cuts it to again.
    pub largest_fragment: u32,
    /// When the first of them came.
    pub began: Instant,
}

/// A fragment that was dropped. Others of its datagram, which waited, went with it if the reason ends the datagram.
#[derive(Debug)]
pub struct Dropped {
    /// As it was.
    pub packet: Skb,
    /// Why.
    pub reason: FragmentReason,
    /// What its sender is owed; ask [`netfast_wire::router::may_answer`].
    pub error: Option<IcmpError>,
}

/// A datagram whose time was up.
#[derive(Debug)]
pub struct Expired {
    /// Which one.
    pub key: FragmentKey,
    /// [`FragmentReason::Timeout`] or [`FragmentReason::Wraparound`].
    pub reason: FragmentReason,
    /// Fragments that had come.
    pub fragments: u32,
    /// The first fragment as it came, if it did: [`IcmpError::ReassemblyTimeExceeded`] about it is owed to its sender (RFC
    /// 792, RFC 8200 4.5), and about nothing else.
    pub first: Option<Skb>,
}

/// What happened to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It is whole, and is given back: not told of one that turned out to be a fragment itself.
    Completed,
    /// It was given up, or one fragment of it was dropped.
    Dropped(FragmentReason),
    /// Something about it is worth knowing; it goes on.
    Noted(FragmentReason),
}

/// An event, or that some were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Something happened to a datagram.
    Datagram {
        /// When.
        at: Instant,
        /// Which one.
        key: FragmentKey,
        /// What.
        kind: EventKind,
        /// Fragments of it that had come and were kept until then.
        fragments: u32,
        /// Bytes of data in them, each position once.
        bytes: u32,
    },
    /// Events after those before were lost because nobody took them.
    Overflow {
        /// How many.
        lost: u64,
    },
}

/// Counters of a [`crate::Reassembler`]. Packets are conserved: see [`ReassemblyCounters::is_conserved`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReassemblyCounters {
    /// Packets handed in.
    pub packets: u64,
    /// Given back as no fragments.
    pub not_fragments: u64,
    /// Given back as atomic fragments.
    pub atomic: u64,
    /// Datagrams given back whole. One that turned out to be a fragment itself is not among them.
    pub completed: u64,
    /// Packets that became part of another one: for a datagram of n fragments n - 1.
    pub joined: u64,
    /// Fragments that wait.
    pub held: u64,
    /// Dropped fragments by [`FragmentReason`], those that waited included.
    pub dropped: [u64; REASONS],
    /// Datagrams or fragments about which something was noted, by [`FragmentReason`].
    pub noted: [u64; REASONS],
    /// Datagrams given up, by [`FragmentReason`].
    pub datagrams_dropped: [u64; REASONS],
    /// Datagrams that began.
    pub datagrams: u64,
    /// Bytes of data in completed datagrams.
    pub completed_bytes: u64,
    /// Bytes that were copied to make one piece of more than 64, to resolve overlaps, or not to keep a large block.
    pub copied_bytes: u64,
    /// Completed datagrams whose transport checksum was right.
    pub checksum_good: u64,
    /// Completed datagrams whose transport checksum was wrong.
    pub checksum_bad: u64,
    /// Tombstones that went before their time.
    pub tombstones_forgotten: u64,
    /// Idle pairs that were forgotten.
    pub pairs_forgotten: u64,
    /// Events lost.
    pub events_lost: u64,
    /// Dropped fragments that were recycled because nobody took them; only where they are kept at all.
    pub dropped_lost: u64,
    /// Times that the clock went back; the latest time seen counts.
    pub backward_steps: u64,
}

impl Default for ReassemblyCounters {
    fn default() -> Self {
        Self {
            packets: 0,
            not_fragments: 0,
            atomic: 0,
            completed: 0,
            joined: 0,
            held: 0,
            dropped: [0; REASONS],
            noted: [0; REASONS],
            datagrams_dropped: [0; REASONS],
            datagrams: 0,
            completed_bytes: 0,
            copied_bytes: 0,
            checksum_good: 0,
            checksum_bad: 0,
            tombstones_forgotten: 0,
            pairs_forgotten: 0,
            events_lost: 0,
            dropped_lost: 0,
            backward_steps: 0,
        }
    }
}

impl ReassemblyCounters {
    /// Fragments dropped for a reason.
    pub fn dropped(&self, reason: FragmentReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How often something was noted.
    pub fn noted(&self, reason: FragmentReason) -> u64 {
        self.noted[reason as usize]
    }

    /// Datagrams given up for a reason.
    pub fn datagrams_dropped(&self, reason: FragmentReason) -> u64 {
        self.datagrams_dropped[reason as usize]
    }

    /// Fragments dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Whether every packet is in one place: given back, part of another one, dropped or waiting.
    pub fn is_conserved(&self) -> bool {
        let given = self.not_fragments + self.atomic + self.completed;
        self.packets == given + self.joined + self.dropped_total() + self.held
    }
}
