//! One-pass dissection: a frame's bytes become [`Layers`]; a visitor may see every header on the way.
//!
//! The same code serves columns, flows and the packet tree, so that they cannot disagree: the visitor that does
//! nothing costs nothing.
mod dot11;
mod link;
mod network;
mod transport;
mod wrapped;

pub use dot11::{RADIOTAP_FCS, radiotap_flags_at};
pub use link::ethertype;
pub(crate) use network::{final_addresses, final_destination, find_option};
pub use network::{protocol, source_route};
pub(crate) use transport::is_tunnel_port;

use crate::kind::HeaderKind;
use crate::layers::{Inner, InnerKind, Layers, Limits, Verdict};
use crate::link::LinkType;

/// Sees every header in the order in which they stand.
pub trait Visit {
    /// A header of `len` bytes at `offset`; all of it was captured.
    fn header(&mut self, kind: HeaderKind, offset: usize, len: usize);
}

impl Visit for () {
    #[inline(always)]
    fn header(&mut self, _: HeaderKind, _: usize, _: usize) {}
}

impl Visit for Vec<(HeaderKind, usize, usize)> {
    fn header(&mut self, kind: HeaderKind, offset: usize, len: usize) {
        self.push((kind, offset, len));
    }
}

/// A captured frame: its bytes, and how long it was on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Bytes on the wire; below the number of captured ones it counts as that number.
    pub wire_len: u32,
    /// What the bytes begin with.
    pub link: LinkType,
}

impl<'a> Frame<'a> {
    /// A frame that was captured whole.
    pub fn whole(bytes: &'a [u8], link: LinkType) -> Self {
        Self { bytes, wire_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX), link }
    }
}

/// Dissects the outermost packet of a frame into `out`.
#[inline]
pub fn dissect<V: Visit>(frame: &Frame<'_>, limits: &Limits, out: &mut Layers, visit: &mut V) {
    *out = Layers::default();
    let mut cursor = Cursor::new(frame, limits, visit);
    let stop = cursor.outermost(frame.link, out);
    cursor.finish(stop, out);
}

/// Dissects the packet that `layers` carries into `layers` itself; false, and nothing changed, when it carries none.
///
/// A packet deeper than [`Limits::depth`] is not dissected: its verdict is [`Verdict::TooDeep`] and it has no values.
pub fn dissect_inner<V: Visit>(
    frame: &Frame<'_>,
    limits: &Limits,
    layers: &mut Layers,
    visit: &mut V,
) -> bool {
    let Inner { kind, offset, end } = layers.inner;
    if kind == InnerKind::None {
        return false;
    }
    let depth = layers.depth + 1;
    *layers = Layers { depth, ..Layers::default() };
    let mut cursor = Cursor::new(frame, limits, visit);
    cursor.end = end as usize;
    let at = offset as usize;
    let stop = if depth >= limits.depth {
        Err(Stop { verdict: Verdict::TooDeep, offset: at, need: 0 })
    } else {
        match kind {
            InnerKind::None => Ok(()),
            InnerKind::Ip => cursor.ip(at, layers),
            InnerKind::Ethernet => cursor.ethernet(at, layers),
            InnerKind::EtherType(ethertype) => cursor.ethertype(ethertype, at, layers),
            InnerKind::Ppp => cursor.ppp(at, layers),
        }
    };
    cursor.finish(stop, layers);
    true
}

/// Dissects down to the innermost packet that has an IP header; the outermost one when none has.
#[inline]
pub fn dissect_innermost<V: Visit>(frame: &Frame<'_>, limits: &Limits, out: &mut Layers, visit: &mut V) {
    dissect(frame, limits, out, visit);
    let mut best = *out;
    while dissect_inner(frame, limits, out, visit) {
        if out.ip_version != 0 {
            best = *out;
        }
    }
    *out = best;
}

/// Why a step went no further.
#[derive(Clone, Copy, Debug)]
struct Stop {
    verdict: Verdict,
    offset: usize,
    need: usize,
}

type Step = Result<(), Stop>;

struct Cursor<'a, V> {
    /// What was captured.
    bytes: &'a [u8],
    /// Length on the wire.
    wire: usize,
    /// Where the packet at hand ends by the lengths read so far; may lie beyond the wire when they lie.
    end: usize,
    /// What is left of them.
    limits: Limits,
    visit: &'a mut V,
}

impl<'a, V: Visit> Cursor<'a, V> {
    #[inline(always)]
    fn new(frame: &Frame<'a>, limits: &Limits, visit: &'a mut V) -> Self {
        let wire = (frame.wire_len as usize).max(frame.bytes.len());
        Self { bytes: frame.bytes, wire, end: wire, limits: *limits, visit }
    }

    #[inline(always)]
    fn finish(&mut self, step: Step, out: &mut Layers) {
        let step = match step {
            // All headers are there, but the packet is not: its length says more than what holds it.
            Ok(()) if out.end as usize > self.end => {
                Err(self.malformed(out.l3_offset as usize, out.ip_len() as usize))
            }
            step => step,
        };
        if let Err(stop) = step {
            out.verdict = stop.verdict;
            out.stop_offset = stop.offset as u32;
            out.stop_need = stop.need as u32;
        }
    }

    /// The `N` bytes at `at`, if the packet has them and the capture too.
    #[inline(always)]
    fn take<const N: usize>(&self, at: usize) -> Result<&'a [u8; N], Stop> {
        match self.bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(bytes) if at + N <= self.end => Ok(bytes),
            _ => Err(self.short(at, N)),
        }
    }

    /// What stands at `at..at + len`, if all of it is there.
    #[inline(always)]
    fn slice(&self, at: usize, len: usize) -> Result<&'a [u8], Stop> {
        match self.bytes.get(at..).and_then(|rest| rest.get(..len)) {
            Some(bytes) if at + len <= self.end => Ok(bytes),
            _ => Err(self.short(at, len)),
        }
    }

    /// Missing bytes are the capture's fault when the packet had them, and the packet's when it had not.
    #[cold]
    fn short(&self, offset: usize, need: usize) -> Stop {
        let last = offset.saturating_add(need);
        let verdict =
            if last > self.end || last > self.wire { Verdict::Malformed } else { Verdict::Truncated };
        Stop { verdict, offset, need }
    }

    #[cold]
    fn malformed(&self, offset: usize, need: usize) -> Stop {
        Stop { verdict: Verdict::Malformed, offset, need }
    }

    #[cold]
    fn stop(&self, verdict: Verdict, offset: usize) -> Stop {
        Stop { verdict, offset, need: 0 }
    }
}

#[inline(always)]
fn be16(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests;
