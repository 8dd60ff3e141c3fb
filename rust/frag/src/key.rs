//! What fragments of one datagram have in common.
use netfast_low::hash::Seed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The low word of an IPv4-mapped address (RFC 4291 2.5.5.2) of 0.0.0.0.
const MAPPED: u64 = 0xffff_0000_0000;
/// Tells keys of IPv4, which have a protocol, from those of IPv6, which have none.
const IPV4: u32 = 0x100;

/// Source, destination, identification, for IPv4 the protocol (RFC 791 3.2, RFC 8200 4.5), and the caller's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    src: [u64; 2],
    dst: [u64; 2],
    context: u32,
    id: u32,
    kind: u32,
}

impl FragmentKey {
    /// The key of an IPv4 datagram.
    pub fn ipv4(context: u32, src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, identification: u16) -> Self {
        Self::of_ipv4(context, src.to_bits(), dst.to_bits(), protocol, identification)
    }

    /// The key of an IPv6 datagram.
    pub fn ipv6(context: u32, src: Ipv6Addr, dst: Ipv6Addr, identification: u32) -> Self {
        let words = |address: Ipv6Addr| [(address.to_bits() >> 64) as u64, address.to_bits() as u64];
        Self::of_ipv6(context, words(src), words(dst), identification)
    }

    #[inline(always)]
    pub(crate) fn of_ipv4(context: u32, src: u32, dst: u32, protocol: u8, identification: u16) -> Self {
        Self {
            src: [0, MAPPED | u64::from(src)],
            dst: [0, MAPPED | u64::from(dst)],
            context,
            id: u32::from(identification),
            kind: IPV4 | u32::from(protocol),
        }
    }

    #[inline(always)]
    pub(crate) fn of_ipv6(context: u32, src: [u64; 2], dst: [u64; 2], id: u32) -> Self {
        Self { src, dst, context, id, kind: 0 }
    }

    /// What the caller gave: a port, a VRF, a VLAN.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// Source address.
    pub fn source(&self) -> IpAddr {
        self.address(self.src)
    }

    /// Destination address.
    pub fn destination(&self) -> IpAddr {
        self.address(self.dst)
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
        let id = u64::from(self.context) << 32 | u64::from(self.id);
        seed.hash5(&[self.src[0] ^ u64::from(self.kind) << 32, self.src[1], self.dst[0], self.dst[1], id])
    }

    /// Whether both are the same. Words are compared as they were written, one by one: what reads two of them at once, as the
    /// compiler's comparison does, waits until both are in memory.
    #[inline(always)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.id == other.id
            && self.src[1] == other.src[1]
            && self.kind == other.kind
            && self.dst[1] == other.dst[1]
            && self.context == other.context
            && self.src[0] == other.src[0]
            && self.dst[0] == other.dst[0]
    }

    /// A few bits of it, which keep apart what comes at about the same time; an attacker may choose them.
    #[inline(always)]
    pub(crate) fn mixed(&self) -> u32 {
        self.id ^ self.src[1] as u32 ^ self.kind >> 1
    }

    /// The same for all datagrams that take their identifications from one counter.
    #[inline(always)]
    pub(crate) fn pair(&self) -> Self {
        Self { id: 0, ..*self }
    }

    /// The same for all datagrams of the source.
    #[inline(always)]
    pub(crate) fn source_only(&self) -> Self {
        Self { dst: [0; 2], id: 0, kind: self.kind & IPV4, ..*self }
    }

    fn address(&self, words: [u64; 2]) -> IpAddr {
        if self.is_ipv4() {
            return Ipv4Addr::from_bits(words[1] as u32).into();
        }
        Ipv6Addr::from_bits(u128::from(words[0]) << 64 | u128::from(words[1])).into()
    }
}
