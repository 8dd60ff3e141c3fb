use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn key(number: u64) -> (FlowKey, Direction) {
    let address = |low: u64| [0x2001_0db8_0000_0000, low];
    FlowKey::in_context(0, true, 17, (address(1), 1000), (address(number + 2), 53))
}

/// Replies to the client's other address; every other number's come from another server, too.
fn reply_key(number: u64) -> (FlowKey, Direction) {
    let server = [0x2001_0db8_0000_0000 + number % 2, number + 2];
    FlowKey::in_context(0, true, 17, (server, 53), ([0x2001_0db8_0000_0001, 1], 4000))
}

fn line(number: u64) -> NatLine {
    FlowCache::<()>::nat_line(reply_key(number), [0; 2], [9, !9])
}

impl<T: Copy + FromZeros> FlowCache<T> {
    fn way_of(&self, (key, direction): (FlowKey, Direction)) -> Option<Found> {
        self.find(&key, direction, self.hash(&key))
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
    for number in [1, 2] {
        let mut cache = FlowCache::<()>::new(CacheConfig::default()).unwrap();
        let ((k, d), (r, e)) = (key(number), reply_key(number));
        let at = cache.insert((k, d), Some(line(number)), None, 0).unwrap();
        assert_eq!(cache.nats.items.len(), number as usize % 2, "where one end changes, there is no line");
        assert_eq!(cache.way_of((k, d)).unwrap().way, Way::Original);
        assert_eq!(cache.way_of((r, e)).unwrap(), Found { entry: at, way: Way::Reply });
        assert_eq!(cache.way_of((k, d.opposite())), None, "a reply that nobody translated is not its reply");
        assert_eq!(cache.way_of((r, e.opposite())), None);
        let leaving = Way::ALL.map(|way| cache.leaving(at, way).unwrap());
        assert_eq!(
            leaving.map(|leaving| leaving.ends),
            [(r, e), (k, d)].map(|(k, d)| Endpoints::of_key(&k, d).turned())
        );
        assert_eq!(leaving.map(|leaving| leaving.l4_change), [9, !9]);
        cache.remove(at);
        assert_eq!((cache.way_of((k, d)), cache.way_of((r, e)), cache.translated()), (None, None, 0));
    }
}

/// What a packet becomes is what [`crate::conntrack::Translation`] says, to the last bit of its checksums.
#[test]
fn one_end_and_both_are_translated_alike() {
    use crate::conntrack::{Translation, Tuple};
    let v4 = |last: u8| std::net::Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped().octets();
    let v6 = |last: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).octets();
    let tuple = |ends: [([u8; 16], u16); 2]| Tuple {
        source: ends[0].0,
        destination: ends[1].0,
        source_port: ends[0].1,
        destination_port: ends[1].1,
        protocol: 6,
    };
    for [client, server, other] in [[v4(1), v4(2), v4(3)], [v6(1), v6(2), v6(3)], [v4(1), v4(2), v4(1)]] {
        let original = tuple([(client, 1000), (server, 80)]);
        for (ends, lines) in [
            ([(server, 80), (other, 4000)], 0),
            ([(other, 8080), (client, 1000)], 0),
            ([(other, 8080), (other, 4000)], 1),
            // The sum does not change.
            ([(server, 1000), (client, 80)], 1),
        ] {
            let reply = tuple(ends);
            let translation = Translation::new(&original, &reply).unwrap();
            let rewrites = Way::ALL.map(|way| translation.rewrite(way));
            let (key, reply_key) = (FlowKey::of_tuple(0, &original), FlowKey::of_tuple(0, &reply));
            if key.0 == reply_key.0 {
                continue;
            }
            let (l3, l4) = (rewrites.map(|way| way.l3_change), rewrites.map(|way| way.l4_change));
            let mut cache = FlowCache::<()>::new(CacheConfig::default()).unwrap();
            let at = cache.insert(key, Some(FlowCache::<()>::nat_line(reply_key, l3, l4)), None, 0).unwrap();
            assert_eq!(cache.nats.items.len(), lines, "{reply:?}");
            for (way, rewrite) in Way::ALL.into_iter().zip(rewrites) {
                let leaving = cache.leaving(at, way).unwrap();
                assert_eq!(leaving.ends.addresses(), [rewrite.source, rewrite.destination]);
                let [a, b, c, d] = leaving.ends.ports();
                let ports = [[a, b], [c, d]].map(u16::from_be_bytes);
                assert_eq!(ports, [rewrite.source_port, rewrite.destination_port]);
                assert_eq!((leaving.l3_change, leaving.l4_change), (rewrite.l3_change, rewrite.l4_change));
                let end = cache.entry(at).one_end(way);
                assert_eq!(end.is_some(), lines == 0);
                assert!(end.is_none_or(|end| end.l4_change == rewrite.l4_change));
            }
        }
    }
}

#[test]
fn a_full_table_refuses_and_the_sample_finds_who_may_go() {
    let mut cache = FlowCache::<()>::new(CacheConfig { max_connections: 4, seed: 1 }).unwrap();
    for number in 0..4 {
        let at = cache.insert(key(number), None, None, number).unwrap();
        cache.entry_mut(at).set_class(u8::from(number != 2));
    }
    assert!(cache.insert(key(9), None, None, 9).is_none());
    let weak = cache.least(64, |entry| (entry.class() == 0).then_some(entry.expires)).unwrap();
    assert_eq!(cache.cold(weak).created, 2);
    cache.remove(weak);
    assert!(cache.insert(key(9), None, None, 9).is_some());
    assert_eq!(cache.least(64, |entry| (entry.class() == 7).then_some(0)), None);
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
        gone.push(cache.cold(at).created - 1_000);
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
            let line = translated.then(|| line(number));
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
                    let line = nat.then(|| line(number));
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
                    cache.sweep(count, |entry| entry.expires % 7 == 3, &mut swept);
                    for at in swept.drain(..) {
                        oracle.remove(&cache.cold(at).created);
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

/// Lines are where they are from the beginning, and none is written for another.
#[test]
fn no_connection_pays_for_the_lines_of_others() {
    let config = CacheConfig { max_connections: 20_000, seed: 1 };
    let mut cache = FlowCache::<[u64; 8]>::new(config).unwrap();
    let lines = cache.transports.as_ptr();
    for number in 0..19_999 {
        cache.insert(key(number), None, None, 0).unwrap();
    }
    assert!(cache.transports.is_empty());
    let at = cache.insert(key(19_999), None, Some([7; 8]), 0).unwrap();
    assert_eq!((cache.transport(at), cache.transport(0)), (Some(&[7; 8]), None));
    assert_eq!((cache.transports.as_ptr(), cache.transports.len()), (lines, 20_000));
}
