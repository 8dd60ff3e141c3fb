//! The loop with devices that do what a test says.
use super::*;
use crate::device::DeviceReason;
use netfast_offload::features::FeatureSet;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

/// What a test and the device that it gave away share.
struct Wire {
    /// A byte here makes the device readable; what it does not read makes it not writable.
    outer: UnixStream,
    inner: UnixStream,
    arrived: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    room: usize,
    /// It takes one packet without room, which then waits in it.
    holds: bool,
    fails: bool,
    closed: u32,
    mtu: u32,
    /// Something is due to be received, always.
    due: bool,
}

type Shared = Arc<Mutex<Wire>>;

fn wire(room: usize) -> Shared {
    let (outer, inner) = UnixStream::pair().unwrap();
    outer.set_nonblocking(true).unwrap();
    inner.set_nonblocking(true).unwrap();
    if room == 0 {
        while (&inner).write(&[0; 4_096]).is_ok() {}
    }
    let (arrived, sent) = (VecDeque::new(), Vec::new());
    let wire = Wire {
        outer,
        inner,
        arrived,
        sent,
        room,
        holds: false,
        fails: false,
        closed: 0,
        mtu: 1_500,
        due: false,
    };
    Arc::new(Mutex::new(wire))
}

fn arrive(wire: &Shared, frames: impl IntoIterator<Item = Vec<u8>>) {
    let mut wire = wire.lock().unwrap();
    wire.arrived.extend(frames);
    (&wire.outer).write_all(&[1]).unwrap();
}

fn make_room(wire: &Shared, room: usize) {
    let mut wire = wire.lock().unwrap();
    wire.room = room;
    while (&wire.outer).read(&mut [0; 65_536]).is_ok() {}
}

struct Fake {
    wire: Shared,
    descriptor: UnixStream,
    /// What packets are sent by, where that is not the descriptor.
    sender: Option<UnixStream>,
    held: Option<Skb>,
    counters: DeviceCounters,
}

fn fake(wire: &Shared) -> Box<dyn Device> {
    let descriptor = wire.lock().unwrap().inner.try_clone().unwrap();
    Box::new(Fake {
        wire: wire.clone(),
        descriptor,
        sender: None,
        held: None,
        counters: DeviceCounters::default(),
    })
}

impl Device for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn link(&self) -> Link {
        let mtu = self.wire.lock().unwrap().mtu;
        Link { mac: None, mtu, point_to_point: false, up: true, features: FeatureSet::NONE }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.descriptor.as_fd())
    }

    fn sender(&self) -> Option<BorrowedFd<'_>> {
        self.sender.as_ref().map(AsFd::as_fd)
    }

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        let mut wire = self.wire.lock().unwrap();
        if wire.fails {
            return Err(DeviceError::Gone { device: "fake".to_owned() });
        }
        while let Some(frame) = wire.arrived.front() {
            let Ok(packet) = batch.push_slice(frame, pool) else { return Ok(Received::More) };
            packet.hot.timestamp = now;
            self.counters.received += 1;
            wire.arrived.pop_front();
        }
        while (&wire.inner).read(&mut [0; 64]).is_ok() {}
        Ok(Received::Empty)
    }

    fn transmit(
        &mut self,
        _: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        let mut wire = self.wire.lock().unwrap();
        if wire.holds && self.held.is_none() {
            self.held = packets.pop_front();
        }
        while wire.room > 0
            && let Some(packet) = self.held.take().or_else(|| packets.pop_front())
        {
            wire.room -= 1;
            wire.sent.push(packet.to_vec());
            self.counters.sent += 1;
            pool.recycle(packet);
        }
        Ok(())
    }

    fn in_flight(&self) -> usize {
        usize::from(self.held.is_some())
    }

    fn is_blocked(&self) -> bool {
        self.held.is_some()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.wire.lock().unwrap().due.then_some(Instant::ZERO)
    }

    fn counters(&self) -> DeviceCounters {
        self.counters.clone()
    }

    fn close(&mut self, _: &mut PacketPool) -> Result<(), DeviceError> {
        self.wire.lock().unwrap().closed += 1;
        Ok(())
    }
}

/// Port 0 and port 1 are joined; what comes in elsewhere goes to port 1.
#[derive(Default)]
struct Joined {
    pool: PacketPool,
    polls: u32,
    timeout: Option<Instant>,
}

