//! Frames made of bytes: right ones, answers to what a node sent, errors about it, and nonsense.
use super::Bytes;
use netfast_wire::checksum::{checksum, pseudo_checksum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const MACS: [[u8; 6]; 4] =
    [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 4]];
pub const PEER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
/// The sub-interface `vlan` at port 0.
pub const TAG: u16 = 7;

const INSIDE: [&str; 4] = ["192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.13"];
const OUTSIDE: [&str; 4] = ["198.51.100.7", "198.51.100.8", "198.51.100.9", "203.0.113.2"];
const ODD: [&str; 14] = [
    "255.255.255.255",
    "224.0.0.1",
    "239.1.1.1",
    "127.0.0.1",
    "0.0.0.0",
    "192.0.2.255",
    "192.0.2.1",
    "203.0.113.1",
    "203.0.113.77",
    "10.1.1.1",
    "240.0.0.1",
    "198.18.0.10",
    "172.16.0.1",
    "203.0.113.255",
];
const INSIDE_6: [&str; 4] = ["2001:db8:1::10", "2001:db8:1::11", "2001:db8:1::12", "2001:db8:1::13"];
const OUTSIDE_6: [&str; 4] = ["2001:db8:5::7", "2001:db8:5::8", "2001:db8:6::9", "2001:db8:ff::2"];
const ODD_6: [&str; 12] = [
    "ff02::1",
    "ff05::1",
    "::1",
    "::",
    "fe80::10",
    "2001:db8:1::1",
    "2001:db8:ff::1",
    "2001:db8:ff::77",
    "fc00::1",
    "::ffff:192.0.2.10",
    "2001:db8:1::99",
    "ff01::1",
];
const PORTS: [u16; 8] = [4000, 4001, 4002, 53, 80, 443, 22, 8080];

pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn endpoint(bytes: &mut Bytes<'_>, v6: bool, inside: bool) -> IpAddr {
    let text = if bytes.one_in(10) {
        if v6 { bytes.of(&ODD_6) } else { bytes.of(&ODD) }
    } else {
        match (v6, inside) {
            (false, true) => bytes.of(&INSIDE),
            (false, false) => bytes.of(&OUTSIDE),
            (true, true) => bytes.of(&INSIDE_6),
            (true, false) => bytes.of(&OUTSIDE_6),
        }
    };
    text.parse().expect("an address of the lists")
}

/// What stands around an upper-layer message.
#[derive(Clone, Copy)]
struct Head {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    hop_limit: u8,
    class: u8,
    may_fragment: bool,
}

