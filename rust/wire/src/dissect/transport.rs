//! Upper layers: ports, flags, payload length, and what a tunnel carries.
use super::link::ethertype as et;
use super::network::protocol as p;
use super::{Cursor, Step, Verdict, Visit, be16};
use crate::kind::HeaderKind;
use crate::layers::{Inner, InnerKind, Layers, Present};

/// UDP ports of tunnels (IANA service names; 8472 is what Linux used for VXLAN before 4789 was assigned).
const VXLAN: [u16; 2] = [4789, 8472];
const VXLAN_GPE: u16 = 4790;
const GENEVE: u16 = 6081;
const GUE: u16 = 6080;
const MPLS_IN_UDP: u16 = 6635;
/// GTP-U, whose packets are not followed.
const GTP_U: u16 = 2152;

/// True for the port of a tunnel over UDP, which may leave the checksum out over IPv6 (RFC 6935).
pub(crate) fn is_tunnel_port(port: u16) -> bool {
    VXLAN.contains(&port) || matches!(port, VXLAN_GPE | GENEVE | GUE | MPLS_IN_UDP | GTP_U)
}

impl<V: Visit> Cursor<'_, V> {
    #[inline(always)]
    pub(super) fn transport(&mut self, protocol: u8, at: usize, out: &mut Layers) -> Step {
        out.l4_offset = at as u32;
        if at < self.end && at < self.bytes.len() {
            out.present.0 |= Present::TRANSPORT;
        }
        match protocol {
            p::TCP => self.tcp(at, out),
            p::UDP => self.udp(at, out),
            _ => self.other_transport(protocol, at, out),
        }
    }

    /// RFC 9293 3.1.
    #[inline(always)]
    fn tcp(&mut self, at: usize, out: &mut Layers) -> Step {
        let Ok(header) = self.take::<20>(at) else { return self.cut_tcp(at, out) };
        out.src_port = be16(header[0], header[1]);
        out.dst_port = be16(header[2], header[3]);
        out.tcp_flags = be16(header[12], header[13]) & 0x0fff;
        out.present.0 |= Present::PORTS | Present::TCP_FLAGS;
        let len = usize::from(header[12] >> 4) * 4;
        if len < 20 || at + len > self.end {
            if len >= 20 {
                self.payload_behind(at, len, out);
            }
            return Err(self.malformed(at, len.max(20)));
        }
        self.payload(at + len, out);
        if len > 20 {
            self.slice(at, len)?;
        }
        self.visit.header(HeaderKind::Tcp, at, len);
        Ok(())
    }

    /// A TCP header that is not all there still says its ports, and perhaps its flags and length.
    #[cold]
    fn cut_tcp(&mut self, at: usize, out: &mut Layers) -> Step {
        self.ports(at, out)?;
        if let Ok(header) = self.take::<14>(at) {
            out.tcp_flags = be16(header[12], header[13]) & 0x0fff;
            out.present.0 |= Present::TCP_FLAGS;
            let len = usize::from(header[12] >> 4) * 4;
            if len >= 20 {
                self.payload_behind(at, len, out);
            }
        }
        Err(self.short(at, 20))
    }

    /// A header of known length that is not all there, or not all read, still says its ports and where payload begins.
    #[cold]
    fn cut(&mut self, at: usize, len: usize, out: &mut Layers) -> Step {
        self.ports(at, out)?;
        self.payload_behind(at, len, out);
        Err(self.short(at, len))
    }

    /// Payload behind a header of `len` bytes, if the packet's length has room for the header.
    fn payload_behind(&self, at: usize, len: usize, out: &mut Layers) {
        if at + len <= out.end as usize {
            self.payload(at + len, out);
        }
    }

    #[inline(always)]
    fn ports(&mut self, at: usize, out: &mut Layers) -> Step {
        let ports = self.take::<4>(at)?;
        out.src_port = be16(ports[0], ports[1]);
        out.dst_port = be16(ports[2], ports[3]);
        out.present.0 |= Present::PORTS;
        Ok(())
    }

    #[inline(always)]
    fn payload(&self, at: usize, out: &mut Layers) {
        out.payload_len = out.end.saturating_sub(at as u32);
        out.present.0 |= Present::PAYLOAD;
    }

    /// RFC 768; over IPv6 a length of zero is the packet's, made for those longer than 65,535 bytes (RFC 2675 4).
    #[inline(always)]
    fn udp(&mut self, at: usize, out: &mut Layers) -> Step {
        let Ok(header) = self.take::<8>(at) else { return self.cut(at, 8, out) };
        out.src_port = be16(header[0], header[1]);
        out.dst_port = be16(header[2], header[3]);
        out.present.0 |= Present::PORTS;
        self.payload(at + 8, out);
        let len = usize::from(be16(header[4], header[5]));
        self.visit.header(HeaderKind::Udp, at, 8);
        // A datagram in fragments is longer than this packet.
        let fragmented = out.present.has(Present::MORE_FRAGMENTS);
        let room = out.end as usize - at;
        if (len < 8 && (len != 0 || out.ip_version == 4)) || (len > room && !fragmented) {
            return Err(self.malformed(at + 4, len.max(8)));
        }
        if out.dst_port < 4789 || fragmented {
            return Ok(());
        }
        // What a tunnel carries ends with the datagram, which may be shorter than the packet.
        let end = self.end;
        if len != 0 {
            self.end = end.min(at + len);
        }
        let step = self.udp_tunnel(at + 8, out);
        self.end = end;
        step
    }

    fn other_transport(&mut self, protocol: u8, at: usize, out: &mut Layers) -> Step {
        let (kind, len) = match protocol {
            p::ICMPV4 | p::ICMPV6 => return self.icmp(protocol, at, out),
            p::UDPLITE => (HeaderKind::UdpLite, 8),
            p::SCTP => (HeaderKind::Sctp, 12),
            p::DCCP => return self.dccp(at, out),
            _ => {
                self.payload(at, out);
                return if out.is_fragment() { Ok(()) } else { self.opaque(protocol, at, out) };
            }
        };
        if self.slice(at, len).is_err() {
            return self.cut(at, len, out);
        }
        self.ports(at, out)?;
        self.visit.header(kind, at, len);
        self.payload(at + len, out);
        Ok(())
    }

    /// RFC 4340 5.1: the data offset counts words.
    fn dccp(&mut self, at: usize, out: &mut Layers) -> Step {
        self.ports(at, out)?;
        let len = usize::from(self.take::<5>(at)?[4]) * 4;
        if len < 12 {
            return Err(self.malformed(at, 12));
        }
        self.payload_behind(at, len, out);
        if at + len > self.end {
            return Err(self.malformed(at, len));
        }
        self.slice(at, len)?;
        self.visit.header(HeaderKind::Dccp, at, len);
        Ok(())
    }

    /// RFC 792, RFC 4443: the header counts eight bytes, of which the last four depend on the type.
    fn icmp(&mut self, protocol: u8, at: usize, out: &mut Layers) -> Step {
        let fixed = self.take::<2>(at)?;
        out.icmp_type = fixed[0];
        out.icmp_code = fixed[1];
        out.present.0 |= Present::ICMP;
        self.payload_behind(at, 8, out);
        let kind = if protocol == p::ICMPV4 { HeaderKind::Icmpv4 } else { HeaderKind::Icmpv6 };
        let rest = self.take::<8>(at)?;
        self.visit.header(kind, at, 8);
        let with_id = match protocol {
            // Echo, timestamp, information, address mask; extended echo (RFC 8335).
            p::ICMPV4 => matches!(fixed[0], 0 | 8 | 13..=18 | 42 | 43),
            _ => matches!(fixed[0], 128 | 129 | 160 | 161),
        };
        if with_id {
            out.icmp_id = be16(rest[4], rest[5]);
            out.present.0 |= Present::ICMP_ID;
        } else if protocol == p::ICMPV6 && matches!(fixed[0], 139 | 140) {
            // No identifier, but it comes back like one: what a node is asked for (RFC 4620 4).
            out.icmp_id = be16(rest[4], rest[5]);
        }
        Ok(())
    }

    /// Upper layers without ports: tunnels, and what is not looked into.
    fn opaque(&mut self, protocol: u8, at: usize, out: &mut Layers) -> Step {
        match protocol {
            p::IPV4 | p::IPV6 => {
                self.carry(ip_kind(protocol), at, out);
                Ok(())
            }
            p::GRE => self.gre(at, out),
            p::ETHERIP => {
                self.take::<2>(at)?;
                self.carry(InnerKind::Ethernet, at + 2, out);
                Ok(())
            }
            // RFC 8986 10.1: the frame stands behind the header at once.
            p::ETHERNET => {
                self.carry(InnerKind::Ethernet, at, out);
                Ok(())
            }
            p::MPLS => {
                self.carry(InnerKind::EtherType(et::MPLS), at, out);
                Ok(())
            }
            p::ESP => {
                self.take::<8>(at)?;
                self.visit.header(HeaderKind::Esp, at, 8);
                Ok(())
            }
            p::MOBILITY => {
                let fixed = self.take::<8>(at)?;
                let len = (usize::from(fixed[1]) + 1) * 8;
                self.slice(at, len)?;
                self.visit.header(HeaderKind::Mobility, at, len);
                Ok(())
            }
            p::IGMP => {
                self.slice(at, 8)?;
                self.visit.header(HeaderKind::Igmp, at, 8);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn carry(&self, kind: InnerKind, at: usize, out: &mut Layers) {
        if at < self.end {
            out.inner = Inner { kind, offset: at as u32, end: self.end as u32 };
        }
    }

    /// RFC 2784, RFC 2890; version 1 is PPTP's (RFC 2637 4.1).
    fn gre(&mut self, at: usize, out: &mut Layers) -> Step {
        let fixed = self.take::<4>(at)?;
        let has = |bit: u8| if fixed[0] & bit != 0 { 4 } else { 0 };
        let protocol = be16(fixed[2], fixed[3]);
        let len = match fixed[1] & 7 {
            // RFC 1701's routing bit brings a list that nobody sends any more.
            0 if fixed[0] & 0x40 != 0 => return Err(self.stop(Verdict::UnknownProtocol, at)),
            0 => 4 + has(0x80) + has(0x20) + has(0x10),
            // Its key, length and call, is not optional.
            1 if fixed[0] & 0x20 != 0 => 8 + has(0x10) + if fixed[1] & 0x80 != 0 { 4 } else { 0 },
            _ => return Err(self.stop(Verdict::UnknownProtocol, at)),
        };
        self.slice(at, len)?;
        self.visit.header(HeaderKind::Gre, at, len);
        let next = at + len;
        match protocol {
            et::BRIDGED => self.carry(InnerKind::Ethernet, next, out),
            et::PPP if next < self.end => self.carry(InnerKind::Ppp, next, out),
            // ERSPAN: without a sequence number it is type I and has no header, else 8 bytes of type II.
            0x88be => self.carry(InnerKind::Ethernet, if has(0x10) == 0 { next } else { next + 8 }, out),
            // ERSPAN type III: 12 bytes, and 8 more when its last bit says so; it names what it mirrors.
            0x22eb => {
                let header = self.take::<12>(next)?;
                let kind = match header[10] >> 2 & 0x1f {
                    0 => InnerKind::Ethernet,
                    2 => InnerKind::Ip,
                    _ => return Ok(()),
                };
                self.carry(kind, next + 12 + usize::from(header[11] & 1) * 8, out);
            }
            _ => self.carry(InnerKind::EtherType(protocol), next, out),
        }
        Ok(())
    }

    fn udp_tunnel(&mut self, at: usize, out: &mut Layers) -> Step {
        match out.dst_port {
            port if VXLAN.contains(&port) || port == VXLAN_GPE => {
                let Ok(header) = self.take::<8>(at) else { return Ok(()) };
                let (flags, next) = (header[0], header[3]);
                let kind = match next {
                    // RFC 7348 5: the flag says that the identifier is valid.
                    _ if port != VXLAN_GPE && flags & 0x08 != 0 => InnerKind::Ethernet,
                    // Generic protocol extension: its own flag and next protocol.
                    1 if flags & 0x04 != 0 => ip_kind(p::IPV4),
                    2 if flags & 0x04 != 0 => ip_kind(p::IPV6),
                    3 if flags & 0x04 != 0 => InnerKind::Ethernet,
                    _ => return Ok(()),
                };
                self.visit.header(HeaderKind::Vxlan, at, 8);
                self.carry(kind, at + 8, out);
            }
            GENEVE => {
                // RFC 8926 3.4: version 0; options count words of four bytes.
                let Ok(header) = self.take::<8>(at) else { return Ok(()) };
                let len = 8 + usize::from(header[0] & 0x3f) * 4;
                if header[0] >> 6 != 0 || self.slice(at, len).is_err() {
                    return Ok(());
                }
                self.visit.header(HeaderKind::Geneve, at, len);
                let kind = match be16(header[2], header[3]) {
                    et::BRIDGED => InnerKind::Ethernet,
                    protocol => InnerKind::EtherType(protocol),
                };
                self.carry(kind, at + len, out);
            }
            GUE => self.gue(at, out),
            MPLS_IN_UDP => self.carry(InnerKind::EtherType(et::MPLS), at, out),
            _ => {}
        }
        Ok(())
    }

    /// Generic UDP encapsulation as Linux does it (draft-ietf-intarea-gue): variant 1 is IP itself, variant 0 has a
    /// header that names an IP protocol.
    fn gue(&mut self, at: usize, out: &mut Layers) {
        let Ok(header) = self.take::<4>(at) else { return };
        match header[0] >> 6 {
            1 => self.carry(InnerKind::Ip, at, out),
            // A control message (bit 5) carries no packet.
            0 if header[0] & 0x20 == 0 && matches!(header[1], p::IPV4 | p::IPV6) => {
                self.carry(ip_kind(header[1]), at + 4 + usize::from(header[0] & 0x1f) * 4, out);
            }
            _ => {}
        }
    }
}

/// What an IP protocol number says is inside: IP of that version and no other.
fn ip_kind(protocol: u8) -> InnerKind {
    InnerKind::EtherType(if protocol == p::IPV4 { et::IPV4 } else { et::IPV6 })
}
