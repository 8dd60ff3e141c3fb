//! What a header says that cannot be, in words.
use super::bits::read_number;
use super::chain;
use super::examine::Dissection;
use crate::dissect::Frame;
use crate::layers::Layers;
use crate::{HeaderKind, LinkType};

/// The header that dissection could not read at `at`, as far as what stands before it says so, and what is wrong there:
/// `layers.stop_need` bytes were needed.
pub(super) fn explain(
    frame: &Frame<'_>,
    dissection: &Dissection,
    layers: &Layers,
) -> (Option<HeaderKind>, String) {
    let (at, need) = (layers.stop_offset as usize, layers.stop_need as usize);
    let end = if layers.end == 0 { frame.bytes.len() } else { layers.end as usize };
    let bytes = frame.bytes.get(at..end.min(frame.bytes.len())).unwrap_or(&[]);
    let have = bytes.len();
    let inside = dissection.headers.iter().find(|(_, offset, len)| (*offset..offset + len).contains(&at));
    let place = inside.map(|(kind, offset, _)| (*kind, at - offset));
    let kind = inside.map(|(kind, ..)| *kind).or_else(|| expected(frame, dissection, at, bytes));
    let missing = || format!("{need} bytes are needed here, and {have} are there");
    let what = match (kind, place, bytes) {
        (Some(HeaderKind::Ipv4 | HeaderKind::Ipv6), Some((_, 0)), _) => {
            let there = frame.bytes.len().saturating_sub(at);
            format!("the length of the IP packet is {need} bytes, and the frame has {there}")
        }
        (Some(HeaderKind::Udp), Some((_, 4)), &[high, low, ..]) => match u16::from_be_bytes([high, low]) {
            len @ 0..8 => format!("length {len}, which must be at least 8"),
            len => format!("length {len}, and the IP packet has {} bytes for it", have + 4),
        },
        (Some(HeaderKind::Ipv4 | HeaderKind::Ipv6), None, &[first, ..]) => match (kind, first >> 4) {
            (_, version) if version != 4 && version != 6 => format!("IP version {version}, not 4 or 6"),
            (Some(HeaderKind::Ipv4), 6) => "IP version 6, where IPv4 is announced".into(),
            (Some(HeaderKind::Ipv6), 4) => "IP version 4, where IPv6 is announced".into(),
            (_, 4) => ipv4(bytes).unwrap_or_else(missing),
            _ => missing(),
        },
        (Some(HeaderKind::Tcp), None, bytes) if have > 12 && (bytes[12] >> 4) < 5 => {
            format!("header length {} bytes, which must be at least 20", u32::from(bytes[12] >> 4) * 4)
        }
        (Some(HeaderKind::Tcp), None, _) if have >= 20 => {
            format!("header length {need} bytes, and {have} are there")
        }
        _ if have < need => missing(),
        _ => format!("a length here says {need} bytes, which cannot be"),
    };
    (kind, what)
}

/// What is wrong with lengths in an IPv4 header.
fn ipv4(bytes: &[u8]) -> Option<String> {
    let header_len = usize::from(bytes[0] & 15) * 4;
    if header_len < 20 {
        return Some(format!("header length {header_len} bytes, which must be at least 20"));
    }
    let total = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    let short = total < header_len && bytes.len() >= header_len;
    short.then(|| format!("total length {total}, which is less than the header's {header_len} bytes"))
}

/// The header that was to follow: by the number before it, at the start of a frame by the link type.
fn expected(frame: &Frame<'_>, dissection: &Dissection, at: usize, bytes: &[u8]) -> Option<HeaderKind> {
    let ip = || match bytes.first().map_or(0, |first| first >> 4) {
        6 => HeaderKind::Ipv6,
        _ => HeaderKind::Ipv4,
    };
    let before = dissection.headers.iter().rev().find(|(_, offset, len)| offset + len == at);
    let Some((kind, offset, len)) = before else {
        return match frame.link {
            LinkType::RAW | LinkType::RAW_BSD_12 | LinkType::RAW_BSD_14 if at == 0 => Some(ip()),
            LinkType::IPV4 if at == 0 => Some(HeaderKind::Ipv4),
            LinkType::IPV6 if at == 0 => Some(HeaderKind::Ipv6),
            LinkType::ETHERNET if at == 0 => Some(HeaderKind::Ethernet),
            _ => None,
        };
    };
    let header = frame.bytes.get(*offset..offset.saturating_add(*len))?;
    let (field, space) = chain::next_field(*kind)?;
    let number = read_number(header, &super::spec(*kind).fields[field]);
    let mut all = HeaderKind::ALL.iter().copied();
    match space {
        chain::Numbers::Protocol => all.find(|kind| chain::protocol(*kind).map(u64::from) == Some(number)),
        chain::Numbers::EtherType => all.find(|kind| chain::ethertype(*kind).map(u64::from) == Some(number)),
        chain::Numbers::Ppp | chain::Numbers::Family | chain::Numbers::Bottom => Some(ip()),
        chain::Numbers::Port => None,
    }
}
