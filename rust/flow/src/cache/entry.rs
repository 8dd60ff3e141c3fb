//! One connection in the cache: two lines that each packet reads, a line of TCP's, and what no hit reads.
use crate::conntrack::Way;
use crate::endpoints::{Endpoints, different};
use crate::key::{Direction, FlowKey};
use netfast_wire::dissect::protocol as p;

/// No program, no line, no hop.
pub const NONE: u32 = u32::MAX;

/// A connection. Its first line is what a lookup reads, its second what a packet changes.
///
/// ```text
///   0 ends (40, of which the last byte is the tag) | 40 stamps (2 x 8) | 56 programs (2 x 4)
///  64 expires | 72 packets (2 x 8) | 88 bytes (2 x 8) | 104 the other end: address (16), port (2) | 122 its checksum difference (2)
/// 124 to 127 free
/// ```
///
/// Of a translation mostly one end changes: the client's, or the server's. That other end has room here, so that packets of
/// such a connection read no line more than others do. Of others the place of their line stands there.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Entry {
    /// Both ends of the packets that the connection's originator sends, as it sends them. Above [`Endpoints::KIND`] stands the tag: class of the timeout (3
    /// bits), whether it has the state of a transport connection (1), direction of the first packet (1), [`Shape`] (2).
    pub(super) ends: Endpoints,
    /// The epoch in which the program of each way was last known to be right.
    pub stamps: [u64; 2],
    /// What is done with packets of each way: ids that the owner of the cache hands out; [`NONE`] for "decide anew".
    pub programs: [u32; 2],
    /// When the connection is over unless a packet comes, ns.
    pub expires: u64,
    /// Packets each way.
    pub packets: [u64; 2],
    /// Their IP octets.
    pub bytes: [u64; 2],
    /// Address and port of the end that replaces one of `ends`, as they stand in headers.
    other: [u8; 16],
    other_port: u16,
    /// What the sum under the upper layer's checksum grows by when the originator's packets are translated (RFC 1624).
    l4_change: u16,
}

const _: () = assert!(size_of::<Entry>() == 128);

const CLASS: u32 = 24;
const TRANSPORT: u32 = 27;
const FIRST: u32 = 28;
const SHAPE: u32 = 29;

#[inline(always)]
fn direction_of(kind: u32) -> Direction {
    if kind >> FIRST & 1 == 0 { Direction::Up } else { Direction::Down }
}

/// How a connection is translated; 0 stands for not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Shape {
    /// The other end is what its originator becomes.
    Source = 1,
    /// The other end is what its destination becomes.
    Destination = 2,
    /// More than that: there is a [`NatLine`].
    Line = 3,
}

/// An end of a packet that becomes another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneEnd<'a> {
    /// The source changes, not the destination.
    pub is_source: bool,
    /// The new address as it stands in an IPv6 header; IPv4 mapped.
    pub address: &'a [u8; 16],
    /// The new port as it stands in a header.
    pub port: u16,
    /// What the sum under the upper layer's checksum grows by (RFC 1624).
    pub l4_change: u16,
}

/// A packet as it leaves behind a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Its ends then.
    pub ends: Endpoints,
    /// What the sum under the IPv4 header checksum grows by (RFC 1624).
    pub l3_change: u16,
    /// What the sum under the upper layer's checksum grows by.
    pub l4_change: u16,
}

impl Entry {
    /// A connection whose first packet went from and to these ends, `first` by its key.
    pub(super) fn new(ends: Endpoints, first: Direction, now_ns: u64) -> Self {
        let mut ends = ends;
        ends.kind = ends.kind & Endpoints::KIND | (first as u32) << FIRST;
        Self {
            ends,
            stamps: [0; 2],
            programs: [NONE; 2],
            expires: now_ns,
            packets: [0; 2],
            bytes: [0; 2],
            other: [0; 16],
            other_port: 0,
            l4_change: 0,
        }
    }

    /// The place of no connection.
    pub(super) const EMPTY: Self = Self {
        ends: Endpoints::NONE,
        stamps: [0; 2],
        programs: [NONE; 2],
        expires: 0,
        packets: [0; 2],
        bytes: [0; 2],
        other: [0; 16],
        other_port: 0,
        l4_change: 0,
    };

    /// The key of packets as the originator sends them.
    pub fn key(&self) -> FlowKey {
        self.ends.key(self.first())
    }

    /// 4 or 6.
    pub fn ip_version(&self) -> u8 {
        self.ends.ip_version()
    }

    /// True when it has the state of a transport connection.
    #[inline(always)]
    pub fn has_transport(&self) -> bool {
        self.ends.kind >> TRANSPORT & 1 != 0
    }

