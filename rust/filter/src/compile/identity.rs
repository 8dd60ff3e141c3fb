//! Numbers that things keep when the rule set is replaced.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};

use netfast_nft::ast::{Counter, Rule, Statement};

/// Which number each thing has, by its identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    numbers: HashMap<u64, u32>,
    /// One more than the highest number.
    length: usize,
}

impl Slots {
    /// Numbers for things with these identities, all different: the number it had before, else the lowest that is free.
    pub fn assign(previous: &Self, identities: &[u64]) -> (Self, Vec<u32>) {
        let kept = |identity| previous.numbers.get(identity).copied();
        let used: HashSet<u32> = identities.iter().filter_map(kept).collect();
        let mut free = (0..).filter(|number| !used.contains(number));
        let assigned: Vec<u32> = identities
            .iter()
            .map(|identity| kept(identity).unwrap_or_else(|| free.next().unwrap_or(u32::MAX)))
            .collect();
        let length = assigned.iter().max().map_or(0, |last| *last as usize + 1);
        (
            Self { numbers: identities.iter().copied().zip(assigned.iter().copied()).collect(), length },
            assigned,
        )
    }

    pub fn len(&self) -> usize {
        self.length
    }

    /// Things that are in both: the number here and there.
    pub fn kept(&self, previous: &Self) -> impl Iterator<Item = (u32, u32)> {
        self.numbers.iter().filter_map(|(identity, new)| Some((*new, *previous.numbers.get(identity)?)))
    }
}

/// The hash of something that hashes.
pub(crate) fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The hash of what something looks like in `{:?}`: for trees that have spans in them.
pub(crate) fn hash_of_debug(value: &impl fmt::Debug) -> u64 {
    struct Sink(DefaultHasher);

    impl Write for Sink {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }

    let mut sink = Sink(DefaultHasher::new());
    let written = write!(sink, "{value:?}");
    debug_assert!(written.is_ok(), "the sink takes everything");
    sink.0.finish()
}

/// What a rule says; what its counters stand at and the comment do not count.
pub(crate) fn rule_identity(rule: &Rule) -> u64 {
    let mut hasher = DefaultHasher::new();
    for statement in &rule.statements {
        let hash = match statement {
            Statement::Counter(Counter::Anonymous { .. }) => 0,
            statement => hash_of_debug(statement),
        };
        hasher.write_u64(hash);
    }
    hasher.finish()
}

/// Makes identities different that occur several times: the first stays, the others are numbered.
#[derive(Default)]
pub(crate) struct Occurrences(HashMap<u64, u32>);

impl Occurrences {
    pub fn unique(&mut self, identity: u64) -> u64 {
        let seen = self.0.entry(identity).or_insert(0);
        *seen += 1;
        hash_of(&(identity, *seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_gaps_filled() {
        let (first, numbers) = Slots::assign(&Slots::default(), &[10, 11, 12]);
        assert_eq!(numbers, [0, 1, 2]);
        let (second, numbers) = Slots::assign(&first, &[12, 13, 10, 14]);
        assert_eq!(numbers, [2, 1, 0, 3]);
        assert_eq!(second.len(), 4);
        let mut kept: Vec<_> = second.kept(&first).collect();
        kept.sort_unstable();
        assert_eq!(kept, [(0, 0), (2, 2)]);
    }
}