impl Above for Joined {
    fn pool(&mut self) -> &mut PacketPool {
        &mut self.pool
    }

    fn push(&mut self, _: Instant, port: u32, batch: &mut PacketBatch, out: &mut Vec<(u32, Skb)>) {
        let to = u32::from(port != 1);
        out.extend(batch.drain().map(|packet| (to, packet)));
    }

    fn poll(&mut self, _: Instant, _: &mut Vec<(u32, Skb)>) {
        (self.polls, self.timeout) = (self.polls + 1, None);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.timeout
    }
}

struct Bench {
    event_loop: EventLoop,
    above: Joined,
    ready: Ready,
    batch: PacketBatch,
    out: Vec<(u32, Skb)>,
}

impl Bench {
    fn new(config: LoopConfig) -> Self {
        let event_loop = EventLoop::new(config).unwrap();
        let (ready, batch) = (Ready::new(), PacketBatch::new());
        Self { event_loop, above: Joined::default(), ready, batch, out: Vec::new() }
    }

    fn turn(&mut self) -> Turn {
        let Self { event_loop, above, ready, batch, out } = self;
        event_loop.turn(ready, above, batch, out).unwrap()
    }

    /// Turns until nothing is to be done for a while.
    fn settle(&mut self) -> Turn {
        let mut turn = self.turn();
        for _ in 0..10_000 {
            let most = if turn == Turn::More { Duration::ZERO } else { Duration::from_millis(20) };
            self.event_loop.poller().wait(Some(most), &mut self.ready).unwrap();
            if turn != Turn::More && (self.ready.is_empty() || turn == Turn::Drained) {
                return turn;
            }
            turn = self.turn();
        }
        panic!("it never settles");
    }
}

fn frames(count: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| number.to_be_bytes().repeat(16))
}

#[test]
fn frames_go_through_in_order_in_bounded_batches() {
    let (a, b) = (wire(usize::MAX), wire(usize::MAX));
    let mut bench = Bench::new(LoopConfig::default());
    for (number, wire) in [(0, &a), (1, &b)] {
        bench.event_loop.add(number, fake(wire), PortOptions::default()).unwrap();
    }
    arrive(&a, frames(1_000));
    arrive(&b, frames(3));
    assert_eq!(bench.settle(), Turn::Idle);
    assert!(b.lock().unwrap().sent.iter().cloned().eq(frames(1_000)));
    assert!(a.lock().unwrap().sent.iter().cloned().eq(frames(3)));
    let counters = bench.event_loop.counters();
    assert_eq!((counters.packets, counters.batches), (1_003, 5));
    assert_eq!(bench.event_loop.port_counters(0).unwrap().budget_exhausted, 3);
    assert!(counters.turns < 20, "{counters:?}");
    assert!(matches!(bench.event_loop.add(0, fake(&a), PortOptions::default()), Err(LoopError::Taken(0))));
}

#[test]
fn who_can_wait_waits_and_loses_nothing() {
    let (a, b) = (wire(usize::MAX), wire(0));
    let mut bench = Bench::new(LoopConfig::default());
    bench.event_loop.add(0, fake(&a), PortOptions { can_wait: true, ..PortOptions::default() }).unwrap();
    bench.event_loop.add(1, fake(&b), PortOptions::default()).unwrap();
    arrive(&a, frames(5_000));
    bench.settle();
    let full = bench.event_loop.port_counters(1).unwrap();
    assert_eq!((full.queue_full, full.queued), (0, 512));
    assert_eq!(bench.event_loop.port_counters(0).unwrap().paused, 1);
    assert_eq!(a.lock().unwrap().arrived.len(), 5_000 - 512);
    make_room(&b, usize::MAX);
    bench.settle();
    assert!(b.lock().unwrap().sent.iter().cloned().eq(frames(5_000)));
}

