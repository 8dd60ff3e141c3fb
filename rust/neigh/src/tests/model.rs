//! The table against one that is written the obvious way, over random operations.
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

type Key = (u32, IpAddr);

const LIMITS: NeighbourConfig = NeighbourConfig {
    max_entries: 6,
    queue_packets: 3,
    queue_bytes: 300,
    max_pending: 4,
    pending_timeout: Duration::from_secs(3),
    multicast_probes: 3,
    unicast_probes: 3,
    retransmit: Duration::from_secs(1),
    reachable: Duration::from_secs(30),
    delay: Duration::from_secs(5),
    stale_timeout: Duration::from_secs(60),
    // Whether one is kept would depend on when exactly its timer fires.
    keep: 0,
    lock: Duration::from_secs(1),
};

#[derive(Clone, Debug)]
struct Neighbour {
    state: State,
    mac: Option<Mac>,
    router: bool,
    /// Number and length of each packet that waits.
    queue: Vec<(u32, usize)>,
    /// Order of coming into the state.
    order: u64,
    /// When its timer was set, and what it was set to.
    timer: (Instant, Instant),
    since: Instant,
    confirmed: Instant,
    updated: Instant,
    probes: u8,
}

/// What the table should hold.
#[derive(Default)]
struct Model {
    entries: HashMap<Key, Neighbour>,
    order: u64,
    reachable: Duration,
}

impl Model {
    fn known(&self) -> usize {
        self.entries.values().filter(|entry| entry.state.is_known()).count()
    }

    /// The one that is in a state for longest. Which of those that came into it at the same moment is first, the table says:
    /// it has let that one go.
    fn oldest(&self, state: State, table: &Neighbours) -> Option<Key> {
        let all = || self.entries.iter().filter(|(_, entry)| entry.state == state);
        let since = all().map(|(_, entry)| entry.since).min()?;
        let first = all().filter(|(_, entry)| entry.since == since);
        first
            .min_by_key(|(key, entry)| (table.entry(key.0, key.1).is_some(), entry.order))
            .map(|(key, _)| *key)
    }

    /// Room for one more known neighbour.
    fn make_room(&mut self, table: &Neighbours) -> bool {
        if self.known() < LIMITS.max_entries {
            return true;
        }
        match self.oldest(State::Stale, table) {
            Some(key) => self.entries.remove(&key).is_some(),
            None => false,
        }
    }

    fn enter(&mut self, now: Instant, key: Key, state: State) {
        self.order += 1;
        let order = self.order;
        let reachable = self.reachable;
        let entry = self.entries.entry(key).or_insert(Neighbour {
            state,
            mac: None,
            router: false,
            queue: Vec::new(),
            order,
            timer: (now, now),
            since: now,
            confirmed: Instant::ZERO,
            updated: Instant::ZERO,
            probes: 0,
        });
        (entry.state, entry.order, entry.since) = (state, order, now);
        if state != State::Failed {
            entry.probes = u8::from(matches!(state, State::Incomplete | State::Probe));
        }
        let after = match state {
            State::Incomplete | State::Probe => LIMITS.retransmit,
            State::Reachable => reachable,
            State::Delay => LIMITS.delay,
            State::Stale | State::Failed => LIMITS.stale_timeout,
            State::Permanent => Duration::MAX,
        };
        entry.timer = (now, now + after);
        if !state.is_known() {
            entry.mac = None;
        }
    }

    fn hold(
        &mut self,
        now: Instant,
        key: Key,
        packet: (u32, usize),
        table: &Neighbours,
    ) -> Vec<(u32, Released)> {
        let (number, length) = packet;
        if let Some(Neighbour { mac: Some(mac), state, .. }) = self.entries.get(&key).cloned() {
            if state == State::Stale {
                self.enter(now, key, State::Delay);
            }
            return vec![(number, Released::Known(mac))];
        }
        if length as u64 > LIMITS.queue_bytes {
            return vec![(number, Released::QueueFull)];
        }
        let mut out = Vec::new();
        if !self.entries.contains_key(&key) {
            while self.entries.len() - self.known() >= LIMITS.max_pending {
                let oldest =
                    self.oldest(State::Failed, table).or(self.oldest(State::Incomplete, table)).unwrap();
                let gone = self.entries.remove(&oldest).unwrap();
                out.extend(gone.queue.iter().map(|&(number, _)| (number, Released::Displaced)));
            }
        }
        if self.entries.get(&key).is_none_or(|entry| entry.state == State::Failed) {
            self.enter(now, key, State::Incomplete);
        }
        let packets = &mut self.entries.get_mut(&key).unwrap().queue;
        packets.push((number, length));
        while packets.len() > LIMITS.queue_packets
            || packets.iter().map(|p| p.1 as u64).sum::<u64>() > LIMITS.queue_bytes
        {
            out.push((packets.remove(0).0, Released::QueueFull));
        }
        out
    }

