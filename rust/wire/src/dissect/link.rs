//! From the link header to the network layer.
use super::{Cursor, Step, Verdict, Visit, be16};
use crate::kind::HeaderKind;
use crate::layers::{Layers, Present};
use crate::link::LinkType;

/// EtherTypes that dissection follows (IEEE registration authority).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// Reverse ARP: the format of ARP.
    pub const RARP: u16 = 0x8035;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// IEEE 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag.
    pub const QINQ: u16 = 0x88a8;
    /// Service tag as it was numbered before 802.1ad.
    pub const QINQ_OLD: u16 = 0x9100;
    /// MPLS (RFC 5332: both numbers, by the label's assigner).
    pub const MPLS: u16 = 0x8847;
    /// MPLS with an upstream-assigned label.
    pub const MPLS_UPSTREAM: u16 = 0x8848;
    /// PPPoE discovery (RFC 2516).
    pub const PPPOE_DISCOVERY: u16 = 0x8863;
    /// PPPoE session (RFC 2516).
    pub const PPPOE: u16 = 0x8864;
    /// Transparent Ethernet bridging: an Ethernet frame (RFC 1701).
    pub const BRIDGED: u16 = 0x6558;
    /// PPP, in GRE version 1 (RFC 2637).
    pub const PPP: u16 = 0x880b;
}
use ethertype as et;

/// Below this the field is an 802.3 length.
const SMALLEST_ETHERTYPE: u16 = 0x0600;
/// Hardware types of Linux (if_arp.h) whose frames in cooked captures have no EtherType (LINKTYPE_LINUX_SLL).
const ARPHRD_FRAME_RELAY: u16 = 770;
const ARPHRD_RADIOTAP: u16 = 803;
const ARPHRD_NETLINK: u16 = 824;
/// Addresses of Cisco HDLC, to one and to all, which PPP does not use (RFC 1547 4.3.1).
const CISCO_UNICAST: u8 = 0x0f;
const CISCO_BROADCAST: u8 = 0x8f;

