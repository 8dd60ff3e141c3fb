//! Flow keys: both directions of a conversation have the same one.
use crate::clock::Seen;
use crate::conntrack::{IcmpRole, Tuple, icmp_role};
use netfast_low::hash::Seed;
use netfast_wire::dissect::protocol as p;
use netfast_wire::{Layers, Present, Verdict};
use std::fmt;

/// Which way a packet goes, by the order of the key's addresses.
///
/// A conversation with oneself goes up both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From the lower endpoint to the higher.
    #[default]
    Up = 0,
    /// From the higher endpoint to the lower.
    Down = 1,
}

impl Direction {
    /// The other way.
    #[inline(always)]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// VLAN, IP version, both endpoints, protocol: 40 bytes, the lower endpoint first.
///
/// The last word holds, from bit 0: the lower endpoint's port, the higher one's (16), the protocol (32), the VLAN
/// (40), whether there is one (52), IPv6 (53), and of ICMP messages without an answer (54) the direction (55).
#[derive(Clone, Copy, Debug, Default, Eq, PartialOrd, Ord)]
pub struct FlowKey(pub(crate) [u64; 5]);

/// Five comparisons without a branch between them: the derived one calls `memcmp`, which costs more than all of them.
impl PartialEq for FlowKey {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl std::hash::Hash for FlowKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

const VLAN: u64 = 1 << 52;
/// Of an ICMP tuple's key: the higher endpoint asks.
const ASKED_DOWN: u64 = 1 << 55;
const ONE_WAY: u64 = 1 << 54;

/// What the first fragment of a datagram tells of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upper {
    /// Upper-layer protocol.
    pub protocol: u8,
    /// Source port; 0 without ports.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// ICMP type, code and identifier.
    pub icmp: Option<(u8, u8, u16)>,
}

impl Upper {
    /// What a dissected packet says itself.
    pub fn of(layers: &Layers) -> Self {
        let icmp = layers.present.has(Present::ICMP);
        Self {
            protocol: layers.protocol,
            src_port: layers.src_port,
            dst_port: layers.dst_port,
            icmp: icmp.then_some((layers.icmp_type, layers.icmp_code, layers.icmp_id)),
        }
    }
}

/// Why a packet belongs to no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum NoFlow {
    /// No IP packet in the frame (ARP, link-layer protocols, 802.11 management …).
    NotIp,
    /// A header that cannot be, before the ports were read.
    Malformed,
    /// Cut by the capture before the ports were read.
    Truncated,
    /// More extension headers or tags than the dissector's limits.
    TooManyHeaders,
    /// Enciphered on the link.
    Encrypted,
    /// A link type that netfast does not dissect.
    UnknownLinkType,
    /// A fragment whose datagram's first fragment was not seen before it.
    FragmentWithoutFirst,
}

impl NoFlow {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 7] = [
        Self::NotIp,
        Self::Malformed,
        Self::Truncated,
        Self::TooManyHeaders,
        Self::Encrypted,
        Self::UnknownLinkType,
        Self::FragmentWithoutFirst,
    ];

    /// The reason as programs and JSON name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::TooManyHeaders => "too_many_headers",
            Self::Encrypted => "encrypted",
            Self::UnknownLinkType => "unknown_link_type",
            Self::FragmentWithoutFirst => "fragment_without_first",
        }
    }

    fn of(layers: &Layers) -> Self {
        match layers.verdict {
            Verdict::Malformed => Self::Malformed,
            Verdict::Truncated => Self::Truncated,
            Verdict::TooManyHeaders | Verdict::TooDeep => Self::TooManyHeaders,
            Verdict::Encrypted => Self::Encrypted,
            Verdict::UnknownLinkType => Self::UnknownLinkType,
            Verdict::NonFirstFragment => Self::FragmentWithoutFirst,
            _ => Self::NotIp,
        }
    }
}

impl fmt::Display for NoFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the flow table needs of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowPacket {
    /// Its flow.
    pub key: FlowKey,
    /// The key's hash under the table's seed.
    pub hash: u64,
    /// The packet's own time stamp, ns since the epoch.
    pub time_ns: u64,
    /// When it counts as seen: [`crate::PacketClock`].
    pub now_ns: u64,
    /// IP octets.
    pub ip_len: u32,
    /// Frame length on the wire.
    pub wire_len: u32,
    /// TCP flags.
    pub tcp_flags: u16,
    /// ICMP type x 256 + code.
    pub icmp: u16,
    /// The era of `now_ns`: [`Seen::era`].
    pub era: u16,
    /// Which way it goes.
    pub direction: Direction,
}

