use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn key(number: u64) -> (FlowKey, Direction) {
    let address = |low: u64| [0x2001_0db8_0000_0000, low];
    FlowKey::in_context(0, true, 17, (address(1), 1000), (address(number + 2), 53))
}

fn reply_key(number: u64) -> (FlowKey, Direction) {
    let address = |low: u64| [0x2001_0db8_0000_0001, low];
    FlowKey::in_context(0, true, 17, (address(number + 2), 53), (address(1), 4000))
}

impl<T: Copy> FlowCache<T> {
    fn way_of(&self, (key, direction): (FlowKey, Direction)) -> Option<Found> {
        self.find(&key, direction, key.seeded_hash(self.seed()))
    }
}

#[test]
fn both_ways_of_a_connection_have_one_entry() {
    let mut cache = FlowCache::<u64>::new(CacheConfig::default()).unwrap();
    let (k, d) = key(1);
    let at = cache.insert((k, d), None, Some(7), 10).unwrap();
    assert_eq!(cache.way_of((k, d)), Some(Found { entry: at, way: Way::Original }));
    assert_eq!(cache.way_of((k, d.opposite())), Some(Found { entry: at, way: Way::Reply }));
    assert_eq!(cache.transport(at), Some(&7));
    cache.remove(at);
    assert_eq!(cache.way_of((k, d)), None);
    assert!(cache.is_empty());
}

#[test]
fn the_keys_of_a_translated_connection_stand_for_one_way_each() {
    let mut cache = FlowCache::<()>::new(CacheConfig::default()).unwrap();
    let ((k, d), (r, e)) = (key(1), reply_key(1));
    let at = cache.insert((k, d), Some(FlowCache::<()>::nat_line((r, e), [0; 2], [0; 2])), None, 0).unwrap();
    assert_eq!(cache.way_of((k, d)).unwrap().way, Way::Original);
    assert_eq!(cache.way_of((r, e)).unwrap(), Found { entry: at, way: Way::Reply });
    assert_eq!(cache.way_of((k, d.opposite())), None, "a reply that nobody translated is not its reply");
    assert_eq!(cache.way_of((r, e.opposite())), None);
    cache.remove(at);
    assert_eq!((cache.way_of((k, d)), cache.way_of((r, e))), (None, None));
}

#[test]
fn a_full_table_refuses_and_the_sample_finds_who_may_go() {
    let mut cache = FlowCache::<()>::new(CacheConfig { max_connections: 4, seed: 1 }).unwrap();
    for number in 0..4 {
        let at = cache.insert(key(number), None, None, number).unwrap();
        cache.entry_mut(at).status = u16::from(number != 2);
    }
    assert!(cache.insert(key(9), None, None, 9).is_none());
    let weak = cache.least(64, |entry| (entry.status == 0).then_some(entry.created)).unwrap();
    assert_eq!(cache.entry(weak).created, 2);
    cache.remove(weak);
    assert!(cache.insert(key(9), None, None, 9).is_some());
    assert_eq!(cache.least(64, |entry| (entry.status == 7).then_some(0)), None);
}

#[test]
fn who_is_not_kept_makes_room_and_of_two_the_one_that_ends_sooner() {
    let mut cache = FlowCache::<()>::new(CacheConfig { max_connections: 200, seed: 1 }).unwrap();
    for number in 0..200 {
        let at = cache.insert(key(number), None, None, 1_000 + number).unwrap();
        if number % 4 != 0 {
            cache.keep(at);
        }
    }
    let mut gone = Vec::new();
    for _ in 0..25 {
        let at = cache.spare().unwrap();
        gone.push(cache.entry(at).created - 1_000);
        cache.remove(at);
    }
    // Of each two in order the first was entered before the second.
    assert_eq!(gone, (0..25).map(|pair| pair * 8).collect::<Vec<_>>());
    let rest: Vec<_> = std::iter::from_fn(|| {
        let at = cache.spare()?;
        cache.remove(at);
        Some(at)
    })
    .collect();
    assert_eq!(rest.len(), 25, "all others that are not kept, each once");
    assert_eq!((cache.len(), cache.spare()), (150, None));
    let at = cache.insert(key(500), None, None, 0).unwrap();
    assert_eq!(cache.spare(), Some(at), "the only one, however far the hand is");
    cache.keep(at);
    assert_eq!(cache.spare(), None, "what was drawn is kept now");
}

