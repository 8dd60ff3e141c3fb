//! Link types of captures: the registry of tcpdump.org (LINKTYPE_ values), as far as netfast dissects it.
use std::fmt;

/// A capture's link type, by its LINKTYPE_ number (<https://www.tcpdump.org/linktypes.html>).
///
/// Any number can be carried; the named ones are dissected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkType(pub u16);

macro_rules! link_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $description:literal;)+) => {
        impl LinkType {
            $($(#[$doc])* pub const $name: Self = Self($number);)+

            /// Every link type that netfast dissects.
            pub const SUPPORTED: &[Self] = &[$(Self::$name),+];

            /// The registry's short name (as `capinfos` and `tcpdump -L` know it), if netfast dissects the type.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)+ _ => None }
            }

            /// The type in words.
            pub const fn description(self) -> Option<&'static str> {
                match self.0 { $($number => Some($description),)+ _ => None }
            }

            /// The type of a short name, in any case.
            pub fn from_name(name: &str) -> Option<Self> {
                $(if name.eq_ignore_ascii_case($text) { return Some(Self::$name); })+
                None
            }
        }
    };
}

// New ones come last: the fuzzer's inputs name them by their place.
link_types! {
    /// BSD loopback: 4 bytes of address family in the byte order of the capturing host.
    NULL = 0, "NULL", "BSD loopback";
    /// Ethernet, without preamble and frame check sequence.
    ETHERNET = 1, "EN10MB", "Ethernet";
    /// PPP, by RFC 1662's HDLC-like framing when it begins with FF 03, else a bare protocol field; Cisco HDLC when it
    /// begins with 0F or 8F.
    PPP = 9, "PPP", "PPP";
    /// PPP in HDLC-like framing, with address and control, or Cisco HDLC when it begins with 0F or 8F.
    PPP_HDLC = 50, "PPP_SERIAL", "PPP in HDLC-like framing";
    /// PPPoE session packets without the Ethernet header.
    PPP_ETHER = 51, "PPP_ETHER", "PPPoE session";
    /// Raw IP as some BSDs number it.
    RAW_BSD_12 = 12, "RAW12", "Raw IP (DLT 12)";
    /// Raw IP as OpenBSD numbers it.
    RAW_BSD_14 = 14, "RAW14", "Raw IP (DLT 14)";
    /// Raw IP, version by the first nibble.
    RAW = 101, "RAW", "Raw IP";
    /// IEEE 802.11.
    IEEE802_11 = 105, "IEEE802_11", "802.11";
    /// OpenBSD loopback: address family in network byte order.
    LOOP = 108, "LOOP", "OpenBSD loopback";
    /// Linux cooked capture, version 1.
    LINUX_SLL = 113, "LINUX_SLL", "Linux cooked v1";
    /// 802.11 with a radiotap header.
    IEEE802_11_RADIOTAP = 127, "IEEE802_11_RADIO", "802.11 with radiotap";
    /// Raw IPv4.
    IPV4 = 228, "IPV4", "Raw IPv4";
    /// Raw IPv6.
    IPV6 = 229, "IPV6", "Raw IPv6";
    /// Linux cooked capture, version 2.
    LINUX_SLL2 = 276, "LINUX_SLL2", "Linux cooked v2";
    /// Cisco HDLC (RFC 1547 4.3.1).
    C_HDLC = 104, "C_HDLC", "Cisco HDLC";
    /// 802.11 with a Prism header, or with an AVS header in its place.
    PRISM = 119, "PRISM_HEADER", "802.11 with Prism header";
    /// 802.11 with an AVS header.
    IEEE802_11_AVS = 163, "IEEE802_11_RADIO_AVS", "802.11 with AVS header";
    /// Per-Packet Information: a header that says which link type follows.
    PPI = 192, "PPI", "Per-Packet Information";
    /// Linux netfilter's log.
    NFLOG = 239, "NFLOG", "Linux netfilter log";
    /// Darwin's packet tap: a header that says which link type follows.
    PKTAP = 258, "PKTAP", "Darwin packet tap";
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "LINKTYPE_{}", self.0),
        }
    }
}
