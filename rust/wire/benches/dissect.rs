//! Time a packet for dissection and for verifying its checksums, by kind of packet.
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use netfast_wire::checksum::{checksum, verify_l4};
use netfast_wire::{Frame, Layers, Limits, LinkType, Quick, dissect, dissect_innermost, quick};
use std::hint::black_box;

const ETHERNET_V4: &[u8] = &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
const ETHERNET_V6: &[u8] = &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];

fn ipv4(protocol: u8, rest: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + rest.len() as u16).to_be_bytes();
    let head = [0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    [&head, rest].concat()
}

fn ipv6(next: u8, rest: &[u8]) -> Vec<u8> {
    let [high, low] = (rest.len() as u16).to_be_bytes();
    let mut head = vec![0x60, 0, 0, 0, high, low, next, 64];
    head.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    head.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    [&head, rest].concat()
}

fn tcp(payload: usize) -> Vec<u8> {
    let mut bytes = vec![0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0];
    bytes.resize(20 + payload, 7);
    bytes
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    let [len_high, len_low] = (8 + payload.len() as u16).to_be_bytes();
    [&[0x30, 0x39, high, low, len_high, len_low, 0, 1], payload].concat()
}

fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let with = |ethernet: &[u8], packet: &[u8]| [ethernet, packet].concat();
    let v4_tcp = with(ETHERNET_V4, &ipv4(6, &tcp(512)));
    // Hop-by-hop options, destination options, fragment header of an atomic fragment, UDP.
    let chain = [
        &[60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 9],
        &udp(53, &[0; 32])[..],
    ];
    let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0], &v4_tcp[..]].concat();
    vec![
        ("ipv4-udp", with(ETHERNET_V4, &ipv4(17, &udp(53, &[0; 512])))),
        ("ipv6-tcp", with(ETHERNET_V6, &ipv6(6, &tcp(512)))),
        ("ipv6-three-extension-headers", with(ETHERNET_V6, &ipv6(0, &chain.concat()))),
        ("ipv4-vxlan-ipv4-tcp", with(ETHERNET_V4, &ipv4(17, &udp(4789, &vxlan)))),
        ("ipv4-tcp", v4_tcp),
    ]
}

/// Packets of 64 bytes and more, one after the other, so that no branch is learnt from a single packet.
fn plain(c: &mut Criterion) {
    let mut group = c.benchmark_group("quick");
    let with = |ethernet: &[u8], packet: &[u8]| [ethernet, packet].concat();
    let mut v4 = ipv4(17, &udp(53, &[0; 22]));
    let sum = checksum(&v4[..20]);
    v4[10..12].copy_from_slice(&sum.to_be_bytes());
    for (name, frame) in [
        ("ipv6-udp-64", with(ETHERNET_V6, &ipv6(17, &udp(53, &[0; 2])))),
        ("ipv6-tcp-74", with(ETHERNET_V6, &ipv6(6, &tcp(0)))),
        ("ipv4-udp-64", with(ETHERNET_V4, &v4)),
    ] {
        // What a flow key is made of; a caller has it in registers.
        let key = |found: Quick| {
            found.src[0]
                ^ found.src[1]
                ^ found.dst[0]
                ^ found.dst[1]
                ^ u64::from(found.src_port ^ found.dst_port)
        };
        group.bench_function(name, |b| b.iter(|| quick(black_box(&frame)).map(key)));
    }
    group.finish();
}

fn dissection(c: &mut Criterion) {
    let limits = Limits::default();
    let mut group = c.benchmark_group("dissect");
    for (name, bytes) in packets() {
        let frame = Frame::whole(&bytes, LinkType::ETHERNET);
        let mut layers = Layers::default();
        group.bench_function(BenchmarkId::new("outermost", name), |b| {
            b.iter(|| dissect(black_box(&frame), &limits, black_box(&mut layers), &mut ()));
        });
        group.bench_function(BenchmarkId::new("innermost", name), |b| {
            b.iter(|| dissect_innermost(black_box(&frame), &limits, black_box(&mut layers), &mut ()));
        });
        dissect(&frame, &limits, &mut layers, &mut ());
        group.bench_function(BenchmarkId::new("checksum", name), |b| {
            b.iter(|| verify_l4(black_box(&frame), black_box(&layers)));
        });
    }
    group.finish();
}

criterion_group!(benches, plain, dissection);
criterion_main!(benches);
