//! Any bytes as a frame of any link type: no panic, headers within the bytes, values that agree with each other.
//!
//! Two bytes choose the link type and how many bytes of the frame the capture lacks.
use netfast_wire::checksum::{checksum, verify_l3, verify_l4};
use netfast_wire::{
    Checksum, Frame, HeaderKind, Inner, InnerKind, Layers, Limits, LinkType, Present, Verdict, dissect,
    dissect_inner, dissect_innermost,
};

pub fn check(data: &[u8]) {
    let [link, missing, bytes @ ..] = data else { return };
    // One number more than there are: a link type that nobody has.
    let supported = LinkType::SUPPORTED;
    let link = supported.get(usize::from(*link) % (supported.len() + 1)).copied().unwrap_or(LinkType(0xfff));
    let wire_len = (bytes.len() + usize::from(*missing)) as u32;
    let frame = Frame { bytes, wire_len, link };
    for limits in [Limits::default(), Limits { link_headers: 2, extension_headers: 2, depth: 2 }] {
        nest(&frame, &limits);
    }
    let whole = outermost(&Frame::whole(bytes, link), &Limits::default());
    if whole.verdict != Verdict::Malformed {
        for cut in [bytes.len() / 4, bytes.len() / 2, bytes.len().saturating_sub(1)] {
            let frame = Frame { bytes: &bytes[..cut], wire_len: bytes.len() as u32, link };
            let verdict = outermost(&frame, &Limits::default()).verdict;
            assert_ne!(
                verdict,
                Verdict::Malformed,
                "a good packet, cut after {cut} of {} bytes",
                bytes.len()
            );
        }
    }
    let _ = checksum(bytes);
}

fn outermost(frame: &Frame<'_>, limits: &Limits) -> Layers {
    let mut layers = Layers::default();
    dissect(frame, limits, &mut layers, &mut ());
    layers
}

/// A packet and all that it carries.
fn nest(frame: &Frame<'_>, limits: &Limits) {
    let (mut layers, mut headers) = (Layers::default(), Vec::new());
    dissect(frame, limits, &mut layers, &mut headers);
    assert_eq!(layers, outermost(frame, limits), "the visitor changes the result");
    let (mut depth, mut best) = (0, layers);
    loop {
        packet(frame, &layers, depth);
        if depth > 0 && layers.ip_version != 0 {
            best = layers;
        }
        let before = layers;
        if !dissect_inner(frame, limits, &mut layers, &mut headers) {
            assert_eq!(before, layers, "no inner packet, but other values");
            break;
        }
        depth += 1;
        assert!(depth <= limits.depth, "nested {depth} times");
    }
    ordered(frame, &headers);
    let mut innermost = Layers::default();
    dissect_innermost(frame, limits, &mut innermost, &mut ());
    assert_eq!(innermost, best);
}

/// Each header lies within the bytes and not before the one that it follows.
fn ordered(frame: &Frame<'_>, headers: &[(HeaderKind, usize, usize)]) {
    let mut at = 0;
    for &(kind, offset, len) in headers {
        assert!(
            offset >= at && offset + len <= frame.bytes.len(),
            "{kind} at {offset}, {len} bytes: {headers:?}"
        );
        at = offset;
    }
}

fn packet(frame: &Frame<'_>, layers: &Layers, depth: u8) {
    assert_eq!(layers.depth, depth);
    if layers.present.has(Present::IP) {
        assert!(matches!(layers.ip_version, 4 | 6));
        assert!(layers.l3_offset <= layers.end);
        assert!((layers.l3_offset as usize) < frame.bytes.len());
        let ip_len = layers.ip_len();
        assert!(layers.payload_len <= ip_len, "{layers:?}");
    } else {
        assert_eq!((layers.ip_version, layers.src, layers.dst), (0, [0; 16], [0; 16]));
    }
    if layers.present.has(Present::TRANSPORT) {
        assert!(layers.l4_offset as usize <= frame.bytes.len());
        assert!(layers.l4_offset >= layers.l3_offset);
    }
    if layers.present.has(Present::TCP_FLAGS) {
        assert!(layers.tcp_flags < 1 << 12);
    }
    let Inner { kind, offset, end } = layers.inner;
    if kind != InnerKind::None {
        assert!(offset <= end, "{layers:?}");
        assert!(offset as usize <= frame.bytes.len().max(frame.wire_len as usize));
    }
    let (l3, l4) = (verify_l3(frame, layers), verify_l4(frame, layers));
    if layers.ip_version != 4 {
        assert_eq!(l3, Checksum::None);
    }
    if !layers.present.has(Present::PROTOCOL) {
        assert_eq!(l4, Checksum::None);
    }
}
