//! Flows on several threads: reading is serial, dissection goes by vector, the flow tables by address.
//!
//! Each thread takes its turn at the input, dissects what it took, and hands each part of it to the thread that owns
//! the part's flows; a part's vectors are pushed in the order of the input. So no two threads touch one flow, and
//! each flow sees its packets in order.
use crate::flows::{FLOW_BATCH, FlowCounters, FlowOptions, Part, Step, Vector, add_record, check};
use crate::input::{Input, TakenBatch};
use crate::{Error, FlowColumns};
use netfast_flow::PacketClock;
use netfast_low::hash::Seed;
use netfast_wire::Layers;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Records that a thread takes at one turn: about a block of them.
const TURN: usize = 1024;
/// Vectors that may wait for one part; a thread that is further ahead waits.
const WAITING: usize = 16;
/// Vectors that may wait for a part whose thread is held up, as by a caller who takes no results; nobody reads on then.
const MOST_WAITING: usize = 4 * WAITING;
/// How long a step waits for a result.
const STEP: Duration = Duration::from_millis(100);
/// Batches of flows that may wait for the caller.
const OUTPUT: usize = 4;

/// Several threads that read one input.
#[derive(Debug)]
pub(crate) struct Threads {
    output: Option<Receiver<FlowColumns>>,
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    serial: Mutex<Serial>,
    inboxes: Vec<Inbox>,
    stop: AtomicBool,
    counters: Mutex<FlowCounters>,
    options: FlowOptions,
    seed: Seed,
}

/// What only one thread at a time may do.
#[derive(Debug)]
struct Serial {
    input: Input,
    clock: PacketClock,
    /// Vectors taken so far.
    turns: u64,
    at_end: bool,
    error: Option<Error>,
}

