//! Transport checksums of a train: verified before a packet is merged, and the super-packet's made from those of its parts.
//!
//! A checksum that is right tells the sum of the payload under it, so the payload is read only to verify. All sums are
//! ones' complement sums in the machine's byte order (RFC 1071 2); the payload of a packet that begins at an odd place has
//! its sum swapped.
use super::headers::{Carrier, Layout, Network};
use super::reason::Reason;
use netfast_buf::{ChecksumState, Skb};
use netfast_low::sum::{fold, sum_words};
use netfast_wire::dissect::protocol as p;

/// What is a packet's own under its checksum, payload aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The length, and what of the header is different in each packet.
    variable: u64,
    /// What is in the field.
    pub checksum: u16,
}

#[inline(always)]
fn native(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

impl Part {
    /// Of a segment of `length` bytes, header included.
    #[inline(always)]
    pub(super) fn tcp(header: &[u8; 20], length: u32) -> Self {
        let seq = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
        let variable = u64::from((length as u16).to_be()) + u64::from(seq) + u64::from(native(header, 12));
        Self { variable, checksum: native(header, 16) }
    }

    /// Of a datagram whose length says the truth. It is in the pseudo-header, too.
    #[inline(always)]
    pub(super) fn udp(header: &[u8; 8]) -> Self {
        Self { variable: u64::from(native(header, 4)) * 2, checksum: native(header, 6) }
    }

    fn of(head: &[u8], layout: &Layout, length: u32) -> Option<Self> {
        let at = usize::from(layout.inner.transport);
        let bytes = head.get(at..)?;
        Some(if layout.tcp {
            Self::tcp(bytes.first_chunk()?, length - at as u32)
        } else {
            Self::udp(bytes.first_chunk()?)
        })
    }
}

/// Sums of what was merged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// What is the same under the checksum of each packet: addresses, protocol, the header but for its [`Part`].
    constant: u64,
    /// The payload of all.
    payload: u64,
    /// There is a checksum over the payload: TCP's, or UDP's where it is not left out.
    inner: bool,
    /// The tunnel has one, too.
    outer: bool,
    /// A checksum that is known to be right tells the sum of the payload, and need not be looked at.
    trusts: bool,
}

