//! Sets and maps as they are looked up: single values by hash, intervals by binary search, concatenations with
//! intervals by the [`Index`].

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use smallvec::SmallVec;

use crate::index::{Index, MAX_CLASSES};
use netfast_nft::ast::{Element, Interval};

/// The values of a key's fields.
pub(crate) type Values = SmallVec<[u128; 2]>;

/// Multiplies and folds. Elements come from the configuration and look-ups add none, so no seed is needed.
#[derive(Default)]
pub(crate) struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xe703_7ed1_a0b4_28db;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    #[inline]
    fn write_u128(&mut self, word: u128) {
        self.write_u64(word as u64);
        self.write_u64((word >> 64) as u64);
    }
}

type Hash<K> = HashMap<K, u32, BuildHasherDefault<Fold>>;

/// A set: which element, by number, holds a key.
#[derive(Debug)]
pub(crate) enum SetTable {
    /// Of one field.
    Single {
        exact: Hash<u128>,
        /// Sorted, apart from each other.
        ranges: Box<[(Interval, u32)]>,
    },
    /// Of several.
    Several {
        exact: Hash<Values>,
        /// Elements with intervals.
        ranges: Box<[(Element, u32)]>,
        index: Index,
    },
}

impl SetTable {
    /// Of elements for so many fields; of two that hold the same key the first counts.
    pub fn build(fields: usize, elements: impl IntoIterator<Item = Element>) -> Self {
        let elements = elements.into_iter().zip(0u32..);
        if fields == 1 { Self::single(elements) } else { Self::several(fields, elements) }
    }

    fn single(elements: impl Iterator<Item = (Element, u32)>) -> Self {
        let (mut exact, mut ranges) = (Hash::<u128>::default(), Vec::new());
        for (element, number) in elements {
            match element.first() {
                Some(interval) if interval.is_single() => {
                    exact.entry(interval.low).or_insert(number);
                }
                Some(interval) => ranges.push((*interval, number)),
                None => {}
            }
        }
        Self::Single { exact, ranges: apart(ranges).into() }
    }

    fn several(fields: usize, elements: impl Iterator<Item = (Element, u32)>) -> Self {
        let (mut exact, mut ranges) = (Hash::<Values>::default(), Vec::new());
        for (element, number) in elements {
            if element.iter().all(|interval| interval.is_single()) {
                exact.entry(element.iter().map(|interval| interval.low).collect()).or_insert(number);
            } else {
                ranges.push((element, number));
            }
        }
        let claims: Vec<Vec<_>> = (0..fields.min(MAX_CLASSES))
            .map(|field| ranges.iter().map(|(element, _)| element.get(field).map(|i| vec![*i])).collect())
            .collect();
        let index = Index::build(ranges.len(), &claims);
        Self::Several { exact, ranges: ranges.into(), index }
    }

    /// The element that holds the one field's value.
    #[inline]
    pub fn find_one(&self, value: u128) -> Option<u32> {
        match self {
            Self::Single { exact, ranges } => {
                if let Some(number) = exact.get(&value) {
                    return Some(*number);
                }
                let after = ranges.partition_point(|(interval, _)| interval.low <= value);
                let (interval, number) = ranges.get(after.checked_sub(1)?)?;
                interval.contains(value).then_some(*number)
            }
            Self::Several { .. } => None,
        }
    }

    /// The element that holds the fields' values.
    pub fn find(&self, values: &[u128]) -> Option<u32> {
        match self {
            Self::Single { .. } => self.find_one(*values.first()?),
            Self::Several { exact, ranges, index } => {
                let hashed = exact.get(values).copied();
                let mut candidates = index.candidates(|field| values.get(field).copied());
                while let Some(item) = candidates.next() {
                    let (element, number) = &ranges[item];
                    if hashed.is_some_and(|hashed| hashed < *number) {
                        break;
                    }
                    if element.iter().zip(values).all(|(interval, value)| interval.contains(*value)) {
                        return Some(*number);
                    }
                }
                hashed
            }
        }
    }

    /// Bytes that it takes, about.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Single { exact, ranges } => exact.capacity() * 40 + size_of_val(&**ranges),
            Self::Several { exact, ranges, index } => {
                exact.capacity() * (size_of::<Values>() + 8) + size_of_val(&**ranges) + index.memory_bytes()
            }
        }
    }
}

/// Cuts overlapping intervals, so that each value is in the one with the lowest number.
fn apart(mut ranges: Vec<(Interval, u32)>) -> Vec<(Interval, u32)> {
    ranges.sort_unstable_by_key(|(interval, number)| (interval.low, *number));
    if ranges.windows(2).all(|pair| pair[0].0.high < pair[1].0.low) {
        return ranges;
    }
    let mut starts: Vec<u128> =
        ranges.iter().flat_map(|(i, _)| [Some(i.low), i.high.checked_add(1)]).flatten().collect();
    starts.sort_unstable();
    starts.dedup();
    let mut active = std::collections::BTreeSet::new();
    let mut ends = std::collections::BinaryHeap::new();
    let (mut cut, mut next) = (Vec::new(), 0);
    for (position, start) in starts.iter().enumerate() {
        while let Some(std::cmp::Reverse((high, number))) = ends.peek().copied()
            && high < *start
        {
            ends.pop();
            active.remove(&number);
        }
        while let Some((interval, number)) = ranges.get(next)
            && interval.low == *start
        {
            active.insert(*number);
            ends.push(std::cmp::Reverse((interval.high, *number)));
            next += 1;
        }
        if let Some(number) = active.first() {
            let high = starts.get(position + 1).map_or(u128::MAX, |after| after - 1);
            cut.push((Interval { low: *start, high }, *number));
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn elements(fields: usize) -> impl Strategy<Value = Vec<Element>> {
        let interval = (0u128..30, prop_oneof![Just(0u128), 0u128..20])
            .prop_map(|(low, more)| Interval { low, high: low + more });
        let element = prop::collection::vec(interval, fields).prop_map(Element::from_vec);
        prop::collection::vec(element, 0..40)
    }

    fn first(elements: &[Element], values: &[u128]) -> Option<u32> {
        let holds =
            |element: &Element| element.iter().zip(values).all(|(interval, value)| interval.contains(*value));
        elements.iter().position(holds).map(|position| position as u32)
    }

    proptest! {
        #[test]
        fn single_fields_are_found(elements in elements(1)) {
            let table = SetTable::build(1, elements.clone());
            for value in 0..60 {
                let expected = first(&elements, &[value]);
                prop_assert_eq!(table.find(&[value]).is_some(), expected.is_some());
            }
        }

        #[test]
        fn concatenations_are_found(elements in elements(2), value in prop::array::uniform2(0u128..60)) {
            let table = SetTable::build(2, elements.clone());
            prop_assert_eq!(table.find(&value), first(&elements, &value));
        }
    }
}
