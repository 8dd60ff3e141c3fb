//! Both ends of a packet, as its headers have them: what the flow cache compares with.
use crate::key::{Direction, FlowKey};
use netfast_low::hash::Seed;

/// Addresses, ports, protocol, IP version and context of a packet, its source first: 40 bytes.
///
/// It says what a [`FlowKey`] with a [`Direction`] says. But nothing is put in order, which would be a tenth of what a hit costs:
/// both ways of a connection have one hash, and a comparison tells which of them it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoints {
    /// Source and destination address as they stand in an IPv6 header; IPv4 mapped.
    pub(crate) addresses: [[u8; 16]; 2],
    /// Source and destination port, likewise.
    pub(crate) ports: u32,
    /// The upper half of a key's last word, of which [`Endpoints::KIND`] is in use.
    pub(crate) kind: u32,
}

impl Endpoints {
    /// Those of no packet.
    pub const NONE: Self = Self { addresses: [[0; 16]; 2], ports: 0, kind: 0 };

    /// Bits of `kind` that say something.
    pub(crate) const KIND: u32 = 0x00ff_ffff;

    /// Takes those of a packet of a protocol with ports, in context 0: `addresses` as an IPv6 header has them (IPv4 mapped), `ports` the four
    /// bytes that its upper-layer header begins with. Gives the hash, which [`Endpoints::hash`] would give.
    #[inline(always)]
    pub fn set(&mut self, v6: bool, protocol: u8, addresses: &[u8; 32], ports: [u8; 4], seed: Seed) -> u64 {
        // Copied as they are, and read again for the hash: no word waits in a register.
        self.addresses.as_flattened_mut().copy_from_slice(addresses);
        self.ports = u32::from_le_bytes(ports);
        self.kind = u32::from(protocol) | if v6 { (FlowKey::V6 >> 32) as u32 } else { 0 };
        let source = [word(addresses, 0), word(addresses, 1)];
        let destination = [word(addresses, 2), word(addresses, 3)];
        hash([source, destination], self.ports, self.kind, seed)
    }

    /// Those of a packet with a key that goes in a direction.
    #[inline(always)]
    pub fn of_key(key: &FlowKey, direction: Direction) -> Self {
        let ([[a, b], [c, d]], [source, destination]) = key.ends(direction);
        let [source, destination] = [source, destination].map(|port| u32::from(port.swap_bytes()));
        let kind = (key.0[4] >> 32) as u32;
        let addresses = [[a, b], [c, d]].map(bytes);
        Self { addresses, ports: source | destination << 16, kind }
    }

    /// The key, for packets that go by it in that direction: the way back from [`Endpoints::of_key`].
    #[inline]
    pub fn key(&self, direction: Direction) -> FlowKey {
        let ordered = if direction == Direction::Down { self.turned() } else { *self };
        let [[a, b], [c, d]] = ordered.addresses.map(words);
        let [low, high] =
            [ordered.ports as u16, (ordered.ports >> 16) as u16].map(|port| u64::from(port.swap_bytes()));
        FlowKey([a, b, c, d, u64::from(self.kind & Self::KIND) << 32 | high << 16 | low])
    }

    /// The key of a packet of a protocol with ports, and the direction in which it goes.
    #[inline]
    pub fn ordered(&self) -> (FlowKey, Direction) {
        let key = self.key(Direction::Up);
        let ([source, destination], [source_port, destination_port]) = key.ends(Direction::Up);
        let rest = key.0[4] >> 32 << 32;
        FlowKey::ordered(rest, (source, source_port), (destination, destination_port))
    }

    /// Those of a packet that goes the other way.
    #[inline(always)]
    #[must_use]
    pub fn turned(&self) -> Self {
        let [source, destination] = self.addresses;
        Self { addresses: [destination, source], ports: self.ports.rotate_left(16), kind: self.kind }
    }

    /// Source and destination address as they stand in an IPv6 header; IPv4 mapped.
    #[inline(always)]
    pub fn addresses(&self) -> [[u8; 16]; 2] {
        self.addresses
    }

