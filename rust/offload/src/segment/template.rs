//! The headers of segments of one length, and how those of each differ from them.
use netfast_buf::{PacketPool, Skb};
use netfast_low::sum::{fold, sum_words};
use netfast_wire::dissect::protocol as p;

use super::checksum::{complement, pseudo_sum, sum_of};
use super::shape::{Fix, FixKind, MAX_FIXES, Shape, Transport};
use super::{Checksums, MAX_HEADERS};

/// Places in headers, from the first byte of each.
const TCP_SEQUENCE: usize = 4;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
const UDP_LENGTH: usize = 4;
const UDP_CHECKSUM: usize = 6;
const GRE_CHECKSUM: usize = 4;
const IPV4_LENGTH: usize = 2;
const IPV4_ID: usize = 4;
const IPV4_CHECKSUM: usize = 10;
const IPV6_PAYLOAD: usize = 4;
const IPV6_HEADER: usize = 40;
/// Bytes that are copied without a call.
const LINE: usize = 64;
/// What only the last segment has, and what only the first (RFC 9293 3.1).
const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// An IPv4 header whose identification counts.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    at: u16,
    first: u16,
    /// The header's sum without the identification, in network byte order.
    sum: u32,
}

/// A checksum that is another in each segment.
#[derive(Clone, Copy, Debug)]
struct Varying {
    at: u16,
    /// The sum of what is the same in each.
    sum: u64,
    /// The sum of the sequence number and flags of this TCP header belongs to it.
    tcp: bool,
    /// Zero would mean that there is none (RFC 768).
    udp: bool,
}

/// What the bytes from some header's first to the packet's last add up to.
#[derive(Clone, Copy, Debug)]
struct Tail {
    from: usize,
    sum: u64,
    /// The payload's sum is to be added.
    payload: bool,
}

/// The headers of segments of one length.
#[derive(Clone, Debug)]
pub(super) struct Template {
    bytes: [u8; MAX_HEADERS],
    length: usize,
    size: u32,
    tcp: Option<Tcp>,
    varying: Option<Varying>,
    counted: [Counted; MAX_FIXES],
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Tcp {
    at: usize,
    sequence: u32,
    /// Flags of all segments.
    between: u8,
    /// Flags that the first segment has more.
    first: u8,
    /// Flags that the last has more.
    last: u8,
}

impl Template {
    /// The headers of segments with `payload` bytes each, out of those of the super-packet.
    pub(super) fn new(shape: &Shape, head: &[u8], payload: u32) -> Self {
        let length = shape.headers as usize;
        let mut template = Self {
            bytes: [0; MAX_HEADERS],
            length,
            size: shape.size,
            tcp: None,
            varying: None,
            counted: [Counted::default(); MAX_FIXES],
            count: 0,
        };
        template.bytes[..length].copy_from_slice(&head[..length]);
        let payload = payload as usize;
        let mut tail = template.transport(shape, payload);
        for (index, fix) in shape.fixes().iter().enumerate().rev() {
            let before = index.checked_sub(1).map_or(*fix, |before| shape.fixes()[before]);
            tail = template.fix(*fix, before, tail, payload);
        }
        template
    }

    /// The transport header, and what it and the payload add up to.
    fn transport(&mut self, shape: &Shape, payload: usize) -> Tail {
        let (at, end) = (shape.l4, self.length);
        let Some(ip) = shape.fixes().last() else {
            unreachable!("a transport header stands behind an IP header")
        };
        let (protocol, field) = match shape.transport {
            Transport::Tcp => {
                self.tcp(at);
                (p::TCP, at + TCP_CHECKSUM)
            }
            Transport::Udp => {
                self.put(at + UDP_LENGTH, end - at + payload);
                (p::UDP, at + UDP_CHECKSUM)
            }
        };
        let pseudo = self.pseudo(*ip, protocol, end - at + payload);
        self.bytes[field..field + 2].fill(0);
        let header = sum_words(&self.bytes[at..end]);
        match shape.checksums {
            None => return Tail { from: at, sum: header, payload: true },
            Some(Checksums::Partial) => {
                self.bytes[field..field + 2].copy_from_slice(&fold(pseudo).to_ne_bytes());
            }
            Some(Checksums::Full) => {
                let (tcp, udp) = (self.tcp.is_some(), self.tcp.is_none());
                self.varying = Some(Varying { at: field as u16, sum: pseudo + header, tcp, udp });
            }
        }
        // With its checksum it adds up to the complement of the pseudo-header's sum.
        Tail { from: at, sum: u64::from(!fold(pseudo)), payload: false }
    }

