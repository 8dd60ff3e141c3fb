//! Packets and rule sets for tests; not every test needs all.
#![allow(dead_code)]

use netfast_filter::facts::{CtState, Facts, Family};
use netfast_filter::outcome::{BaseId, Walk};
use netfast_filter::state::RuleState;
use netfast_filter::{Ruleset, RulesetLimits};
use netfast_nft::ast::{Hook, RulesetAst};
use netfast_nft::parse;
use netfast_time::Instant;

pub const PORTS: [(u32, &str); 3] = [(1, "lan0"), (2, "lan1"), (3, "wan")];

/// Parses a text that is right, with a line's end before each closing brace that stands apart.
pub fn parsed(text: &str) -> RulesetAst {
    let text = text.replace(" }", "\n}");
    parse(&text, "test").unwrap_or_else(|errors| panic!("{errors:?}\n{text}"))
}

/// Compiles a text that is right.
pub fn compile(text: &str) -> Ruleset {
    let ast = parsed(text);
    Ruleset::compile(&ast, &PORTS, &RulesetLimits::default())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A table `inet t` with the rules in a forward chain that drops what they do not accept.
pub fn forward(rules: &str) -> Ruleset {
    forward_beside(rules, "")
}

/// The same with other declarations in the table.
pub fn forward_beside(rules: &str, others: &str) -> Ruleset {
    compile(&format!(
        "table inet t {{\n{others}\nchain f {{\ntype filter hook forward priority 0; policy drop;\n{rules}\n}}\n}}\n"
    ))
}

pub fn base(rules: &Ruleset, family: Family, hook: Hook) -> BaseId {
    rules.bases(family, hook)[0]
}

/// Walks the forward chain.
pub fn walk(rules: &Ruleset, facts: &Facts<'_>, state: &RuleState, now: Instant) -> Walk {
    let mut out = Walk::default();
    rules.walk(base(rules, facts.family, Hook::Forward), &mut { *facts }, state, now, &mut out);
    out
}

/// Bytes of a packet, built by hand.
#[derive(Clone, Debug)]
pub struct Bytes {
    pub l3: Vec<u8>,
    pub l4_offset: u16,
}

/// IPv4 10.0.0.1 → 10.0.0.2, hop limit 64.
pub fn ipv4(protocol: u8, payload: &[u8]) -> Bytes {
    let length = (20 + payload.len()) as u16;
    let mut l3 = vec![0x45, 0, (length >> 8) as u8, length as u8, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0];
    l3.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    l3.extend(payload);
    Bytes { l3, l4_offset: 20 }
}

/// IPv6 2001:db8::1 → 2001:db8::2, hop limit 64.
pub fn ipv6(next: u8, extension: &[u8], payload: &[u8]) -> Bytes {
    let length = (extension.len() + payload.len()) as u16;
    let mut l3 = vec![0x60, 0, 0, 0, (length >> 8) as u8, length as u8, next, 64];
    for last in [1, 2] {
        l3.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    l3.extend(extension);
    l3.extend(payload);
    Bytes { l3, l4_offset: 40 + extension.len() as u16 }
}

/// Ports 4000 → 22.
pub fn tcp(flags: u8) -> Vec<u8> {
    vec![0x0f, 0xa0, 0, 22, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x20, 0, 0, 0, 0, 0]
}

/// Ports 4000 → 53.
pub fn udp() -> Vec<u8> {
    vec![0x0f, 0xa0, 0, 53, 0, 8, 0, 0]
}

impl Bytes {
    /// The facts that a node reads from them: new connection, from `lan0` to `wan`.
    pub fn facts(&self, protocol: u8) -> Facts<'_> {
        let family = if self.l3[0] >> 4 == 4 { Family::Ipv4 } else { Family::Ipv6 };
        let address = |number: usize| match family {
            Family::Ipv4 => {
                let mut mapped = [0; 16];
                mapped[10..12].fill(0xff);
                mapped[12..].copy_from_slice(&self.l3[12 + number * 4..][..4]);
                mapped
            }
            Family::Ipv6 => self.l3[8 + number * 16..][..16].try_into().expect("sixteen bytes"),
        };
        let l4 = &self.l3[usize::from(self.l4_offset)..];
        let port = |at: usize| u16::from_be_bytes([l4[at], l4[at + 1]]);
        Facts {
            family,
            source: address(0),
            destination: address(1),
            protocol,
            ports: matches!(protocol, 6 | 17).then(|| (port(0), port(2))),
            icmp: matches!(protocol, 1 | 58).then(|| (l4[0], l4[1])),
            in_port: Some(1),
            out_port: Some(3),
            ct_state: CtState::New,
            l3: &self.l3,
            l3_length: self.l3.len() as u32,
            l4_offset: self.l4_offset,
            hop_limit_now: 63,
            ..Facts::EMPTY
        }
    }
}