#[test]
fn who_cannot_wait_loses_what_has_no_room_counted() {
    let (a, b) = (wire(usize::MAX), wire(0));
    let config = LoopConfig { queue_packets: 1_000, ..LoopConfig::default() };
    let mut bench = Bench::new(config);
    bench.event_loop.add(0, fake(&a), PortOptions::default()).unwrap();
    bench.event_loop.add(1, fake(&b), PortOptions::default()).unwrap();
    arrive(&a, frames(5_000));
    bench.settle();
    let full = bench.event_loop.port_counters(1).unwrap();
    assert_eq!((full.queue_full, full.queued, full.queued_bytes), (4_000, 1_000, 64_000));
    // A descriptor that says writable though nothing is taken does not keep the loop busy.
    make_room(&b, 0);
    let before = bench.event_loop.counters().turns;
    let end = bench.event_loop.poller().clock().now() + Duration::from_millis(100);
    while bench.event_loop.poller().clock().now() < end {
        let most = Some(Duration::from_millis(100));
        bench.event_loop.poller().wait(most, &mut bench.ready).unwrap();
        bench.turn();
    }
    assert!(bench.event_loop.counters().turns - before < 400, "{:?}", bench.event_loop.counters());
    // Taken away with what waits: all packets are accounted for.
    let (device, counters) = bench.event_loop.remove(1, &mut bench.above.pool).unwrap();
    assert_eq!((device.unwrap().counters().sent, counters.unsent), (0, 1_000));
    arrive(&a, frames(7));
    bench.settle();
    assert_eq!(bench.event_loop.counters().nowhere, 7);
}

#[test]
fn what_waits_in_a_device_leaves_as_soon_as_there_is_room() {
    let (a, b) = (wire(usize::MAX), wire(0));
    b.lock().unwrap().holds = true;
    let mut bench = Bench::new(LoopConfig::default());
    bench.event_loop.add(0, fake(&a), PortOptions::default()).unwrap();
    bench.event_loop.add(1, fake(&b), PortOptions::default()).unwrap();
    arrive(&a, frames(1));
    bench.settle();
    let queued = bench.event_loop.port_counters(1).unwrap().queued;
    assert_eq!((queued, bench.event_loop.device(1).unwrap().in_flight()), (0, 1));
    // A descriptor that says writable though nothing is taken does not keep the loop busy.
    make_room(&b, 0);
    let turns = turns_for_nothing(&mut bench);
    assert!(turns < 400, "{turns} turns");
    b.lock().unwrap().room = 1;
    bench.settle();
    assert_eq!(b.lock().unwrap().sent.len(), 1);
    let turns = turns_for_nothing(&mut bench);
    assert!(turns < 10, "{turns} turns with nothing to send");
}

#[test]
fn what_is_sent_by_another_descriptor_waits_for_that() {
    let (a, b, other) = (wire(usize::MAX), wire(usize::MAX), wire(0));
    b.lock().unwrap().room = 0;
    let mut bench = Bench::new(LoopConfig::default());
    bench.event_loop.add(0, fake(&a), PortOptions::default()).unwrap();
    let descriptor = b.lock().unwrap().inner.try_clone().unwrap();
    let sender = Some(other.lock().unwrap().inner.try_clone().unwrap());
    let device =
        Fake { wire: b.clone(), descriptor, sender, held: None, counters: DeviceCounters::default() };
    bench.event_loop.add(1, Box::new(device), PortOptions::default()).unwrap();
    arrive(&a, frames(3));
    bench.settle();
    assert_eq!(bench.event_loop.port_counters(1).unwrap().queued, 3);
    let turns = turns_for_nothing(&mut bench);
    assert!(turns < 10, "{turns} turns though the other descriptor is writable");
    b.lock().unwrap().room = usize::MAX;
    make_room(&other, 1);
    bench.settle();
    assert_eq!(b.lock().unwrap().sent.len(), 3);
    let turns = turns_for_nothing(&mut bench);
    assert!(turns < 10, "{turns} turns with nothing to send");
}

