//! What dissection finds: the values that columns and flows need, the offsets that views need, and a verdict.
use std::fmt;

/// Why dissection of a packet ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Verdict {
    /// Everything that netfast knows was dissected.
    #[default]
    Ok,
    /// A fragment that is not its datagram's first: no transport header (RFC 791 3.2, RFC 8200 4.5). Without an IP
    /// header, a later fragment of an 802.11 frame.
    NonFirstFragment,
    /// The capture cut the packet (snap length) inside a header.
    Truncated,
    /// A header says what cannot be: a length below its own size, or beyond the packet that holds it.
    Malformed,
    /// More tags, labels or extension headers than [`Limits`] allow (RFC 8504 5.3).
    TooManyHeaders,
    /// More nested packets than [`Limits::depth`] allows.
    TooDeep,
    /// The rest of the frame is enciphered (802.11 with the protected bit).
    Encrypted,
    /// A link type that netfast does not dissect.
    UnknownLinkType,
    /// A link-layer payload (EtherType, LLC, PPP protocol, address family) that netfast does not dissect.
    UnknownProtocol,
}

impl Verdict {
    /// Every verdict, in the order of its number.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::NonFirstFragment,
        Self::Truncated,
        Self::Malformed,
        Self::TooManyHeaders,
        Self::TooDeep,
        Self::Encrypted,
        Self::UnknownLinkType,
        Self::UnknownProtocol,
    ];

    /// The text in the column `verdict`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NonFirstFragment => "non_first_fragment",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::TooManyHeaders => "too_many_headers",
            Self::TooDeep => "too_deep",
            Self::Encrypted => "encrypted",
            Self::UnknownLinkType => "unknown_link_type",
            Self::UnknownProtocol => "unknown_protocol",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome of verifying one checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Checksum {
    /// The packet has no such checksum (null in columns).
    #[default]
    None,
    /// Right.
    Good,
    /// Wrong.
    Bad,
    /// There is a field, but the sender left it out (UDP over IPv4 with zero, GRE without the bit).
    Absent,
    /// Not verified: bytes under it were not captured.
    UncheckedTruncated,
    /// Not verified: it covers a whole datagram and this is a fragment.
    UncheckedFragment,
}

impl Checksum {
    /// Every outcome, in the order of its number.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Good, Self::Bad, Self::Absent, Self::UncheckedTruncated, Self::UncheckedFragment];

    /// The text in the columns `l3_checksum` and `l4_checksum`; empty for [`Checksum::None`], which is null there.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Absent => "absent",
            Self::UncheckedTruncated => "unchecked:truncated",
            Self::UncheckedFragment => "unchecked:fragment",
        }
    }
}

/// Caps of one dissection; each has its own verdict, and none is reached by traffic that networks carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Link-layer headers between the link and IP: VLAN tags, MPLS labels, PPPoE and so on.
    pub link_headers: u8,
    /// IPv6 extension headers and AH in one packet.
    pub extension_headers: u8,
    /// Nested packets: a packet in no tunnel has depth 1.
    pub depth: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self { link_headers: 16, extension_headers: 16, depth: 8 }
    }
}

/// Which values of [`Layers`] the packet has; the others are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present(pub u16);

impl Present {
    /// `ip_version`, `src`, `dst`, `hop_limit`, `traffic_class`.
    pub const IP: u16 = 1 << 0;
    /// `protocol`.
    pub const PROTOCOL: u16 = 1 << 1;
    /// `src_port` and `dst_port`.
    pub const PORTS: u16 = 1 << 2;
    /// `tcp_flags`.
    pub const TCP_FLAGS: u16 = 1 << 3;
    /// `payload_len`.
    pub const PAYLOAD: u16 = 1 << 4;
    /// `flow_label`.
    pub const FLOW_LABEL: u16 = 1 << 5;
    /// `fragment_offset`, `fragment_id`, `more_fragments`.
    pub const FRAGMENT: u16 = 1 << 6;
    /// `vlan`.
    pub const VLAN: u16 = 1 << 7;
    /// The value of `more_fragments`.
    pub const MORE_FRAGMENTS: u16 = 1 << 8;
    /// `icmp_type`, `icmp_code`.
    pub const ICMP: u16 = 1 << 9;
    /// `icmp_id`.
    pub const ICMP_ID: u16 = 1 << 10;
    /// The pseudo-header's addresses are not those of the IP header (IPv4 source route, routing header, home
    /// address option).
    pub const REROUTED: u16 = 1 << 11;
    /// `l4_offset`: the transport header begins within what was captured.
    pub const TRANSPORT: u16 = 1 << 12;

