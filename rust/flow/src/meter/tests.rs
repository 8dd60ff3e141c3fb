use super::*;
use crate::entry::FlowState;
use crate::key::{FlowKey, NoFlow};
use netfast_wire::{Frame, Layers, Limits, LinkType, dissect};
use proptest::prelude::*;
use std::collections::HashMap;

const SECOND: u64 = 1_000_000_000;

/// IPv4 packet of `protocol` between hosts by number; `rest` is the transport header and payload.
fn packet(src: u8, dst: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((20 + rest.len() as u16).to_be_bytes());
    bytes.extend([0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, src, 10, 0, 0, dst]);
    bytes.extend(rest);
    bytes
}

fn tcp(src: (u8, u16), dst: (u8, u16), flags: u8) -> Vec<u8> {
    let mut rest = vec![];
    rest.extend(src.1.to_be_bytes());
    rest.extend(dst.1.to_be_bytes());
    rest.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    packet(src.0, dst.0, 6, &rest)
}

fn udp(src: (u8, u16), dst: (u8, u16)) -> Vec<u8> {
    let mut rest = vec![];
    rest.extend(src.1.to_be_bytes());
    rest.extend(dst.1.to_be_bytes());
    rest.extend([0, 8, 0, 0]);
    packet(src.0, dst.0, 17, &rest)
}

fn read(bytes: &[u8]) -> Layers {
    let mut layers = Layers::default();
    dissect(&Frame::whole(bytes, LinkType::RAW), &Limits::default(), &mut layers, &mut ());
    layers
}

/// A meter and the time of its clock.
struct Meter(FlowMeter, Seen);

impl Meter {
    fn new(config: FlowConfig) -> Self {
        Self(FlowMeter::new(config).unwrap(), Seen::default())
    }

    fn feed(&mut self, time_ns: u64, bytes: &[u8]) {
        self.1.now_ns = self.1.now_ns.max(time_ns);
        let mut packet = FlowPacket { time_ns, wire_len: bytes.len() as u32, ..Default::default() };
        packet.seen(self.1);
        packet.fill(&read(bytes)).unwrap();
        packet.hash = packet.key.seeded_hash(self.0.seed());
        self.0.push(&[packet]);
    }

    fn records(mut self) -> Vec<FlowRecord> {
        while !self.0.finish(self.1, 3) {}
        let mut out = vec![];
        self.0.take_ended(&mut out);
        let packets: u64 = out.iter().map(|record| record.packets[0] + record.packets[1]).sum();
        assert_eq!(packets, self.0.counts().packets, "every packet is in exactly one flow");
        out
    }
}

#[test]
fn a_connection_from_syn_to_fin_is_one_record() {
    let (c, s) = ((1, 1000), (2, 80));
    let mut meter = Meter::new(FlowConfig::default());
    let script =
        [(c, s, 2), (s, c, 0x12), (c, s, 0x10), (c, s, 0x18), (s, c, 0x11), (c, s, 0x11), (s, c, 0x10)];
    for (i, (from, to, flags)) in script.into_iter().enumerate() {
        meter.feed(i as u64, &tcp(from, to, flags));
    }
    let records = meter.records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.packets, record.tcp_flags), ([4, 3], [0x1b, 0x13]));
    assert_eq!((record.state, record.end_reason), (FlowState::Closed, EndReason::Fin));
    assert_eq!((record.src.port, record.dst.port), (Some(1000), Some(80)));
    assert_eq!((record.bytes, record.first_ns, record.last_ns), ([160, 120], 0, 6));
}

#[test]
fn ports_used_again_after_a_close_are_another_flow() {
    let (c, s) = ((1, 1000), (2, 80));
    let mut meter = Meter::new(FlowConfig::default());
    for (from, to, flags) in [(c, s, 2), (s, c, 0x14), (c, s, 2), (s, c, 0x12)] {
        meter.feed(1, &tcp(from, to, flags));
    }
    let records = meter.records();
    let ends: Vec<_> = records.iter().map(|r| (r.state, r.end_reason)).collect();
    assert_eq!(ends, [(FlowState::Reset, EndReason::Rst), (FlowState::SynReceived, EndReason::Eof)]);
}

#[test]
fn a_gap_of_the_idle_timeout_is_one_flow_and_a_longer_one_two() {
    for (gap, flows) in [(120 * SECOND, 1), (120 * SECOND + 1, 2)] {
        let mut meter = Meter::new(FlowConfig::default());
        meter.feed(0, &udp((1, 5), (2, 6)));
        meter.feed(gap, &udp((2, 6), (1, 5)));
        assert_eq!(meter.records().len(), flows);
    }
}