#[test]
fn what_may_not_be_opened_again_is_told_once_with_the_remedy() {
    let a = wire(usize::MAX);
    let config = LoopConfig { retry_first: Duration::from_millis(1), ..LoopConfig::default() };
    let mut bench = Bench::new(config);
    let (tries, again) = (Arc::new(Mutex::new(0)), a.clone());
    let counted = tries.clone();
    let reopen: Reopen = Box::new(move || {
        let mut tries = counted.lock().unwrap();
        *tries += 1;
        match *tries {
            ..4 => Err(DeviceError::NotPermitted { device: "fake".into(), call: "open", remedy: "be root" }),
            _ => Ok(fake(&again)),
        }
    });
    bench
        .event_loop
        .add(0, fake(&a), PortOptions { reopen: Some(reopen), ..PortOptions::default() })
        .unwrap();
    for expected in [4, 5] {
        bench.settle();
        a.lock().unwrap().fails = true;
        arrive(&a, frames(1));
        bench.event_loop.poller().wait(Some(Duration::from_secs(5)), &mut bench.ready).unwrap();
        bench.turn();
        assert!(bench.event_loop.device(0).is_none(), "it failed");
        a.lock().unwrap().fails = false;
        for _ in 0..1_000 {
            if bench.event_loop.device(0).is_some() {
                break;
            }
            bench.event_loop.poller().wait(Some(Duration::from_millis(10)), &mut bench.ready).unwrap();
            bench.turn();
        }
        assert_eq!(*tries.lock().unwrap(), expected);
    }
    let told: Vec<_> = bench.event_loop.take_events().iter().map(|event| format!("{event:?}")).collect();
    let named = |name: &str| told.iter().filter(|event| event.starts_with(name)).count();
    assert_eq!((named("Gone"), named("Refused"), named("Returned")), (2, 1, 2), "{told:?}");
    assert!(told.iter().any(|event| event.starts_with("Refused") && event.contains("be root")), "{told:?}");
}

#[test]
fn a_port_may_have_limits_of_its_own() {
    let wires = [wire(usize::MAX), wire(0)];
    let mut bench = Bench::new(LoopConfig::default());
    let small = PortOptions {
        queue_packets: Some(80),
        patience: Some(Duration::from_millis(30)),
        ..PortOptions::default()
    };
    bench.event_loop.add(0, fake(&wires[0]), PortOptions::default()).unwrap();
    bench.event_loop.add(1, fake(&wires[1]), small).unwrap();
    arrive(&wires[0], frames(100));
    bench.turn();
    let full = bench.event_loop.port_counters(1).unwrap();
    assert_eq!((full.queue_full, full.queued), (20, 80), "{full:?}");
    std::thread::sleep(std::time::Duration::from_millis(40));
    bench.settle();
    assert_eq!(bench.event_loop.port_counters(1).unwrap().stalled, 80);
}

#[test]
fn patience_ends() {
    let (a, b, c) = (wire(usize::MAX), wire(0), wire(usize::MAX));
    let patience = Duration::from_millis(30);
    let mut bench = Bench::new(LoopConfig { patience, ..LoopConfig::default() });
    bench.event_loop.add(0, fake(&a), PortOptions { can_wait: true, ..PortOptions::default() }).unwrap();
    bench.event_loop.add(1, fake(&b), PortOptions { can_wait: true, ..PortOptions::default() }).unwrap();
    bench.event_loop.add(2, fake(&c), PortOptions::default()).unwrap();
    arrive(&a, frames(5_000));
    let start = bench.event_loop.poller().clock().now();
    while !a.lock().unwrap().arrived.is_empty() {
        bench.settle();
        let now = bench.event_loop.poller().clock().now();
        assert!(now.since(start) < Duration::from_secs(20), "the slow peer stops the reader for good");
    }
    let stalled = bench.event_loop.port_counters(1).unwrap();
    assert!(stalled.stalled >= 512, "{stalled:?}");
    assert_eq!(stalled.stalled + stalled.queue_full + stalled.queued as u64, 5_000);
}

#[test]
fn a_device_that_goes_is_told_and_comes_back() {
    let (a, b) = (wire(usize::MAX), wire(usize::MAX));
    let mut bench = Bench::new(LoopConfig::default());
    let (again, mut tries) = (b.clone(), 0);
    let reopen: Reopen = Box::new(move || {
        tries += 1;
        if tries < 3 {
            return Err(DeviceError::Gone { device: "fake".to_owned() });
        }
        again.lock().unwrap().fails = false;
        Ok(fake(&again))
    });
    bench.event_loop.add(0, fake(&a), PortOptions::default()).unwrap();
    bench
        .event_loop
        .add(1, fake(&b), PortOptions { reopen: Some(reopen), ..PortOptions::default() })
        .unwrap();
    arrive(&a, frames(4));
    bench.settle();
    b.lock().unwrap().fails = true;
    arrive(&b, []);
    bench.settle();
    assert!(matches!(
        &bench.event_loop.take_events()[..],
        [LoopEvent::Gone { port: 1, retried: true, error: DeviceError::Gone { .. } }]
    ));
    assert_eq!((b.lock().unwrap().closed, bench.event_loop.link(1)), (1, None));
    arrive(&a, frames(5));
    bench.settle();
    assert_eq!(bench.event_loop.port_counters(1).unwrap().away, 5);
    for _ in 0..100 {
        let most = Some(Duration::from_millis(20));
        bench.event_loop.poller().wait(most, &mut bench.ready).unwrap();
        bench.turn();
        if bench.event_loop.link(1).is_some() {
            break;
        }
    }
    assert!(matches!(&bench.event_loop.take_events()[..], [LoopEvent::Returned { port: 1, .. }]));
    arrive(&a, frames(6));
    bench.settle();
    let counters = bench.event_loop.device_counters(1).unwrap();
    assert_eq!((counters.sent, bench.event_loop.port_counters(1).unwrap().reopened), (10, 1));
}

