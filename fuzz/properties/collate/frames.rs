//! Frames of every kind that collation reads, from a description.
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_wire::checksum::{checksum, pseudo_checksum};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;
pub const ECE: u8 = 0x40;
pub const CWR: u8 = 0x80;

/// An IP header.
#[derive(Clone, Debug)]
pub struct Ip {
    pub v6: bool,
    /// Last octets of the addresses.
    pub src: u8,
    pub dst: u8,
    pub tos: u8,
    pub ttl: u8,
    pub id: u16,
    /// Reserved, DF, MF and the fragment offset.
    pub fragment: u16,
    pub label: u32,
    pub options: Vec<u8>,
    /// Extension headers: kind and whole bytes, of which the first is filled in.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// Added to the header checksum.
    pub wrong: u16,
}

impl Ip {
    pub fn v4() -> Self {
        Self {
            v6: false,
            src: 1,
            dst: 2,
            tos: 0,
            ttl: 64,
            id: 1_000,
            fragment: 0x4000,
            label: 0,
            options: Vec::new(),
            extensions: Vec::new(),
            wrong: 0,
        }
    }

    pub fn v6() -> Self {
        Self { v6: true, ..Self::v4() }
    }

    pub fn addresses(&self) -> ([u8; 16], [u8; 16]) {
        let address = |last: u8| {
            if self.v6 {
                let mut address = [0; 16];
                (address[0], address[1], address[15]) = (0x20, 0x01, last);
                address
            } else {
                std::net::Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().octets()
            }
        };
        (address(self.src), address(self.dst))
    }

    fn around(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (src, dst) = self.addresses();
        let mut bytes = Vec::new();
        if self.v6 {
            let mut next = protocol;
            let mut behind = Vec::new();
            for (kind, extension) in self.extensions.iter().rev() {
                let mut extension = extension.clone();
                extension[0] = std::mem::replace(&mut next, *kind);
                behind.splice(0..0, extension);
            }
            behind.extend(payload);
            bytes.extend((6u32 << 28 | u32::from(self.tos) << 20 | self.label).to_be_bytes());
            bytes.extend((behind.len() as u16).to_be_bytes());
            bytes.extend([next, self.ttl]);
            bytes.extend(src);
            bytes.extend(dst);
            bytes.extend(behind);
            return bytes;
        }
        let header = 20 + self.options.len();
        bytes.extend([0x40 | (header / 4) as u8, self.tos]);
        bytes.extend(((header + payload.len()) as u16).to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([self.ttl, protocol, 0, 0]);
        bytes.extend(&src[12..]);
        bytes.extend(&dst[12..]);
        bytes.extend(&self.options);
        let sum = checksum(&bytes).wrapping_add(self.wrong);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(payload);
        bytes
    }
}

#[derive(Clone, Debug)]
pub struct Tcp {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub urgent: u16,
    pub options: Vec<u8>,
}

#[derive(Clone, Debug)]
pub enum Transport {
    Tcp(Tcp),
    Udp { zero: bool },
}

/// What is around an IP packet or an Ethernet frame, inside of an outer IP header.
#[derive(Clone, Debug)]
pub enum Carrier {
    Ip,
    Gre { flags: u16, key: u32, sequence: u32, bridged: bool },
    Vxlan { vni: u32, flags: u8, zero: bool },
    Geneve { vni: u32, first: [u8; 2], options: Vec<u8>, bridged: bool, zero: bool },
}

#[derive(Clone, Debug)]
pub struct Packet {
    pub ethernet: bool,
    pub mac: u8,
    pub tags: Vec<(u16, u16)>,
    pub tunnel: Option<(Ip, Carrier)>,
    pub ip: Ip,
    pub ports: (u16, u16),
    pub transport: Transport,
    pub payload: Vec<u8>,
    /// Bytes behind the IP packet.
    pub trailer: usize,
    /// Added to the transport checksum.
    pub wrong: u16,
    /// The checksum field holds the sum of the pseudo-header.
    pub partial: bool,
}

/// Payload that tells where it is from.
pub fn payload(seq: u32, length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| ((seq.wrapping_add(at)).wrapping_mul(0x9e37_79b1) >> 24) as u8).collect()
}

impl Packet {
    /// `length` bytes of a stream at `seq`.
    pub fn tcp(ip: Ip, seq: u32, length: usize) -> Self {
        let transport = Transport::Tcp(Tcp {
            seq,
            ack: 77,
            flags: ACK,
            window: 500,
            urgent: 0,
            options: vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
        });
        Self {
            ethernet: true,
            mac: 5,
            tags: Vec::new(),
            tunnel: None,
            ip,
            ports: (1_234, 80),
            transport,
            payload: payload(seq, length),
            trailer: 0,
            wrong: 0,
            partial: false,
        }
    }

    pub fn udp(ip: Ip, seq: u32, length: usize) -> Self {
        Self { transport: Transport::Udp { zero: false }, ports: (1_234, 443), ..Self::tcp(ip, seq, length) }
    }

    /// The packet of a train at `index`: sequence numbers and identifications go on.
    pub fn at(&self, index: u16) -> Self {
        let mut packet = self.clone();
        packet.ip.id = self.ip.id.wrapping_add(index);
        if let Some((ip, carrier)) = &mut packet.tunnel {
            ip.id = ip.id.wrapping_add(index);
            if let Carrier::Gre { sequence, .. } = carrier {
                *sequence += u32::from(index);
            }
        }
        let gone = u32::from(index) * self.payload.len() as u32;
        if let Transport::Tcp(tcp) = &mut packet.transport {
            tcp.seq = tcp.seq.wrapping_add(gone);
            packet.payload = payload(tcp.seq, self.payload.len());
        } else {
            packet.payload = payload(gone, self.payload.len());
        }
        packet
    }

