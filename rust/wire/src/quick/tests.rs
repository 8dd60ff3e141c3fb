use super::*;
use crate::checksum::{checksum, verify_l3};
use crate::layers::{Checksum, Layers, Limits, Present, Verdict};
use crate::{Frame, LinkType, dissect};
use proptest::prelude::*;

/// A frame by its parts; as `Plain::frame` writes it, quick dissection has to know it.
#[derive(Clone, Debug)]
struct Plain {
    v6: bool,
    tag: Option<u16>,
    protocol: u8,
    addresses: [[u8; 16]; 2],
    ports: [u16; 2],
    hop_limit: u8,
    flags: u8,
    reserved: u8,
    payload: usize,
    padding: usize,
    options: u8,
}

impl Plain {
    fn transport(&self) -> Vec<u8> {
        let mut bytes = self.ports.map(u16::to_be_bytes).concat();
        let options = usize::from(self.options) * 4;
        match self.protocol {
            p::TCP => {
                bytes.resize(12, 1);
                bytes.extend([(5 + self.options) << 4 | self.reserved, self.flags, 1, 1, 0, 0, 0, 0]);
                bytes.resize(20 + options + self.payload, 0);
            }
            p::UDP => {
                bytes.extend((8 + self.payload as u16).to_be_bytes());
                bytes.resize(8 + self.payload, 0);
            }
            p::DCCP => {
                bytes.push(3 + self.options);
                bytes.resize(12 + options + self.payload, 0);
            }
            p::SCTP => bytes.resize(12 + self.payload, 0),
            _ => bytes.resize(8 + self.payload, 0),
        }
        bytes
    }

