//! Packets of every kind that filters ask about, for each link type, whole and cut short.
use super::Random;

const ADDRESSES: [[u8; 4]; 5] = [[1, 2, 3, 4], [5, 6, 7, 8], [10, 0, 0, 1], [10, 1, 2, 3], [192, 168, 1, 7]];
const PORTS: [u16; 8] = [80, 443, 53, 22, 20, 21, 6081, 50_000];
const PROTOCOLS: [u8; 9] = [6, 17, 132, 1, 58, 2, 103, 112, 50];

fn ports(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..2 {
        out.extend(PORTS[random.below(PORTS.len())].to_be_bytes());
    }
    out
}

/// A transport header and some payload.
fn transport(random: &mut Random, depth: usize) -> Vec<u8> {
    let mut out = ports(random);
    if random.chance(10) && depth < 2 {
        // Geneve over UDP, with or without an inner Ethernet header.
        out[2..4].copy_from_slice(&6081u16.to_be_bytes());
        out.extend([0; 4]);
        let options = random.below(3);
        let ethernet = random.chance(60);
        out.push(options as u8);
        out.push(0);
        out.extend(if ethernet { [0x65, 0x58] } else { [0x08, 0x00] });
        out.extend([0, 0, 5, 0]);
        out.extend(vec![0; options * 4]);
        out.extend(if ethernet { self::ethernet(random, depth + 1) } else { ipv4(random, depth + 1) });
        return out;
    }
    out.extend([0; 8]);
    out.extend([[0x50, 0x02], [0x50, 0x12], [0x80, 0x10]][random.below(3)]);
    out.extend((0..random.below(40)).map(|i| i as u8));
    out
}

