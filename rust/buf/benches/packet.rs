//! Time a packet for making one of bytes, changing its headers, moving it and letting it go.
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netfast_buf::{BATCH_PACKETS, PacketBatch, PacketPool, Skb};
use std::hint::black_box;

fn life(c: &mut Criterion) {
    let mut group = c.benchmark_group("packet");
    for (name, length) in [("64 B", 64), ("1500 B", 1_500)] {
        let bytes = vec![7u8; length];
        let mut pool = PacketPool::default();
        group.bench_function(format!("from_slice, write, recycle/{name}"), |b| {
            b.iter(|| {
                let mut packet = Skb::from_slice(black_box(&bytes), &mut pool).expect("short");
                packet.head_mut(54, &mut pool).expect("long enough")[21] -= 1;
                pool.recycle(black_box(packet));
            });
        });
    }
    let mut pool = PacketPool::default();
    let mut packet = Skb::from_slice(&[7; 64], &mut pool).expect("short");
    group.bench_function("push and pop 40 B", |b| {
        b.iter(|| {
            packet.push(40, &mut pool).expect("short")[0] = 0x60;
            black_box(&mut packet).pop(40).expect("just pushed");
        });
    });
    group.finish();
}

/// 256 packets at a time, as the datapath has them: they do not fit the first-level cache.
fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(BATCH_PACKETS as u64));
    let bytes = [7u8; 64];
    let (mut pool, mut from, mut to) = (PacketPool::default(), PacketBatch::new(), PacketBatch::new());
    group.bench_function("push_slice, write, recycle", |b| {
        b.iter(|| {
            fill(&mut from, black_box(&bytes), &mut pool);
            for packet in from.packets_mut() {
                packet.headers_mut(54, &mut pool).expect("long enough")[21] -= 1;
            }
            pool.recycle_batch(&mut from);
        });
    });
    let mut list = Vec::new();
    group.bench_function("push_slice, write, take, recycle", |b| {
        b.iter(|| {
            fill(&mut from, black_box(&bytes), &mut pool);
            for packet in from.packets_mut() {
                packet.headers_mut(54, &mut pool).expect("long enough")[21] -= 1;
            }
            list.extend(from.packets_mut().iter_mut().map(std::mem::take));
            from.clear();
            pool.recycle_all(&mut list);
        });
    });
    fill(&mut from, &bytes, &mut pool);
    group.bench_function("move to another", |b| {
        b.iter(|| {
            for packet in from.drain() {
                to.push(packet).expect("as many as the other");
            }
            std::mem::swap(&mut from, &mut to);
        });
    });
    group.finish();
}

fn fill(batch: &mut PacketBatch, bytes: &[u8], pool: &mut PacketPool) {
    for _ in 0..BATCH_PACKETS {
        batch.push_slice(bytes, pool).expect("as many as it takes");
    }
}

criterion_group!(benches, life, batches);
criterion_main!(benches);
