//! The closed list of headers that netfast knows by name.

/// Which header a run of bytes is.
///
/// The order is that of the layers (link, network, transport, tunnels) and is stable within a process only; do not
/// store the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum HeaderKind {
    /// Ethernet II or IEEE 802.3: two addresses and a type or length.
    Ethernet,
    /// One IEEE 802.1Q or 802.1ad tag: tag control information and the EtherType behind it.
    Vlan,
    /// One MPLS label stack entry, RFC 3032 section 2.1.
    Mpls,
    /// PPP over Ethernet, RFC 2516 section 4.
    Pppoe,
    /// PPP, RFC 1661 section 2, with the optional HDLC-like address and control of RFC 1662.
    Ppp,
    /// BSD loopback: four bytes of address family in the byte order of the capturing host.
    Null,
    /// Linux cooked capture, version 1.
    LinuxSll,
    /// Linux cooked capture, version 2.
    LinuxSll2,
    /// Radiotap, the capture header before 802.11 frames.
    Radiotap,
    /// IEEE 802.11 MAC header.
    Dot11,
    /// IEEE 802.2 logical link control.
    Llc,
    /// Subnetwork access protocol: the extension of an LLC header with SAP AA.
    Snap,
    /// ARP, RFC 826.
    Arp,
    /// IPv4 with its options, RFC 791 section 3.1.
    Ipv4,
    /// IPv6 fixed header, RFC 8200 section 3.
    Ipv6,
    /// IPv6 hop-by-hop options, RFC 8200 section 4.3.
    HopByHop,
    /// IPv6 destination options, RFC 8200 section 4.6.
    DestinationOptions,
    /// IPv6 routing header, RFC 8200 section 4.4.
    Routing,
    /// IPv6 fragment header, RFC 8200 section 4.5.
    Fragment,
    /// IP authentication header, RFC 4302 section 2.
    Auth,
    /// IP encapsulating security payload, RFC 4303 section 2.
    Esp,
    /// Mobility header, RFC 6275 section 6.1.
    Mobility,
    /// TCP with its options, RFC 9293 section 3.1.
    Tcp,
    /// UDP, RFC 768.
    Udp,
    /// UDP-Lite, RFC 3828 section 3.1.
    UdpLite,
    /// SCTP common header, RFC 9260 section 3.
    Sctp,
    /// DCCP, RFC 4340 section 5.
    Dccp,
    /// ICMP for IPv4, RFC 792.
    Icmpv4,
    /// ICMP for IPv6, RFC 4443, with neighbour discovery (RFC 4861) and MLD (RFC 3810).
    Icmpv6,
    /// IGMP, RFC 2236 and RFC 9776.
    Igmp,
    /// GRE, RFC 2784 and RFC 2890; version 1 is PPTP's, RFC 2637.
    Gre,
    /// VXLAN, RFC 7348 section 5.
    Vxlan,
    /// Geneve, RFC 8926 section 3.
    Geneve,
    /// Bytes that no header claims.
    Payload,
}

impl HeaderKind {
    /// Every kind, in declaration order.
    pub const ALL: &'static [HeaderKind] = &[
        Self::Ethernet,
        Self::Vlan,
        Self::Mpls,
        Self::Pppoe,
        Self::Ppp,
        Self::Null,
        Self::LinuxSll,
        Self::LinuxSll2,
        Self::Radiotap,
        Self::Dot11,
        Self::Llc,
        Self::Snap,
        Self::Arp,
        Self::Ipv4,
        Self::Ipv6,
        Self::HopByHop,
        Self::DestinationOptions,
        Self::Routing,
        Self::Fragment,
        Self::Auth,
        Self::Esp,
        Self::Mobility,
        Self::Tcp,
        Self::Udp,
        Self::UdpLite,
        Self::Sctp,
        Self::Dccp,
        Self::Icmpv4,
        Self::Icmpv6,
        Self::Igmp,
        Self::Gre,
        Self::Vxlan,
        Self::Geneve,
        Self::Payload,
    ];

    /// The name a reader knows the header by; also the name of its Python class.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "Ethernet",
            Self::Vlan => "VLAN",
            Self::Mpls => "MPLS",
            Self::Pppoe => "PPPoE",
            Self::Ppp => "PPP",
            Self::Null => "Null",
            Self::LinuxSll => "LinuxSLL",
            Self::LinuxSll2 => "LinuxSLL2",
            Self::Radiotap => "RadioTap",
            Self::Dot11 => "Dot11",
            Self::Llc => "LLC",
            Self::Snap => "SNAP",
            Self::Arp => "ARP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::HopByHop => "HopByHop",
            Self::DestinationOptions => "DestinationOptions",
            Self::Routing => "Routing",
            Self::Fragment => "Fragment",
            Self::Auth => "AH",
            Self::Esp => "ESP",
            Self::Mobility => "Mobility",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::UdpLite => "UDPLite",
            Self::Sctp => "SCTP",
            Self::Dccp => "DCCP",
            Self::Icmpv4 => "ICMPv4",
            Self::Icmpv6 => "ICMPv6",
            Self::Igmp => "IGMP",
            Self::Gre => "GRE",
            Self::Vxlan => "VXLAN",
            Self::Geneve => "Geneve",
            Self::Payload => "Raw",
        }
    }
}

impl std::fmt::Display for HeaderKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::HeaderKind;

    #[test]
    fn all_lists_each_kind_once_and_in_order() {
        for (position, kind) in HeaderKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, position, "{kind}");
        }
        assert_eq!(HeaderKind::ALL.len(), HeaderKind::Payload as usize + 1);
    }

    #[test]
    fn names_differ() {
        let mut names: Vec<_> = HeaderKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), HeaderKind::ALL.len());
    }
}