#[test]
fn timers_wakes_and_changes_of_the_link() {
    let a = wire(usize::MAX);
    let mut bench = Bench::new(LoopConfig::default());
    bench.event_loop.add(0, fake(&a), PortOptions::default()).unwrap();
    bench.settle();
    let poller = bench.event_loop.poller();
    let soon = poller.clock().now() + Duration::from_millis(30);
    bench.above.timeout = Some(soon);
    bench.turn();
    let mut ready = Ready::new();
    while !ready.timer {
        poller.wait(Some(Duration::from_secs(5)), &mut ready).unwrap();
        assert!(!ready.is_empty(), "no deadline");
    }
    assert!(poller.clock().now() >= soon);
    bench.ready = ready;
    bench.turn();
    assert_eq!(bench.above.polls, 1);

    let other = poller.clone();
    std::thread::spawn(move || other.wake()).join().unwrap();
    poller.wake();
    poller.wait(Some(Duration::from_secs(5)), &mut bench.ready).unwrap();
    assert!(bench.ready.woken);
    poller.wait(Some(Duration::ZERO), &mut bench.ready).unwrap();
    assert!(!bench.ready.woken);

    a.lock().unwrap().mtu = 1_400;
    for _ in 0..100 {
        poller.wait(Some(Duration::from_millis(50)), &mut bench.ready).unwrap();
        bench.turn();
        if let [LoopEvent::Link { port: 0, link }] = &bench.event_loop.take_events()[..] {
            assert_eq!(link.mtu, 1_400);
            return;
        }
    }
    panic!("the MTU is not told");
}

#[test]
fn it_drains_and_closes() {
    let (a, b) = (wire(usize::MAX), wire(0));
    let mut bench = Bench::new(LoopConfig::default());
    bench.event_loop.add(0, fake(&a), PortOptions::default()).unwrap();
    bench.event_loop.add(1, fake(&b), PortOptions::default()).unwrap();
    arrive(&a, frames(10));
    bench.settle();
    let now = bench.event_loop.poller().clock().now();
    bench.event_loop.drain(now + Duration::from_secs(10));
    arrive(&a, frames(20));
    assert_eq!(bench.turn(), Turn::Idle);
    make_room(&b, 10);
    assert_eq!(bench.settle(), Turn::Drained);
    assert!(b.lock().unwrap().sent.iter().cloned().eq(frames(10)));
    assert_eq!(a.lock().unwrap().arrived.len(), 20);
    bench.event_loop.resume();
    bench.settle();
    assert_eq!(a.lock().unwrap().arrived.len(), 0);
    let now = bench.event_loop.poller().clock().now();
    bench.event_loop.drain(now + Duration::from_millis(10));
    // Who asks again does not begin again.
    bench.event_loop.drain(now + Duration::from_secs(1_000));
    assert_eq!(bench.settle(), Turn::Drained);
    bench.event_loop.close(&mut bench.above.pool).unwrap();
    assert_eq!((a.lock().unwrap().closed, b.lock().unwrap().closed), (1, 1));
    assert_eq!(bench.event_loop.ports().count(), 0);
}

#[test]
fn adaptive_busy_poll_gives_up_and_begins_again() {
    let poller = Poller::new().unwrap();
    let mut waiter = Waiter::new(Duration::from_micros(200));
    let mut ready = Ready::new();
    for _ in 0..20 {
        waiter.wait(&poller, Some(Duration::from_millis(1)), &mut ready).unwrap();
    }
    assert_eq!((waiter.found, waiter.slept), (0, 20));
    poller.wake();
    waiter.wait(&poller, Some(Duration::from_millis(1)), &mut ready).unwrap();
    poller.wake();
    waiter.wait(&poller, Some(Duration::from_millis(1)), &mut ready).unwrap();
    assert_eq!(waiter.found, 1);
    assert_eq!(DeviceReason::ALL.len(), DeviceCounters::default().dropped_in.len());
}

