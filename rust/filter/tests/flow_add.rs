//! For which packets a rule goes on behind `flow add`, and what later packets of the flow take of it.

#[path = "evaluate/node.rs"]
mod node;

use netfast_filter::Ruleset;
use netfast_filter::facts::{Connection, CtDirection, CtState, CtTuple, Facts, ct_status};
use netfast_filter::outcome::{Outcome, Residual, RuleStep};
use netfast_time::Instant;

use node::{Bytes, forward_beside, ipv4, ipv6, tcp, udp, walk};

const ACK: u8 = 16;
const ENTERED: u32 = ct_status::SEEN_REPLY | ct_status::CONFIRMED;
const ASSURED: u32 = ENTERED | ct_status::ASSURED;

fn rules() -> Ruleset {
    forward_beside("flow add @f accept", "flowtable f {\nhook ingress priority 0\ndevices = { lan0 }\n}")
}

/// Whether the rule takes the packet, and whether it takes later ones.
fn taken(
    rules: &Ruleset,
    bytes: &Bytes,
    protocol: u8,
    status: Option<u32>,
    established: bool,
) -> (bool, bool) {
    let tuples = [CtTuple { protocol, ..CtTuple::default() }; 2];
    let connection = status.map(|status| Connection {
        direction: CtDirection::Original,
        status,
        mark: 0,
        expiration: 1_000,
        established,
        tuples: &tuples,
    });
    let facts = Facts { connection, ct_state: CtState::Established, ..bytes.facts(protocol) };
    let out = walk(rules, &facts, &rules.new_state(), Instant::ZERO);
    let Residual::Steps { steps, end, .. } = out.residual else { panic!("{:?}", out.residual) };
    assert!(!steps.iter().any(|step| matches!(step, RuleStep::Rule(_))), "it is settled: {steps:?}");
    (out.outcome == Outcome::Accept, end == Outcome::Accept)
}

#[test]
fn what_linux_offloads_goes_on() {
    let rules = rules();
    let taken =
        |bytes: &Bytes, protocol, status, established| taken(&rules, bytes, protocol, status, established);
    let (data, datagram) = (ipv4(6, &tcp(ACK)), ipv4(17, &udp()));
    for flags in [ACK, ACK | 8] {
        assert_eq!(taken(&ipv4(6, &tcp(flags)), 6, Some(ASSURED), true), (true, true));
        assert_eq!(taken(&ipv6(6, &[], &tcp(flags)), 6, Some(ASSURED), true), (true, true));
    }
    // FIN and RST; later segments are others.
    for flags in [ACK | 1, 4, ACK | 4] {
        assert_eq!(taken(&ipv4(6, &tcp(flags)), 6, Some(ASSURED), true), (false, true), "{flags}");
    }
    assert_eq!(taken(&data, 6, Some(ASSURED), false), (false, true), "its end has begun");
    assert_eq!(taken(&data, 6, Some(ENTERED), true), (false, false), "one side has taken part");
    assert_eq!(taken(&data, 6, None, true), (false, false));
    assert_eq!(taken(&datagram, 17, Some(ct_status::CONFIRMED), false), (true, true));
    assert_eq!(taken(&datagram, 17, Some(0), false), (false, false), "the first packet");
    let echo = ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1]);
    assert_eq!(taken(&echo, 1, Some(ENTERED), false), (false, false));
    let gre = ipv4(47, &[0; 8]);
    assert_eq!(taken(&gre, 47, Some(ENTERED), false), (true, true));
    assert_eq!(taken(&gre, 47, Some(ENTERED | ct_status::SNAT), false), (false, false));
}

#[test]
fn packets_with_options_do_not_go_on() {
    let mut bytes = ipv4(17, &udp());
    bytes.l3[0] = 0x46;
    bytes.l3.splice(20..20, [1; 4]);
    bytes.l4_offset = 24;
    assert_eq!(taken(&rules(), &bytes, 17, Some(ENTERED), false), (false, true));
}
