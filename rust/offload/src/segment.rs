//! Segmentation: a super-packet becomes the packets that it stands for.
//!
//! A super-packet is an [`Skb`] whose hot line has a [`GsoType`] and a GSO size. Its headers are repeated before each
//! GSO size bytes of its payload, which is shared and not copied, and change from segment to segment as RFC 9293, RFC 768 and
//! the tunnels around them ask for:
//!
//! | field | in segment *i* of *n* |
//! |---|---|
//! | IPv4 total length, IPv6 payload length, UDP lengths | its own |
//! | IPv4 identification, inside and outside of a tunnel | that of the super-packet + *i*, or the same where it is marked as fixed |
//! | TCP sequence number | that of the super-packet + *i* × GSO size |
//! | TCP FIN and PSH | only in the last |
//! | TCP CWR (RFC 3168 6.1.2) | only in the first |
//! | IPv4 header checksum | right |
//! | TCP and UDP checksum | right, or the pseudo-header's sum, as [`Checksums`] says; a UDP checksum of zero stays zero |
//! | checksums of tunnels (UDP, GRE) around it | right, and without a look at the payload: with a right checksum inside, what is summed up is known ("local checksum offload") |
//!
//! Everything else is the same in all of them: options, hop limits, tunnel headers, tags.
//!
//! Which packet is cut when there are several within each other: the one at the inner transport offset where the hot line has
//! one, else the outermost of the protocol that the [`GsoType`] names.
//!
//! # Checksum states
//! The state of the super-packet says how far its contents may be trusted, not what its fields hold: they are written
//! anew. [`ChecksumState::Bad`] is refused, since right checksums would hide what is wrong. A segment is
//! [`ChecksumState::Good`], or [`ChecksumState::Partial`] by [`Checksums::Partial`]; [`finish_checksum`] leads from there to
//! `Good`, and [`leave_checksum`] back. Segments without a UDP checksum keep the super-packet's state, and are never `Partial`.
pub(crate) mod checksum;
mod error;
pub(crate) mod shape;
mod template;

pub use checksum::{finish_checksum, leave_checksum};
pub use error::{Refused, SegmentError};

#[cfg(doc)]
use netfast_buf::ChecksumState;
use netfast_buf::{GsoType, PacketPool, Skb};
use netfast_wire::LinkType;
use shape::Shape;
use template::Template;

/// The most bytes of headers that are repeated: with the headroom before them they fit a small block of the
/// [`PacketPool`]. Ethernet, two tags, IPv6, UDP, Geneve, Ethernet, IPv6 and TCP with all its options need less than 300.
pub const MAX_HEADERS: usize = netfast_buf::HEADER_ROOM;

/// The default of [`SegmentConfig::segments`]: 64 KiB in pieces of 32 bytes. No TCP sends smaller ones for long
/// (RFC 9293 3.7.1 has 536 bytes as the default), while a hostile size of one byte would make 65,535 packets of one.
pub const DEFAULT_SEGMENTS: u32 = 2_048;

/// Who computes transport checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksums {
    /// The segmentation; it reads the payload once.
    #[default]
    Full,
    /// Who sends the segments: they are [`ChecksumState::Partial`].
    Partial,
}

/// How a [`Segmenter`] works.
#[derive(Clone, Copy, Debug)]
pub struct SegmentConfig {
    /// What packets begin with: [`LinkType::ETHERNET`] (with any tags), or [`LinkType::RAW`] for the IP header. Other
    /// link types are taken where their headers are the same in each segment.
    pub link: LinkType,
    /// Who computes transport checksums.
    pub checksums: Checksums,
    /// The most segments of one packet; a packet of more is refused with [`SegmentError::TooManySegments`].
    pub segments: u32,
}

impl Default for SegmentConfig {
    fn default() -> Self {
        Self { link: LinkType::ETHERNET, checksums: Checksums::Full, segments: DEFAULT_SEGMENTS }
    }
}

/// What a [`Segmenter`] did. Each packet that came is in one of `super_packets`, `passed` and `refused`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentCounters {
    /// Packets that were cut.
    pub super_packets: u64,
    /// What they became.
    pub segments: u64,
    /// Payload bytes of these.
    pub payload_bytes: u64,
    /// Packets that stand for themselves, handed on as they were.
    pub passed: u64,
    /// Packets that were given back, by [`SegmentError::index`].
    pub refused: [u64; SegmentError::NAMES.len()],
}

/// Cuts super-packets. It keeps nothing between two calls but its counters.
#[derive(Clone, Debug, Default)]
pub struct Segmenter {
    config: SegmentConfig,
    counters: SegmentCounters,
}

