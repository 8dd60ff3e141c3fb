//! What fragments of one datagram have in common.
use netfast_low::hash::Seed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Tells keys of IPv4, which have a protocol, from those of IPv6, which have none.
const IPV4: u32 = 0x100;
/// The source of both addresses of IPv4.
const IPV4_SOURCE: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/// Source, destination, identification, for IPv4 the protocol (RFC 791 3.2, RFC 8200 4.5), and the caller's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// Source and destination as they stand in the header: of IPv4 they are the first word, and the others are zero.
    addresses: [u64; 4],
    context: u32,
    id: u32,
    kind: u32,
}

impl FragmentKey {
    /// The key of an IPv4 datagram.
    pub fn ipv4(context: u32, src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, identification: u16) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (src.octets(), dst.octets());
        Self::of_ipv4(context, [a, b, c, d, e, f, g, h], protocol, identification)
    }

    /// The key of an IPv6 datagram.
    pub fn ipv6(context: u32, src: Ipv6Addr, dst: Ipv6Addr, identification: u32) -> Self {
        let ([a, b], [c, d]) = (words(src), words(dst));
        Self::of_ipv6(context, [a, b, c, d], identification)
    }

    #[inline(always)]
    pub(crate) fn of_ipv4(context: u32, addresses: [u8; 8], protocol: u8, identification: u16) -> Self {
        Self {
            addresses: [u64::from_ne_bytes(addresses), 0, 0, 0],
            context,
            id: u32::from(identification),
            kind: IPV4 | u32::from(protocol),
        }
    }

    /// `addresses` are as [`FragmentKey::addresses`] has them.
    #[inline(always)]
    pub(crate) fn of_ipv6(context: u32, addresses: [u64; 4], id: u32) -> Self {
        Self { addresses, context, id, kind: 0 }
    }

    /// What the caller gave: a port, a VRF, a VLAN.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// Source address.
    pub fn source(&self) -> IpAddr {
        self.address(0)
    }

    /// Destination address.
    pub fn destination(&self) -> IpAddr {
        self.address(1)
    }

    /// IPv4's protocol.
    pub fn protocol(&self) -> Option<u8> {
        self.is_ipv4().then_some(self.kind as u8)
    }

    /// 16 bits for IPv4, 32 for IPv6.
    pub fn identification(&self) -> u32 {
        self.id
    }

    /// Whether it is an IPv4 datagram.
    #[inline(always)]
    pub fn is_ipv4(&self) -> bool {
        self.kind != 0
    }

    #[inline(always)]
    pub(crate) fn hash(&self, seed: Seed) -> u64 {
        let [a, b, c, d] = self.addresses;
        seed.hash5(&[a, b ^ u64::from(self.kind), c, d, u64::from(self.context) << 32 | u64::from(self.id)])
    }

    /// Whether both are the same. Words are compared as they were written, one by one: what reads two of them at once, as the
    /// compiler's comparison does, waits until both are in memory.
    #[inline(always)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.id == other.id
            && self.addresses[0] == other.addresses[0]
            && self.kind == other.kind
            && self.context == other.context
            && self.addresses[1] == other.addresses[1]
            && self.addresses[2] == other.addresses[2]
            && self.addresses[3] == other.addresses[3]
    }

    /// A few bits of it, which keep apart what comes at about the same time; an attacker may choose them.
    #[inline(always)]
    pub(crate) fn mixed(&self) -> u32 {
        let last = if self.is_ipv4() {
            u64::from_be(self.addresses[0]) >> 32
        } else {
            u64::from_be(self.addresses[1])
        };
        self.id ^ last as u32 ^ self.kind >> 1
    }

    /// The same for all datagrams that take their identifications from one counter.
    #[inline(always)]
    pub(crate) fn pair(&self) -> Self {
        Self { id: 0, ..*self }
    }

    /// The same for all datagrams of the source.
    #[inline(always)]
    pub(crate) fn source_only(&self) -> Self {
        let [first, second, ..] = self.addresses;
        let first = if self.is_ipv4() { first & IPV4_SOURCE } else { first };
        Self { addresses: [first, second, 0, 0], id: 0, kind: self.kind & IPV4, ..*self }
    }

    /// The source, 0, or the destination, 1.
    fn address(&self, number: usize) -> IpAddr {
        let [first, second] =
            [0, 1].map(|word| u64::from_be(self.addresses[2 * number * usize::from(!self.is_ipv4()) + word]));
        if self.is_ipv4() {
            return Ipv4Addr::from_bits((first >> (32 - 32 * number)) as u32).into();
        }
        Ipv6Addr::from_bits(u128::from(first) << 64 | u128::from(second)).into()
    }
}

/// The halves of an address as they stand in a header.
fn words(address: Ipv6Addr) -> [u64; 2] {
    let [high, low] = [(address.to_bits() >> 64) as u64, address.to_bits() as u64];
    [high.to_be(), low.to_be()]
}
