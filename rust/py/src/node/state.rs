//! A node with what Python adds to it: names, its rules as text, files of taps, the hook.
use super::build::unknown_port;
use super::findings::Places;
use super::mistake::Mistake;
use super::rules::{Loaded, OwnRules};
use super::tap::TapFiles;
use crate::errors::option_error;
use crate::serve::{Live, Wanted};
use netfast_buf::PacketBatch;
use netfast_datapath::{HookVerdict, HookVerdicts, Node, NodeConfig, NodeError, Outputs, PortId};
use netfast_time::Instant;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::thread::ThreadId;

/// Failures of the hook that wait to be told; later ones are only counted.
const HOOK_FAILURES: usize = 1_024;
/// Empty [`Outputs`] that wait for their next use.
const SPARE: usize = 4;

/// A node and what stands around it; guarded by one lock.
pub struct State {
    /// The name of the stack.
    pub name: String,
    /// The node.
    pub node: Node,
    /// The rules that were loaded, as text.
    pub loaded: Loaded,
    /// The rules that short forms have added.
    pub own: OwnRules,
    /// Whom to ask about new flows.
    pub hook: Option<Py<PyAny>>,
    /// New flows for which the hook failed.
    pub hook_failed: u64,
    /// Times at which it did, and for how many flows; those that wait to be told.
    hook_failures: Vec<(Instant, usize)>,
    /// Whether the seed was given, not drawn.
    pub seed_given: bool,
    /// Whether each packet takes both ways.
    pub verify: bool,
    /// The devices of its ports, once there are some.
    pub live: Option<Box<Live>>,
    /// Devices that the configuration names, by port.
    pub wanted: BTreeMap<PortId, Wanted>,
    /// Where its configuration says what it has.
    pub places: Places,
    /// Files that taps write.
    pub taps: TapFiles,
    /// For packets on their way in, while no call has it; empty.
    pub incoming: Option<PacketBatch>,
    /// For those of them that have one time; as the former.
    moment: Option<PacketBatch>,
    spare: Vec<Outputs>,
    /// What came out in a call that had to raise: part of the next call's result.
    pub kept: Option<Outputs>,
    /// Threads that ask the hook now.
    pub asking: Vec<ThreadId>,
}

impl State {
    /// A node without ports.
    pub fn new(name: String, config: NodeConfig) -> Result<Self, NodeError> {
        Ok(Self {
            name,
            node: Node::new(config)?,
            loaded: Loaded::default(),
            own: OwnRules::default(),
            hook: None,
            hook_failed: 0,
            hook_failures: Vec::new(),
            seed_given: false,
            verify: false,
            live: None,
            wanted: BTreeMap::new(),
            places: Places::default(),
            taps: TapFiles::default(),
            incoming: None,
            moment: None,
            spare: Vec::new(),
            kept: None,
            asking: Vec::new(),
        })
    }

    /// The number of a port.
    pub fn port(&self, key: &'static str, name: &str) -> Result<PortId, Mistake> {
        self.node.port_id(name).ok_or_else(|| {
            let known: Vec<_> = self.node.port_configs().map(|(_, port)| port.name.clone()).collect();
            unknown_port(key, name, &known)
        })
    }

    /// The time that a call is at: what it says, or that of the devices, or that of the call before.
    pub fn now(&self, said: Option<u64>) -> Instant {
        said.map_or_else(|| self.present(), Instant::from_nanos)
    }

    /// The time without anybody saying it: where ports have devices that goes on by itself.
    fn present(&self) -> Instant {
        self.live_now().unwrap_or(self.node.now())
    }

    /// Packets come in at a port: all at one time, or each at its own. What the hook said of them comes with them.
    pub fn push(
        &mut self,
        port: PortId,
        now: Option<Instant>,
        packets: &mut PacketBatch,
        verdicts: &[Option<HookVerdict>],
        out: &mut Outputs,
    ) {
        let first = packets.packets().first().map_or(Instant::ZERO, |packet| packet.hot.timestamp);
        let same = || packets.packets().iter().all(|packet| packet.hot.timestamp == first);
        if now.is_some() || same() {
            let now = now.unwrap_or_else(|| self.time_of(first));
            self.node.push_with(now, port, packets, HookVerdicts { by_packet: verdicts }, out);
            return;
        }
        let mut moment = self.moment.take().unwrap_or_default();
        let (mut done, mut time) = (0, first);
        for packet in packets.drain() {
            if packet.hot.timestamp != time {
                done +=
                    self.push_moment(port, time, &mut moment, verdicts.get(done..).unwrap_or_default(), out);
                time = packet.hot.timestamp;
            }
            // It came out of a batch, so it fits one.
            let _ = moment.push(packet);
        }
        self.push_moment(port, time, &mut moment, verdicts.get(done..).unwrap_or_default(), out);
        self.moment = Some(moment);
    }

    fn push_moment(
        &mut self,
        port: PortId,
        time: Instant,
        packets: &mut PacketBatch,
        verdicts: &[Option<HookVerdict>],
        out: &mut Outputs,
    ) -> usize {
        let (count, now) = (packets.len(), self.time_of(time));
        self.node.push_with(now, port, packets, HookVerdicts { by_packet: verdicts }, out);
        count
    }

    /// The time of a packet; one without has that of the devices, or of the call before.
    fn time_of(&self, stamp: Instant) -> Instant {
        if stamp == Instant::ZERO { self.present() } else { stamp }
    }

    /// The hook failed for some flows.
    pub fn note_hook_failure(&mut self, flows: usize) {
        self.hook_failed += flows as u64;
        if self.hook_failures.len() < HOOK_FAILURES {
            self.hook_failures.push((self.node.now(), flows));
        }
    }

    /// When the hook failed since the last call, and for how many flows.
    pub fn take_hook_failures(&mut self) -> Vec<(Instant, usize)> {
        std::mem::take(&mut self.hook_failures)
    }

    /// Outputs that a call before could not give, or with room from a use before.
    pub fn outputs(&mut self) -> Outputs {
        self.kept.take().or_else(|| self.spare.pop()).unwrap_or_default()
    }

    /// Refuses packets that the hook itself lets in: it would be asked about those, and so on.
    pub fn refuse_within_hook(&self, py: Python<'_>) -> PyResult<()> {
        if self.asking.contains(&std::thread::current().id()) {
            let text = "packets: the hook for new flows is being asked, and cannot let packets into its own stack: push \
                        them once the call that asks it is back";
            return Err(option_error(py, "packets", text));
        }
        Ok(())
    }

    /// Takes outputs and the memory of their packets back.
    pub fn recycle(&mut self, mut outputs: Outputs) {
        outputs.recycle(self.node.pool());
        if self.spare.len() < SPARE {
            self.spare.push(outputs);
        }
    }
}
