//! Needs of features as Linux and virtio have them, states of a port, and what is left to software.
use netfast_buf::{ChecksumState, GsoFlags, GsoType, Offsets, PacketPool, Skb};
use proptest::prelude::*;

use super::*;

fn set(names: &str) -> FeatureSet {
    names.parse().expect("names")
}

#[test]
fn names_lead_there_and_back() {
    for &feature in Feature::ALL {
        assert_eq!(feature.name().parse(), Ok(feature));
        assert_eq!(set(&format!(" {feature},")), FeatureSet::of(feature));
        assert_eq!(feature.to_string(), feature.name());
    }
    assert_eq!(set(&FeatureSet::ALL.to_string()), FeatureSet::ALL);
    assert_eq!(set("none"), FeatureSet::NONE);
    assert_eq!(FeatureSet::NONE.to_string(), "none");
    assert_eq!(set("tso"), FeatureSet::TCP_SEGMENTATION);
    assert_eq!(set("sg gro,lro"), set("scatter-gather rx-gro rx-lro"));
    let unknown = "tx-tcp-segmentatoin".parse::<FeatureSet>();
    assert_eq!(unknown, Err(FeatureError::UnknownName { name: "tx-tcp-segmentatoin".into() }));
    assert!(unknown.unwrap_err().to_string().contains("tx-tcp-segmentatoin"));
}

/// `netdev_fix_features` of Linux 6.11: what is on before and after.
#[test]
fn needs_are_those_of_linux() {
    for (wanted, left) in [
        ("tx-checksum-ip-generic tx-checksum-ipv4 tx-checksum-ipv6", "tx-checksum-ip-generic"),
        ("tso tx-checksum-ip-generic", "tx-checksum-ip-generic"),
        (
            "tx-tcp-segmentation tx-tcp6-segmentation sg tx-checksum-ipv4",
            "tx-tcp-segmentation sg tx-checksum-ipv4",
        ),
        (
            "tx-tcp-segmentation tx-tcp6-segmentation sg tx-checksum-ipv6",
            "tx-tcp6-segmentation sg tx-checksum-ipv6",
        ),
        ("tso sg", "sg"),
        // Linux drops ECN with TCP over IPv4, though TCP over IPv6 stays.
        ("tso sg tx-checksum-ipv6", "tx-tcp6-segmentation sg tx-checksum-ipv6"),
        (
            "tx-tcp6-segmentation tx-tcp-ecn-segmentation sg tx-checksum-ipv6",
            "tx-tcp6-segmentation tx-tcp-ecn-segmentation sg tx-checksum-ipv6",
        ),
        ("tx-tcp-ecn-segmentation sg tx-checksum-ip-generic", "sg tx-checksum-ip-generic"),
        (
            "tx-tcp-mangleid-segmentation tx-tcp6-segmentation sg tx-checksum-ipv6",
            "tx-tcp6-segmentation sg tx-checksum-ipv6",
        ),
        ("gso", "none"),
        ("gso sg", "gso sg"),
        ("sg", "sg"),
        ("rx-gro-hw", "none"),
        ("rx-gro-hw rx-checksum", "rx-gro-hw rx-checksum"),
        ("rx-gro-hw rx-lro rx-checksum", "rx-gro-hw rx-checksum"),
        ("rx-gro-hw rx-lro rx-checksum rx-fcs", "rx-checksum rx-fcs"),
        ("rx-lro", "rx-lro"),
        ("tx-udp-segmentation tx-checksum-ipv4", "tx-checksum-ipv4"),
        (
            "tx-udp-segmentation tx-checksum-ipv4 tx-checksum-ipv6",
            "tx-udp-segmentation tx-checksum-ipv4 tx-checksum-ipv6",
        ),
        ("tx-udp-segmentation tx-checksum-ip-generic", "tx-udp-segmentation tx-checksum-ip-generic"),
        ("gro rx-udp-gro-forwarding", "gro rx-udp-gro-forwarding"),
    ] {
        assert_eq!(set(wanted).fixed().0.to_string(), set(left).to_string(), "{wanted}");
    }
}

#[test]
fn what_goes_says_why() {
    let (left, removed) = set("tx-tcp-segmentation scatter-gather").fixed();
    assert_eq!(left, FeatureSet::SCATTER_GATHER);
    assert_eq!(removed[0].feature, Feature::TxTcpSegmentation);
    let text = "tx-tcp-segmentation needs tx-checksum-ipv4 or tx-checksum-ip-generic";
    assert_eq!(removed[0].to_string(), text);
    let (_, removed) = set("tx-udp-segmentation").fixed();
    let text =
        "tx-udp-segmentation needs tx-checksum-ip-generic, or both tx-checksum-ipv4 and tx-checksum-ipv6";
    assert_eq!(removed[0].to_string(), text);
    let (_, removed) = set("rx-lro rx-gro-hw rx-checksum").fixed();
    assert_eq!(removed[0].to_string(), "large-receive-offload is excluded by rx-gro-hw");
}

