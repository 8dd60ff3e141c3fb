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
/// Most bytes that fragments of an 802.11 frame carry together (IEEE 802.11-2020 9.2.4.7).
const LARGEST_MSDU: usize = 2304;

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
            LinkType::RAW | LinkType::RAW_BSD_12 | LinkType::RAW_BSD_14 => self.ip(0, out),
            LinkType::IPV4 => self.ipv4(0, out),
            LinkType::IPV6 => self.ipv6(0, out),
            LinkType::NULL | LinkType::LOOP => self.loopback(link, out),
            LinkType::LINUX_SLL => {
                let header = self.take::<16>(0)?;
                self.visit.header(HeaderKind::LinuxSll, 0, 16);
                self.cooked(be16(header[2], header[3]), be16(header[14], header[15]), 16, out)
            }
            LinkType::LINUX_SLL2 => {
                let header = self.take::<20>(0)?;
                self.visit.header(HeaderKind::LinuxSll2, 0, 20);
                self.cooked(be16(header[8], header[9]), be16(header[0], header[1]), 20, out)
            }
            LinkType::PPP | LinkType::PPP_HDLC => self.ppp(0, out),
            LinkType::PPP_ETHER => self.pppoe(0, out),
            LinkType::IEEE802_11 => self.dot11(0, false, out),
            LinkType::IEEE802_11_RADIOTAP => self.radiotap(out),
            _ => Err(self.stop(Verdict::UnknownLinkType, 0)),
        }
    }

    #[inline(always)]
    pub(super) fn ethernet(&mut self, at: usize, out: &mut Layers) -> Step {
        let header = self.take::<14>(at)?;
        self.visit.header(HeaderKind::Ethernet, at, 14);
        self.ethertype(be16(header[12], header[13]), at + 14, out)
    }

    #[inline(always)]
    pub(super) fn ethertype(&mut self, ethertype: u16, at: usize, out: &mut Layers) -> Step {
        match ethertype {
            et::IPV4 => self.ipv4(at, out),
            et::IPV6 => self.ipv6(at, out),
            _ => self.other_ethertype(ethertype, at, out),
        }
    }

    /// Tags, labels and sessions, in a bounded loop.
    fn other_ethertype(&mut self, mut ethertype: u16, mut at: usize, out: &mut Layers) -> Step {
        for _ in 0..self.limits.link_headers {
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
                    at += 4;
                }
                et::MPLS | et::MPLS_UPSTREAM => return self.mpls(at, out),
                et::PPPOE => return self.pppoe(at, out),
                et::BRIDGED => return self.ethernet(at, out),
                et::ARP | et::RARP => return self.arp(at),
                length if length < SMALLEST_ETHERTYPE => {
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
        for _ in 0..self.limits.link_headers {
            let entry = self.take::<4>(at)?;
            self.visit.header(HeaderKind::Mpls, at, 4);
            at += 4;
            if entry[2] & 1 == 1 {
                return match self.take::<1>(at)?[0] >> 4 {
                    4 => self.ipv4(at, out),
                    6 => self.ipv6(at, out),
                    // A control word is zero where IP has its version (RFC 4385 3); its last 16 bits number packets.
                    0 => {
                        let word = self.take::<4>(at)?;
                        let skip = if word[0] == 0 && word[1] == 0 { 4 } else { 0 };
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
        let header = self.take::<14>(at)?;
        let known = matches!(
            be16(header[12], header[13]),
            et::IPV4 | et::IPV6 | et::ARP | et::VLAN | et::QINQ | et::MPLS | et::PPPOE
        );
        if known { self.ethernet(at, out) } else { Err(self.stop(Verdict::UnknownProtocol, at)) }
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
    fn loopback(&mut self, link: LinkType, out: &mut Layers) -> Step {
        let family = *self.take::<4>(0)?;
        self.visit.header(HeaderKind::Null, 0, 4);
        let big = u32::from_be_bytes(family);
        let family = if link == LinkType::LOOP || big <= 0xffff { big } else { u32::from_le_bytes(family) };
        match family {
            2 => self.ipv4(4, out),
            // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, Darwin.
            10 | 24 | 28 | 30 => self.ipv6(4, out),
            _ => Err(self.stop(Verdict::UnknownProtocol, 4)),
        }
    }

    /// The protocol field of a Linux cooked header means different things by hardware type (LINKTYPE_LINUX_SLL).
    fn cooked(&mut self, hardware: u16, protocol: u16, at: usize, out: &mut Layers) -> Step {
        const ARPHRD_NETLINK: u16 = 824;
        match protocol {
            _ if hardware == ARPHRD_NETLINK => Err(self.stop(Verdict::UnknownProtocol, at)),
            // Novell's raw 802.3, which carries no IP.
            0x0001 => Err(self.stop(Verdict::UnknownProtocol, at)),
            0x0004 => self.llc(at, out),
            _ => self.ethertype(protocol, at, out),
        }
    }

    /// LLC (IEEE 802.2); with SNAP an EtherType follows (RFC 1042).
    fn llc(&mut self, at: usize, out: &mut Layers) -> Step {
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

    /// Radiotap: little-endian, its own length, and flags that say how the 802.11 frame was stored.
    fn radiotap(&mut self, out: &mut Layers) -> Step {
        let fixed = self.take::<8>(0)?;
        let len = usize::from(u16::from_le_bytes([fixed[2], fixed[3]]));
        if fixed[0] != 0 || len < 8 {
            return Err(self.malformed(0, 8));
        }
        let header = self.slice(0, len)?;
        self.visit.header(HeaderKind::Radiotap, 0, len);
        let flags = radiotap_flags(header);
        if flags & 0x10 != 0 {
            // The frame check sequence stands at the end.
            self.end = self.end.saturating_sub(4);
        }
        self.dot11(len, flags & 0x20 != 0, out)
    }

    /// IEEE 802.11: only data frames carry packets.
    fn dot11(&mut self, at: usize, padded: bool, out: &mut Layers) -> Step {
        let control = self.take::<2>(at)?;
        let (kind, subtype) = (control[0] >> 2 & 3, control[0] >> 4);
        if control[0] & 3 != 0 {
            // Protocol version 1 has other headers (IEEE 802.11-2020 9.8), and there is no other.
            return Err(self.stop(Verdict::UnknownProtocol, at));
        }
        let mut len = match (kind, subtype) {
            (2, _) => 24,
            (0, _) => 24,
            // Acknowledgement and clear-to-send have one address; most control frames have two.
            (1, 12 | 13) => 10,
            (1, _) => 16,
            _ => return Err(self.stop(Verdict::UnknownProtocol, at)),
        };
        let both_ds = control[1] & 3 == 3;
        let qos = kind == 2 && subtype & 8 != 0;
        let ordered = control[1] & 0x80 != 0;
        if kind == 2 && both_ds {
            len += 6;
        }
        let qos_at = at + len;
        if qos {
            len += 2;
        }
        if ordered && (qos || kind == 0) {
            len += 4;
        }
        self.slice(at, len)?;
        self.visit.header(HeaderKind::Dot11, at, len);
        if kind != 2 || subtype & 4 != 0 {
            // Management, control, and data frames without data.
            return Ok(());
        }
        let mut next = at + len;
        if padded {
            next = at + len.next_multiple_of(4);
        }
        if control[1] & 0x40 != 0 {
            return Err(self.stop(Verdict::Encrypted, next));
        }
        self.dot11_fragment(at, next)?;
        if qos && self.take::<2>(qos_at)?[0] & 0x80 != 0 {
            // An aggregate (A-MSDU): its first subframe, 14 bytes of addresses and length.
            let sub = self.take::<14>(next)?;
            self.end = self.end.min(next + 14 + usize::from(be16(sub[12], sub[13])));
            next += 14;
        }
        self.llc(next, out)
    }

    /// IEEE 802.11 10.4: only the first fragment of a frame begins with LLC, and its packet ends in another frame.
    fn dot11_fragment(&mut self, at: usize, body: usize) -> Step {
        let header = self.take::<24>(at)?;
        if header[22] & 0x0f != 0 {
            return Err(self.stop(Verdict::NonFirstFragment, body));
        }
        if header[1] & 0x04 != 0 {
            // What is missing was not captured here, as far as it belongs to the largest frame that there can be.
            self.end = self.end.max(body + LARGEST_MSDU);
            self.wire = self.wire.max(self.end);
        }
        Ok(())
    }
}

/// The flags field of a radiotap header that is all there; 0 without one.
///
/// Fields stand in the order of the present bits with natural alignment; flags come second, after an eight-byte
/// timer, and follow the extended present words.
fn radiotap_flags(header: &[u8]) -> u8 {
    let word = |at: usize| {
        header
            .get(at..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let present = word(4);
    let mut at = 8;
    let mut more = present;
    while more & 1 << 31 != 0 && at < header.len() {
        more = word(at);
        at += 4;
    }
    if present & 1 != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    if present & 2 == 0 { 0 } else { header.get(at).copied().unwrap_or(0) }
}
