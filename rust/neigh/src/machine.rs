//! The states of a neighbour (RFC 4861 7.3.2 and appendix C), and the timers between them.
use crate::config::NeighbourConfig;
use crate::entry::{Entry, Key, Mac, State};
use crate::list::List;
use crate::pending::Expired;
use crate::table::{Neighbours, is_unicast};
use netfast_buf::Skb;
use netfast_time::{Duration, Instant};
use std::net::IpAddr;

/// How long a choice of the reachable time holds (RFC 4861 6.3.4: a few hours).
const RANDOMISED_FOR: Duration = Duration::from_secs(7_200);

/// What an advertisement says (RFC 4861 4.4). An ARP reply is one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The link address, where it is told.
    pub mac: Option<Mac>,
    /// It is an answer: the way to the neighbour and back works.
    pub solicited: bool,
    /// It may take the place of another link address.
    pub overrides: bool,
    /// It comes from a router. `None` where nothing is said of that, as in ARP.
    pub is_router: Option<bool>,
}

/// What a message changed.
#[derive(Debug, Default)]
pub struct Update {
    /// What changed of the neighbour that it is about.
    pub change: Option<Change>,
    /// Packets that waited for it: send them to its link address.
    pub packets: Vec<Skb>,
    /// A stale neighbour that had to give way to it.
    pub displaced: Option<Entry>,
}

/// How a neighbour changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is known now; it was not before.
    Found {
        /// Its link address.
        mac: Mac,
    },
    /// It has another link address.
    Moved {
        /// That before.
        from: Mac,
        /// Its link address.
        mac: Mac,
        /// Somebody keeps the one before: [`Neighbours::keep_mac`].
        is_kept: bool,
    },
}

/// What time brings.
#[derive(Debug)]
#[non_exhaustive]
pub enum Due {
    /// A neighbour is to be asked.
    Solicit {
        /// The port that it is at.
        port: u32,
        /// Its address.
        address: IpAddr,
        /// Where to: to itself, or to all.
        mac: Option<Mac>,
    },
    /// A neighbour did not answer.
    Failed(Expired),
    /// A stale neighbour is forgotten.
    Removed(Entry),
}

impl Neighbours {
    /// A neighbour told its link address while it asked for something: a solicitation with that option, the sender of an ARP
    /// request (RFC 4861 7.2.3, RFC 826). It is remembered as stale, as it is not known whether it hears the node.
    pub fn handle_solicitation(&mut self, now: Instant, port: u32, address: IpAddr, mac: Mac) -> Update {
        let now = self.clock(now);
        let mut update = Update::default();
        if is_unicast(address) && !self.has(port, address, mac) {
            let key = Key { port, address };
            self.learn(now, self.find(&key), key, mac, State::Stale, &mut update);
        }
        update
    }

    /// A neighbour advertised itself (RFC 4861 7.2.5). One that nobody asked for is not remembered.
    pub fn handle_advertisement(
        &mut self,
        now: Instant,
        port: u32,
        address: IpAddr,
        said: &Advertised,
    ) -> Update {
        let now = self.clock(now);
        let mut update = Update::default();
        let key = Key { port, address };
        let Some(at) = self.find(&key) else { return update };
        let slot = &mut self.slots[at as usize];
        match (slot.state, said.mac) {
            (State::Permanent | State::Failed, _) | (State::Incomplete, None) => return update,
            (State::Incomplete, Some(mac)) => {
                let state = if said.solicited { State::Reachable } else { State::Stale };
                self.learn(now, Some(at), key, mac, state, &mut update);
                self.told(at, said);
                return update;
            }
            (state, Some(mac)) if mac != slot.mac && !said.overrides => {
                if state == State::Reachable {
                    self.change(at, State::Stale);
                }
                return update;
            }
            _ => {}
        }
        let other = said.mac.filter(|mac| *mac != slot.mac);
        let state = match (said.solicited, other) {
            (true, _) => State::Reachable,
            (false, Some(_)) => State::Stale,
            (false, None) => slot.state,
        };
        if let Some(mac) = other {
            self.learn(now, Some(at), key, mac, state, &mut update);
        } else if said.solicited {
            self.confirm_at(now, at);
        }
        self.told(at, said);
        update
    }

    fn told(&mut self, at: u32, said: &Advertised) {
        let slot = &mut self.slots[at as usize];
        slot.is_router = said.is_router.unwrap_or(slot.is_router);
    }

