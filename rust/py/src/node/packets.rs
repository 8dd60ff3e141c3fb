//! Batches of Ethernet frames: what goes into a stack, and what comes out of it.
use super::Shared;
use crate::errors::option_error;
use crate::offload::OffloadBatch;
use crate::packet::Packet;
use crate::reader::PacketBatch;
use netfast_buf::{BufError, Direction, HotLine, PacketPool, SHORT_SLICE, Skb};
use netfast_datapath::{NO_PORT, Outputs, PortId};
use netfast_time::Instant;
use netfast_wire::LinkType;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, TryLockError};

/// Packets of a batch that notebooks show.
const SHOWN: usize = 20;

/// What came out of one call; its memory goes back to the node when nobody looks at it any more.
pub struct Outcome {
    outputs: Outputs,
    shared: Arc<Shared>,
}

impl Outcome {
    pub fn new(outputs: Outputs, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { outputs, shared })
    }

    /// What came out.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The node that it came out of.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let outputs = std::mem::take(&mut self.outputs);
        // Where another thread is at work with the node the memory is just freed: nobody waits here.
        match self.shared.state.try_lock() {
            Ok(mut state) => state.recycle(outputs),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().recycle(outputs),
            Err(TryLockError::WouldBlock) => {}
        }
    }
}

/// Frames one after the other in memory: who reads them in order waits for none of them.
pub struct Frames {
    bytes: Vec<u8>,
    /// Where each begins, and where the last ends.
    edges: Vec<usize>,
    /// When each is (0: nobody said); none while nobody said it of any.
    times: Vec<u64>,
    /// The most bytes of one.
    longest: usize,
    /// What offloads know of some of them, by their index: in its order.
    marks: Vec<(usize, Box<HotLine>)>,
}

/// A packet that goes into a node, or came out of one.
#[derive(Clone, Copy)]
pub struct Frame<'f> {
    /// When it is, if somebody said.
    pub time_ns: Option<u64>,
    /// What it begins with.
    pub link: LinkType,
    pub bytes: &'f [u8],
    /// What offloads know of it.
    pub marks: Option<&'f HotLine>,
}

impl Frame<'_> {
    /// Says of a packet with its bytes what is known of it: of the marks those that whoever made it can know.
    #[inline]
    pub fn mark(&self, packet: &mut Skb) {
        if let Some(marks) = self.marks {
            packet.hot.mark(marks);
            (packet.hot.in_port, packet.hot.flow, packet.hot.direction) = (0, 0, Direction::default());
        }
        packet.hot.timestamp = Instant::from_nanos(self.time_ns.unwrap_or(0));
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self { bytes: Vec::new(), edges: vec![0], times: Vec::new(), longest: 0, marks: Vec::new() }
    }
}

impl Frames {
    fn push(&mut self, frame: Frame<'_>) {
        if let Some(marks) = frame.marks {
            self.marks.push((self.len(), Box::new(*marks)));
        }
        let time_ns = frame.time_ns.unwrap_or(0);
        if time_ns > 0 || !self.times.is_empty() {
            self.times.resize(self.len(), 0);
            self.times.push(time_ns);
        }
        self.longest = self.longest.max(frame.bytes.len());
        self.bytes.extend_from_slice(frame.bytes);
        self.edges.push(self.bytes.len());
    }