fn ipv4(random: &mut Random, depth: usize) -> Vec<u8> {
    let words = if random.chance(20) { 5 + random.below(4) } else { 5 };
    let mut out = vec![0u8; words * 4];
    out[0] = 0x40 | words as u8;
    out[2..4].copy_from_slice(&60u16.to_be_bytes());
    if random.chance(20) {
        out[6] = [0x20, 0x00, 0x20][random.below(3)];
        out[7] = random.below(3) as u8;
    }
    out[8] = 64;
    out[9] = PROTOCOLS[random.below(PROTOCOLS.len())];
    out[12..16].copy_from_slice(&ADDRESSES[random.below(5)]);
    let destination = [ADDRESSES[random.below(5)], [255; 4], [224, 0, 0, 1], [0; 4]];
    out[16..20].copy_from_slice(&destination[if random.chance(80) { 0 } else { 1 + random.below(3) }]);
    if random.chance(5) {
        // An authentication header before the transport.
        let protocol = std::mem::replace(&mut out[9], 51);
        out.extend([protocol, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
    }
    out.extend(transport(random, depth));
    out
}

fn ipv6(random: &mut Random, depth: usize) -> Vec<u8> {
    let mut out = vec![0u8; 40];
    out[0] = 0x60;
    out[7] = 64;
    let addresses: [[u8; 4]; 4] = [[0x20, 0x01, 0x0d, 0xb8], [0xfe, 0x80, 0, 0], [0; 4], [0xff, 0x02, 0, 0]];
    for at in [8, 24] {
        out[at..at + 4].copy_from_slice(&addresses[random.below(4)]);
        out[at + 15] = random.below(2) as u8;
    }
    let mut next_at = 6;
    let protocol = PROTOCOLS[random.below(PROTOCOLS.len())];
    for _ in 0..if random.chance(40) { 1 + random.below(3) } else { 0 } {
        let kind = [0u8, 43, 44, 60][random.below(4)];
        out[next_at] = kind;
        next_at = out.len();
        let units = if kind == 44 { 0 } else { random.below(2) };
        out.extend([0, units as u8]);
        out.extend(vec![0; 6 + units * 8]);
    }
    out[next_at] = protocol;
    out.extend(transport(random, depth));
    out
}

fn arp(random: &mut Random) -> Vec<u8> {
    let mut out = vec![0, 1, 8, 0, 6, 4, 0, 1 + random.below(4) as u8];
    out.extend([1, 2, 3, 4, 5, 6]);
    out.extend(ADDRESSES[random.below(5)]);
    out.extend([0; 6]);
    out.extend(ADDRESSES[random.below(5)]);
    out
}

/// LLC frames: OSI, spanning tree, NetBEUI, IPX and SNAP.
fn llc(random: &mut Random) -> Vec<u8> {
    let heads: [&[u8]; 8] = [
        &[0xfe, 0xfe, 0x03, 0x83],
        &[0xfe, 0xfe, 0x03, 0x81],
        &[0x42, 0x42, 0x03],
        &[0xf0, 0xf0, 0x03],
        &[0xe0, 0xe0, 0x03],
        &[0xff, 0xff, 0x00, 0x22],
        &[0xaa, 0xaa, 0x03, 0, 0, 0, 0x81, 0x37],
        &[0xaa, 0xaa, 0x03, 8, 0, 7, 0x80, 0x9b],
    ];
    let mut out = heads[random.below(8)].to_vec();
    if out.len() == 3 {
        out[2] = [0x03, 0x01, 0x05, 0x63, 0x00, 0xaf][random.below(6)];
    }
    out.extend([0, 0, 0, 15 + random.below(13) as u8]);
    out.extend([0; 30]);
    out
}

fn decnet(random: &mut Random) -> Vec<u8> {
    let mut out = vec![0u8; 48];
    let flags: [[u8; 2]; 4] = [[0x02, 0], [0x81, 0x02], [0x06, 0], [0x81, 0x06]];
    out[2..4].copy_from_slice(&flags[random.below(4)]);
    for at in [3, 4, 5, 6, 9, 10, 17, 18] {
        if random.chance(40) {
            out[at..at + 2].copy_from_slice(&[0x02, 0x04]);
        }
    }
    out
}

/// EtherType and what it carries.
fn typed(random: &mut Random, depth: usize) -> (u16, Vec<u8>) {
    let tunnels = if depth < 3 { 16 } else { 10 };
    match random.below(tunnels) {
        0..=3 => (0x0800, ipv4(random, depth)),
        4..=6 => (0x86dd, ipv6(random, depth)),
        7 => (0x0806, arp(random)),
        8 => (0x6003, decnet(random)),
        9 => ([0x8035, 0x809b, 0x80f3, 0x8137, 0x6004, 0x8863, 0x9000][random.below(7)], arp(random)),
        10..=12 => {
            let (kind, inner) = typed(random, depth + 1);
            let mut out = (random.below(8) as u16 | 0x2000).to_be_bytes().to_vec();
            out.extend(kind.to_be_bytes());
            out.extend(inner);
            ([0x8100, 0x88a8, 0x9100][random.below(3)], out)
        }
        13 | 14 => {
            let mut out = Vec::new();
            let labels = 1 + random.below(3);
            for i in 0..labels {
                let label = [5u32, 7, 100][random.below(3)];
                out.extend((label << 12 | u32::from(i + 1 == labels) << 8 | 64).to_be_bytes());
            }
            out.extend(if random.chance(60) { ipv4(random, depth) } else { ipv6(random, depth) });
            (0x8847, out)
        }
        _ => {
            let mut out = vec![0x11, 0, 0, 3 + random.below(3) as u8, 0, 40];
            out.extend(ppp(random, depth));
            (0x8864, out)
        }
    }
}

/// A PPP protocol field and what it carries.
fn ppp(random: &mut Random, depth: usize) -> Vec<u8> {
    let (protocol, inner) = match random.below(8) {
        0..=2 => (0x0021u16, ipv4(random, depth)),
        3 | 4 => (0x0057, ipv6(random, depth)),
        5 => (0x0281, [vec![0, 0, 0x51, 64], ipv4(random, depth)].concat()),
        6 => (0x0023, llc(random)),
        _ => ([0x8021, 0xc021, 0x0029, 0x0027, 0x002b][random.below(5)], llc(random)),
    };
    [protocol.to_be_bytes().to_vec(), inner].concat()
}

fn ethernet(random: &mut Random, depth: usize) -> Vec<u8> {
    let macs: [[u8; 6]; 4] =
        [[1, 2, 3, 4, 5, 6], [0xff; 6], [0, 0x11, 0x22, 0x33, 0x44, 0x55], [2, 0, 0, 0, 0, 1]];
    let mut out = macs[random.below(4)].to_vec();
    out.extend(macs[random.below(4)]);
    if random.chance(15) {
        let inner = llc(random);
        out.extend((inner.len() as u16).to_be_bytes());
        out.extend(inner);
        return out;
    }
    let (kind, inner) = typed(random, depth);
    out.extend(kind.to_be_bytes());
    out.extend(inner);
    out
}

fn wlan(random: &mut Random) -> Vec<u8> {
    let kind = [0x08u8, 0x08, 0x88, 0x80, 0x40, 0xb4, 0xc4, 0xd4, 0x48, 0xb0][random.below(10)];
    let mut out = vec![kind, random.below(4) as u8, 0, 0];
    for _ in 0..3 {
        out.extend([[1u8, 2, 3, 4, 5, 6], [0xff; 6], [2, 0, 0, 0, 0, 1]][random.below(3)]);
    }
    out.extend([0, 0]);
    if kind & 0x80 != 0 && kind & 0x0c == 8 {
        out.extend([0, 0]);
    }
    if random.chance(60) {
        let (kind, inner) = typed(random, 1);
        out.extend([0xaa, 0xaa, 0x03, 0, 0, 0]);
        out.extend(kind.to_be_bytes());
        out.extend(inner);
    } else {
        out.extend(llc(random));
    }
    out
}

fn radiotap(random: &mut Random) -> Vec<u8> {
    let mut out = vec![0, 0, 8 + 4 * random.below(6) as u8, 0];
    out.extend([[0u8, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0], [2, 0, 0, 0x80]][random.below(4)]);
    while out.len() < usize::from(out[2]) {
        out.push([0, 0x20, 0x30][random.below(3)]);
    }
    out.extend(wlan(random));
    out
}

/// A packet of a link type.
fn whole(random: &mut Random, link: u16) -> Vec<u8> {
    let ip = |random: &mut Random| if random.chance(50) { ipv4(random, 0) } else { ipv6(random, 0) };
    match link {
        0 | 108 => {
            let mut family = [2u32, 30, 24, 28, 10][random.below(5)].to_be_bytes();
            if random.chance(50) {
                family.reverse();
            }
            [family.to_vec(), ip(random)].concat()
        }
        1 => ethernet(random, 0),
        9 | 50 => [vec![0xff, 0x03], ppp(random, 0)].concat(),
        51 => [vec![0x11, 0, 0, 3, 0, 40], ppp(random, 0)].concat(),
        105 => wlan(random),
        113 => {
            let mut out = vec![0, random.below(5) as u8, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
            let (kind, inner) = match random.below(4) {
                0 => (4, llc(random)),
                1 => (1, llc(random)),
                _ => typed(random, 0),
            };
            out.extend(kind.to_be_bytes());
            out.extend(inner);
            out
        }
        127 => radiotap(random),
        276 => {
            let (kind, inner) = if random.chance(20) { (0xfe, llc(random)) } else { typed(random, 0) };
            let mut out = kind.to_be_bytes().to_vec();
            out.extend([0, 0, 0, 0, 0, random.below(4) as u8, 0, 1, random.below(5) as u8, 6]);
            out.extend([2, 0, 0, 0, 0, 1, 0, 0]);
            out.extend(inner);
            out
        }
        _ => ip(random),
    }
}

/// Packets with their lengths on the wire: whole, cut short, with changed bytes, and noise.
pub fn packets(seed: u64, link: u16, count: usize) -> Vec<(Vec<u8>, u32)> {
    let mut random = Random(seed ^ u64::from(link) << 32);
    (0..count)
        .map(|i| {
            let mut packet = whole(&mut random, link);
            match i % 8 {
                5 => packet = (0..random.below(80)).map(|_| random.next() as u8).collect(),
                6 => {
                    for _ in 0..3 {
                        if !packet.is_empty() {
                            let at = random.below(packet.len());
                            packet[at] = random.next() as u8;
                        }
                    }
                }
                _ => {}
            }
            let wire = packet.len() as u32;
            if random.chance(40) {
                packet.truncate(random.below(packet.len() + 1));
            }
            (packet, wire)
        })
        .collect()
}
