//! Next-hop groups: which hop a flow takes.
//!
//! A group divides the hash space into 256 to 4096 buckets and gives each hop as many as its weight says, to the bucket
//! (largest remainder; a hop whose part is below half a bucket may get none). A group that follows another one keeps its buckets: when hops leave, only their buckets find new hops;
//! when hops come, they get their part and no more moves (the idea of resilient next-hop groups in Linux, without
//! timers: a flow remembers its hop itself).
use netfast_low::hash::Seed;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::{Family, PortId, prefix::number};

/// The fewest and the most buckets of a group with several hops.
const MIN_BUCKETS: usize = 256;
const MAX_BUCKETS: usize = 4096;
/// Buckets for each hop, and for each unit of weight, if there can be so many.
const BUCKETS_PER_HOP: usize = 32;
const BUCKETS_PER_WEIGHT: u64 = 8;
/// Sums of weights are kept below this, so that shares of shares cannot overflow; beyond it they are rounded.
const MAX_WEIGHT: u128 = 1 << 32;
/// Hops that no group uses are forgotten when there are more than this; their ids are never given again.
const MAX_IDLE_HOPS: usize = 4096;

/// A next hop: which port, which neighbour there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// The port to leave through.
    pub port: PortId,
    /// The neighbour to send to; none: the packet's destination.
    pub gateway: Option<IpAddr>,
    /// Path MTU in bytes, if it is known to be below the port's.
    pub mtu: Option<u32>,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(gateway) = self.gateway {
            write!(f, "via {gateway} ")?;
        }
        write!(f, "port {}", self.port)?;
        self.mtu.map_or(Ok(()), |mtu| write!(f, " mtu {mtu}"))
    }
}

/// A hop's number: never means another hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HopId(u32);

impl HopId {
    /// As a number, to be stored.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// From [`HopId::to_bits`].
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// A group's number: never means another group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u32);

impl GroupId {
    /// As a number, to be stored.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// From [`GroupId::to_bits`].
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Hops of a group and their weights.
type WeightedHops = Vec<(HopId, u64)>;

/// Hops and their weights, which have no common divisor; each hop once, in order.
pub(crate) type Shares = Vec<(Hop, u64)>;

/// A next-hop group; it never changes.
#[derive(Clone, Debug)]
pub struct Group {
    hops: WeightedHops,
    /// As many as a power of two.
    buckets: Vec<HopId>,
    /// Some hop has no gateway.
    on_link: bool,
    /// Routes that use it.
    uses: usize,
}

impl Group {
    /// The hop of a flow with this hash, whose upper bits decide: shift a hash of 32 bits up by 32.
    #[inline]
    pub fn select(&self, hash: u64) -> HopId {
        let bucket = (u128::from(hash) * self.buckets.len() as u128) >> 64;
        self.buckets[bucket as usize]
    }

    /// True when the hop is one of the group's, so that a flow may stay with it.
    pub fn contains(&self, hop: HopId) -> bool {
        self.hops.iter().any(|(other, _)| *other == hop)
    }

    /// True when one of its hops is the packet's destination itself: it has no gateway.
    #[inline]
    pub fn is_on_link(&self) -> bool {
        self.on_link
    }

    /// Hops and weights, without common divisor.
    pub fn hops(&self) -> &[(HopId, u64)] {
        &self.hops
    }

    /// The hop of each equal part of the hash space.
    pub fn buckets(&self) -> &[HopId] {
        &self.buckets
    }
}

#[derive(Clone, Debug)]
struct HopEntry {
    hop: Hop,
    /// Groups that have it.
    uses: usize,
}

/// There are as many groups as there may be, or ids have run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupLimit;

/// All groups and hops.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    seed: Seed,
    limit: usize,
    hop_ids: BTreeMap<Hop, HopId>,
    hops: BTreeMap<HopId, HopEntry>,
    idle_hops: usize,
    groups: BTreeMap<GroupId, Group>,
    by_hops: BTreeMap<WeightedHops, Vec<GroupId>>,
    next_hop: u32,
    next_group: u32,
    /// What the last group that followed another became: many routes do the same step.
    last_step: Option<(GroupId, WeightedHops, GroupId)>,
}

impl Groups {
    pub(crate) fn new(seed: u64, limit: usize) -> Self {
        Self {
            seed: Seed::new(seed),
            limit,
            hop_ids: BTreeMap::new(),
            hops: BTreeMap::new(),
            idle_hops: 0,
            groups: BTreeMap::new(),
            by_hops: BTreeMap::new(),
            next_hop: 0,
            next_group: 0,
            last_step: None,
        }
    }