const _: () = assert!(size_of::<FlowPacket>() == 80);

impl FlowPacket {
    /// Says when it counts as seen.
    #[inline(always)]
    pub fn seen(&mut self, seen: Seen) {
        (self.now_ns, self.era) = (seen.now_ns, seen.era);
    }

    /// Fills in what a dissected packet says; times, length on the wire and hash are the caller's.
    ///
    /// # Errors
    /// Why the packet belongs to no flow. A fragment that is not the first is such a one: see [`fragment_key`] and
    /// [`FlowPacket::with_upper`].
    #[inline(always)]
    pub fn fill(&mut self, layers: &Layers) -> Result<(), NoFlow> {
        if layers.present.has(Present::IP | Present::PORTS) {
            let ports = (layers.src_port, layers.dst_port);
            (self.key, self.direction) = FlowKey::with_ports(layers, layers.protocol, ports);
            self.ip_len = layers.ip_len();
            self.tcp_flags = layers.tcp_flags;
            self.icmp = 0;
            return Ok(());
        }
        self.fill_portless(layers)
    }

    fn fill_portless(&mut self, layers: &Layers) -> Result<(), NoFlow> {
        if !layers.present.has(Present::IP | Present::PROTOCOL) || layers.verdict == Verdict::NonFirstFragment
        {
            return Err(NoFlow::of(layers));
        }
        let wants = match layers.protocol {
            p::TCP | p::UDP | p::UDPLITE | p::SCTP | p::DCCP => Present::PORTS,
            p::ICMPV4 | p::ICMPV6 => Present::ICMP,
            _ => 0,
        };
        if !layers.present.has(wants) {
            return Err(NoFlow::of(layers));
        }
        self.with_upper(layers, &Upper::of(layers));
        Ok(())
    }

    /// As [`FlowPacket::fill`], with the upper layer told by the datagram's first fragment.
    pub fn with_upper(&mut self, layers: &Layers, upper: &Upper) {
        self.ip_len = layers.ip_len();
        self.tcp_flags = layers.tcp_flags;
        self.icmp = 0;
        (self.key, self.direction) = match upper.icmp {
            Some((kind, code, id)) => {
                self.icmp = u16::from_be_bytes([kind, code]);
                FlowKey::icmp(layers, upper.protocol, kind, code, id)
            }
            None => FlowKey::with_ports(layers, upper.protocol, (upper.src_port, upper.dst_port)),
        };
    }
}

#[inline(always)]
fn words(address: &[u8; 16]) -> [u64; 2] {
    let wide = u128::from_be_bytes(*address);
    [(wide >> 64) as u64, wide as u64]
}

fn bytes(words: [u64; 2]) -> [u8; 16] {
    (u128::from(words[0]) << 64 | u128::from(words[1])).to_be_bytes()
}

#[inline(always)]
fn common(layers: &Layers, protocol: u8) -> u64 {
    let vlan = if layers.present.has(Present::VLAN) { VLAN | u64::from(layers.vlan) << 40 } else { 0 };
    u64::from(protocol) << 32 | vlan | if layers.ip_version == 6 { FlowKey::V6 } else { 0 }
}

impl FlowKey {
    /// The key of no flow.
    pub const NONE: Self = Self([0; 5]);
    /// Of the last word: the addresses are IPv6's.
    pub(crate) const V6: u64 = 1 << 53;

    #[inline(always)]
    fn with_ports(layers: &Layers, protocol: u8, ports: (u16, u16)) -> (Self, Direction) {
        let (src, dst) = (words(&layers.src), words(&layers.dst));
        Self::ordered(common(layers, protocol), (src, ports.0), (dst, ports.1))
    }

    /// ICMP: a question and its answer are one flow, told apart by the identifier where there is one; of messages
    /// without an answer, type, code and direction make the flow.
    fn icmp(layers: &Layers, protocol: u8, kind: u8, code: u8, id: u16) -> (Self, Direction) {
        let (src, dst) = (words(&layers.src), words(&layers.dst));
        let down = src > dst;
        let detail = match question(protocol, kind) {
            Some(question) => u64::from(id) | u64::from(question) << 16,
            None => ONE_WAY | u64::from(down) << 55 | u64::from(kind) << 16 | u64::from(code) << 24,
        };
        let rest = common(layers, protocol) | detail;
        if down {
            (Self([dst[0], dst[1], src[0], src[1], rest]), Direction::Down)
        } else {
            (Self([src[0], src[1], dst[0], dst[1], rest]), Direction::Up)
        }
    }

