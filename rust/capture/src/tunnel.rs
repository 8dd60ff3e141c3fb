//! Fragments inside of tunnels: where they are, which of them belong together, and what around them changes with their length.
use netfast_low::hash::Seed;
use netfast_wire::checksum::{checksum, pseudo_checksum};
use netfast_wire::dissect::protocol as p;
use netfast_wire::{Frame, HeaderKind, InnerKind, Layers, Limits, LinkType, dissect, dissect_inner};

/// Headers of a frame: what they are, where they begin, how long they are.
type Headers = Vec<(HeaderKind, usize, usize)>;

/// A fragment that a tunnel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tunnelled {
    /// Its IP header.
    pub offset: u32,
    /// A number for the tunnels around it: what has another one is of another network.
    pub world: u64,
}

/// The fragment that the tunnels of a frame carry. `None` where they carry none, and where a header before it says its length
/// in a way that cannot be made right (802.3 within a tunnel).
pub(crate) fn tunnelled(link: LinkType, bytes: &[u8], seed: &Seed) -> Option<Tunnelled> {
    let (frame, limits, mut layers) = (Frame::whole(bytes, link), Limits::default(), Layers::default());
    dissect(&frame, &limits, &mut layers, &mut ());
    if layers.inner.kind == InnerKind::None {
        return None;
    }
    let mut headers = Headers::new();
    dissect(&frame, &limits, &mut layers, &mut headers);
    while dissect_inner(&frame, &limits, &mut layers, &mut headers) {
        if layers.ip_version == 0 || !layers.is_fragment() {
            continue;
        }
        let offset = layers.l3_offset;
        headers.retain(|(_, at, _)| *at < offset as usize);
        let within = headers.iter().skip_while(|(kind, ..)| !is_ip(*kind));
        if within.clone().any(|(kind, ..)| matches!(kind, HeaderKind::Llc | HeaderKind::Snap)) {
            return None;
        }
        let world = within.fold(0, |world, header| names_of(world, *header, bytes, seed));
        return Some(Tunnelled { offset, world });
    }
    None
}

fn is_ip(kind: HeaderKind) -> bool {
    matches!(kind, HeaderKind::Ipv4 | HeaderKind::Ipv6)
}

/// What tells one tunnel from another: its kind, addresses and network identifiers. Not the ports of UDP, which differ between
/// fragments where a tunnel's end spreads flows (RFC 7348 5), nor link addresses.
fn names_of(world: u64, (kind, at, len): (HeaderKind, usize, usize), bytes: &[u8], seed: &Seed) -> u64 {
    let word = |at: usize| -> u64 {
        let four = bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
        four.map_or(0, |four| u64::from(u32::from_be_bytes(*four)))
    };
    let wide = |at: usize| word(at) << 32 | word(at + 4);
    let (a, b, c, d) = match kind {
        HeaderKind::Ipv4 => (wide(at + 12), 0, 0, 0),
        HeaderKind::Ipv6 => (wide(at + 8), wide(at + 16), wide(at + 24), wide(at + 32)),
        HeaderKind::Vxlan | HeaderKind::Geneve => (word(at + 4) >> 8, 0, 0, 0),
        HeaderKind::Vlan => (word(at) >> 16 & 0xfff, 0, 0, 0),
        HeaderKind::Mpls => (word(at) >> 12, 0, 0, 0),
        // RFC 2637 4.1: half of PPTP's key is the length of what it carries.
        HeaderKind::Gre if is_pptp(bytes, at) => (word(at + 4) & 0xffff, 0, 0, 0),
        // RFC 2890: a key behind the checksum, where there is one.
        HeaderKind::Gre if word(at) & 0x2000_0000 != 0 && len >= 8 => {
            (word(at + if word(at) & 0x8000_0000 != 0 { 8 } else { 4 }), 0, 0, 0)
        }
        _ => (0, 0, 0, 0),
    };
    seed.hash5(&[world ^ (kind as u64) << 56, a, b, c, d])
}

/// GRE as PPTP has it (RFC 2637 4.1), version 1.
fn is_pptp(bytes: &[u8], at: usize) -> bool {
    bytes.get(at + 1).is_some_and(|flags| flags & 7 == 1)
}

/// Makes lengths and checksums of the tunnels around the IP packet at `offset` right, which goes on to the end of the
/// frame. A length that its field cannot say is zero, as hosts have it for what is longer than 65,535 bytes.
pub(crate) fn set_lengths(link: LinkType, bytes: &mut [u8], offset: u32) {
    let (limits, mut layers, mut headers) = (Limits::default(), Layers::default(), Headers::new());
    let frame = Frame::whole(bytes, link);
    dissect(&frame, &limits, &mut layers, &mut headers);
    while layers.l3_offset < offset && dissect_inner(&frame, &limits, &mut layers, &mut headers) {}
    headers.retain(|(_, at, _)| *at < offset as usize);
    for at in (0..headers.len()).rev() {
        let before = headers[..at].iter().rev().find(|(kind, ..)| is_ip(*kind)).copied();
        set_length(headers[at], before, bytes);
    }
}

/// That of one header; what is behind it is right.
fn set_length(
    (kind, at, len): (HeaderKind, usize, usize),
    before: Option<(HeaderKind, usize, usize)>,
    bytes: &mut [u8],
) {
    let Some((_, packet)) = bytes.split_at_checked(at) else { return };
    let length = |header: usize| u16::try_from(packet.len().saturating_sub(header)).unwrap_or(0);
    match kind {
        HeaderKind::Ipv4 => {
            put(bytes, at + 2, length(0));
            put(bytes, at + 10, 0);
            let sum = bytes.get(at..at + len).map_or(0, checksum);
            put(bytes, at + 10, sum);
        }
        HeaderKind::Ipv6 => put(bytes, at + 4, length(40)),
        HeaderKind::Pppoe => put(bytes, at + 4, length(6)),
        HeaderKind::Udp => {
            put(bytes, at + 4, length(0));
            if bytes.get(at + 6..at + 8).is_some_and(|sum| sum != [0, 0]) {
                put(bytes, at + 6, 0);
                let sum = before.map_or(0, |ip| udp_checksum(bytes, ip, at));
                put(bytes, at + 6, if sum == 0 { 0xffff } else { sum });
            }
        }
        HeaderKind::Gre if is_pptp(bytes, at) => put(bytes, at + 4, length(len)),
        // RFC 2784 2.3: over the header and the payload.
        HeaderKind::Gre if bytes.get(at).is_some_and(|flags| flags & 0x80 != 0) => {
            put(bytes, at + 4, 0);
            let sum = bytes.get(at..).map_or(0, checksum);
            put(bytes, at + 4, sum);
        }
        _ => {}
    }
}

/// The checksum of the UDP packet at `at`, behind an IP header, to the frame's end.
fn udp_checksum(bytes: &[u8], (kind, ip, _): (HeaderKind, usize, usize), at: usize) -> u16 {
    let address = |from: usize, len: usize| {
        let mut address = [0; 16];
        if let Some(bytes) = bytes.get(from..from + len) {
            address[16 - len..].copy_from_slice(bytes);
        }
        address
    };
    let (src, dst) = match kind {
        HeaderKind::Ipv4 => (address(ip + 12, 4), address(ip + 16, 4)),
        _ => (address(ip + 8, 16), address(ip + 24, 16)),
    };
    pseudo_checksum(src, dst, p::UDP, bytes.get(at..).unwrap_or_default())
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
