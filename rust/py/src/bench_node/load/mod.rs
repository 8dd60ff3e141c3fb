//! A node under load, and what its packets cost: what `cargo bench -p netfast-datapath` and `netfast bench` measure.
//!
//! Flows are made of numbers and a seed. A frame becomes a packet inside of what is timed, as it does when it comes from a
//! wire, but where something else is said.
#![allow(clippy::disallowed_methods, reason = "benchmarks read the clock")]
mod capture;
mod frames;
mod neighbours;
mod network;
mod passes;

pub use capture::Replay;
pub use frames::Transport;
pub use network::rules_text;

use frames::{Chance, Ends, LONGEST, Part};
use netfast_buf::{BATCH_PACKETS, BufError, PacketBatch};
use netfast_datapath::{Node, NodeError, Outputs, PortId};
use netfast_time::{Duration, Instant};
use network::{LAN, LAN_MAC, WAN, WAN_MAC};

/// Frames of one direction that a pass goes through: with both, as many as the limit study has.
const FRAMES: usize = 1 << 19;

/// Why a load cannot be measured.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum LoadError {
    /// The node refuses something.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Its rules are none.
    #[error("{count} mistakes in the rules of the load; they are made in load/network.rs")]
    Rules {
        /// How many.
        count: usize,
    },
    /// A packet cannot be made.
    #[error(transparent)]
    Packet(#[from] BufError),
    /// A number is out of its range.
    #[error("{field} = {value} is out of range; give {least} to {most}")]
    Range {
        /// What it is.
        field: &'static str,
        /// What was given.
        value: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// Packets went another way than those that are to be measured.
    #[error("{found} of {expected} packets were {what}: this would not measure what it says")]
    Astray {
        /// What all of them should be.
        what: &'static str,
        /// How many there were.
        expected: u64,
        /// How many of them were that.
        found: u64,
    },
}

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Two-way flows, 1 to 16,777,216.
    pub flows: u32,
    /// Servers that they go to, at least one.
    pub destinations: u32,
    /// Rules that no packet matches.
    pub rules: usize,
    /// What flows speak.
    pub transport: Transport,
    /// Whether clients hide behind the node's address.
    pub nat: bool,
    /// Connections that the table has room for; twice the flows when nothing is said.
    pub room: Option<u32>,
    /// What flows, and their order, are made from.
    pub seed: u64,
}

impl Default for Plan {
    /// 10,000 flows of UDP, each to another server, 100 rules.
    fn default() -> Self {
        Self {
            flows: 10_000,
            destinations: u32::MAX,
            rules: 100,
            transport: Transport::Udp,
            nat: false,
            room: None,
            seed: 1,
        }
    }
}

/// A node whose flows are all established.
pub struct Load {
    plan: Plan,
    node: Node,
    out: Outputs,
    batch: PacketBatch,
    now: Instant,
    /// The first frames of both directions, of flows in random order.
    requests: Vec<u8>,
    replies: Vec<u8>,
    /// The next flow that was not there yet.
    fresh: u64,
}