impl Segmenter {
    /// A segmenter that works as `config` says.
    pub fn new(config: SegmentConfig) -> Self {
        Self { config, counters: SegmentCounters::default() }
    }

    /// How it works.
    pub fn config(&self) -> &SegmentConfig {
        &self.config
    }

    /// What it did so far.
    pub fn counters(&self) -> &SegmentCounters {
        &self.counters
    }

    /// Puts the segments of a packet behind what is in `out`, in order, and says how many they are. A packet that
    /// stands for itself is put there as it is.
    ///
    /// # Errors
    /// [`Refused`], with the packet and the reason: `out` is as it was, and the packet has its bytes and marks.
    #[expect(clippy::result_large_err, reason = "a packet that was refused must not be lost")]
    pub fn segment(
        &mut self,
        packet: Skb,
        pool: &mut PacketPool,
        out: &mut Vec<Skb>,
    ) -> Result<usize, Refused> {
        if packet.hot.gso_size == 0 && packet.hot.gso_type == GsoType::None {
            self.counters.passed += 1;
            out.push(packet);
            return Ok(1);
        }
        let payload = packet.len();
        match segment(packet, &self.config, pool, out) {
            Ok((count, headers)) => {
                self.counters.super_packets += 1;
                self.counters.segments += count as u64;
                self.counters.payload_bytes += u64::from(payload.saturating_sub(headers));
                Ok(count)
            }
            Err(refused) => {
                self.counters.refused[refused.error.index()] += 1;
                Err(refused)
            }
        }
    }
}

/// How many packets a super-packet would be cut into; 1 when it stands for itself. Its headers may be moved into its first
/// piece.
///
/// # Errors
/// [`SegmentError`], when it cannot be cut.
pub fn count(packet: &mut Skb, config: &SegmentConfig, pool: &mut PacketPool) -> Result<u32, SegmentError> {
    if packet.hot.gso_size == 0 && packet.hot.gso_type == GsoType::None {
        return Ok(1);
    }
    let shape = Shape::read(packet, config, pool)?;
    Ok((packet.len() - shape.headers).div_ceil(shape.size).max(1))
}

/// The number of segments, and how many bytes of headers each has.
#[expect(clippy::result_large_err, reason = "a packet that was refused must not be lost")]
fn segment(
    mut packet: Skb,
    config: &SegmentConfig,
    pool: &mut PacketPool,
    out: &mut Vec<Skb>,
) -> Result<(usize, u32), Refused> {
    match Shape::read(&mut packet, config, pool) {
        Ok(shape) => Ok((cut(packet, &shape, pool, out), shape.headers)),
        Err(error) => Err(Refused { packet, error }),
    }
}

/// Cuts a packet whose shape is known to be right.
fn cut(packet: Skb, shape: &Shape, pool: &mut PacketPool, out: &mut Vec<Skb>) -> usize {
    let (headers, size) = (shape.headers, shape.size);
    let payload = packet.len() - headers;
    let count = payload.div_ceil(size).max(1);
    let last = payload - (count - 1) * size;
    let short = Template::new(shape, packet.head(), last);
    let full = (count > 1 && last != size).then(|| Template::new(shape, packet.head(), size));
    let full = full.as_ref().unwrap_or(&short);
    let template = |index| if index + 1 < count { full } else { &short };
    let start = out.len();
    let dealt = packet.deal((headers, size), &shape.marks, pool, out, |index, head| {
        template(index).write(index, index + 1 == count, head);
    });
    if let Err(packet) = dealt {
        cut_off(packet, shape, count, template, pool, out);
    }
    let segments = &mut out[start..];
    let first = &mut segments[0];
    template(0).rewrite(0, count == 1, first.headers_mut(headers, pool).expect("in the first piece"));
    shape.mark(first);
    if short.sums_payload() {
        for (segment, index) in segments.iter_mut().zip(0..) {
            template(index).finish(segment, headers, pool);
        }
    }
    count as usize
}

/// The same where the payload stands in several pieces, from its end: what is left at last is the first segment.
fn cut_off<'a>(
    mut packet: Skb,
    shape: &Shape,
    count: u32,
    template: impl Fn(u32) -> &'a Template,
    pool: &mut PacketPool,
    out: &mut Vec<Skb>,
) {
    let start = out.len();
    out.resize_with(start + count as usize, Skb::new);
    let mut head = [0; MAX_HEADERS];
    for index in (1..count).rev() {
        let segment = &mut out[start + index as usize];
        template(index).write(index, index + 1 == count, &mut head);
        let head = &head[..shape.headers as usize];
        packet.cut_off(shape.headers + index * shape.size, head, pool, segment).expect("within the payload");
        shape.mark(segment);
    }
    out[start] = packet;
}
