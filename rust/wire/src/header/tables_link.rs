//! The tables of link-layer headers. One row says everything about a field; value, view, Python class, tree and
//! documentation are made from it. The grammar of a row stands at [`define_headers`](super::tables).

/// Calls a macro with the tables of link-layer headers.
#[macro_export]
#[doc(hidden)]
macro_rules! link_headers {
    ($callback:ident) => {
        $callback! {
            /// ```text
            ///  0 destination (6)   6 source (6)   12 EtherType (2)
            /// ```
            Ethernet Ethernet "Ethernet II, or IEEE 802.3 when the type is below 1536 and counts bytes."
            [14, |_| 14, |_| 14] {
                dst: mac @ bits(0, 48) = 0, "Destination address";
                src: mac @ bits(48, 48) = 0, "Source address";
                ethertype: u16 auto @ bits(96, 16) = 0, "What follows; below 1536 the length of an 802.3 frame",
                    names::ethertype;
            }

            /// ```text
            ///  0 priority (3 bits) drop eligible (1) VLAN identifier (12)   2 EtherType (2)
            /// ```
            Vlan VLAN "One IEEE 802.1Q or 802.1ad tag: tag control information, then the type behind it."
            [4, |_| 4, |_| 4] {
                priority: u8 @ bits(0, 3) = 0, "Priority code point";
                drop_eligible: flag @ bits(3, 1) = 0, "May be dropped first";
                vid: u16 @ bits(4, 12) = 0, "VLAN identifier";
                ethertype: u16 auto @ bits(16, 16) = 0, "What follows", names::ethertype;
            }

            /// ```text
            ///  label (20 bits)   traffic class (3)   bottom of stack (1)   TTL (8)
            /// ```
            Mpls MPLS "One MPLS label stack entry, RFC 3032 section 2.1 and RFC 5462."
            [4, |_| 4, |_| 4] {
                label: u32 @ bits(0, 20) = 0, "Label", names::mpls_label;
                traffic_class: u8 @ bits(20, 3) = 0, "Traffic class";
                bottom_of_stack: u8 auto @ bits(23, 1) = 0, "1 in the last label";
                ttl: u8 @ bits(24, 8) = 64, "Time to live";
            }

            Pppoe PPPoE "PPP over Ethernet, RFC 2516 section 4; discovery packets with their tags."
            [6, |_| 6, layout::pppoe_len] {
                version: u8 @ bits(0, 4) = 1, "Always 1";
                pppoe_type: u8 @ bits(4, 4) = 1, "Always 1";
                code: u8 shape @ bits(8, 8) = 0, "0 in a session, else the discovery packet", names::pppoe_code;
                session_id: u16 @ bits(16, 16) = 0, "Session";
                length: u16 auto @ bits(32, 16) = 0, "Bytes behind this header";
                tags: opts<Pppoe> @ tail(|_| 6) = 0, "Tags of a discovery packet; `forms()` tells what each takes";
            }

            Ppp PPP "PPP, RFC 1661 section 2, with address and control of RFC 1662 where they are sent."
            [1, layout::ppp_len, layout::ppp_len] {
                address: u8 @ range(layout::ppp_address) = 0, "HDLC address, 255; absent when compressed";
                control: u8 @ range(layout::ppp_control) = 0, "HDLC control, 3; absent when compressed";
                protocol: u16 auto @ range(layout::ppp_protocol) = 0, "What follows", names::ppp_protocol;
            }

            Null Null "BSD loopback: the address family in the byte order of the capturing host."
            [4, |_| 4, |_| 4] {
                family: u32 auto @ host_order(0) = 0, "Address family", names::bsd_family;
            }

            LinuxSll LinuxSLL "Linux cooked capture, version 1 (LINKTYPE_LINUX_SLL)."
            [16, |_| 16, |_| 16] {
                packet_type: u16 @ bits(0, 16) = 0, "To us, broadcast, multicast, to another, from us",
                    names::sll_packet_type;
                arphrd_type: u16 @ bits(16, 16) = 1, "Kind of device", names::arphrd;
                address_len: u16 @ bits(32, 16) = 6, "Bytes of the address";
                address: bytes @ bits(48, 64) = 0, "Source address, padded to eight bytes";
                protocol: u16 auto @ bits(112, 16) = 0, "What follows", names::ethertype;
            }

            LinuxSll2 LinuxSLL2 "Linux cooked capture, version 2 (LINKTYPE_LINUX_SLL2)."
            [20, |_| 20, |_| 20] {
                protocol: u16 auto @ bits(0, 16) = 0, "What follows", names::ethertype;
                reserved: u16 @ bits(16, 16) = 0, "Zero";
                interface_index: u32 @ bits(32, 32) = 0, "Index of the interface";
                arphrd_type: u16 @ bits(64, 16) = 1, "Kind of device", names::arphrd;
                packet_type: u8 @ bits(80, 8) = 0, "To us, broadcast, multicast, to another, from us",
                    names::sll_packet_type;
                address_len: u8 @ bits(88, 8) = 6, "Bytes of the address";
                address: bytes @ bits(96, 64) = 0, "Source address, padded to eight bytes";
            }

            Radiotap RadioTap "Radiotap: what the card said about an 802.11 frame. Numbers are little-endian."
            [8, |_| 8, layout::radiotap_len] {
                version: u8 @ bits(0, 8) = 0, "Always 0";
                pad: u8 @ bits(8, 8) = 0, "Zero";
                length: u16 auto @ little(2, 2, 0, 16) = 0, "Bytes of this header";
                present: u32 alias @ little(4, 4, 0, 32) = 0, "First present word";
                fields: opts<Radiotap> @ tail(|_| 4) = 0, "Present words and fields; `forms()` tells what each takes";
            }

            /// ```text
            ///  0 frame control (2)   2 duration (2)   4 address 1 (6)   [10 address 2 (6)   [16 address 3 (6)
            /// 22 sequence control (2)]]   [address 4 (6)]   [QoS control (2)]   [HT control (4)]
            /// ```
            Dot11 Dot11 "IEEE 802.11 MAC header, IEEE 802.11-2020 section 9.2.4; numbers are little-endian."
            [10, layout::dot11_len, layout::dot11_len] {
                subtype: u8 shape @ bits(0, 4) = 0, "Subtype", names::dot11_subtype;
                r#type: u8 shape @ bits(4, 2) = 2, "0 management, 1 control, 2 data, 3 extension", names::dot11_type;
                version: u8 @ bits(6, 2) = 0, "Protocol version";
                order: flag shape @ bits(8, 1) = 0, "HT control follows (+HTC)";
                protected: flag @ bits(9, 1) = 0, "The body is enciphered";
                more_data: flag @ bits(10, 1) = 0, "The access point holds more for a sleeper";
                power_management: flag @ bits(11, 1) = 0, "The sender goes to sleep";
                retry: flag @ bits(12, 1) = 0, "Sent before";
                more_fragments: flag @ bits(13, 1) = 0, "More fragments follow";
                from_ds: flag shape @ bits(14, 1) = 0, "From the distribution system";
                to_ds: flag shape @ bits(15, 1) = 0, "To the distribution system";
                duration: u16 @ little(2, 2, 0, 16) = 0, "Duration in microseconds, or association identifier";
                addr1: mac @ bits(32, 48) = 0, "Receiver";
                addr2: mac @ range(layout::dot11_addr2) = 0, "Transmitter";
                addr3: mac @ range(layout::dot11_addr3) = 0, "BSSID, source or destination";
                fragment: u8 @ range_little(layout::dot11_sequence, 0, 4) = 0, "Fragment number";
                sequence: u16 @ range_little(layout::dot11_sequence, 4, 12) = 0, "Sequence number";
                addr4: mac @ range(layout::dot11_addr4) = 0, "Source, between access points";
                qos: u16 @ range_little(layout::dot11_qos, 0, 16) = 0, "QoS control";
                ht_control: u32 @ range_little(layout::dot11_ht, 0, 32) = 0, "HT control";
            }

            Llc LLC "IEEE 802.2 logical link control."
            [3, layout::llc_len, layout::llc_len] {
                dsap: u8 @ bits(0, 8) = 0xaa, "Destination service access point", names::sap;
                ssap: u8 @ bits(8, 8) = 0xaa, "Source service access point", names::sap;
                control: u8 shape @ bits(16, 8) = 3, "Control; 3 is unnumbered information";
                control_extended: u8 @ range(layout::llc_control_extended) = 0,
                    "Second control byte of numbered frames";
            }

            Snap SNAP "Subnetwork access protocol, IEEE 802 and RFC 1042."
            [5, |_| 5, |_| 5] {
                oui: u32 @ bits(0, 24) = 0, "Organisation whose protocol numbers follow; 0 is Ethernet's";
                protocol: u16 auto @ bits(24, 16) = 0, "What follows", names::ethertype;
            }

            /// ```text
            ///  0 hardware type (2)   2 protocol type (2)   4 hardware length   5 protocol length   6 operation (2)
            ///  8 sender hardware and protocol address, target hardware and protocol address
            /// ```
            Arp ARP "Address resolution, RFC 826."
            [8, layout::arp_len, layout::arp_len] {
                hardware_type: u16 @ bits(0, 16) = 1, "Kind of hardware address", names::arphrd;
                protocol_type: u16 @ bits(16, 16) = 0x0800, "Kind of protocol address", names::ethertype;
                hardware_len: u8 shape @ bits(32, 8) = 6, "Bytes of a hardware address";
                protocol_len: u8 shape @ bits(40, 8) = 4, "Bytes of a protocol address";
                operation: u16 @ bits(48, 16) = 1, "Request, reply", names::arp_operation;
                sender_mac: mac @ bits(64, 48) if layout::arp_is_ethernet_ipv4 = 0, "Sender's hardware address";
                sender_ip: ip4 @ bits(112, 32) if layout::arp_is_ethernet_ipv4 = 0, "Sender's IPv4 address";
                target_mac: mac @ bits(144, 48) if layout::arp_is_ethernet_ipv4 = 0, "Target's hardware address";
                target_ip: ip4 @ bits(192, 32) if layout::arp_is_ethernet_ipv4 = 0, "Target's IPv4 address";
                addresses: bytes @ tail(|_| 8) if layout::arp_is_other = 0, "Addresses of other lengths";
            }
        }
    };
}