    /// A link address is learned; the packets that go there.
    fn learn(&mut self, now: Instant, key: Key, mac: Mac, state: State, table: &Neighbours) -> Vec<u32> {
        let is_known = self.entries.get(&key).is_some_and(|entry| entry.mac.is_some());
        if !is_known && !self.make_room(table) {
            return Vec::new();
        }
        let packets = self.entries.get_mut(&key).map_or(Vec::new(), |entry| std::mem::take(&mut entry.queue));
        let state = if state == State::Stale && !packets.is_empty() { State::Delay } else { state };
        self.enter(now, key, state);
        let entry = self.entries.get_mut(&key).unwrap();
        (entry.mac, entry.updated) = (Some(mac), now);
        if state == State::Reachable {
            entry.confirmed = now;
        }
        packets.into_iter().map(|(number, _)| number).collect()
    }

    fn advertise(&mut self, now: Instant, key: Key, said: &Advertised, table: &Neighbours) -> Vec<u32> {
        let Some(entry) = self.entries.get(&key).cloned() else { return Vec::new() };
        let differs = said.mac.is_some() && said.mac != entry.mac;
        let mut packets = Vec::new();
        match (entry.state, said.mac) {
            (State::Permanent | State::Failed, _) | (State::Incomplete, None) => return packets,
            (State::Incomplete, Some(mac)) => {
                let state = if said.solicited { State::Reachable } else { State::Stale };
                packets = self.learn(now, key, mac, state, table);
            }
            (state, Some(_)) if differs && !said.overrides => {
                if state == State::Reachable {
                    self.enter(now, key, State::Stale);
                }
                return packets;
            }
            (_, Some(mac)) if differs => {
                let state = if said.solicited { State::Reachable } else { State::Stale };
                self.learn(now, key, mac, state, table);
            }
            _ if said.solicited => self.confirm(now, key),
            _ => {}
        }
        let entry = self.entries.get_mut(&key).unwrap();
        entry.router = said.is_router.unwrap_or(entry.router);
        packets
    }