    /// True when all of `bits` are present.
    #[inline(always)]
    pub const fn has(self, bits: u16) -> bool {
        self.0 & bits == bits
    }
}

/// What carries the packet inside a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InnerKind {
    /// There is none.
    #[default]
    None,
    /// An IP packet, version by its first nibble.
    Ip,
    /// An Ethernet frame.
    Ethernet,
    /// What the EtherType says.
    EtherType(u16),
    /// A PPP frame without flags.
    Ppp,
}

/// The packet in a tunnel: what it is and where it stands in the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inner {
    /// What it is.
    pub kind: InnerKind,
    /// Its first byte.
    pub offset: u32,
    /// The byte after its last, by the outer packet's length.
    pub end: u32,
}

/// One packet, dissected. Offsets count from the start of the frame.
///
/// Values without their [`Present`] bit are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Layers {
    /// Source address; IPv4 mapped into IPv6 (RFC 4291 2.5.5.2).
    pub src: [u8; 16],
    /// Destination address, likewise.
    pub dst: [u8; 16],
    /// IP header.
    pub l3_offset: u32,
    /// Transport (upper-layer) header.
    pub l4_offset: u32,
    /// The byte after the packet by its IP length; may lie beyond what was captured.
    pub end: u32,
    /// Bytes that the IP length leaves after the transport header.
    pub payload_len: u32,
    /// IPv6 flow label.
    pub flow_label: u32,
    /// Identification of IPv4 or of the IPv6 Fragment header.
    pub fragment_id: u32,
    /// Offset in bytes where dissection stopped, when the verdict says that it did.
    pub stop_offset: u32,
    /// Bytes it needed there.
    pub stop_need: u32,
    /// Fragment offset in bytes.
    pub fragment_offset: u16,
    /// Source port of TCP, UDP, UDP-Lite, SCTP, DCCP.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// TCP flags: the number of all twelve bits (RFC 9293 3.1: four reserved ones, then CWR … FIN).
    pub tcp_flags: u16,
    /// VLAN identifier of the outermost tag.
    pub vlan: u16,
    /// ICMP identifier (echo, timestamp, … messages).
    pub icmp_id: u16,
    /// Which values are there.
    pub present: Present,
    /// 4 or 6.
    pub ip_version: u8,
    /// Upper-layer protocol.
    pub protocol: u8,
    /// The protocol in the IPv4 header itself: that of AH, where one stands before the upper layer. Fragments of one
    /// datagram have it in common (RFC 791 3.2). Zero for IPv6.
    pub ip_protocol: u8,
    /// Hop limit or time to live.
    pub hop_limit: u8,
    /// Traffic class or type of service: DSCP and ECN.
    pub traffic_class: u8,
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// Why dissection ended.
    pub verdict: Verdict,
    /// Packets nested before this one.
    pub depth: u8,
    /// The packet that this one carries.
    pub inner: Inner,
}

impl Layers {
    /// IP octets of the packet by its own length (header, extension headers and payload), as IPFIX counts them.
    #[inline(always)]
    pub fn ip_len(&self) -> u32 {
        self.end - self.l3_offset
    }

    /// True for a fragment: more follow, or it is not the first.
    #[inline(always)]
    pub fn is_fragment(&self) -> bool {
        self.present.has(Present::MORE_FRAGMENTS) || self.fragment_offset != 0
    }

    /// The IPv4 source address of a mapped one.
    pub fn src_ip(&self) -> Option<std::net::IpAddr> {
        address(self.ip_version, self.src)
    }

    /// The destination address.
    pub fn dst_ip(&self) -> Option<std::net::IpAddr> {
        address(self.ip_version, self.dst)
    }
}

/// The address of a packet of IP version `version` in its 16-byte form; `None` without IP.
pub fn address(version: u8, bytes: [u8; 16]) -> Option<std::net::IpAddr> {
    let v6 = std::net::Ipv6Addr::from(bytes);
    match version {
        4 => v6.to_ipv4_mapped().map(Into::into),
        6 => Some(v6.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_do_not_grow() {
        assert_eq!(std::mem::size_of::<Layers>(), 100);
    }

    #[test]
    fn numbers_follow_the_lists() {
        assert!(Verdict::ALL.iter().enumerate().all(|(i, &v)| v as usize == i));
        assert!(Checksum::ALL.iter().enumerate().all(|(i, &c)| c as usize == i));
    }
}