    #[inline]
    pub(crate) fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    pub(crate) fn hop(&self, id: HopId) -> Option<&Hop> {
        self.hops.get(&id).map(|entry| &entry.hop)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.groups.iter().map(|(id, group)| (*id, group))
    }

    /// True when [`Groups::acquire`] would find or make a group.
    pub(crate) fn has_room(&self, shares: &Shares, previous: Option<GroupId>) -> bool {
        !self.is_full(previous) || self.known(shares).is_some_and(|hops| self.by_hops.contains_key(&hops))
    }

    /// True when there is no room, not even that of a group that one is to follow and that nobody else uses.
    fn is_full(&self, previous: Option<GroupId>) -> bool {
        let leaves = previous.and_then(|id| self.groups.get(&id)).is_some_and(|group| group.uses == 1);
        self.groups.len() - usize::from(leaves) >= self.limit
    }

    /// A group of these hops, with one use more; it follows `previous`, whose use the caller is about to release.
    pub(crate) fn acquire(
        &mut self,
        shares: &Shares,
        previous: Option<GroupId>,
    ) -> Result<GroupId, GroupLimit> {
        self.forget_idle_hops();
        if self.next_hop.checked_add(shares.len() as u32).is_none() {
            return Err(GroupLimit);
        }
        let hops: Vec<_> = shares.iter().map(|(hop, weight)| (self.hop_id(*hop), *weight)).collect();
        let id = self.find_or_make(hops, previous)?;
        self.groups.get_mut(&id).expect("found or made just now").uses += 1;
        Ok(id)
    }

    /// Takes a use away; a group without one is gone.
    pub(crate) fn release(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.uses -= 1;
        if group.uses > 0 {
            return;
        }
        let hops = self.groups.remove(&id).map(|group| group.hops).unwrap_or_default();
        if let Some(same) = self.by_hops.get_mut(&hops) {
            same.retain(|other| *other != id);
            if same.is_empty() {
                self.by_hops.remove(&hops);
            }
        }
        for (hop, _) in hops {
            if let Some(entry) = self.hops.get_mut(&hop) {
                entry.uses -= 1;
                self.idle_hops += usize::from(entry.uses == 0);
            }
        }
        self.forget_idle_hops();
    }

    /// Bytes that groups and hops occupy, about.
    pub(crate) fn memory(&self) -> usize {
        let groups = self.groups.values().map(|group| {
            let hops = group.hops.capacity() * size_of::<(HopId, u64)>();
            size_of::<Group>() + 2 * hops + group.buckets.capacity() * size_of::<HopId>()
        });
        groups.sum::<usize>() + self.hops.len() * (size_of::<HopEntry>() + size_of::<(Hop, HopId)>())
    }

    fn find_or_make(&mut self, hops: WeightedHops, previous: Option<GroupId>) -> Result<GroupId, GroupLimit> {
        let before = previous.and_then(|id| Some((id, self.groups.get(&id)?)));
        // A group that shares no hop has nothing to keep.
        let before = before.filter(|(_, group)| hops.iter().any(|(hop, _)| group.contains(*hop)));
        let same = self.by_hops.get(&hops).map_or(&[][..], Vec::as_slice);
        let Some((before, group)) = before else {
            return match same.first() {
                Some(id) => Ok(*id),
                None => self.make(hops, None, previous),
            };
        };
        if group.hops == hops {
            return Ok(before);
        }
        match &self.last_step {
            Some((from, by, to)) if *from == before && *by == hops && self.groups.contains_key(to) => {
                return Ok(*to);
            }
            _ => {}
        }
        let buckets = self.buckets(&hops, Some(group));
        let known =
            same.iter().copied().find(|id| self.groups.get(id).is_some_and(|other| other.buckets == buckets));
        let id = match (known, same.first()) {
            (Some(id), _) => id,
            // At the limit flows may move rather than packets be lost.
            (None, Some(id)) if self.is_full(previous) => *id,
            _ => self.make(hops.clone(), Some(buckets), previous)?,
        };
        self.last_step = Some((before, hops, id));
        Ok(id)
    }