    /// A message of ARP: as [`Neighbours::handle_advertisement`], but a link address that changed a moment ago is not changed
    /// again ([`NeighbourConfig::lock`]): where two answer, the first one counts.
    pub fn handle_arp(&mut self, now: Instant, port: u32, address: IpAddr, said: &Advertised) -> Update {
        let now = self.clock(now);
        if let Some(at) = self.find(&Key { port, address }) {
            let slot = &self.slots[at as usize];
            let differs = said.mac.is_some_and(|mac| mac != slot.mac);
            if slot.state.is_known() && differs && slot.updated + self.config.lock > now {
                self.counters.locked += 1;
                return Update::default();
            }
        }
        self.handle_advertisement(now, port, address, said)
    }

    /// The upper layer knows that what was sent to a neighbour arrived (RFC 4861 7.3.1).
    pub fn confirm(&mut self, now: Instant, port: u32, address: IpAddr) {
        let now = self.clock(now);
        if let Some(at) = self.find(&Key { port, address }) {
            self.confirm_at(now, at);
        }
    }

    fn confirm_at(&mut self, now: Instant, at: u32) {
        let slot = &mut self.slots[at as usize];
        match slot.state {
            State::Permanent | State::Incomplete | State::Failed => return,
            // Its timer looks at the time of the last confirmation when it fires.
            State::Reachable => {}
            _ => self.change(at, State::Reachable),
        }
        self.slots[at as usize].confirmed = now;
    }

    /// A packet was sent to a neighbour: a stale one is asked in a while whether it is still there.
    #[inline]
    pub fn touch(&mut self, now: Instant, slot: u32) {
        if self.slots.get(slot as usize).is_some_and(|slot| slot.state == State::Stale) {
            self.clock(now);
            self.change(slot, State::Delay);
        }
    }

    /// Neighbours whose link address was found out: all that are known but those that were set.
    pub fn found(&self) -> usize {
        self.known - self.permanent
    }

    /// How many neighbours would turn to [`State::Delay`] if a packet were sent to them.
    pub fn stale(&self) -> usize {
        self.stale.len()
    }

    /// The link address of a neighbour is another one, or the first.
    fn learn(
        &mut self,
        now: Instant,
        found: Option<u32>,
        key: Key,
        mac: Mac,
        state: State,
        update: &mut Update,
    ) {
        let is_known = found.is_some_and(|at| self.slots[at as usize].state.is_known());
        if !is_known {
            match self.make_room(key.address) {
                Ok(displaced) => update.displaced = displaced,
                Err(_) => return,
            }
        }
        let at = found.unwrap_or_else(|| self.insert(key, State::Failed));
        let slot = &mut self.slots[at as usize];
        update.change = Some(match is_known {
            true => Change::Moved { from: slot.mac, mac, is_kept: slot.is_kept },
            false => Change::Found { mac },
        });
        (slot.mac, slot.updated, slot.is_kept) = (mac, now, false);
        if state == State::Reachable {
            slot.confirmed = now;
        }
        self.counters.set += 1;
        update.packets = self.take_queue(at);
        self.counters.resolved += update.packets.len() as u64;
        // Who sends what waited uses it.
        let used = state == State::Stale && !update.packets.is_empty();
        self.change(at, if used { State::Delay } else { state });
    }

    /// A neighbour is asked for.
    pub(crate) fn begin(&mut self, at: u32, asks: bool) {
        self.change(at, State::Incomplete);
        self.slots[at as usize].probes = u8::from(asks);
        self.counters.solicited += u64::from(asks);
        self.set_timer(at);
    }

    /// What time brought, one thing after the other: ask until there is nothing. Looks at no more timers than `budget` has,
    /// which they are taken from; what is left then is due at once ([`Neighbours::next_timeout`]).
    pub fn poll(&mut self, now: Instant, budget: &mut usize) -> Option<Due> {
        self.clock(now);
        while *budget > 0 {
            let fired = self.timers.pop_expired(self.now)?;
            *budget -= 1;
            let slot = &mut self.slots[fired.payload as usize];
            slot.timer = None;
            if let Some(due) = self.fire(fired.payload) {
                return Some(due);
            }
        }
        None
    }

