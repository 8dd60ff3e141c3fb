//! Packets made byte by byte, with all lengths and checksums, the slow and obvious way.
use netfast_wire::checksum::{checksum, pseudo_checksum};
use proptest::prelude::*;

/// What is around the packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Tunnel {
    None,
    /// With a UDP checksum or zero.
    Vxlan {
        checksum: bool,
    },
    Geneve {
        checksum: bool,
        options: u8,
    },
    Gre {
        key: bool,
        checksum: bool,
        ethernet: bool,
    },
    /// IP in IP.
    Ip,
}

#[derive(Clone, Debug)]
pub struct Recipe {
    /// Begins with Ethernet.
    pub ethernet: bool,
    pub tags: u8,
    pub tunnel: Tunnel,
    pub outer_v6: bool,
    pub outer_id: u16,
    pub outer_fixed: bool,
    pub v6: bool,
    pub id: u16,
    pub fixed: bool,
    /// Bytes of IPv4 options, or of IPv6 extension headers divided by two.
    pub extra: u8,
    pub tcp: bool,
    /// Bytes of TCP options.
    pub options: u8,
    pub flags: u16,
    pub sequence: u32,
    /// UDP has a checksum.
    pub checksum: bool,
    pub payload: Vec<u8>,
}

/// What is not the same in each packet of a train.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub index: u16,
    pub flags: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

impl Recipe {
    pub fn any(payload: std::ops::Range<usize>) -> impl Strategy<Value = Self> {
        let tunnel = prop_oneof![
            4 => Just(Tunnel::None),
            1 => any::<bool>().prop_map(|checksum| Tunnel::Vxlan { checksum }),
            1 => (any::<bool>(), 0..4u8).prop_map(|(checksum, options)| Tunnel::Geneve { checksum, options }),
            2 => any::<[bool; 3]>().prop_map(|[key, checksum, ethernet]| Tunnel::Gre { key, checksum, ethernet }),
            1 => Just(Tunnel::Ip),
        ];
        let link = (any::<bool>(), 0..3u8);
        let outer = (any::<bool>(), any::<u16>(), any::<bool>());
        let inner = (any::<bool>(), any::<u16>(), any::<bool>(), (0..3u8).prop_map(|words| words * 4));
        let transport =
            (any::<bool>(), (0..=10u8).prop_map(|words| words * 4), flags(), any::<u32>(), any::<bool>());
        (link, tunnel, outer, inner, transport, bytes(payload)).prop_map(
            |(link, tunnel, outer, inner, transport, payload)| Self {
                ethernet: link.0,
                tags: link.1,
                tunnel,
                outer_v6: outer.0,
                outer_id: outer.1,
                outer_fixed: outer.2,
                v6: inner.0,
                id: inner.1,
                fixed: inner.2,
                extra: inner.3,
                tcp: transport.0,
                options: transport.1,
                flags: transport.2,
                sequence: transport.3,
                checksum: transport.4,
                payload,
            },
        )
    }

    pub fn tunnelled(&self) -> bool {
        self.tunnel != Tunnel::None
    }

    /// One packet with all of the payload.
    pub fn whole(&self) -> Vec<u8> {
        self.packet(Place { index: 0, flags: self.flags, sequence: self.sequence, payload: &self.payload })
    }

    /// The packets that a super-packet of `size` bytes a segment stands for.
    pub fn train(&self, size: usize) -> Vec<Vec<u8>> {
        let count = self.payload.len().div_ceil(size).max(1);
        let part = |index: usize| {
            let payload = &self.payload[index * size..self.payload.len().min((index + 1) * size)];
            let mut flags = self.flags;
            if index > 0 {
                flags &= !0x080;
            }
            if index + 1 < count {
                flags &= !0x009;
            }
            let sequence = self.sequence.wrapping_add((index * size) as u32);
            self.packet(Place { index: index as u16, flags, sequence, payload })
        };
        (0..count).map(part).collect()
    }

    pub fn packet(&self, place: Place<'_>) -> Vec<u8> {
        let inner = self.inner(&place);
        let (protocol, outer) = match &self.tunnel {
            Tunnel::None => return self.framed(self.v6, inner),
            Tunnel::Ip => (if self.v6 { 41 } else { 4 }, inner),
            Tunnel::Gre { key, checksum: summed, ethernet } => {
                let flags = u8::from(*summed) << 7 | u8::from(*key) << 5;
                let mut bytes = vec![flags, 0];
                bytes.extend(if *ethernet { 0x6558 } else { ethertype(self.v6) }.to_be_bytes());
                bytes.extend(if *summed { vec![0; 4] } else { vec![] });
                bytes.extend(if *key { vec![0, 0, 7, 1] } else { vec![] });
                bytes.extend(if *ethernet { frame(self.v6, 0, inner) } else { inner });
                if *summed {
                    let sum = checksum(&bytes);
                    bytes[4..6].copy_from_slice(&sum.to_be_bytes());
                }
                (47, bytes)
            }
            Tunnel::Vxlan { checksum } => {
                let mut bytes = vec![8, 0, 0, 0, 0, 1, 2, 0];
                bytes.extend(frame(self.v6, 0, inner));
                (17, udp(self.outer_v6, true, [40_000, 4_789], *checksum, &bytes))
            }
            Tunnel::Geneve { checksum, options } => {
                let mut bytes = vec![*options, 0, 0x65, 0x58, 0, 1, 2, 0];
                bytes.extend(vec![0x5a; usize::from(*options) * 4]);
                bytes.extend(frame(self.v6, 0, inner));
                (17, udp(self.outer_v6, true, [40_000, 6_081], *checksum, &bytes))
            }
        };
        let id = self.outer_id.wrapping_add(if self.outer_fixed { 0 } else { place.index });
        self.framed(self.outer_v6, ip(self.outer_v6, true, id, protocol, 0, outer))
    }

