//! Datagrams and fragments made the plain way, for tests.
#![allow(dead_code, reason = "each test uses a part")]
use netfast_buf::{PacketPool, Skb};
use netfast_frag::{Outcome, Reassembled, Reassembler, ReassemblyConfig};
use netfast_time::Instant;
use netfast_wire::LinkType;
use netfast_wire::checksum::{checksum, pseudo_checksum};

pub const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00];

/// An IP datagram from which fragments are made.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub v6: bool,
    pub src: u8,
    pub dst: u8,
    pub protocol: u8,
    pub id: u32,
    pub tos: u8,
    pub df: bool,
    /// Between the IP header and the data: IPv4 options, or IPv6 extension headers of which the first is hop-by-hop.
    pub options: Vec<u8>,
    pub data: Vec<u8>,
}

impl Datagram {
    pub fn v4(id: u32, data: Vec<u8>) -> Self {
        Self { v6: false, src: 1, dst: 2, protocol: 253, id, tos: 0, df: false, options: Vec::new(), data }
    }

    pub fn v6(id: u32, data: Vec<u8>) -> Self {
        Self { v6: true, ..Self::v4(id, data) }
    }

    pub fn family(v6: bool, id: u32, data: Vec<u8>) -> Self {
        if v6 { Self::v6(id, data) } else { Self::v4(id, data) }
    }

    pub fn from(self, src: u8) -> Self {
        Self { src, ..self }
    }

    /// A UDP datagram with a right checksum.
    pub fn udp(mut self, body: &[u8]) -> Self {
        self.protocol = 17;
        let mut data = vec![0x12, 0x34, 0, 53, 0, 0, 0, 0];
        data.extend_from_slice(body);
        let length = (data.len() as u16).to_be_bytes();
        data[4..6].copy_from_slice(&length);
        let (src, dst) = (self.address(self.src), self.address(self.dst));
        let sum = pseudo_checksum(src, dst, 17, &data).to_be_bytes();
        data[6..8].copy_from_slice(&sum);
        self.data = data;
        self
    }

    fn address(&self, host: u8) -> [u8; 16] {
        if self.v6 {
            return [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host];
        }
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, host]
    }

    /// The packet that is to come out.
    pub fn whole(&self) -> Vec<u8> {
        if self.v6 { self.ipv6(None, &self.data) } else { self.ipv4(0, &self.data, self.df) }
    }

    /// A fragment with bytes of the data, as a sender makes it.
    pub fn fragment(&self, start: usize, end: usize) -> Vec<u8> {
        self.claim(start, &self.data[start..end], end < self.data.len())
    }

    /// A fragment with any bytes.
    pub fn claim(&self, start: usize, data: &[u8], more: bool) -> Vec<u8> {
        if self.v6 {
            return self.ipv6(Some(start as u16 & 0xfff8 | u16::from(more)), data);
        }
        self.ipv4((start / 8) as u16 | u16::from(more) << 13, data, self.df)
    }

    /// All fragments with `size` bytes of data each.
    pub fn fragments(&self, size: usize) -> Vec<Vec<u8>> {
        let len = self.data.len();
        (0..len).step_by(size).map(|start| self.fragment(start, (start + size).min(len))).collect()
    }

    fn ipv4(&self, field: u16, data: &[u8], df: bool) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut packet = vec![0; header];
        packet[0] = 0x40 | (header / 4) as u8;
        packet[1] = self.tos;
        packet[2..4].copy_from_slice(&((header + data.len()) as u16).to_be_bytes());
        packet[4..6].copy_from_slice(&(self.id as u16).to_be_bytes());
        packet[6..8].copy_from_slice(&(field | u16::from(df) << 14).to_be_bytes());
        (packet[8], packet[9]) = (64, self.protocol);
        packet[12..16].copy_from_slice(&self.address(self.src)[12..]);
        packet[16..20].copy_from_slice(&self.address(self.dst)[12..]);
        packet[20..].copy_from_slice(&self.options);
        let sum = checksum(&packet).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        packet.extend_from_slice(data);
        packet
    }

    fn ipv6(&self, field: Option<u16>, data: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60 | self.tos >> 4, self.tos << 4, 0, 0, 0, 0, 0, 64];
        packet.extend_from_slice(&self.address(self.src));
        packet.extend_from_slice(&self.address(self.dst));
        packet.extend_from_slice(&self.options);
        let next = if field.is_some() { 44 } else { self.protocol };
        if self.options.is_empty() {
            packet[6] = next;
        } else {
            packet[40] = next;
        }
        if let Some(field) = field {
            packet.extend_from_slice(&[self.protocol, 0]);
            packet.extend_from_slice(&field.to_be_bytes());
            packet.extend_from_slice(&self.id.to_be_bytes());
        }
        packet.extend_from_slice(data);
        let length = ((packet.len() - 40) as u16).to_be_bytes();
        packet[4..6].copy_from_slice(&length);
        packet
    }
}

pub fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect()
}

/// A frame with an Ethernet header before an IP packet.
pub fn ethernet(packet: &[u8]) -> Vec<u8> {
    let mut frame = ETHERNET.to_vec();
    if packet[0] >> 4 == 6 {
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    }
    frame.extend_from_slice(packet);
    frame
}

/// A reassembler with a pool, for packets that begin with IP.
pub struct Bench {
    pub reassembler: Reassembler,
    pub pool: PacketPool,
    pub now: Instant,
}

impl Bench {
    pub fn new(config: ReassemblyConfig) -> Self {
        let config = ReassemblyConfig { link: LinkType::RAW, ..config };
        Self {
            reassembler: Reassembler::new(config),
            pool: PacketPool::default(),
            now: Instant::from_secs(1),
        }
    }

    pub fn push(&mut self, packet: &[u8]) -> Outcome {
        let packet = Skb::from_slice(packet, &mut self.pool).expect("short");
        let outcome = self.reassembler.handle_packet(self.now, 0, packet, &mut self.pool);
        assert!(self.reassembler.counters().is_conserved(), "{:?}", self.reassembler.counters());
        outcome
    }

    /// Pushes packets; the last one completes a datagram and no other does.
    pub fn complete(&mut self, packets: &[Vec<u8>]) -> Reassembled {
        let (last, before) = packets.split_last().expect("some");
        for packet in before {
            let outcome = self.push(packet);
            assert!(matches!(outcome, Outcome::Held), "{outcome:?}");
        }
        match self.push(last) {
            Outcome::Complete(datagram) => datagram,
            outcome => panic!("{outcome:?}"),
        }
    }

    pub fn counters(&self) -> netfast_frag::ReassemblyCounters {
        self.reassembler.counters()
    }
}
