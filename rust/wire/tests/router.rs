//! tshark reads every packet that a router makes, and finds nothing to warn of.
use netfast_wire::checksum::{checksum, pseudo_checksum};
use netfast_wire::router::{
    IPV6_ERROR_MAX, IcmpError, RESET_MAX, Sender, echo_reply, write_error, write_reset,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

const CLIENT4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SERVER4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);

/// A packet of the client's whose upper layer has its checksum at `sum_at`.
fn packet(version: u8, protocol: u8, sum_at: usize, mut upper: Vec<u8>) -> Vec<u8> {
    let (src, dst) = match version {
        4 => (CLIENT4.to_ipv6_mapped().octets(), SERVER4.to_ipv6_mapped().octets()),
        _ => (CLIENT6.octets(), SERVER6.octets()),
    };
    let sum = if protocol == 1 { checksum(&upper) } else { pseudo_checksum(src, dst, protocol, &upper) };
    upper[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut bytes;
    if version == 4 {
        bytes = vec![0x45, 0];
        bytes.extend((20 + upper.len() as u16).to_be_bytes());
        bytes.extend([0, 9, 0x40, 0, 64, protocol, 0, 0]);
        bytes.extend([CLIENT4.octets(), SERVER4.octets()].concat());
        let sum = checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes = vec![0x60, 0, 0, 0];
        bytes.extend((upper.len() as u16).to_be_bytes());
        bytes.extend([protocol, 64]);
        bytes.extend([src, dst].concat());
    }
    bytes.extend(upper);
    bytes
}

fn udp(payload: usize) -> Vec<u8> {
    let mut bytes = vec![0x30, 0x39, 0x13, 0x88];
    bytes.extend((8 + payload as u16).to_be_bytes());
    bytes.resize(8 + payload, 0);
    bytes
}

fn answers(version: u8) -> Vec<Vec<u8>> {
    let source = if version == 4 { IpAddr::from([10, 0, 0, 1]) } else { "2001:db8:ff::1".parse().unwrap() };
    let sender = Sender { source, hop_limit: 64, identification: 77 };
    let codes = if version == 4 { 0..=15 } else { 0..=8 };
    let mut kinds: Vec<_> = codes.map(|code| IcmpError::Unreachable { code }).collect();
    kinds.extend([
        IcmpError::TimeExceeded,
        IcmpError::ReassemblyTimeExceeded,
        IcmpError::TooBig { mtu: 1_400 },
    ]);
    kinds.extend((0..3).map(|code| IcmpError::ParameterProblem { code, pointer: 6 }));
    let mut written = Vec::new();
    for kind in kinds {
        for payload in [20, 1_400] {
            let mut into = [0; IPV6_ERROR_MAX];
            let offending = packet(version, 17, 6, udp(payload));
            written.push(write_error(kind, &offending, &sender, &mut into).unwrap().to_vec());
        }
    }
    for flags in [0x02, 0x10] {
        let tcp = vec![0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0];
        let mut into = [0; RESET_MAX];
        let reset = write_reset(&packet(version, 6, 16, tcp), true, 64, &mut into).unwrap();
        written.push(reset.to_vec());
    }
    let (protocol, request) = if version == 4 { (1, 8) } else { (58, 128) };
    let echo = packet(version, protocol, 2, [&[request, 0, 0, 0, 0, 1, 0, 1], &[5; 48][..]].concat());
    written.push(echo_reply(&echo, 64, 3).unwrap());
    written
}

/// A pcap file of raw IP packets.
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101];
    let mut file: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (second, packet) in packets.iter().enumerate() {
        let length = packet.len() as u32;
        file.extend([second as u32, 0, length, length].iter().flat_map(|word| word.to_le_bytes()));
        file.extend(packet);
    }
    file
}

#[test]
fn tshark_warns_of_no_packet_that_a_router_makes() {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("skipped: tshark is not installed");
        return;
    }
    let packets = [answers(4), answers(6)].concat();
    let path = std::env::temp_dir().join(format!("netfast-router-{}.pcap", std::process::id()));
    std::fs::write(&path, pcap(&packets)).unwrap();
    let checks = ["ip", "tcp", "udp"].map(|name| format!("{name}.check_checksum:TRUE"));
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&path).args(checks.iter().flat_map(|check| ["-o", check]));
    tshark.args([
        "-T",
        "fields",
        "-e",
        "frame.number",
        "-e",
        "_ws.expert.severity",
        "-e",
        "_ws.expert.message",
    ]);
    tshark.args(["-e", "ip.checksum.status", "-e", "icmp.checksum.status", "-e", "icmpv6.checksum.status"]);
    let output = tshark.args(["-e", "tcp.checksum.status", "-E", "separator=;"]).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in text.lines() {
        let fields: Vec<_> = line.split(';').collect();
        // What a reset is for is the only thing to warn of.
        assert!(matches!(fields[2], "" | "Connection reset (RST)"), "{line}");
        let checksums: Vec<_> = fields[3..].iter().flat_map(|field| field.split(',')).collect();
        assert!(
            checksums.contains(&"1") && checksums.iter().all(|status| matches!(*status, "" | "1")),
            "{line}"
        );
    }
    assert_eq!(text.lines().count(), packets.len(), "{}", String::from_utf8_lossy(&output.stderr));
}
