//! One decision: everything that the tables say about a packet, and no change of them.
use crate::chains::{Draft, LiveTuples, LogNote, Said, ct_direction, ct_state};
use crate::ingress::check_options;
use crate::node::Node;
use crate::port::{Mac, PortId};
use crate::program::{By, Program, Stage};
use crate::reason::DropReason;
use crate::route::{FibView, OwnRoute, Routed};
use crate::subject::Subject;
use crate::trace::Tell;
use crate::track::{Change, Track, Tracker, addresses};
use netfast_fib::HopId;
use netfast_filter::dynamic::Keys;
use netfast_filter::facts::{Connection, Facts};
use netfast_filter::outcome::{Asked, Effects, RejectWith, Walk};
use netfast_flow::conntrack::{Endpoint, State, Tuple};
use netfast_nft::ast::{ChainKind, Hook};
use netfast_wire::router::IcmpError;
use netfast_wire::{Checksum, Frame, LinkType, checksum};
use smallvec::SmallVec;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Priority at which connections are looked up; chains below see none (nft(8): `raw` is -300).
const TRACKING: i32 = -200;
/// Priority at which destinations are translated (nft(8): `dstnat`), whatever that of a `nat` chain is: chains from
/// here on see the translated one.
const DESTINATION: i32 = -100;
/// Likewise sources (`srcnat`), behind routing.
const SOURCE: i32 = 100;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It leaves by a port, to a neighbour there.
    Forward {
        port: PortId,
        next: IpAddr,
        mac: Option<Mac>,
        /// The neighbour's slot, or [`NONE`].
        neighbour: u32,
        mtu: u32,
    },
    /// It is for the node.
    Deliver,
    /// It ends here.
    Drop { reason: DropReason, by: Option<By> },
}

/// What the node owes the sender of a packet that it drops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Owed {
    Icmp(IcmpError),
    TcpReset,
}

/// An answer to the sender, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub owed: Owed,
    /// The hop limit had been counted down when it was decided.
    pub counted_down: bool,
}

/// What the caller's hook said of a new flow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HookVerdict {
    /// The packet is dropped.
    pub drop: bool,
    /// Mark of packet and connection.
    pub mark: Option<u32>,
    /// Where the flow is to go: address and port (IPv4 mapped).
    pub destination: Option<([u8; 16], Option<u16>)>,
    /// Where it is to seem to come from.
    pub source: Option<([u8; 16], Option<u16>)>,
}

/// A decision.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub verdict: Verdict,
    pub track: Track,
    pub effects: Effects,
    pub keys: Keys,
    pub logs: SmallVec<[LogNote; 1]>,
    pub ct_mark: Option<u32>,
    /// The hop limit that rules have given the packet, counted down if it was to be behind them.
    pub hop_limit: Option<u8>,
    pub answer: Option<Answer>,
    /// The tuple with which the packet leaves; `None` when it stays as it is.
    pub leaves: Option<Tuple>,
    pub hop: Option<HopId>,
    /// For later packets of this way.
    pub program: Option<Program>,
    /// A mapping that the connection takes part in, original source and what it became.
    pub mapping: Option<(u8, Endpoint, Endpoint)>,
    pub exhausted: Option<Tuple>,
    /// No more than the packet's class had a part in it.
    pub by_class: bool,
}

/// A decision in the making.
pub(crate) struct Pass<'a, 't, T> {
    pub node: &'a Node,
    pub subject: &'a Subject<'a>,
    pub facts: Facts<'a>,
    pub live: &'a LiveTuples,
    pub track: Track,
    pub effects: Effects,
    pub keys: Keys,
    pub logs: SmallVec<[LogNote; 1]>,
    pub walk: Walk,
    pub draft: Draft,
    pub notrack: bool,
    pub ct_mark: Option<u32>,
    pub hop: Option<HopId>,
    /// The neighbour that the packet goes to, once routed.
    pub next: Option<IpAddr>,
    /// Once it may be forwarded: the port that it would leave by, and the MTU that it fits.
    pub beyond: Option<(PortId, u32)>,
    pub mapping: Option<(u8, Endpoint, Endpoint)>,
    pub exhausted: Option<Tuple>,
    /// No more than the packet's class has had a part in it.
    pub by_class: bool,
    pub tell: &'t mut T,
}

