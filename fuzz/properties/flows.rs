//! Any packets at any times in a flow table: every packet is in one place, memory is bounded, and while no limit is hit
//! the records depend neither on the seed nor on how packets are grouped.
//!
//! The first byte sets the table up; each packet is link type, time, missing bytes, length (two bytes), bytes.
use netfast_capture::{FlowFeeder, FlowOptions};
use netfast_flow::{FlowConfig, FlowRecord};
use netfast_wire::LinkType;

/// Bytes that any table has: the wheel's buckets and the first pages.
const FIXED: usize = 1 << 20;

type Packet<'a> = (u64, LinkType, u32, &'a [u8]);

pub fn check(data: &[u8]) {
    let Some((&setup, rest)) = data.split_first() else { return };
    let max_flows = if setup & 1 != 0 { 1 + u32::from(setup >> 4) } else { 1 << 12 };
    let flow = FlowConfig {
        idle_ns: 1_000_000,
        active_ns: 5_000_000,
        closed_ns: 10_000,
        max_flows,
        seed: u64::from(setup),
        statistics: (setup & 2 != 0).then_some(3),
    };
    let options = FlowOptions { flow, inner: setup & 4 != 0, threads: 1 };
    let packets = packets(rest);
    let (at_once, evicted) = run(&packets, options, usize::MAX);
    if evicted == 0 {
        let other = FlowOptions { flow: FlowConfig { seed: !flow.seed, ..flow }, ..options };
        assert_eq!(at_once, run(&packets, other, 1).0, "records depend on the seed or on the batches");
    }
}

/// Times go on in small steps, back, or anywhere at all.
fn packets(mut rest: &[u8]) -> Vec<Packet<'_>> {
    let (mut packets, mut now) = (Vec::new(), 1_700_000_000_000_000_000u64);
    while let [link, step, operand, missing, high, low, bytes @ ..] = rest {
        let shift = u32::from(step & 63);
        let ticks = u64::from(*operand).checked_shl(shift).unwrap_or(0);
        now = match step >> 6 {
            0 | 1 => now.saturating_add(ticks),
            2 => now.saturating_sub(ticks),
            _ => ticks,
        };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(bytes.len());
        let (packet, behind) = bytes.split_at(length);
        let link = LinkType::SUPPORTED.get(usize::from(*link)).copied().unwrap_or(LinkType((*link).into()));
        packets.push((now, link, length as u32 + u32::from(*missing), packet));
        rest = behind;
    }
    packets
}

/// All records in order of their keys, and how many flows were evicted.
fn run(packets: &[Packet<'_>], options: FlowOptions, batch: usize) -> (Vec<FlowRecord>, u64) {
    let mut feeder = FlowFeeder::new(options).expect("limits in range");
    let limit = options.flow.max_flows as usize;
    let mut records = Vec::new();
    for packets in packets.chunks(batch) {
        feeder.push(packets.iter().copied());
        assert!(feeder.counters().conserved(), "{:?}", feeder.counters());
        assert!(feeder.len() <= limit);
        assert!(feeder.memory() <= FIXED + limit * 300, "{} bytes", feeder.memory());
        records.extend_from_slice(feeder.take_ended().records());
    }
    feeder.finish();
    records.extend_from_slice(feeder.take_ended().records());
    let counters = feeder.counters();
    assert!(counters.conserved() && feeder.is_empty(), "{counters:?}");
    assert_eq!(counters.packets, packets.len() as u64);
    let flows: u64 = counters.flows.ended.iter().sum();
    assert_eq!((flows, flows), (counters.flows.begun, records.len() as u64));
    let counted: u64 = records.iter().map(|record| record.packets[0] + record.packets[1]).sum();
    assert_eq!(counted, counters.in_flows);
    for record in &records {
        assert!(record.packets[0] > 0, "a flow whose first packet goes backward: {record:?}");
        assert!(!record.community_id().is_empty());
    }
    // The same key may begin anew at the same time, after a reset: the order among those is that of their end.
    records.sort_by_key(|record| record.key);
    let evicted = netfast_flow::EndReason::Evicted as usize;
    (records, counters.flows.ended[evicted])
}
