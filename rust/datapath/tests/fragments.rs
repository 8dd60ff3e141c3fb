//! Fragments: made where a packet is too long, followed where they come by, held in bounds.
mod common;
use common::*;
use netfast_datapath::{DropReason, NodeConfig, Reassembly};
use netfast_wire::checksum::checksum;

/// A UDP datagram from the client with IPv4 options, not marked as not to be fragmented.
fn datagram(options: &[u8], payload: usize) -> Vec<u8> {
    let body: Vec<u8> = (0..payload).map(|at| at as u8).collect();
    let plain = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), &body);
    let mut frame = plain[..34].to_vec();
    frame.extend(options);
    frame[14] = 0x45 + (options.len() / 4) as u8;
    frame[16..18].copy_from_slice(&((20 + options.len() + 8 + payload) as u16).to_be_bytes());
    frame[20] = 0;
    sum(&mut frame);
    frame.extend(&plain[34..]);
    frame
}

fn sum(frame: &mut [u8]) {
    let end = 14 + usize::from(frame[14] & 15) * 4;
    frame[24..26].fill(0);
    let value = checksum(&frame[14..end]);
    frame[24..26].copy_from_slice(&value.to_be_bytes());
}

/// Offset, whether more follow, options, payload.
fn pieces(frames: &[Vec<u8>]) -> Vec<(usize, bool, Vec<u8>, Vec<u8>)> {
    let piece = |frame: &Vec<u8>| {
        let end = 14 + usize::from(frame[14] & 15) * 4;
        assert_eq!(checksum(&frame[14..end]), 0, "{frame:02x?}");
        assert_eq!(usize::from(u16::from_be_bytes([frame[16], frame[17]])), frame.len() - 14);
        let field = u16::from_be_bytes([frame[20], frame[21]]);
        let (options, payload) = (frame[34..end].to_vec(), frame[end..].to_vec());
        (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0, options, payload)
    };
    frames.iter().map(piece).collect()
}

#[test]
fn what_is_too_long_and_may_be_is_fragmented() {
    let mut router = Router::new("");
    // A router alert, which each fragment has, and a time stamp, which the first has alone (RFC 791 3.1).
    let options = [0x94, 4, 0, 0, 68, 8, 5, 0, 1, 2, 3, 4];
    for options in [&[][..], &options] {
        let frame = datagram(options, 3_000);
        let [_, wan] = router.push_all(LAN, std::slice::from_ref(&frame));
        let pieces = pieces(&wan);
        assert_eq!(pieces.len(), 3);
        let mut whole = Vec::new();
        for (at, (offset, more, found, payload)) in pieces.into_iter().enumerate() {
            assert_eq!((offset, more), (whole.len(), at < 2));
            assert!(payload.len() + 20 + options.len() <= 1_500);
            assert!(!more || payload.len() % 8 == 0 && payload.len() + 28 + options.len() > 1_500);
            match options {
                [] => assert!(found.is_empty()),
                _ if at == 0 => assert_eq!(found, options),
                _ => assert_eq!(found, [0x94, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]),
            }
            whole.extend(payload);
        }
        assert_eq!(whole, frame[34 + options.len()..]);
    }
    assert_eq!(router.node.counters().created, 4);
    assert_eq!(router.node.counters().out, 6);
}

#[test]
fn a_fragment_is_fragmented_further() {
    let mut router = Router::new("");
    let mut frame = datagram(&[], 2_000);
    frame[20..22].copy_from_slice(&(0x2000u16 | 100).to_be_bytes());
    sum(&mut frame);
    let [_, wan] = router.push_all(LAN, &[frame]);
    let places: Vec<_> = pieces(&wan).into_iter().map(|(offset, more, ..)| (offset, more)).collect();
    assert_eq!(places, [(800, true), (800 + 1_480, true)]);
}

#[test]
fn fragments_of_translated_datagrams_too() {
    let mut router = Router::new(
        "table ip nat { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade; }; }",
    );
    let [_, wan] = router.push_all(LAN, &[datagram(&[], 2_000)]);
    assert_eq!(wan.len(), 2);
    for frame in &wan {
        assert_eq!(frame[26..30], [203, 0, 113, 1]);
    }
    assert_eq!(wan[0][34..36], 4000u16.to_be_bytes());
}

#[test]
fn a_flood_of_later_fragments_stays_in_bounds() {
    let config = NodeConfig {
        max_held_fragments: 8,
        reassembly: Reassembly::Virtual,
        tracking: netfast_datapath::Tracking::On,
        ..NodeConfig::default()
    };
    let mut router = Router::with(config, "");
    let later = |id: u16| {
        let mut frame = datagram(&[], 100);
        frame[18..20].copy_from_slice(&id.to_be_bytes());
        frame[20..22].copy_from_slice(&10u16.to_be_bytes());
        sum(&mut frame);
        frame
    };
    let frames: Vec<_> = (0..100).map(later).collect();
    router.push_all(LAN, &frames);
    assert_eq!(router.node.counters().held, 8);
    assert_eq!(router.node.dropped(DropReason::FragmentQueue), 92);
    router.wait(30_000);
    router.node.poll(router.now, &mut router.out);
    router.check();
    assert_eq!((router.node.counters().held, router.node.dropped(DropReason::FragmentTimeout)), (0, 8));
}