/// A word in the machine's byte order.
#[inline(always)]
fn word(head: &[u8], at: usize) -> u16 {
    head.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

/// Where the checksum under the innermost IP header stands.
fn checksum_at(layout: &Layout) -> usize {
    usize::from(layout.inner.transport) + if layout.tcp { 16 } else { 6 }
}

/// Where the tunnel's checksum stands.
fn outer_checksum_at(layout: &Layout) -> Option<usize> {
    let at = usize::from(layout.outer.transport);
    match layout.carrier {
        Carrier::Udp => Some(at + 6),
        Carrier::Gre { checksum: true } => Some(at + 4),
        _ => None,
    }
}

/// The pseudo-header without its length.
fn pseudo(head: &[u8], network: Network, protocol: u8) -> u64 {
    let at = usize::from(network.at);
    let range = if network.version == 4 { at + 12..at + 20 } else { at + 8..at + 40 };
    head.get(range).map_or(0, sum_words) + u64::from(u16::from(protocol).to_be())
}

/// The sum of all bytes from `skip` on, over all pieces.
fn payload_sum(packet: &Skb, skip: usize) -> u16 {
    let head = packet.head();
    if let Some(payload) = head.get(skip..).filter(|_| head.len() == packet.len() as usize) {
        return fold(sum_words(payload));
    }
    let (mut total, mut skip, mut odd) = (0, skip, false);
    for piece in packet.segments() {
        let bytes = piece.get(skip..).unwrap_or(&[]);
        skip = skip.saturating_sub(piece.len());
        let sum = fold(sum_words(bytes));
        total += u64::from(if odd { sum.swap_bytes() } else { sum });
        odd ^= bytes.len() & 1 == 1;
    }
    fold(total)
}

impl Sums {
    /// For a train that begins with `packet`, before any payload is taken in; and what is that packet's own.
    pub(super) fn of(layout: &Layout, packet: &Skb) -> Option<(Self, Part)> {
        let head = packet.head();
        let at = usize::from(layout.inner.transport);
        let protocol = if layout.tcp { p::TCP } else { p::UDP };
        let part = Part::of(head, layout, packet.len())?;
        let header = sum_words(head.get(at..usize::from(layout.payload))?);
        let length = ((packet.len() - at as u32) as u16).to_be();
        // What is taken away is added in its complement.
        let whole = pseudo(head, layout.inner, protocol) + header + u64::from(length);
        let constant = whole + u64::from(!fold(part.variable)) + u64::from(!part.checksum);
        let inner = layout.tcp || part.checksum != 0;
        let outer = match (layout.carrier, outer_checksum_at(layout)) {
            (Carrier::Udp, Some(at)) => word(head, at) != 0,
            (_, at) => at.is_some(),
        };
        let extended = layout.inner.extended || layout.outer.extended;
        let trusts = !extended && (inner || !outer);
        Some((Self { constant: u64::from(fold(constant)), payload: 0, inner, outer, trusts }, part))
    }

    /// The sum of a packet's payload, once its checksums are known to be right: it is read when nobody said that they are.
    #[inline(always)]
    pub(super) fn payload(
        &self,
        layout: &Layout,
        packet: &Skb,
        head: &[u8],
        part: &Part,
        is_partial: bool,
    ) -> Result<u16, Reason> {
        if is_partial {
            return self.pseudo_only(layout, packet, part.checksum);
        }
        if !layout.tcp && (part.checksum != 0) != self.inner {
            return Err(Reason::ChecksumZero);
        }
        let known = self.constant + part.variable + u64::from(part.checksum);
        if !self.trusts || packet.hot.checksum != ChecksumState::Good {
            return self.verify(layout, packet, known);
        }
        if layout.carrier != Carrier::None {
            self.outer_form(layout, head)?;
        }
        Ok(!fold(known))
    }

    /// A checksum was looked at, or was known to be right, rather than none there.
    pub(super) fn looks(&self) -> bool {
        self.inner || self.outer
    }

    /// Takes in the sum of a payload that begins at an odd place or not.
    #[inline(always)]
    pub(super) fn add(&mut self, payload: u16, is_odd: bool) {
        self.payload += u64::from(if is_odd { payload.swap_bytes() } else { payload });
    }

    /// A tunnel's UDP checksum is there in all packets or in none.
    fn outer_form(&self, layout: &Layout, head: &[u8]) -> Result<(), Reason> {
        match (layout.carrier, outer_checksum_at(layout)) {
            (Carrier::Udp, Some(at)) if (word(head, at) != 0) != self.outer => Err(Reason::ChecksumZero),
            (Carrier::Gre { .. }, Some(at)) if word(head, at) == 0xffff => Err(Reason::ChecksumForm),
            _ => Ok(()),
        }
    }

    /// The field holds the sum of the pseudo-header and nothing else.
    #[cold]
    fn pseudo_only(&self, layout: &Layout, packet: &Skb, checksum: u16) -> Result<u16, Reason> {
        let right = checksum == self.pseudo_sum(layout, packet.head(), packet.len());
        if right { Ok(0) } else { Err(Reason::ChecksumPartial) }
    }

    fn pseudo_sum(&self, layout: &Layout, head: &[u8], length: u32) -> u16 {
        let protocol = if layout.tcp { p::TCP } else { p::UDP };
        let length = (length - u32::from(layout.inner.transport)) as u16;
        fold(pseudo(head, layout.inner, protocol) + u64::from(length.to_be()))
    }

    /// Reads the payload. `known` is the sum of all else under the checksum, its field included.
    #[inline(never)]
    fn verify(&self, layout: &Layout, packet: &Skb, known: u64) -> Result<u16, Reason> {
        self.outer_form(layout, packet.head())?;
        if !self.inner && !self.outer {
            return Ok(0);
        }
        let payload = payload_sum(packet, usize::from(layout.payload));
        let inner = !self.inner || fold(known + u64::from(payload)) == 0xffff;
        let right =
            inner && (!self.outer || self.outer_sum(layout, packet.head(), packet.len(), payload) == 0xffff);
        match right {
            true => Ok(payload),
            // The checksum may be of other addresses than those that are seen.
            false if layout.inner.extended || layout.outer.extended => Err(Reason::ExtensionHeader),
            false => Err(Reason::ChecksumBad),
        }
    }

    /// The sum under the tunnel's checksum.
    fn outer_sum(&self, layout: &Layout, head: &[u8], length: u32, payload: u16) -> u16 {
        let at = usize::from(layout.outer.transport);
        let mut sum = head.get(at..usize::from(layout.payload)).map_or(0, sum_words) + u64::from(payload);
        if layout.carrier == Carrier::Udp {
            sum += pseudo(head, layout.outer, p::UDP) + u64::from(((length - at as u32) as u16).to_be());
        }
        fold(sum)
    }

    /// Writes the checksums of the super-packet of `length` bytes, whose headers are written otherwise.
    pub(super) fn write(&self, layout: &Layout, head: &mut [u8], length: u32, is_partial: bool) {
        let put = |head: &mut [u8], at: usize, value: u16| {
            if let Some(field) = head.get_mut(at..at + 2) {
                field.copy_from_slice(&value.to_ne_bytes());
            }
        };
        // UDP writes 0 as 0xffff: 0 is none (RFC 768).
        let udp = |checksum: u16| if checksum == 0 { 0xffff } else { checksum };
        let at = checksum_at(layout);
        if is_partial {
            put(head, at, self.pseudo_sum(layout, head, length));
        } else if self.inner {
            let variable = Part::of(head, layout, length).map_or(0, |part| part.variable);
            let checksum = !fold(self.constant + variable + self.payload);
            put(head, at, if layout.tcp { checksum } else { udp(checksum) });
        }
        if let Some(at) = outer_checksum_at(layout).filter(|_| self.outer) {
            put(head, at, 0);
            let checksum = !self.outer_sum(layout, head, length, fold(self.payload));
            put(head, at, if layout.carrier == Carrier::Udp { udp(checksum) } else { checksum });
        }
    }
}
