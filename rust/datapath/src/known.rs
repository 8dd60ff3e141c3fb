//! What is known of a class of flows: the program that the last one of its kind got.
//!
//! Rules settle a flow by the classes of its addresses and ports ([`Classes`]), by its protocol, its port and the state
//! of its connection; routes by the hop that they give. Where all of these are as they were for another flow, and
//! nothing that depends on more than that had a part in its decision, the program is the same: the walk through the chains is left out.
//! Routes are looked up for each flow, so nothing here grows with destinations; a class that is not known costs one
//! comparison.
use crate::decide::{Decision, Verdict};
use crate::node::Node;
use crate::port::{PortId, RpFilter};
use crate::program::{End, Program};
use crate::reason::DropReason;
use crate::subject::Subject;
use crate::trace::show;
use crate::track::Change;
use netfast_fib::{Family, HopId, Outcome, Query, ReversePathMode};
use netfast_filter::Classes;
use netfast_flow::cache::NONE;
use netfast_flow::conntrack::{State, Status, Tuple, Way};
use netfast_flow::{Direction, FlowKey};
use netfast_low::hash::Seed;

/// Classes that are known at a time: one that comes to the place of another takes it.
pub const KNOWN_CLASSES: usize = 1 << 12;

/// A class of flows, and the moment in a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class([u64; 7]);

impl Class {
    fn hash(&self, seed: Seed) -> u64 {
        let [a, b, c, d, e, f, g] = self.0;
        let hash = seed.hash5(&[a, b, c, d, e]);
        // Only destinations on a link have the last two.
        if f | g == 0 { hash } else { seed.hash5(&[hash, f, g, 0, 0]) }
    }
}

/// What a class gets.
#[derive(Clone, Copy, Debug)]
struct Slot {
    class: Class,
    /// [`NONE`] in an empty place.
    program: u32,
    /// The status of a connection that begins, behind what chains of type `nat` said.
    status: u16,
}

/// Addresses (IPv4 mapped) and ports of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    v6: bool,
    protocol: u8,
    source: u128,
    destination: u128,
    ports: (u16, u16),
}

impl Ends {
    /// Those of a packet with this key, which is no ICMP message's.
    #[inline(always)]
    pub fn of_key(key: &FlowKey, direction: Direction) -> Self {
        let (addresses, [source_port, destination_port]) = key.ends(direction);
        let [source, destination] = addresses.map(|[high, low]| u128::from(high) << 64 | u128::from(low));
        let (v6, protocol) = (key.ip_version() == 6, key.protocol());
        Self { v6, protocol, source, destination, ports: (source_port, destination_port) }
    }

    fn of_tuple(tuple: &Tuple) -> Self {
        Self {
            v6: tuple.ip_version() == 6,
            protocol: tuple.protocol,
            source: u128::from_be_bytes(tuple.source),
            destination: u128::from_be_bytes(tuple.destination),
            ports: (tuple.source_port, tuple.destination_port),
        }
    }
}

/// The connection of a packet, as far as rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub state: State,
    pub way: Way,
    pub status: u16,
    pub mark: u32,
    /// The hop that the flow had.
    pub hop: Option<HopId>,
}

impl Moment {
    /// That of a packet of no connection yet.
    pub const FIRST: Self = Self { state: State::New, way: Way::Original, status: 0, mark: 0, hop: None };
}

/// All that is known.
#[derive(Debug)]
pub(crate) struct Known {
    classes: Option<Classes>,
    seed: Seed,
    /// Seed of the hash by which flows choose hops.
    hop_seed: Seed,
    /// The epoch of the tables by which it is right.
    epoch: u64,
    slots: Vec<Slot>,
    filled: Vec<u32>,
}

impl Known {
    pub fn new(seed: u64) -> Self {
        let [seed, hop_seed] = [0x6b_6e_6f_77, 0x68_6f_70].map(|use_of_it| Seed::new(seed ^ use_of_it));
        Self { classes: None, seed, hop_seed, epoch: 0, slots: Vec::new(), filled: Vec::new() }
    }