    /// Source and destination port, the four bytes that an upper-layer header begins with.
    pub fn ports(&self) -> [u8; 4] {
        self.ports.to_le_bytes()
    }

    /// Upper-layer protocol.
    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.kind as u8
    }

    /// 4 or 6.
    #[inline(always)]
    pub fn ip_version(&self) -> u8 {
        if self.kind & (FlowKey::V6 >> 32) as u32 != 0 { 6 } else { 4 }
    }

    /// The hash under a seed, which packets of both ways have.
    #[inline(always)]
    pub fn hash(&self, seed: Seed) -> u64 {
        hash(self.addresses.map(pair), self.ports, self.kind & Self::KIND, seed)
    }

    /// Zero when `packet` goes from and to the same ends.
    #[inline(always)]
    pub(crate) fn differ(&self, packet: &Self) -> u64 {
        let [source, destination] = [0, 1].map(|end| different(&self.addresses[end], &packet.addresses[end]));
        let kind = (self.kind ^ packet.kind) & Self::KIND;
        source | destination | u64::from((self.ports ^ packet.ports) | kind)
    }

    /// Zero when `packet` goes the other way between the same ends.
    #[inline(always)]
    pub(crate) fn differ_turned(&self, packet: &Self) -> u64 {
        self.differ(&packet.turned())
    }
}

/// Zero when two addresses are the same.
#[inline(always)]
pub(crate) fn different(one: &[u8; 16], other: &[u8; 16]) -> u64 {
    let ([a, b], [c, d]) = (pair(*one), pair(*other));
    (a ^ c) | (b ^ d)
}

/// A word of bytes, in the order of this machine.
#[inline(always)]
fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    let at = &bytes[at * 8..at * 8 + 8];
    u64::from_ne_bytes([at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]])
}

#[inline(always)]
fn pair(address: [u8; 16]) -> [u64; 2] {
    [word(&address, 0), word(&address, 1)]
}

/// An address as big-endian words.
#[inline(always)]
fn words(address: [u8; 16]) -> [u64; 2] {
    pair(address).map(u64::from_be)
}

#[inline(always)]
fn bytes([high, low]: [u64; 2]) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

#[inline(always)]
fn hash([source, destination]: [[u64; 2]; 2], ports: u32, kind: u32, seed: Seed) -> u64 {
    seed.hash_ends([(source, ports as u16), (destination, (ports >> 16) as u16)], u64::from(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few values, so that ends are equal in all of their parts or in some.
        #[test]
        fn they_say_what_a_key_and_its_direction_say(
            v6: bool,
            protocol: u8,
            words in proptest::array::uniform4(prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()]),
            ports in proptest::array::uniform2(prop_oneof![0..3u16, any::<u16>()]),
            seed: u64,
        ) {
            let (source, destination) = ([words[0], words[1]], [words[2], words[3]]);
            let (key, direction) = FlowKey::in_context(0, v6, protocol, (source, ports[0]), (destination, ports[1]));
            let [[a, b], [c, d]] = ports.map(u16::to_be_bytes);
            let mut packet = Endpoints::NONE;
            let addresses = [source, destination].map(bytes);
            let (all, seed) = (addresses.as_flattened().try_into().unwrap(), Seed::new(seed));
            let hash = packet.set(v6, protocol, all, [a, b, c, d], seed);
            prop_assert_eq!((packet.hash(seed), packet.addresses(), packet.ports()), (hash, addresses, [a, b, c, d]));
            prop_assert_eq!(Endpoints::of_key(&key, direction), packet);
            prop_assert_eq!(Endpoints::of_key(&key, direction.opposite()), packet.turned());
            prop_assert_eq!(packet.key(direction), key);
            prop_assert_eq!(packet.ordered(), (key, direction));
            prop_assert_eq!((packet.protocol(), packet.ip_version()), (protocol, key.ip_version()));
            prop_assert_eq!(hash, packet.turned().hash(seed));
            prop_assert_eq!((packet.differ(&packet), packet.differ_turned(&packet.turned())), (0, 0));
            let one = (source, ports[0]) == (destination, ports[1]);
            prop_assert_eq!(packet.differ(&packet.turned()) == 0, one);
        }
    }
}
