//! What a packet costs: `cargo bench -p netfast-datapath -- [FLOWS] [udp|tcp|nat]`; ns a packet, best and median of passes.
//!
//! Everything is on: connections, 100 rules, routes, a group of four next hops, link addresses, hop limit. Packets are made from bytes
//! in the loop.
use netfast_buf::PacketBatch;
use netfast_datapath::{Node, NodeConfig, Outputs, PortConfig, Tracking};
use netfast_fib::{NextHop, Route, RouteKind};
use netfast_time::Instant;
use std::fmt::Write;

const BATCH: usize = 256;
const PACKETS: usize = 1 << 20;

fn rules(count: usize, nat: bool) -> String {
    let mut text = String::from("table inet f { chain forwarding { type filter hook forward priority 0; policy drop; ct state established accept\n");
    for rule in 0..count {
        let _ = writeln!(text, "ip6 saddr 2001:db8:{:x}::/64 tcp dport {} drop", 0x7000 + rule, 10_000 + rule);
    }
    text.push_str("meta l4proto { tcp, udp } accept\n}\n}\n");
    if nat {
        text.push_str("table ip6 n { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade\n}\n}\n");
    }
    text
}

fn node(flows: usize, count: usize, nat: bool) -> (Node, Outputs) {
    let config = NodeConfig {
        max_connections: (flows as u32 * 2).max(1 << 16),
        tracking: Tracking::On,
        max_events: 0,
        seed: 7,
        ..NodeConfig::default()
    };
    let mut node = Node::new(config).unwrap();
    let mut out = Outputs::new();
    let mut lan = PortConfig::new("lan", [2, 0, 0, 0, 0, 1]);
    lan.addresses = vec![("2001:db8::1".parse().unwrap(), 64)];
    let mut wan = PortConfig::new("wan", [2, 0, 0, 0, 0, 2]);
    wan.addresses = vec![("2001:db8:ff::1".parse().unwrap(), 64)];
    let (lan, wan) = (node.add_port(lan).unwrap(), node.add_port(wan).unwrap());
    let mut hops = vec![];
    for hop in 2..6u16 {
        let address = format!("2001:db8:ff::{hop}").parse().unwrap();
        node.set_neighbour(Instant::ZERO, wan, address, [2, 0, 0, 0, 1, hop as u8], &mut out).unwrap();
        hops.push(NextHop::via(wan, address).weighted(hop));
    }
    node.add_route(Route::new("2001:db8:1::/48".parse().unwrap(), RouteKind::Unicast(hops))).unwrap();
    let gateway = "2001:db8::2".parse().unwrap();
    node.set_neighbour(Instant::ZERO, lan, gateway, [2, 0, 0, 0, 2, 2], &mut out).unwrap();
    let back = RouteKind::Unicast(vec![NextHop::via(lan, gateway)]);
    node.add_route(Route::new("2001:db8::/48".parse().unwrap(), back)).unwrap();
    node.set_rules(netfast_filter::parse(&rules(count, nat), "rules").unwrap()).unwrap();
    (node, out)
}

fn packet(flow: u64, tcp: bool, reply: bool) -> [u8; 74] {
    let mut p = [0u8; 74];
    let (from, to) = ((0x2001_0db8_0000_0000u64, flow), (0x2001_0db8_0001_0000u64, flow.wrapping_mul(7)));
    let (src, dst) = if reply { (to, from) } else { (from, to) };
    p[..6].copy_from_slice(if reply { &[2, 0, 0, 0, 0, 2] } else { &[2, 0, 0, 0, 0, 1] });
    p[6..12].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
    (p[12], p[13], p[14], p[20], p[21]) = (0x86, 0xdd, 0x60, if tcp { 6 } else { 17 }, 64);
    p[19] = if tcp { 20 } else { 10 };
    p[22..30].copy_from_slice(&src.0.to_be_bytes());
    p[30..38].copy_from_slice(&src.1.to_be_bytes());
    p[38..46].copy_from_slice(&dst.0.to_be_bytes());
    p[46..54].copy_from_slice(&dst.1.to_be_bytes());
    let (sp, dp) = ((flow as u16).to_be_bytes(), 53u16.to_be_bytes());
    p[54..56].copy_from_slice(if reply { &dp } else { &sp });
    p[56..58].copy_from_slice(if reply { &sp } else { &dp });
    if tcp {
        (p[66], p[67], p[68], p[69]) = (0x50, 0x10, 0xff, 0xff);
    } else {
        p[59] = 10;
    }
    p
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let flows: usize = args.first().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let kind = args.get(1).map_or("udp", String::as_str);
    let count: usize = args.get(2).and_then(|text| text.parse().ok()).unwrap_or(100);
    let (tcp, nat) = (kind == "tcp", kind == "nat");
    let (mut node, mut out) = node(flows, count, nat);
    let length = if tcp { 74 } else { 64 };
    let mut batch = PacketBatch::new();
    let mut now = Instant::from_secs(10);
    let begun = std::time::Instant::now();
    for flow in 0..flows as u64 {
        for (flags, reply) in if tcp { &[(2u8, false), (18, true), (16, false)][..] } else { &[(0, false), (0, true), (0, false)][..] } {
            if nat && *reply {
                continue;
            }
            let mut bytes = packet(flow, tcp, *reply);
            if tcp {
                bytes[67] = *flags;
                let seq: u32 = if *flags == 2 { u32::MAX } else { 0 };
                let (seq, ack) = if *reply { (u32::MAX, 0u32) } else { (seq, 0) };
                bytes[58..62].copy_from_slice(&seq.to_be_bytes());
                bytes[62..66].copy_from_slice(&ack.to_be_bytes());
            }
            batch.push_slice(&bytes[..length], node.pool()).unwrap();
            node.push(now, u32::from(*reply), &mut batch, &mut out);
            out.recycle(node.pool());
        }
    }
    println!("{flows} flows begun: {:.0} ns a packet", begun.elapsed().as_nanos() as f64 / flows as f64 / 3.0);
    now = Instant::from_secs(13);
    let mut x = 88_172_645_463_325_252u64;
    let mut bytes = vec![0u8; PACKETS * length];
    for at in 0..PACKETS {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[at * length..][..length].copy_from_slice(&packet(x % flows as u64, tcp, false)[..length]);
    }
    let mut passes = vec![];
    for _ in 0..9 {
        let before = node.counters().cache.hits;
        let begun = std::time::Instant::now();
        for chunk in bytes.chunks(BATCH * length) {
            for bytes in chunk.chunks_exact(length) {
                batch.push_slice(bytes, node.pool()).unwrap();
            }
            node.push(now, 0, &mut batch, &mut out);
            out.recycle(node.pool());
        }
        passes.push((begun.elapsed().as_nanos() as f64 / PACKETS as f64, node.counters().cache.hits - before));
        now = now + netfast_time::Duration::from_millis(100);
    }
    passes.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!(
        "{kind} {flows} flows, {count} rules: best {:.1} median {:.1} ns a packet, hits {} of {PACKETS}, {} bytes a flow",
        passes[0].0, passes[4].0, passes[4].1, node.flow_memory() / node.entries().max(1)
    );
    println!("{:?}", node.counters().cache);
}
