//! The trie against a list.
use super::*;
use proptest::prelude::*;

/// Prefixes close to each other, so that they nest, branch and share long runs.
fn prefix<K: std::fmt::Debug>(bits: u8, shape: fn(u128, u8) -> K) -> impl Strategy<Value = (K, u8)> {
    let base = prop_oneof![Just(0u128), Just(u128::MAX), Just(0x2001_0db8 << 96), any::<u128>()];
    let flips = proptest::collection::vec(0..bits, 0..4);
    (base, flips, 0..=bits).prop_map(move |(base, flips, length)| {
        let number = flips.iter().fold(base, |number, flip| number ^ (1 << (127 - flip)));
        let kept = if length == 0 { 0 } else { number >> (128 - length) << (128 - length) };
        (shape(kept, bits), length)
    })
}

fn v4(number: u128, _: u8) -> u32 {
    (number >> 96) as u32
}

fn v6(number: u128, _: u8) -> u128 {
    number
}

trait Number: Key {
    fn wide(self) -> u128;
    fn narrow(number: u128) -> Self;
}

impl Number for u32 {
    fn wide(self) -> u128 {
        u128::from(self) << 96
    }
    fn narrow(number: u128) -> Self {
        (number >> 96) as u32
    }
}

impl Number for u128 {
    fn wide(self) -> u128 {
        self
    }
    fn narrow(number: u128) -> Self {
        number
    }
}

/// The list that the trie is held against.
struct Oracle(Vec<(u128, u8, u32)>);

impl Oracle {
    fn lookup(&self, address: u128) -> u32 {
        let contains = |prefix: u128, length: u8| length == 0 || (prefix ^ address) >> (128 - length) == 0;
        let matching = self.0.iter().filter(|(prefix, length, _)| contains(*prefix, *length));
        matching.max_by_key(|(_, length, _)| *length).map_or(NONE, |(_, _, value)| *value)
    }
}

/// Both ends of each prefix, and what is just outside.
fn boundaries<K: Number>(oracle: &Oracle) -> Vec<K> {
    let unit = 1u128 << (128 - K::BITS);
    let ends = oracle.0.iter().flat_map(|(prefix, length, _)| {
        let last = prefix | u128::MAX.checked_shr(u32::from(*length)).unwrap_or(0);
        [*prefix, prefix.wrapping_sub(unit), last, last.wrapping_add(unit), prefix ^ (u128::MAX >> 1)]
    });
    ends.map(K::narrow).collect()
}

fn agree<K: Number>(trie: &Trie<K>, oracle: &Oracle, random: &[u128]) -> Result<(), TestCaseError> {
    let mut keys = boundaries::<K>(oracle);
    keys.extend(random.iter().map(|number| K::narrow(*number)));
    let mut values = vec![0; keys.len()];
    trie.lookup_batch(&keys, &mut values);
    for (key, value) in keys.iter().zip(values) {
        let expected = oracle.lookup(key.wide());
        prop_assert_eq!(trie.lookup(*key), expected);
        prop_assert_eq!(value, expected);
    }
    prop_assert_eq!(trie.len(), oracle.0.len());
    Ok(())
}

fn run<K: Number>(root_bits: u8, steps: &[(bool, (K, u8))], random: &[u128]) -> Result<(), TestCaseError> {
    let mut trie = Trie::<K>::with_root(root_bits);
    let mut oracle = Oracle(Vec::new());
    for (serial, (add, (key, length))) in steps.iter().enumerate() {
        let position = oracle.0.iter().position(|(prefix, l, _)| (*prefix, *l) == (key.wide(), *length));
        if *add {
            trie.insert(*key, *length, serial as u32);
            position.map(|position| oracle.0.swap_remove(position));
            oracle.0.push((key.wide(), *length, serial as u32));
        } else if let Some(position) = position {
            trie.remove(*key, *length);
            oracle.0.swap_remove(position);
        } else {
            trie.remove(*key, *length);
        }
    }
    agree(&trie, &oracle, random)?;
    // Whatever is there can be taken away; then nothing is left, nodes included.
    while let Some((prefix, length, _)) = oracle.0.pop() {
        trie.remove(K::narrow(prefix), length);
        if oracle.0.len().is_multiple_of(8) {
            agree(&trie, &oracle, &[prefix])?;
        }
    }
    prop_assert!(trie.slots.iter().all(|slot| slot.node == NONE && slot.value == NONE));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn v4_agrees_with_a_list(
        large in any::<bool>(),
        steps in proptest::collection::vec((proptest::bool::weighted(0.7), prefix(32, v4)), 1..120),
        random in proptest::collection::vec(any::<u128>(), 20),
    ) {
        run::<u32>(if large { LARGE_ROOT } else { SMALL_ROOT }, &steps, &random)?;
    }

    #[test]
    fn v6_agrees_with_a_list(
        large in any::<bool>(),
        steps in proptest::collection::vec((proptest::bool::weighted(0.7), prefix(128, v6)), 1..120),
        random in proptest::collection::vec(any::<u128>(), 20),
    ) {
        run::<u128>(if large { LARGE_ROOT } else { SMALL_ROOT }, &steps, &random)?;
    }
}

#[test]
fn a_lone_host_route_takes_few_nodes() {
    let mut trie = Trie::<u128>::new();
    trie.insert(0x2001_0db8_0000_0000_0000_0000_0000_0001, 128, 7);
    assert!(trie.nodes.items().len() <= 5, "{}", trie.nodes.items().len());
    assert_eq!(trie.lookup(0x2001_0db8_0000_0000_0000_0000_0000_0001), 7);
    assert_eq!(trie.lookup(0x2001_0db8_0000_0000_0000_0000_0000_0000), NONE);
}

#[test]
fn a_node_is_half_a_cache_line() {
    assert_eq!(size_of::<Node>(), 32);
}
