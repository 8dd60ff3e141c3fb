//! What a TCP segment tells the tracker. RFC 9293 3.1 (header), RFC 7323 2 (window scale), RFC 2018 (SACK).
use super::outcome::Invalid;
use zerocopy::FromZeros;

/// The flags of a TCP header's fourteenth byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// The sender has no more data.
    pub const FIN: u8 = 0x01;
    /// Sequence numbers are synchronised.
    pub const SYN: u8 = 0x02;
    /// The connection is over.
    pub const RST: u8 = 0x04;
    /// Data is to be handed on.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
    /// Congestion was met (RFC 3168).
    pub const ECE: u8 = 0x40;
    /// The congestion window was reduced (RFC 3168).
    pub const CWR: u8 = 0x80;

    /// True when one of `bits` is set.
    #[inline(always)]
    pub const fn any(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// The flags that decide what a segment is for the connection.
    #[inline(always)]
    pub const fn control(self) -> u8 {
        self.0 & !(Self::PSH | Self::ECE | Self::CWR)
    }

    /// True for the combinations that a TCP sends: SYN, SYN ACK, RST with or without ACK, FIN ACK, ACK;
    /// urgent data goes with all of them but SYN ACK and RST.
    pub const fn valid(self) -> bool {
        const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;
        const RST_ACK: u8 = TcpFlags::RST | TcpFlags::ACK;
        let control = self.control();
        match control & !Self::URG {
            Self::SYN | Self::ACK => true,
            FIN_ACK => true,
            SYN_ACK | RST_ACK | Self::RST => control & Self::URG == 0,
            _ => false,
        }
    }
}

const FIN_ACK: u8 = TcpFlags::FIN | TcpFlags::ACK;

/// What a segment is for the connection: of several flags the first of this list counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(u8)]
pub(super) enum Kind {
    /// No segment was seen yet.
    #[default]
    None = 0,
    Rst,
    Syn,
    SynAck,
    Fin,
    Ack,
}

/// The values of a TCP segment that connections depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSegment {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number; it counts with ACK only.
    pub acknowledgment: u32,
    /// The highest right edge of the SACK blocks; the acknowledgment number where there is none above it.
    pub sack: u32,
    /// Bytes of data.
    pub payload: u32,
    /// Window as it stands in the header, not scaled.
    pub window: u16,
    /// Flags.
    pub flags: TcpFlags,
    /// Shift count of the window scale option, at most 14 (RFC 7323 2.3).
    pub scale: Option<u8>,
    /// The SACK-permitted option is there.
    pub sack_permitted: bool,
    /// The header is longer than 20 bytes. A SYN without any options leaves what an earlier one said.
    pub has_options: bool,
}

/// Shift counts above are read as this (RFC 7323 2.3).
const MAX_SCALE: u8 = 14;
const HEADER: usize = 20;

impl TcpSegment {
    /// Reads a header. `header` is the packet from the TCP header on, as far as it was captured; `length` is
    /// that of header and payload by the IP length. Options behind a malformed one are not read, as a TCP
    /// does not.
    ///
    /// # Errors
    /// [`Invalid::Short`], [`Invalid::DataOffset`], [`Invalid::Flags`].
    pub fn parse(header: &[u8], length: u32) -> Result<Self, Invalid> {
        let Some(fixed) = header.first_chunk::<HEADER>() else {
            return Err(Invalid::Short { need: HEADER as u32, have: header.len() as u32 });
        };
        let words = fixed[12] >> 4;
        let offset = u32::from(words) * 4;
        if words < 5 || offset > length {
            return Err(Invalid::DataOffset { words, length });
        }
        let Some(options) = header.get(HEADER..offset as usize) else {
            return Err(Invalid::Short { need: offset, have: header.len() as u32 });
        };
        let flags = TcpFlags(fixed[13]);
        if !flags.valid() {
            return Err(Invalid::Flags(flags));
        }
        let be32 = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let acknowledgment = be32(8);
        let mut segment = Self {
            sequence: be32(4),
            acknowledgment,
            sack: acknowledgment,
            payload: length - offset,
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            flags,
            scale: None,
            sack_permitted: false,
            has_options: !options.is_empty(),
        };
        segment.read_options(options);
        Ok(segment)
    }

    /// True when a header with these option bytes may hold SACK blocks: such a segment is none for
    /// [`super::TcpTrack::quick`]. Timestamps alone (RFC 7323, appendix A) are told at once.
    #[inline(always)]
    pub fn may_hold_sack(options: &[u8]) -> bool {
        !matches!(options, [] | [1, 1, 8, 10, _, _, _, _, _, _, _, _])
    }

    fn read_options(&mut self, mut options: &[u8]) {
        const END: u8 = 0;
        const NO_OPERATION: u8 = 1;
        let mut has_sack = false;
        loop {
            options = match options {
                [] | [END, ..] => return,
                [NO_OPERATION, rest @ ..] => rest,
                [kind, length, ..] => {
                    let Some((option, rest)) = options.split_at_checked(usize::from(*length)) else { return };
                    let [_, _, data @ ..] = option else { return };
                    self.read_option(*kind, data, &mut has_sack);
                    rest
                }
                _ => return,
            };
        }
    }

    fn read_option(&mut self, kind: u8, data: &[u8], has_sack: &mut bool) {
        match (kind, data) {
            (3, [shift]) => self.scale = Some((*shift).min(MAX_SCALE)),
            (4, []) => self.sack_permitted = true,
            // The first SACK option counts: a TCP sends one.
            (5, [_, ..]) if data.len().is_multiple_of(8) && !*has_sack => {
                *has_sack = true;
                for block in data.chunks_exact(8) {
                    let edge = u32::from_be_bytes([block[4], block[5], block[6], block[7]]);
                    if after(edge, self.sack) {
                        self.sack = edge;
                    }
                }
            }
            _ => {}
        }
    }

    /// The sequence number behind the segment: SYN and FIN count as one byte each (RFC 9293 3.4).
    #[inline(always)]
    pub const fn end(&self) -> u32 {
        let control = self.flags.any(TcpFlags::SYN) as u32 + self.flags.any(TcpFlags::FIN) as u32;
        self.sequence.wrapping_add(self.payload).wrapping_add(control)
    }

    pub(super) const fn kind(&self) -> Kind {
        let flags = self.flags;
        if flags.any(TcpFlags::RST) {
            Kind::Rst
        } else if flags.any(TcpFlags::SYN) {
            if flags.any(TcpFlags::ACK) { Kind::SynAck } else { Kind::Syn }
        } else if flags.any(TcpFlags::FIN) {
            Kind::Fin
        } else if flags.any(TcpFlags::ACK) {
            Kind::Ack
        } else {
            Kind::None
        }
    }
}

/// True when `a` is before `b` in sequence space (RFC 9293 3.4).
#[inline(always)]
pub(super) const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// True when `a` is behind `b` in sequence space.
#[inline(always)]
pub(super) const fn after(a: u32, b: u32) -> bool {
    before(b, a)
}