    /// The key of a connection in a context (a port set, VRF or zone, below 4,096), from addresses as pairs of big-endian
    /// words (IPv4 mapped). Protocols without ports have zeros there.
    #[inline(always)]
    pub fn in_context(
        context: u16,
        v6: bool,
        protocol: u8,
        (src, src_port): ([u64; 2], u16),
        (dst, dst_port): ([u64; 2], u16),
    ) -> (Self, Direction) {
        let version = if v6 { FlowKey::V6 } else { 0 };
        let rest = u64::from(protocol) << 32 | u64::from(context & 0x0fff) << 40 | version;
        Self::ordered(rest, (src, src_port), (dst, dst_port))
    }

    /// The key of a tracked connection's tuple, and which way the tuple goes. Both directions have the same key where the
    /// connection is not translated. `context`, of which twelve bits count, keeps connections of different nodes or
    /// zones apart; it stands where the VLAN does in a flow's key.
    ///
    /// Unlike in a flow's key, an ICMP exchange has a direction: who asks, and the code, are part of it, since Linux
    /// tells these connections apart.
    #[inline]
    pub fn of_tuple(context: u16, tuple: &Tuple) -> (Self, Direction) {
        let (src, dst) = (words(&tuple.source), words(&tuple.destination));
        let version = if tuple.ip_version() == 6 { FlowKey::V6 } else { 0 };
        let rest = u64::from(tuple.protocol) << 32 | u64::from(context & 0x0fff) << 40 | version;
        if tuple.is_icmp() {
            return Self::of_message(rest, tuple);
        }
        Self::ordered(rest, (src, tuple.source_port), (dst, tuple.destination_port))
    }

    /// Both ends in order, and which way that is. Without a branch: which end is the lower one is chance, so that a
    /// processor guesses every second one wrong.
    #[inline(always)]
    pub(crate) fn ordered(
        rest: u64,
        (src, src_port): ([u64; 2], u16),
        (dst, dst_port): ([u64; 2], u16),
    ) -> (Self, Direction) {
        let wide = |[high, low]: [u64; 2]| u128::from(high) << 64 | u128::from(low);
        let (high, low) = (src[0] ^ dst[0], src[1] ^ dst[1]);
        let down = (wide(src) > wide(dst)) | ((high | low == 0) & (src_port > dst_port));
        let mask = u64::from(down).wrapping_neg();
        let (high, low) = (high & mask, low & mask);
        let ports = u32::from(src_port) | u32::from(dst_port) << 16;
        let ports = ports.rotate_left(16 * u32::from(down));
        let words = [src[0] ^ high, src[1] ^ low, dst[0] ^ high, dst[1] ^ low, rest | u64::from(ports)];
        (Self(words), if down { Direction::Down } else { Direction::Up })
    }

    /// Addresses (two big-endian words each) and what stands in place of ports of a packet with this key that goes in a
    /// direction, its source first. No branch, either.
    #[inline(always)]
    pub fn ends(&self, direction: Direction) -> ([[u64; 2]; 2], [u16; 2]) {
        let down = direction == Direction::Down;
        let (from, to) = (2 * usize::from(down), 2 * usize::from(!down));
        let ports = (self.0[4] as u32).rotate_left(16 * u32::from(down));
        let source = [self.0[from], self.0[from + 1]];
        let destination = [self.0[to], self.0[to + 1]];
        ([source, destination], [ports as u16, (ports >> 16) as u16])
    }

    /// The tuple of one direction: the way back from [`FlowKey::of_tuple`].
    pub fn tuple(&self, direction: Direction) -> Tuple {
        let [low, high] = self.addresses();
        let (low_port, high_port) = (self.0[4] as u16, (self.0[4] >> 16) as u16);
        let protocol = self.protocol();
        let down = direction == Direction::Down;
        let (source, destination) = if down { (high, low) } else { (low, high) };
        let (mut source_port, mut destination_port) =
            if down { (high_port, low_port) } else { (low_port, high_port) };
        if matches!(protocol, p::ICMPV4 | p::ICMPV6) {
            (source_port, destination_port) = (low_port, high_port.swap_bytes());
            if (self.0[4] & ASKED_DOWN != 0) != down {
                let asked = Tuple {
                    source: destination,
                    destination: source,
                    source_port,
                    destination_port,
                    protocol,
                };
                return asked.reply().unwrap_or(Tuple { source, destination, ..asked });
            }
        }
        Tuple { source, destination, source_port, destination_port, protocol }
    }