    pub fn flags(mut self, set: u8) -> Self {
        self.tcp_mut(|tcp| tcp.flags |= set);
        self
    }

    pub fn tcp_mut(&mut self, change: impl FnOnce(&mut Tcp)) {
        if let Transport::Tcp(tcp) = &mut self.transport {
            change(tcp);
        }
    }

    /// With fewer or more bytes of payload.
    pub fn sized(mut self, length: usize) -> Self {
        let seq = if let Transport::Tcp(tcp) = &self.transport { tcp.seq } else { 9 };
        self.payload = payload(seq, length);
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn transport(&self) -> (u8, Vec<u8>) {
        let (protocol, at, mut bytes) = match &self.transport {
            Transport::Tcp(Tcp { seq, ack, flags, window, urgent, options }) => {
                let mut bytes = Vec::new();
                bytes.extend(self.ports.0.to_be_bytes());
                bytes.extend(self.ports.1.to_be_bytes());
                bytes.extend(seq.to_be_bytes());
                bytes.extend(ack.to_be_bytes());
                bytes.extend([((20 + options.len()) * 4) as u8, *flags]);
                bytes.extend(window.to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(urgent.to_be_bytes());
                bytes.extend(options);
                (6, 16, bytes)
            }
            Transport::Udp { .. } => (17, 6, udp_header(self.ports, self.payload.len())),
        };
        bytes.extend(&self.payload);
        let (src, dst) = self.ip.addresses();
        let mut sum = pseudo_checksum(src, dst, protocol, &bytes);
        if self.partial {
            let empty = vec![0; bytes.len()];
            sum = !pseudo_checksum(src, dst, protocol, &empty);
        } else if protocol == 17 && sum == 0 {
            sum = 0xffff;
        }
        if !matches!(self.transport, Transport::Udp { zero: true }) {
            bytes[at..at + 2].copy_from_slice(&sum.wrapping_add(self.wrong).to_be_bytes());
        }
        (protocol, bytes)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let (protocol, transport) = self.transport();
        let mut packet = self.ip.around(protocol, &transport);
        let mut ethertype = if self.ip.v6 { 0x86dd } else { 0x0800 };
        if let Some((ip, carrier)) = &self.tunnel {
            let (protocol, inside) = tunnel(ip, carrier, packet, ethertype);
            packet = ip.around(protocol, &inside);
            ethertype = if ip.v6 { 0x86dd } else { 0x0800 };
        }
        let mut bytes = Vec::new();
        if self.ethernet {
            bytes.extend([2, 0, 0, 0, 0, self.mac, 2, 0, 0, 0, 0, 1]);
            for (kind, tag) in &self.tags {
                bytes.extend(kind.to_be_bytes());
                bytes.extend(tag.to_be_bytes());
            }
            bytes.extend(u16::to_be_bytes(ethertype));
        }
        bytes.extend(packet);
        bytes.extend(vec![0; self.trailer]);
        bytes
    }
}

fn udp_header(ports: (u16, u16), payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend((8 + payload as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn tunnel(ip: &Ip, carrier: &Carrier, packet: Vec<u8>, ethertype: u16) -> (u8, Vec<u8>) {
    let framed = |packet: Vec<u8>| {
        let mut bytes = vec![2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 2];
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(packet);
        bytes
    };
    let udp = |port: u16, zero: bool, inside: Vec<u8>| {
        let mut bytes = udp_header((50_000, port), inside.len());
        bytes.extend(inside);
        let (src, dst) = ip.addresses();
        if !zero {
            let sum = pseudo_checksum(src, dst, 17, &bytes);
            bytes[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
        }
        (17, bytes)
    };
    match carrier {
        Carrier::Ip => (if ethertype == 0x86dd { 41 } else { 4 }, packet),
        Carrier::Gre { flags, key, sequence, bridged } => {
            let mut bytes = flags.to_be_bytes().to_vec();
            bytes.extend(if *bridged { 0x6558 } else { ethertype }.to_be_bytes());
            if flags & 0x8000 != 0 {
                bytes.extend([0; 4]);
            }
            if flags & 0x2000 != 0 {
                bytes.extend(key.to_be_bytes());
            }
            if flags & 0x1000 != 0 {
                bytes.extend(sequence.to_be_bytes());
            }
            bytes.extend(if *bridged { framed(packet) } else { packet });
            if flags & 0x8000 != 0 {
                let sum = checksum(&bytes);
                bytes[4..6].copy_from_slice(&sum.to_be_bytes());
            }
            (47, bytes)
        }
        Carrier::Vxlan { vni, flags, zero } => {
            let mut bytes = vec![*flags, 0, 0, 0];
            bytes.extend((vni << 8).to_be_bytes());
            bytes.extend(framed(packet));
            udp(4789, *zero, bytes)
        }
        Carrier::Geneve { vni, first, options, bridged, zero } => {
            let mut bytes = vec![first[0] | (options.len() / 4) as u8, first[1]];
            bytes.extend(if *bridged { 0x6558 } else { ethertype }.to_be_bytes());
            bytes.extend((vni << 8).to_be_bytes());
            bytes.extend(options);
            bytes.extend(if *bridged { framed(packet) } else { packet });
            udp(6081, *zero, bytes)
        }
    }
}

/// Packets of these frames.
pub fn skbs(frames: &[Vec<u8>], pool: &mut PacketPool) -> Vec<Skb> {
    frames.iter().map(|frame| Skb::from_slice(frame, pool).expect("a frame is short")).collect()
}

pub fn batch(packets: Vec<Skb>) -> PacketBatch {
    let mut batch = PacketBatch::new();
    packets.into_iter().for_each(|packet| batch.push(packet).expect("no more than a batch holds"));
    batch
}
