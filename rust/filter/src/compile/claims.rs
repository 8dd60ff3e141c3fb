//! What a rule asks for in the classes of a chain's index.
//!
//! Only matches before the rule's first effect count, and only such on what is the same for all packets of a flow: a rule
//! that they exclude neither matches nor does anything, and is settled as such.

use crate::facts::CtState;
use crate::index::{Claim, Index, MAX_CLASSES};
use crate::op::{Fields, Match, Op, Rule, Scope, Test};
use netfast_nft::ast::Interval;
use netfast_nft::field::Field;

/// A class of the index. Addresses of both families are one, IPv4 ones mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Source,
    Destination,
    DestinationPort,
    SourcePort,
    Protocol,
    InPort,
    OutPort,
    State,
}

/// All classes, in the order of their numbers.
pub(crate) const CLASSES: [Class; MAX_CLASSES] = [
    Class::Source,
    Class::Destination,
    Class::DestinationPort,
    Class::SourcePort,
    Class::Protocol,
    Class::InPort,
    Class::OutPort,
    Class::State,
];

/// Fewer rules are walked one by one.
const FEWEST_RULES: usize = 12;

/// Most intervals of a rule in a class; more are taken for the one from their first to their last.
const MAX_INTERVALS: usize = 64;

/// The first value of the IPv4 addresses among the mapped.
const MAPPED: u128 = 0xffff_0000_0000;

/// Intervals of a set's elements, by field.
pub(crate) type SetIntervals = Vec<Vec<Interval>>;

/// The index over a chain's rules. `sets` tells what the elements of each set are.
pub(crate) fn index(rules: &[Rule], sets: &[SetIntervals], no_track: bool) -> Option<Index> {
    if rules.len() < FEWEST_RULES {
        return None;
    }
    let mut claims: Vec<Vec<Claim>> = vec![vec![None; rules.len()]; CLASSES.len()];
    for (position, rule) in rules.iter().enumerate() {
        for op in &rule.ops {
            let Op::Match(found) = op else { break };
            for (class, intervals) in claims_of(found, sets) {
                // `notrack` changes the state below the index.
                if no_track && class == Class::State {
                    continue;
                }
                claims[class as usize][position].get_or_insert(intervals);
            }
        }
    }
    claims.iter().flatten().any(Option::is_some).then(|| Index::build(rules.len(), &claims))
}

fn class_of(field: Field) -> Option<Class> {
    Some(match field {
        Field::IpSource | Field::Ip6Source => Class::Source,
        Field::IpDestination | Field::Ip6Destination => Class::Destination,
        Field::DestinationPort(_) => Class::DestinationPort,
        Field::SourcePort(_) => Class::SourcePort,
        Field::L4Proto | Field::IpProtocol => Class::Protocol,
        Field::Iif | Field::IifName => Class::InPort,
        Field::Oif | Field::OifName => Class::OutPort,
        Field::CtState => Class::State,
        _ => return None,
    })
}

/// What a match asks for: class and intervals.
fn claims_of(found: &Match, sets: &[SetIntervals]) -> Vec<(Class, Vec<Interval>)> {
    // A concatenation with something of the packet's own is no settled match, with the index or without.
    let settled = found.key.scope == Scope::Flow && found.key.marks == 0;
    let masked = matches!(found.key.fields, Fields::One { mask, .. } if mask != u128::MAX);
    if masked || !settled {
        return Vec::new();
    }
    let fields = found.key.fields();
    fields
        .iter()
        .enumerate()
        .filter_map(|(position, field)| {
            let class = class_of(*field)?;
            let intervals = intervals(found, *field, position, fields.len() == 1, sets)?;
            Some((class, intervals.into_iter().map(|interval| mapped(*field, interval)).collect()))
        })
        .collect()
}

/// The values of one field that a match may hold for; `None` for all.
fn intervals(
    found: &Match,
    field: Field,
    position: usize,
    alone: bool,
    sets: &[SetIntervals],
) -> Option<Vec<Interval>> {
    let intervals = match &found.test {
        Test::Equal(value) => vec![Interval::single(*value)],
        Test::Within(interval) => vec![*interval],
        Test::AnyBit(bits) if field == Field::CtState => CtState::ALL
            .iter()
            .map(|state| u128::from(state.bit()))
            .filter(|bit| bit & bits != 0)
            .map(Interval::single)
            .collect(),
        Test::AnyBit(_) => return None,
        Test::In(set) => narrow(sets.get(*set as usize)?.get(position)?)?,
        Test::Never => Vec::new(),
    };
    match found.negate {
        false => Some(intervals),
        true if alone && intervals.len() == 1 => Some(complement(intervals[0], field)),
        true => None,
    }
}

/// Few enough intervals that hold all of these.
fn narrow(intervals: &[Interval]) -> Option<Vec<Interval>> {
    if intervals.len() <= MAX_INTERVALS {
        return Some(intervals.to_vec());
    }
    let low = intervals.iter().map(|interval| interval.low).min()?;
    let high = intervals.iter().map(|interval| interval.high).max()?;
    Some(vec![Interval { low, high }])
}

fn complement(interval: Interval, field: Field) -> Vec<Interval> {
    let bits = field.bits();
    let max = if matches!(class_of(field), Some(Class::InPort | Class::OutPort)) {
        u128::from(u32::MAX)
    } else {
        u128::MAX >> (128 - u32::from(bits))
    };
    let below = interval.low.checked_sub(1).map(|high| Interval { low: 0, high });
    let above = (interval.high < max).then_some(Interval { low: interval.high + 1, high: max });
    below.into_iter().chain(above).collect()
}

pub(crate) fn mapped(field: Field, interval: Interval) -> Interval {
    match field {
        Field::IpSource | Field::IpDestination => {
            Interval { low: interval.low | MAPPED, high: interval.high.min(0xffff_ffff) | MAPPED }
        }
        _ => interval,
    }
}
