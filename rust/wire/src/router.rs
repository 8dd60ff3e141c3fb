//! What a router does to packets and what it owes their senders: the hop limit, ICMP errors (RFC 792, RFC 1812 4.3,
//! RFC 4443), TCP resets (RFC 9293 3.10.7.1), echo replies, and the packet that an ICMP error quotes.
//!
//! Pure functions on bytes that begin with the IP header. Whether and how often to answer is the caller's: ask
//! [`may_answer`], and a token bucket.
mod error;
mod ip;
mod quoted;
mod reply;

pub use error::{
    IPV4_ERROR_MAX, IPV6_ERROR_MAX, IcmpError, Sender, is_damaged, is_error, may_answer, write_error,
};
pub use error::{parameter4, parameter6, unreachable4, unreachable6};
pub use quoted::{Quoted, quoted};
pub use reply::{RESET_MAX, echo_reply, write_reset};

use crate::checksum;
use thiserror::Error;

/// Why a packet is not answered.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// No IP header, or one whose lengths cannot be.
    #[error("the packet has no valid IP header: nobody can be told")]
    NotIp,
    /// The headers end before they say what has to be known of the packet.
    #[error("the headers are cut before the upper-layer header: give more bytes of the packet")]
    Incomplete,
    /// It is an ICMP error itself, or of a type that may be one (RFC 1812 4.3.2.7, RFC 4443 2.4 e.1).
    #[error("the packet is an ICMP error: errors are not answered by errors")]
    IsError,
    /// It is an ICMPv6 redirect (RFC 4443 2.4 e.2).
    #[error("the packet is an ICMPv6 redirect, which is not answered")]
    IsRedirect,
    /// A fragment that is not the first; for answers that need the whole packet, any fragment.
    #[error("the packet is a fragment: only a first one is answered by an error, and none by a reply")]
    Fragment,
    /// Its destination is a group or everybody (RFC 1812 4.3.2.7, RFC 4443 2.4 e.3).
    #[error("the destination is multicast or broadcast")]
    DestinationNotUnicast,
    /// It came as a link-layer multicast or broadcast (RFC 1812 4.3.2.7, RFC 4443 2.4 e.4 and e.5).
    #[error("the frame was a link-layer multicast or broadcast")]
    LinkNotUnicast,
    /// Its source is unspecified, multicast, loopback or of class E: no single node (RFC 4443 2.4 e.6).
    #[error("the source address names no single node")]
    SourceNotUnicast,
    /// The answer's source is of the other family.
    #[error("the answer's source is of the other IP version: give one of the packet's")]
    OtherFamily,
    /// Not TCP, or not an echo request.
    #[error("the packet is of another protocol or type than the answer")]
    OtherProtocol,
    /// A reset is never answered by a reset.
    #[error("the segment is a reset")]
    IsReset,
    /// The packet's upper-layer checksum is wrong.
    #[error("the upper-layer checksum is wrong")]
    BadChecksum,
}

/// Takes one from the hop limit, and updates the checksum of an IPv4 header (RFC 1624 equation 3).
///
/// False, and nothing changed, when it is not above one (the sender is owed [`IcmpError::TimeExceeded`]), or when the
/// fixed header is not there.
#[inline]
pub fn decrement_hop_limit(packet: &mut [u8]) -> bool {
    if let Some(header) = packet.first_chunk_mut::<20>()
        && header[0] >> 4 == 4
    {
        if header[8] <= 1 {
            return false;
        }
        let word = |at: usize, header: &[u8; 20]| u16::from_be_bytes([header[at], header[at + 1]]);
        let (sum, old) = (word(10, header), word(8, header));
        header[8] -= 1;
        let sum = checksum::update(sum, old, word(8, header));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        return true;
    }
    match packet.first_chunk_mut::<40>() {
        Some(header) if header[0] >> 4 == 6 && header[7] > 1 => {
            header[7] -= 1;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
