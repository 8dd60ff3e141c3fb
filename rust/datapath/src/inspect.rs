//! What a node tells when asked: connections, counters, a packet's way in words, which packets begin flows.
use crate::counters::Counters;
use crate::decide::{Given, Verdict};
use crate::error::NodeError;
use crate::event::EndReason;
use crate::fast::L3;
use crate::ingress::Arrival;
use crate::node::Node;
use crate::offload::{is_unfinished, segment_len};
use crate::partition::Dependencies;
use crate::port::{PortCounts, PortId};
use crate::program::{By, End, Program};
use crate::reason::DropReason;
use crate::route::neighbour_part;
use crate::trace::{Known, Scribe, Tell, Trace, show};
use crate::track::{MAPPED, UNTRACKED};
use netfast_buf::Skb;
use netfast_fib::{FibError, Finding, HopId, Unresolved};
use netfast_flow::FlowKey;
use netfast_flow::cache::NONE;
use netfast_flow::conntrack::{Status, TcpState, Tuple};
use netfast_time::{Duration, Instant};
use std::collections::BTreeSet;

/// A connection in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its number, unique for the life of the node.
    pub id: u64,
    /// As its originator sends.
    pub original: Tuple,
    /// As its replies arrive.
    pub reply: Tuple,
    /// What it has gone through.
    pub status: Status,
    /// Where a TCP connection stands.
    pub tcp: Option<TcpState>,
    /// Its mark.
    pub mark: u32,
    /// Packets each way.
    pub packets: [u64; 2],
    /// IP octets each way.
    pub bytes: [u64; 2],
    /// When its first packet came.
    pub created: Instant,
    /// How long it stays without a packet.
    pub expires_in: Duration,
}

/// A flow that a packet of a batch would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFlow {
    /// The packet's place in the batch.
    pub packet: usize,
    /// The port that it came from.
    pub port: PortId,
    /// Its addresses and ports.
    pub tuple: Tuple,
    /// IP octets.
    pub length: u32,
}

impl Node {
    /// What the routes refuse, with a port's name in place of its number.
    pub(crate) fn named(&self, error: FibError) -> NodeError {
        match error {
            FibError::GatewayNotOnLink { key: route, gateway, port } => {
                NodeError::GatewayNotOnLink { route, gateway, port: self.port_name(port).to_owned() }
            }
            other => other.into(),
        }
    }

    /// What is odd about a route or rule, with ports' names.
    pub fn odd_routes(&self) -> Vec<String> {
        let told = |finding: &Finding| {
            let Finding::Unresolved { route, reason, entirely } = finding else { return finding.to_string() };
            let reason = self.unresolved(reason);
            match entirely {
                true => format!("route {route}: not used, {reason}"),
                false => format!("route {route}: not all of its hops are used, {reason}"),
            }
        };
        self.fib.findings().iter().map(told).collect()
    }

    /// Why a next hop cannot be used, with the port's name.
    pub fn unresolved(&self, reason: &Unresolved) -> String {
        match reason {
            Unresolved::PortDown { port } => format!("port {:?} is down", self.port_name(*port)),
            Unresolved::GatewayNotOnLink { gateway, port } => {
                format!("gateway {gateway} is not on-link at port {:?}", self.port_name(*port))
            }
            other => other.to_string(),
        }
    }

    /// What it did so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What went through a port.
    ///
    /// # Errors
    /// [`NodeError::NoPort`].
    pub fn port_counts(&self, port: PortId) -> Result<&PortCounts, NodeError> {
        self.port(port).map(|port| &port.counts).ok_or(NodeError::NoPort(port))
    }