/// The connection of a packet that the node answers. The answer is written with the source that it leaves with.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// What the answer is to the connection.
    pub track: Track,
    /// The source that rules see until sources are translated: address, and port of a reset.
    pub source: ([u8; 16], Option<u16>),
}

/// What the caller knows besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// What the hook said of the flow that this packet begins.
    pub hook: Option<HookVerdict>,
    /// The node's own packet answers one of a connection.
    pub answers: Option<Answered>,
}

impl Node {
    /// Decides about a packet that came in by a port; its header was checked.
    pub(crate) fn decide<T: Tell>(&self, subject: &Subject<'_>, given: Given, tell: &mut T) -> Decision {
        let (live, fib) = (LiveTuples::default(), FibView { node: self });
        let mut pass = Pass::new(self, subject, &live, &fib, tell);
        let verdict = pass.incoming(&given);
        pass.finish(verdict)
    }

    /// Decides about a packet of the node's own.
    pub(crate) fn decide_own<T: Tell>(&self, subject: &Subject<'_>, given: Given, tell: &mut T) -> Decision {
        let (live, fib) = (LiveTuples::default(), FibView { node: self });
        let mut pass = Pass::new(self, subject, &live, &fib, tell);
        let own = given.answers.is_some();
        let verdict = pass.outgoing(&given);
        pass.draft.void = true;
        let decision = pass.finish(verdict);
        // An answer is written as it leaves.
        if own { Decision { leaves: None, ..decision } } else { decision }
    }

    pub(crate) fn tracker(&self) -> Tracker<'_> {
        Tracker { cache: &self.cache, config: &self.config, context: 0 }
    }
}

/// How a packet's way ends, and what the node owes its sender.
pub(crate) type Ending = (Verdict, Option<Answer>);

impl<'a, 't, T: Tell> Pass<'a, 't, T> {
    fn new(
        node: &'a Node,
        subject: &'a Subject<'a>,
        live: &'a LiveTuples,
        fib: &'a FibView<'a>,
        tell: &'t mut T,
    ) -> Self {
        let track = Track::none(subject, State::Untracked, "not tracked");
        let tuple = subject.tuple.unwrap_or_else(|| addresses(subject));
        let ports = (subject.tuple.is_some() && tuple.has_ports())
            .then_some((tuple.source_port, tuple.destination_port))
            .or_else(|| subject.cut_ports());
        let facts = Facts {
            family: subject.family(),
            source: tuple.source,
            destination: tuple.destination,
            protocol: tuple.protocol,
            ports,
            icmp: (subject.tuple.is_some() && tuple.is_icmp()).then(|| tuple.icmp()),
            fragment: subject.is_later_fragment(),
            in_port: subject.in_port,
            out_port: None,
            ct_state: ct_state(State::Invalid),
            connection: None,
            packet_type: subject.packet_type,
            ethernet: if subject.l3 >= 14 { subject.head.first_chunk::<14>() } else { None },
            l3: subject.ip(),
            l3_length: subject.ip_len(),
            l4_offset: subject.l4() as u16,
            hop_limit_now: subject.layers.hop_limit,
            fib,
            ..Facts::EMPTY
        };
        Self {
            node,
            subject,
            facts,
            live,
            track,
            effects: Effects::new(),
            keys: Keys::default(),
            logs: SmallVec::new(),
            walk: Walk::default(),
            draft: Draft::default(),
            notrack: false,
            ct_mark: None,
            hop: None,
            next: None,
            beyond: None,
            mapping: None,
            exhausted: None,
            by_class: true,
            tell,
        }
    }

