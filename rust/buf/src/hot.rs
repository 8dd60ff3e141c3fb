//! The line of a packet that each stage of the datapath reads: 64 bytes, one cache line.
use netfast_time::Instant;

/// What is known about the checksums of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ChecksumState {
    /// Nobody looked yet.
    #[default]
    Unchecked,
    /// Looked at and right, or vouched for by the sender on this machine: every transport checksum that the packet has,
    /// inside of a tunnel, too. Who was told of one only (virtio's `DATA_VALID` before a tunnel) leaves it at unchecked.
    Good,
    /// Looked at and wrong.
    Bad,
    /// The transport checksum field holds the sum of the pseudo-header only, with the length of the packet as it stands,
    /// folded and not complemented; whoever sends the packet fills it in. In a tunnel it is the innermost one's.
    Partial,
}

/// Which way a packet goes in its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// As the first packet of the flow went.
    #[default]
    Forward,
    /// The other way.
    Reverse,
}

/// How a packet that stands for several is cut into them: by its innermost headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum GsoType {
    /// One packet as it stands.
    #[default]
    None,
    /// TCP segments over IPv4.
    Tcp4,
    /// TCP segments over IPv6.
    Tcp6,
    /// UDP datagrams of equal size.
    Udp,
}

impl std::fmt::Display for GsoType {
    /// As users of Python say it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Tcp4 => "tcp4",
            Self::Tcp6 => "tcp6",
            Self::Udp => "udp",
        })
    }
}

/// What else has to be known to cut a packet into the very packets that it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GsoFlags(u8);

impl GsoFlags {
    /// The outermost IPv4 header's identification is the same in all packets. Without it each packet has the one after
    /// that of the packet before it, modulo 65,536.
    pub const FIXED_ID: Self = Self(1);
    /// The same of the IPv4 header inside of a tunnel.
    pub const INNER_FIXED_ID: Self = Self(2);
    /// The segments are in a tunnel: [`HotLine::outer`] says where its headers are, [`HotLine::inner`] where theirs.
    pub const TUNNEL: Self = Self(4);

    /// True when all of `flags` are set.
    #[inline]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These flags and `flags`.
    #[inline]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }
}

/// Where headers begin, in bytes from the first byte of the packet; `None` where there is none or nobody looked.
///
/// Kept as `u16` plus one, so that the four of them are small and "none" is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    l2: u16,
    l3: u16,
    l4: u16,
}

impl Offsets {
    /// Offsets of the link, network and transport headers. One of 65,535 or more counts as none: headers stand in the
    /// first segment, which is never that long.
    #[inline]
    pub fn new(l2: Option<u32>, l3: Option<u32>, l4: Option<u32>) -> Self {
        Self { l2: pack(l2), l3: pack(l3), l4: pack(l4) }
    }

    /// The link header.
    #[inline]
    pub fn l2(self) -> Option<u32> {
        unpack(self.l2)
    }

    /// The network header.
    #[inline]
    pub fn l3(self) -> Option<u32> {
        unpack(self.l3)
    }

    /// The transport header.
    #[inline]
    pub fn l4(self) -> Option<u32> {
        unpack(self.l4)
    }

    /// `change` works on the packed form: 0 for none, else the offset plus one.
    #[inline]
    fn map(self, change: impl Fn(u32) -> u32) -> Self {
        let change = |packed| u16::try_from(change(u32::from(packed))).unwrap_or(0);
        Self { l2: change(self.l2), l3: change(self.l3), l4: change(self.l4) }
    }
}

#[inline]
fn pack(offset: Option<u32>) -> u16 {
    offset.and_then(|offset| u16::try_from(offset).ok()).and_then(|offset| offset.checked_add(1)).unwrap_or(0)
}

#[inline]
fn unpack(packed: u16) -> Option<u32> {
    packed.checked_sub(1).map(u32::from)
}