    /// Connections in the table.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionInfo> + '_ {
        self.cache.iter().filter_map(|at| self.connection(at))
    }

    fn connection(&self, at: u32) -> Option<ConnectionInfo> {
        let (entry, cold) = (self.cache.entry(at), self.cache.cold(at));
        let now = self.now.as_nanos();
        if cold.status & UNTRACKED != 0 || entry.expires <= now {
            return None;
        }
        let [original, reply] = self.tuples(at);
        Some(ConnectionInfo {
            id: self.cache.serial(at),
            original,
            reply,
            status: Status(cold.status & !MAPPED),
            tcp: self.cache.transport(at).map(|track| track.state()),
            mark: cold.mark,
            packets: entry.packets,
            bytes: entry.bytes,
            created: Instant::from_nanos(cold.created),
            expires_in: Duration::from_nanos(entry.expires - now),
        })
    }

    /// Entries of the flow cache: connections, and flows that are not tracked.
    pub fn entries(&self) -> usize {
        self.cache.len()
    }

    /// Programs that are in use.
    pub fn programs(&self) -> usize {
        self.programs.len()
    }

    /// Bytes that the table of connections occupies, all indexes included.
    pub fn flow_memory(&self) -> usize {
        self.cache.memory()
    }

    /// Takes a connection out of the table; its next packet begins another one.
    ///
    /// # Errors
    /// [`NodeError::NoConnection`].
    pub fn delete_connection(&mut self, id: u64) -> Result<(), NodeError> {
        let at =
            self.cache.iter().find(|at| self.cache.serial(*at) == id).ok_or(NodeError::NoConnection(id))?;
        self.end(self.now, at, EndReason::Deleted);
        Ok(())
    }

    /// Takes all connections out of the table, and forgets what is known of classes of flows; how many connections there
    /// were.
    pub fn flush_connections(&mut self) -> usize {
        let all: Vec<_> = self.cache.iter().collect();
        for at in &all {
            self.end(self.now, *at, EndReason::Deleted);
        }
        self.forget_classes();
        all.len()
    }

    /// When [`Node::poll`] has something to do at the latest; `None` for never.
    pub fn next_timeout(&self) -> Option<Instant> {
        let neighbours = self.neighbour_timeout();
        let fragments = [self.fragments.next_timeout(), self.datagrams.next_timeout()];
        fragments.into_iter().chain([neighbours, self.collation_timeout()]).flatten().min()
    }

    /// Which packets of a batch would begin a flow, each flow once. Nothing is changed. The first fragment of a datagram
    /// stands for it: what is said of it holds when the datagram is whole.
    pub fn new_flows(&self, port: PortId, packets: &[Skb]) -> Vec<NewFlow> {
        // The keys of one batch: at most 256, whatever strangers choose.
        let mut seen = BTreeSet::new();
        let mut flows = Vec::new();
        for (at, packet) in packets.iter().enumerate() {
            let Arrival::Packet(subject) = self.arrive(packet, port, self.now) else { continue };
            let Some(tuple) = subject.first_tuple() else { continue };
            let (key, _) = FlowKey::of_tuple(0, &tuple);
            if self.tracker().find_any(&tuple).is_none() && seen.insert(key) {
                let port = subject.in_port.unwrap_or(port);
                flows.push(NewFlow { packet: at, port, tuple, length: subject.ip_len() });
            }
        }
        flows
    }

    /// A packet's way through the tables, in words. Nothing is changed; its time is the node's.
    pub fn trace(&self, port: PortId, packet: &Skb) -> Trace {
        let mut scribe = Scribe::default();
        scribe.tell("port", || format!("came in by {}, {} bytes", self.port_name(port), packet.len()));
        let subject = match self.arrive(packet, port, self.now) {
            Arrival::Packet(subject) => subject,
            Arrival::Local(_) => return scribe.end("for the node: not IP".to_owned(), None),
            Arrival::Drop { reason, .. } => {
                let verdict = format!("dropped, {reason}: {}", reason.about().trim_end_matches('.'));
                return scribe.end(verdict, Some(reason));
            }
        };
        let cache = self.known(packet, port);
        if self.wants_whole(&subject) {
            scribe
                .tell("fragments", || "it is put together with the others of its datagram first".to_owned());
            let waits = scribe.end("waits for the other fragments of its datagram".to_owned(), None);
            return Trace { cache, ..waits };
        }
        scribe.tell("cache", || match cache {
            Known::Hit => "a program for it is known: the tables need not be asked".to_owned(),
            Known::Stale => {
                "its program depends on something that has changed: it is decided anew".to_owned()
            }
            Known::Entry => "its connection is known, but no program for this direction".to_owned(),
            Known::Miss => "it belongs to no connection yet".to_owned(),
            Known::Uncached => "the tables decide such packets each time".to_owned(),
        });
        let decision = self.decide(&subject, Given::default(), &mut scribe);
        let (verdict, reason, out_port) = match decision.verdict {
            Verdict::Forward { port, next, mac, .. } => {
                let waits = if mac.is_none() { ", waiting for its link address" } else { "" };
                (format!("out by {} to {next}{waits}", self.port_name(port)), None, Some(port))
            }
            Verdict::Deliver => ("for the node itself".to_owned(), None, None),
            Verdict::Drop { reason, by } => {
                let answered = if decision.answer.is_some() { "; the sender is told" } else { "" };
                (self.dropped_so(reason, by) + answered, Some(reason), None)
            }
        };
        Trace { steps: scribe.steps, cache, verdict, reason, out_port }
    }

    /// Why and by what a packet was dropped, in words.
    fn dropped_so(&self, reason: DropReason, by: Option<By>) -> String {
        let about = reason.about().trim_end_matches('.');
        match (reason, by.and_then(|by| self.dropper(by))) {
            (DropReason::Rule, Some(rule)) => format!("dropped by rule '{rule}'"),
            (DropReason::Policy, Some(chain)) => format!("dropped by the policy of {chain}"),
            (_, Some(rule)) => format!("dropped by rule '{rule}', {reason}: {about}"),
            (_, None) => format!("dropped, {reason}: {about}"),
        }
    }

    /// The text of a rule, or family, table and name of a chain.
    pub(crate) fn dropper(&self, by: By) -> Option<String> {
        match by {
            By::Rule(rule) => self.rules.rule(rule).map(|rule| rule.text.to_string()),
            By::Policy(base) => self.rules.base(base).map(crate::trace::chain_name),
        }
    }

    /// How the cache knows a packet.
    fn known(&self, packet: &Skb, port: PortId) -> Known {
        let mac = self.port(port).map(|port| port.config.mac).unwrap_or_default();
        let look = match is_unfinished(packet) {
            true => self.look_unfinished(&mac, packet),
            false => self.look_at(&mac, packet),
        };
        let Some(look) = look else { return Known::Uncached };
        let (key, direction) = look.ends.ordered();
        let Some(found) = self.cache.find(&key, direction, look.hash) else { return Known::Miss };
        let way = found.way as usize;
        let entry = self.cache.entry(found.entry);
        if entry.expires <= self.now.as_nanos() {
            return Known::Miss;
        }
        let Some(program) = self.programs.get(entry.programs[way]) else { return Known::Entry };
        let size = match packet.hot.gso_size {
            0 => look.ip_len,
            _ => segment_len(packet, L3 as u32, look.l4() as u32, look.protocol()),
        };
        let fits = program.end != End::Walk && program.end.fits(look.hop_limit, size);
        let unsure = self.config.verify_checksums && self.checksum_unsure(packet);
        let goes_on = self.would_go_on(self.now, &look, &found, packet);
        if program.in_port != port || !fits || unsure || !goes_on {
            return Known::Uncached;
        }
        let on = self.dependencies(found.entry, program);
        let fresh = entry.stamps[way] == self.partitions.epoch
            || !self.partitions.changed_since(entry.stamps[way], &on);
        if fresh { Known::Hit } else { Known::Stale }
    }

    /// What a program of an entry depends on.
    pub(crate) fn dependencies(&self, at: u32, program: &Program) -> Dependencies {
        let [original, reply] = self.cache.keys(at).map(|(key, _)| key.addresses());
        let [back, there] = self.tuples(at).map(|tuple| tuple.source);
        // Whichever way the program is of: the hop that leads to its port, or both.
        let neighbour = |hop: u32, destination: [u8; 16]| {
            let End::Output { port, .. } = program.end else { return None };
            let gateway = match self.fib.hop(HopId::from_bits(hop)).filter(|_| hop != NONE) {
                Some(hop) if hop.port == port => hop.gateway,
                _ => return None,
            };
            Some(neighbour_part(port, gateway.unwrap_or_else(|| show(&destination))))
        };
        let [first, second] = self.cache.hops(at);
        Dependencies {
            v6: self.cache.entry(at).ip_version() == 6,
            addresses: [original[0], original[1], reply[0], reply[1]],
            chains: program.chains,
            neighbours: [neighbour(first, there), neighbour(second, back)],
        }
    }

    /// Packets dropped for a reason, by all ports.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.dropped.of(reason)
    }
}