impl Load {
    /// Opens all flows.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn new(plan: Plan) -> Result<Self, LoadError> {
        let in_range = |field, value, least, most| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(LoadError::Range { field, value, least, most }),
        };
        in_range("flows", u64::from(plan.flows), 1, 1 << 24)?;
        in_range("destinations", u64::from(plan.destinations), 1, u64::from(u32::MAX))?;
        let room = plan.room.unwrap_or(plan.flows * 2);
        let rules = network::rules(plan.rules, plan.nat)?;
        let (node, out) = network::node(room.max(plan.flows), rules, plan.seed)?;
        let mut load = Self {
            plan,
            node,
            out,
            batch: PacketBatch::new(),
            now: Instant::from_secs(10),
            requests: Vec::new(),
            replies: Vec::new(),
            fresh: u64::from(plan.flows),
        };
        load.establish()?;
        Ok(load)
    }

    /// Bytes of a frame.
    fn length(&self) -> usize {
        self.plan.transport.frame_bytes()
    }

    /// A frame that the client of a flow sends.
    fn request(&self, flow: u64, part: Part) -> [u8; LONGEST] {
        let ends = frames::flow(self.plan.seed, flow, u64::from(self.plan.destinations));
        ends.frame(self.plan.transport, part, LAN_MAC)
    }

    /// Each flow is opened and answered; three seconds later it goes on. The frames to be measured are drawn.
    fn establish(&mut self) -> Result<(), LoadError> {
        // What servers see of each client, where that is another than the client.
        let mut seen = Vec::new();
        for [first, second] in [[Part::Open, Part::Answer], [Part::Request, Part::Reply]] {
            seen.clear();
            for start in (0..u64::from(self.plan.flows)).step_by(BATCH_PACKETS) {
                let end = (start + BATCH_PACKETS as u64).min(u64::from(self.plan.flows));
                self.exchange(start..end, first, second, &mut seen)?;
            }
            self.now += Duration::from_secs(3);
        }
        let mut chance = Chance::new(self.plan.seed);
        let length = self.length();
        for _ in 0..FRAMES {
            let flow = chance.below(u64::from(self.plan.flows));
            let request = self.request(flow, Part::Request);
            let ends = seen[flow as usize];
            self.requests.extend_from_slice(&request[..length]);
            let reply = ends.frame(self.plan.transport, Part::Reply, WAN_MAC);
            self.replies.extend_from_slice(&reply[..length]);
        }
        Ok(())
    }

    /// Flows send one frame, and are answered; the ends of the answers are noted.
    fn exchange(
        &mut self,
        flows: std::ops::Range<u64>,
        first: Part,
        second: Part,
        seen: &mut Vec<Ends>,
    ) -> Result<(), LoadError> {
        let length = self.length();
        let expected = flows.end - flows.start;
        for flow in flows {
            let frame = self.request(flow, first);
            self.batch.push_slice(&frame[..length], self.node.pool())?;
        }
        self.node.push(self.now, LAN, &mut self.batch, &mut self.out);
        let sent = self.out.port(WAN);
        let ends = sent.iter().filter_map(|packet| Ends::of(packet.head())).map(Ends::turned);
        let at = seen.len();
        seen.extend(ends);
        let told = |what, found: usize| match found as u64 == expected {
            true => Ok(()),
            false => Err(LoadError::Astray { what, expected, found: found as u64 }),
        };
        told("forwarded", seen.len() - at)?;
        self.out.recycle(self.node.pool());
        for ends in &seen[at..] {
            let frame = ends.frame(self.plan.transport, second, WAN_MAC);
            self.batch.push_slice(&frame[..length], self.node.pool())?;
        }
        self.node.push(self.now, WAN, &mut self.batch, &mut self.out);
        told("answered", self.out.port(LAN).len())?;
        self.out.recycle(self.node.pool());
        Ok(())
    }

    /// The first `count` frames of a direction that passes go through, one after the other: for a node elsewhere.
    pub fn frames(&self, replies: bool, count: usize) -> &[u8] {
        let frames = if replies { &self.replies } else { &self.requests };
        &frames[..(count * self.length()).min(frames.len())]
    }

    /// Bytes that the flow cache takes for each flow in it, all its indexes included.
    pub fn flow_bytes(&self) -> f64 {
        self.node.flow_memory() as f64 / self.node.entries().max(1) as f64
    }

    /// Bytes that the flow cache takes.
    pub fn cache_bytes(&self) -> usize {
        self.node.flow_memory()
    }

    /// Packets of a port, from their bytes to where they leave.
    #[inline]
    fn send(&mut self, port: PortId, frames: &[u8], length: usize) -> Result<(), LoadError> {
        self.batch.push_slices(frames.chunks_exact(length), self.node.pool())?;
        self.node.push(self.now, port, &mut self.batch, &mut self.out);
        self.out.recycle(self.node.pool());
        Ok(())
    }

    /// Runs `work`, whose packets must all be decided by one lookup. Borrows the frames meanwhile.
    fn all_hits(
        &mut self,
        expected: usize,
        work: impl FnOnce(&mut Self, &[u8], &[u8]) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let before = self.node.counters().cache.hits;
        let (requests, replies) = (std::mem::take(&mut self.requests), std::mem::take(&mut self.replies));
        let done = work(self, &requests, &replies);
        (self.requests, self.replies) = (requests, replies);
        done?;
        let found = self.node.counters().cache.hits - before;
        self.now += Duration::from_millis(1);
        match found == expected as u64 {
            true => Ok(()),
            false => Err(LoadError::Astray { what: "hits", expected: expected as u64, found }),
        }
    }
}