    fn confirm(&mut self, now: Instant, key: Key) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match entry.state {
            State::Stale | State::Delay | State::Probe => {
                self.enter(now, key, State::Reachable);
                self.entries.get_mut(&key).unwrap().confirmed = now;
            }
            State::Reachable => entry.confirmed = now,
            _ => {}
        }
    }

    /// Lets timers fire that must have, or that may have and did in the table: a wheel's are late by up to 6.4 % of what they
    /// were set to. Gives the packets of those that failed.
    fn pass(&mut self, now: Instant, table: &Neighbours) -> Vec<u32> {
        let mut back = Vec::new();
        loop {
            let next = self.entries.iter().filter(|(key, entry)| {
                let (set, due) = entry.timer;
                if entry.state == State::Permanent || due > now {
                    return false;
                }
                // A reachable one's timer is set again when it fires, which nobody sees.
                let (delay, due) = match entry.state {
                    State::Reachable => (self.reachable, due.max(entry.confirmed + self.reachable)),
                    _ => (due - set, due),
                };
                let latest = due + Duration::from_nanos(delay.as_nanos() / 63 * 4 + 1);
                let exact = entry.state == State::Incomplete;
                let shown = table.entry(key.0, key.1);
                let moved = shown.is_none_or(|shown| {
                    shown.state != entry.state || shown.probes != entry.probes || shown.since != entry.since
                });
                exact || latest <= now || moved
            });
            let Some(key) = next.min_by_key(|(_, entry)| (entry.timer.1, entry.order)).map(|(key, _)| *key)
            else {
                return back;
            };
            let reachable = self.reachable;
            let entry = self.entries.get_mut(&key).unwrap();
            let again = |entry: &mut Neighbour, after: Duration| entry.timer = (now, now + after);
            match entry.state {
                State::Incomplete if entry.since + LIMITS.pending_timeout <= now => {
                    back.extend(entry.queue.drain(..).map(|(number, _)| number));
                    self.enter(now, key, State::Failed);
                }
                State::Incomplete => {
                    let end = entry.since + LIMITS.pending_timeout;
                    if entry.probes < LIMITS.multicast_probes {
                        entry.probes += 1;
                    }
                    let next = now + LIMITS.retransmit;
                    entry.timer =
                        (now, if entry.probes < LIMITS.multicast_probes { next.min(end) } else { end });
                }
                State::Reachable if entry.confirmed + reachable <= now => self.enter(now, key, State::Stale),
                State::Reachable => entry.timer = (now, entry.confirmed + reachable),
                State::Stale => drop(self.entries.remove(&key)),
                State::Delay => self.enter(now, key, State::Probe),
                State::Probe if entry.probes < LIMITS.unicast_probes => {
                    entry.probes += 1;
                    again(entry, LIMITS.retransmit);
                }
                // Where there is no place for another one that failed it goes at once; whether there is one yet depends on
                // the order of timers of one moment.
                State::Probe if table.entry(key.0, key.1).is_some() => self.enter(now, key, State::Failed),
                State::Probe => drop(self.entries.remove(&key)),
                State::Failed => drop(self.entries.remove(&key)),
                State::Permanent => {}
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Hold(usize),
    Set(u8),
    Remove,
    Solicit(u8),
    Advertise(Option<u8>, bool, bool, bool),
    Confirm,
    Pass(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => (0..330usize).prop_map(Operation::Hold),
        1 => (0..3u8).prop_map(Operation::Set),
        1 => Just(Operation::Remove),
        4 => (0..3u8).prop_map(Operation::Solicit),
        6 => (prop::option::of(0..3u8), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(mac, solicited, overrides, router)| Operation::Advertise(mac, solicited, overrides, router)),
        1 => Just(Operation::Confirm),
        4 => (1..2_500u64).prop_map(Operation::Pass),
        1 => (2_500..40_000u64).prop_map(Operation::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_table_agrees_with_the_model_and_no_packet_is_lost(
        operations in prop::collection::vec((0..2u32, 0..8u8, operation()), 1..200),
    ) {
        // One reachable time for all of the test.
        let (mut table, mut now) = (table(LIMITS), at(1));
        let mut model = Model { reachable: table.reachable(), ..Model::default() };
        let (mut made, mut back) = (0u32, 0usize);
        for (port, last, operation) in operations {
            let key = (port, address(last));
            let mac = |number: u8| [2, 0, 0, 0, 0, number];
            match operation {
                Operation::Hold(length) => {
                    made += 1;
                    let mut out = Vec::new();
                    let waits = |table: &Neighbours| table.pending().any(|p| (p.port, p.address) == key);
                    let asked = waits(&table);
                    let new = table.hold(now, port, key.1, packet(made, length), true, |p, why| out.push((p.hot.flow, why)));
                    let expected = model.hold(now, key, (made, length), &table);
                    prop_assert_eq!(new.is_some(), waits(&table) && !asked);
                    back += out.len();
                    prop_assert_eq!(out, expected);
                }
                Operation::Set(number) => {
                    let is_known = model.entries.get(&key).is_some_and(|entry| entry.mac.is_some());
                    let result = table.set(port, key.1, mac(number));
                    if is_known || model.make_room(&table) {
                        let out = numbers(&result.unwrap().0);
                        back += out.len();
                        let queue = model.entries.get_mut(&key).map_or(Vec::new(), |entry| std::mem::take(&mut entry.queue));
                        prop_assert_eq!(out, queue.iter().map(|p| p.0).collect::<Vec<_>>());
                        model.enter(now, key, State::Permanent);
                        let entry = model.entries.get_mut(&key).unwrap();
                        (entry.mac, entry.updated) = (Some(mac(number)), now);
                    } else {
                        prop_assert!(result.is_err());
                    }
                }
                Operation::Remove => {
                    let removed = table.remove(port, key.1);
                    let stays = model.entries.get(&key).is_none_or(|entry| entry.state == State::Incomplete);
                    let entry = if stays { None } else { model.entries.remove(&key) };
                    prop_assert_eq!(removed.is_some(), entry.is_some_and(|entry| entry.mac.is_some()));
                }
                Operation::Solicit(number) => {
                    let out = numbers(&table.handle_solicitation(now, port, key.1, mac(number)).packets);
                    back += out.len();
                    let same = model.entries.get(&key).is_some_and(|entry| {
                        entry.state == State::Permanent || entry.mac == Some(mac(number))
                    });
                    let expected = if same { Vec::new() } else { model.learn(now, key, mac(number), State::Stale, &table) };
                    prop_assert_eq!(out, expected);
                }
                Operation::Advertise(number, solicited, overrides, router) => {
                    let said = Advertised { mac: number.map(mac), solicited, overrides, is_router: Some(router) };
                    let out = numbers(&table.handle_advertisement(now, port, key.1, &said).packets);
                    back += out.len();
                    prop_assert_eq!(out, model.advertise(now, key, &said, &table));
                }
                Operation::Confirm => {
                    table.confirm(now, port, key.1);
                    model.confirm(now, key);
                }
                Operation::Pass(millis) => {
                    now += Duration::from_millis(millis);
                    let mut out: Vec<u32> = failed(&mut table, now).into_iter().flat_map(|(_, packets)| packets).collect();
                    let mut expected = model.pass(now, &table);
                    back += out.len();
                    out.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(out, expected);
                }
            }
            prop_assert_eq!(made as usize, back + table.holding());
            let shown: HashMap<_, _> = table
                .iter()
                .map(|e| ((e.port, e.address), (e.state, e.mac, e.waiting, e.is_router)))
                .collect();
            let expected: HashMap<_, _> = model
                .entries
                .iter()
                .map(|(key, e)| (*key, (e.state, e.mac, e.queue.len(), e.router)))
                .collect();
            prop_assert_eq!(shown, expected);
            prop_assert_eq!(table.len(), model.known());
            prop_assert!(table.len() <= LIMITS.max_entries && table.total() - table.len() <= LIMITS.max_pending);
        }
        let counters = table.counters();
        let released = counters.resolved + counters.queue_full + counters.displaced + counters.expired;
        prop_assert_eq!(counters.held, released + table.holding() as u64);
    }
}