#[test]
fn limits_are_checked() {
    assert_eq!(
        FlowCache::<()>::new(CacheConfig { max_connections: 0, seed: 0 }).unwrap_err(),
        CacheError::MaxConnections(0)
    );
}

/// Issue 4, speed: at most 320 bytes a connection, all indexes included.
#[test]
fn memory_is_bounded_for_each_connection() {
    for (translated, most) in [(false, 240), (true, 320)] {
        let mut cache =
            FlowCache::<[u64; 8]>::new(CacheConfig { max_connections: 1 << 20, seed: 3 }).unwrap();
        for number in 0..250_000 {
            let line = translated.then(|| FlowCache::<[u64; 8]>::nat_line(reply_key(number), [0; 2], [0; 2]));
            cache.insert(key(number), line, Some([0; 8]), 0).unwrap();
        }
        let each = cache.memory() / cache.len();
        assert!(each <= most, "{each} bytes, translated: {translated}");
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Insert(u64, bool),
    Remove(u64),
    Sweep(usize),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let one = prop_oneof![
        3 => (0u64..60, any::<bool>()).prop_map(|(number, nat)| Operation::Insert(number, nat)),
        2 => (0u64..60).prop_map(Operation::Remove),
        1 => (0usize..9).prop_map(Operation::Sweep),
    ];
    proptest::collection::vec(one, 0..400)
}

proptest! {
    #[test]
    fn behaves_like_two_maps(operations in operations(), seed: u64) {
        let mut cache = FlowCache::<u64>::new(CacheConfig { max_connections: 40, seed }).unwrap();
        let mut oracle: HashMap<u64, bool> = HashMap::new();
        let mut swept = vec![];
        for operation in operations {
            match operation {
                Operation::Insert(number, nat) if !oracle.contains_key(&number) => {
                    let line = nat.then(|| FlowCache::<u64>::nat_line(reply_key(number), [0; 2], [0; 2]));
                    let at = cache.insert(key(number), line, Some(number), number);
                    prop_assert_eq!(at.is_some(), oracle.len() < 40);
                    if at.is_some() {
                        oracle.insert(number, nat);
                    }
                }
                Operation::Insert(..) => {}
                Operation::Remove(number) => {
                    let found = cache.way_of(key(number));
                    prop_assert_eq!(found.is_some(), oracle.remove(&number).is_some());
                    if let Some(found) = found {
                        cache.remove(found.entry);
                    }
                }
                Operation::Sweep(count) => {
                    cache.sweep(count, |entry| entry.created % 7 == 3, &mut swept);
                    for at in swept.drain(..) {
                        oracle.remove(&cache.entry(at).created);
                        cache.remove(at);
                    }
                }
            }
            prop_assert_eq!(cache.len(), oracle.len());
            for number in 0..60 {
                let (k, d) = key(number);
                let original = cache.way_of((k, d));
                let reply = cache.way_of((k, d.opposite()));
                let translated = cache.way_of(reply_key(number));
                match oracle.get(&number) {
                    None => prop_assert_eq!((original, reply, translated), (None, None, None)),
                    Some(nat) => {
                        let at = original.unwrap().entry;
                        prop_assert_eq!(cache.transport(at), Some(&number));
                        prop_assert_eq!(reply.is_some(), !nat);
                        prop_assert_eq!(translated.is_some(), *nat);
                        prop_assert_eq!(cache.keys(at)[0], (k, d));
                    }
                }
            }
        }
    }
}
