//! A router with two sides, and packets for it.
#![allow(dead_code, reason = "each test uses a part of it")]
use netfast_buf::{PacketBatch, Skb};
use netfast_datapath::{Node, NodeConfig, Outputs, PortConfig, PortId};
use netfast_fib::{NextHop, Route, RouteKind};
use netfast_time::Instant;
use netfast_wire::checksum::{checksum, pseudo_checksum};
use std::net::IpAddr;

pub const LAN: PortId = 0;
pub const WAN: PortId = 1;
pub const LAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const WAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x10];
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
pub const SYN: u8 = 2;
pub const ACK: u8 = 16;
pub const FIN: u8 = 1;
pub const RST: u8 = 4;

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub struct Router {
    pub node: Node,
    pub out: Outputs,
    pub now: Instant,
}

pub fn rules(text: &str) -> netfast_nft::ast::RulesetAst {
    netfast_nft::parse(text, "test").unwrap_or_else(|errors| panic!("{errors:?}"))
}

impl Router {
    /// Clients 192.0.2.0/24 and 2001:db8:1::/64 at `lan`, everything else behind 203.0.113.2 and 2001:db8:ff::2 at `wan`.
    pub fn new(text: &str) -> Self {
        Self::with(NodeConfig::default(), text)
    }

    pub fn with(config: NodeConfig, text: &str) -> Self {
        let mut node = Node::new(config).unwrap();
        let mut lan = PortConfig::new("lan", LAN_MAC);
        lan.addresses = vec![(ip("192.0.2.1"), 24), (ip("2001:db8:1::1"), 64)];
        let mut wan = PortConfig::new("wan", WAN_MAC);
        wan.addresses = vec![(ip("203.0.113.1"), 24), (ip("2001:db8:ff::1"), 64)];
        assert_eq!(node.add_port(lan).unwrap(), LAN);
        assert_eq!(node.add_port(wan).unwrap(), WAN);
        for (prefix, via) in [("0.0.0.0/0", "203.0.113.2"), ("::/0", "2001:db8:ff::2")] {
            let hop = NextHop::gateway(ip(via));
            node.add_route(Route::new(prefix.parse().unwrap(), RouteKind::Unicast(vec![hop]))).unwrap();
        }
        let mut out = Outputs::new();
        let now = Instant::from_secs(1_000);
        for (port, address, mac) in [
            (LAN, "192.0.2.10", CLIENT_MAC),
            (LAN, "2001:db8:1::10", CLIENT_MAC),
            (WAN, "203.0.113.2", SERVER_MAC),
            (WAN, "2001:db8:ff::2", SERVER_MAC),
        ] {
            node.set_neighbour(now, port, ip(address), mac, &mut out).unwrap();
        }
        node.set_rules(rules(text)).unwrap();
        node.set_verify(true);
        Self { node, out, now }
    }

    pub fn wait(&mut self, milliseconds: u64) {
        self.now += netfast_time::Duration::from_millis(milliseconds);
    }

    /// Pushes frames and gives what left by each port, as bytes; all tables must agree with the cache.
    pub fn push_all(&mut self, port: PortId, frames: &[Vec<u8>]) -> [Vec<Vec<u8>>; 2] {
        for chunk in frames.chunks(netfast_buf::BATCH_PACKETS) {
            let mut batch = PacketBatch::new();
            for frame in chunk {
                batch.push(Skb::from_slice(frame, self.node.pool()).unwrap()).unwrap();
            }
            self.node.push(self.now, port, &mut batch, &mut self.out);
        }
        self.taken()
    }

    pub fn taken(&mut self) -> [Vec<Vec<u8>>; 2] {
        let left = [LAN, WAN].map(|port| self.out.take_port(port).iter().map(Skb::to_vec).collect());
        self.check();
        left
    }

    pub fn check(&mut self) {
        let (differences, _, _) = self.node.take_differences();
        assert!(differences.is_empty(), "{:#?}", differences[0].text);
        assert!(self.node.counters().conserved(), "{:#?}", self.node.counters());
    }