    /// Laid out by the question: its identifier, type and code, and which end asks.
    fn of_message(rest: u64, tuple: &Tuple) -> (Self, Direction) {
        let (kind, _) = tuple.icmp();
        let answers = icmp_role(tuple.protocol, kind) == IcmpRole::Answer;
        let asked = if answers { tuple.reply().unwrap_or(*tuple) } else { *tuple };
        let (src, dst) = (words(&asked.source), words(&asked.destination));
        let kind_and_code = u64::from(asked.destination_port.swap_bytes());
        let rest = rest | u64::from(asked.source_port) | kind_and_code << 16;
        let down = src > dst;
        let key = match down {
            true => [dst[0], dst[1], src[0], src[1], rest | ASKED_DOWN],
            false => [src[0], src[1], dst[0], dst[1], rest],
        };
        (Self(key), if down == answers { Direction::Up } else { Direction::Down })
    }

    /// The context of a tuple's key.
    pub fn context(&self) -> u16 {
        (self.0[4] >> 40) as u16 & 0x0fff
    }

    /// The hash under a seed.
    #[inline(always)]
    pub fn seeded_hash(&self, seed: Seed) -> u64 {
        seed.hash5(&self.0)
    }

    /// A hash of the addresses alone: fragments, and ICMP echoes, go where their conversation's other packets go.
    #[inline(always)]
    pub fn address_hash(&self, seed: Seed) -> u64 {
        let [a, b, c, d, _] = self.0;
        seed.hash5(&[a, b, c, d, 0])
    }

    /// 4 or 6.
    pub fn ip_version(&self) -> u8 {
        if self.0[4] & FlowKey::V6 != 0 { 6 } else { 4 }
    }

    /// Upper-layer protocol.
    pub fn protocol(&self) -> u8 {
        (self.0[4] >> 32) as u8
    }

    /// The outermost VLAN.
    pub fn vlan(&self) -> Option<u16> {
        (self.0[4] & VLAN != 0).then_some((self.0[4] >> 40) as u16 & 0x0fff)
    }

    /// Addresses of the lower and the higher endpoint.
    pub fn addresses(&self) -> [[u8; 16]; 2] {
        [bytes([self.0[0], self.0[1]]), bytes([self.0[2], self.0[3]])]
    }

    /// Addresses of the lower and the higher endpoint, as pairs of big-endian words.
    #[inline(always)]
    pub fn words(&self) -> [[u64; 2]; 2] {
        [[self.0[0], self.0[1]], [self.0[2], self.0[3]]]
    }

    /// What stands in place of ports, whatever the protocol.
    pub fn raw_ports(&self) -> [u16; 2] {
        [self.0[4] as u16, (self.0[4] >> 16) as u16]
    }

    /// Ports of the lower and the higher endpoint; `None` where the protocol has none.
    pub fn ports(&self) -> Option<[u16; 2]> {
        matches!(self.protocol(), p::TCP | p::UDP | p::UDPLITE | p::SCTP | p::DCCP)
            .then_some([self.0[4] as u16, (self.0[4] >> 16) as u16])
    }
}

/// The type that begins the exchange which `kind` belongs to; `None` for messages without an answer.
fn question(protocol: u8, kind: u8) -> Option<u8> {
    let pairs: &[(u8, u8)] = if protocol == p::ICMPV6 {
        // RFC 4443, 4861, 2710, 4620, 6275, 8335.
        &[(128, 129), (133, 134), (135, 136), (130, 131), (139, 140), (144, 145), (160, 161)]
    } else {
        // RFC 792, 950, 1256, 8335.
        &[(8, 0), (13, 14), (15, 16), (17, 18), (10, 9), (42, 43)]
    };
    pairs.iter().find(|pair| pair.0 == kind || pair.1 == kind).map(|pair| pair.0)
}

