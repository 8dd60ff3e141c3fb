//! Fragments of captures are put together between reading and filtering, and no packet is lost on the way.
use netfast_capture::{
    Copier, CopyFormat, FlowOptions, FlowReader, Input, InputOptions, NetworkPlace, ReassembleOptions,
    may_be_fragment, network_place,
};
use netfast_flow::FlowConfig;
use netfast_io::capture::{PcapOptions, PcapWriter, Reader, ReaderOptions};
use netfast_wire::LinkType;
use proptest::prelude::*;
use std::path::PathBuf;

const SECOND: u64 = 1_000_000_000;

fn bundled(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data")).join(name)
}

fn options(keep_incomplete: bool) -> InputOptions {
    let reassemble = Some(ReassembleOptions { keep_incomplete, ..ReassembleOptions::default() });
    InputOptions { reassemble, ..InputOptions::default() }
}

/// Frames and bytes of all packets that are seen.
fn seen(mut input: Input) -> Vec<(u64, u64, Vec<u8>)> {
    let mut all = Vec::new();
    while input.next(100).expect("the capture is whole") {
        all.extend(input.packets().map(|(frame, record, bytes)| (frame, record.time_ns, bytes.to_vec())));
    }
    all
}

/// A capture of raw IP.
fn written(packets: &[(u64, Vec<u8>)]) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("netfast-reassembly-{}-{number}.pcap", std::process::id()));
    let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, PcapOptions::default());
    for (time_ns, bytes) in packets {
        writer.write(*time_ns, bytes.len() as u32, bytes).expect("memory takes all");
    }
    std::fs::write(&path, writer.finish().expect("memory takes all")).expect("a temporary file");
    path
}

fn opened(path: &PathBuf, options: &InputOptions) -> Input {
    let input = Input::open(&[path], options).expect("it was written a moment ago");
    let _ = std::fs::remove_file(path);
    input
}

/// A fragment of an IPv4 datagram of protocol 253.
fn fragment(identification: u16, start: usize, more: bool, data: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 253, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    packet[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
    packet[4..6].copy_from_slice(&identification.to_be_bytes());
    packet[6..8].copy_from_slice(&((start / 8) as u16 | u16::from(more) << 13).to_be_bytes());
    let checksum = netfast_wire::checksum::checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend_from_slice(data);
    packet
}

#[test]
fn datagrams_stand_where_their_last_fragment_was() {
    let other = fragment(9, 0, false, b"whole");
    let path = written(&[
        (SECOND, fragment(7, 0, true, &[1; 64])),
        (2 * SECOND, other.clone()),
        (3 * SECOND, fragment(8, 0, true, &[9; 64])),
        (4 * SECOND, fragment(7, 64, false, &[2; 10])),
        (90 * SECOND, other.clone()),
    ]);
    let kept = seen(opened(&path, &options(true)));
    assert_eq!(kept.iter().map(|(frame, ..)| *frame).collect::<Vec<_>>(), [2, 4, 3, 5]);
    assert_eq!(kept[1].1, 4 * SECOND);
    assert_eq!(kept[1].2[20..], [[1; 64].as_slice(), &[2; 10]].concat());
    assert_eq!((kept[2].1, &kept[2].2), (3 * SECOND, &fragment(8, 0, true, &[9; 64])));
    let path = written(&[(SECOND, fragment(7, 0, true, &[1; 64])), (2 * SECOND, other.clone())]);
    let left_out = seen(opened(&path, &options(false)));
    assert_eq!(left_out, [(2, 2 * SECOND, other)]);
}

#[test]
fn a_wild_time_ends_what_waits_and_nothing_else() {
    let path = written(&[
        (SECOND, fragment(7, 0, true, &[1; 64])),
        (4_000_000_000 * SECOND, fragment(9, 0, false, b"later")),
        (2 * SECOND, fragment(8, 0, true, &[1; 64])),
        (2 * SECOND - 500, fragment(8, 64, false, &[1; 64])),
        (3 * SECOND, fragment(10, 0, true, &[1; 64])),
        (34 * SECOND, fragment(10, 64, false, &[1; 64])),
    ]);
    let input = opened(&path, &options(false));
    let gauge = input.reassembly();
    assert_eq!(seen(input).len(), 2);
    let counters = gauge.counters();
    assert!(counters.is_conserved());
    assert_eq!((counters.completed, counters.dropped_total()), (1, 3));
}

#[test]
fn copies_of_a_capture_say_what_was_made_and_other_packets_keep_their_options() {
    let mut copied = Vec::new();
    for name in ["fragments-reordered.pcap", "merged.pcapng", "two-interfaces.pcapng"] {
        let mut options = options(true);
        options.reader = ReaderOptions { keep_options: true, ..ReaderOptions::default() };
        let input = Input::open(&[bundled(name)], &options).expect("a bundled capture");
        let gauge = input.reassembly();
        let target = std::env::temp_dir().join(format!("netfast-copy-{}-{name}", std::process::id()));
        let file = std::fs::File::create(&target).expect("a temporary file");
        let mut copier = Copier::new(input, file, name.into(), CopyFormat::Pcapng, u64::MAX);
        while copier.step().expect("the capture is whole") {}
        copier.flush().expect("there is room");
        let counters = gauge.counters();
        assert!(counters.is_conserved());
        assert_eq!(copier.packets(), copier.progress().0 - counters.joined);
        let reader = Reader::open(&target, options.reader.clone()).expect("it was written a moment ago");
        let mut again = Input::new(vec![reader], vec![name.into()], false, None).expect("one reader");
        let mut comments = 0;
        while again.next(1000).expect("it is whole") {
            let batch = again.batch();
            comments += (0..batch.records.len()).filter(|at| batch.options_of(*at).next().is_some()).count();
        }
        let _ = std::fs::remove_file(&target);
        assert!(comments as u64 >= counters.completed);
        copied.push(counters.completed);
    }
    assert!(copied[0] == 12 && copied[1] > 0 && copied[2] == 0, "{copied:?}");
}

#[test]
fn flows_count_datagrams_on_any_number_of_threads() {
    for threads in [1, 3] {
        let input =
            Input::open(&[bundled("fragments-ipv4.pcap")], &options(true)).expect("a bundled capture");
        let flow = FlowConfig { seed: 1, ..FlowConfig::default() };
        let mut reader =
            FlowReader::new(input, FlowOptions { flow, threads, inner: false }).expect("limits are right");
        while reader.next_flows().expect("the capture is whole").is_some() {}
        let counters = reader.counters();
        assert!(counters.conserved());
        assert_eq!((counters.packets, counters.in_flows, counters.fragments.first), (12, 12, 0));
    }
}

#[test]
fn ip_is_found_behind_every_kind_of_header() {
    let ip = fragment(7, 0, true, &[1; 64]);
    let mut tagged = vec![0; 12];
    tagged.extend_from_slice(&[0x88, 0xa8, 0x20, 5, 0x81, 0, 0, 6, 8, 0]);
    tagged.extend_from_slice(&ip);
    let place = network_place(LinkType::ETHERNET, &tagged);
    assert_eq!(place, Some(NetworkPlace { offset: 22, vlans: 5 << 12 | 6, tags: 2, length_at: None }));
    let mut session = vec![0; 12];
    session.extend_from_slice(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 86, 0, 0x21]);
    session.extend_from_slice(&ip);
    let place = network_place(LinkType::ETHERNET, &session).expect("it is found behind PPPoE");
    assert_eq!((place.offset, place.length_at), (22, Some(18)));
    place.set_lengths(&mut session, 1022);
    assert_eq!(session[18..20], 1002u16.to_be_bytes());
    assert_eq!(network_place(LinkType::ETHERNET, &[0; 64]), None);
    assert_eq!(network_place(LinkType::NFLOG, &ip), None);
    assert!(may_be_fragment(&ip) && !may_be_fragment(&fragment(7, 0, false, &[1; 64])));
}