    pub(super) fn set_transport(&mut self) {
        self.ends.kind |= 1 << TRANSPORT;
    }

    /// Which way of the key the originator's packets go.
    #[inline(always)]
    pub fn first(&self) -> Direction {
        direction_of(self.ends.kind)
    }

    /// Class of its timeout, the owner's: 0 to 7.
    #[inline(always)]
    pub fn class(&self) -> u8 {
        (self.ends.kind >> CLASS) as u8 & 7
    }

    /// True when that is its class, and it has the state of a transport connection: one comparison.
    #[inline(always)]
    pub fn is_of_class_with_transport(&self, class: u8) -> bool {
        self.ends.kind >> CLASS & 15 == u32::from(class & 7 | 8)
    }

    /// Changes the class of its timeout, of which three bits count.
    #[inline(always)]
    pub fn set_class(&mut self, class: u8) {
        self.ends.kind = self.ends.kind & !(7 << CLASS) | u32::from(class & 7) << CLASS;
    }

    /// True when the place holds a connection.
    #[inline(always)]
    pub fn is_live(&self) -> bool {
        self.ends.differ(&Endpoints::NONE) != 0
    }

    /// Which way a packet goes that has these ends, where nothing is translated. It is most likely the one `like` another packet of its
    /// port went: mostly clients are on one side.
    #[inline(always)]
    pub(super) fn way_of(&self, packet: &Endpoints, like: Way) -> Option<Way> {
        let goes = |way: Way| match way {
            Way::Original => self.is_by(packet, false),
            Way::Reply => self.is_by(packet, true),
        };
        match like {
            Way::Original if goes(Way::Original) => Some(Way::Original),
            Way::Reply if goes(Way::Reply) => Some(Way::Reply),
            _ => self.way_unlike(packet, like),
        }
    }

    #[inline(never)]
    fn way_unlike(&self, packet: &Endpoints, like: Way) -> Option<Way> {
        let other = like.opposite();
        self.is_by(packet, other == Way::Reply).then_some(other)
    }

    /// True when nothing is translated and a packet has these ends, or those `turned`.
    #[inline(always)]
    fn is_by(&self, packet: &Endpoints, turned: bool) -> bool {
        let ends = &self.ends;
        let [source, destination] = &packet.addresses;
        let (source, destination) = if turned { (destination, source) } else { (source, destination) };
        let addresses = different(&ends.addresses[0], source) | different(&ends.addresses[1], destination);
        let ports = ends.ports ^ if turned { packet.ports.rotate_left(16) } else { packet.ports };
        let kind = (ends.kind ^ packet.kind) & (Endpoints::KIND | 3 << SHAPE);
        addresses | u64::from(ports | kind) == 0
    }

    /// True when it is translated so. One comparison for each, since a choice of four would be a jump through a table.
    #[inline(always)]
    fn is_shaped(&self, shape: Shape) -> bool {
        self.ends.kind & 3 << SHAPE == (shape as u32) << SHAPE
    }

    pub(super) fn set_shape(&mut self, shape: Shape) {
        self.ends.kind = self.ends.kind & !(3 << SHAPE) | (shape as u32) << SHAPE;
    }

    /// Takes up where its NAT line stands.
    pub(super) fn set_line(&mut self, at: u32) {
        self.set_shape(Shape::Line);
        self.other[..4].copy_from_slice(&at.to_le_bytes());
    }

    /// Where its NAT line stands, if it needs one.
    #[inline(always)]
    pub(super) fn line(&self) -> Option<usize> {
        self.is_shaped(Shape::Line).then(|| {
            u32::from_le_bytes([self.other[0], self.other[1], self.other[2], self.other[3]]) as usize
        })
    }

    /// True when its packets are translated.
    #[inline(always)]
    pub fn is_translated(&self) -> bool {
        self.ends.kind >> SHAPE & 3 != 0
    }

    /// Takes a translation up, if there is room for it here: false when it needs a line.
    pub(super) fn translate(&mut self, line: &NatLine) -> bool {
        let Endpoints { addresses: [to, from], ports, .. } = line.reply;
        let (to_port, from_port) = (ports as u16, (ports >> 16) as u16);
        for (shape, address, port) in [(Shape::Source, from, from_port), (Shape::Destination, to, to_port)] {
            (self.other, self.other_port, self.l4_change) = (address, port, line.l4_change[0]);
            self.set_shape(shape);
            let leaving = Way::ALL.map(|way| self.leaving(way));
            let wanted = Way::ALL.map(|way| Some(line.leaving(self, way)));
            if matches!(self.ends.protocol(), p::TCP | p::UDP) && leaving == wanted {
                return true;
            }
        }
        false
    }