    /// From a port to wherever it goes.
    fn incoming(&mut self, given: &Given) -> Ending {
        if let Some(end) = self.before_routing(Hook::Prerouting, given) {
            return end;
        }
        let routed = self.route();
        if !matches!(routed, Routed::Drop(_, None))
            && !self.subject.v6()
            && let Err((reason, error)) = check_options(self.subject)
        {
            return (
                drop(reason),
                error.map(|error| Answer { owed: Owed::Icmp(error), counted_down: false }),
            );
        }
        match routed {
            Routed::Local => self.local(),
            Routed::Forward { hop, port, next, mtu } => self.forward(hop, port, next, mtu),
            Routed::Drop(reason, owed) => {
                (drop(reason), owed.map(|error| Answer { owed: Owed::Icmp(error), counted_down: false }))
            }
        }
    }

    /// From the node itself to wherever it goes.
    fn outgoing(&mut self, given: &Given) -> Ending {
        if let Some(answered) = &given.answers {
            self.facts.source = answered.source.0;
            self.set_ports(answered.source.1, None);
        }
        let Some(mut routed) = self.route_own() else { return (drop(DropReason::NoRoute), None) };
        self.facts.out_port = routed.port();
        let before = (self.facts.destination, self.facts.mark);
        if let Some(end) = self.before_routing(Hook::Output, given) {
            return end;
        }
        if before != (self.facts.destination, self.facts.mark) {
            match self.route_own() {
                Some(other) => routed = other,
                None => return (drop(DropReason::NoRoute), None),
            }
            self.facts.out_port = routed.port();
        }
        match routed {
            OwnRoute::Forward { hop, port, next, mtu } => self.leave(hop, port, next, mtu),
            OwnRoute::Local => self.back_to_itself(),
        }
    }

    /// Behind postrouting, what the node sends to itself comes in.
    fn back_to_itself(&mut self) -> Ending {
        if let Some(end) = self.postrouting() {
            return end;
        }
        self.facts.out_port = None;
        for hook in [Hook::Prerouting, Hook::Input] {
            self.facts.comes_back = hook == Hook::Prerouting;
            if let Some(end) = self.hook(hook, i32::MIN..=i32::MAX, Stage::Arrived) {
                return end;
            }
        }
        (Verdict::Deliver, None)
    }

    /// What stands before routing: tracking, and translation of the destination, with the chains around each.
    fn before_routing(&mut self, hook: Hook, given: &Given) -> Option<Ending> {
        self.facts.ct_state = ct_state(State::Invalid);
        if let Some(end) = self.hook(hook, i32::MIN..=TRACKING - 1, Stage::Arrived) {
            return Some(end);
        }
        let early = self.draft.reads_packets();
        self.look_up(given);
        if early && (self.track.state != State::Untracked || self.draft.asked.any(Asked::CT_STATE)) {
            // What ends there must not be seen by the connection, which a hit's is before its first step, nor see it.
            self.draft.walk = true;
        }
        if let Some(end) = self.hook(hook, TRACKING..=DESTINATION - 1, Stage::Arrived) {
            return Some(end);
        }
        if let Some(end) = self.translation(hook) {
            return Some(end);
        }
        if hook == Hook::Prerouting
            && let Some(end) = self.ask_hook(given)
        {
            return Some(end);
        }
        if let Err(reason) = self.bind_rest(false) {
            return Some((drop(reason), None));
        }
        self.translate_destination();
        self.hook(hook, DESTINATION..=i32::MAX, Stage::Translated)
    }

    /// The `nat` chains of a hook, when the packet is one for them; `Some` when they end it.
    fn translation(&mut self, hook: Hook) -> Option<Ending> {
        if self.is_damaged_error() {
            // Its quote would be translated, and its checksum be made right (Linux drops it, too).
            return Some((drop(DropReason::Malformed), None));
        }
        let (reason, by) = self.nat_chains(hook)?;
        Some((Verdict::Drop { reason, by }, None))
    }

