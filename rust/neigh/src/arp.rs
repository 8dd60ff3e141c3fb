//! Messages of ARP for IPv4 over Ethernet (RFC 826, RFC 5227).
use crate::entry::Mac;
use crate::message::MessageError;
use std::net::Ipv4Addr;

/// Bytes of a message.
pub const ARP_LENGTH: usize = 28;

/// Hardware type Ethernet; Linux takes that of IEEE 802 networks as well.
const ETHERNET: u16 = 1;
const IEEE_802: u16 = 6;
const IPV4: u16 = 0x0800;

/// What an ARP message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// Who has the target address?
    Request,
    /// The sender has.
    Reply,
}

/// An ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Question or answer.
    pub operation: ArpOperation,
    /// The sender's link address.
    pub sender_mac: Mac,
    /// The sender's address; unspecified in a probe (RFC 5227 2.1.1).
    pub sender: Ipv4Addr,
    /// The link address of who is meant; nothing in a request.
    pub target_mac: Mac,
    /// The address that is asked for, in a request.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads and checks a message from behind the Ethernet header; what follows it is padding.
    ///
    /// # Errors
    /// [`MessageError`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let bytes = bytes.first_chunk::<ARP_LENGTH>().ok_or(MessageError::Truncated)?;
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        if !matches!(word(0), ETHERNET | IEEE_802) || word(2) != IPV4 || bytes[4..6] != [6, 4] {
            return Err(MessageError::Kind);
        }
        let operation = match word(6) {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            _ => return Err(MessageError::Operation),
        };
        let mac = |at: usize| [0, 1, 2, 3, 4, 5].map(|byte| bytes[at + byte]);
        let address = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        let arp = Self {
            operation,
            sender_mac: mac(8),
            sender: address(14),
            target_mac: mac(18),
            target: address(24),
        };
        if arp.sender_mac[0] & 1 == 1 || arp.sender_mac == [0; 6] {
            return Err(MessageError::LinkAddress);
        }
        if arp.sender.is_multicast() || arp.sender.is_broadcast() || arp.sender.is_loopback() {
            return Err(MessageError::Source);
        }
        if arp.target.is_multicast() || arp.target.is_loopback() {
            return Err(MessageError::Target);
        }
        Ok(arp)
    }

    /// Writes the message.
    #[inline]
    pub fn write(&self, into: &mut [u8; ARP_LENGTH]) {
        let operation = match self.operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        into[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, operation]);
        into[8..14].copy_from_slice(&self.sender_mac);
        into[14..18].copy_from_slice(&self.sender.octets());
        into[18..24].copy_from_slice(&self.target_mac);
        into[24..].copy_from_slice(&self.target.octets());
    }

    /// True for a question whether anybody has the address, by one who would like to have it (RFC 5227 2.1.1): nothing is
    /// learned from it.
    pub fn is_probe(&self) -> bool {
        self.operation == ArpOperation::Request && self.sender.is_unspecified()
    }

    /// True for one that tells of itself without being asked (RFC 5227 2.3 and 3, "gratuitous"): both addresses are the
    /// sender's.
    pub fn is_announcement(&self) -> bool {
        self.sender == self.target && !self.sender.is_unspecified()
    }
}