    fn place(&self, class: &Class) -> usize {
        class.hash(self.seed) as usize % KNOWN_CLASSES
    }

    fn find(&self, class: &Class) -> Option<(u32, u16)> {
        let slot = self.slots.get(self.place(class))?;
        (slot.program != NONE && slot.class == *class).then_some((slot.program, slot.status))
    }

    /// Takes a program's id in; gives the one that it takes the place of.
    fn keep(&mut self, class: &Class, program: u32, status: u16) -> u32 {
        const EMPTY: Slot = Slot { class: Class([0; 7]), program: NONE, status: 0 };
        if self.slots.is_empty() {
            self.slots = vec![EMPTY; KNOWN_CLASSES];
        }
        let place = self.place(class);
        let slot = &mut self.slots[place];
        if slot.program == NONE {
            self.filled.push(place as u32);
        }
        std::mem::replace(slot, Slot { class: *class, program, status }).program
    }

    /// Takes all out.
    fn drain(&mut self) -> Vec<u32> {
        let slots = &mut self.slots;
        let take = |place: u32| std::mem::replace(&mut slots[place as usize].program, NONE);
        self.filled.drain(..).map(take).collect()
    }
}

impl Node {
    /// The rules are others.
    pub(crate) fn classify(&mut self) {
        self.forget_classes();
        // Tuples of connections change behind translations.
        self.known.classes = if self.tracks { self.rules.classes() } else { None };
    }

    pub(crate) fn forget_classes(&mut self) {
        for id in self.known.drain() {
            self.release(id);
        }
        self.known.epoch = self.partitions.epoch;
    }

    /// The class of a packet of a port, by its ends and the moment in its connection's life, and the hop that it goes to.
    /// `None` when more than that decides. `key` is that of its connection.
    fn class_of(&self, port: PortId, ends: &Ends, key: &FlowKey, moment: &Moment) -> Option<(Class, HopId)> {
        let classes = self.known.classes.as_ref()?;
        let Ends { v6, protocol, source, destination, ports } = *ends;
        let ordinary = if v6 {
            is_ordinary6(source) && is_ordinary6(destination)
        } else {
            is_ordinary4(source) && is_ordinary4(destination) && !self.owns(show(&source.to_be_bytes()))
        };
        if !ordinary {
            return None;
        }
        let family = if v6 { Family::V6 } else { Family::V4 };
        let low = |address: u128| if v6 { address } else { address & 0xffff_ffff };
        let query = Query {
            family,
            destination: low(destination),
            source: Some(low(source)),
            in_port: Some(port),
            mark: 0,
            tos: 0,
        };
        let Outcome::Forward(group) = self.fib.outcome(&query) else { return None };
        let mode = match self.port(port)?.config.rp_filter {
            RpFilter::Off => None,
            RpFilter::Strict => Some(ReversePathMode::Strict),
            RpFilter::Loose => Some(ReversePathMode::Loose),
        };
        if mode.is_some_and(|mode| !self.fib.reverse_path(&query, mode).passes()) {
            return None;
        }
        let members = self.fib.group(group)?;
        let kept = moment.hop.filter(|hop| members.contains(*hop));
        let hop = kept.unwrap_or_else(|| members.select(self.flow_hash(key)));
        let on_link = members.is_on_link() && self.fib.hop(hop)?.gateway.is_none();
        let on_link = if on_link { [(destination >> 64) as u64, destination as u64] } else { [0; 2] };
        let [a, b, c, d] = classes.of(source, destination, ports).map(u64::from);
        let first = u64::from(port)
            | u64::from(protocol) << 32
            | u64::from(v6) << 40
            | (moment.way as u64) << 41
            | (moment.state as u64) << 42;
        let hop_bits = u64::from(hop.to_bits());
        let class = [
            first,
            a | b << 32,
            c | d << 32,
            hop_bits | u64::from(moment.mark) << 32,
            moment.status.into(),
            on_link[0],
            on_link[1],
        ];
        Some((Class(class), hop))
    }