proptest! {
    /// Every packet is seen, is part of one that is seen, or is counted as dropped.
    #[test]
    fn nothing_is_lost(
        packets in prop::collection::vec(
            (0u64..200 * SECOND, prop_oneof![
                prop::collection::vec(any::<u8>(), 0..100),
                (0u16..4, 0usize..6, any::<bool>()).prop_map(|(id, at, more)| fragment(id, at * 16, more, &[id as u8; 16])),
            ]),
            0..60,
        ),
        keep in any::<bool>(),
    ) {
        let path = written(&packets);
        let input = opened(&path, &options(keep));
        let gauge = input.reassembly();
        let all = seen(input);
        let counters = gauge.counters();
        prop_assert!(counters.is_conserved());
        prop_assert_eq!(counters.held, 0);
        let lost = counters.joined + if keep { 0 } else { counters.dropped_total() };
        prop_assert_eq!(all.len() as u64 + lost, packets.len() as u64);
    }

    #[test]
    fn any_bytes_have_a_place_within_them_or_none(link in 0u16..280, bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Some(place) = network_place(LinkType(link), &bytes) {
            prop_assert!(place.offset as usize <= bytes.len());
            let mut changed = bytes.clone();
            place.set_lengths(&mut changed, 70_000);
        }
    }
}

/// An IPv4 packet of `protocol` to `to`.
fn ipv4(protocol: u8, to: u8, data: &[u8]) -> Vec<u8> {
    let mut packet = fragment(1, 0, false, data);
    addressed(&mut packet, protocol, to);
    packet
}