    /// Takes out what differs between segments.
    fn tcp(&mut self, at: usize) {
        let flags = self.bytes[at + TCP_FLAGS];
        let between = flags & !(FIN_PSH | CWR);
        let word = &mut self.bytes[at + TCP_SEQUENCE..at + TCP_SEQUENCE + 4];
        let sequence = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
        word.fill(0);
        self.bytes[at + TCP_FLAGS] = between;
        self.tcp = Some(Tcp { at, sequence, first: flags & CWR, last: flags & FIN_PSH, between });
    }

    /// A header further out, and the one before it. What stands behind it is known, as `tail`.
    fn fix(&mut self, fix: Fix, before: Fix, tail: Tail, payload: usize) -> Tail {
        let at = usize::from(fix.at);
        let whole = self.length - at + payload;
        match fix.kind {
            FixKind::Ipv4 { counts } => {
                self.ipv4(at, whole, counts);
                tail
            }
            FixKind::Ipv6 => {
                self.put(at + IPV6_PAYLOAD, whole - IPV6_HEADER);
                tail
            }
            FixKind::Udp { checksum } => {
                self.put(at + UDP_LENGTH, whole);
                if !checksum {
                    return tail;
                }
                let pseudo = self.pseudo(before, p::UDP, whole);
                self.covered(at, at + UDP_CHECKSUM, pseudo, tail)
            }
            FixKind::Gre { checksum: true } => self.covered(at, at + GRE_CHECKSUM, 0, tail),
            FixKind::Gre { checksum: false } => tail,
        }
    }

    fn ipv4(&mut self, at: usize, whole: usize, counts: bool) {
        self.put(at + IPV4_LENGTH, whole);
        let header = at..at + usize::from(self.bytes[at] & 15) * 4;
        let first = u16::from_be_bytes([self.bytes[at + IPV4_ID], self.bytes[at + IPV4_ID + 1]]);
        self.put(at + IPV4_ID, 0);
        self.put(at + IPV4_CHECKSUM, 0);
        let sum = u32::from(u16::from_be(fold(sum_words(&self.bytes[header]))));
        let counted = Counted { at: fix_offset(at), first, sum };
        counted.write(&mut self.bytes, 0);
        if counts {
            self.counted[self.count] = counted;
            self.count += 1;
        }
    }

    /// A checksum over all bytes from `at` on, whose field is at `field`. Behind it everything adds up to the complement of
    /// `pseudo`.
    fn covered(&mut self, at: usize, field: usize, pseudo: u64, tail: Tail) -> Tail {
        self.put(field, 0);
        let sum = pseudo + sum_words(&self.bytes[at..tail.from]) + tail.sum;
        // GRE has no pseudo-header.
        let varying = Varying { at: fix_offset(field), sum, tcp: false, udp: pseudo != 0 };
        if tail.payload {
            self.varying = Some(varying);
        } else {
            varying.write(&mut self.bytes, 0);
        }
        Tail { from: at, sum: u64::from(!fold(pseudo)), payload: false }
    }

    /// The sum of the pseudo-header of the packet behind an IP header (RFC 9293 3.1, RFC 8200 8.1).
    fn pseudo(&self, ip: Fix, protocol: u8, length: usize) -> u64 {
        let at = usize::from(ip.at);
        let addresses = if ip.kind == FixKind::Ipv6 { at + 8..at + 40 } else { at + 12..at + 20 };
        // Below 65,536 by the length of the IP packet, or an IPv6 packet's, whose pseudo-header has 32 bits for it.
        pseudo_sum(&self.bytes[addresses], protocol, length as u32)
    }