impl<V: Visit> Cursor<'_, V> {
    #[inline(always)]
    pub(super) fn outermost(&mut self, link: LinkType, out: &mut Layers) -> Step {
        if link == LinkType::ETHERNET {
            return self.ethernet(0, out);
        }
        self.other_link(link, out)
    }

    fn other_link(&mut self, link: LinkType, out: &mut Layers) -> Step {
        match link {
            LinkType::PPI => self.ppi(out),
            LinkType::PKTAP => self.pktap(out),
            LinkType::NFLOG => self.nflog(out),
            _ => self.link_at(link, 0, out),
        }
    }

    /// A frame of a link type that stands at `at`, behind what a capturing host wrote before it.
    pub(super) fn link_at(&mut self, link: LinkType, at: usize, out: &mut Layers) -> Step {
        match link {
            LinkType::ETHERNET => self.ethernet(at, out),
            LinkType::RAW | LinkType::RAW_BSD_12 | LinkType::RAW_BSD_14 => self.ip(at, out),
            LinkType::IPV4 => self.ipv4(at, out),
            LinkType::IPV6 => self.ipv6(at, out),
            LinkType::NULL | LinkType::LOOP => self.loopback(link, at, out),
            LinkType::LINUX_SLL => {
                let header = self.take::<16>(at)?;
                self.visit.header(HeaderKind::LinuxSll, at, 16);
                self.cooked(be16(header[2], header[3]), be16(header[14], header[15]), at + 16, out)
            }
            LinkType::LINUX_SLL2 => {
                let header = self.take::<20>(at)?;
                self.visit.header(HeaderKind::LinuxSll2, at, 20);
                self.cooked(be16(header[8], header[9]), be16(header[0], header[1]), at + 20, out)
            }
            LinkType::PPP | LinkType::PPP_HDLC => match self.take::<1>(at)?[0] {
                CISCO_UNICAST | CISCO_BROADCAST => self.cisco_hdlc(at, out),
                _ => self.ppp(at, out),
            },
            LinkType::C_HDLC => self.cisco_hdlc(at, out),
            LinkType::PPP_ETHER => self.pppoe(at, out),
            LinkType::IEEE802_11 => self.dot11(at, false, out),
            LinkType::IEEE802_11_RADIOTAP => self.radiotap(at, out),
            LinkType::PRISM => self.prism(at, out),
            LinkType::IEEE802_11_AVS => self.avs(at, out),
            _ => Err(self.stop(Verdict::UnknownLinkType, at)),
        }
    }

    #[inline(always)]
    pub(super) fn ethernet(&mut self, at: usize, out: &mut Layers) -> Step {
        let header = self.take::<14>(at)?;
        self.visit.header(HeaderKind::Ethernet, at, 14);
        match be16(header[12], header[13]) {
            et::IPV4 => self.ipv4(at + 14, out),
            et::IPV6 => self.ipv6(at + 14, out),
            other => self.other_ethertype(other, true, at + 14, out),
        }
    }

    #[inline(always)]
    pub(super) fn ethertype(&mut self, ethertype: u16, at: usize, out: &mut Layers) -> Step {
        match ethertype {
            et::IPV4 => self.ipv4(at, out),
            et::IPV6 => self.ipv6(at, out),
            _ => self.other_ethertype(ethertype, false, at, out),
        }
    }

    /// Tags, labels and sessions, in a bounded loop. `or_length`: the field may be an 802.3 length, as it may in
    /// Ethernet and behind a tag, and nowhere else that EtherTypes are used.
    ///
    /// Frames may hold frames, so what is left of the limit is counted in the cursor.
    fn other_ethertype(
        &mut self,
        mut ethertype: u16,
        mut or_length: bool,
        mut at: usize,
        out: &mut Layers,
    ) -> Step {
        while let Some(left) = self.limits.link_headers.checked_sub(1) {
            match ethertype {
                et::IPV4 => return self.ipv4(at, out),
                et::IPV6 => return self.ipv6(at, out),
                et::VLAN | et::QINQ | et::QINQ_OLD => {
                    let control = self.take::<2>(at)?;
                    if !out.present.has(Present::VLAN) {
                        out.vlan = be16(control[0], control[1]) & 0x0fff;
                        out.present.0 |= Present::VLAN;
                    }
                    let tag = self.take::<4>(at)?;
                    self.visit.header(HeaderKind::Vlan, at, 4);
                    ethertype = be16(tag[2], tag[3]);
                    or_length = true;
                    at += 4;
                    self.limits.link_headers = left;
                }
                et::MPLS | et::MPLS_UPSTREAM => return self.mpls(at, out),
                et::PPPOE => return self.pppoe(at, out),
                et::PPPOE_DISCOVERY => return self.pppoe_discovery(at),
                et::BRIDGED => {
                    self.limits.link_headers = left;
                    return self.ethernet(at, out);
                }
                et::ARP | et::RARP => return self.arp(at),
                length if or_length && length < SMALLEST_ETHERTYPE => {
                    self.end = self.end.min(at + usize::from(length));
                    return self.llc(at, out);
                }
                _ => return Err(self.stop(Verdict::UnknownProtocol, at)),
            }
        }
        Err(self.stop(Verdict::TooManyHeaders, at))
    }

    fn arp(&mut self, at: usize) -> Step {
        let header = self.take::<8>(at)?;
        let len = 8 + 2 * (usize::from(header[4]) + usize::from(header[5]));
        self.slice(at, len)?;
        self.visit.header(HeaderKind::Arp, at, len);
        Ok(())
    }

    /// MPLS label stack (RFC 3032), then IP by its first nibble, or an Ethernet pseudo-wire (RFC 4448).
    fn mpls(&mut self, mut at: usize, out: &mut Layers) -> Step {
        while let Some(left) = self.limits.link_headers.checked_sub(1) {
            self.limits.link_headers = left;
            let entry = self.take::<4>(at)?;
            self.visit.header(HeaderKind::Mpls, at, 4);
            at += 4;
            if entry[2] & 1 == 1 {
                return match self.take::<1>(at)?[0] >> 4 {
                    4 => self.ipv4(at, out),
                    6 => self.ipv6(at, out),
                    // A control word is zero where IP has its version (RFC 4385 3); its last 16 bits number packets.
                    // So may the first address be (00:00:5e is VRRP's): what stands at the EtherType's place decides.
                    0 => {
                        let word = self.take::<4>(at)?;
                        let skip = match (self.followed_type(at + 4), self.followed_type(at)) {
                            (Some(_), None) => 4,
                            (None, Some(_)) => 0,
                            // RFC 4448 4.6: the word's first half is sent as zero.
                            _ if word[..2] == [0, 0] => 4,
                            _ => 0,
                        };
                        self.ethernet_in_mpls(at + skip, out)
                    }
                    1 => Err(self.stop(Verdict::UnknownProtocol, at)),
                    _ => self.ethernet_in_mpls(at, out),
                };
            }
        }
        Err(self.stop(Verdict::TooManyHeaders, at))
    }

    /// Labels do not say what they carry: it is Ethernet only if what would be its EtherType is one that we follow.
    fn ethernet_in_mpls(&mut self, at: usize, out: &mut Layers) -> Step {
        self.take::<14>(at)?;
        match self.followed_type(at) {
            Some(_) => self.ethernet(at, out),
            None => Err(self.stop(Verdict::UnknownProtocol, at)),
        }
    }

    /// The EtherType of the Ethernet frame that may stand at `at`, if it is one that we follow.
    fn followed_type(&self, at: usize) -> Option<u16> {
        let header = self.take::<14>(at).ok()?;
        Some(be16(header[12], header[13])).filter(|ethertype| {
            matches!(*ethertype, et::IPV4 | et::IPV6 | et::ARP | et::VLAN | et::QINQ | et::MPLS | et::PPPOE)
        })
    }

    /// PPPoE session header (RFC 2516 4), whose length bounds what follows.
    fn pppoe(&mut self, at: usize, out: &mut Layers) -> Step {
        let header = self.take::<6>(at)?;
        self.visit.header(HeaderKind::Pppoe, at, 6);
        self.end = self.end.min(at + 6 + usize::from(be16(header[4], header[5])));
        if header[1] != 0 {
            return Err(self.stop(Verdict::UnknownProtocol, at + 6));
        }
        self.ppp(at + 6, out)
    }

    /// PPPoE discovery (RFC 2516 5): its tags are part of the header, and it carries nothing.
    fn pppoe_discovery(&mut self, at: usize) -> Step {
        let header = self.take::<6>(at)?;
        if header[1] == 0 {
            // The code of a session.
            self.visit.header(HeaderKind::Pppoe, at, 6);
            return Err(self.stop(Verdict::UnknownProtocol, at + 6));
        }
        let len = 6 + usize::from(be16(header[4], header[5]));
        self.slice(at, len)?;
        self.visit.header(HeaderKind::Pppoe, at, len);
        Ok(())
    }

    /// Cisco HDLC (RFC 1547 4.3.1): address, control, and an EtherType or a number of Cisco's own.
    fn cisco_hdlc(&mut self, at: usize, out: &mut Layers) -> Step {
        /// Its keepalive and address protocol, which has the number of RARP.
        const SLARP: u16 = 0x8035;
        let header = self.take::<4>(at)?;
        self.visit.header(HeaderKind::Payload, at, 4);
        match be16(header[2], header[3]) {
            SLARP => Err(self.stop(Verdict::UnknownProtocol, at + 4)),
            ethertype => self.ethertype(ethertype, at + 4, out),
        }
    }

    /// PPP (RFC 1661 2, RFC 1662 3.1): address and control may be left out, and the protocol may be one byte.
    pub(super) fn ppp(&mut self, at: usize, out: &mut Layers) -> Step {
        let first = self.take::<2>(at)?;
        let mut next = if *first == [0xff, 0x03] { at + 2 } else { at };
        let protocol = match self.take::<1>(next)?[0] {
            short if short & 1 == 1 => {
                next += 1;
                u16::from(short)
            }
            high => {
                let low = self.take::<2>(next)?[1];
                next += 2;
                be16(high, low)
            }
        };
        self.visit.header(HeaderKind::Ppp, at, next - at);
        match protocol {
            0x0021 => self.ipv4(next, out),
            0x0057 => self.ipv6(next, out),
            0x0281 | 0x0283 => self.mpls(next, out),
            _ => Err(self.stop(Verdict::UnknownProtocol, next)),
        }
    }

    /// BSD loopback: the family's number differs between systems, the byte order between hosts.
    fn loopback(&mut self, link: LinkType, at: usize, out: &mut Layers) -> Step {
        let family = *self.take::<4>(at)?;
        self.visit.header(HeaderKind::Null, at, 4);
        let big = u32::from_be_bytes(family);
        let family = if link == LinkType::LOOP || big <= 0xffff { big } else { u32::from_le_bytes(family) };
        match family {
            2 => self.ipv4(at + 4, out),
            // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, Darwin.
            10 | 24 | 28 | 30 => self.ipv6(at + 4, out),
            _ => Err(self.stop(Verdict::UnknownProtocol, at + 4)),
        }
    }

    /// The protocol field of a Linux cooked header means different things by hardware type (LINKTYPE_LINUX_SLL).
    fn cooked(&mut self, hardware: u16, protocol: u16, at: usize, out: &mut Layers) -> Step {
        match (hardware, protocol) {
            (ARPHRD_RADIOTAP, _) => self.radiotap(at, out),
            (ARPHRD_NETLINK | ARPHRD_FRAME_RELAY, _) => Err(self.stop(Verdict::UnknownProtocol, at)),
            (_, 0x0004) => self.llc(at, out),
            // Other small numbers are Linux's own (if_ether.h): Novell's raw 802.3, which carries no IP, CAN, …
            _ => self.ethertype(protocol, at, out),
        }
    }

    /// LLC (IEEE 802.2); with SNAP an EtherType follows (RFC 1042).
    pub(super) fn llc(&mut self, at: usize, out: &mut Layers) -> Step {
        let header = self.take::<3>(at)?;
        let unnumbered = header[2] & 3 == 3;
        let len = if unnumbered { 3 } else { 4 };
        self.slice(at, len)?;
        self.visit.header(HeaderKind::Llc, at, len);
        let next = at + len;
        // Packets travel as unnumbered information without the poll bit (RFC 1042); other commands carry none.
        match *header {
            [0xaa, 0xaa, 0x03] => {
                let snap = self.take::<5>(next)?;
                self.visit.header(HeaderKind::Snap, next, 5);
                let protocol = be16(snap[3], snap[4]);
                match snap[..3] {
                    // RFC 1042 encapsulation, and bridge-tunnel encapsulation (IEEE 802.1H).
                    [0, 0, 0] | [0, 0, 0xf8] if protocol >= SMALLEST_ETHERTYPE => {
                        self.ethertype(protocol, next + 5, out)
                    }
                    _ => Err(self.stop(Verdict::UnknownProtocol, next + 5)),
                }
            }
            // IP by its own service access point (RFC 948).
            [0x06, 0x06, 0x03] => self.ipv4(next, out),
            _ => Err(self.stop(Verdict::UnknownProtocol, next)),
        }
    }
}