    fn make(
        &mut self,
        hops: WeightedHops,
        buckets: Option<Vec<HopId>>,
        previous: Option<GroupId>,
    ) -> Result<GroupId, GroupLimit> {
        if self.is_full(previous) || self.next_group == u32::MAX {
            return Err(GroupLimit);
        }
        let buckets = buckets.unwrap_or_else(|| self.buckets(&hops, None));
        for (hop, _) in &hops {
            if let Some(entry) = self.hops.get_mut(hop) {
                self.idle_hops -= usize::from(entry.uses == 0);
                entry.uses += 1;
            }
        }
        let has_no_gateway =
            |id| self.hops.get(id).is_some_and(|entry: &HopEntry| entry.hop.gateway.is_none());
        let on_link = hops.iter().any(|(id, _)| has_no_gateway(id));
        let id = GroupId(self.next_group);
        self.next_group += 1;
        self.by_hops.entry(hops.clone()).or_default().push(id);
        self.groups.insert(id, Group { hops, buckets, on_link, uses: 0 });
        Ok(id)
    }

    fn hop_id(&mut self, hop: Hop) -> HopId {
        if let Some(id) = self.hop_ids.get(&hop) {
            return *id;
        }
        let id = HopId(self.next_hop);
        self.next_hop += 1;
        self.hop_ids.insert(hop, id);
        self.hops.insert(id, HopEntry { hop, uses: 0 });
        self.idle_hops += 1;
        id
    }

    /// The ids of hops, if all of them are known.
    fn known(&self, shares: &Shares) -> Option<WeightedHops> {
        shares.iter().map(|(hop, weight)| Some((*self.hop_ids.get(hop)?, *weight))).collect()
    }

    fn forget_idle_hops(&mut self) {
        if self.idle_hops <= MAX_IDLE_HOPS {
            return;
        }
        self.hops.retain(|_, entry| entry.uses > 0);
        self.hop_ids.retain(|_, id| self.hops.contains_key(id));
        self.idle_hops = 0;
    }

    /// Who gets which bucket, as near as can be to what `before` says.
    fn buckets(&self, hops: &[(HopId, u64)], before: Option<&Group>) -> Vec<HopId> {
        if let [(hop, _)] = hops {
            return vec![*hop];
        }
        let total: u64 = hops.iter().map(|(_, weight)| *weight).sum();
        let by_weight = total.saturating_mul(BUCKETS_PER_WEIGHT).min(MAX_BUCKETS as u64) as usize;
        let wanted = by_weight.max(hops.len().saturating_mul(BUCKETS_PER_HOP)).min(MAX_BUCKETS);
        let wanted = wanted.next_power_of_two().max(MIN_BUCKETS);
        let old = before.map_or(&[][..], |group| &group.buckets);
        let count = wanted.max(old.len());
        let mut owners: Vec<Option<usize>> = vec![None; count];
        if !old.is_empty() {
            let position = |hop: HopId| hops.iter().position(|(other, _)| *other == hop);
            let each = count / old.len();
            owners.chunks_mut(each).zip(old).for_each(|(part, hop)| part.fill(position(*hop)));
        }
        // Nothing moves between hops that were there before, when others leave and no part shrinks.
        let only_leaving = before.is_some_and(|group| {
            let old_total: u64 = group.hops.iter().map(|(_, weight)| *weight).sum();
            hops.iter().all(|(hop, weight)| {
                let old = group.hops.iter().find(|(other, _)| other == hop);
                let grows = |old: u64| {
                    u128::from(*weight) * u128::from(old_total) >= u128::from(old) * u128::from(total)
                };
                old.is_some_and(|(_, old)| grows(*old))
            })
        });
        let weights: Vec<u64> = hops.iter().map(|(_, weight)| *weight).collect();
        let held = count_owned(&owners, hops.len());
        let quotas = quotas(&weights, count, &held, only_leaving);
        let keys: Vec<[u64; 2]> = hops.iter().map(|(hop, _)| self.hop_key(*hop)).collect();
        let score = |bucket: usize, hop: usize| self.score(bucket, keys[hop]);
        take_surplus(&mut owners, &held, &quotas, score);
        give_free(&mut owners, &quotas, score);
        owners.into_iter().map(|owner| hops[owner.unwrap_or(0)].0).collect()
    }

    /// What a hop is, so that the same hops get the same buckets in every run.
    fn hop_key(&self, id: HopId) -> [u64; 2] {
        let Some(entry) = self.hops.get(&id) else { return [u64::from(id.0), 0] };
        let Hop { port, gateway, mtu } = entry.hop;
        let address = gateway.map_or(0, number);
        let family = gateway.map_or(0, |gateway| 1 + u64::from(Family::of(gateway) == Family::V6));
        let words =
            [u64::from(port), address as u64, (address >> 64) as u64, family, mtu.map_or(0, u64::from)];
        [self.seed.hash5(&words), u64::from(port)]
    }