/// Another protocol and destination for an IPv4 packet.
fn addressed(packet: &mut [u8], protocol: u8, to: u8) {
    (packet[9], packet[19]) = (protocol, to);
    packet[10..12].fill(0);
    let checksum = netfast_wire::checksum::checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn ipv6(next: u8, data: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    packet[4..6].copy_from_slice(&(data.len() as u16).to_be_bytes());
    packet.extend([0x20; 32]);
    packet.extend_from_slice(data);
    packet
}

/// UDP to VXLAN's port with a checksum, network 7, an Ethernet header.
fn vxlan(data: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x12, 0xb5, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0];
    packet.extend([2; 12]);
    packet.extend([8, 0]);
    packet.extend_from_slice(data);
    let length = packet.len() as u16;
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    let checksum = netfast_wire::checksum::pseudo_checksum([0x20; 16], [0x20; 16], 17, &packet);
    packet[6..8].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// GRE with a checksum.
fn gre(data: &[u8]) -> Vec<u8> {
    let mut packet = [&[0x80, 0, 8, 0, 0, 0, 0, 0], data].concat();
    let checksum = netfast_wire::checksum::checksum(&packet);
    packet[4..6].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// PPTP's (RFC 2637 4.1): the length of what it carries, and a call; PPP, compressed.
fn pptp(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16 + 1).to_be_bytes();
    [&[0x20, 1, 0x88, 0x0b, length[0], length[1], 0, 9, 0x21], data].concat()
}

/// What puts a packet into one.
type Tunnel<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

#[test]
fn what_tunnels_carry_is_put_together_with_right_headers_around_it() {
    let (one, two) = (fragment(7, 0, true, &[1; 640]), fragment(7, 640, false, &[2; 100]));
    let whole = fragment(7, 0, false, &[[1; 640].as_slice(), &[2; 100]].concat());
    let around: [Tunnel<'_>; 6] = [
        &|data| ipv4(4, 9, data),
        &|data| ipv6(4, data),
        &|data| ipv6(17, &vxlan(data)),
        &|data| ipv4(47, 9, &gre(data)),
        &|data| ipv6(41, &ipv6(17, &vxlan(&ipv4(47, 9, &gre(data))))),
        &|data| ipv4(47, 9, &pptp(data)),
    ];
    for (at, tunnel) in around.iter().enumerate() {
        let input = opened(&written(&[(1, tunnel(&two)), (2, tunnel(&one))]), &options(true));
        let gauge = input.reassembly();
        assert_eq!(seen(input), [(2, 2, tunnel(&whole))], "{at}");
        let counters = gauge.counters();
        assert!(counters.is_conserved(), "{counters:?}");
        assert_eq!((counters.packets, counters.completed, counters.joined), (2, 1, 1));
    }
}

#[test]
fn tunnels_are_worlds_of_their_own_and_may_be_in_fragments_themselves() {
    let (one, two) = (fragment(7, 0, true, &[1; 640]), fragment(7, 640, false, &[2; 100]));
    let apart = [(1, ipv4(4, 8, &one)), (2, ipv4(4, 9, &two)), (3, two.clone())];
    let input = opened(&written(&apart), &options(true));
    let kept = seen(input).into_iter().map(|(.., bytes)| bytes).collect::<Vec<_>>();
    assert_eq!(kept, apart.map(|(_, bytes)| bytes));

    // The tunnel's packet with the first fragment comes in two itself.
    let tunnel = ipv4(4, 9, &one);
    let pieces = [(1, true, 0, 320), (2, false, 320, 660)].map(|(time, more, start, end)| {
        let mut packet = fragment(1, start, more, &tunnel[20 + start..20 + end]);
        addressed(&mut packet, 4, 9);
        (time, packet)
    });
    let [first, second] = pieces;
    let input = opened(&written(&[first, second, (3, ipv4(4, 9, &two))]), &options(true));
    let gauge = input.reassembly();
    let made = seen(input);
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].2[20..], fragment(7, 0, false, &[[1; 640].as_slice(), &[2; 100]].concat()));
    let counters = gauge.counters();
    assert!(counters.is_conserved(), "{counters:?}");
    assert_eq!((counters.packets, counters.completed, counters.joined), (3, 1, 2));
}

#[test]
fn a_frame_with_its_length_becomes_one_without() {
    let frame = |packet: &[u8]| {
        let mut frame = vec![2; 12];
        frame.extend([0x81, 0, 0, 5]);
        frame.extend((packet.len() as u16 + 8).to_be_bytes());
        frame.extend([0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
        frame.extend_from_slice(packet);
        frame
    };
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, PcapOptions::default());
    for packet in [fragment(7, 0, true, &[1; 1_400]), fragment(7, 1_400, false, &[2; 1_400])] {
        let frame = frame(&packet);
        writer.write(1, frame.len() as u32, &frame).expect("memory takes all");
    }
    let path = std::env::temp_dir().join(format!("netfast-reassembly-{}-llc.pcap", std::process::id()));
    std::fs::write(&path, writer.finish().expect("memory takes all")).expect("a temporary file");
    let made = seen(opened(&path, &options(true)));
    let whole = fragment(7, 0, false, &[[1; 1_400], [2; 1_400]].concat());
    let ethernet = [&[2; 12][..], &[0x81, 0, 0, 5, 8, 0], &whole].concat();
    assert_eq!(made, [(2, 1, ethernet)]);
}
