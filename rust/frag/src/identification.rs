//! Identifications for sending that nobody outside can foretell (RFC 7739 5.3).
mod siphash;

use siphash::SipHash;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The identification of IPv4 datagrams that never are fragments: RFC 6864 4.1 lets an atomic one (don't fragment, not
/// fragmented) have any, and one that is always the same tells nothing.
pub const ATOMIC_IDENTIFICATION: u16 = 0;

/// The most counters that a generator has.
const MOST: usize = 1 << 20;
/// What keeps the uses of the key apart.
const OFFSET: u64 = 1;
const BUCKET: u64 = 2;

/// Gives identifications: for each source, destination and protocol an offset that only the key tells, plus a counter.
///
/// Two datagrams of the same source, destination and protocol have the same one only after all others were used (RFC 6864
/// 4.3, RFC 8200 4.5), less those that were given to pairs with the same counter. Counters are a fixed table that pairs are
/// hashed to, as in Linux: no pair can fill it, and what one pair's counter tells about another's is blurred by the
/// offset.
#[derive(Clone, Debug)]
pub struct IdGenerator {
    hash: SipHash,
    counters: Vec<u32>,
}

impl IdGenerator {
    /// Counters by default: 8 KiB.
    pub const COUNTERS: usize = 2_048;

    /// `key` is a secret of the host, fresh at each start. `counters` is rounded up to a power of two, 1 to 2^20.
    pub fn new(key: [u8; 16], counters: usize) -> Self {
        Self { hash: SipHash::new(key), counters: vec![0; counters.clamp(1, MOST).next_power_of_two()] }
    }

    /// The next identification of an IPv4 datagram that may be fragmented.
    pub fn next_ipv4(&mut self, source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> u16 {
        let addresses = u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits());
        self.next([addresses, 0, u64::from(protocol), 4]) as u16
    }

    /// The next identification of an IPv6 datagram that is fragmented.
    pub fn next_ipv6(&mut self, source: Ipv6Addr, destination: Ipv6Addr) -> u32 {
        let halves = |address: Ipv6Addr| [(address.to_bits() >> 64) as u64, address.to_bits() as u64];
        let ([a, b], [c, d]) = (halves(source), halves(destination));
        self.next([a, b, c, d])
    }

    /// Bytes of memory behind it.
    pub fn memory(&self) -> usize {
        self.counters.len() * size_of::<u32>()
    }

    fn next(&mut self, [a, b, c, d]: [u64; 4]) -> u32 {
        let bucket = self.hash.words(&[BUCKET, a, b, c, d]) as usize & (self.counters.len() - 1);
        let counter = &mut self.counters[bucket];
        *counter = counter.wrapping_add(1);
        counter.wrapping_add(self.hash.words(&[OFFSET, a, b, c, d]) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    #[test]
    fn a_pair_uses_all_identifications_before_one_comes_again() {
        let mut ids = IdGenerator::new([7; 16], IdGenerator::COUNTERS);
        let first = ids.next_ipv4(A, B, 17);
        let all: HashSet<u16> = (1..1 << 16).map(|_| ids.next_ipv4(A, B, 17)).collect();
        assert_eq!((all.len(), all.contains(&first)), (65_535, false));
        assert_eq!(ids.next_ipv4(A, B, 17), first);
        let (c, d) = (A.to_ipv6_mapped(), B.to_ipv6_mapped());
        let many: HashSet<u32> = (0..100_000).map(|_| ids.next_ipv6(c, d)).collect();
        assert_eq!(many.len(), 100_000);
    }

    #[test]
    fn pairs_and_keys_begin_at_places_of_their_own() {
        let mut begins = HashSet::new();
        for key in 0..4 {
            for protocol in 0..64 {
                let mut ids = IdGenerator::new([key; 16], 1);
                begins.insert((ids.next_ipv4(A, B, protocol), ids.next_ipv4(B, A, protocol)));
            }
        }
        assert_eq!(begins.len(), 256);
    }

    #[test]
    fn memory_does_not_depend_on_the_number_of_pairs() {
        let mut ids = IdGenerator::new([1; 16], 1_000);
        for host in 0..100_000 {
            ids.next_ipv4(A, Ipv4Addr::from_bits(host), 17);
        }
        assert_eq!(ids.memory(), 4_096);
        assert_eq!(IdGenerator::new([1; 16], 0).memory(), 4);
    }
}