/// Turns in the next tenth of a second, in which nothing can be done.
fn turns_for_nothing(bench: &mut Bench) -> u64 {
    let before = bench.event_loop.counters().turns;
    let end = bench.event_loop.poller().clock().now() + Duration::from_millis(100);
    while bench.event_loop.poller().clock().now() < end {
        let turn = bench.turn();
        let most = if turn == Turn::More { Duration::ZERO } else { Duration::from_millis(100) };
        bench.event_loop.poller().wait(Some(most), &mut bench.ready).unwrap();
    }
    bench.event_loop.counters().turns - before
}

#[test]
fn what_is_due_at_a_port_that_is_not_read_does_not_keep_the_loop_busy() {
    let (a, b) = (wire(usize::MAX), wire(0));
    let mut bench = Bench::new(LoopConfig::default());
    bench.event_loop.add(0, fake(&a), PortOptions { can_wait: true, ..PortOptions::default() }).unwrap();
    bench.event_loop.add(1, fake(&b), PortOptions::default()).unwrap();
    arrive(&a, frames(5_000));
    bench.settle();
    a.lock().unwrap().due = true;
    let turns = turns_for_nothing(&mut bench);
    assert!(turns < 400, "{turns} turns while it is paused");
    let now = bench.event_loop.poller().clock().now();
    bench.event_loop.drain(now + Duration::from_secs(100));
    let turns = turns_for_nothing(&mut bench);
    assert!(turns < 400, "{turns} turns while it drains");
}

/// One peer goes and the next one comes within one turn: the connection's descriptor has the number of the one before.
#[test]
fn a_descriptor_with_the_number_of_the_one_before_is_watched() {
    use crate::device::unix::{StreamEnd, UnixStream as Link, UnixStreamConfig};
    let path = std::env::temp_dir().join(format!("netfast-loop-{}.sock", std::process::id()));
    let mut device = Link::open(StreamEnd::Listen(path.clone()), UnixStreamConfig::default()).unwrap();
    let (poller, mut pool, config) = (Poller::new().unwrap(), PacketPool::default(), LoopConfig::default());
    let mut batch = PacketBatch::new();
    let first = UnixStream::connect(&path).unwrap();
    device.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
    let mut port = LivePort::new(0, Box::new(device), PortOptions::default(), &config);
    port.watch(Instant::ZERO, false, &poller).unwrap();
    drop(first);
    let mut second = UnixStream::connect(&path).unwrap();
    port.receive(Instant::ZERO, &mut batch, &mut pool).unwrap().unwrap();
    port.transmit(Instant::ZERO, &mut pool).unwrap();
    port.watch(Instant::ZERO, false, &poller).unwrap();
    let mut ready = Ready::new();
    poller.wait(Some(Duration::ZERO), &mut ready).unwrap();
    assert!(ready.told.is_empty());
    second.write_all(&[&60_u32.to_be_bytes()[..], &[7; 60]].concat()).unwrap();
    poller.wait(Some(Duration::from_secs(5)), &mut ready).unwrap();
    assert_eq!(ready.told, [Told::Readable(0)]);
    port.receive(Instant::ZERO, &mut batch, &mut pool).unwrap().unwrap();
    assert_eq!(batch.len(), 1);
}

#[test]
fn no_wake_is_lost() {
    let poller = Arc::new(Poller::new().unwrap());
    let wakers: Vec<_> = (0..2)
        .map(|_| {
            let poller = poller.clone();
            std::thread::spawn(move || (0..20_000).for_each(|_| poller.wake()))
        })
        .collect();
    let mut ready = Ready::new();
    while !wakers.iter().all(std::thread::JoinHandle::is_finished) {
        poller.wait(Some(Duration::from_millis(1)), &mut ready).unwrap();
    }
    poller.wait(Some(Duration::ZERO), &mut ready).unwrap();
    poller.wake();
    poller.wait(Some(Duration::from_secs(5)), &mut ready).unwrap();
    assert!(ready.woken, "nobody can wake it any more");
}