    /// Pushes one frame: which port it left by, and as what.
    pub fn push(&mut self, port: PortId, frame: &[u8]) -> Option<(PortId, Vec<u8>)> {
        let [lan, wan] = self.push_all(port, &[frame.to_vec()]);
        assert!(lan.len() + wan.len() <= 1, "{lan:02x?} {wan:02x?}");
        lan.into_iter().map(|frame| (LAN, frame)).chain(wan.into_iter().map(|frame| (WAN, frame))).next()
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// An Ethernet frame with an IP packet; the upper layer's checksum is filled in at `sum`.
pub fn frame(
    port: PortId,
    from: &str,
    to: &str,
    protocol: u8,
    mut upper: Vec<u8>,
    sum: Option<usize>,
) -> Vec<u8> {
    let (from, to) = (ip(from), ip(to));
    if let Some(at) = sum {
        upper[at..at + 2].fill(0);
        let value = if protocol == 1 {
            checksum(&upper)
        } else {
            pseudo_checksum(mapped(from), mapped(to), protocol, &upper)
        };
        upper[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    let (own, other) = if port == LAN { (LAN_MAC, CLIENT_MAC) } else { (WAN_MAC, SERVER_MAC) };
    let mut bytes = [own, other].concat();
    if from.is_ipv6() {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend((upper.len() as u16).to_be_bytes());
        bytes.extend([protocol, 64]);
        bytes.extend(octets(from));
        bytes.extend(octets(to));
    } else {
        bytes.extend([8, 0, 0x45, 0]);
        bytes.extend((upper.len() as u16 + 20).to_be_bytes());
        bytes.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
        bytes.extend(octets(from));
        bytes.extend(octets(to));
        fix_ipv4(&mut bytes);
    }
    bytes.extend(upper);
    bytes
}

pub fn fix_ipv4(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

pub fn udp(port: PortId, from: (&str, u16), to: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let mut upper =
        [from.1.to_be_bytes(), to.1.to_be_bytes(), (payload.len() as u16 + 8).to_be_bytes(), [0; 2]].concat();
    upper.extend(payload);
    frame(port, from.0, to.0, 17, upper, Some(6))
}

pub struct Segment {
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub payload: usize,
}

pub fn tcp(port: PortId, from: (&str, u16), to: (&str, u16), segment: Segment) -> Vec<u8> {
    let mut upper = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    upper.extend(segment.seq.to_be_bytes());
    upper.extend(segment.ack.to_be_bytes());
    upper.extend([0x50, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    upper.extend(std::iter::repeat_n(b'x', segment.payload));
    frame(port, from.0, to.0, 6, upper, Some(16))
}

pub fn echo(port: PortId, from: &str, to: &str, request: bool, id: u16) -> Vec<u8> {
    let v6 = ip(from).is_ipv6();
    let kind = match (v6, request) {
        (true, true) => 128,
        (true, false) => 129,
        (false, true) => 8,
        (false, false) => 0,
    };
    let mut upper = vec![kind, 0, 0, 0];
    upper.extend(id.to_be_bytes());
    upper.extend([0, 1, 1, 2, 3, 4]);
    frame(port, from, to, if v6 { 58 } else { 1 }, upper, Some(2))
}

/// The packet of a frame, dissected; its checksums must be right.
pub fn seen(frame: &[u8]) -> netfast_wire::Layers {
    use netfast_wire::{Checksum, Frame, Layers, Limits, LinkType};
    let whole = Frame::whole(frame, LinkType::ETHERNET);
    let mut layers = Layers::default();
    netfast_wire::dissect(&whole, &Limits::default(), &mut layers, &mut ());
    assert_ne!(netfast_wire::checksum::verify_l3(&whole, &layers), Checksum::Bad, "{frame:02x?}");
    assert_ne!(netfast_wire::checksum::verify_l4(&whole, &layers), Checksum::Bad, "{frame:02x?}");
    layers
}

pub fn src(frame: &[u8]) -> (String, u16) {
    let layers = seen(frame);
    (layers.src_ip().unwrap().to_string(), layers.src_port)
}

pub fn dst(frame: &[u8]) -> (String, u16) {
    let layers = seen(frame);
    (layers.dst_ip().unwrap().to_string(), layers.dst_port)
}
