//! The IP header of a packet that is answered, and of one that is quoted: as far as it is there.
use crate::dissect::protocol as p;
use crate::layers::Limits;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP header and the way to the upper layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip {
    pub(super) version: u8,
    pub(super) traffic_class: u8,
    /// IPv4 mapped into IPv6.
    pub(super) src: [u8; 16],
    pub(super) dst: [u8; 16],
    /// `None` when the chain of extension headers is cut or longer than [`Limits::extension_headers`].
    pub(super) protocol: Option<u8>,
    /// Where the upper layer begins; may be beyond what is there.
    pub(super) upper: usize,
    pub(super) later_fragment: bool,
    pub(super) fragment: bool,
    /// Bytes of the packet by its own length.
    pub(super) len: usize,
}

impl Ip {
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::v4(packet),
            6 => Self::v6(packet),
            _ => None,
        }
    }

    fn v4(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<20>()?;
        let upper = usize::from(header[0] & 15) * 4;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        if upper < 20 || len < upper {
            return None;
        }
        let mapped =
            |at| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).to_ipv6_mapped();
        Some(Self {
            version: 4,
            traffic_class: header[1],
            src: mapped(12).octets(),
            dst: mapped(16).octets(),
            protocol: Some(header[9]),
            upper,
            later_fragment: fragment & 0x1fff != 0,
            fragment: fragment & 0x3fff != 0,
            len,
        })
    }

    fn v6(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<40>()?;
        let (mut src, mut dst) = ([0; 16], [0; 16]);
        src.copy_from_slice(&header[8..24]);
        dst.copy_from_slice(&header[24..40]);
        let mut ip = Self {
            version: 6,
            traffic_class: header[0] << 4 | header[1] >> 4,
            src,
            dst,
            protocol: None,
            upper: 40,
            later_fragment: false,
            fragment: false,
            len: 40 + usize::from(u16::from_be_bytes([header[4], header[5]])),
        };
        ip.walk(packet, header[6]);
        Some(ip)
    }

    /// RFC 8200 4; ends at the upper layer, at a later fragment, or where the bytes or the limit do.
    fn walk(&mut self, packet: &[u8], mut next: u8) {
        for _ in 0..=Limits::default().extension_headers {
            let fixed = packet.get(self.upper..).and_then(|rest| rest.first_chunk::<8>());
            let len = match (next, fixed) {
                (p::HOP_BY_HOP | p::ROUTING | p::DESTINATION_OPTIONS, Some(fixed)) => {
                    (usize::from(fixed[1]) + 1) * 8
                }
                (p::AH, Some(fixed)) => (usize::from(fixed[1]) + 2) * 4,
                (p::FRAGMENT, Some(fixed)) => {
                    let field = u16::from_be_bytes([fixed[2], fixed[3]]);
                    self.fragment |= field & 0xfff9 != 0;
                    self.later_fragment |= field & 0xfff8 != 0;
                    8
                }
                (p::HOP_BY_HOP | p::ROUTING | p::DESTINATION_OPTIONS | p::AH | p::FRAGMENT, None) => return,
                _ => {
                    self.protocol = Some(next);
                    return;
                }
            };
            self.upper += len;
            next = fixed.map_or(p::NO_NEXT_HEADER, |fixed| fixed[0]);
            if self.later_fragment {
                self.protocol = Some(next);
                return;
            }
        }
    }

    /// What is there of the upper layer.
    pub(super) fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.upper..self.len.min(packet.len())).unwrap_or(&[])
    }

    fn address(&self, bytes: [u8; 16]) -> IpAddr {
        // A mapped address in an IPv6 header stays what it is.
        let address = Ipv6Addr::from(bytes);
        if self.version == 4 { address.to_canonical() } else { address.into() }
    }

    /// RFC 1812 4.3.2.7, RFC 4443 2.4 e.6: no single node has such an address, or none beyond its own host.
    pub(super) fn source_is_unicast(&self) -> bool {
        match self.address(self.src) {
            IpAddr::V4(address) => {
                let first = address.octets()[0];
                first != 0 && first != 127 && first < 224
            }
            IpAddr::V6(address) => {
                !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
            }
        }
    }

    /// False for groups, the limited broadcast and class E; a directed broadcast only the caller knows.
    pub(super) fn destination_is_unicast(&self) -> bool {
        match self.address(self.dst) {
            IpAddr::V4(address) => address.octets()[0] < 224,
            IpAddr::V6(address) => !address.is_multicast(),
        }
    }
}

/// The fields of an IPv4 header without options.
pub(super) struct Ipv4Header {
    pub(super) traffic_class: u8,
    pub(super) identification: u16,
    pub(super) dont_fragment: bool,
    pub(super) hop_limit: u8,
    pub(super) protocol: u8,
    pub(super) src: Ipv4Addr,
    pub(super) dst: Ipv4Addr,
}

impl Ipv4Header {
    /// `packet` is all of it, its upper layer written.
    pub(super) fn write(&self, packet: &mut [u8]) {
        let [high, low] = (packet.len() as u16).to_be_bytes();
        let [id_high, id_low] = self.identification.to_be_bytes();
        let flags = if self.dont_fragment { 0x40 } else { 0 };
        let fixed = [
            0x45,
            self.traffic_class,
            high,
            low,
            id_high,
            id_low,
            flags,
            0,
            self.hop_limit,
            self.protocol,
            0,
            0,
        ];
        packet[..12].copy_from_slice(&fixed);
        packet[12..16].copy_from_slice(&self.src.octets());
        packet[16..20].copy_from_slice(&self.dst.octets());
        let sum = crate::checksum::checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Writes an IPv6 header before an upper layer that is already in `packet`, with flow label 0.
pub(super) fn write_ipv6(
    packet: &mut [u8],
    class: u8,
    next: u8,
    hop_limit: u8,
    src: Ipv6Addr,
    dst: Ipv6Addr,
) {
    let [high, low] = ((packet.len() - 40) as u16).to_be_bytes();
    packet[..8].copy_from_slice(&[0x60 | class >> 4, class << 4, 0, 0, high, low, next, hop_limit]);
    packet[8..24].copy_from_slice(&src.octets());
    packet[24..40].copy_from_slice(&dst.octets());
}