/// Vectors for one part, by turn. `changed` tells its owner of a new one, of room in another inbox, and of the end.
#[derive(Debug, Default)]
struct Inbox {
    state: Mutex<InboxState>,
    /// As many vectors as stand in `state`, for those who do not hold its lock.
    waiting: AtomicUsize,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct InboxState {
    vectors: BTreeMap<u64, Vector>,
    spare: Vec<Vector>,
    /// The turn that is pushed next.
    next: u64,
    /// How many turns there are, when the input has ended, and when it did.
    end: Option<(u64, u64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked ends the whole run: the flag is looked at before anything is believed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Threads {
    pub fn start(input: Input, options: FlowOptions) -> Result<Self, Error> {
        let count = options.threads;
        let mut parts = Vec::with_capacity(count);
        let mut part_options = options;
        // The limit is one for all parts together.
        part_options.flow.max_flows = (options.flow.max_flows / count as u32).max(1);
        for _ in 0..count {
            parts.push(Part::new(&part_options)?);
        }
        let (sender, output) = sync_channel(OUTPUT);
        let serial = Serial { input, clock: PacketClock::new(), turns: 0, at_end: false, error: None };
        let shared = Arc::new(Shared {
            serial: Mutex::new(serial),
            inboxes: (0..count).map(|_| Inbox::default()).collect(),
            stop: AtomicBool::new(false),
            counters: Mutex::default(),
            options,
            seed: Seed::new(options.flow.seed).next(),
        });
        let mut handles = Vec::with_capacity(count);
        for (number, part) in parts.into_iter().enumerate() {
            let (shared, sender) = (shared.clone(), sender.clone());
            let worker = Worker {
                shared,
                sender,
                number,
                part,
                vector: Vector::default(),
                taken: TakenBatch::default(),
            };
            handles
                .push(std::thread::Builder::new().name("netfast-flows".into()).spawn(move || worker.run())?);
        }
        Ok(Self { output: Some(output), shared, handles })
    }

    pub fn step(&mut self) -> Result<Step, Error> {
        let Some(output) = &self.output else { return Ok(Step::Done) };
        match output.recv_timeout(STEP) {
            Ok(columns) => return Ok(Step::Flows(columns)),
            Err(RecvTimeoutError::Timeout) => return Ok(Step::Working),
            Err(RecvTimeoutError::Disconnected) => {}
        }
        // All threads are done.
        self.output = None;
        for handle in self.handles.drain(..) {
            handle.join().map_err(|_| Error::Thread)?;
        }
        let error = lock(&self.shared.serial).error.take();
        match error {
            Some(error) => Err(error),
            None => check(&self.counters()).map(|()| Step::Done),
        }
    }

    pub fn progress(&self) -> (u64, u64) {
        lock(&self.shared.serial).input.progress()
    }

    pub fn counters(&self) -> FlowCounters {
        FlowCounters { clock: lock(&self.shared.serial).clock.counts(), ..*lock(&self.shared.counters) }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop();
        self.output = None;
        for handle in self.handles.drain(..) {
            // Nobody is left to be told of a panic.
            let _ = handle.join();
        }
    }
}

impl Shared {
    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        for inbox in &self.inboxes {
            // Under the lock, so that nobody falls asleep between looking and waiting.
            let _state = lock(&inbox.state);
            inbox.changed.notify_all();
        }
    }

    /// No part's thread is so far behind that reading on would only heap up memory.
    fn has_room(&self) -> bool {
        self.inboxes.iter().all(|inbox| inbox.waiting.load(Ordering::Relaxed) < MOST_WAITING)
    }

    /// There is room again: wakes those who wait to read on. They looked while they held their inbox's lock.
    fn tell_room(&self) {
        for inbox in &self.inboxes {
            let _state = lock(&inbox.state);
            inbox.changed.notify_all();
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

struct Worker {
    shared: Arc<Shared>,
    sender: SyncSender<FlowColumns>,
    number: usize,
    part: Part,
    vector: Vector,
    taken: TakenBatch,
}

/// Ends the run of all threads when one of them ends without having finished.
struct Guard<'a>(&'a Shared, bool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.stop();
        }
    }
}

impl Worker {
    fn run(mut self) {
        let shared = self.shared.clone();
        let mut guard = Guard(&shared, false);
        let mut parts: Vec<Vector> = Vec::new();
        while !shared.stopped() {
            if !self.push_ready(false) {
                return;
            }
            let Some((turn, end)) = self.take_turn() else { break };
            if let Some(now) = end {
                for inbox in &shared.inboxes {
                    lock(&inbox.state).end = Some((turn, now));
                    inbox.changed.notify_all();
                }
                break;
            }
            parts.clear();
            parts.extend(
                shared.inboxes.iter().map(|inbox| lock(&inbox.state).spare.pop().unwrap_or_default()),
            );
            self.vector.split(&mut parts, shared.seed);
            for (inbox, part) in shared.inboxes.iter().zip(parts.drain(..)) {
                let mut state = lock(&inbox.state);
                state.vectors.insert(turn, part);
                inbox.waiting.store(state.vectors.len(), Ordering::Relaxed);
                drop(state);
                inbox.changed.notify_all();
            }
        }
        if self.push_ready(true) && self.finish() {
            guard.1 = true;
        }
        lock(&shared.counters).add(&self.part.counters());
    }

    /// Reads and dissects one vector; `None` when another thread met the end, the clock's time when this one did.
    fn take_turn(&mut self) -> Option<(u64, Option<u64>)> {
        let mut times = Vec::with_capacity(TURN);
        let turn = {
            let mut serial = lock(&self.shared.serial);
            if serial.at_end {
                return None;
            }
            match serial.input.next(TURN) {
                Ok(true) => {}
                Ok(false) => serial.at_end = true,
                Err(error) => {
                    serial.error = Some(error);
                    serial.at_end = true;
                }
            }
            if serial.at_end {
                return Some((serial.turns, Some(serial.clock.now())));
            }
            let Serial { input, clock, .. } = &mut *serial;
            input.take_batch(&mut self.taken);
            times.extend(self.taken.packets().map(|(record, _)| clock.observe(record.time_ns)));
            serial.turns += 1;
            serial.turns - 1
        };
        let mut layers = Layers::default();
        let inner = self.shared.options.inner;
        for ((record, bytes), &now_ns) in self.taken.packets().zip(&times) {
            if inner {
                add_record::<true>(&mut self.vector, &mut layers, record, bytes, now_ns);
            } else {
                add_record::<false>(&mut self.vector, &mut layers, record, bytes, now_ns);
            }
        }
        self.taken.clear();
        Some((turn, None))
    }

    /// Pushes the vectors of this thread's part that are next in order; with `to_end`, waits for all that will come.
    /// Without, it waits only when too many wait behind one that another thread still works on, or for a thread that is
    /// held up. False when stopped.
    fn push_ready(&mut self, to_end: bool) -> bool {
        let shared = self.shared.clone();
        let inbox = &shared.inboxes[self.number];
        let mut state = lock(&inbox.state);
        loop {
            if shared.stopped() {
                return false;
            }
            let next = state.next;
            if let Some(mut vector) = state.vectors.remove(&next) {
                state.next += 1;
                inbox.waiting.store(state.vectors.len(), Ordering::Relaxed);
                let has_room_again = state.vectors.len() + 1 == MOST_WAITING;
                drop(state);
                if has_room_again {
                    shared.tell_room();
                }
                self.part.take(&mut vector);
                if self.part.meter().ended_len() >= FLOW_BATCH && !self.send() {
                    return false;
                }
                state = lock(&inbox.state);
                if state.spare.len() < WAITING {
                    state.spare.push(vector);
                }
                continue;
            }
            let all = state.end.is_some_and(|(turns, _)| state.next == turns);
            if all || (!to_end && state.vectors.len() < WAITING && shared.has_room()) {
                return true;
            }
            state = inbox.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&mut self) -> bool {
        let now_ns = lock(&self.shared.inboxes[self.number].state).end.map_or(0, |(_, now)| now);
        loop {
            let done = self.part.meter().finish(now_ns, FLOW_BATCH);
            if self.part.meter().ended_len() > 0 && !self.send() {
                return false;
            }
            if done {
                return true;
            }
        }
    }

    /// False when nobody takes results any more.
    fn send(&mut self) -> bool {
        let mut records = Vec::with_capacity(self.part.meter().ended_len());
        self.part.meter().take_ended(&mut records);
        let statistics = self.shared.options.flow.statistics.is_some();
        self.sender.send(FlowColumns::new(records, statistics)).is_ok()
    }
}
