//! How long one packet takes, for filters that people use, on packets that they keep and that they drop.
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use netfast_bpf::Filter;

const ETHERNET: u16 = 1;

/// An IPv4 packet with a transport header of the given protocol and ports, on Ethernet.
fn ipv4(protocol: u8, source: u16, destination: u16) -> Vec<u8> {
    let mut packet = vec![0u8; 74];
    packet[12..14].copy_from_slice(&[0x08, 0x00]);
    packet[14] = 0x45;
    packet[23] = protocol;
    packet[26..30].copy_from_slice(&[10, 0, 0, 1]);
    packet[30..34].copy_from_slice(&[192, 0, 2, 7]);
    packet[34..36].copy_from_slice(&source.to_be_bytes());
    packet[36..38].copy_from_slice(&destination.to_be_bytes());
    packet[47] = 0x12;
    packet
}

fn ipv6(protocol: u8, source: u16, destination: u16) -> Vec<u8> {
    let mut packet = vec![0u8; 94];
    packet[12..14].copy_from_slice(&[0x86, 0xdd]);
    packet[14] = 0x60;
    packet[20] = protocol;
    packet[54..56].copy_from_slice(&source.to_be_bytes());
    packet[56..58].copy_from_slice(&destination.to_be_bytes());
    packet
}

fn matching(c: &mut Criterion) {
    let packets =
        [("tcp4", ipv4(6, 50_000, 443)), ("udp4", ipv4(17, 50_000, 53)), ("tcp6", ipv6(6, 50_000, 443))];
    let expressions = [
        ("ip", "ip"),
        ("tcp_port_443", "tcp port 443"),
        ("port_53", "port 53"),
        ("host", "host 192.0.2.7"),
        ("syn_ack", "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn|tcp-ack"),
        ("long", "not (arp or icmp or icmp6) and (net 192.0.2.0/24 or net 2001:db8::/32) and not port 22"),
    ];
    let mut group = c.benchmark_group("matches");
    for (name, expression) in expressions {
        let filter = Filter::compile(expression, ETHERNET).expect("a valid expression");
        for (kind, packet) in &packets {
            let id = format!("{name}/{kind}");
            group.bench_function(id, |b| b.iter(|| filter.matches(black_box(packet), packet.len() as u32)));
        }
    }
    group.finish();
}

fn compiling(c: &mut Criterion) {
    let many: Vec<String> = (0..100).map(|i| format!("host 192.0.2.{i}")).collect();
    let many = many.join(" or ");
    let mut group = c.benchmark_group("compile");
    for (name, expression) in [("tcp_port_443", "tcp port 443"), ("hundred_hosts", &many)] {
        group.bench_function(name, |b| {
            b.iter_batched(|| expression, |text| Filter::compile(text, ETHERNET), BatchSize::SmallInput)
        });
    }
    group.finish();
}

criterion_group!(benches, matching, compiling);
criterion_main!(benches);
