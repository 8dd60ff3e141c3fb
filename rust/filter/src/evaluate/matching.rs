//! Single matches and look-ups.

use crate::compile::claims::{CLASSES, Class};
use crate::dynamic::Live;
use crate::facts::{Facts, Family};
use crate::op::{Fields, Map, MapData, MarkValue, Match, NO_PORT, Nat, NatValue, Slot, Test, Verdict};
use crate::outcome::NatSpec;
use crate::ruleset::Ruleset;
use crate::sets::Values;
use netfast_nft::field::TableFamily;

use super::read::{read, values};

impl Ruleset {
    /// Whether a match holds; with `plain` for the packet without what plain packets have not.
    #[inline]
    pub(super) fn holds(&self, found: &Match, facts: &Facts<'_>, plain: bool, live: &Live<'_>) -> bool {
        let hit = match &found.key.fields {
            Fields::One { field, mask } => {
                let Some(value) = read(*field, facts, plain) else { return false };
                let value = value & mask;
                match &found.test {
                    Test::Equal(wanted) => value == *wanted,
                    Test::Within(interval) => interval.contains(value),
                    Test::AnyBit(bits) => value & bits != 0,
                    Test::In(set) => self.set(*set).is_some_and(|set| {
                        set.life.holds(set.table.find_one(value), || Values::from_slice(&[value]), live)
                    }),
                    Test::Never => false,
                }
            }
            Fields::Many(_) => {
                let Some(values) = values(&found.key, facts, plain) else { return false };
                let Test::In(set) = &found.test else { return false };
                self.set(*set)
                    .is_some_and(|set| set.life.holds(set.table.find(&values), || values.clone(), live))
            }
        };
        hit != found.negate
    }

    /// What a map gives.
    pub(super) fn find(
        &self,
        map: &Map,
        facts: &Facts<'_>,
        plain: bool,
        live: &Live<'_>,
    ) -> Option<&MapData> {
        let set = self.set(map.set)?;
        let values = values(&map.key, facts, plain)?;
        let number = set.table.find(&values)?;
        if !set.life.holds(Some(number), || values.clone(), live) {
            return None;
        }
        set.data.get(number as usize)
    }

    pub(super) fn find_verdict(
        &self,
        map: &Map,
        facts: &Facts<'_>,
        plain: bool,
        live: &Live<'_>,
    ) -> Option<Verdict> {
        match self.find(map, facts, plain, live)? {
            MapData::Verdict(verdict) => Some(*verdict),
            MapData::Values(_) => None,
        }
    }

    /// The first value that a map gives, and the second.
    fn find_values(
        &self,
        map: &Map,
        facts: &Facts<'_>,
        live: &Live<'_>,
    ) -> Option<&[netfast_nft::ast::Interval]> {
        match self.find(map, facts, false, live)? {
            MapData::Values(element) => Some(element),
            MapData::Verdict(_) => None,
        }
    }

    pub(super) fn new_mark(&self, value: &MarkValue, facts: &Facts<'_>, live: &Live<'_>) -> Option<u32> {
        match value {
            MarkValue::Constant(mark) => Some(*mark),
            MarkValue::Computed { from, and, xor } => {
                let mark = match from {
                    Slot::Packet => facts.mark,
                    Slot::Connection => facts.connection?.mark,
                };
                Some((mark & and) ^ xor)
            }
            MarkValue::Map(map) => Some(self.find_values(map, facts, live)?.first()?.low as u32),
        }
    }

    /// The translation, with its maps looked up.
    pub(super) fn nat_spec(&self, nat: &Nat, facts: &Facts<'_>, live: &Live<'_>) -> Option<NatSpec> {
        let mut port = None;
        let address = match &nat.address {
            None => None,
            Some(NatValue::Range(interval)) => Some(*interval),
            Some(NatValue::Map(map)) => {
                let values = self.find_values(map, facts, live)?;
                port = values.get(1).copied();
                Some(*values.first()?)
            }
        };
        match &nat.port {
            None => {}
            Some(NatValue::Range(interval)) => port = Some(*interval),
            Some(NatValue::Map(map)) => port = Some(*self.find_values(map, facts, live)?.first()?),
        }
        let family = match nat.family {
            TableFamily::Ip => Family::Ipv4,
            TableFamily::Ip6 => Family::Ipv6,
            TableFamily::Inet => facts.family,
        };
        let address_bytes = |value: u128| match family {
            Family::Ipv4 => (value & 0xffff_ffff | 0xffff_0000_0000).to_be_bytes(),
            Family::Ipv6 => value.to_be_bytes(),
        };
        Some(NatSpec {
            kind: nat.kind,
            family: nat.family,
            addresses: address.map(|interval| (address_bytes(interval.low), address_bytes(interval.high))),
            ports: port.map(|interval| (interval.low as u16, interval.high as u16)),
            random: nat.random,
            fully_random: nat.fully_random,
            persistent: nat.persistent,
        })
    }

    pub(super) fn branches(&self, map: &Map) -> bool {
        self.set(map.set).is_some_and(|set| set.branches)
    }

    /// What the index compares, by the number of the class in [`CLASSES`].
    #[inline(always)]
    pub(super) fn class_value(class: usize, facts: &Facts<'_>) -> Option<u128> {
        match CLASSES.get(class)? {
            Class::Source => Some(u128::from_be_bytes(facts.source)),
            Class::Destination => Some(u128::from_be_bytes(facts.destination)),
            Class::DestinationPort => Some(facts.ports?.1.into()),
            Class::SourcePort => Some(facts.ports?.0.into()),
            Class::Protocol => Some(facts.protocol.into()),
            Class::InPort => Some(facts.in_port.unwrap_or(NO_PORT).into()),
            Class::OutPort => Some(facts.out_port.unwrap_or(NO_PORT).into()),
            Class::State => Some(facts.ct_state.bit().into()),
        }
    }
}

impl Nat {
    /// The maps that it looks into.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        [&self.address, &self.port].into_iter().flatten().filter_map(|value| match value {
            NatValue::Map(map) => Some(map),
            NatValue::Range(_) => None,
        })
    }

    /// Whether it is for packets of the family.
    pub fn fits(&self, family: Family) -> bool {
        match self.family {
            TableFamily::Ip => family == Family::Ipv4,
            TableFamily::Ip6 => family == Family::Ipv6,
            TableFamily::Inet => true,
        }
    }
}