    /// True for an error about a connection, on its way through the node, whose checksum is wrong.
    fn is_damaged_error(&self) -> bool {
        if self.track.state != State::Related || self.subject.in_port.is_none() {
            return false;
        }
        let rules = &self.node.rules;
        let hooks = [Hook::Prerouting, Hook::Input, Hook::Output, Hook::Postrouting];
        let mut bases = hooks.iter().flat_map(|hook| rules.bases(self.facts.family, *hook));
        if !bases.any(|base| rules.base(*base).is_some_and(|info| info.kind == ChainKind::Nat)) {
            return false;
        }
        let head = self.subject.head;
        let frame = Frame { bytes: head, wire_len: head.len() as u32, link: LinkType::ETHERNET };
        checksum::verify_l4(&frame, &self.subject.layers) == Checksum::Bad
    }

    /// The chains behind routing, and translation of the source.
    fn postrouting(&mut self) -> Option<Ending> {
        if let Some(end) = self.hook(Hook::Postrouting, i32::MIN..=SOURCE - 1, Stage::Forwarded) {
            return Some(end);
        }
        if let Some(end) = self.translation(Hook::Postrouting) {
            return Some(end);
        }
        if let Err(reason) = self.bind_rest(true) {
            return Some((drop(reason), None));
        }
        self.translate_source();
        self.hook(Hook::Postrouting, SOURCE..=i32::MAX, Stage::Leaving)
    }

    /// The connection of the packet, and what rules see of it.
    fn look_up(&mut self, given: &Given) {
        self.track = if self.notrack {
            Track::none(self.subject, State::Untracked, "a rule said notrack")
        } else if !self.node.tracks {
            Track::none(self.subject, State::Untracked, "connections are not tracked")
        } else if let Some(answered) = &given.answers {
            answered.track.clone()
        } else {
            self.node.tracker().track(self.subject)
        };
        self.settle_untracked();
        let track = &self.track;
        self.live.set(&track.original, &track.reply);
        self.facts.ct_state = ct_state(track.state);
        self.facts.connection = track.has_connection().then(|| Connection {
            direction: ct_direction(track.way),
            status: u32::from(track.status.0 & !crate::track::UNTRACKED),
            mark: track.mark,
            expiration: self.expiration(),
            established: track.is_established(&self.node.cache),
            tuples: self.live,
        });
        self.tell.tell("conntrack", || crate::trace::connection(&self.track));
    }

    /// What is left of the connection's time behind this packet, in milliseconds.
    fn expiration(&self) -> u32 {
        let now = self.subject.now;
        match &self.track.change {
            Change::Begin(begin) => begin.timeout.as_millis().min(u64::from(u32::MAX)) as u32,
            Change::Update(update) => match update.timeout {
                Some(timeout) => timeout.as_millis().min(u64::from(u32::MAX)) as u32,
                None => crate::steps::left(self.node.cache.entry(update.entry).expires, now),
            },
            Change::None => 0,
        }
    }

    /// The chains of a hook; `Some` when they end the packet.
    fn hook(&mut self, hook: Hook, priorities: RangeInclusive<i32>, stage: Stage) -> Option<Ending> {
        match self.chains(hook, priorities, stage) {
            Said::Pass => None,
            Said::Drop(reason, by) => Some((Verdict::Drop { reason, by: Some(by) }, None)),
            Said::Reject(with, rule) => {
                let owed = match with {
                    RejectWith::TcpReset => Owed::TcpReset,
                    RejectWith::Icmp(code) => Owed::Icmp(IcmpError::Unreachable { code }),
                    RejectWith::Icmpv6(code) => Owed::Icmp(IcmpError::Unreachable { code }),
                };
                let counted_down = matches!(stage, Stage::Forwarded | Stage::Leaving);
                let verdict = Verdict::Drop { reason: DropReason::Reject, by: Some(By::Rule(rule)) };
                Some((verdict, Some(Answer { owed, counted_down })))
            }
        }
    }

