//! What one direction of a connection is known by.
use super::protocol::{icmp_answer, icmp_question};
use netfast_wire::dissect::protocol as p;
use netfast_wire::{Layers, Present, Verdict};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// One direction of a connection: what its packets have in common.
///
/// Where both addresses are mapped IPv4 ones (RFC 4291 2.5.5.2), so is the packet: an IPv6 packet between two
/// such addresses must not be given here, it is a martian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// Source address, IPv4 mapped.
    pub source: [u8; 16],
    /// Destination address, IPv4 mapped.
    pub destination: [u8; 16],
    /// Source port; the identifier of an ICMP message; 0 for protocols without ports.
    pub source_port: u16,
    /// Destination port; type × 256 + code of an ICMP message.
    pub destination_port: u16,
    /// Upper-layer protocol.
    pub protocol: u8,
}

impl Tuple {
    /// That of a dissected packet; `None` without IP, for a fragment that is not the first, and where the
    /// header with the ports was cut or wrong.
    pub fn of(layers: &Layers) -> Option<Self> {
        if !layers.present.has(Present::IP | Present::PROTOCOL) || layers.verdict == Verdict::NonFirstFragment
        {
            return None;
        }
        let (source_port, destination_port) = if layers.present.has(Present::PORTS) {
            (layers.src_port, layers.dst_port)
        } else if layers.present.has(Present::ICMP) {
            (layers.icmp_id, u16::from_be_bytes([layers.icmp_type, layers.icmp_code]))
        } else if has_ports(layers.protocol) || is_icmp(layers.protocol) {
            return None;
        } else {
            (0, 0)
        };
        let (source, destination) = (layers.src, layers.dst);
        Some(Self { source, destination, source_port, destination_port, protocol: layers.protocol })
    }

    /// The tuple of what answers: addresses and ports change places, an ICMP question becomes its answer.
    /// `None` for ICMP messages that belong to no exchange.
    pub fn reply(&self) -> Option<Self> {
        let (source_port, destination_port) = if self.is_icmp() {
            let (kind, code) = self.icmp();
            let other = icmp_answer(self.protocol, kind).or_else(|| icmp_question(self.protocol, kind))?;
            (self.source_port, u16::from_be_bytes([other, code]))
        } else {
            (self.destination_port, self.source_port)
        };
        let (source, destination) = (self.destination, self.source);
        Some(Self { source, destination, source_port, destination_port, protocol: self.protocol })
    }

    /// Type and code of an ICMP message.
    pub const fn icmp(&self) -> (u8, u8) {
        let [kind, code] = self.destination_port.to_be_bytes();
        (kind, code)
    }

    /// True for ICMP and ICMPv6.
    pub const fn is_icmp(&self) -> bool {
        is_icmp(self.protocol)
    }

    /// True for protocols whose first four bytes are the ports.
    pub const fn has_ports(&self) -> bool {
        has_ports(self.protocol)
    }

    /// 4 when both addresses are mapped IPv4 ones, else 6.
    pub fn ip_version(&self) -> u8 {
        if is_mapped(&self.source) && is_mapped(&self.destination) { 4 } else { 6 }
    }
}

pub(super) const fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, p::ICMPV4 | p::ICMPV6)
}

pub(super) const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, p::TCP | p::UDP | p::UDPLITE | p::SCTP | p::DCCP)
}

pub(super) fn is_mapped(address: &[u8; 16]) -> bool {
    address.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
}

fn shown(address: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(address).to_canonical()
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            p::TCP => f.write_str("tcp")?,
            p::UDP => f.write_str("udp")?,
            p::UDPLITE => f.write_str("udplite")?,
            p::SCTP => f.write_str("sctp")?,
            p::DCCP => f.write_str("dccp")?,
            p::ICMPV4 => f.write_str("icmp")?,
            p::ICMPV6 => f.write_str("icmpv6")?,
            p::GRE => f.write_str("gre")?,
            other => write!(f, "protocol {other}")?,
        }
        write!(f, " src={} dst={}", shown(self.source), shown(self.destination))?;
        if self.is_icmp() {
            let (kind, code) = self.icmp();
            write!(f, " type={kind} code={code} id={}", self.source_port)
        } else if self.has_ports() {
            write!(f, " sport={} dport={}", self.source_port, self.destination_port)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(protocol: u8, source_port: u16, destination_port: u16) -> Tuple {
        let address = |last| std::net::Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped().octets();
        Tuple { source: address(1), destination: address(2), source_port, destination_port, protocol }
    }

    #[test]
    fn a_reply_is_answered_by_the_question() {
        for one in [
            tuple(p::TCP, 1, 2),
            tuple(p::ICMPV4, 7, 0x0800),
            tuple(p::ICMPV4, 7, 0x1101),
            tuple(p::GRE, 0, 0),
        ] {
            let reply = one.reply().expect("has an answer");
            assert_ne!(reply, one);
            assert_eq!(reply.reply(), Some(one));
        }
    }

    #[test]
    fn rfc_792_an_unreachable_has_no_answer_and_an_echo_keeps_its_identifier() {
        assert_eq!(tuple(p::ICMPV4, 0, 0x0301).reply(), None);
        let reply = tuple(p::ICMPV4, 77, 0x0800).reply().expect("echo reply");
        assert_eq!((reply.source_port, reply.icmp()), (77, (0, 0)));
    }

    #[test]
    fn shown_as_conntrack_8_shows_it() {
        assert_eq!(
            tuple(p::TCP, 1024, 80).to_string(),
            "tcp src=192.0.2.1 dst=192.0.2.2 sport=1024 dport=80"
        );
        assert_eq!(
            tuple(p::ICMPV4, 9, 0x0800).to_string(),
            "icmp src=192.0.2.1 dst=192.0.2.2 type=8 code=0 id=9"
        );
        assert_eq!(tuple(99, 0, 0).to_string(), "protocol 99 src=192.0.2.1 dst=192.0.2.2");
    }
}
