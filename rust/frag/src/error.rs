//! Why a packet is not fragmented.
use netfast_buf::BufError;
use thiserror::Error;

/// Why a packet is not fragmented.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FragmentError {
    /// It says "don't fragment" (RFC 791 3.2), or is an IPv6 packet whose fragments were larger: its sender is owed
    /// [`netfast_wire::router::IcmpError::TooBig`].
    #[error("a packet of {length} bytes may not be fragmented to an MTU of {mtu}: tell its sender the MTU")]
    DontFragment {
        /// Bytes of the IP packet, or of its largest fragment.
        length: u32,
        /// The MTU that it does not fit.
        mtu: u32,
    },
    /// The headers leave no room for eight bytes of data.
    #[error("an MTU of {mtu} has no room for headers and data: {need} bytes are the least")]
    MtuTooSmall {
        /// The MTU given.
        mtu: u32,
        /// The smallest one that works for this packet.
        need: u32,
    },
    /// The bytes at the given offset are no IP packet with right lengths.
    #[error("no whole IP packet begins at byte {offset}")]
    NotIp {
        /// Where the IP header was said to be.
        offset: u32,
    },
    /// An IPv6 packet that has a fragment header: only its sender fragments (RFC 8200 4.5).
    #[error("the IPv6 packet has a fragment header at byte {offset}: reassemble it first")]
    AlreadyFragment {
        /// Where the fragment header is.
        offset: u32,
    },
    /// The chain of IPv6 headers would not be in the first fragment (RFC 7112).
    #[error("the chain of IPv6 headers does not fit a first fragment of {room} bytes of data: raise the MTU")]
    HeaderChain {
        /// Bytes of data that the first fragment has room for.
        room: u32,
    },
    /// The transport checksum covers the whole packet and is not filled in yet.
    #[error("the transport checksum is partial: fill it in before fragmenting")]
    PartialChecksum,
    /// The packet's memory.
    #[error(transparent)]
    Buf(#[from] BufError),
}