    /// A length, or another number of 16 bits.
    fn put(&mut self, at: usize, value: usize) {
        self.bytes[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
    }

    /// Writes the headers of segment number `index`, but for the checksum that [`Template::finish`] writes, at the beginning
    /// of `head`. What is behind them there is unspecified then.
    #[inline(always)]
    pub(super) fn write(&self, index: u32, last: bool, head: &mut [u8; MAX_HEADERS]) {
        // What is copied must not have been written just now: a processor waits for bytes of several writes.
        let (to, from) = (head.as_chunks_mut::<LINE>().0, self.bytes.as_chunks::<LINE>().0);
        for (to, from) in to.iter_mut().zip(from).take(self.length.div_ceil(LINE)) {
            *to = *from;
        }
        self.differ(index, last, head);
    }

    /// The same where the headers already stand in a packet: all of `head`.
    pub(super) fn rewrite(&self, index: u32, last: bool, head: &mut [u8]) {
        head.copy_from_slice(&self.bytes[..self.length]);
        self.differ(index, last, head);
    }

    #[inline(always)]
    fn differ(&self, index: u32, last: bool, head: &mut [u8]) {
        for counted in &self.counted[..self.count] {
            counted.write(head, index);
        }
        if let Some(tcp) = &self.tcp {
            let sequence = tcp.sequence.wrapping_add(index.wrapping_mul(self.size)).to_be_bytes();
            let flags = if index == 0 { tcp.first } else { 0 } | if last { tcp.last } else { 0 };
            let fields: &mut [u8; TCP_FLAGS + 1 - TCP_SEQUENCE] = fields(head, tcp.at + TCP_SEQUENCE);
            fields[..4].copy_from_slice(&sequence);
            fields[TCP_FLAGS - TCP_SEQUENCE] = tcp.between | flags;
        }
    }

    /// True when [`Template::finish`] has something to do.
    pub(super) fn sums_payload(&self) -> bool {
        self.varying.is_some()
    }

    /// Writes the checksum that covers the payload of a segment, whose headers are written.
    pub(super) fn finish(&self, segment: &mut Skb, headers: u32, pool: &mut PacketPool) {
        if let Some(varying) = &self.varying {
            self.sum_up(varying, segment, headers, pool);
        }
    }

    fn sum_up(&self, varying: &Varying, segment: &mut Skb, headers: u32, pool: &mut PacketPool) {
        let mut sum = sum_of(segment, headers, segment.len());
        let head = segment.head_mut(headers, pool).expect("just written");
        if let Some(tcp) = self.tcp.filter(|_| varying.tcp) {
            // In the template's sum the number is zero, and the flags are those that all have.
            sum += sum_words(&head[tcp.at + TCP_SEQUENCE..tcp.at + TCP_SEQUENCE + 4]);
            sum += u64::from(u16::from(head[tcp.at + TCP_FLAGS] & !tcp.between).to_be());
        }
        varying.write(head, sum);
    }
}

impl Counted {
    #[inline(always)]
    fn write(&self, head: &mut [u8], index: u32) {
        let (at, id) = (usize::from(self.at), self.first.wrapping_add(index as u16));
        let sum = self.sum + u32::from(id);
        let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
        let fields: &mut [u8; IPV4_CHECKSUM + 2 - IPV4_ID] = fields(head, at + IPV4_ID);
        fields[..2].copy_from_slice(&id.to_be_bytes());
        fields[IPV4_CHECKSUM - IPV4_ID..].copy_from_slice(&checksum.to_be_bytes());
    }
}

impl Varying {
    /// `more` is the sum of what is not the same in each.
    #[inline(always)]
    fn write(&self, head: &mut [u8], more: u64) {
        let at = usize::from(self.at);
        let checksum = complement(self.sum + more, self.udp);
        head[at..at + 2].copy_from_slice(&checksum.to_ne_bytes());
    }
}

/// `N` bytes of headers, which have them.
#[inline(always)]
fn fields<const N: usize>(head: &mut [u8], at: usize) -> &mut [u8; N] {
    head[at..].first_chunk_mut().expect("a header is whole")
}

/// Headers are shorter than [`MAX_HEADERS`].
fn fix_offset(at: usize) -> u16 {
    at as u16
}