#[test]
fn a_long_conversation_is_cut_at_the_active_timeout() {
    let mut meter = Meter::new(FlowConfig::default());
    for i in 0..=61 {
        meter.feed(i * 60 * SECOND, &udp((1, 5), (2, 6)));
    }
    let ends: Vec<_> = meter.records().iter().map(|r| (r.packets[0], r.end_reason)).collect();
    assert_eq!(ends, [(31, EndReason::Active), (31, EndReason::Eof)]);
}

#[test]
fn question_and_answer_of_an_echo_are_one_flow_by_identifier() {
    let mut meter = Meter::new(FlowConfig::default());
    for (src, dst, kind, id) in [(1, 2, 8, 7), (2, 1, 0, 7), (1, 2, 8, 9)] {
        meter.feed(1, &packet(src, dst, 1, &[kind, 0, 0, 0, 0, id, 0, 1]));
    }
    let records = meter.records();
    assert_eq!(records.len(), 2);
    assert_eq!((records[0].packets, records[0].dst.port, records[0].src.port), ([1, 1], Some(0x800), None));
}

#[test]
fn at_the_limit_the_longest_unused_is_evicted_and_no_packet_is_lost() {
    let mut meter = Meter::new(FlowConfig { max_flows: 4, ..Default::default() });
    for i in 0..20u16 {
        meter.feed(u64::from(i), &udp((1, i + 1), (2, 53)));
    }
    assert_eq!((meter.0.len(), meter.0.counts().ended[EndReason::Evicted as usize]), (4, 16));
    assert_eq!(meter.records().len(), 20);
}

#[test]
fn what_was_seen_before_the_clock_went_back_is_over() {
    let mut meter = Meter::new(FlowConfig::default());
    meter.feed(u64::MAX, &udp((1, 5), (2, 6)));
    meter.feed(u64::MAX, &udp((1, 7), (2, 8)));
    meter.1 = Seen { now_ns: 0, era: 1 };
    for second in 0..10 {
        meter.feed(second * SECOND, &udp((1, 7), (2, 8)));
    }
    let ends: Vec<_> = meter.records().iter().map(|r| (r.packets[0], r.end_reason)).collect();
    assert_eq!(ends, [(1, EndReason::Idle), (1, EndReason::Idle), (10, EndReason::Eof)]);
    // So it is when no packet of the new era came to this table.
    let mut meter = Meter::new(FlowConfig::default());
    meter.feed(5, &udp((1, 5), (2, 6)));
    meter.1 = Seen { now_ns: 6, era: 1 };
    assert_eq!(meter.records()[0].end_reason, EndReason::Idle);
}

#[test]
fn flows_of_the_first_vector_leave_in_time_on_any_clock() {
    for start in [0, 3600 * SECOND, 1_700_000_000 * SECOND] {
        let mut meter = Meter::new(FlowConfig::default());
        let mut packets = vec![];
        for port in 1..=100 {
            let mut packet = FlowPacket { time_ns: start, now_ns: start, ..Default::default() };
            packet.fill(&read(&udp((1, port), (2, 53)))).unwrap();
            packet.hash = packet.key.seeded_hash(meter.0.seed());
            packets.push(packet);
        }
        meter.0.push(&packets);
        meter.0.advance(start + 120 * SECOND);
        assert_eq!(meter.0.len(), 100);
        meter.0.advance(start + 130 * SECOND);
        assert_eq!(meter.0.len(), 0, "from {start}");
    }
}

#[test]
fn tables_that_share_a_limit_use_all_of_it() {
    let budget = Arc::new(FlowBudget::new(10));
    let config = FlowConfig { max_flows: 10, ..Default::default() };
    let mut tables =
        [0, 1].map(|_| Meter(FlowMeter::sharing(config, budget.clone(), 2).unwrap(), Seen::default()));
    for port in 1..=10 {
        tables[0].feed(u64::from(port), &udp((1, port), (2, 53)));
    }
    assert_eq!(tables[0].0.counts().ended, [0; 6]);
    // A table without flows gets one all the same; the next ones take turns.
    for port in 1..=3 {
        tables[1].feed(20, &udp((1, port), (2, 53)));
    }
    assert_eq!((tables[0].0.len(), tables[1].0.len()), (10, 1));
    tables[0].feed(500 * SECOND, &udp((1, 1), (2, 53)));
    tables[1].feed(500 * SECOND, &udp((1, 9), (2, 53)));
    tables[1].feed(500 * SECOND, &udp((1, 8), (2, 53)));
    assert_eq!((tables[0].0.len(), tables[1].0.len()), (1, 2));
    let [first, second] = tables;
    assert_eq!((first.records().len(), second.records().len()), (11, 5));
}

