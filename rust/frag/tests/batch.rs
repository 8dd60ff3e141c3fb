//! Packets that come in batches are told as those that come one by one.
mod support;

use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_frag::{Outcome, Reassembler, ReassemblyConfig};
use netfast_time::{Duration, Instant};
use proptest::prelude::*;
use support::{Datagram, bytes, ethernet};

const SIZE: usize = 400;

/// What one packet is made of: its datagram and piece, and whether anything about it is unusual.
type Step = (u8, u8, u8);

/// Pieces of six datagrams of both families, whole packets, atomic fragments, datagrams of which a piece is a fragment again,
/// and what cannot be used.
fn frame(&(number, piece, odd): &Step) -> Vec<u8> {
    let v6 = number % 2 == 1;
    let made = Datagram::family(v6, u32::from(number / 4), bytes(3 * SIZE + 5, number)).from(1 + number % 3);
    let start = usize::from(piece) * SIZE;
    let end = (start + SIZE).min(made.data.len());
    let packet = match odd {
        0 => made.whole(),
        1 => made.claim(0, &made.data, false),
        2 => made.claim(start, &made.data[start..end - 1], true),
        3 if v6 => {
            let inside = made.fragments(SIZE).swap_remove(usize::from(piece))[40..].to_vec();
            Datagram { protocol: 44, id: 99, ..made }.claim(0, &inside, false)
        }
        _ => made.fragment(start, end),
    };
    ethernet(&packet)
}

fn told(outcome: &Outcome) -> (u8, Vec<u8>, String) {
    let (kind, packet, more): (u8, &Skb, String) = match outcome {
        Outcome::Held => return (0, Vec::new(), String::new()),
        Outcome::NotFragment(packet) => (1, packet, String::new()),
        Outcome::Atomic(packet) => (2, packet, String::new()),
        Outcome::Complete(made) => {
            let rest = (made.key, made.fragments, made.largest_fragment, made.began);
            (3, &made.packet, format!("{rest:?}"))
        }
        Outcome::Dropped(dropped) => {
            (4, &dropped.packet, format!("{:?} {:?}", dropped.reason, dropped.error))
        }
    };
    (kind, packet.to_vec(), format!("{:?} {more}", packet.hot))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn batches_are_as_packets_one_by_one(
        steps in proptest::collection::vec((0u8..6, 0u8..4, 0u8..24), 1..200),
        most in 1usize..70,
    ) {
        let config = ReassemblyConfig { tombstone: Duration::from_micros(20), ..ReassemblyConfig::default() };
        let [mut one, mut other] = [(); 2].map(|()| Reassembler::new(config.clone()));
        let (mut pool, mut batch) = (PacketPool::default(), PacketBatch::new());
        let (mut singly, mut together) = (Vec::new(), vec![Outcome::Held]);
        let mut now = Instant::from_secs(1);
        for steps in steps.chunks(most) {
            now += Duration::from_micros(15);
            for frame in steps.iter().map(frame) {
                let packet = Skb::from_slice(&frame, &mut pool).expect("short");
                singly.push(one.handle_packet(now, 7, packet, &mut pool));
                prop_assert!(batch.push_slice(&frame, &mut pool).is_ok());
            }
            other.handle_batch(now, 7, &mut batch, &mut pool, &mut together);
            prop_assert!(batch.is_empty());
        }
        singly.retain(|outcome| !matches!(outcome, Outcome::Held));
        // What stood in the list stands there yet.
        let expected: Vec<_> = std::iter::once(&Outcome::Held).chain(&singly).map(told).collect();
        prop_assert_eq!(together.iter().map(told).collect::<Vec<_>>(), expected);
        prop_assert_eq!(one.counters(), other.counters());
        prop_assert!(one.counters().is_conserved());
    }
}
