//! Any commands and packets: the cache decides as the tables do, no packet is lost or comes from nowhere, and two nodes
//! that are told the same do the same, whether packets come alone or in batches, in one piece or in many.
//!
//! The bytes choose the settings, then one operation after the other until they are used up.
#[path = "datapath/frames.rs"]
mod frames;
#[path = "datapath/rules.rs"]
mod rules;

use netfast_buf::{BATCH_PACKETS, PacketBatch, Skb};
use netfast_datapath::{
    Event, HookVerdict, HookVerdicts, Node, NodeConfig, NodeError, Outputs, PortConfig, PortId, Reassembly,
    RpFilter, Tracking,
};
use netfast_fib::{Family, NextHop, Prefix, Route, RouteKind, Rule, RuleAction, TableId};
use netfast_offload::features::FeatureSet;
use netfast_offload::segment::leave_checksum;
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;
use std::net::IpAddr;

/// What is left of the input. Behind its end all bytes are zero.
pub struct Bytes<'a> {
    data: &'a [u8],
}

impl Bytes<'_> {
    fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    fn peek(&self) -> u8 {
        self.data.first().copied().unwrap_or(0)
    }

    fn u8(&mut self) -> u8 {
        let byte = self.peek();
        self.data = self.data.get(1..).unwrap_or_default();
        byte
    }

    fn below(&mut self, limit: usize) -> usize {
        let mut value = usize::from(self.u8());
        if limit > 256 {
            value = value << 8 | usize::from(self.u8());
        }
        value % limit.max(1)
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == chances - 1
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn of(&mut self, list: &[&'static str]) -> &'static str {
        self.pick(list)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.u8()).collect()
    }
}

const PORTS: usize = 4;
const WAN: PortId = 1;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// And whether ports may merge what comes in.
fn settings(bytes: &mut Bytes<'_>) -> (NodeConfig, bool) {
    let mut config = NodeConfig {
        seed: u64::from(bytes.u8()),
        max_connections: bytes.pick(&[1 << 12, 1 << 12, 40, 6, 1]),
        max_programs: bytes.pick(&[1 << 12, 1 << 12, 5, 0]),
        tracking: bytes.pick(&[Tracking::Auto, Tracking::On, Tracking::On, Tracking::Off]),
        icmp_rate: bytes.pick(&[1_000, 5, 0]),
        icmp_burst: bytes.pick(&[50, 3]),
        max_events: bytes.pick(&[4_096, 4]),
        max_held_fragments: bytes.pick(&[64, 4, 0]),
        reassembly: bytes.pick(&[
            Reassembly::Auto,
            Reassembly::Full,
            Reassembly::Virtual,
            Reassembly::Virtual,
            Reassembly::Off,
        ]),
        ..NodeConfig::default()
    };
    let flags = bytes.u8();
    config.verify_checksums = flags & 1 != 0;
    config.endpoint_independent = flags & 6 == 6;
    config.endpoint_independent_filtering = flags & 8 != 0;
    config.answer_echo = flags & 16 == 0;
    config.tcp.liberal = flags & 32 != 0;
    config.neighbours.queue_packets = bytes.pick(&[101, 3, 0]);
    config.neighbours.max_pending = bytes.pick(&[256, 2]);
    (config.fragments.max_datagrams, config.fragments.source_share) = bytes.pick(&[(256, 8), (3, 1), (8, 4)]);
    (config, flags & 64 != 0)
}

/// One of the two nodes.
struct Side {
    node: Node,
    out: Outputs,
}

impl Side {
    fn new(config: &NodeConfig, filters: [RpFilter; PORTS], broadcasts: bool) -> Self {
        let mut node = Node::new(config.clone()).expect("settings in range");
        let addresses: [&[(&str, u8)]; PORTS] = [
            &[("192.0.2.1", 24), ("2001:db8:1::1", 64), ("fe80::1", 64)],
            &[("203.0.113.1", 24), ("2001:db8:ff::1", 64)],
            &[("198.18.0.1", 24), ("2001:db8:7::1", 64)],
            &[("172.16.0.1", 16)],
        ];
        for (at, (name, list)) in ["lan", "wan", "vlan", "dmz"].into_iter().zip(addresses).enumerate() {
            let mut port = PortConfig::new(name, frames::MACS[at]);
            port.addresses = list.iter().map(|(address, length)| (ip(address), *length)).collect();
            port.mtu = [1_500, 1_400, 1_500, 600][at];
            port.vlan = (name == "vlan").then_some((0, frames::TAG));
            port.rp_filter = filters[at];
            port.directed_broadcast = broadcasts;
            port.resolve = config.seed % 2 == 1;
            assert_eq!(node.add_port(port).expect("a port"), at as PortId);
        }
        Self { node, out: Outputs::new() }
    }
}

/// Bytes of a packet, told in hexadecimal digits.
#[derive(PartialEq)]
struct Frame(Vec<u8>);

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What came out of a call.
struct Result {
    ports: Vec<Vec<Frame>>,
    local: Vec<(PortId, Frame)>,
    events: Vec<(Instant, Event)>,
    missed: u64,
}

/// Two nodes that are told the same: one verifies and takes batches, the other takes packets alone and in pieces.
struct Run {
    verified: Side,
    alone: Side,
    config: NodeConfig,
    /// Ports may merge what comes in: the other node takes batches then, too.
    merges: bool,
    now: Instant,
    /// Frames that came in lately, and those that left, each with its port.
    came: Vec<(usize, Vec<u8>)>,
    left: Vec<(usize, Vec<u8>)>,
}

/// Runs the operations that the bytes say.
pub fn check(data: &[u8]) {
    let mut bytes = Bytes { data };
    let (config, merges) = settings(&mut bytes);
    let filters = [RpFilter::Off, bytes.pick(&FILTERS), bytes.pick(&FILTERS), RpFilter::Off];
    let broadcasts = bytes.one_in(2);
    let side = || Side::new(&config, filters, broadcasts);
    let mut run = Run {
        verified: side(),
        alone: side(),
        config: config.clone(),
        merges,
        now: Instant::from_secs(1_000),
        came: Vec::new(),
        left: Vec::new(),
    };
    run.verified.node.set_verify(true);
    run.begin(&mut bytes);
    while !bytes.is_empty() {
        run.step(&mut bytes);
    }
    run.end();
}

/// Merging that a port which forwards must not do.
const LOSES: FeatureSet = FeatureSet::LARGE_RECEIVE;
const FILTERS: [RpFilter; 4] = [RpFilter::Off, RpFilter::Off, RpFilter::Strict, RpFilter::Loose];

impl Run {
    /// Routes, neighbours, rules: what most runs have.
    fn begin(&mut self, bytes: &mut Bytes<'_>) {
        for (prefix, via) in [("0.0.0.0/0", "203.0.113.2"), ("::/0", "2001:db8:ff::2")] {
            let kind = RouteKind::Unicast(vec![NextHop::gateway(ip(via))]);
            self.tell(|node, _| node.add_route(Route::new(prefix.parse().expect("a prefix"), kind.clone())));
        }
        let known = [
            (0, "192.0.2.10"),
            (0, "192.0.2.11"),
            (0, "2001:db8:1::10"),
            (0, "2001:db8:1::11"),
            (0, "fe80::10"),
            (WAN, "203.0.113.2"),
            (WAN, "2001:db8:ff::2"),
            (WAN, "203.0.113.3"),
            (3, "172.16.0.2"),
        ];
        for (port, address) in known {
            self.neighbour(port, address, 0x99);
        }
        self.rules(bytes);
    }

    /// Tells both nodes the same, which must say the same.
    fn tell<T>(
        &mut self,
        mut told: impl FnMut(&mut Node, &mut Outputs) -> std::result::Result<T, NodeError>,
    ) {
        let first =
            told(&mut self.verified.node, &mut self.verified.out).err().map(|error| error.to_string());
        let second = told(&mut self.alone.node, &mut self.alone.out).err().map(|error| error.to_string());
        assert_eq!(first, second);
        self.compare();
    }

    fn neighbour(&mut self, port: PortId, address: &str, last: u8) {
        let (now, mac) = (self.now, [2, 0, 0, 0, 0, last]);
        self.tell(|node, out| node.set_neighbour(now, port, ip(address), mac, out));
    }

    fn rules(&mut self, bytes: &mut Bytes<'_>) {
        // Rules that fit each by itself need not fit together: some say no where a jump leads to them.
        let parsed = |text: String| netfast_nft::parse(&text, "rules").ok();
        let Some(source) = (0..3).find_map(|_| parsed(rules::ruleset(bytes))) else { return };
        self.tell(|node, _| node.set_rules(source.clone()));
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.u8() % 32 {
            0 => self.rules(bytes),
            1 | 2 => self.route(bytes),
            3 => self.policy(bytes),
            4 | 5 => self.change_neighbour(bytes),
            6 => self.change_port(bytes),
            7 => self.change_connections(bytes),
            8 | 9 => self.pass_time(bytes),
            10 => self.send(bytes),
            _ => self.packets(bytes),
        }
    }

    fn route(&mut self, bytes: &mut Bytes<'_>) {
        let prefix: Prefix = bytes
            .of(&[
                "0.0.0.0/0",
                "198.51.100.0/24",
                "198.51.100.7/32",
                "192.0.2.12/32",
                "::/0",
                "2001:db8:5::/48",
                "10.0.0.0/8",
            ])
            .parse()
            .expect("a prefix");
        let v6 = prefix.family() == Family::V6;
        let gateways: &[&str] = if v6 {
            &["2001:db8:ff::2", "2001:db8:1::11", "2001:db8:ff::9", "2001:db8:5::7"]
        } else {
            &["203.0.113.2", "203.0.113.3", "192.0.2.11", "172.16.0.2", "203.0.113.9", "198.51.100.7"]
        };
        let kind = match bytes.below(12) {
            0 => RouteKind::Unreachable,
            1 => RouteKind::Blackhole,
            2 => RouteKind::Prohibit,
            3 => RouteKind::Throw,
            4 => RouteKind::Unicast(vec![NextHop::port(bytes.below(PORTS) as PortId)]),
            _ => {
                let count = 1 + bytes.below(3);
                let hop = |_| {
                    let mut hop =
                        NextHop::gateway(ip(bytes.of(gateways))).weighted(1 + u16::from(bytes.u8() % 3));
                    if bytes.one_in(3) {
                        (hop.port, hop.on_link) = (Some(WAN), true);
                    }
                    hop.mtu = bytes.one_in(6).then_some(1_300);
                    hop
                };
                RouteKind::Unicast((0..count).map(hop).collect())
            }
        };
        let route = Route {
            metric: if bytes.one_in(4) { 10 } else { 0 },
            table: if bytes.one_in(5) { TableId(7) } else { TableId::MAIN },
            ..Route::new(prefix, kind)
        };
        let key = route.key();
        match bytes.below(3) {
            0 => self.tell(|node, _| node.remove_route(&key)),
            _ => self
                .tell(|node, _| node.replace_route(route.clone()).or_else(|_| node.add_route(route.clone()))),
        }
    }

    fn policy(&mut self, bytes: &mut Bytes<'_>) {
        let family = bytes.pick(&[Family::V4, Family::V6]);
        let action = if bytes.one_in(6) { RuleAction::Prohibit } else { RuleAction::Lookup(TableId(7)) };
        let mut rule = Rule::new(family, 100, action);
        match bytes.below(4) {
            0 => rule.mark = Some((1, 3)),
            1 => rule.dscp = Some(46),
            2 => rule.in_port = Some(0),
            _ => rule.mark = Some((2, u32::MAX)),
        }
        if bytes.one_in(2) {
            self.tell(|node, _| node.add_policy(rule));
        } else {
            self.tell(|node, _| node.remove_policy(&rule));
        }
    }

    fn change_neighbour(&mut self, bytes: &mut Bytes<'_>) {
        let (port, address) = bytes.pick(&[
            (0, "192.0.2.10"),
            (0, "192.0.2.12"),
            (0, "192.0.2.13"),
            (0, "2001:db8:1::10"),
            (0, "2001:db8:1::12"),
            (0, "2001:db8:1::13"),
            (WAN, "203.0.113.2"),
            (WAN, "203.0.113.9"),
            (WAN, "2001:db8:ff::2"),
            (WAN, "2001:db8:ff::9"),
        ]);
        if bytes.one_in(3) {
            self.tell(|node, _| {
                node.remove_neighbour(port, ip(address));
                Ok(())
            });
        } else {
            let last = bytes.u8();
            self.neighbour(port, address, last);
        }
    }

    fn change_port(&mut self, bytes: &mut Bytes<'_>) {
        let port = bytes.below(PORTS) as PortId;
        let address = bytes.of(&["192.0.2.77", "203.0.113.77", "2001:db8:1::77", "172.16.0.1"]);
        match bytes.below(8) {
            0..=2 => self.tell(|node, _| node.add_address(port, ip(address), 24)),
            3 => self.tell(|node, _| node.remove_address(port, ip(address))),
            _ if bytes.one_in(8) => {
                let off = if self.merges { LOSES } else { LOSES.with(FeatureSet::GENERIC_RECEIVE) };
                let features = bytes.pick(&[FeatureSet::NONE, FeatureSet::ALL.without(off)]);
                self.tell(|node, _| node.set_features(port, features));
            }
            4 | 5 => {
                let mtu = bytes.pick(&[1_500, 1_280, 600, 90]);
                self.tell(|node, _| node.set_mtu(port, mtu));
            }
            6 if bytes.one_in(4) => self.tell(|node, _| node.remove_port(3)),
            _ => self.tell(|node, _| node.tap(port, true)),
        }
    }

    fn change_connections(&mut self, bytes: &mut Bytes<'_>) {
        if bytes.one_in(4) {
            self.tell(|node, _| {
                node.flush_connections();
                Ok(())
            });
            return;
        }
        let number = usize::from(bytes.u8());
        let chosen = self.verified.node.connections().nth(number % 4).map_or(7, |connection| connection.id);
        self.tell(|node, _| node.delete_connection(chosen));
    }

    fn pass_time(&mut self, bytes: &mut Bytes<'_>) {
        let milliseconds =
            bytes.pick(&[1, 10, 200, 1_000, 2_000, 3_000, 10_000, 30_000, 120_000, 600_000, 500_000_000]);
        self.now = match bytes.below(8) {
            0 => Instant::from_nanos(self.now.as_nanos().saturating_sub(milliseconds * 1_000_000)),
            _ => self.now + Duration::from_millis(milliseconds),
        };
        if bytes.one_in(2) {
            let now = self.now;
            self.tell(|node, out| {
                node.poll(now, out);
                Ok(())
            });
        }
    }

    fn send(&mut self, bytes: &mut Bytes<'_>) {
        let port = bytes.pick(&[0, 1]);
        let Some(frame) = frames::fresh(bytes, port).into_iter().next() else { return };
        let (now, packet) = (self.now, frame.get(14..).unwrap_or_default());
        self.tell(|node, out| {
            let packet = Skb::from_slice(packet, node.pool()).expect("a short packet");
            node.send(now, packet, out);
            Ok(())
        });
    }

    /// A batch for a port.
    fn packets(&mut self, bytes: &mut Bytes<'_>) {
        let port = if bytes.one_in(50) { 9 } else { bytes.pick(&[0, 0, 0, 1, 1, 1, 2, 3]) };
        let count = match bytes.below(10) {
            0 => 1 + bytes.below(40),
            _ => 1 + bytes.below(5),
        };
        let mut batch = Vec::new();
        while batch.len() < count && !bytes.is_empty() {
            batch.extend(self.frames(bytes, port));
        }
        if bytes.one_in(24) {
            // Many alike, so that vectors and batches are full.
            batch = batch.iter().cycle().take(300).cloned().collect();
        }
        let wire = if port == 2 { 0 } else { port as PortId };
        self.push(bytes, wire, &batch);
        self.came.extend(batch.into_iter().map(|frame| (port, frame)));
        let surplus = self.came.len().saturating_sub(24);
        self.came.drain(..surplus);
    }

    fn frames(&mut self, bytes: &mut Bytes<'_>, port: usize) -> Vec<Vec<u8>> {
        let port = port.min(PORTS - 1);
        let kind = bytes.below(12);
        let recorded = if kind < 5 { &self.left } else { &self.came };
        let here: Vec<_> = recorded.iter().filter(|(other, _)| *other == port).collect();
        let made = match kind {
            0..=9 if here.is_empty() => None,
            0..=4 => {
                // The latest ones mostly: conversations go on.
                let (_, frame) = here[here.len() - 1 - bytes.below(here.len().min(6))];
                if bytes.one_in(5) {
                    frames::error(bytes, port, frame)
                } else {
                    frames::answer(bytes, port, frame)
                }
            }
            5..=9 => {
                let (_, frame) = here[here.len() - 1 - bytes.below(here.len().min(6))];
                frames::again(bytes, port, frame)
            }
            _ => None,
        };
        match made {
            Some(frame) => vec![frame],
            None => frames::fresh(bytes, port),
        }
    }

    fn push(&mut self, bytes: &mut Bytes<'_>, port: PortId, frames: &[Vec<u8>]) {
        let (now, pieces) = (self.now, bytes.below(4));
        let size = if bytes.one_in(8) { 100 + u16::from(bytes.u8()) * 6 } else { 0 };
        let partial = bytes.one_in(12);
        let verdict = if bytes.one_in(12) { said(bytes) } else { None };
        let made = |frame: &[u8], node: &mut Node| {
            let mut packet = Skb::from_slice(frame, node.pool()).expect("a short frame");
            packet.hot.gso_size = if frame.len() > 500 { size } else { 0 };
            if partial {
                // What has no such checksum stays as it is.
                let _ = leave_checksum(&mut packet, LinkType::ETHERNET, node.pool());
            }
            packet
        };
        let verdicts = vec![verdict; BATCH_PACKETS];
        let verdicts = |count: usize| HookVerdicts { by_packet: &verdicts[..count] };
        for chunk in frames.chunks(BATCH_PACKETS) {
            let Side { node, out } = &mut self.verified;
            let mut batch = PacketBatch::new();
            for frame in chunk {
                assert!(batch.push(made(frame, node)).is_ok());
            }
            node.push_with(now, port, &mut batch, verdicts(chunk.len()), out);
        }
        // Packets alone are merged with none, and leave otherwise than those of a batch.
        for chunk in frames.chunks(if self.merges { BATCH_PACKETS } else { 1 }) {
            let Side { node, out } = &mut self.alone;
            let mut batch = PacketBatch::new();
            for frame in chunk {
                let mut packet = made(frame, node);
                for piece in 0..pieces {
                    let at = (frame.len() * (piece + 1) / (pieces + 1)).min(frame.len().saturating_sub(1));
                    let mut rest = packet.split(at.min(packet.len() as usize) as u32).expect("a place in it");
                    packet.append(&mut rest, node.pool()).expect("as long as it was");
                }
                assert!(batch.push(packet).is_ok());
            }
            node.push_with(now, port, &mut batch, verdicts(chunk.len()), out);
        }
        self.compare();
    }

    /// Both did the same, and nothing that cannot be.
    fn compare(&mut self) {
        let (differences, _, _) = self.verified.node.take_differences();
        if let Some(first) = differences.first() {
            let packet = Frame(first.packet.clone());
            panic!(
                "{}\n{packet:?} at {:?} from {}\n{}",
                first.text,
                first.time,
                first.port,
                self.verified.node.source()
            );
        }
        let [first, second] = [&mut self.verified, &mut self.alone].map(taken);
        let dropped =
            [&self.verified, &self.alone].map(|side| side.node.counters().dropped.iter().collect::<Vec<_>>());
        assert_eq!(
            first.ports,
            second.ports,
            "in a batch and alone\n{dropped:?}\n{}",
            self.verified.node.source()
        );
        assert_eq!(first.local, second.local);
        assert_eq!((first.events, first.missed), (second.events, second.missed));
        for (port, frames) in first.ports.into_iter().enumerate() {
            for Frame(frame) in frames {
                let tagged = frame.get(12..14) == Some(&[0x81, 0]);
                self.left.push((if tagged { 2 } else { port }, frame));
            }
        }
        let surplus = self.left.len().saturating_sub(24);
        self.left.drain(..surplus);
        let (first, second) = (&mut self.verified.node, &mut self.alone.node);
        assert_eq!(first.rule_state(), second.rule_state());
        let numbers = |node: &Node| {
            let counters = node.counters();
            (counters.out, counters.local, counters.held, counters.created, counters.dropped.clone())
        };
        assert_eq!(numbers(first), numbers(second));
        assert!(first.connections().eq(second.connections()));
        for node in [first, second] {
            assert!(node.counters().conserved(), "{:#?}", node.counters());
            assert!(node.entries() <= self.config.max_connections as usize);
            assert!(node.programs() <= self.config.max_programs);
        }
    }

    /// When nothing comes any more, nothing stays.
    fn end(&mut self) {
        self.now += Duration::from_secs(1_000_000);
        let now = self.now;
        self.tell(|node, out| {
            node.poll(now, out);
            // Errors about what waited may wait themselves.
            while let Some(at) = node.next_timeout() {
                node.poll(at, out);
            }
            Ok(())
        });
        for node in [&self.verified.node, &self.alone.node] {
            assert_eq!(node.connections().count(), 0);
            assert_eq!(node.counters().held, 0);
            assert_eq!(node.entries(), 0);
        }
        // What is known of classes of flows stays until it is flushed.
        self.tell(|node, _| {
            node.flush_connections();
            Ok(())
        });
        for node in [&self.verified.node, &self.alone.node] {
            assert_eq!(node.programs(), 0);
        }
    }
}

/// What a hook says of flows that begin.
fn said(bytes: &mut Bytes<'_>) -> Option<HookVerdict> {
    let v4 = |text: &str| match ip(text) {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let port = bytes.one_in(2).then_some(5_000);
    Some(match bytes.below(5) {
        0 => HookVerdict { drop: true, ..HookVerdict::default() },
        1 => HookVerdict { mark: Some(1), ..HookVerdict::default() },
        2 => HookVerdict { destination: Some((v4("192.0.2.11"), port)), ..HookVerdict::default() },
        3 => HookVerdict { source: Some((v4("2001:db8:ff::77"), port)), ..HookVerdict::default() },
        _ => HookVerdict::default(),
    })
}

fn taken(side: &mut Side) -> Result {
    let Side { node, out } = side;
    let bytes = |packets: Vec<Skb>| packets.iter().map(|packet| Frame(packet.to_vec())).collect();
    let ports = (0..PORTS as PortId).map(|port| bytes(out.take_port(port))).collect();
    let local = out.take_local().iter().map(|packet| (packet.hot.in_port, Frame(packet.to_vec()))).collect();
    let (events, missed) = node.take_events();
    let _ = node.take_taps();
    Result { ports, local, events, missed }
}
