//! The header before a packet of a virtio network device, and of a TUN or TAP device with `IFF_VNET_HDR`
//! (virtio 1.2 and 1.3, sections 5.1.3 and 5.1.6).
//!
//! ```text
//! 0 flags | 1 gso_type | 2 hdr_len | 4 gso_size | 6 csum_start | 8 csum_offset | 10 num_buffers (12-byte form)
//! ```
//!
//! [`VirtioHeader`] is the header as it stands, in each of its forms; [`VirtioCodec`] makes marks of a packet of it and the
//! other way round. Nothing in a header is believed that the packet contradicts:
//!
//! | value | what becomes of it |
//! |---|---|
//! | `csum_start`, `csum_offset` beyond the packet | refused |
//! | those of no TCP or UDP header | of a super-packet refused; else the checksum is filled in at once, as the sender asks |
//! | `gso_size` of 0, or more than the payload | refused |
//! | `gso_type` unknown, contradicting the headers, not negotiated, or UDP fragmentation | refused |
//! | the ECN bit without TCP segmentation | refused |
//! | `hdr_len` | never used: the headers say it; counted where it lies |
//! | flags that nobody knows | ignored, as 5.1.6.2.2 and 5.1.6.4.2 ask for |
//! | `DATA_VALID` | [`Good`](netfast_buf::ChecksumState::Good), unless there is a tunnel, for it vouches for one level; ignored from a driver |
//! | `RSC_INFO` | `csum_start` and `csum_offset` hold counts then, and are not used; ignored from a driver |
//! | `num_buffers` of 0 from a device | refused |
//! | `gso_type` without `NEEDS_CSUM` | taken, as Linux does, which sends it after receive offloads of its own |
mod codec;
mod error;

pub use codec::{Peer, VirtioCodec, VirtioConfig, VirtioCounters};
pub use error::{VirtioError, VirtioRefused};

/// The header without `num_buffers`: TUN's, and a legacy driver's without `VIRTIO_NET_F_MRG_RXBUF`.
pub const SHORT_HEADER: usize = 10;
/// The header with `num_buffers`.
pub const LONG_HEADER: usize = 12;

/// Which fields the header has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderForm {
    /// [`SHORT_HEADER`] bytes.
    Short,
    /// [`LONG_HEADER`] bytes, as each device of virtio 1.0 has it.
    #[default]
    Long,
}

impl HeaderForm {
    /// Bytes of the header.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Short => SHORT_HEADER,
            Self::Long => LONG_HEADER,
        }
    }
}

/// The byte order of the fields of 16 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteOrder {
    /// Virtio 1.0 and later; TUN after `TUNSETVNETLE`.
    #[default]
    Little,
    /// TUN after `TUNSETVNETBE`; a legacy driver on a big-endian machine.
    Big,
    /// TUN as it is opened; a legacy driver on a machine like this one.
    Native,
}

impl ByteOrder {
    const fn is_big(self) -> bool {
        matches!(self, Self::Big) || (matches!(self, Self::Native) && cfg!(target_endian = "big"))
    }

    const fn read(self, bytes: [u8; 2]) -> u16 {
        if self.is_big() { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    const fn write(self, value: u16) -> [u8; 2] {
        if self.is_big() { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

/// A header as it stands, with the names of the specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioHeader {
    /// [`VirtioHeader::NEEDS_CSUM`], [`VirtioHeader::DATA_VALID`], [`VirtioHeader::RSC_INFO`].
    pub flags: u8,
    /// One of the `GSO_` values, perhaps with [`VirtioHeader::GSO_ECN`].
    pub gso_type: u8,
    /// Bytes of headers, as the sender says.
    pub hdr_len: u16,
    /// Payload bytes of a segment.
    pub gso_size: u16,
    /// Where checksumming begins, from the first byte of the packet.
    pub csum_start: u16,
    /// Where the checksum is put, from `csum_start`.
    pub csum_offset: u16,
    /// Buffers that the packet is spread over; not in the short form.
    pub num_buffers: u16,
}

impl VirtioHeader {
    /// The checksum is to be filled in (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
    pub const NEEDS_CSUM: u8 = 1;
    /// The checksum was found right (`VIRTIO_NET_HDR_F_DATA_VALID`).
    pub const DATA_VALID: u8 = 2;
    /// `csum_start` and `csum_offset` count merged segments and duplicate acknowledgements
    /// (`VIRTIO_NET_HDR_F_RSC_INFO`).
    pub const RSC_INFO: u8 = 4;
    /// One packet (`VIRTIO_NET_HDR_GSO_NONE`).
    pub const GSO_NONE: u8 = 0;
    /// TCP over IPv4 (`VIRTIO_NET_HDR_GSO_TCPV4`).
    pub const GSO_TCPV4: u8 = 1;
    /// UDP to be fragmented (`VIRTIO_NET_HDR_GSO_UDP`), which is not taken.
    pub const GSO_UDP: u8 = 3;
    /// TCP over IPv6 (`VIRTIO_NET_HDR_GSO_TCPV6`).
    pub const GSO_TCPV6: u8 = 4;
    /// UDP to be segmented (`VIRTIO_NET_HDR_GSO_UDP_L4`).
    pub const GSO_UDP_L4: u8 = 5;
    /// The TCP packet has CWR set (`VIRTIO_NET_HDR_GSO_ECN`).
    pub const GSO_ECN: u8 = 0x80;

    /// Reads the header at the beginning of `bytes`.
    ///
    /// # Errors
    /// [`VirtioError::TooShort`].
    pub fn parse(bytes: &[u8], form: HeaderForm, order: ByteOrder) -> Result<Self, VirtioError> {
        let Some(header) = bytes.get(..form.bytes()) else {
            return Err(VirtioError::TooShort { need: form.bytes(), have: bytes.len() });
        };
        let field = |at: usize| header.get(at..at + 2).map_or(0, |field| order.read([field[0], field[1]]));
        Ok(Self {
            flags: header[0],
            gso_type: header[1],
            hdr_len: field(2),
            gso_size: field(4),
            csum_start: field(6),
            csum_offset: field(8),
            num_buffers: field(10),
        })
    }

    /// Writes the header to the beginning of `bytes`, and says how many they are.
    ///
    /// # Errors
    /// [`VirtioError::TooShort`]; nothing is written then.
    pub fn emit(&self, bytes: &mut [u8], form: HeaderForm, order: ByteOrder) -> Result<usize, VirtioError> {
        let have = bytes.len();
        let Some(header) = bytes.get_mut(..form.bytes()) else {
            return Err(VirtioError::TooShort { need: form.bytes(), have });
        };
        (header[0], header[1]) = (self.flags, self.gso_type);
        let fields = [self.hdr_len, self.gso_size, self.csum_start, self.csum_offset, self.num_buffers];
        for (place, field) in header[2..].chunks_exact_mut(2).zip(fields) {
            place.copy_from_slice(&order.write(field));
        }
        Ok(form.bytes())
    }

    /// True when all of `flags` are set.
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}