proptest! {
    #[test]
    fn what_is_left_needs_nothing_more_and_nothing_is_lost(bits: u32) {
        let wanted: FeatureSet =
            Feature::ALL.iter().copied().filter(|feature| bits >> (*feature as u32) & 1 == 1).collect();
        let (left, removed) = wanted.fixed();
        prop_assert!(wanted.has(left));
        prop_assert_eq!(left.fixed(), (left, vec![]));
        let gone: FeatureSet = removed.iter().map(|removed| removed.feature).collect();
        prop_assert_eq!((left.with(gone), gone.iter().count()), (wanted, removed.len()));
        prop_assert!(!left.has_any(gone));
    }

    #[test]
    fn virtio_bits_are_closed_and_come_back(bits: u64) {
        let (left, removed) = VirtioFeatures(bits).fixed();
        prop_assert_eq!(left.0 | removed.0, bits);
        prop_assert_eq!(left.fixed(), (left, VirtioFeatures(0)));
        for side in [Side::Driver, Side::Device] {
            let features = left.of_port(side);
            prop_assert_eq!(features.fixed(), (features, vec![]));
            let again = VirtioFeatures::from_port(features, side);
            prop_assert_eq!(again.of_port(side), features);
        }
    }
}

/// Virtio 1.3, 5.1.3.1.
#[test]
fn virtio_needs() {
    use VirtioFeatures as F;
    for (bits, left) in [
        (F::HOST_TSO4, F(0)),
        (F::HOST_TSO4.with(F::CSUM), F::HOST_TSO4.with(F::CSUM)),
        (F::HOST_ECN.with(F::CSUM), F::CSUM),
        (F::HOST_ECN.with(F::HOST_TSO6), F(0)),
        (F::GUEST_USO4.with(F::CSUM), F::CSUM),
        (
            F::GUEST_ECN.with(F::GUEST_TSO6).with(F::GUEST_CSUM),
            F::GUEST_ECN.with(F::GUEST_TSO6).with(F::GUEST_CSUM),
        ),
        (F::RSC_EXT.with(F::HOST_TSO4), F(0)),
        (F::MRG_RXBUF, F::MRG_RXBUF),
    ] {
        assert_eq!(bits.fixed().0, left, "{bits}");
    }
    assert_eq!(F::HOST_USO.to_string(), "VIRTIO_NET_F_HOST_USO");
    assert_eq!(F::HOST_USO.0, 1 << 56);
    assert_eq!(F::OFFLOADS.tun_offloads(), 0x6f);
    assert_eq!(F::OFFLOADS.without(F::GUEST_USO6).tun_offloads(), 0x0f);
    assert_eq!(F::GUEST_TSO4.tun_offloads(), 0, "checksums come first");
    let driver = F::CSUM.with(F::HOST_TSO4).with(F::GUEST_CSUM).of_port(Side::Driver);
    assert_eq!(driver, set("tx-checksum-ip-generic sg tx-tcp-segmentation rx-checksum"));
}

#[test]
fn a_wish_waits_until_its_needs_are_met() {
    let mut port = PortFeatures::new(set("sg tx-checksum-ip-generic tso rx-checksum rx-gro-hw rx-lro"));
    assert!(port.active().has(FeatureSet::TCP_SEGMENTATION.with(FeatureSet::SOFTWARE)));
    let change = port.turn_off(FeatureSet::TX_CHECKSUM_IP_GENERIC);
    assert_eq!(change.turned_off, set("tx-checksum-ip-generic tso"));
    assert!(change.waiting.iter().any(|removed| removed.feature == Feature::TxTcpSegmentation));
    assert!(port.wanted().has(FeatureSet::TCP_SEGMENTATION));
    let change = port.turn_on(FeatureSet::TX_CHECKSUM_IP_GENERIC).expect("supported");
    assert_eq!((change.turned_on, change.waiting), (set("tx-checksum-ip-generic tso"), vec![]));
    let unsupported = port.turn_on(set("tx-gre-segmentation sg"));
    let features = set("tx-gre-segmentation");
    assert_eq!(unsupported, Err(FeatureError::Unsupported { features, supported: port.supported() }));
}

#[test]
fn who_forwards_does_not_merge_with_loss() {
    let mut port = PortFeatures::new(set("rx-lro rx-checksum"));
    assert!(!port.active().has(FeatureSet::LARGE_RECEIVE), "not by itself");
    let change = port.turn_on(FeatureSet::LARGE_RECEIVE).expect("supported");
    assert_eq!(change.turned_on, FeatureSet::LARGE_RECEIVE);
    let change = port.set_forwarding(true);
    assert_eq!(change.turned_off, FeatureSet::LARGE_RECEIVE);
    assert!(change.waiting.iter().any(|removed| removed.because == Because::Forwarding));
    assert_eq!(port.turn_on(FeatureSet::LARGE_RECEIVE), Err(FeatureError::Forwarding));
    assert_eq!(port.set_forwarding(false).turned_on, FeatureSet::LARGE_RECEIVE);
}

