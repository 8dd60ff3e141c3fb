//! Quotas, to the bucket; what moves when hops come and go.
use super::*;
use proptest::prelude::*;

fn hop(port: PortId) -> Hop {
    Hop { port, gateway: None, mtu: None }
}

fn shares(weights: &[(PortId, u64)]) -> Shares {
    normalize(weights.iter().map(|(port, weight)| (hop(*port), u128::from(*weight))).collect())
}

fn group(groups: &Groups, id: GroupId) -> &Group {
    groups.group(id).expect("it is used")
}

fn buckets_of(group: &Group, hop: HopId) -> usize {
    group.buckets().iter().filter(|other| **other == hop).count()
}

/// The hops of hashes that stand for all of the hash space.
fn samples(group: &Group) -> Vec<HopId> {
    (0..=MAX_BUCKETS as u64 - 1).map(|part| group.select(part << 52 | 0xf_ffff)).collect()
}

fn weights() -> impl Strategy<Value = Vec<(PortId, u64)>> {
    let weight = prop_oneof![3 => 1u64..4, 1 => 1u64..65_536];
    proptest::collection::btree_map(0u32..40, weight, 2..12).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_hop_gets_its_exact_part(weights in weights(), seed in any::<u64>()) {
        let mut groups = Groups::new(seed, 8);
        let shares = shares(&weights);
        let id = groups.acquire(&shares, None).unwrap();
        let group = group(&groups, id);
        let (count, total) = (group.buckets().len() as u128, group.hops().iter().map(|h| u128::from(h.1)).sum::<u128>());
        let mut rounded_up = Vec::new();
        let mut rounded_down = Vec::new();
        for (hop, weight) in group.hops() {
            let exact = u128::from(*weight) * count;
            let held = buckets_of(group, *hop) as u128;
            prop_assert!(held == exact / total || held == exact / total + 1);
            if held > exact / total { rounded_up.push(exact % total) } else { rounded_down.push(exact % total) }
        }
        // Largest remainder: nobody who was rounded down had more of one than somebody who was rounded up.
        if let (Some(least), Some(most)) = (rounded_up.iter().min(), rounded_down.iter().max()) {
            prop_assert!(least >= most);
        }
    }

    #[test]
    fn a_hop_that_leaves_moves_no_flow_of_another(weights in weights(), leaving in any::<proptest::sample::Index>()) {
        let mut groups = Groups::new(7, 64);
        let mut left = weights;
        let mut id = groups.acquire(&shares(&left), None).unwrap();
        while left.len() > 1 {
            let gone = left.remove(leaving.index(left.len()));
            let before = samples(group(&groups, id));
            let gone = groups.hop_ids[&hop(gone.0)];
            let next = groups.acquire(&shares(&left), Some(id)).unwrap();
            groups.release(id);
            id = next;
            for (before, after) in before.iter().zip(samples(group(&groups, id))) {
                prop_assert!(after != gone);
                prop_assert!(*before == gone || *before == after);
            }
        }
    }

    #[test]
    fn a_hop_that_comes_takes_no_more_than_its_part(weights in weights()) {
        let mut groups = Groups::new(7, 64);
        let (last, others) = weights.split_last().unwrap();
        let old = groups.acquire(&shares(others), None).unwrap();
        let before = samples(group(&groups, old));
        let new = groups.acquire(&shares(&weights), Some(old)).unwrap();
        let newcomer = groups.hop_ids[&hop(last.0)];
        let after = samples(group(&groups, new));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let taken = after.iter().filter(|hop| **hop == newcomer).count();
        // Old hops may exchange a bucket each for the sake of exact quotas.
        let bucket = MAX_BUCKETS / group(&groups, new).buckets().len();
        prop_assert!(moved <= taken + weights.len() * bucket, "{} moved, {} taken", moved, taken);
    }
}

#[test]
fn equal_hops_share_a_group_whatever_their_form() {
    let mut groups = Groups::new(1, 8);
    let one = groups.acquire(&shares(&[(1, 10), (2, 20)]), None).unwrap();
    let same = groups.acquire(&shares(&[(2, 1), (1, 1), (2, 1)]), None).unwrap();
    let other = groups.acquire(&shares(&[(1, 1), (2, 1)]), None).unwrap();
    assert_eq!(one, same);
    assert_ne!(one, other);
    groups.release(one);
    assert!(groups.group(one).is_some(), "there is another use");
    groups.release(one);
    assert!(groups.group(one).is_none());
}

#[test]
fn ids_are_never_given_again() {
    let mut groups = Groups::new(1, 8);
    let first = groups.acquire(&shares(&[(1, 1)]), None).unwrap();
    let hop_one = groups.hop_ids[&hop(1)];
    groups.release(first);
    assert_eq!(groups.hop(hop_one), Some(&hop(1)), "flows may still remember it");
    for port in 2..MAX_IDLE_HOPS as u32 + 10 {
        let id = groups.acquire(&shares(&[(port, 1)]), None).unwrap();
        assert_ne!(id, first);
        groups.release(id);
    }
    assert_eq!(groups.hop(hop_one), None, "idle hops are forgotten at the limit");
    let again = groups.acquire(&shares(&[(1, 1)]), None).unwrap();
    assert_ne!(groups.hop_ids[&hop(1)], hop_one);
    assert_ne!(again, first);
}

#[test]
fn at_the_limit_known_hops_are_still_served() {
    let mut groups = Groups::new(1, 2);
    let both = groups.acquire(&shares(&[(1, 1), (2, 1)]), None).unwrap();
    let one = groups.acquire(&shares(&[(1, 1)]), None).unwrap();
    assert!(!groups.has_room(&shares(&[(3, 1)]), None));
    assert_eq!(groups.acquire(&shares(&[(3, 1)]), None), Err(GroupLimit));
    assert!(groups.has_room(&shares(&[(1, 1)]), None));
    assert_eq!(groups.acquire(&shares(&[(1, 1)]), Some(both)), Ok(one));
    // A group that only its follower uses makes room for it.
    let next = groups.acquire(&shares(&[(2, 1), (3, 1)]), Some(both)).unwrap();
    groups.release(both);
    assert_eq!(groups.ids().map(|(id, _)| id).collect::<Vec<_>>(), [one, next]);
}

#[test]
fn the_seed_decides_who_gets_which_bucket() {
    let of = |seed| {
        let mut groups = Groups::new(seed, 2);
        let id = groups.acquire(&shares(&[(1, 1), (2, 1)]), None).unwrap();
        group(&groups, id).buckets().to_vec()
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn huge_weights_are_rounded_and_stay_positive() {
    let normal = normalize(vec![(hop(1), 1), (hop(2), (1 << 80) + 1)]);
    assert_eq!(normal[0].1, 1);
    assert!(u128::from(normal[1].1) <= MAX_WEIGHT);
    assert_eq!(normalize(vec![(hop(2), 6), (hop(1), 4), (hop(2), 2)]), vec![(hop(1), 1), (hop(2), 2)]);
}