    /// The ends of replies as they arrive, where one of the entry's is another then.
    #[inline(always)]
    pub(super) fn reply(&self) -> Option<Endpoints> {
        let Endpoints { addresses: [source, destination], ports, kind } = self.ends;
        let (other, port) = (self.other, u32::from(self.other_port));
        if self.is_shaped(Shape::Source) {
            Some(Endpoints { addresses: [destination, other], ports: ports >> 16 | port << 16, kind })
        } else if self.is_shaped(Shape::Destination) {
            Some(Endpoints { addresses: [other, source], ports: port | ports << 16, kind })
        } else {
            None
        }
    }

    /// What of a packet's ends changes, where that is one of them.
    #[inline(always)]
    pub fn one_end(&self, way: Way) -> Option<OneEnd<'_>> {
        let source = self.is_shaped(Shape::Source);
        if !source && !self.is_shaped(Shape::Destination) {
            return None;
        }
        if way == Way::Original {
            let (address, port) = (&self.other, self.other_port);
            return Some(OneEnd { is_source: source, address, port, l4_change: self.l4_change });
        }
        let Endpoints { addresses: [from, to], ports, .. } = &self.ends;
        let (address, port) = if source { (from, *ports as u16) } else { (to, (ports >> 16) as u16) };
        // The negative in ones' complement, where each of the two zeros stays what it is.
        let is_zero = self.l4_change.wrapping_add(1) <= 1;
        let l4_change = if is_zero { self.l4_change } else { !self.l4_change };
        Some(OneEnd { is_source: !source, address, port, l4_change })
    }

    /// A packet of a way as it leaves, where one end changes.
    pub(super) fn leaving(&self, way: Way) -> Option<Leaving> {
        let OneEnd { is_source, address, l4_change, .. } = self.one_end(way)?;
        let (ends, old) = match way {
            Way::Original => (self.reply()?.turned(), self.ends),
            Way::Reply => (self.ends.turned(), self.reply()?),
        };
        let l3_change = match self.ip_version() {
            4 => address_change(&old.addresses[usize::from(!is_source)][12..], &address[12..]),
            _ => 0,
        };
        let ends = Endpoints { kind: ends.kind & Endpoints::KIND, ..ends };
        Some(Leaving { ends, l3_change, l4_change })
    }
}

/// What the sum under a checksum grows by when an IPv4 address becomes another one (RFC 1624): 0 when it does not.
#[inline(always)]
pub fn address_change(old: &[u8], new: &[u8]) -> u16 {
    let halves = |address: &[u8]| match *address {
        [a, b, c, d] => u32::from(u16::from_be_bytes([a, b])) + u32::from(u16::from_be_bytes([c, d])),
        _ => 0,
    };
    let sum = halves(new) + 2 * 0xffff - halves(old);
    let sum = (sum & 0xffff) + (sum >> 16);
    match (sum & 0xffff) + (sum >> 16) {
        0xffff => 0,
        sum => sum as u16,
    }
}

/// What a connection has besides when both of its ends are translated, or when it is neither TCP's nor UDP's: the ends of its
/// replies.
#[derive(Clone, Copy, Debug)]
pub struct NatLine {
    /// Both ends of the replies as they arrive; the direction in which they go by their key stands where an entry's does.
    pub(super) reply: Endpoints,
    /// What the sum under the IPv4 header checksum grows by, each way (RFC 1624).
    pub(super) l3_change: [u16; 2],
    /// What the sum under the upper layer's checksum grows by, each way.
    pub(super) l4_change: [u16; 2],
}

const _: () = assert!(size_of::<NatLine>() == 48);

impl NatLine {
    pub(super) fn new(
        reply: Endpoints,
        direction: Direction,
        l3_change: [u16; 2],
        l4_change: [u16; 2],
    ) -> Self {
        let kind = reply.kind & Endpoints::KIND | (direction as u32) << FIRST;
        Self { reply: Endpoints { kind, ..reply }, l3_change, l4_change }
    }

    pub(super) fn direction(&self) -> Direction {
        direction_of(self.reply.kind)
    }

    /// A packet of a way as it leaves.
    pub(super) fn leaving(&self, entry: &Entry, way: Way) -> Leaving {
        let ends = match way {
            Way::Original => self.reply.turned(),
            Way::Reply => entry.ends.turned(),
        };
        let ends = Endpoints { kind: ends.kind & Endpoints::KIND, ..ends };
        Leaving { ends, l3_change: self.l3_change[way as usize], l4_change: self.l4_change[way as usize] }
    }
}
