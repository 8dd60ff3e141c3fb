//! For which packets `flow add` lets its rule go on.

use crate::facts::{CtDirection, Facts, Family, ct_status};

use super::read::{TCP, bytes};

const UDP: u8 = 17;
const GRE: u8 = 47;
/// Flags of a segment that ends its connection: FIN, RST (RFC 9293 section 3.1).
const ENDS: u128 = 1 | 4;
/// The first byte of an IPv4 header without options.
const WITHOUT_OPTIONS: u128 = 0x45;

/// As nft_flow_offload of Linux: packets of connections that are entered, of UDP, of TCP where both sides have taken part
/// and neither has begun to end it, of GRE without translation. With `plain` for later packets of the flow that have no IP
/// options and, of TCP, no flag but ACK and PSH in an established connection.
pub(super) fn takes(facts: &Facts<'_>, plain: bool) -> bool {
    let Some(connection) = &facts.connection else { return false };
    if connection.status & ct_status::CONFIRMED == 0 {
        return false;
    }
    let fits = match connection.tuples.tuple(CtDirection::Original).protocol {
        TCP => {
            connection.status & ct_status::ASSURED != 0
                && (plain || connection.established && facts.protocol == TCP && goes_on(facts))
        }
        UDP => true,
        GRE => connection.status & (ct_status::SNAT | ct_status::DNAT) == 0,
        _ => false,
    };
    fits && (plain || facts.family == Family::Ipv6 || bytes(facts, 0, 1) == Some(WITHOUT_OPTIONS))
}

/// Whether a TCP segment ends nothing.
fn goes_on(facts: &Facts<'_>) -> bool {
    let flags = (!facts.fragment).then(|| bytes(facts, usize::from(facts.l4_offset) + 13, 1)).flatten();
    flags.is_some_and(|flags| flags & ENDS == 0)
}