/// What every stage reads of a packet.
///
/// ```text
///  0 timestamp | 8 length | 12 header length | 16 in port | 20 flow | 24 outer L2 L3 L4 | 30 inner L2 L3 L4
/// 36 GSO size | 38 GSO segments | 40 GSO type | 41 checksums | 42 direction | 43 GSO flags | 44 to 63 free
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct HotLine {
    /// When the packet arrived or was made.
    pub timestamp: Instant,
    pub(crate) length: u32,
    pub(crate) header_length: u32,
    /// The port it came in by; the caller numbers them.
    pub in_port: u32,
    /// Place of its flow in the flow table; `u32::MAX` and any other value mean what the caller lets them mean.
    pub flow: u32,
    /// The outermost headers.
    pub outer: Offsets,
    /// The headers inside of a tunnel.
    pub inner: Offsets,
    /// Payload bytes of each packet that this one stands for; 0 when it stands for itself. It stays for life: what
    /// decides about sizes (an MTU) looks at the size of the segments.
    pub gso_size: u16,
    /// How many packets this one stands for; 0 when it stands for itself.
    pub gso_segments: u16,
    /// How it is cut.
    pub gso_type: GsoType,
    /// What is known about its checksums.
    pub checksum: ChecksumState,
    /// Which way it goes in its flow.
    pub direction: Direction,
    /// What else is known about how it is cut.
    pub gso_flags: GsoFlags,
}

const _: () = assert!(size_of::<HotLine>() == 64 && align_of::<HotLine>() == 64);

impl HotLine {
    /// Takes all that `other` says, but for the lengths, which are those of a packet.
    #[inline(always)]
    pub fn mark(&mut self, other: &Self) {
        *self = Self { length: self.length, header_length: self.header_length, ..*other };
    }

    /// The packet begins `count` bytes earlier.
    #[inline]
    pub(crate) fn pushed(&mut self, count: u32) {
        self.header_length = self.header_length.saturating_add(count);
        let moved = |packed: u32| if packed == 0 { 0 } else { packed.saturating_add(count) };
        (self.outer, self.inner) = (self.outer.map(moved), self.inner.map(moved));
    }

    /// The packet begins `count` bytes later: headers before that are gone.
    #[inline]
    pub(crate) fn popped(&mut self, count: u32) {
        self.header_length = self.header_length.saturating_sub(count);
        let moved = |packed: u32| packed.saturating_sub(count);
        (self.outer, self.inner) = (self.outer.map(moved), self.inner.map(moved));
    }

    /// The packet ends at `length`: headers from there on are gone.
    #[inline]
    pub(crate) fn trimmed(&mut self, length: u32) {
        let (Offsets { l2, l3, l4 }, inner) = (self.outer, self.inner);
        let last = l2.max(l3).max(l4).max(inner.l2).max(inner.l3).max(inner.l4);
        if u32::from(last).max(self.header_length) > length {
            self.trim_headers(length);
        }
    }

    #[inline(never)]
    fn trim_headers(&mut self, length: u32) {
        self.header_length = self.header_length.min(length);
        let kept = |packed: u32| if packed <= length { packed } else { 0 };
        (self.outer, self.inner) = (self.outer.map(kept), self.inner.map(kept));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_move_with_the_bytes_and_vanish_with_them() {
        let mut hot = HotLine { outer: Offsets::new(Some(0), Some(14), Some(34)), ..HotLine::default() };
        hot.header_length = 42;
        hot.popped(14);
        assert_eq!(
            (hot.outer.l2(), hot.outer.l3(), hot.outer.l4(), hot.header_length),
            (None, Some(0), Some(20), 28)
        );
        hot.pushed(40);
        assert_eq!(
            (hot.outer.l2(), hot.outer.l3(), hot.outer.l4(), hot.header_length),
            (None, Some(40), Some(60), 68)
        );
        hot.trimmed(60);
        assert_eq!((hot.outer.l3(), hot.outer.l4(), hot.header_length), (Some(40), None, 60));
        hot.pushed(u32::from(u16::MAX) - 41);
        assert_eq!(hot.outer.l3(), Some(65_534));
        hot.pushed(1);
        assert_eq!(hot.outer.l3(), None, "beyond what can be kept");
        assert_eq!(hot.inner, Offsets::default());
    }
}
