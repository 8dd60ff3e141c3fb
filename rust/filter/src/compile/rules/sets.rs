//! Sets and maps, and whether they change.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dynamic::{ALWAYS, DynamicSpec, Life, Timed, timeout};
use crate::op::{MapData, Set};
use crate::sets::{SetTable, Values};
use netfast_nft::ast::{self, Data, Element, Interval, SetElement};
use netfast_nft::field::DataType;

use super::super::CompileError;
use super::super::identity::hash_of_debug;
use super::{Compiler, Place, is_port, target};

impl<'a> Compiler<'a> {
    pub(super) fn named_set(
        &mut self,
        place: &Place,
        name: &'a str,
        fields: usize,
    ) -> Result<u32, CompileError> {
        let tree = self.set_trees.get(&(place.table, name)).copied();
        let tree = tree.ok_or_else(|| self.undefined("set or map", name, place))?;
        let types = tree.key.data_types();
        if types.len() != fields {
            return Err(self.mismatch(
                "a set is asked for another number of fields than its type has",
                "give as many fields as the type",
                place,
            ));
        }
        let number = match self.set_numbers.get(&(place.table, name)) {
            Some(number) => *number,
            None => {
                let number = self.set(place, &tree.elements, &types)?;
                self.settle_life(place, name, tree, number);
                self.set_numbers.insert((place.table, name), number);
                number
            }
        };
        let ports = types.iter().any(|data_type| is_port(*data_type));
        // The chains that a named map leads to count for each chain that looks into it.
        let calls: Vec<u32> = self.sets[number as usize].data.iter().filter_map(target).collect();
        let draft = self.draft();
        draft.reads_ports |= ports;
        draft.sets.push(number);
        draft.calls.extend(calls);
        Ok(number)
    }

    /// Whether a named set changes, and what it begins with.
    pub(super) fn settle_life(&mut self, place: &Place, name: &'a str, tree: &'a ast::Set, number: u32) {
        let time = |element: &SetElement| timeout(element.timeout.or(tree.timeout));
        let types = tree.key.data_types();
        let table = &self.ast.tables[place.table];
        let identity = hash_of_debug(&(table.family, &table.name, name, &types, &tree.data));
        let elements = tree.elements.iter().flat_map(|element| {
            let values = self.expand(&element.key, &types).into_iter();
            values.map(move |key| (key, time(element)))
        });
        let has_times = tree.elements.iter().any(|element| time(element) != ALWAYS);
        let is_changed = self.changed.contains_key(&(place.table, name)) || tree.dynamic;
        let single = |element: &SetElement| {
            element.key.iter().zip(&types).all(|(range, field)| range.is_single() || is_port(*field))
        };
        if !tree.interval && (is_changed || has_times && tree.elements.iter().all(single)) {
            let initial =
                last_of_each(elements.map(|(key, time)| (key.iter().map(|range| range.low).collect(), time)));
            // In Linux 0 is no size.
            let said = tree.size.filter(|size| *size > 0);
            let size = said.map_or(self.max_elements, |size| self.max_elements.min(size as usize));
            let spec = DynamicSpec {
                size: size.max(initial.len()),
                initial,
                ports: types.iter().map(|data_type| is_port(*data_type)).collect(),
            };
            self.sets[number as usize].life = Life::Dynamic(self.dynamics.add(identity, spec));
        } else if has_times {
            let named = |key: &Element| hash_of_debug(&self.with_names(key, &types));
            let times: Arc<[Timed]> =
                elements.map(|(key, timeout)| Timed { element: named(&key), timeout }).collect();
            self.sets[number as usize].life = Life::Timed(self.timed.add(identity, times));
        }
        let hash = &mut self.set_hashes[number as usize];
        *hash = hash_of_debug(&(*hash, self.sets[number as usize].life));
    }

    /// An element with the names of ports again, whose numbers may be others in the next rule set.
    fn with_names(&self, key: &Element, types: &[DataType]) -> Element {
        let name =
            |port: u128| self.ports.iter().find(|(id, _)| u128::from(*id) == port).map(|(_, name)| *name);
        key.iter()
            .zip(types)
            .map(|(range, data_type)| match is_port(*data_type).then(|| name(range.low)).flatten() {
                Some(name) => Interval::single(name),
                None => *range,
            })
            .collect()
    }

    /// Compiles the elements of a set or map.
    pub(super) fn set(
        &mut self,
        place: &Place,
        elements: &[SetElement],
        types: &[DataType],
    ) -> Result<u32, CompileError> {
        let hash = hash_of_debug(&elements);
        let mut keys = Vec::with_capacity(elements.len());
        let mut data = Vec::new();
        for element in elements {
            if element.key.len() != types.len() {
                return Err(self.mismatch(
                    "an element has another number of fields than its set",
                    "give as many as the type has",
                    place,
                ));
            }
            let expanded = self.expand(&element.key, types);
            self.elements_left =
                self.elements_left.checked_sub(expanded.len()).ok_or(CompileError::TooMany {
                    what: "elements of sets",
                    count: self.max_elements + 1,
                    limit: self.max_elements,
                    name: "max_elements",
                })?;
            if let Some(value) = &element.data {
                let value = match value {
                    Data::Verdict(verdict) => MapData::Verdict(self.verdict(place, verdict)?),
                    Data::Values(values) => MapData::Values(values.clone()),
                };
                data.extend(std::iter::repeat_n(value, expanded.len()));
            }
            keys.extend(expanded);
        }
        Ok(self.push_set(types.len(), keys, data, hash))
    }

    pub(super) fn push_set(
        &mut self,
        fields: usize,
        keys: Vec<Element>,
        data: Vec<MapData>,
        hash: u64,
    ) -> u32 {
        let column = |field: usize| keys.iter().filter_map(|key| key.get(field).copied()).collect();
        self.set_intervals.push((0..fields).map(column).collect());
        self.set_hashes.push(hash);
        let branches = |data: &MapData| matches!(data, MapData::Verdict(verdict) if verdict.branches());
        self.sets.push(Set {
            table: SetTable::build(fields, keys),
            branches: data.iter().any(branches),
            data: data.into(),
            life: Life::Fixed,
        });
        self.sets.len() as u32 - 1
    }

    /// An element with names of ports replaced by the numbers of those that there are.
    pub(super) fn expand(&self, key: &Element, types: &[DataType]) -> Vec<Element> {
        if key.iter().any(|interval| interval.low > interval.high) {
            return Vec::new();
        }
        let mut expanded = vec![Element::new()];
        for (interval, data_type) in key.iter().zip(types) {
            if !is_port(*data_type) {
                expanded.iter_mut().for_each(|element| element.push(*interval));
                continue;
            }
            let ports = || self.ports.iter().filter(|(_, name)| interval.contains(*name));
            expanded = expanded
                .iter()
                .flat_map(|element| {
                    ports().map(|(id, _)| {
                        let mut element = element.clone();
                        element.push(Interval::single((*id).into()));
                        element
                    })
                })
                .collect();
        }
        expanded
    }
}

/// Each key where it stood first, with the time that was said last, as Linux takes it.
fn last_of_each(elements: impl Iterator<Item = (Values, u64)>) -> Vec<(Values, u64)> {
    let mut places: HashMap<Values, usize> = HashMap::new();
    let mut each: Vec<(Values, u64)> = Vec::new();
    for (key, time) in elements {
        match places.get(&key) {
            Some(place) => each[*place].1 = time,
            None => {
                places.insert(key.clone(), each.len());
                each.push((key, time));
            }
        }
    }
    each
}
