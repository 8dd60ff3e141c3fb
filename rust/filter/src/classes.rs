//! Addresses and ports that no rule tells apart.
//!
//! The line of values of each of the four is cut where a match of any rule begins or ends; values for which the same matches hold are
//! of one class, wherever they lie. What the rules settle for a flow is then the same for all flows whose classes are, and
//! which agree in what else rules can ask of a flow (Gupta and McKeown, SIGCOMM 1999, join such classes to one number; here
//! the caller compares them).

use std::collections::HashMap;

use crate::compile::claims::mapped;
use crate::index::Starts;
use crate::op::{Fields, Key, Map, MarkValue, Match, NatValue, Op, Scope, Test};
use crate::ruleset::Ruleset;
use crate::sets::SetTable;
use netfast_nft::ast::{Element, Interval};
use netfast_nft::field::Field;

/// Most places at which a line is cut; a rule set with more has no classes.
const MAX_CUTS: usize = 1 << 18;

/// The four lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Source,
    Destination,
    SourcePort,
    DestinationPort,
}

/// Classes of a rule set's addresses and ports.
#[derive(Debug)]
pub struct Classes([Line; 4]);

#[derive(Debug)]
struct Line {
    starts: Starts,
    /// By piece.
    classes: Box<[u32]>,
}

impl Classes {
    /// The classes of source, destination (IPv4 mapped into IPv6), source port and destination port.
    #[inline]
    #[must_use]
    pub fn of(&self, source: u128, destination: u128, ports: (u16, u16)) -> [u32; 4] {
        let [of_source, of_destination, of_source_port, of_destination_port] = &self.0;
        [
            of_source.class(source),
            of_destination.class(destination),
            of_source_port.class(ports.0.into()),
            of_destination_port.class(ports.1.into()),
        ]
    }

    /// Bytes that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.iter().map(|line| line.starts.memory_bytes() + size_of_val(&*line.classes)).sum()
    }
}

impl Line {
    #[inline]
    fn class(&self, value: u128) -> u32 {
        // Without a cut nothing is looked for.
        if self.classes.len() == 1 { 0 } else { self.classes[self.starts.piece(value)] }
    }
}

impl Ruleset {
    /// The classes of addresses and ports. `None` when rules ask for something else that differs between flows (tuples of
    /// connections, routes, single bits of an address), or for too many values.
    #[must_use]
    pub fn classes(&self) -> Option<Classes> {
        let mut cuts = Cuts::default();
        for op in self.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.ops) {
            cuts.op(self, op)?;
        }
        cuts.lines.iter().all(|cuts| cuts.len() <= MAX_CUTS).then(|| Classes(cuts.lines.map(line)))
    }
}

/// Where matches begin and end, each with the number that stands for it; where it ends, with its negative.
#[derive(Default)]
struct Cuts {
    lines: [Vec<(u128, u128)>; 4],
    /// Matches so far.
    count: u64,
}

impl Cuts {
    fn op(&mut self, rules: &Ruleset, op: &Op) -> Option<()> {
        match op {
            Op::Match(found) => self.single(rules, found),
            Op::Vmap(map) | Op::SetMark(_, MarkValue::Map(map)) => self.map(rules, map),
            Op::Nat(nat) => {
                [&nat.address, &nat.port].into_iter().flatten().try_for_each(|value| match value {
                    NatValue::Map(map) => self.map(rules, map),
                    NatValue::Range(_) => Some(()),
                })
            }
            _ => Some(()),
        }
    }

    fn single(&mut self, rules: &Ruleset, found: &Match) -> Option<()> {
        match (&found.key.fields, &found.test) {
            (_, Test::Never) => Some(()),
            (Fields::Many(_), Test::In(set)) => self.elements(rules, &found.key, *set, true),
            (Fields::Many(_), _) => None,
            (Fields::One { field, mask }, test) => {
                let Some(axis) = self.axis(&found.key, *field)? else { return Some(()) };
                if mask & whole(*field) != whole(*field) {
                    return None;
                }
                match test {
                    Test::Equal(value) => self.cut(axis, *field, &Interval::single(*value)),
                    Test::Within(interval) => self.cut(axis, *field, interval),
                    Test::In(set) => return self.elements(rules, &found.key, *set, false),
                    Test::AnyBit(_) | Test::Never => return None,
                }
                Some(())
            }
        }
    }

