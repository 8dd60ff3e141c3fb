//! `netfast.segment`: super-packets become the packets that they stand for.
use super::packets::{OffloadBatch, Taken, bytes_of, gso_type, named, passing_pool};
use crate::errors::{ParsePlace, option_error, parse_error, resource_error};
use crate::packet::link_type;
use netfast_buf::{GsoFlags, GsoType, Offsets, PacketPool, Skb};
use netfast_offload::segment::{Checksums, SegmentConfig, SegmentError, Segmenter, finish_checksum};
use netfast_wire::header::Dissection;
use netfast_wire::{Frame, HeaderKind, Limits, LinkType};
use pyo3::prelude::*;

/// Cuts super-packets; see `netfast.segment`.
#[pyfunction]
#[pyo3(signature = (
    packets, *, gso_size=None, gso_type: "str | None" = None, fixed_id=None, checksums="full", max_segments=2048,
    link: "int | str | None" = None,
))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn segment(
    packets: &Bound<'_, PyAny>,
    gso_size: Option<u16>,
    gso_type: Option<&str>,
    fixed_id: Option<bool>,
    checksums: &str,
    max_segments: u32,
    link: Option<&Bound<'_, PyAny>>,
) -> PyResult<OffloadBatch> {
    let py = packets.py();
    let checksums = checksums_of(py, checksums)?;
    if max_segments == 0 {
        return Err(option_error(
            py,
            "max_segments",
            "max_segments=0: give the most packets that one may become",
        ));
    }
    let kind = gso_type.map(|name| self::gso_type(py, name)).transpose()?;
    if kind.is_some() && gso_size.is_none() {
        return Err(option_error(
            py,
            "gso_size",
            "gso_type without gso_size: give the payload bytes of a segment",
        ));
    }
    let Taken { packets, link } = Taken::of(packets, link.map(link_type).transpose()?)?;
    let config = SegmentConfig { link, checksums, segments: max_segments };
    let cut = py.detach(|| {
        let (mut segmenter, mut pool, mut out) = (Segmenter::new(config), PacketPool::default(), Vec::new());
        for (at, mut packet) in packets.into_iter().enumerate() {
            if let Some(size) = gso_size {
                mark(&mut packet, size, kind, fixed_id, link);
            }
            segmenter.segment(packet, &mut pool, &mut out).map_err(|refused| (at, refused.error))?;
        }
        Ok(out)
    });
    cut.map(|out| OffloadBatch::of(out, link)).map_err(|(at, error)| raise(py, at, error))
}

/// Who computes checksums, by name.
pub fn checksums_of(py: Python<'_>, name: &str) -> PyResult<Checksums> {
    named(py, "checksums", name, &[("full", Checksums::Full), ("partial", Checksums::Partial)])
}

/// Says how a packet is cut: at its innermost TCP or UDP header, unless the caller says another one. One that is not longer
/// than a segment stays as it is.
fn mark(packet: &mut Skb, size: u16, kind: Option<GsoType>, fixed_id: Option<bool>, link: LinkType) {
    let found = innermost(packet, link);
    let kind = kind.or(found.as_ref().map(|found| found.kind)).unwrap_or_default();
    (packet.hot.gso_type, packet.hot.gso_size) = (kind, size);
    let Some(found) = found.filter(|found| found.kind == kind && size > 0) else { return };
    if found.payload <= usize::from(size) {
        (packet.hot.gso_type, packet.hot.gso_size) = (GsoType::None, 0);
        return;
    }
    let mut flags = GsoFlags::default();
    if fixed_id == Some(true) {
        flags = flags.with(GsoFlags::FIXED_ID).with(GsoFlags::INNER_FIXED_ID);
    }
    if let Some(place) = found.inside {
        (packet.hot.inner, flags) = (place, flags.with(GsoFlags::TUNNEL));
    }
    packet.hot.gso_flags = flags;
}

