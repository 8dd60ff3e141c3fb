//! What a rule asks for in the classes of a chain's index.
//!
//! Only matches before the rule's first effect count, and only such on what is the same for all packets of a flow: a rule
//! that they exclude neither matches nor does anything, and is settled as such.

use crate::ast::Interval;
use crate::facts::CtState;
use crate::field::{Field, Transport};
use crate::index::{Claim, Index};
use crate::op::{Fields, Match, Op, Rule, Scope, Test};

/// The classes: the field that stands for each. Addresses of both families are one class, IPv4 ones mapped.
pub(crate) const CLASSES: [Field; 8] = [
    Field::Ip6Source,
    Field::Ip6Destination,
    Field::DestinationPort(Transport::Any),
    Field::SourcePort(Transport::Any),
    Field::L4Proto,
    Field::IifName,
    Field::OifName,
    Field::CtState,
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
                if no_track && CLASSES[class] == Field::CtState {
                    continue;
                }
                claims[class][position].get_or_insert(intervals);
            }
        }
    }
    claims.iter().flatten().any(Option::is_some).then(|| Index::build(rules.len(), &claims))
}

fn class_of(field: Field) -> Option<usize> {
    let stands_for = match field {
        Field::IpSource | Field::Ip6Source => Field::Ip6Source,
        Field::IpDestination | Field::Ip6Destination => Field::Ip6Destination,
        Field::DestinationPort(_) => Field::DestinationPort(Transport::Any),
        Field::SourcePort(_) => Field::SourcePort(Transport::Any),
        Field::L4Proto | Field::IpProtocol => Field::L4Proto,
        Field::Iif | Field::IifName => Field::IifName,
        Field::Oif | Field::OifName => Field::OifName,
        Field::CtState => Field::CtState,
        _ => return None,
    };
    CLASSES.iter().position(|class| *class == stands_for)
}

/// What a match asks for: class and intervals.
fn claims_of(found: &Match, sets: &[SetIntervals]) -> Vec<(usize, Vec<Interval>)> {
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
    let max =
        if class_of(field).is_some_and(|class| matches!(CLASSES[class], Field::IifName | Field::OifName)) {
            u128::from(u32::MAX)
        } else {
            u128::MAX >> (128 - u32::from(bits))
        };
    let below = interval.low.checked_sub(1).map(|high| Interval { low: 0, high });
    let above = (interval.high < max).then_some(Interval { low: interval.high + 1, high: max });
    below.into_iter().chain(above).collect()
}

fn mapped(field: Field, interval: Interval) -> Interval {
    match field {
        Field::IpSource | Field::IpDestination => {
            Interval { low: interval.low | MAPPED, high: interval.high.min(0xffff_ffff) | MAPPED }
        }
        _ => interval,
    }
}
