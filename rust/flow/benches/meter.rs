//! Time a packet in the flow table, by number of flows, and time a flow from its beginning to its record.
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use netfast_flow::{FlowConfig, FlowMeter, FlowPacket, Seen};
use netfast_wire::{Frame, Layers, Limits, LinkType, dissect};
use std::hint::black_box;

const VECTOR: usize = 64;

/// UDP packets of `flows` flows in an order that no cache foresees.
fn packets(flows: u32, count: u32) -> Vec<FlowPacket> {
    let mut layers = Layers::default();
    let one = |n: u32| {
        let flow = (u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 % flows;
        let [a, b, c, d] = flow.to_be_bytes();
        let bytes =
            [0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, a, b, 1, 192, 0, 2, 1, c, d, 0, 53, 0, 8, 0, 0];
        dissect(&Frame::whole(&bytes, LinkType::RAW), &Limits::default(), &mut layers, &mut ());
        let now_ns = u64::from(n) * 1000;
        let mut packet = FlowPacket { time_ns: now_ns, now_ns, wire_len: 42, ..FlowPacket::default() };
        packet.fill(&layers).expect("the packet is whole");
        packet
    };
    (0..count).map(one).collect()
}

fn push(meter: &mut FlowMeter, packets: &mut [FlowPacket]) {
    for vector in packets.chunks_mut(VECTOR) {
        let seed = meter.seed();
        vector.iter_mut().for_each(|packet| packet.hash = packet.key.seeded_hash(seed));
        meter.push(vector);
    }
}

fn meter() -> FlowMeter {
    FlowMeter::new(FlowConfig::default()).expect("the limits are in range")
}

fn known_flows(c: &mut Criterion) {
    let mut group = c.benchmark_group("push");
    for flows in [100, 10_000, 100_000, 1_000_000] {
        let mut packets = packets(flows, 4 * flows.max(100_000));
        let mut meter = meter();
        push(&mut meter, &mut packets);
        // Again and again at the same times: no flow ends.
        let some = packets.len().min(100_000);
        group.throughput(Throughput::Elements(some as u64));
        group.bench_function(BenchmarkId::from_parameter(flows), |b| {
            b.iter(|| push(&mut meter, black_box(&mut packets[..some])));
        });
    }
    group.finish();
}

fn new_flows(c: &mut Criterion) {
    let packets = packets(1 << 30, 100_000);
    let mut group = c.benchmark_group("flow");
    group.throughput(Throughput::Elements(packets.len() as u64));
    group.bench_function("begin and end", |b| {
        let fresh = || (meter(), packets.clone());
        b.iter_batched(
            fresh,
            |(mut meter, mut packets)| {
                push(&mut meter, &mut packets);
                while !meter.finish(Seen { now_ns: 1 << 40, era: 0 }, 8192) {}
                let mut records = Vec::new();
                meter.take_ended(&mut records);
                assert!(records.len() > 90_000);
                records
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, known_flows, new_flows);
criterion_main!(benches);
