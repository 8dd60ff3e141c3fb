//! Where the headers of a packet stand.
use super::{FilterError, Result};

/// In which byte order the 4-byte family of BSD loopback ([`LINKTYPE_NULL`](crate)) was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ByteOrder {
    /// Captured on a little-endian host: the family's low byte is first.
    #[default]
    Little,
    /// Captured on a big-endian host.
    Big,
}

/// The link types that code is generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Ethernet,
    Raw(u16),
    Ipv4,
    Ipv6,
    Null,
    Loop,
    Sll,
    Sll2,
    Ppp,
    PppSerial,
    PppEther,
    CiscoHdlc,
    Wlan,
    WlanRadio,
}

impl Link {
    pub(super) fn new(number: u16) -> Result<Self> {
        Ok(match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            9 => Self::Ppp,
            12 | 14 | 101 => Self::Raw(number),
            50 => Self::PppSerial,
            51 => Self::PppEther,
            104 => Self::CiscoHdlc,
            105 => Self::Wlan,
            108 => Self::Loop,
            113 => Self::Sll,
            127 => Self::WlanRadio,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            276 => Self::Sll2,
            _ => return Err(FilterError::UnsupportedLinkType { link: number }),
        })
    }

    pub(super) fn number(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::Ppp => 9,
            Self::Raw(number) => number,
            Self::PppSerial => 50,
            Self::PppEther => 51,
            Self::CiscoHdlc => 104,
            Self::Wlan => 105,
            Self::Loop => 108,
            Self::Sll => 113,
            Self::WlanRadio => 127,
            Self::Ipv4 => 228,
            Self::Ipv6 => 229,
            Self::Sll2 => 276,
        }
    }

    pub(super) fn is_wlan(self) -> bool {
        matches!(self, Self::Wlan | Self::WlanRadio)
    }
}

/// An offset: a constant, and for some headers a variable part in a scratch word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offset {
    pub(super) constant: u32,
    pub(super) variable: bool,
    pub(super) register: Option<u32>,
}

impl Offset {
    fn fixed(constant: u32) -> Self {
        Self { constant, ..Self::default() }
    }

    fn moving() -> Self {
        Self { variable: true, ..Self::default() }
    }
}

/// Where things stand, as far as the expression has named tunnels.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The link type of the capture.
    pub(super) outermost: Link,
    /// The link type of the innermost header so far.
    pub(super) link: Link,
    /// The link-layer header.
    pub(super) link_header: Offset,
    /// Its type field.
    pub(super) link_type: Offset,
    /// What follows it.
    pub(super) payload: Offset,
    /// From the payload to the network layer, for what follows an LLC and SNAP header.
    pub(super) network: u32,
    /// The same for what follows an LLC header without SNAP.
    pub(super) network_no_snap: u32,
    /// MPLS labels passed.
    pub(super) labels: u32,
    /// Whether the innermost header is Geneve's payload, which may lack a link-layer header.
    pub(super) geneve: bool,
}

impl Layout {
    pub(super) fn new(link: Link) -> Self {
        let (link_type, payload, network, network_no_snap) = match link {
            Link::Ethernet => (12, 14, 0, 3),
            Link::Null | Link::Loop => (0, 4, 0, 0),
            Link::Ppp | Link::PppSerial | Link::CiscoHdlc => (2, 4, 0, 0),
            Link::PppEther => (6, 8, 0, 0),
            Link::Sll => (14, 16, 0, 0),
            Link::Sll2 => (0, 20, 0, 0),
            Link::Raw(_) | Link::Ipv4 | Link::Ipv6 => (0, 0, 0, 0),
            Link::Wlan | Link::WlanRadio => (0, 0, 8, 3),
        };
        let radio = link == Link::WlanRadio;
        Self {
            outermost: link,
            link,
            link_header: if radio { Offset::moving() } else { Offset::fixed(0) },
            link_type: if radio { Offset::moving() } else { Offset::fixed(link_type) },
            payload: if link.is_wlan() { Offset::moving() } else { Offset::fixed(payload) },
            network,
            network_no_snap,
            labels: 0,
            geneve: false,
        }
    }

    /// Enters the header of another link type.
    pub(super) fn push(&mut self, link: Link, header: Offset) {
        self.link = link;
        self.link_header = header;
        self.geneve = false;
    }
}
