//! What makes a program stale: one epoch for the node, and for each part of its tables the epoch of its last change.
//!
//! A change touches the parts that it concerns and raises the epoch. A program whose stamp is the epoch is right: one
//! comparison. Of an older one the parts that it depends on are looked at. Two things in one part (addresses with the
//! same leading bits, next hops with the same hash) are touched together; the cost of that is counted.
use netfast_fib::{Change, Family, Prefix};
use netfast_filter::outcome::BaseId;

/// Parts of each family's destinations.
const DESTINATIONS: usize = 1 << 12;
/// Leading bits that tell parts of IPv6 destinations apart: those of a site (RFC 6177).
const SITE_BITS: u8 = 48;
const NEIGHBOURS: usize = 1 << 12;
/// Base chains that are told apart; all others share the last.
const CHAINS: usize = 64;

/// The epochs of all parts.
#[derive(Debug)]
pub(crate) struct Partitions {
    pub epoch: u64,
    destinations: [Vec<u64>; 2],
    families: [u64; 2],
    chains: [u64; CHAINS],
    neighbours: Vec<u64>,
    /// Ports, settings, everything else.
    node: u64,
}

/// What a program depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dependencies {
    pub v6: bool,
    /// Addresses that were looked up in the routing table, IPv4 mapped.
    pub addresses: [[u8; 16]; 4],
    /// Base chains, by their bits.
    pub chains: u64,
    /// The next hops' parts.
    pub neighbours: [Option<usize>; 2],
}

impl Partitions {
    pub fn new() -> Self {
        Self {
            epoch: 1,
            destinations: [vec![0; DESTINATIONS], vec![0; DESTINATIONS]],
            families: [0; 2],
            chains: [0; CHAINS],
            neighbours: vec![0; NEIGHBOURS],
            node: 0,
        }
    }

    /// The bit of a base chain in [`Dependencies::chains`].
    pub fn chain_bit(base: BaseId) -> u64 {
        1 << (base.0 as usize).min(CHAINS - 1)
    }

    pub fn touch_node(&mut self) {
        self.epoch += 1;
        self.node = self.epoch;
    }

    pub fn touch_chains(&mut self, chains: u64) {
        self.epoch += 1;
        for (bit, chain) in self.chains.iter_mut().enumerate() {
            if chains >> bit & 1 == 1 {
                *chain = self.epoch;
            }
        }
    }

    pub fn touch_neighbour(&mut self, part: usize) {
        self.epoch += 1;
        self.neighbours[part % NEIGHBOURS] = self.epoch;
    }

    pub fn touch_routes(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.epoch += 1;
        for change in changes {
            match change {
                Change::Route { prefix, .. } => self.touch_prefix(&prefix),
                Change::Rules | Change::Everything => self.families = [self.epoch; 2],
            }
        }
    }

    fn touch_prefix(&mut self, prefix: &Prefix) {
        let v6 = prefix.family() == Family::V6;
        let (address, length) = (prefix.address(), prefix.length());
        let epoch = self.epoch;
        if v6 {
            if length < SITE_BITS {
                self.families[1] = epoch;
            } else {
                self.destinations[1][site(address)] = epoch;
            }
        } else if length < 12 {
            let first = (address >> 20) as usize;
            self.destinations[0][first..first + (1 << (12 - length))].fill(epoch);
        } else {
            self.destinations[0][(address >> 20) as usize] = epoch;
        }
    }

    /// True when something that programs of a family depend on, or one of these chains, changed after a program was last
    /// right: what can be told without its connection.
    pub fn changed_for_many(&self, stamp: u64, v6: bool, mut chains: u64) -> bool {
        if self.node > stamp || self.families[index(v6)] > stamp {
            return true;
        }
        while chains != 0 {
            if self.chains[chains.trailing_zeros() as usize] > stamp {
                return true;
            }
            chains &= chains - 1;
        }
        false
    }

    /// True when a part that a program depends on changed after the program was last right.
    pub fn changed_since(&self, stamp: u64, on: &Dependencies) -> bool {
        let family = index(on.v6);
        if self.changed_for_many(stamp, on.v6, on.chains) {
            return true;
        }
        let part = |address: &[u8; 16]| {
            let address = u128::from_be_bytes(*address);
            if on.v6 { site(address) } else { (address as u32 >> 20) as usize }
        };
        on.addresses.iter().any(|address| self.destinations[family][part(address)] > stamp)
            || on.neighbours.iter().flatten().any(|part| self.neighbours[part % NEIGHBOURS] > stamp)
    }
}

const fn index(v6: bool) -> usize {
    v6 as usize
}

/// Spreads the bits of a site over the parts.
fn site(address: u128) -> usize {
    let bits = (address >> 80) as u64;
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(address: &str) -> Dependencies {
        let address: std::net::IpAddr = address.parse().unwrap();
        let bytes = match address {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(v6) => v6.octets(),
        };
        Dependencies {
            v6: address.is_ipv6(),
            addresses: [bytes; 4],
            chains: 0b101,
            neighbours: [None, Some(7)],
        }
    }

    fn prefix(text: &str) -> Change {
        Change::Route { table: netfast_fib::TableId::MAIN, prefix: text.parse().unwrap() }
    }

    #[test]
    fn a_change_concerns_what_depends_on_it_and_little_else() {
        let mut parts = Partitions::new();
        let stamp = parts.epoch;
        parts.touch_routes([prefix("10.1.0.0/16")]);
        assert!(parts.changed_since(stamp, &on("10.1.2.3")));
        assert!(!parts.changed_since(parts.epoch, &on("10.1.2.3")), "a stamp of now is right");
        assert!(!parts.changed_since(stamp, &on("10.200.2.3")));
        assert!(!parts.changed_since(stamp, &on("2001:db8::1")));
        parts.touch_routes([prefix("8.0.0.0/5")]);
        assert!(parts.changed_since(stamp, &on("10.200.2.3")), "a shorter prefix covers it");
        parts.touch_routes([prefix("0.0.0.0/0"), prefix("2001:db8:1::/48")]);
        assert!(parts.changed_since(stamp, &on("255.0.0.1")));
        assert!(parts.changed_since(stamp, &on("2001:db8:1:2::3")));
        assert!(!parts.changed_since(stamp, &on("2001:db8:2:2::3")));
        parts.touch_routes([prefix("2000::/3")]);
        assert!(parts.changed_since(stamp, &on("2001:db8:2:2::3")));
        let stamp = parts.epoch;
        parts.touch_chains(0b010);
        assert!(!parts.changed_since(stamp, &on("10.0.0.1")));
        parts.touch_chains(0b100);
        assert!(parts.changed_since(stamp, &on("10.0.0.1")));
        let stamp = parts.epoch;
        parts.touch_neighbour(8);
        assert!(!parts.changed_since(stamp, &on("10.0.0.1")));
        parts.touch_neighbour(7);
        assert!(parts.changed_since(stamp, &on("10.0.0.1")));
        let stamp = parts.epoch;
        parts.touch_node();
        assert!(parts.changed_since(stamp, &on("10.0.0.1")));
    }
}