#[test]
fn ports_on_a_port_have_what_it_does_for_their_packets() {
    let port = PortFeatures::new(set("sg tx-checksum-ip-generic tso tx-udp-segmentation"))
        .with_tagged(set("sg tx-checksum-ipv4 tx-tcp-segmentation"))
        .with_encapsulated(set("sg tx-checksum-ip-generic"));
    let software = FeatureSet::SOFTWARE;
    let vlan = port.inherited(Upper::Vlan);
    assert_eq!(vlan, set("sg tx-checksum-ipv4 tx-tcp-segmentation").with(software));
    assert_eq!(port.inherited(Upper::Tunnel), set("sg tx-checksum-ip-generic").with(software));
    assert_eq!(port.for_packets(true, true), set("sg tx-checksum-ipv4"));
    assert_eq!(PortFeatures::new(FeatureSet::ALL).inherited(Upper::Vlan), software);
}

/// Ethernet, IPv4, TCP with the flags, 100 bytes of payload behind.
fn packet(flags: u8) -> Skb {
    let mut bytes = vec![0; 154];
    (bytes[12], bytes[14], bytes[23], bytes[47]) = (8, 0x45, 6, flags);
    let mut packet = Skb::from_slice(&bytes, &mut PacketPool::default()).expect("short");
    packet.hot.outer = Offsets::new(Some(0), Some(14), Some(34));
    packet.hot.checksum = ChecksumState::Good;
    packet
}

fn super_packet(flags: u8) -> Skb {
    let mut packet = packet(flags);
    (packet.hot.gso_size, packet.hot.gso_type) = (10, GsoType::Tcp4);
    packet.hot.checksum = ChecksumState::Partial;
    packet
}

#[test]
fn software_does_what_is_left() {
    let all = Plan { segment: true, checksum: true, linearise: true };
    let cut = Plan { segment: true, ..Plan::NOTHING };
    let (tso, ecn) = (set("sg tx-checksum-ipv4 tx-tcp-segmentation"), FeatureSet::TX_TCP_ECN_SEGMENTATION);
    assert_eq!(plan(FeatureSet::NONE, &packet(0x10)), Plan::NOTHING);
    assert_eq!(plan(FeatureSet::NONE, &super_packet(0x10)), all);
    assert_eq!(plan(tso, &super_packet(0x10)), Plan::NOTHING);
    assert_eq!(plan(tso, &super_packet(0x90)), cut);
    assert_eq!(plan(tso.with(ecn), &super_packet(0x90)), Plan::NOTHING);
    assert!(plan(set("sg tx-checksum-ipv6 tx-tcp6-segmentation"), &super_packet(0x10)).checksum);
    let mut fixed = super_packet(0x10);
    fixed.hot.gso_flags = GsoFlags::FIXED_ID;
    assert_eq!(plan(tso, &fixed), cut);
    assert_eq!(plan(tso.with(FeatureSet::TX_TCP_MANGLEID_SEGMENTATION), &fixed), Plan::NOTHING);
    let mut partial = packet(0x10);
    partial.hot.checksum = ChecksumState::Partial;
    let fill = Plan { checksum: true, ..Plan::NOTHING };
    assert_eq!(plan(FeatureSet::SCATTER_GATHER, &partial), fill);
    assert_eq!(plan(FeatureSet::TX_CHECKSUM_IPV4, &partial), Plan::NOTHING);
    let mut pieces = packet(0x10);
    pieces.append(&mut packet(0), &mut PacketPool::default()).expect("short");
    assert_eq!(plan(FeatureSet::NONE, &pieces), Plan { linearise: true, ..Plan::NOTHING });
    // Nobody said where the headers are.
    partial.hot.outer = Offsets::default();
    assert_eq!(plan(FeatureSet::TX_CHECKSUM_IPV4.with(FeatureSet::SCATTER_GATHER), &partial), fill);
}

#[test]
fn a_tunnel_needs_its_feature() {
    let base = set("sg tx-checksum-ip-generic tx-tcp-segmentation");
    for (protocol, first, name) in [
        (17, 0, "tx-udp_tnl-segmentation"),
        (17, 7, "tx-udp_tnl-csum-segmentation"),
        (47, 0, "tx-gre-segmentation"),
        (47, 0x80, "tx-gre-csum-segmentation"),
        (4, 0, "tx-ipxip4-segmentation"),
    ] {
        let mut packet = super_packet(0x10);
        let mut pool = PacketPool::default();
        let head = packet.head_mut(154, &mut pool).expect("all of it");
        head[23] = protocol;
        (head[34], head[40]) = (first, first);
        head[70] = 0x45;
        packet.hot.inner = Offsets::new(None, Some(70), Some(90));
        packet.hot.gso_flags = GsoFlags::TUNNEL;
        assert!(plan(base, &packet).segment, "{name}");
        assert_eq!(plan(base.with(set(name)), &packet), Plan::NOTHING, "{name}");
        let port = PortFeatures::new(base.with(set(name)));
        assert!(port.plan(&packet).segment, "the port said nothing of tunnels");
        assert_eq!(port.with_encapsulated(base.with(set(name))).plan(&packet), Plan::NOTHING);
    }
}