#[test]
fn a_connection_that_goes_on_after_the_active_timeout_is_still_closed_by_its_second_fin() {
    let (c, s) = ((1, 1000), (2, 80));
    let mut meter = Meter::new(FlowConfig { active_ns: 30 * SECOND, ..Default::default() });
    let script = [
        (0, c, s, 2),
        (1, s, c, 0x12),
        (2, c, s, 0x10),
        (20, c, s, 0x11),
        (40, s, c, 0x10),
        (41, s, c, 0x11),
    ];
    for (second, from, to, flags) in script {
        meter.feed(second * SECOND, &tcp(from, to, flags));
    }
    let ends: Vec<_> = meter.records().iter().map(|r| (r.state, r.end_reason, r.tcp_flags)).collect();
    let first = (FlowState::Closing, EndReason::Active, [0x13, 0x12]);
    assert_eq!(ends, [first, (FlowState::Closed, EndReason::Fin, [0x11, 0])]);
}

#[test]
fn at_the_end_of_time_a_closed_connection_is_still_one_record() {
    let (c, s) = ((1, 1000), (2, 80));
    let mut meter = Meter::new(FlowConfig::default());
    for (from, to, flags) in [(c, s, 2), (s, c, 0x14), (c, s, 0x10), (c, s, 0x10)] {
        meter.feed(u64::MAX, &tcp(from, to, flags));
    }
    let ends: Vec<_> = meter.records().iter().map(|r| (r.packets, r.end_reason)).collect();
    assert_eq!(ends, [([3, 1], EndReason::Rst)]);
}

#[test]
fn idle_flows_leave_the_table_while_others_go_on() {
    let mut meter = Meter::new(FlowConfig::default());
    for i in 0..1000u16 {
        meter.feed(0, &udp((1, i + 1), (2, 53)));
    }
    for second in 0..200 {
        meter.feed(second * SECOND, &udp((3, 1), (4, 2)));
    }
    assert_eq!(meter.0.len(), 1);
}

#[test]
fn memory_of_a_flow_stays_below_200_bytes() {
    let mut meter = Meter::new(FlowConfig::default());
    for n in 0..100_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        meter.feed(1, &udp((a, u16::from_be_bytes([b, c])), (9, 53)));
    }
    let each = meter.0.memory() / meter.0.len();
    assert!(each <= 200, "{each} bytes a flow");
}

#[test]
fn what_is_no_flow_says_why() {
    let mut flow = FlowPacket::default();
    assert_eq!(flow.fill(&read(&[0x45])), Err(NoFlow::Malformed));
    let mut cut = Layers::default();
    let bytes = udp((1, 5), (2, 6));
    let frame = Frame { bytes: &bytes[..22], wire_len: 28, link: LinkType::RAW };
    dissect(&frame, &Limits::default(), &mut cut, &mut ());
    assert_eq!(flow.fill(&cut), Err(NoFlow::Truncated));
}

/// The same conversations, by an obvious map of the last flow of each key.
fn oracle(packets: &[FlowPacket], config: &FlowConfig) -> Vec<(FlowKey, u64, u64, u64)> {
    let mut open: HashMap<FlowKey, (u64, u64, u64)> = HashMap::new();
    let mut done = vec![];
    for packet in packets {
        let flow = open.entry(packet.key).or_insert((packet.now_ns, packet.now_ns, 0));
        if packet.now_ns - flow.1 > config.idle_ns || packet.now_ns - flow.0 > config.active_ns {
            done.push((packet.key, flow.0, flow.1, flow.2));
            *flow = (packet.now_ns, packet.now_ns, 0);
        }
        flow.1 = packet.now_ns;
        flow.2 += 1;
    }
    done.extend(open.into_iter().map(|(key, flow)| (key, flow.0, flow.1, flow.2)));
    done.sort();
    done
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn records_depend_neither_on_batches_nor_on_the_seed(
        steps in proptest::collection::vec((0u64..400, 0u16..40), 1..400),
        batch in 1usize..200, seed: u64,
    ) {
        let config = FlowConfig { idle_ns: 1000, active_ns: 4000, seed, ..FlowConfig::default() };
        let mut meter = FlowMeter::new(config).unwrap();
        let mut now_ns = 0;
        let packets: Vec<_> = steps.iter().map(|&(step, port)| {
            now_ns += step;
            let mut packet = FlowPacket { time_ns: now_ns, now_ns, ..Default::default() };
            packet.fill(&read(&udp((1, port), (2, 53)))).unwrap();
            packet.hash = packet.key.seeded_hash(meter.seed());
            packet
        }).collect();
        for batch in packets.chunks(batch) {
            meter.push(batch);
        }
        while !meter.finish(Seen { now_ns, era: 0 }, 7) {}
        let mut records = vec![];
        meter.take_ended(&mut records);
        let mut got: Vec<_> = records.iter().map(|r| (r.key, r.first_ns, r.last_ns, r.packets[0] + r.packets[1])).collect();
        got.sort();
        prop_assert_eq!(got, oracle(&packets, &config));
        prop_assert_eq!(meter.counts().ended.iter().sum::<u64>(), meter.counts().begun);
    }
}