    /// When [`Neighbours::poll`] has something to do, if nothing changes.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next_expiry()
    }

    fn fire(&mut self, at: u32) -> Option<Due> {
        let (config, now) = (self.config, self.now);
        let slot = &self.slots[at as usize];
        match slot.state {
            State::Incomplete if slot.since + config.pending_timeout <= now => Some(self.fail(at)),
            State::Incomplete => {
                if (1..config.multicast_probes).contains(&slot.probes) {
                    return Some(self.ask(at, None));
                }
                self.set_timer(at);
                None
            }
            State::Reachable => {
                if slot.confirmed + self.reachable() <= now {
                    self.change(at, State::Stale);
                } else {
                    self.set_timer(at);
                }
                None
            }
            State::Stale if self.known > config.keep => {
                let entry = slot.entry(at);
                self.remove_at(at);
                self.counters.stale_removed += 1;
                Some(Due::Removed(entry))
            }
            State::Stale => {
                self.set_timer(at);
                None
            }
            State::Delay => {
                let mac = slot.mac;
                self.change(at, State::Probe);
                Some(self.ask(at, Some(mac)))
            }
            State::Probe if slot.probes < config.unicast_probes => {
                let mac = slot.mac;
                Some(self.ask(at, Some(mac)))
            }
            State::Probe => Some(self.fail(at)),
            State::Failed => {
                self.remove_at(at);
                None
            }
            State::Permanent => None,
        }
    }

    fn ask(&mut self, at: u32, mac: Option<Mac>) -> Due {
        self.slots[at as usize].probes += 1;
        self.counters.solicited += 1;
        self.set_timer(at);
        let key = self.slots[at as usize].key;
        Due::Solicit { port: key.port, address: key.address, mac }
    }

    fn fail(&mut self, at: u32) -> Due {
        let packets = self.take_queue(at);
        self.counters.expired += packets.len() as u64;
        self.counters.failed += 1;
        let slot = &self.slots[at as usize];
        let (key, is_kept) = (slot.key, slot.is_kept);
        let mac = slot.state.is_known().then_some(slot.mac);
        self.slots[at as usize].is_kept = false;
        let has_place = self.incomplete.len() + self.failed.len() < self.config.max_pending || mac.is_none();
        // Of one that nobody asked there is nothing to be remembered.
        if has_place && self.slots[at as usize].probes > 0 {
            self.change(at, State::Failed);
        } else {
            self.remove_at(at);
        }
        Due::Failed(Expired { port: key.port, address: key.address, slot: at, mac, is_kept, packets })
    }

    /// A state for another one, with its timer.
    pub(crate) fn change(&mut self, at: u32, state: State) {
        self.leave(at);
        let slot = &mut self.slots[at as usize];
        (slot.state, slot.since) = (state, self.now);
        if state != State::Failed {
            slot.probes = 0;
        }
        self.enter(at);
        self.set_timer(at);
    }

    /// Into the list of its state.
    pub(crate) fn enter(&mut self, at: u32) {
        self.known += usize::from(self.slots[at as usize].state.is_known());
        self.permanent += usize::from(self.slots[at as usize].state == State::Permanent);
        let list =
            list_of(self.slots[at as usize].state, &mut self.incomplete, &mut self.failed, &mut self.stale);
        if let Some(list) = list {
            list.push(&mut self.slots, at);
        }
    }

    /// Out of the list of its state.
    pub(crate) fn leave(&mut self, at: u32) {
        self.known -= usize::from(self.slots[at as usize].state.is_known());
        self.permanent -= usize::from(self.slots[at as usize].state == State::Permanent);
        let list =
            list_of(self.slots[at as usize].state, &mut self.incomplete, &mut self.failed, &mut self.stale);
        if let Some(list) = list {
            list.remove(&mut self.slots, at);
        }
    }

    fn set_timer(&mut self, at: u32) {
        let reachable = self.reachable();
        let slot = &mut self.slots[at as usize];
        if let Some(timer) = slot.timer.take() {
            self.timers.cancel(timer);
        }
        let NeighbourConfig { retransmit, pending_timeout, delay, stale_timeout, multicast_probes, .. } =
            self.config;
        let (now, end) = (self.now, slot.since + pending_timeout);
        let armed = match slot.state {
            State::Incomplete if (1..multicast_probes).contains(&slot.probes) => {
                self.timers.arm_exact((now + retransmit).min(end), at)
            }
            State::Incomplete => self.timers.arm_exact(end, at),
            State::Reachable => self.timers.arm((slot.confirmed.max(slot.since) + reachable).max(now), at),
            State::Stale | State::Failed => self.timers.arm(now + stale_timeout, at),
            State::Delay => self.timers.arm(now + delay, at),
            State::Probe => self.timers.arm(now + retransmit, at),
            State::Permanent => return,
        };
        // There is room for as many timers as there may be entries.
        slot.timer = armed.ok();
    }

    /// How long a confirmation holds now: half to one and a half times what the settings say.
    pub(crate) fn reachable(&self) -> Duration {
        let base = self.config.reachable.as_nanos();
        let drawn = self.seed.hash5(&[self.now.as_nanos() / RANDOMISED_FOR.as_nanos(), 0, 0, 0, 1]);
        Duration::from_nanos((base / 2).saturating_add(drawn % base.max(1)))
    }
}

fn list_of<'l>(
    state: State,
    incomplete: &'l mut List,
    failed: &'l mut List,
    stale: &'l mut List,
) -> Option<&'l mut List> {
    match state {
        State::Incomplete => Some(incomplete),
        State::Failed => Some(failed),
        State::Stale => Some(stale),
        _ => None,
    }
}