/// Says where headers of a packet are that nobody has told of: the outermost ones, and in a tunnel the innermost TCP or UDP.
pub fn locate(packet: &mut Skb, link: LinkType) {
    if packet.hot.outer.l3().is_some() {
        return;
    }
    let Some(found) = innermost(packet, link) else { return };
    let hot = &mut packet.hot;
    hot.outer = found.outer;
    if let Some(inside) = found.inside.filter(|_| [GsoType::None, found.kind].contains(&hot.gso_type)) {
        hot.inner = inside;
        if hot.gso_size > 0 {
            hot.gso_flags = hot.gso_flags.with(GsoFlags::TUNNEL);
        }
    }
}

/// The innermost TCP or UDP header of a packet.
struct Innermost {
    kind: GsoType,
    /// Where the outermost headers are.
    outer: Offsets,
    /// Bytes behind it.
    payload: usize,
    /// Where it and its IP header are, when they are in a tunnel.
    inside: Option<Offsets>,
}

/// The innermost headers, when they are TCP or UDP.
fn innermost(packet: &Skb, link: LinkType) -> Option<Innermost> {
    let bytes = bytes_of(packet);
    let found = Dissection::new(&Frame::whole(&bytes, link), &Limits::default());
    let ((outermost, _), (_, first)) = (found.packets.first()?, *found.packets.last()?);
    let l2 = (outermost.l3_offset > 0).then_some(0);
    let outer = Offsets::new(l2, Some(outermost.l3_offset), Some(outermost.l4_offset));
    let headers = found.headers.get(first..)?;
    let last = |kinds: [HeaderKind; 2]| headers.iter().rfind(|(kind, ..)| kinds.contains(kind));
    let (ip, l3, _) = last([HeaderKind::Ipv4, HeaderKind::Ipv6])?;
    let (transport, l4, length) = last([HeaderKind::Tcp, HeaderKind::Udp])?;
    let kind = match (transport, ip) {
        (HeaderKind::Udp, _) => GsoType::Udp,
        (_, HeaderKind::Ipv4) => GsoType::Tcp4,
        _ => GsoType::Tcp6,
    };
    let offset = |at: usize| u32::try_from(at).ok();
    let inside = Offsets::new(None, offset(*l3), offset(*l4));
    let payload = found.end.min(bytes.len()).saturating_sub(l4 + length);
    Some(Innermost { kind, outer, payload, inside: (found.packets.len() > 1).then_some(inside) })
}

/// Fills partial checksums in; see `netfast.finish_checksums`.
#[pyfunction]
#[pyo3(signature = (packets, *, link: "int | str | None" = None))]
pub fn finish_checksums(
    packets: &Bound<'_, PyAny>,
    link: Option<&Bound<'_, PyAny>>,
) -> PyResult<OffloadBatch> {
    let py = packets.py();
    let Taken { mut packets, link } = Taken::of(packets, link.map(link_type).transpose()?)?;
    let mut pool = passing_pool();
    for (at, packet) in packets.iter_mut().enumerate() {
        finish_checksum(packet, link, &mut pool).map_err(|error| raise(py, at, error))?;
    }
    Ok(OffloadBatch::of(packets, link))
}

/// The exception of a packet that cannot be cut: of a limit, of marks that cannot be, or of its bytes. `reason` names it,
/// `packet` says which one of those given it is.
pub fn raise(py: Python<'_>, at: usize, error: SegmentError) -> PyErr {
    let text = format!("packet {at}: {error}");
    let raised = match error {
        SegmentError::TooManySegments { limit, .. } => resource_error(py, &text, Some(u64::from(limit))),
        SegmentError::NoSize { .. } | SegmentError::SegmentTooLong { .. } => {
            option_error(py, "gso_size", &text)
        }
        SegmentError::NoType { .. } => option_error(py, "gso_type", &text),
        SegmentError::Headers { offset, need, .. } => {
            let need = Some(u64::from(need)).filter(|need| *need > 0);
            parse_error(
                py,
                &text,
                ParsePlace { offset: Some(u64::from(offset)), need, ..ParsePlace::default() },
            )
        }
        _ => parse_error(py, &text, ParsePlace::default()),
    };
    // Without the attributes the error still says everything in its text.
    let _ = raised.value(py).setattr("reason", error.name());
    let _ = raised.value(py).setattr("packet", at);
    raised
}