    fn packet(&self) -> Vec<u8> {
        let upper = self.transport();
        let mut bytes;
        if self.v6 {
            bytes = vec![0x6f, 0xff, 1, 2];
            bytes.extend((upper.len() as u16).to_be_bytes());
            bytes.extend([self.protocol, self.hop_limit]);
            bytes.extend(self.addresses.concat());
        } else {
            bytes = vec![0x45, 3];
            bytes.extend((20 + upper.len() as u16).to_be_bytes());
            bytes.extend([7, 7, 0x40, 0, self.hop_limit, self.protocol, 0, 0]);
            bytes.extend(self.addresses.iter().flat_map(|address| &address[..4]));
            let sum = checksum(&bytes);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        bytes.extend(upper);
        bytes.resize(bytes.len() + self.padding, 0x55);
        bytes
    }

    fn frame(&self) -> Vec<u8> {
        let mut bytes = vec![2; 12];
        if let Some(tag) = self.tag {
            bytes.extend([0x81, 0]);
            bytes.extend(tag.to_be_bytes());
        }
        bytes.extend(if self.v6 { [0x86, 0xdd] } else { [8, 0] });
        bytes.extend(self.packet());
        bytes
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let protocol = prop::sample::select(vec![p::TCP, p::UDP, p::UDPLITE, p::SCTP, p::DCCP]);
    let link = (any::<bool>(), any::<Option<u16>>(), protocol);
    let ends = (any::<[[u8; 16]; 2]>(), any::<[u16; 2]>(), any::<[u8; 2]>());
    (link, ends, 0..16u8, 0..60usize, 0..30usize, 0..=10u8).prop_map(
        |(
            (v6, tag, protocol),
            (addresses, ports, [hop_limit, flags]),
            reserved,
            payload,
            padding,
            options,
        )| {
            Plain {
                v6,
                tag,
                protocol,
                addresses,
                ports,
                hop_limit,
                flags,
                reserved,
                payload,
                padding,
                options,
            }
        },
    )
}

fn upper_length(protocol: u8, header: &[u8]) -> u16 {
    match protocol {
        p::TCP => u16::from(header[12] >> 4) * 4,
        p::DCCP => u16::from(header[4]) * 4,
        p::SCTP => 12,
        _ => 8,
    }
}

fn agree(bytes: &[u8], link: LinkType) -> Result<(), TestCaseError> {
    let quick = if link == LinkType::ETHERNET { quick(bytes) } else { quick_ip(bytes) };
    let Some(quick) = quick else { return Ok(()) };
    let (frame, mut layers) = (Frame::whole(bytes, link), Layers::default());
    dissect(&frame, &Limits::default(), &mut layers, &mut ());
    prop_assert_eq!(layers.verdict, Verdict::Ok);
    prop_assert!(layers.present.has(Present::IP | Present::PORTS) && !layers.is_fragment());
    prop_assert!(!layers.present.has(Present::REROUTED));
    prop_assert!(matches!(verify_l3(&frame, &layers), Checksum::None | Checksum::Good));
    let words = |address: [u8; 16]| {
        let wide = u128::from_be_bytes(address);
        [(wide >> 64) as u64, wide as u64]
    };
    let expected = Quick {
        src: words(layers.src),
        dst: words(layers.dst),
        ip_len: layers.ip_len(),
        l3_offset: layers.l3_offset as u16,
        l4_offset: layers.l4_offset as u16,
        l4_len: upper_length(layers.protocol, &bytes[layers.l4_offset as usize..]),
        src_port: layers.src_port,
        dst_port: layers.dst_port,
        vlan: layers.present.has(Present::VLAN).then_some(layers.vlan),
        tcp_flags: layers.tcp_flags,
        ip_version: layers.ip_version,
        protocol: layers.protocol,
        hop_limit: layers.hop_limit,
    };
    prop_assert_eq!(quick, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn plain_packets_are_known(plain in plain()) {
        prop_assert!(quick(&plain.frame()).is_some());
        prop_assert!(quick_ip(&plain.packet()).is_some());
        agree(&plain.frame(), LinkType::ETHERNET)?;
        agree(&plain.packet(), LinkType::RAW)?;
    }

    /// Each change hits a header, and the IPv4 checksum is made right again, or it would hide the others.
    #[test]
    fn what_is_said_of_changed_packets_is_what_dissection_says(
        plain in plain(),
        changes in prop::collection::vec((0..60usize, any::<u8>()), 1..4),
        cut in prop::option::of(0..100usize),
        right in any::<bool>(),
    ) {
        let mut frame = plain.frame();
        for (at, value) in changes {
            let at = at % frame.len();
            frame[at] = value;
        }
        frame.truncate(cut.unwrap_or(usize::MAX));
        let at = if plain.tag.is_some() { 18 } else { 14 };
        if let (true, Some(header)) = (right && !plain.v6, frame.get_mut(at..at + 20)) {
            header[10..12].fill(0);
            let sum = checksum(header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        agree(&frame, LinkType::ETHERNET)?;
        agree(&frame[at.min(frame.len())..], LinkType::RAW)?;
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        agree(&bytes, LinkType::ETHERNET)?;
        agree(&bytes, LinkType::RAW)?;
    }
}

#[test]
fn what_is_not_plain_is_left_to_dissection() {
    let plain = Plain {
        v6: false,
        tag: None,
        protocol: p::UDP,
        addresses: [[1; 16]; 2],
        ports: [1, 2],
        hop_limit: 64,
        flags: 0,
        reserved: 0,
        payload: 10,
        padding: 0,
        options: 0,
    };
    let frame = plain.frame();
    assert!(quick(&frame).is_some());
    for (at, value) in
        [(24, 9), (20, 0x20), (21, 1), (14, 0x46), (17, 39), (17, 37), (39, 19), (39, 7), (23, 50)]
    {
        let mut changed = frame.clone();
        changed[at] = value;
        changed[24..26].fill(if at == 24 { value } else { 0 });
        if at != 24 {
            let sum = checksum(&changed[14..34]);
            changed[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        assert_eq!(quick(&changed), None, "byte {at}");
    }
    let two_tags = [&frame[..12], &[0x81, 0, 0, 1, 0x81, 0, 0, 2], &frame[12..]].concat();
    assert_eq!(quick(&two_tags), None);
    assert_eq!(quick(&frame[..frame.len() - 1]), None);
}
