//! Fragments of IP datagrams: reassembly, identification, fragmentation.
//!
//! - [`Reassembler`] puts datagrams together, IPv4 (RFC 791, RFC 815's task) and IPv6 (RFC 8200 4.5, RFC 5722, 6946, 7112),
//!   without copying their data: fragments in, scatterlist packets and events out.
//! - [`overlap`] is the engine below it, which knows no protocol, and the table of who wins where pieces overlap.
//! - [`fragment()`] cuts packets, [`refragment`] cuts a reassembled one into the fragments it was made of.
//! - [`IdGenerator`] gives identifications that nobody outside can foretell (RFC 7739).
//! - [`FragmentTable`] lets later fragments find what the first one told, without waiting for all: virtual reassembly.
//!
//! Nothing here reads a clock or does input or output; time, seeds and keys are arguments.
//!
//! ```
//! use netfast_buf::{PacketPool, Skb};
//! use netfast_frag::{Cut, Outcome, Reassembler, ReassemblyConfig, fragment};
//! use netfast_time::Instant;
//! use netfast_wire::LinkType;
//!
//! # let mut datagram = vec![0x45, 0, 0x0b, 0xcc, 0, 7, 0, 0, 64, 253, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
//! # datagram.resize(3_020, 9);
//! let mut pool = PacketPool::default();
//! let mut packet = Skb::from_slice(&datagram, &mut pool)?;
//! let mut fragments = Vec::new();
//! let cut = Cut { mtu: 1_500, identification: 7, ignore_df: false };
//! assert_eq!(fragment(&mut packet, 0, &cut, &mut pool, &mut fragments)?, 3);
//!
//! let config = ReassemblyConfig { link: LinkType::RAW, ..ReassemblyConfig::default() };
//! let mut reassembler = Reassembler::new(config);
//! let mut whole = None;
//! for packet in fragments.into_iter().rev() {
//!     match reassembler.handle_packet(Instant::from_secs(1), 0, packet, &mut pool) {
//!         Outcome::Held => {}
//!         outcome => whole = outcome.into_packet(),
//!     }
//! }
//! assert_eq!(whole.map(|packet| packet.len()), Some(3_020));
//! # Ok::<(), netfast_frag::FragmentError>(())
//! ```
//!
//! # The identification problem
//!
//! An identification of 16 bits comes round after 65,536 datagrams: in 79 ms at 10 Gb/s and 1,500 bytes, while a fragment may
//! wait for 30 s. Then fragments of two datagrams are joined, and the checksum lets one in 65,536 pass (RFC 4963).
//! Each protection can be switched off in [`ReassemblyConfig`]:
//!
//! - **`wrap_safe`**: for each source, destination and protocol the identifications used up are counted as they are seen. A
//!   datagram ends when half of all were used since it began, or when the time is over that half of them take at the rate
//!   seen: reason [`FragmentReason::Wraparound`].
//! - **`max_disorder`**: more than 64 fragments of a source between two of one IPv4 datagram end it, as in Linux:
//!   [`FragmentReason::Disorder`].
//! - **`tombstone`**: what comes of a datagram after its end, whole or not, does not begin a new one:
//!   [`FragmentReason::Tombstone`].
//! - **`verify_checksum`**: a reassembled datagram with a wrong transport checksum is marked and counted:
//!   [`FragmentReason::SuspectedMisassociation`].
//!
//! # Limits
//!
//! | limit | default | at the limit |
//! |---|---|---|
//! | [`ReassemblyConfig::max_datagrams`] | 16,384 | the oldest goes: `limit` |
//! | [`ReassemblyConfig::max_memory`] | 64 MiB | the oldest goes: `limit` |
//! | [`ReassemblyConfig::source_share`] of both | an eighth | the source's oldest goes: `limit` |
//! | [`ReassemblyConfig::max_fragments`] | 8,192 | the datagram goes: `too_many_fragments` |
//! | [`ReassemblyConfig::max_tombstones`] | 8,192 | the oldest goes: `tombstones_forgotten` |
//! | [`ReassemblyConfig::max_pairs`] | 4,096 idle ones | the longest idle goes: `pairs_forgotten` |
//! | [`ReassemblyConfig::max_events`] | 4,096 | newer ones are lost: `events_lost`, [`Event::Overflow`] |
//! | [`ReassemblyConfig::max_dropped`] | 0 | recycled: `dropped_lost` |
//! | [`MAX_NESTED`], [`MAX_TAGS`] | 4 | `too_deep`; no fragment |
//!
//! Memory is counted by the blocks that fragments keep alive, not by their bytes. A source below its share can make others lose
//! datagrams only up to that share, when all sources together reach the limit.
//!
//! # What becomes of packets
//!
//! Every packet that goes in is given back ([`Outcome`], [`Expired::first`]), becomes part of another one, waits, or is
//! dropped for a [`FragmentReason`] and recycled; [`ReassemblyCounters::is_conserved`] adds it up.
#![forbid(unsafe_code)]

mod chain;
mod config;
mod error;
mod fragment;
mod identification;
mod key;
mod outcome;
pub mod overlap;
mod packet;
mod pairs;
mod reason;
mod reassembly;
mod slab;
mod sources;
mod table;
mod verify;

pub use config::ReassemblyConfig;
pub use error::FragmentError;
pub use fragment::{Cut, fragment, refragment};
pub use identification::{ATOMIC_IDENTIFICATION, IdGenerator};
pub use key::FragmentKey;
pub use outcome::{Dropped, Event, EventKind, Expired, Outcome, Reassembled, ReassemblyCounters};
pub use overlap::OverlapPolicy;
pub use packet::MAX_TAGS;
pub use reason::FragmentReason;
pub use reassembly::{DATAGRAM_BYTES, FRAGMENT_BYTES, LARGE_BLOCK, MAX_NESTED, Reassembler};
pub use table::{FragmentConfig, FragmentCounts, FragmentTable};