    fn each<E>(&self, mut take: impl FnMut(Frame<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut marked = self.marks.iter().peekable();
        (0..self.len()).try_for_each(|at| {
            let (time_ns, bytes) = self.at(at);
            let marks = marked.next_if(|(marked, _)| *marked == at).map(|(_, marks)| &**marks);
            let time_ns = Some(time_ns).filter(|time| *time > 0);
            take(Frame { time_ns, link: LinkType::ETHERNET, bytes, marks })
        })
    }

    /// Puts frames from `at` on into a batch, as many as it has room for, and says where it stopped. Marks stay behind.
    pub fn fill(
        &self,
        at: usize,
        batch: &mut netfast_buf::PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<usize, BufError> {
        let before = batch.len();
        let slices = self.edges[at..].windows(2).map(|edges| &self.bytes[edges[0]..edges[1]]);
        let short = self.longest <= SHORT_SLICE;
        let count = match short.then(|| batch.push_short_slices(slices.clone(), pool)).flatten() {
            Some(count) => count,
            None => batch.push_slices(slices, pool)?,
        };
        let times = self.times.get(at..).unwrap_or_default();
        for (packet, &time_ns) in batch.packets_mut()[before..].iter_mut().zip(times) {
            packet.hot.timestamp = Instant::from_nanos(time_ns);
        }
        Ok(at + count)
    }

    pub fn len(&self) -> usize {
        self.edges.len() - 1
    }

    fn at(&self, index: usize) -> (u64, &[u8]) {
        let time_ns = self.times.get(index).copied().unwrap_or(0);
        (time_ns, &self.bytes[self.edges[index]..self.edges[index + 1]])
    }
}

/// Whose packets a batch has.
enum Held {
    Own(Frames),
    Port(Arc<Outcome>, PortId),
    Local(Arc<Outcome>),
}

/// Ethernet frames in native memory, in order: what a `Stack` takes most quickly, and what comes out of it.
///
/// `Batch(packets)` copies frames: a list of bytes, `Packet`, headers, each perhaps with its time as `(time_ns, packet)`, a
/// `PacketBatch` of a capture, or an `OffloadBatch`, whose marks it keeps. `OffloadBatch(batch)` shows those of what a
/// stack put out. Indexing and iteration give `Packet`, a slice a list of them.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the packets.
#[pyclass(frozen, module = "netfast", sequence)]
pub struct Batch {
    held: Held,
}

impl Batch {
    /// What left by a port.
    pub fn of_port(outcome: Arc<Outcome>, port: PortId) -> Self {
        Self { held: Held::Port(outcome, port) }
    }

    /// What was for the node itself.
    pub fn of_local(outcome: Arc<Outcome>) -> Self {
        Self { held: Held::Local(outcome) }
    }

    /// Packets that came out of a node; none of its own.
    fn packets(&self) -> &[Skb] {
        match &self.held {
            Held::Own(_) => &[],
            Held::Port(outcome, port) => outcome.outputs.port(*port),
            Held::Local(outcome) => outcome.outputs.local(),
        }
    }

    /// Its packets in order.
    pub fn frames<E>(&self, take: impl FnMut(Frame<'_>) -> Result<(), E>) -> Result<(), E> {
        match &self.held {
            Held::Own(frames) => frames.each(take),
            Held::Port(outcome, port) => each_of(outcome.outputs.port(*port), |_| LinkType::ETHERNET, take),
            Held::Local(outcome) => each_of(outcome.outputs.local(), link_of_local, take),
        }
    }

    fn count(&self) -> usize {
        match &self.held {
            Held::Own(frames) => frames.len(),
            _ => self.packets().len(),
        }
    }

    fn at(&self, py: Python<'_>, at: usize) -> Packet {
        if let Held::Own(frames) = &self.held {
            let (time_ns, frame) = frames.at(at);
            let packet = Packet::new(PyBytes::new(py, frame), LinkType::ETHERNET, None);
            return if time_ns > 0 { packet.at_time(time_ns) } else { packet };
        }
        let packet = &self.packets()[at];
        let mut segments = packet.segments();
        let bytes = match (segments.next(), segments.next()) {
            (None, _) => PyBytes::new(py, &[]),
            (Some(bytes), None) => PyBytes::new(py, bytes),
            _ => PyBytes::new(py, &packet.to_vec()),
        };
        let link = match self.held {
            Held::Local(_) => link_of_local(packet),
            Held::Own(_) | Held::Port(..) => LinkType::ETHERNET,
        };
        Packet::new(bytes, link, None).at_time(packet.hot.timestamp.as_nanos())
    }
}

/// Packets as frames; those in pieces are copied for it.
fn each_of<E>(
    packets: &[Skb],
    link: impl Fn(&Skb) -> LinkType,
    mut take: impl FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<(), E> {
    packets.iter().try_for_each(|packet| {
        let whole = packet.head().len() == packet.len() as usize;
        let copied = if whole { Vec::new() } else { packet.to_vec() };
        let bytes = if whole { packet.head() } else { &copied };
        let time_ns = Some(packet.hot.timestamp.as_nanos());
        take(Frame { time_ns, link: link(packet), bytes, marks: Some(&packet.hot) })
    })
}

/// What a packet for the node itself begins with: one that it sent to itself has no link header.
pub fn link_of_local(packet: &Skb) -> LinkType {
    if packet.hot.in_port == NO_PORT { LinkType::RAW } else { LinkType::ETHERNET }
}

/// Which packets of a batch are asked for.
#[derive(FromPyObject)]
enum Chosen<'py> {
    /// One.
    One(isize),
    /// Several.
    Several(Bound<'py, PySlice>),
}

#[pymethods]
impl Batch {
    #[new]
    #[pyo3(signature = (packets=None))]
    fn new(packets: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut frames = Frames::default();
        if let Some(packets) = packets {
            let given = Given::of(packets)?;
            given.check(packets.py())?;
            given.each(|frame| -> PyResult<()> {
                frames.push(frame);
                Ok(())
            })?;
        }
        Ok(Self { held: Held::Own(frames) })
    }

    fn __len__(&self) -> usize {
        self.count()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: Chosen<'py>) -> PyResult<Bound<'py, PyAny>> {
        let count = self.count();
        match index {
            Chosen::One(index) => {
                let from_end = if index < 0 { index + count as isize } else { index };
                let at = usize::try_from(from_end).ok().filter(|at| *at < count);
                let at = at.ok_or_else(|| PyIndexError::new_err(format!("the batch has {count} packets")))?;
                self.at(py, at).into_bound_py_any(py)
            }
            Chosen::Several(slice) => {
                let places = slice.indices(count as isize)?;
                let place = |index: usize| places.start + index as isize * places.step;
                let packets = (0..places.slicelength).map(|index| self.at(py, place(index) as usize));
                packets.collect::<Vec<_>>().into_bound_py_any(py)
            }
        }
    }

    fn __iter__(this: Py<Self>) -> BatchIterator {
        BatchIterator { batch: this, next: AtomicUsize::new(0) }
    }

    /// A line for each of the first packets, for notebooks.
    fn _repr_html_(&self, py: Python<'_>) -> String {
        let mut text = String::from(
            "<table class=\"netfast-batch\"><tr><th>frame</th><th>time</th><th>packet</th></tr>",
        );
        (0..self.count().min(SHOWN)).for_each(|at| text.push_str(&self.at(py, at).row(py)));
        format!("{text}</table><p>{} packets</p>", self.count())
    }

    fn __repr__(&self) -> String {
        format!("<netfast.Batch: {} packets>", self.count())
    }
}

/// The packets of a `Batch`, one by one.
///
/// Threads: each packet goes to one of them. `fork`: shared as any memory. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct BatchIterator {
    batch: Py<Batch>,
    next: AtomicUsize,
}

#[pymethods]
impl BatchIterator {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> Option<Packet> {
        let batch = self.batch.get();
        let count = batch.count();
        let at = self.next.fetch_add(1, Ordering::Relaxed).min(count);
        self.next.fetch_min(count, Ordering::Relaxed);
        (at < count).then(|| batch.at(py, at))
    }
}

/// What the caller gave as packets. Reading it may run Python; copying it does not.
pub enum Given<'a, 'py> {
    Batch(&'a Bound<'py, Batch>),
    Capture(&'a Bound<'py, PacketBatch>),
    Offloads(&'a Bound<'py, OffloadBatch>),
    Several(Vec<crate::packet::Given>),
}

impl<'a, 'py> Given<'a, 'py> {
    pub fn of(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(batch) = object.cast::<Batch>() {
            return Ok(Self::Batch(batch));
        }
        if let Ok(batch) = object.cast::<PacketBatch>() {
            return Ok(Self::Capture(batch));
        }
        if let Ok(batch) = object.cast::<OffloadBatch>() {
            return Ok(Self::Offloads(batch));
        }
        Ok(Self::Several(crate::packet::Given::several(object)?))
    }

    /// Refuses what no port takes.
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        let links: Box<dyn Iterator<Item = LinkType>> = match self {
            Self::Batch(batch) => match &batch.get().held {
                Held::Own(_) | Held::Port(..) => return Ok(()),
                Held::Local(outcome) => Box::new(outcome.outputs.local().iter().map(link_of_local)),
            },
            Self::Capture(batch) => Box::new(batch.get().packets().map(|(_, link, ..)| link)),
            Self::Offloads(batch) => Box::new(std::iter::once(batch.get().link())),
            Self::Several(packets) => Box::new(packets.iter().map(|packet| packet.link)),
        };
        match links.into_iter().find(|link| *link != LinkType::ETHERNET) {
            None => Ok(()),
            Some(link) => {
                let remedy = "ports take Ethernet frames; put netfast.Ethernet(...) before it";
                Err(option_error(py, "packets", &format!("a packet of link type {link}: {remedy}")))
            }
        }
    }

    /// Frames of a `Batch` that have nothing but their bytes and times: what goes in most quickly.
    pub fn plain(&self) -> Option<&Frames> {
        match self {
            Self::Batch(batch) => match &batch.get().held {
                Held::Own(frames) if frames.marks.is_empty() => Some(frames),
                _ => None,
            },
            _ => None,
        }
    }

    /// Its frames, in order.
    pub fn each<E>(&self, mut take: impl FnMut(Frame<'_>) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Batch(batch) => batch.get().frames(take),
            Self::Capture(batch) => batch.get().packets().try_for_each(|(time_ns, link, _, bytes)| {
                take(Frame { time_ns: Some(time_ns), link, bytes, marks: None })
            }),
            Self::Offloads(batch) => {
                let link = batch.get().link();
                batch.get().each(|packet| each_of(std::slice::from_ref(packet), |_| link, &mut take))
            }
            Self::Several(packets) => packets.iter().try_for_each(|packet| {
                let (time_ns, link, bytes) = (packet.time_ns, packet.link, packet.bytes());
                take(Frame { time_ns, link, bytes, marks: packet.marks.as_deref() })
            }),
        }
    }
}

/// An address as the datapath has it: those of IPv4 mapped.
pub fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// What came out of a stack in one call: a `Batch` for each port, `result["wan"]`, made when it is asked for.
///
/// Iterating gives the names of the ports by which packets left. `local` are packets for the node itself.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the packets.
#[pyclass(frozen, module = "netfast")]
pub struct PushResult {
    outcome: Arc<Outcome>,
}

impl PushResult {
    pub fn new(outcome: Arc<Outcome>) -> Self {
        Self { outcome }
    }

    fn used_ports(&self, py: Python<'_>) -> Vec<(String, PortId)> {
        let outputs = self.outcome.outputs();
        let used = (0..outputs.ports() as PortId).filter(|port| !outputs.port(*port).is_empty());
        let state = self.outcome.shared().lock(py);
        used.map(|port| (state.node.port_name(port).to_owned(), port)).collect()
    }
}

#[pymethods]
impl PushResult {
    /// What left by a port; empty when nothing did. `ConfigError` for a port that is not there.
    fn __getitem__(&self, py: Python<'_>, port: &str) -> PyResult<Batch> {
        let port = self.outcome.shared().lock(py).port("port", port);
        let port = port.map_err(|mistake| option_error(py, "port", &mistake.to_string()))?;
        Ok(Batch::of_port(self.outcome.clone(), port))
    }

    /// The names of the ports by which packets left.
    fn keys(&self, py: Python<'_>) -> Vec<String> {
        self.used_ports(py).into_iter().map(|(name, _)| name).collect()
    }

    /// Names and packets of the ports by which packets left.
    fn items(&self, py: Python<'_>) -> Vec<(String, Batch)> {
        self.used_ports(py)
            .into_iter()
            .map(|(name, port)| (name, Batch::of_port(self.outcome.clone(), port)))
            .collect()
    }

    /// The packets of the ports by which packets left.
    fn values(&self, py: Python<'_>) -> Vec<Batch> {
        self.items(py).into_iter().map(|(_, batch)| batch).collect()
    }

    /// What left by a port; `default` when nothing did, or when there is no such port.
    #[pyo3(signature = (port, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        port: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let found = self.items(py).into_iter().find(|(name, _)| name == port);
        match found {
            Some((_, batch)) => Ok(Bound::new(py, batch)?.into_any()),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    /// Whether packets left by a port.
    fn __contains__(&self, py: Python<'_>, port: &str) -> bool {
        self.used_ports(py).iter().any(|(name, _)| name == port)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.keys(py).into_bound_py_any(py)?.call_method0("__iter__")
    }

    /// Packets for the node itself.
    #[getter]
    fn local(&self) -> Batch {
        Batch::of_local(self.outcome.clone())
    }

    /// Packets that came out, those for the node itself included.
    fn __len__(&self) -> usize {
        self.outcome.outputs().len()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let mut parts: Vec<_> = self
            .used_ports(py)
            .into_iter()
            .map(|(name, port)| format!("{name}: {}", self.outcome.outputs().port(port).len()))
            .collect();
        if !self.outcome.outputs().local().is_empty() {
            parts.push(format!("local: {}", self.outcome.outputs().local().len()));
        }
        format!(
            "<netfast.PushResult {}>",
            if parts.is_empty() { "of nothing".to_owned() } else { parts.join(", ") }
        )
    }
}
