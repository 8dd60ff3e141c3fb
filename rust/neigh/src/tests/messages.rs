//! Messages: what is written is read, what is damaged is refused.
use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const US: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const THEM: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x12, 0x3456);

fn solicitation() -> Solicitation {
    Solicitation { source: US, destination: solicited_node(THEM), target: THEM, mac: Some(MAC) }
}

fn advertisement() -> Advertisement {
    Advertisement {
        source: THEM,
        destination: US,
        target: THEM,
        mac: Some(OTHER),
        router: true,
        solicited: true,
        overrides: false,
    }
}

fn solicit(said: &Solicitation) -> Vec<u8> {
    write_solicitation(said, &mut [0; DISCOVERY_LENGTH]).to_vec()
}

fn advertise(said: &Advertisement) -> Vec<u8> {
    write_advertisement(said, &mut [0; DISCOVERY_LENGTH]).to_vec()
}

/// Writes the checksum anew.
fn summed(mut packet: Vec<u8>) -> Vec<u8> {
    packet[42..44].fill(0);
    let octets = |at: usize| *packet[at..].first_chunk::<16>().unwrap();
    let sum = netfast_wire::checksum::pseudo_checksum(octets(8), octets(24), 58, &packet[40..]);
    packet[42..44].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn with(packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut packet = packet;
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet
}

fn read(packet: &[u8]) -> Result<Option<Discovery>, MessageError> {
    Discovery::parse(packet, 40, false)
}

#[test]
fn groups() {
    assert_eq!(solicited_node(THEM), "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
    assert_eq!(group_mac(solicited_node(THEM)), [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
}

#[test]
fn what_rfc_4861_7_1_forbids_is_refused() {
    let question = || solicit(&solicitation());
    let answer = || advertise(&advertisement());
    let cases = [
        (with(question(), 7, &[254]), MessageError::HopLimit),
        (with(question(), 45, &[1]), MessageError::Checksum),
        (summed(with(question(), 41, &[1])), MessageError::Code),
        (question()[..63].to_vec(), MessageError::Truncated),
        (question()[..40].to_vec(), MessageError::Truncated),
        (summed(with(question(), 48, &[0xff])), MessageError::Target),
        (summed(with(question(), 48, &[0; 16])), MessageError::Target),
        (summed(with(question(), 65, &[0])), MessageError::Option),
        (summed(with(question(), 65, &[2])), MessageError::Option),
        (summed(question()[..65].to_vec()), MessageError::Option),
        (summed(with(question(), 66, &[3])), MessageError::LinkAddress),
        (summed(with(question(), 8, &[0xff])), MessageError::Source),
        (summed(with(question(), 8, &[0; 16])), MessageError::Unspecified),
        (summed(with(answer(), 8, &[0; 16])), MessageError::Source),
        (summed(with(answer(), 24, &[0xff])), MessageError::SolicitedToGroup),
        (summed(with(answer(), 64, &[2, 0])), MessageError::Option),
    ];
    for (packet, error) in cases {
        assert_eq!(read(&packet), Err(error), "{packet:02x?}");
    }
    assert_eq!(Discovery::parse(&with(question(), 45, &[1]), 40, true).unwrap(), read(&question()).unwrap());
    // Who looks whether an address is free tells nothing of itself, and asks the group.
    let looks = Solicitation { source: Ipv6Addr::UNSPECIFIED, mac: None, ..solicitation() };
    assert_eq!(read(&solicit(&looks)), Ok(Some(Discovery::Solicitation(looks))));
    let alone = Solicitation { destination: THEM, ..looks };
    assert_eq!(read(&solicit(&alone)), Err(MessageError::Unspecified));
    // Options that nobody knows are passed over, and one of another kind is not the link address.
    let other = summed(with(question(), 64, &[2]));
    let nothing = Discovery::Solicitation(Solicitation { mac: None, ..solicitation() });
    assert_eq!(read(&other), Ok(Some(nothing)));
    assert_eq!(read(&with(question(), 40, &[134])), Ok(None), "a router's");
}

#[test]
fn arp_is_checked_as_linux_does() {
    let question = Arp {
        operation: ArpOperation::Request,
        sender_mac: MAC,
        sender: Ipv4Addr::new(192, 0, 2, 1),
        target_mac: [0; 6],
        target: Ipv4Addr::new(192, 0, 2, 2),
    };
    let mut bytes = [0; ARP_LENGTH];
    question.write(&mut bytes);
    assert_eq!(bytes[..8], [0, 1, 8, 0, 6, 4, 0, 1]);
    assert_eq!(Arp::parse(&bytes), Ok(question));
    let cases: [(usize, &[u8], MessageError); 11] = [
        (0, &[0, 2], MessageError::Kind),
        (2, &[0x86, 0xdd], MessageError::Kind),
        (4, &[8], MessageError::Kind),
        (5, &[16], MessageError::Kind),
        (6, &[0, 3], MessageError::Operation),
        (8, &[1], MessageError::LinkAddress),
        (8, &[0; 6], MessageError::LinkAddress),
        (14, &[224], MessageError::Source),
        (14, &[127], MessageError::Source),
        (24, &[239], MessageError::Target),
        (24, &[127], MessageError::Target),
    ];
    for (at, changed, error) in cases {
        assert_eq!(Arp::parse(&with(bytes.to_vec(), at, changed)), Err(error), "{at}: {changed:?}");
    }
    assert_eq!(Arp::parse(&bytes[..27]), Err(MessageError::Truncated));
    assert!(!question.is_probe() && !question.is_announcement());
    assert!(Arp { sender: Ipv4Addr::UNSPECIFIED, ..question }.is_probe());
    assert!(Arp { target: question.sender, ..question }.is_announcement());
}

#[test]
fn reasons_are_numbered_in_order() {
    assert!(MessageError::ALL.iter().enumerate().all(|(number, error)| *error as usize == number));
    let names: std::collections::HashSet<_> = MessageError::ALL.iter().map(|error| error.name()).collect();
    assert_eq!(names.len(), MessageError::ALL.len());
}

fn unicast6() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits & !(0xf << 124) | 0x2 << 124))
}

fn mac() -> impl Strategy<Value = Mac> {
    any::<Mac>().prop_map(|mac| [mac[0] & 0xfe | 2, mac[1], mac[2], mac[3], mac[4], mac[5]])
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        addresses in (unicast6(), unicast6(), unicast6()),
        mac in prop::option::of(mac()),
        flags in any::<[bool; 3]>(),
    ) {
        let (source, destination, target) = addresses;
        let question = Solicitation { source, destination, target, mac };
        prop_assert_eq!(read(&solicit(&question)), Ok(Some(Discovery::Solicitation(question))));
        let [router, solicited, overrides] = flags;
        let answer = Advertisement { source, destination, target, mac, router, solicited, overrides };
        prop_assert_eq!(read(&advertise(&answer)), Ok(Some(Discovery::Advertisement(answer))));
    }

    /// Whatever comes: no panic, and what is taken holds what the checks promise.
    #[test]
    fn what_is_taken_is_valid(
        is_question in any::<bool>(),
        changes in prop::collection::vec((0usize..80, any::<u8>()), 0..6),
        more in prop::collection::vec(any::<u8>(), 0..40),
        length in 0usize..130,
        message in prop_oneof![4 => Just(40usize), 1 => 0..200usize],
    ) {
        let mut packet = if is_question { solicit(&solicitation()) } else { advertise(&advertisement()) };
        packet.extend(more);
        for (at, byte) in changes {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        packet.truncate(length);
        let _ = Arp::parse(&packet);
        let packet = if packet.len() >= 44 { summed(packet) } else { packet };
        let _ = Discovery::parse(&packet, message, false);
        match Discovery::parse(&packet, message, true) {
            Ok(Some(Discovery::Solicitation(said))) => {
                prop_assert_eq!(packet[7], 255);
                prop_assert!(!said.target.is_multicast() && !said.source.is_multicast());
                prop_assert!(!said.source.is_unspecified() || said.mac.is_none());
                prop_assert!(said.mac.is_none_or(|mac| mac[0] & 1 == 0));
            }
            Ok(Some(Discovery::Advertisement(said))) => {
                prop_assert!(!said.source.is_unspecified() && !said.target.is_multicast());
                prop_assert!(!(said.solicited && said.destination.is_multicast()));
            }
            Ok(None) | Err(_) => {}
        }
    }
}
