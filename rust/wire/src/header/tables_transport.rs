//! The tables of transport headers, control messages and tunnels.

/// Calls a macro with the tables of transport headers.
#[macro_export]
#[doc(hidden)]
macro_rules! transport_headers {
    ($callback:ident) => {
        $callback! {
            /// ```text
            ///  0                   1                   2                   3
            ///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
            /// +-------------------------------+-------------------------------+
            /// |          Source port          |       Destination port        |
            /// |                        Sequence number                        |
            /// |                     Acknowledgment number                     |
            /// +-------+-------+---------------+-------------------------------+
            /// |Offset | rsvd  |C E U A P R S F|            Window             |
            /// +-------+-------+---------------+-------------------------------+
            /// |           Checksum            |        Urgent pointer         |
            /// |                       Options, padding                        |
            /// +---------------------------------------------------------------+
            /// ```
            Tcp TCP "TCP, RFC 9293 section 3.1."
            [20, |_| 20, layout::tcp_len] {
                src_port: u16 @ bits(0, 16) = 0, "Source port";
                dst_port: u16 @ bits(16, 16) = 0, "Destination port";
                seq: u32 @ bits(32, 32) = 0, "Sequence number";
                ack: u32 @ bits(64, 32) = 0, "Acknowledgment number";
                data_offset: u8 auto @ bits(96, 4) = 0, "Header length in 32-bit words";
                flags: u16 @ bits(100, 12) = 0, "Control bits, the four reserved ones included", names::tcp_flags;
                window: u16 @ bits(112, 16) = 65535, "Receive window, before scaling";
                checksum: u16 auto @ bits(128, 16) = 0, "Internet checksum with pseudo-header";
                urgent_pointer: u16 @ bits(144, 16) = 0, "End of urgent data";
                options: opts<Tcp> @ tail(|_| 20) = 0, "Options, padded to 32 bits; `forms()` tells what each takes";
            }

            /// ```text
            ///  0 source port (2)   2 destination port (2)   4 length (2)   6 checksum (2)
            /// ```
            Udp UDP "UDP, RFC 768."
            [8, |_| 8, |_| 8] {
                src_port: u16 @ bits(0, 16) = 0, "Source port";
                dst_port: u16 soft @ bits(16, 16) = 0, "Destination port; that of the tunnel behind it unless set";
                length: u16 auto @ bits(32, 16) = 0, "Bytes of header and payload; 0 in a jumbogram";
                checksum: u16 auto @ bits(48, 16) = 0, "Internet checksum with pseudo-header; 0 is none";
            }

            UdpLite UDPLite "UDP-Lite, RFC 3828 section 3.1."
            [8, |_| 8, |_| 8] {
                src_port: u16 @ bits(0, 16) = 0, "Source port";
                dst_port: u16 @ bits(16, 16) = 0, "Destination port";
                coverage: u16 auto @ bits(32, 16) = 0, "Bytes under the checksum; 0 is all";
                checksum: u16 auto @ bits(48, 16) = 0, "Internet checksum with pseudo-header";
            }

            /// ```text
            ///  0 source port (2)   2 destination port (2)   4 verification tag (4)   8 CRC32c (4)   12 chunks
            /// ```
            Sctp SCTP "SCTP common header and chunks, RFC 9260 section 3."
            [12, |_| 12, layout::all] {
                src_port: u16 @ bits(0, 16) = 0, "Source port";
                dst_port: u16 @ bits(16, 16) = 0, "Destination port";
                verification_tag: u32 @ bits(32, 32) = 0, "Verification tag";
                checksum: u32 auto @ bits(64, 32) = 0, "CRC32c of header and chunks";
                chunks: opts<Sctp> @ tail(|_| 12) = 0, "Chunks; `forms()` tells what each takes";
            }

            Dccp DCCP "DCCP generic header, RFC 4340 section 5."
            [12, layout::dccp_fixed, layout::dccp_len] {
                src_port: u16 @ bits(0, 16) = 0, "Source port";
                dst_port: u16 @ bits(16, 16) = 0, "Destination port";
                data_offset: u8 auto @ bits(32, 8) = 0, "Header length in 32-bit words";
                ccval: u8 @ bits(40, 4) = 0, "For the congestion control";
                checksum_coverage: u8 @ bits(44, 4) = 0, "0: all; else header and that many words, less one";
                checksum: u16 auto @ bits(48, 16) = 0, "Internet checksum with pseudo-header";
                reserved: u8 @ bits(64, 3) = 0, "Zero";
                r#type: u8 shape @ bits(67, 4) = 0, "Packet type", names::dccp_type;
                extended: flag shape @ bits(71, 1) = 1, "Sequence numbers have 48 bits";
                reserved2: u8 @ bits(72, 8) if layout::dccp_is_long = 0, "Zero";
                sequence: u64 @ range(layout::dccp_sequence) = 0, "Sequence number";
                reserved3: u16 @ range(layout::dccp_reserved3) = 0, "Zero";
                acknowledgment: u64 @ range(layout::dccp_acknowledgment) = 0, "Acknowledgment number";
                code: u32 @ range(layout::dccp_code) = 0, "Service code, or reset code and data";
                options: opts<Dccp> @ tail(layout::dccp_fixed) = 0, "Options, padded to 32 bits; `forms()` tells what each takes";
            }

            Icmpv4 ICMPv4 "ICMP, RFC 792, with RFC 950, RFC 1191, RFC 4884 and RFC 8335."
            [8, layout::icmp4_len, layout::icmp4_len] {
                r#type: u8 shape @ bits(0, 8) = 8, "Message", names::icmp4_type;
                code: u8 @ bits(8, 8) = 0, "Code", names::icmp4_code;
                checksum: u16 auto @ bits(16, 16) = 0, "Internet checksum";
                identifier: u16 @ bits(32, 16) if layout::icmp4_has_identifier = 0, "Identifier";
                sequence: u16 @ bits(48, 16) if layout::icmp4_is_echo = 0, "Sequence number";
                unused: u8 @ bits(32, 8) if layout::icmp4_is_too_big = 0, "Zero";
                length: u8 @ bits(40, 8) if layout::icmp4_is_too_big = 0, "Words of the quoted packet, RFC 4884";
                mtu: u16 @ bits(48, 16) if layout::icmp4_is_too_big = 0, "Next-hop MTU, RFC 1191";
                gateway: ip4 @ bits(32, 32) if layout::icmp4_is_redirect = 0, "Better router";
                pointer: u8 @ bits(32, 8) if layout::icmp4_is_parameter = 0, "Byte that is the problem";
                unused2: u32 @ bits(40, 24) if layout::icmp4_is_parameter = 0, "Zero";
                extended_sequence: u8 @ bits(48, 8) if layout::icmp4_is_extended_echo = 0, "Sequence number";
                extended_flags: u8 @ bits(56, 8) if layout::icmp4_is_extended_echo = 0, "Local bit, state";
                rest: u32 @ bits(32, 32) if layout::icmp4_is_other = 0, "Rest of header";
                originate: u32 @ bits(64, 32) if layout::icmp4_is_timestamp = 0, "Sent, ms since midnight UT";
                receive: u32 @ bits(96, 32) if layout::icmp4_is_timestamp = 0, "Received, ms since midnight UT";
                transmit: u32 @ bits(128, 32) if layout::icmp4_is_timestamp = 0, "Returned, ms since midnight UT";
                mask: ip4 @ bits(64, 32) if layout::icmp4_is_mask = 0, "Address mask";
            }

            Icmpv6 ICMPv6 "ICMPv6, RFC 4443; neighbour discovery, RFC 4861; listeners, RFC 2710 and RFC 9777."
            [8, layout::icmp6_fixed, layout::icmp6_len] {
                r#type: u8 shape @ bits(0, 8) = 128, "Message", names::icmp6_type;
                code: u8 @ bits(8, 8) = 0, "Code", names::icmp6_code;
                checksum: u16 auto @ bits(16, 16) = 0, "Internet checksum with pseudo-header";
                identifier: u16 @ bits(32, 16) if layout::icmp6_is_echo = 0, "Identifier";
                sequence: u16 @ bits(48, 16) if layout::icmp6_is_echo = 0, "Sequence number";
                mtu: u32 @ bits(32, 32) if layout::icmp6_is_too_big = 0, "MTU of the next hop";
                pointer: u32 @ bits(32, 32) if layout::icmp6_is_parameter = 0, "Byte that is the problem";
                cur_hop_limit: u8 @ bits(32, 8) if layout::icmp6_is_router_advertisement = 64, "Hop limit to use";
                managed: flag @ bits(40, 1) if layout::icmp6_is_router_advertisement = 0, "Addresses by DHCPv6";
                other: flag @ bits(41, 1) if layout::icmp6_is_router_advertisement = 0, "Other data by DHCPv6";
                home_agent: flag @ bits(42, 1) if layout::icmp6_is_router_advertisement = 0, "A home agent";
                preference: u8 @ bits(43, 2) if layout::icmp6_is_router_advertisement = 0, "Preference, RFC 4191";
                proxy: flag @ bits(45, 1) if layout::icmp6_is_router_advertisement = 0, "Proxied, RFC 4389";
                reserved_bits: u8 @ bits(46, 2) if layout::icmp6_is_router_advertisement = 0, "Zero";
                router_lifetime: u16 @ bits(48, 16) if layout::icmp6_is_router_advertisement = 1800,
                    "Seconds as default router";
                reachable_time: u32 @ bits(64, 32) if layout::icmp6_is_router_advertisement = 0,
                    "Milliseconds a neighbour counts as reachable";
                retrans_timer: u32 @ bits(96, 32) if layout::icmp6_is_router_advertisement = 0,
                    "Milliseconds between solicitations";
                router: flag @ bits(32, 1) if layout::icmp6_is_neighbor_advertisement = 0, "From a router";
                solicited: flag @ bits(33, 1) if layout::icmp6_is_neighbor_advertisement = 0, "An answer";
                override_flag: flag @ bits(34, 1) if layout::icmp6_is_neighbor_advertisement = 0, "Replace the cached address";
                reserved_na: u32 @ bits(35, 29) if layout::icmp6_is_neighbor_advertisement = 0, "Zero";
                max_response_delay: u16 @ bits(32, 16) if layout::icmp6_is_mld = 0, "Milliseconds, or maximum response code";
                reserved_mld: u16 @ bits(48, 16) if layout::icmp6_is_mld = 0, "Zero";
                reserved_report: u16 @ bits(32, 16) if layout::icmp6_is_mld2_report = 0, "Zero";
                record_count: u16 auto @ bits(48, 16) if layout::icmp6_is_mld2_report = 0, "Group records";
                rest: u32 @ bits(32, 32) if layout::icmp6_is_other = 0, "Rest of header";
                group: ip6 @ bits(64, 128) if layout::icmp6_is_mld = 0, "Multicast group; :: is all";
                target: ip6 @ bits(64, 128) if layout::icmp6_has_target = 0, "Target address";
                destination: ip6 @ bits(192, 128) if layout::icmp6_is_redirect = 0, "Redirected destination";
                reserved_query: u8 @ bits(192, 4) if layout::icmp6_is_mld2_query = 0, "Zero";
                suppress: flag @ bits(196, 1) if layout::icmp6_is_mld2_query = 0, "Routers keep their timers";
                robustness: u8 @ bits(197, 3) if layout::icmp6_is_mld2_query = 0, "Querier's robustness variable";
                query_interval: u8 @ bits(200, 8) if layout::icmp6_is_mld2_query = 0, "Querier's query interval code";
                source_count: u16 auto @ bits(208, 16) if layout::icmp6_is_mld2_query = 0, "Sources";
                sources: addrs @ tail(|_| 28) if layout::icmp6_is_mld2_query = 0, "Sources";
                options: opts<Ndp> @ tail(layout::icmp6_fixed) if layout::icmp6_has_options = 0, "Options; `forms()` tells what each takes";
                records: opts<Mld> @ tail(|_| 8) if layout::icmp6_is_mld2_report = 0, "Group records; `forms()` tells what each takes";
            }

            Igmp IGMP "IGMP, RFC 2236 and RFC 9776."
            [8, |_| 8, layout::igmp_len] {
                r#type: u8 shape @ bits(0, 8) = 0x11, "Message", names::igmp_type;
                max_response_time: u8 @ bits(8, 8) = 0, "Tenths of seconds, or maximum response code";
                checksum: u16 auto @ bits(16, 16) = 0, "Internet checksum";
                group: ip4 @ bits(32, 32) if layout::igmp_has_group = 0, "Multicast group; 0.0.0.0 is all";
                reserved: u16 @ bits(32, 16) if layout::igmp_is_report3 = 0, "Zero";
                record_count: u16 auto @ bits(48, 16) if layout::igmp_is_report3 = 0, "Group records";
                reserved_query: u8 @ bits(64, 4) if layout::igmp_is_query3 = 0, "Zero";
                suppress: flag @ bits(68, 1) if layout::igmp_is_query3 = 0, "Routers keep their timers";
                robustness: u8 @ bits(69, 3) if layout::igmp_is_query3 = 0, "Querier's robustness variable";
                query_interval: u8 @ bits(72, 8) if layout::igmp_is_query3 = 0, "Querier's query interval code";
                source_count: u16 auto @ bits(80, 16) if layout::igmp_is_query3 = 0, "Sources";
                sources: addrs4 @ tail(|_| 12) if layout::igmp_is_query3 = 0, "Sources";
                records: opts<Igmp> @ tail(|_| 8) if layout::igmp_is_report3 = 0, "Group records; `forms()` tells what each takes";
            }

            /// ```text
            ///  0 C R K S s recursion (3), A flags (4) version (3)   2 protocol (2)
            ///    [checksum (2) reserved (2)]   [key (4)]   [sequence (4)]   [acknowledgment (4), version 1]
            /// ```
            Gre GRE "GRE, RFC 2784 and RFC 2890; version 1 is PPTP's, RFC 2637."
            [4, layout::gre_len, layout::gre_len] {
                checksum_present: flag shape @ bits(0, 1) = 0, "The checksum follows";
                routing_present: flag shape @ bits(1, 1) = 0, "Zero since RFC 2784";
                key_present: flag shape @ bits(2, 1) = 0, "The key follows";
                sequence_present: flag shape @ bits(3, 1) = 0, "The sequence number follows";
                strict_source_route: flag @ bits(4, 1) = 0, "Zero since RFC 2784";
                recursion: u8 @ bits(5, 3) = 0, "Zero since RFC 2784";
                acknowledgment_present: flag shape @ bits(8, 1) = 0, "Version 1: the acknowledgment follows";
                reserved0: u8 @ bits(9, 4) = 0, "Zero";
                version: u8 shape @ bits(13, 3) = 0, "0, or 1 for PPTP";
                protocol: u16 auto @ bits(16, 16) = 0, "What follows", names::ethertype;
                checksum: u16 auto @ range(layout::gre_checksum) = 0, "Internet checksum of header and payload";
                reserved1: u16 @ range(layout::gre_reserved1) = 0, "Zero; the offset of RFC 1701";
                key: u32 @ range(layout::gre_key) = 0, "Key; version 1: payload length and call identifier";
                payload_length: u16 auto alias @ range(layout::gre_payload_length) = 0,
                    "Version 1: bytes behind this header, the upper half of the key";
                call_id: u16 alias @ range(layout::gre_call_id) = 0,
                    "Version 1: the peer's call identifier, the lower half of the key";
                sequence: u32 @ range(layout::gre_sequence) = 0, "Sequence number";
                acknowledgment: u32 @ range(layout::gre_acknowledgment) = 0, "Acknowledgment number";
            }

            Vxlan VXLAN "VXLAN, RFC 7348 section 5."
            [8, |_| 8, |_| 8] {
                flags: u8 @ bits(0, 8) = 8, "8: the network identifier is valid";
                reserved: u32 @ bits(8, 24) = 0, "Zero";
                vni: u32 @ bits(32, 24) = 0, "Network identifier";
                reserved2: u8 @ bits(56, 8) = 0, "Zero";
            }

            Geneve Geneve "Geneve, RFC 8926 section 3.4."
            [8, |_| 8, layout::geneve_len] {
                version: u8 @ bits(0, 2) = 0, "Version";
                opt_len: u8 auto @ bits(2, 6) = 0, "Words of options";
                control: flag @ bits(8, 1) = 0, "A control packet";
                critical: flag @ bits(9, 1) = 0, "There are critical options";
                reserved: u8 @ bits(10, 6) = 0, "Zero";
                protocol: u16 auto @ bits(16, 16) = 0, "What follows", names::ethertype;
                vni: u32 @ bits(32, 24) = 0, "Network identifier";
                reserved2: u8 @ bits(56, 8) = 0, "Zero";
                options: opts<Geneve> @ tail(|_| 8) = 0, "Options; `forms()` tells what each takes";
            }

            Payload Raw "Bytes that no header claims."
            [0, |_| 0, layout::all] {
                data: bytes @ tail(|_| 0) = 0, "The bytes";
            }
        }
    };
}