    /// The program of a packet's class, the status that a connection has which begins so, and the hop.
    pub(crate) fn known_program(
        &mut self,
        port: PortId,
        ends: &Ends,
        key: &FlowKey,
        moment: &Moment,
    ) -> Option<(u32, u16, HopId)> {
        if self.known.epoch != self.partitions.epoch || self.known.filled.is_empty() {
            return None;
        }
        let (class, hop) = self.class_of(port, ends, key, moment)?;
        let (program, status) = self.known.find(&class)?;
        Some((program, status, hop))
    }

    /// Remembers what a packet's class got, if that speaks for the class.
    pub(crate) fn learn(&mut self, subject: &Subject<'_>, decision: &Decision) {
        let Some(program) = decision.program.as_ref().filter(|program| self.is_of_class(program, decision))
        else {
            return;
        };
        let (Some(port), Some(tuple)) = (subject.in_port, subject.tuple) else { return };
        let track = &decision.track;
        let moment = match &track.change {
            Change::Begin(begin) if begin.tracked && begin.replaces.is_none() => Moment::FIRST,
            Change::Update(update) => {
                let (entry, cold) = (self.cache.entry(update.entry), self.cache.cold(update.entry));
                // What this packet changes, the next one sees otherwise.
                if track.status.0 != cold.status || entry.is_translated() || update.over {
                    return;
                }
                let hop = self.cache.hops(update.entry)[track.way as usize];
                let hop = (hop != NONE).then(|| HopId::from_bits(hop));
                Moment { state: track.state, way: track.way, status: cold.status, mark: cold.mark, hop }
            }
            _ => return,
        };
        if track.state != moment.state || track.mark != moment.mark {
            return;
        }
        if self.known.epoch != self.partitions.epoch {
            self.forget_classes();
        }
        let (key, _) = FlowKey::of_tuple(0, &track.original);
        let Some((class, hop)) = self.class_of(port, &Ends::of_tuple(&tuple), &key, &moment) else { return };
        if decision.hop.is_some_and(|decided| decided != hop) {
            return;
        }
        let status = track.status.0;
        if self.known.find(&class).is_some_and(|(_, known)| known == status) {
            return;
        }
        let id = self.programs.intern(program);
        if id != NONE {
            let old = self.known.keep(&class, id, status);
            self.release(old);
        }
    }

    /// True when nothing but the class had a part in a decision.
    fn is_of_class(&self, program: &Program, decision: &Decision) -> bool {
        let ends = match (program.end, decision.verdict) {
            (End::Output { length: 14, .. }, Verdict::Forward { .. }) => true,
            (End::Drop { .. }, Verdict::Drop { reason, .. }) => {
                matches!(reason, DropReason::Rule | DropReason::Policy)
            }
            _ => false,
        };
        ends && self.known.classes.is_some()
            && program.steps.is_empty()
            && !program.translate
            && decision.by_class
            && decision.ct_mark.is_none()
            && decision.logs.is_empty()
            && decision.answer.is_none()
            && decision.mapping.is_none()
            && !self.fib.asks_code_points()
    }

    /// Both ways of a flow, its fragments and the errors about it have one hash.
    pub(crate) fn flow_hash(&self, key: &FlowKey) -> u64 {
        key.seeded_hash(self.known.hop_seed)
    }
}

/// An IPv6 address that any router forwards: of global or unique local unicast (RFC 4291 2.5, RFC 4193).
fn is_ordinary6(address: u128) -> bool {
    let first = (address >> 120) as u8;
    first >> 5 == 1 || first & 0xfe == 0xfc
}

/// An IPv4 address, mapped, that any router forwards (RFC 1812 5.3.7).
fn is_ordinary4(address: u128) -> bool {
    let first = (address >> 24) as u8;
    matches!(first, 1..=126 | 128..=223)
}

/// True when a connection in this status is beyond what its packets change of it.
pub(crate) fn is_settled(status: Status, way: Way) -> bool {
    match status.has(Status::SEEN_REPLY) {
        true => status.has(Status::ASSURED),
        false => way == Way::Original,
    }
}