    fn score(&self, bucket: usize, key: [u64; 2]) -> u64 {
        self.seed.hash5(&[bucket as u64, key[0], key[1], 0, 1])
    }
}

fn count_owned(owners: &[Option<usize>], hops: usize) -> Vec<usize> {
    let mut counts = vec![0; hops];
    owners.iter().flatten().for_each(|owner| counts[*owner] += 1);
    counts
}

/// Takes from each hop the buckets above its quota, those that suit it least first.
fn take_surplus(
    owners: &mut [Option<usize>],
    held: &[usize],
    quotas: &[usize],
    score: impl Fn(usize, usize) -> u64,
) {
    for (hop, (held, quota)) in held.iter().zip(quotas).enumerate() {
        let Some(surplus) = held.checked_sub(*quota).filter(|surplus| *surplus > 0) else { continue };
        let owned = (0..owners.len()).filter(|bucket| owners[*bucket] == Some(hop));
        let mut owned: Vec<(u64, usize)> = owned.map(|bucket| (score(bucket, hop), bucket)).collect();
        owned.sort_unstable();
        owned.iter().take(surplus).for_each(|(_, bucket)| owners[*bucket] = None);
    }
}

/// Gives each free bucket to the hop below its quota that it suits best.
fn give_free(owners: &mut [Option<usize>], quotas: &[usize], score: impl Fn(usize, usize) -> u64) {
    let held = count_owned(owners, quotas.len());
    let mut missing: Vec<usize> =
        quotas.iter().zip(&held).map(|(quota, held)| quota.saturating_sub(*held)).collect();
    for (bucket, owner) in owners.iter_mut().enumerate().filter(|(_, owner)| owner.is_none()) {
        let waiting = (0..missing.len()).filter(|hop| missing[*hop] > 0);
        if let Some(best) = waiting.max_by_key(|hop| score(bucket, *hop)) {
            missing[best] -= 1;
            *owner = Some(best);
        }
    }
}

/// How many of `count` buckets each weight gets: the exact part, rounded by the largest remainder.
///
/// With `keep_held` none gets less than it holds. Parts of equal remainder go to those that hold more.
fn quotas(weights: &[u64], count: usize, held: &[usize], keep_held: bool) -> Vec<usize> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum::<u128>().max(1);
    let exact = |hop: usize| u128::from(weights[hop]) * count as u128;
    let at_least = |hop: usize| if keep_held { held[hop] } else { 0 };
    let mut quotas: Vec<usize> =
        (0..weights.len()).map(|hop| ((exact(hop) / total) as usize).max(at_least(hop))).collect();
    let missing = |hop: usize, quota: usize| exact(hop) as i128 - (quota as u128 * total) as i128;
    let mut sum: usize = quotas.iter().sum();
    while sum < count {
        let neediest = (0..quotas.len()).max_by_key(|hop| {
            let (hop, quota) = (*hop, quotas[*hop]);
            (missing(hop, quota), held[hop] > quota, std::cmp::Reverse(hop))
        });
        let Some(hop) = neediest else { break };
        quotas[hop] += 1;
        sum += 1;
    }
    while sum > count {
        let givers = (0..quotas.len()).filter(|hop| quotas[*hop] > at_least(*hop));
        let Some(hop) = givers.min_by_key(|hop| (missing(*hop, quotas[*hop]), *hop)) else { break };
        quotas[hop] -= 1;
        sum -= 1;
    }
    quotas
}

/// Puts shares into the form in which equal ones are equal: each hop once, in order, no common divisor, sums bounded.
pub(crate) fn normalize(mut shares: Vec<(Hop, u128)>) -> Shares {
    shares.sort_unstable_by_key(|(hop, _)| *hop);
    shares.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 += later.1;
        }
        same
    });
    let divisor =
        shares.iter().fold(0, |divisor, (_, weight)| greatest_common_divisor(divisor, *weight)).max(1);
    let total: u128 = shares.iter().map(|(_, weight)| weight / divisor).sum();
    let too_large = total > MAX_WEIGHT;
    let scale = |weight: u128| if too_large { (weight * MAX_WEIGHT / total).max(1) } else { weight };
    shares.into_iter().map(|(hop, weight)| (hop, scale(weight / divisor) as u64)).collect()
}

pub(crate) fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
