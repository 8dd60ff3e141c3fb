//! Why a packet was not merged, and why a held one was put out: dense enums with a counter each.
use std::fmt;

macro_rules! reasons {
    ($(#[doc = $head:literal])+ $type:ident { $($variant:ident $name:literal $about:literal;)+ }) => {
        $(#[doc = $head])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum $type {
            $(#[doc = $about] $variant,)+
        }

        impl $type {
            /// Every one, in the order of its number.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// As programs and JSON name it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// One sentence for people.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

reasons! {
    /// Why a packet was not merged into a held one. The first of these that holds is told.
    Reason {
        First "first" "No packet of its flow is held.";
        Super "super" "It stands for several packets already.";
        NotIp "not_ip" "The frame holds no IP packet, or not where this link type has it.";
        Malformed "malformed" "A header says what cannot be, or the packet ends within one.";
        Trailer "trailer" "Bytes follow the packet, as in a padded frame; they would be lost.";
        HeadersTooLong "headers_too_long" "Its headers are longer than a held packet's may be.";
        Fragment "fragment" "It is a fragment.";
        ReservedFlag "reserved_flag" "The reserved flag of the IPv4 header is set.";
        IpOptions "ip_options" "It has IPv4 options.";
        ExtensionHeader "extension_header" "It has an extension header that changes how it is checked or read, or too many.";
        Protocol "protocol" "Neither TCP nor UDP, or collation of it is switched off.";
        Tunnel "tunnel" "A tunnel header that cannot be repeated: sequence numbers, OAM, another version, one tunnel in another.";
        NoPayload "no_payload" "It has no payload: a pure acknowledgment, a window update, an empty datagram.";
        TcpFlags "tcp_flags" "SYN, RST or URG is set.";
        Push "push" "FIN or PSH is set and no packet before it is held: nothing may follow it.";
        ChecksumForm "checksum_form" "A checksum of 0xffff that everyone else writes as 0: it would not come back.";
        ChecksumZero "checksum_zero" "UDP over IPv6 without a checksum, or one of two packets without.";
        ChecksumBad "checksum_bad" "A checksum is wrong: its own, or that of the packet before it.";
        ChecksumPartial "checksum_partial" "Its checksum is yet to be filled in, and the held one's is not, or it is in a tunnel.";
        LinkHeader "link_header" "Link addresses, tags or the tunnel's headers differ.";
        IpHeader "ip_header" "Traffic class, flow label, hop limit, flags or extension headers differ.";
        IpId "ip_id" "IPv4 identifications do not go on by one, nor stay the same in packets that must not be fragmented.";
        TcpHeader "tcp_header" "Acknowledgment, window, flags or urgent pointer differ.";
        TcpOptions "tcp_options" "TCP options differ, timestamps among them.";
        Cwr "cwr" "CWR is set: it must be the first segment's (RFC 3168 6.1.2).";
        Sequence "sequence" "Its sequence number is not the next one.";
        Longer "longer" "It is longer than the first one's payload.";
        Length "length" "The IP packet would be longer than it may be.";
        Pieces "pieces" "The packet would be of more pieces than are carried without copying them.";
    }
}

reasons! {
    /// Why a held packet was put out.
    End {
        Push "push" "A segment with FIN or PSH was merged.";
        Short "short" "A segment shorter than the first one was merged.";
        Segments "segments" "It has as many segments as it may.";
        Other "other" "A packet of its flow came that could not be merged.";
        Batch "batch" "The batch ended and packets are not held longer.";
        Timeout "timeout" "It was held as long as it may be.";
        Flows "flows" "Its place was needed for another flow.";
        Bytes "bytes" "As many bytes were held as may be.";
        Flush "flush" "The caller asked for it.";
    }
}
