//! The tables of network-layer headers and IPv6 extension headers.

/// Calls a macro with the tables of network-layer headers.
#[macro_export]
#[doc(hidden)]
macro_rules! network_headers {
    ($callback:ident) => {
        $callback! {
            /// ```text
            ///  0                   1                   2                   3
            ///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
            /// +-------+-------+-----------+---+-------------------------------+
            /// |Version|  IHL  |   DSCP    |ECN|         Total length          |
            /// +-------+-------+-----------+---+-----+-------------------------+
            /// |        Identification         |0 D M|     Fragment offset     |
            /// +---------------+---------------+-----+-------------------------+
            /// |      TTL      |   Protocol    |        Header checksum        |
            /// +---------------+---------------+-------------------------------+
            /// |                        Source address                         |
            /// |                      Destination address                      |
            /// |                        Options, padding                       |
            /// +---------------------------------------------------------------+
            /// ```
            Ipv4 IPv4 "IPv4, RFC 791 section 3.1, with DSCP (RFC 2474) and ECN (RFC 3168)."
            [20, |_| 20, layout::ipv4_len] {
                version: u8 @ bits(0, 4) = 4, "IP version";
                ihl: u8 auto @ bits(4, 4) = 0, "Header length in 32-bit words";
                tos: u8 alias @ bits(8, 8) = 0, "DSCP and ECN as one byte";
                dscp: u8 @ bits(8, 6) = 0, "Differentiated services code point", names::dscp;
                ecn: u8 @ bits(14, 2) = 0, "Explicit congestion notification", names::ecn;
                total_length: u16 auto @ bits(16, 16) = 0, "Bytes of header and payload";
                identification: u16 @ bits(32, 16) = 0, "Same in all fragments of a datagram";
                reserved_flag: flag @ bits(48, 1) = 0, "Must be zero";
                dont_fragment: flag @ bits(49, 1) = 0, "Routers must not fragment";
                more_fragments: flag @ bits(50, 1) = 0, "More fragments follow";
                fragment_offset: u16 times8 @ bits(51, 13) = 0, "Bytes of the datagram before this fragment";
                ttl: u8 @ bits(64, 8) = 64, "Time to live";
                hop_limit: u8 alias @ bits(64, 8) = 0, "Time to live, by IPv6's name";
                protocol: u8 auto @ bits(72, 8) = 0, "What follows", names::protocol;
                header_checksum: u16 auto @ bits(80, 16) = 0, "Internet checksum of the header";
                src: ip4 @ bits(96, 32) = 0, "Source address";
                dst: ip4 @ bits(128, 32) = 0, "Destination address";
                options: opts<Ipv4> @ tail(|_| 20) = 0, "Options, padded to 32 bits; `forms()` tells what each takes";
            }

            /// ```text
            ///  0                   1                   2                   3
            ///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
            /// +-------+---------------+---------------------------------------+
            /// |Version| Traffic class |              Flow label               |
            /// +-------+---------------+-------+---------------+---------------+
            /// |        Payload length         |  Next header  |   Hop limit   |
            /// +-------------------------------+---------------+---------------+
            /// |                   Source address (128 bits)                   |
            /// |                Destination address (128 bits)                 |
            /// +---------------------------------------------------------------+
            /// ```
            Ipv6 IPv6 "IPv6, RFC 8200 section 3."
            [40, |_| 40, |_| 40] {
                version: u8 @ bits(0, 4) = 6, "IP version";
                traffic_class: u8 @ bits(4, 8) = 0, "DSCP and ECN as one byte", names::traffic_class;
                dscp: u8 alias @ bits(4, 6) = 0, "Differentiated services code point", names::dscp;
                ecn: u8 alias @ bits(10, 2) = 0, "Explicit congestion notification", names::ecn;
                flow_label: u32 @ bits(12, 20) = 0, "Flow label, RFC 6437";
                payload_length: u16 auto @ bits(32, 16) = 0, "Bytes behind this header; 0 in a jumbogram";
                next_header: u8 auto @ bits(48, 8) = 0, "What follows", names::protocol;
                hop_limit: u8 @ bits(56, 8) = 64, "Hops left";
                src: ip6 @ bits(64, 128) = 0, "Source address";
                dst: ip6 @ bits(192, 128) = 0, "Destination address";
            }

            HopByHop HopByHop "IPv6 hop-by-hop options, RFC 8200 section 4.3."
            [8, |_| 2, layout::extension_len] {
                next_header: u8 auto @ bits(0, 8) = 0, "What follows", names::protocol;
                hdr_ext_len: u8 auto @ bits(8, 8) = 0, "Length in units of eight bytes, less one";
                options: opts<Ipv6> @ tail(|_| 2) = 0, "Options, padded to eight bytes; `forms()` tells what each takes";
            }

            DestinationOptions DestinationOptions "IPv6 destination options, RFC 8200 section 4.6."
            [8, |_| 2, layout::extension_len] {
                next_header: u8 auto @ bits(0, 8) = 0, "What follows", names::protocol;
                hdr_ext_len: u8 auto @ bits(8, 8) = 0, "Length in units of eight bytes, less one";
                options: opts<Ipv6> @ tail(|_| 2) = 0, "Options, padded to eight bytes; `forms()` tells what each takes";
            }

            /// ```text
            ///  0 next header   1 length   2 routing type   3 segments left   4 type-specific
            ///    type 0 (RFC 2460), 2 (RFC 6275):  4 reserved (4)   8 addresses
            ///    type 3 (RFC 6554):                4 CmprI, CmprE (4 bits each), pad (4), reserved (20)
            ///    type 4 (RFC 8754):                4 last entry   5 flags   6 tag (2)   8 segments, TLVs
            /// ```
            Routing Routing "IPv6 routing header, RFC 8200 section 4.4: source routes, mobility, RPL, segment routing."
            [8, |_| 8, layout::extension_len] {
                next_header: u8 auto @ bits(0, 8) = 0, "What follows", names::protocol;
                hdr_ext_len: u8 auto @ bits(8, 8) = 0, "Length in units of eight bytes, less one";
                r#type: u8 shape @ bits(16, 8) = 0, "Routing type", names::routing_type;
                segments_left: u8 auto @ bits(24, 8) = 0, "Nodes still to visit";
                reserved: u32 @ bits(32, 32) if layout::routing_is_plain = 0, "Zero";
                compressed_internal: u8 @ bits(32, 4) if layout::routing_is_rpl = 0,
                    "Prefix bytes left out of all addresses but the last";
                compressed_last: u8 @ bits(36, 4) if layout::routing_is_rpl = 0,
                    "Prefix bytes left out of the last address";
                pad: u8 @ bits(40, 4) if layout::routing_is_rpl = 0, "Bytes of padding at the end";
                last_entry: u8 soft @ bits(32, 8) if layout::routing_is_segment = 0, "Index of the last segment";
                flags: u8 @ bits(40, 8) if layout::routing_is_segment = 0, "Zero so far";
                tag: u16 @ bits(48, 16) if layout::routing_is_segment = 0, "Tag";
                addresses: addrs @ range(layout::routing_addresses) = 0,
                    "Addresses to visit; of a segment list the last first";
                tlvs: opts<Srh> @ tail(layout::routing_tail) if layout::routing_is_segment = 0, "TLVs; `forms()` tells what each takes";
                data: bytes @ tail(layout::routing_data) if layout::routing_is_opaque = 0,
                    "What the type defines";
            }

            /// ```text
            ///  0 next header   1 reserved   2 fragment offset (13 bits), reserved (2), M (1)   4 identification (4)
            /// ```
            Fragment Fragment "IPv6 fragment header, RFC 8200 section 4.5."
            [8, |_| 8, |_| 8] {
                next_header: u8 auto @ bits(0, 8) = 0, "What follows in the first fragment", names::protocol;
                reserved: u8 @ bits(8, 8) = 0, "Zero";
                fragment_offset: u16 times8 @ bits(16, 13) = 0, "Bytes of the fragmentable part before this one";
                reserved2: u8 @ bits(29, 2) = 0, "Zero";
                more_fragments: flag @ bits(31, 1) = 0, "More fragments follow";
                identification: u32 @ bits(32, 32) = 0, "Same in all fragments of a packet";
            }

            Auth AH "IP authentication header, RFC 4302 section 2."
            [12, |_| 12, layout::auth_len] {
                next_header: u8 auto @ bits(0, 8) = 0, "What follows", names::protocol;
                payload_len: u8 auto @ bits(8, 8) = 0, "Length in 32-bit words, less two";
                reserved: u16 @ bits(16, 16) = 0, "Zero";
                spi: u32 @ bits(32, 32) = 0, "Security parameters index";
                sequence: u32 @ bits(64, 32) = 0, "Sequence number";
                icv: bytes @ tail(|_| 12) = 0, "Integrity check value";
            }

            Esp ESP "IP encapsulating security payload, RFC 4303 section 2; what follows is enciphered."
            [8, |_| 8, |_| 8] {
                spi: u32 @ bits(0, 32) = 0, "Security parameters index";
                sequence: u32 @ bits(32, 32) = 0, "Sequence number";
            }

            Mobility Mobility "Mobility header, RFC 6275 section 6.1."
            [8, layout::mobility_fixed, layout::extension_len] {
                payload_proto: u8 auto @ bits(0, 8) = 0, "59: nothing follows", names::protocol;
                header_len: u8 auto @ bits(8, 8) = 0, "Length in units of eight bytes, less one";
                r#type: u8 shape @ bits(16, 8) = 0, "Message", names::mobility_type;
                reserved: u8 @ bits(24, 8) = 0, "Zero";
                checksum: u16 auto @ bits(32, 16) = 0, "Internet checksum with pseudo-header";
                data: bytes @ range(layout::mobility_data) = 0, "Message data before the options";
                options: opts<Mobility> @ tail(layout::mobility_options) if layout::mobility_has_options = 0,
                    "Options, padded to eight bytes; `forms()` tells what each takes";
            }
        }
    };
}
