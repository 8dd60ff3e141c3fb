//! Community ID flow hashing, version 1 (<https://github.com/corelight/community-id-spec>).
use crate::record::Endpoint;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use netfast_wire::dissect::protocol as p;
use sha1::{Digest, Sha1};

const SEED: u16 = 0;

/// A Community ID as text: ASCII.
pub type CommunityId = [u8; 30];

/// The Community ID of a flow whose first packet went from `src` to `dst`: `1:` and the Base64 of a SHA-1.
///
/// For ICMP, the port of `dst` is type x 256 + code.
pub fn community_id(version: u8, protocol: u8, src: &Endpoint, dst: &Endpoint) -> CommunityId {
    let (ports, one_way) = match (protocol, dst.port) {
        (p::ICMPV4 | p::ICMPV6, Some(message)) => {
            let [kind, code] = message.to_be_bytes();
            match counterpart(protocol, kind) {
                Some(other) => (Some((u16::from(kind), u16::from(other))), false),
                None => (Some((u16::from(kind), u16::from(code))), true),
            }
        }
        // The reference implementation hashes the ports of no other protocol, DCCP's and UDP-Lite's included.
        (p::TCP | p::UDP | p::SCTP, _) => (src.port.zip(dst.port), false),
        _ => (None, false),
    };
    let (sp, dp) = ports.unwrap_or((0, 0));
    let ordered = one_way || (src.address, sp) <= (dst.address, dp);
    let (a, b) =
        if ordered { ((src.address, sp), (dst.address, dp)) } else { ((dst.address, dp), (src.address, sp)) };
    // Seed, addresses, protocol, a zero, ports if there are some.
    let mut input = [0u8; 40];
    input[..2].copy_from_slice(&SEED.to_be_bytes());
    let mut len = if version == 4 {
        input[2..6].copy_from_slice(&a.0[12..]);
        input[6..10].copy_from_slice(&b.0[12..]);
        12
    } else {
        input[2..18].copy_from_slice(&a.0);
        input[18..34].copy_from_slice(&b.0);
        36
    };
    input[len - 2] = protocol;
    if ports.is_some() {
        input[len..len + 2].copy_from_slice(&a.1.to_be_bytes());
        input[len + 2..len + 4].copy_from_slice(&b.1.to_be_bytes());
        len += 4;
    }
    let mut text = *b"1:                            ";
    // Twenty bytes are 28 characters: there is always room.
    let _ = STANDARD.encode_slice(Sha1::digest(&input[..len]), &mut text[2..]);
    text
}

/// The message that answers, or is answered by, a message of this type, as the specification lists them.
fn counterpart(protocol: u8, kind: u8) -> Option<u8> {
    let pairs: &[(u8, u8)] = if protocol == p::ICMPV6 {
        &[(128, 129), (133, 134), (135, 136), (130, 131), (144, 145), (139, 140)]
    } else {
        &[(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)]
    };
    pairs.iter().find_map(|&(a, b)| if a == kind { Some(b) } else { (b == kind).then_some(a) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn end(address: &str, port: Option<u16>) -> Endpoint {
        let address = match address.parse().unwrap() {
            IpAddr::V4(v4) => Ipv4Addr::to_ipv6_mapped(&v4).octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        Endpoint { address, port }
    }

    /// Values that the specification publishes with its baseline (baseline_deflt.json).
    #[test]
    fn the_published_baseline() {
        let tcp =
            ("128.232.110.120", Some(34855), "66.35.250.204", Some(80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        let udp = ("192.168.1.52", Some(54585), "8.8.8.8", Some(53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        for (protocol, (src, sp, dst, dp, id)) in [(6, tcp), (17, udp)] {
            assert_eq!(community_id(4, protocol, &end(src, sp), &end(dst, dp)), id.as_bytes());
            assert_eq!(community_id(4, protocol, &end(dst, dp), &end(src, sp)), id.as_bytes());
        }
        // DCCP, as the reference implementation and tshark have it: without ports.
        assert_eq!(
            community_id(4, 33, &end("10.0.0.1", Some(1)), &end("10.0.0.2", Some(2))),
            community_id(4, 33, &end("10.0.0.1", None), &end("10.0.0.2", None))
        );
        // ICMP echo: request and reply.
        let (a, b, id) = ("192.168.0.89", "192.168.0.1", "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        assert_eq!(community_id(4, 1, &end(a, None), &end(b, Some(8 << 8))), id.as_bytes());
        assert_eq!(community_id(4, 1, &end(b, None), &end(a, Some(0))), id.as_bytes());
    }
}