    /// What the caller's hook said of the flow that this packet begins.
    fn ask_hook(&mut self, given: &Given) -> Option<Ending> {
        let begins = self.track.state == State::Untracked && !matches!(self.track.change, Change::Update(_));
        let said = given.hook.filter(|_| self.track.begins() || begins)?;
        self.by_class = false;
        if said.drop {
            return Some((drop(DropReason::Hook), None));
        }
        if let Some(mark) = said.mark {
            // Later packets of the flow are not asked for, so they have another mark.
            self.draft.void |= self.facts.mark != mark;
            self.facts.mark = mark;
            self.ct_mark = Some(mark);
        }
        self.hook_translation(&said).err().map(|reason| (drop(reason), None))
    }

    /// From here on the packet has the destination that its connection's translation gives it.
    fn translate_destination(&mut self) {
        let leaving = self.translated();
        if !self.track.has_connection()
            || (leaving.destination == self.facts.destination && !self.moves_port(&leaving))
        {
            return;
        }
        if self.track.state == State::Related {
            self.facts.destination = leaving.destination;
            return;
        }
        self.facts.destination = leaving.destination;
        self.set_ports(None, Some(leaving.destination_port));
        self.tell.tell("nat", || format!("destination becomes {}", crate::trace::endpoint(&leaving, false)));
    }

    /// From here on the packet has the source that its connection's translation gives it.
    fn translate_source(&mut self) {
        let leaving = self.translated();
        if !self.track.has_connection() || self.track.leaving() == self.track.arriving() {
            return;
        }
        if leaving.source != self.facts.source {
            self.tell.tell("nat", || format!("source becomes {}", crate::trace::endpoint(&leaving, true)));
        }
        if self.track.state != State::Related || self.track.translates_source() {
            self.facts.source = leaving.source;
            self.set_ports(Some(leaving.source_port), None);
        }
    }

    fn moves_port(&self, leaving: &Tuple) -> bool {
        self.facts.ports.is_some_and(|(_, port)| port != leaving.destination_port)
    }

    fn set_ports(&mut self, source: Option<u16>, destination: Option<u16>) {
        if let Some(ports) = &mut self.facts.ports {
            *ports = (source.unwrap_or(ports.0), destination.unwrap_or(ports.1));
        }
    }

    /// For the node itself.
    fn local(&mut self) -> Ending {
        if let Some(end) = self.hook(Hook::Input, i32::MIN..=i32::MAX, Stage::Input) {
            return end;
        }
        if let Some(end) = self.translation(Hook::Input) {
            return end;
        }
        if let Err(reason) = self.bind_rest(true) {
            return (drop(reason), None);
        }
        (Verdict::Deliver, None)
    }

    /// Through the node: RFC 1812 5.3.1, RFC 8200 3, and Linux's order (see `docs/design/datapath.md`).
    fn forward(&mut self, hop: HopId, port: PortId, next: IpAddr, mtu: u32) -> Ending {
        if let Err((reason, error)) = self.may_forward(mtu) {
            return (
                drop(reason),
                error.map(|error| Answer { owed: Owed::Icmp(error), counted_down: false }),
            );
        }
        self.beyond = Some((port, mtu));
        self.facts.out_port = Some(port);
        self.facts.hop_limit_now = self.facts.hop_limit_now.saturating_sub(1);
        if let Some(end) = self.hook(Hook::Forward, i32::MIN..=i32::MAX, Stage::Forwarded) {
            return end;
        }
        self.leave(hop, port, next, mtu)
    }

    /// Out by a port.
    fn leave(&mut self, hop: HopId, port: PortId, next: IpAddr, mtu: u32) -> Ending {
        self.next = Some(next);
        if let Some(end) = self.postrouting() {
            return end;
        }
        self.hop = Some(hop);
        let (mac, neighbour) = self.node.link_address(port, next);
        self.tell.tell("neighbour", || crate::trace::neighbour(self.node, port, next, mac));
        (Verdict::Forward { port, next, mac, neighbour, mtu }, None)
    }
}

pub(crate) const fn drop(reason: DropReason) -> Verdict {
    Verdict::Drop { reason, by: None }
}