    fn map(&mut self, rules: &Ruleset, map: &Map) -> Option<()> {
        self.elements(rules, &map.key, map.set, true)
    }

    /// The elements of a set: each for itself, or as one match.
    fn elements(&mut self, rules: &Ruleset, key: &Key, set: u32, apart: bool) -> Option<()> {
        let mut axes = Vec::new();
        for field in key.fields() {
            axes.push((self.axis(key, *field)?, *field));
        }
        if let Fields::One { field, mask } = key.fields
            && mask & whole(field) != whole(field)
            && axes[0].0.is_some()
        {
            return None;
        }
        if axes.iter().all(|(axis, _)| axis.is_none()) {
            return Some(());
        }
        self.count += 1;
        for element in rules.set(set)?.table.elements() {
            self.count += u64::from(apart);
            for ((axis, field), interval) in axes.iter().zip(&element) {
                if let Some(axis) = axis {
                    self.add(*axis, *field, interval);
                }
            }
            if self.lines.iter().any(|cuts| cuts.len() > MAX_CUTS) {
                return None;
            }
        }
        Some(())
    }

    /// The line of a field. The inner value is `None` for one that needs none: it is the packet's own, or the caller
    /// compares it.
    #[expect(clippy::option_option, reason = "no classes at all, and none of this field")]
    fn axis(&self, key: &Key, field: Field) -> Option<Option<Axis>> {
        Some(Some(match field {
            Field::IpSource | Field::Ip6Source => Axis::Source,
            Field::IpDestination | Field::Ip6Destination => Axis::Destination,
            Field::SourcePort(_) => Axis::SourcePort,
            Field::DestinationPort(_) => Axis::DestinationPort,
            Field::CtTuple(..) | Field::Fib(_) if key.scope != Scope::Packet => return None,
            _ => return Some(None),
        }))
    }

    fn cut(&mut self, axis: Axis, field: Field, interval: &Interval) {
        self.count += 1;
        self.add(axis, field, interval);
    }

    fn add(&mut self, axis: Axis, field: Field, interval: &Interval) {
        let (interval, number) = (mapped(field, *interval), number(self.count));
        let cuts = &mut self.lines[axis as usize];
        cuts.push((interval.low, number));
        if let Some(behind) = interval.high.checked_add(1) {
            cuts.push((behind, number.wrapping_neg()));
        }
    }
}

/// All bits of a field.
fn whole(field: Field) -> u128 {
    u128::MAX >> (128 - u32::from(field.bits()))
}

/// A number for a match: sums of several are told apart by their 128 bits (Zobrist, 1970).
fn number(count: u64) -> u128 {
    // SplitMix64 (Steele, Lea, Flood, 2014).
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    u128::from(mix(2 * count + 1)) << 64 | u128::from(mix(2 * count + 2))
}

/// The pieces between the cuts; the same matches hold where the sums are equal.
fn line(mut cuts: Vec<(u128, u128)>) -> Line {
    cuts.sort_unstable();
    let mut pieces: Vec<(u128, u128)> = vec![(0, 0)];
    let mut sum = 0u128;
    for (at, number) in cuts {
        sum = sum.wrapping_add(number);
        match pieces.last_mut() {
            Some(last) if last.0 == at => last.1 = sum,
            _ => pieces.push((at, sum)),
        }
    }
    pieces.dedup_by_key(|(_, sum)| *sum);
    let mut classes = HashMap::new();
    let numbers = pieces.iter().map(|(_, sum)| {
        let next = classes.len() as u32;
        *classes.entry(*sum).or_insert(next)
    });
    let numbers: Box<[u32]> = numbers.collect();
    let starts: Vec<u128> = pieces.iter().map(|(start, _)| *start).collect();
    Line { starts: Starts::new(&starts), classes: numbers }
}

impl SetTable {
    /// All elements.
    fn elements(&self) -> Box<dyn Iterator<Item = Element> + '_> {
        let single = |interval: Interval| Element::from_slice(&[interval]);
        match self {
            Self::Single { exact, ranges } => Box::new(
                exact
                    .keys()
                    .map(move |value| single(Interval::single(*value)))
                    .chain(ranges.iter().map(move |(interval, _)| single(*interval))),
            ),
            Self::Several { exact, ranges, .. } => Box::new(
                exact
                    .keys()
                    .map(|values| values.iter().map(|value| Interval::single(*value)).collect())
                    .chain(ranges.iter().map(|(element, _)| element.clone())),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