/// Fills in the checksum of a message.
fn sum(head: &Head, upper: &mut [u8]) {
    let at = match head.protocol {
        6 => 16,
        17 => 6,
        1 | 58 => 2,
        _ => return,
    };
    if upper.len() < at + 2 {
        return;
    }
    upper[at..at + 2].fill(0);
    let value = if head.protocol == 1 {
        checksum(upper)
    } else {
        pseudo_checksum(mapped(head.from), mapped(head.to), head.protocol, upper)
    };
    let value = if head.protocol == 17 && value == 0 { 0xffff } else { value };
    upper[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// An IP packet; `extra` are IPv4 options or IPv6 extension headers, the first of them of type `first`.
fn packet(
    head: &Head,
    upper: &[u8],
    extra: &[u8],
    first: Option<u8>,
    fragment: Option<(u16, bool)>,
) -> Vec<u8> {
    let mut bytes;
    if head.from.is_ipv6() {
        let payload = extra.len() + upper.len();
        bytes = vec![0x60 | head.class >> 4, head.class << 4, 0, 0];
        bytes.extend((payload as u16).to_be_bytes());
        bytes.extend([first.unwrap_or(head.protocol), head.hop_limit]);
        bytes.extend(octets(head.from));
        bytes.extend(octets(head.to));
        bytes.extend(extra);
    } else {
        bytes = vec![0x45 + (extra.len() / 4) as u8, head.class];
        bytes.extend(((20 + extra.len() + upper.len()) as u16).to_be_bytes());
        let (offset, more) = fragment.unwrap_or_default();
        let dont = if head.may_fragment || fragment.is_some() { 0 } else { 0x4000 };
        let field = (offset / 8) | if more { 0x2000 } else { dont };
        bytes.extend([0x12, 0x34]);
        bytes.extend(field.to_be_bytes());
        bytes.extend([head.hop_limit, head.protocol, 0, 0]);
        bytes.extend(octets(head.from));
        bytes.extend(octets(head.to));
        bytes.extend(extra);
        let value = checksum(&bytes);
        bytes[10..12].copy_from_slice(&value.to_be_bytes());
    }
    bytes.extend(upper);
    bytes
}

fn framed(bytes: &mut Bytes<'_>, port: usize, packet: &[u8]) -> Vec<u8> {
    let to = match bytes.below(40) {
        0 => [255; 6],
        1 => [0x33, 0x33, 0, 0, 0, 1],
        2 => [2, 9, 9, 9, 9, 9],
        _ => MACS[port],
    };
    let mut frame = [to, PEER].concat();
    if port == 2 {
        frame.extend([0x81, 0]);
        frame.extend(TAG.to_be_bytes());
    } else if bytes.one_in(60) {
        frame.extend([0x81, 0, 0, bytes.u8()]);
    }
    let kind: u16 = if packet.first().is_some_and(|first| first >> 4 == 6) { 0x86dd } else { 0x0800 };
    frame.extend(kind.to_be_bytes());
    frame.extend(packet);
    frame
}

fn udp(ports: (u16, u16), payload: usize) -> Vec<u8> {
    let mut upper = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    upper.extend((8 + payload as u16).to_be_bytes());
    upper.extend([0, 0]);
    upper.extend((0..payload).map(|at| at as u8));
    upper
}

pub struct Segment {
    pub ports: (u16, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub payload: usize,
}

fn tcp(segment: &Segment, options: &[u8]) -> Vec<u8> {
    let mut upper = [segment.ports.0.to_be_bytes(), segment.ports.1.to_be_bytes()].concat();
    upper.extend(segment.seq.to_be_bytes());
    upper.extend(segment.ack.to_be_bytes());
    upper.extend([0x50 + (options.len() as u8 / 4) * 16, segment.flags, 0x40, 0, 0, 0, 0, 0]);
    upper.extend(options);
    upper.extend(std::iter::repeat_n(b'x', segment.payload));
    upper
}

fn payload(bytes: &mut Bytes<'_>) -> usize {
    match bytes.below(16) {
        0 => 1_400 + bytes.below(200),
        1 => 1_200 + bytes.below(100),
        2 => 560 + bytes.below(40),
        _ => bytes.below(120),
    }
}

fn message(bytes: &mut Bytes<'_>, v6: bool) -> (u8, Vec<u8>) {
    let ports = (bytes.pick(&PORTS), bytes.pick(&PORTS));
    match bytes.below(12) {
        0..=4 => (17, udp(ports, payload(bytes))),
        5 | 6 => {
            let options: &[u8] = if bytes.one_in(2) { &[2, 4, 5, 0xb4, 4, 2, 1, 1, 3, 3, 7, 1] } else { &[] };
            let syn = Segment { ports, seq: 100, ack: 0, flags: 2, payload: 0 };
            (6, tcp(&syn, options))
        }
        7 => {
            let flags = bytes.pick(&[0x10, 0x11, 0x04, 0x18, 0x12, 0x00, 0x3f, 0x14]);
            let (seq, ack) = (u32::from(bytes.u8()), u32::from(bytes.u8()));
            (6, tcp(&Segment { ports, seq, ack, flags, payload: payload(bytes) }, &[]))
        }
        8 | 9 => {
            let kind = if v6 { 128 + bytes.u8() % 2 } else { bytes.pick(&[8, 8, 0, 13]) };
            let mut upper = vec![kind, 0, 0, 0, 0, bytes.u8() % 4, 0, 1];
            upper.extend(std::iter::repeat_n(1, payload(bytes)));
            (if v6 { 58 } else { 1 }, upper)
        }
        10 => {
            let mut upper = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
            upper.extend([0; 8]);
            upper.extend([bytes.pick(&[1, 2, 0, 10]), 0, 0, 4 + 16]);
            upper.extend([1; 16]);
            (132, upper)
        }
        _ => (bytes.pick(&[47, 4, 50, 89, 33, 136, 59, 0]), bytes.take(24)),
    }
}

/// Some frames for a port: mostly one, all fragments of a datagram together, in any order.
pub fn fresh(bytes: &mut Bytes<'_>, port: usize) -> Vec<Vec<u8>> {
    let v6 = bytes.one_in(2);
    let inside = port != 1;
    let (from, to) = (endpoint(bytes, v6, inside), endpoint(bytes, v6, bytes_says(bytes.peek(), inside)));
    let (protocol, mut upper) = message(bytes, v6);
    let hop_limit = if bytes.one_in(8) { bytes.u8() % 3 } else { 64 };
    let class = bytes.pick(&[0, 0, 0, 0xb8, 0x20]);
    let head = Head { from, to, protocol, hop_limit, class, may_fragment: bytes.one_in(3) };
    if !bytes.one_in(30) {
        sum(&head, &mut upper);
    }
    match bytes.below(14) {
        0 => fragments(bytes, port, &head, &upper),
        1 => vec![strange(bytes, port, &head, &upper)],
        _ => {
            let packet = packet(&head, &upper, &[], None, None);
            vec![framed(bytes, port, &packet)]
        }
    }
}

fn bytes_says(byte: u8, inside: bool) -> bool {
    if byte.is_multiple_of(8) { inside } else { !inside }
}

fn fragments(bytes: &mut Bytes<'_>, port: usize, head: &Head, upper: &[u8]) -> Vec<Vec<u8>> {
    let piece = bytes.pick(&[8, 16, 24, 64, 256, 1_000]);
    let id = bytes.u8() % 4;
    let mut frames: Vec<_> = upper
        .chunks(piece)
        .take(12)
        .enumerate()
        .map(|(at, chunk)| {
            let (offset, more) = ((at * piece) as u16, (at + 1) * piece < upper.len());
            let packet = if head.from.is_ipv6() {
                let mut header = vec![head.protocol, 0];
                header.extend((offset | u16::from(more)).to_be_bytes());
                header.extend([0, 0, 0, id]);
                packet(head, chunk, &header, Some(44), None)
            } else {
                packet(head, chunk, &[], None, Some((offset, more)))
            };
            framed(bytes, port, &packet)
        })
        .collect();
    match bytes.below(4) {
        0 => frames.reverse(),
        1 => frames.rotate_left(1),
        2 => frames.truncate(1),
        _ => {}
    }
    frames
}

/// Options, extension headers, cut frames, bytes without sense.
fn strange(bytes: &mut Bytes<'_>, port: usize, head: &Head, upper: &[u8]) -> Vec<u8> {
    let mut packet = match (bytes.below(6), head.from.is_ipv6()) {
        (0, _) => bytes.take(64),
        (1, false) => packet(head, upper, &[1, 1, 1, 1], None, None),
        (2, false) => packet(head, upper, &[0x94, 4, 0, 0], None, None),
        (3, false) => packet(head, upper, &[0x83, 7, 4, 1, 2, 3, 4, 0], None, None),
        (1, true) => packet(head, upper, &[head.protocol, 0, 1, 4, 0, 0, 0, 0], Some(0), None),
        (2, true) => packet(head, upper, &[head.protocol, 0, 0x80, 4, 0, 0, 0, 0], Some(0), None),
        (3, true) => {
            let mut header = vec![head.protocol, 40, 1, 254];
            header.resize(41 * 8, 0);
            packet(head, upper, &header, Some(60), None)
        }
        (4, _) => {
            let options = bytes.take(8);
            packet(head, upper, &options, head.from.is_ipv6().then_some(60), None)
        }
        _ => packet(head, upper, &[], None, None),
    };
    match bytes.below(5) {
        0 => packet.truncate(bytes.below(packet.len().max(1))),
        1 => packet.extend([0; 9]),
        2 if !packet.is_empty() => {
            let at = bytes.below(packet.len());
            packet[at] ^= 1 << bytes.below(8);
        }
        _ => {}
    }
    let mut frame = framed(bytes, port, &packet);
    if bytes.one_in(5) {
        frame.truncate(bytes.below(20));
    }
    if bytes.one_in(8) && frame.len() > 13 {
        frame[12..14].copy_from_slice(&[8, 6]);
    }
    frame
}

/// What a frame holds, as far as this module made it: plain headers only.
struct Seen {
    head: Head,
    upper: Vec<u8>,
    packet: Vec<u8>,
}

fn look(frame: &[u8]) -> Option<Seen> {
    let at = if frame.get(12..14)? == [0x81, 0] { 18 } else { 14 };
    let packet = frame.get(at..)?;
    let (from, to, protocol, upper): (IpAddr, IpAddr, u8, &[u8]) = match packet.first()? >> 4 {
        4 if packet[0] == 0x45 && packet.len() >= 20 => {
            let address =
                |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
            (address(12).into(), address(16).into(), packet[9], &packet[20..])
        }
        6 if packet.len() >= 40 => {
            let address = |at: usize| {
                Ipv6Addr::from(*packet[at..].first_chunk::<16>().expect("forty bytes were there"))
            };
            (address(8).into(), address(24).into(), packet[6], &packet[40..])
        }
        _ => return None,
    };
    let head = Head { from, to, protocol, hop_limit: 64, class: 0, may_fragment: false };
    Some(Seen { head, upper: upper.to_vec(), packet: packet.to_vec() })
}

/// What the one to whom `frame` was sent says to it.
pub fn answer(bytes: &mut Bytes<'_>, port: usize, frame: &[u8]) -> Option<Vec<u8>> {
    let seen = look(frame)?;
    let head = Head { from: seen.head.to, to: seen.head.from, ..seen.head };
    let word = |at: usize| seen.upper.get(at..at + 2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let mut upper = match head.protocol {
        17 | 132 => {
            let ports = (word(2)?, word(0)?);
            if head.protocol == 17 {
                udp(ports, payload(bytes))
            } else {
                let mut upper = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
                upper.extend(seen.upper.get(4..)?);
                upper
            }
        }
        6 => {
            let long = |at: usize| Some(u32::from(word(at)?) << 16 | u32::from(word(at + 2)?));
            let flags = *seen.upper.get(13)?;
            let header = usize::from(*seen.upper.get(12)? >> 4) * 4;
            let length = seen.upper.len().saturating_sub(header) as u32
                + u32::from(flags & 2 != 0)
                + u32::from(flags & 1 != 0);
            let ack = long(4)?.wrapping_add(length);
            let mut segment = Segment {
                ports: (word(2)?, word(0)?),
                seq: long(8)?,
                ack,
                flags: 0x10,
                payload: if bytes.one_in(2) { bytes.below(100) } else { 0 },
            };
            if flags & 0x12 == 2 {
                segment = Segment { seq: 5_000, flags: 0x12, payload: 0, ..segment };
            } else if bytes.one_in(10) {
                segment.flags = bytes.pick(&[0x11, 0x04, 0x14]);
                segment.payload = 0;
            }
            tcp(&segment, &[])
        }
        1 | 58 => {
            let mut upper = seen.upper.clone();
            match upper.first_mut()? {
                kind @ 8 => *kind = 0,
                kind @ 128 => *kind = 129,
                _ => return None,
            }
            upper
        }
        _ => return None,
    };
    sum(&head, &mut upper);
    let packet = packet(&head, &upper, &[], None, None);
    Some(framed(bytes, port, &packet))
}

/// An error about a frame, by its receiver or by a router before it.
pub fn error(bytes: &mut Bytes<'_>, port: usize, frame: &[u8]) -> Option<Vec<u8>> {
    let seen = look(frame)?;
    let v6 = seen.head.from.is_ipv6();
    let from = if bytes.one_in(2) { seen.head.to } else { endpoint(bytes, v6, port != 1) };
    let protocol = if v6 { 58 } else { 1 };
    let head = Head { from, to: seen.head.from, protocol, ..seen.head };
    let (kind, code) = if v6 {
        bytes.pick(&[(1, 4), (2, 0), (3, 0), (4, 1)])
    } else {
        bytes.pick(&[(3, 3), (3, 4), (11, 0), (3, 1)])
    };
    let mut upper = vec![kind, code, 0, 0, 0, 0, 5, 0];
    let most = if bytes.one_in(4) { bytes.below(80) } else { 200 };
    upper.extend(&seen.packet[..seen.packet.len().min(most)]);
    sum(&head, &mut upper);
    let packet = packet(&head, &upper, &[], None, None);
    Some(framed(bytes, port, &packet))
}

/// A frame once more, as the same sender would send the next one.
pub fn again(bytes: &mut Bytes<'_>, port: usize, frame: &[u8]) -> Option<Vec<u8>> {
    let seen = look(frame)?;
    let hop_limit = if bytes.one_in(6) { bytes.u8() % 3 } else { 64 };
    let class = bytes.pick(&[0, 0, 0xb8, 0x20]);
    let head = Head { hop_limit, class, may_fragment: bytes.one_in(4), ..seen.head };
    let mut upper = seen.upper;
    if head.protocol == 17 && upper.len() >= 8 {
        let ports = (u16::from_be_bytes([upper[0], upper[1]]), u16::from_be_bytes([upper[2], upper[3]]));
        upper = udp(ports, payload(bytes));
    } else if head.protocol == 6 && upper.len() >= 20 && bytes.one_in(3) {
        upper[13] = bytes.pick(&[0x10, 0x18, 0x11, 0x02, 0x04]);
    }
    if bytes.one_in(20) && upper.len() > 7 {
        upper[7] ^= 1;
    } else {
        sum(&head, &mut upper);
    }
    let packet = packet(&head, &upper, &[], None, None);
    Some(framed(bytes, port, &packet))
}