/// What fragments of one datagram have in common (RFC 791 3.2: with the protocol; RFC 8200 4.5: without), one way.
pub fn fragment_key(layers: &Layers) -> [u64; 5] {
    let (src, dst) = (words(&layers.src), words(&layers.dst));
    // The header's own protocol: only the first fragment tells what stands behind AH. IPv6 has none there.
    let rest = common(layers, layers.ip_protocol) & !0xffff_ffff;
    [src[0], src[1], dst[0], dst[1], rest | u64::from(layers.fragment_id)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use netfast_wire::dissect::{Frame, dissect};
    use netfast_wire::{Limits, LinkType};
    use proptest::prelude::*;

    fn read(packet: &[u8]) -> Layers {
        let mut layers = Layers::default();
        dissect(&Frame::whole(packet, LinkType::RAW), &Limits::default(), &mut layers, &mut ());
        layers
    }

    #[test]
    fn a_tuple_and_its_reply_have_one_key_and_come_back_from_it() {
        let address = |last| std::net::Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped().octets();
        let messages = [(p::TCP, 40_000, 80), (p::ICMPV4, 7, 0x0800), (p::ICMPV4, 7, 0x0001), (p::GRE, 0, 0)];
        for (source, destination) in [(1, 2), (2, 1), (3, 3)] {
            for (protocol, source_port, destination_port) in messages {
                let (source, destination) = (address(source), address(destination));
                let tuple = Tuple { source, destination, source_port, destination_port, protocol };
                let reply = tuple.reply().expect("all of these have one");
                let (key, direction) = FlowKey::of_tuple(5, &tuple);
                let (other, back) = FlowKey::of_tuple(5, &reply);
                assert_eq!(key, other);
                assert_eq!((key.tuple(direction), key.tuple(back)), (tuple, reply));
                assert_eq!(direction == back, tuple == reply);
                if tuple.has_ports() {
                    let ends = ((words(&source), source_port), (words(&destination), destination_port));
                    assert_eq!(FlowKey::in_context(5, false, protocol, ends.0, ends.1), (key, direction));
                }
                assert_eq!((key.context(), key.ip_version()), (5, 4));
                assert_ne!(FlowKey::of_tuple(6, &tuple).0, key);
            }
        }
    }

    proptest! {
        /// Few values, so that ends are equal in all of their parts or in some.
        #[test]
        fn the_lower_end_comes_first_and_both_are_told_again(
            v6: bool,
            protocol: u8,
            words in proptest::array::uniform4(prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()]),
            ports in proptest::array::uniform2(prop_oneof![0..3u16, any::<u16>()]),
        ) {
            let source = ([words[0], words[1]], ports[0]);
            let destination = ([words[2], words[3]], ports[1]);
            let (key, direction) = FlowKey::in_context(0, v6, protocol, source, destination);
            let up = source <= destination;
            prop_assert_eq!(direction, if up { Direction::Up } else { Direction::Down });
            let (low, high) = if up { (source, destination) } else { (destination, source) };
            prop_assert_eq!((key.words(), key.raw_ports()), ([low.0, high.0], [low.1, high.1]));
            let ((from, from_port), (to, to_port)) = (source, destination);
            prop_assert_eq!(key.ends(direction), ([from, to], [from_port, to_port]));
            if source != destination {
                let turned = FlowKey::in_context(0, v6, protocol, destination, source);
                prop_assert_eq!(turned, (key, direction.opposite()));
            }
        }
    }

    #[test]
    fn rfc_792_an_echo_each_way_are_two_exchanges() {
        let [a, b] = [1, 2].map(|last| std::net::Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped().octets());
        let ask = |source, destination| Tuple {
            source,
            destination,
            source_port: 7,
            destination_port: 0x0800,
            protocol: p::ICMPV4,
        };
        assert_ne!(FlowKey::of_tuple(0, &ask(a, b)).0, FlowKey::of_tuple(0, &ask(b, a)).0);
        let unreachable = Tuple { destination_port: 0x0301, ..ask(b, a) };
        let (key, direction) = FlowKey::of_tuple(0, &unreachable);
        assert_eq!(key.tuple(direction), unreachable);
    }

    #[test]
    fn rfc_791_section_3_2_fragments_behind_ah_have_one_key() {
        let fragment = |protocol: u8, offset: u16, payload: &[u8]| {
            let mut packet = vec![0x45, 0, 0, 20 + payload.len() as u8, 0, 9, 0, 0, 64, protocol, 0, 0];
            packet[6..8].copy_from_slice(&offset.to_be_bytes());
            packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            packet.extend(payload);
            read(&packet)
        };
        let mut behind = vec![17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        behind.extend([0, 53, 0, 54, 0, 40, 0, 0]);
        behind.extend([0; 4]);
        let (first, later) = (fragment(p::AH, 0x2000, &behind), fragment(p::AH, 3, &[0; 8]));
        assert_eq!((first.protocol, later.protocol), (p::UDP, p::AH));
        assert_eq!(fragment_key(&first), fragment_key(&later));
        // Another protocol's datagram may have the same number.
        assert_ne!(fragment_key(&later), fragment_key(&fragment(p::UDP, 3, &[0; 8])));
    }
}