    /// The packet in the tunnel.
    fn inner(&self, place: &Place<'_>) -> Vec<u8> {
        let fixed = if self.tunnelled() { self.fixed } else { self.outer_fixed };
        let id = self.id.wrapping_add(if fixed { 0 } else { place.index });
        let (protocol, bytes) = if self.tcp {
            let length = 20 + usize::from(self.options);
            let mut bytes = vec![0x9c, 0x40, 0x01, 0xbb];
            bytes.extend(place.sequence.to_be_bytes());
            bytes.extend(0x1234_5678u32.to_be_bytes());
            bytes.extend(((length as u16 / 4) << 12 | place.flags).to_be_bytes());
            bytes.extend([0x20, 0, 0, 0, 0, 0]);
            bytes.extend(vec![1; usize::from(self.options)]);
            bytes.extend(place.payload);
            let sum = sum(self.v6, false, 6, &bytes);
            bytes[16..18].copy_from_slice(&sum.to_be_bytes());
            (6, bytes)
        } else {
            (17, udp(self.v6, false, [40_000, 443], self.checksum, place.payload))
        };
        ip(self.v6, false, id, protocol, self.extra, bytes)
    }

    fn framed(&self, v6: bool, packet: Vec<u8>) -> Vec<u8> {
        if self.ethernet { frame(v6, self.tags, packet) } else { packet }
    }
}

fn flags() -> impl Strategy<Value = u16> {
    any::<[bool; 5]>().prop_map(|bits| {
        [0x001, 0x008, 0x040, 0x080, 0x100]
            .iter()
            .zip(bits)
            .filter(|(_, on)| *on)
            .fold(0x010, |all, (bit, _)| all | bit)
    })
}

/// Bytes of any length in the range, cheap to make and to shrink.
fn bytes(range: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    (range, any::<u8>()).prop_map(|(length, seed)| {
        (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ seed).collect()
    })
}

const fn ethertype(v6: bool) -> u16 {
    if v6 { 0x86dd } else { 0x0800 }
}

fn frame(v6: bool, tags: u8, packet: Vec<u8>) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in 0..tags {
        bytes.extend(if tag == 0 && tags > 1 { [0x88, 0xa8] } else { [0x81, 0x00] });
        bytes.extend([0x20, 10 + tag]);
    }
    bytes.extend(ethertype(v6).to_be_bytes());
    bytes.extend(packet);
    bytes
}

fn addresses(v6: bool, outer: bool) -> ([u8; 16], [u8; 16]) {
    let host = |last: u8| {
        if v6 {
            [0x20, 1, 0x0d, 0xb8, 0, u8::from(outer), 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
        } else {
            std::net::Ipv4Addr::new(10, u8::from(outer), 0, last).to_ipv6_mapped().octets()
        }
    };
    (host(1), host(2))
}

fn sum(v6: bool, outer: bool, protocol: u8, packet: &[u8]) -> u16 {
    let (src, dst) = addresses(v6, outer);
    match pseudo_checksum(src, dst, protocol, packet) {
        0 if protocol == 17 => 0xffff,
        sum => sum,
    }
}

fn udp(v6: bool, outer: bool, ports: [u16; 2], summed: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(ports[0].to_be_bytes());
    bytes.extend(ports[1].to_be_bytes());
    bytes.extend(((payload.len() + 8) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    if summed {
        let sum = sum(v6, outer, 17, &bytes);
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// `extra`: bytes of IPv4 options; half of the bytes of destination options.
fn ip(v6: bool, outer: bool, id: u16, protocol: u8, extra: u8, payload: Vec<u8>) -> Vec<u8> {
    let (src, dst) = addresses(v6, outer);
    let mut bytes;
    if v6 {
        let extra = usize::from(extra) * 2;
        bytes = vec![0x60, 0x12, 0x34, 0x56];
        bytes.extend(((payload.len() + extra) as u16).to_be_bytes());
        bytes.extend([if extra > 0 { 60 } else { protocol }, 64]);
        bytes.extend(src);
        bytes.extend(dst);
        if extra > 0 {
            bytes.extend([protocol, (extra / 8 - 1) as u8, 1, extra as u8 - 4]);
            bytes.extend(vec![0; extra - 4]);
        }
    } else {
        let length = 20 + usize::from(extra);
        bytes = vec![0x40 | (length / 4) as u8, 0];
        bytes.extend(((length + payload.len()) as u16).to_be_bytes());
        bytes.extend(id.to_be_bytes());
        bytes.extend([0x40, 0, 64, protocol, 0, 0]);
        bytes.extend(&src[12..]);
        bytes.extend(&dst[12..]);
        bytes.extend(vec![1; usize::from(extra)]);
        let sum = checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    bytes.extend(payload);
    bytes
}
