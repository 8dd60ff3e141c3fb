//! Flows on several threads: reading is serial, dissection goes by vector, the flow tables by address.
//!
//! Each thread takes its turn at the input, dissects what it took, and hands each part of it to the thread that owns
//! the part's flows; a part's vectors are pushed in the order of the input. So no two threads touch one flow, and
//! each flow sees its packets in order.
use crate::flows::{FLOW_BATCH, FlowCounters, FlowOptions, Part, Step, Timing, Vector, add_record, check};
use crate::input::{Input, TakenBatch};
use crate::{Error, FlowColumns};
use netfast_flow::{FlowBudget, Observed, Seen};
use netfast_io::capture::Record;
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
/// Looks at a lock that another thread holds, each with [`PAUSES`] in between, before this one goes to sleep: together
/// about as long as a turn at the input, and less than it takes a virtual machine to wake a thread.
const LOOKS: usize = 32;
const PAUSES: usize = 32;
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
    /// Beside the input's lock, which is held while a read waits.
    progress: Mutex<(u64, u64)>,
    options: FlowOptions,
    seed: Seed,
}

/// What only one thread at a time may do.
#[derive(Debug)]
struct Serial {
    input: Input,
    timing: Timing,
    /// Vectors taken so far.
    turns: u64,
    at_end: bool,
    /// The end was told to the parts' owners.
    told: bool,
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
    /// Threads that wait for a change.
    sleepers: usize,
    /// The turn that is pushed next.
    next: u64,
    /// How many turns there are, when the input has ended, and when it did.
    end: Option<(u64, Seen)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked ends the whole run: the flag is looked at before anything is believed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    /// Changes the state and wakes who waits for that.
    fn change<T>(&self, change: impl FnOnce(&mut InboxState) -> T) -> T {
        let mut state = lock(&self.state);
        let changed = change(&mut state);
        let sleepers = state.sleepers;
        drop(state);
        if sleepers > 0 {
            self.changed.notify_all();
        }
        changed
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, InboxState>) -> MutexGuard<'a, InboxState> {
        state.sleepers += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.sleepers -= 1;
        state
    }
}

/// As [`lock`], but stays awake for a moment where somebody else has it.
fn lock_soon<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for _ in 0..LOOKS {
        if let Ok(guard) = mutex.try_lock() {
            return guard;
        }
        (0..PAUSES).for_each(|_| std::hint::spin_loop());
    }
    lock(mutex)
}

#[inline(always)]
fn add(
    options: &FlowOptions,
    vector: &mut Vector,
    layers: &mut Layers,
    record: &Record,
    bytes: &[u8],
    seen: Seen,
) {
    if options.inner {
        add_record::<true>(vector, layers, record, bytes, seen);
    } else {
        add_record::<false>(vector, layers, record, bytes, seen);
    }
}

impl Threads {
    pub fn start(input: Input, options: FlowOptions) -> Result<Self, Error> {
        let count = options.threads;
        let mut parts = Vec::with_capacity(count);
        // The limit is one for all parts together.
        let budget = Arc::new(FlowBudget::new(options.flow.max_flows));
        for _ in 0..count {
            parts.push(Part::sharing(&options, budget.clone(), count as u32)?);
        }
        let (sender, output) = sync_channel(OUTPUT);
        let timing = Timing::default();
        let serial = Serial { input, timing, turns: 0, at_end: false, told: false, error: None };
        let shared = Arc::new(Shared {
            serial: Mutex::new(serial),
            inboxes: (0..count).map(|_| Inbox::default()).collect(),
            stop: AtomicBool::new(false),
            counters: Mutex::default(),
            progress: Mutex::default(),
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
                times: Vec::with_capacity(TURN),
                now: Seen::default(),
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
        *lock(&self.shared.progress)
    }

    pub fn counters(&self) -> FlowCounters {
        *lock(&self.shared.counters)
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
    times: Vec<Seen>,
    /// The clock's time at the end of the turn.
    now: Seen,
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
                    inbox.change(|state| state.end = Some((turn, now)));
                }
                break;
            }
            parts.clear();
            parts.extend(
                shared.inboxes.iter().map(|inbox| lock(&inbox.state).spare.pop().unwrap_or_default()),
            );
            self.vector.split(&mut parts, shared.seed);
            parts.iter_mut().for_each(|part| part.now = Some(self.now));
            for (inbox, part) in shared.inboxes.iter().zip(parts.drain(..)) {
                inbox.change(|state| {
                    state.vectors.insert(turn, part);
                    inbox.waiting.store(state.vectors.len(), Ordering::Relaxed);
                });
            }
        }
        if self.push_ready(true) && self.finish() {
            guard.1 = true;
        }
        lock(&shared.counters).add(&self.part.counters());
    }

    /// Reads and dissects one vector; `None` when another thread met the end, the clock's time when this one did.
    fn take_turn(&mut self) -> Option<(u64, Option<Seen>)> {
        let shared = self.shared.clone();
        let mut serial = lock_soon(&shared.serial);
        if serial.told {
            return None;
        }
        if !serial.at_end {
            match serial.input.next(TURN) {
                Ok(true) => {}
                Ok(false) => serial.at_end = true,
                Err(error) => {
                    serial.error = Some(error);
                    serial.at_end = true;
                }
            }
            *lock(&shared.progress) = serial.input.progress();
            if serial.at_end && serial.timing.clock.is_waiting() {
                // A turn of its own for the packet that waited for another.
                serial.timing.settle(None, &mut self.vector);
                self.now = serial.timing.clock.now();
                serial.turns += 1;
                return Some((serial.turns - 1, None));
            }
        }
        if serial.at_end {
            serial.told = true;
            lock(&shared.counters).clock = serial.timing.clock.counts();
            return Some((serial.turns, Some(serial.timing.clock.now())));
        }
        self.take_batch(&mut serial);
        lock(&shared.counters).clock = serial.timing.clock.counts();
        self.now = serial.timing.clock.now();
        serial.turns += 1;
        let turn = serial.turns - 1;
        drop(serial);
        let mut layers = Layers::default();
        for ((record, bytes), &seen) in self.taken.packets().zip(&self.times) {
            add(&self.shared.options, &mut self.vector, &mut layers, record, bytes, seen);
        }
        self.taken.clear();
        Some((turn, None))
    }

    /// Takes the input's batch and says when its packets count as seen; one at its end that waits for the next batch
    /// stays behind.
    fn take_batch(&mut self, serial: &mut Serial) {
        let Serial { input, timing, .. } = serial;
        input.take_batch(&mut self.taken);
        self.times.clear();
        for (record, _) in self.taken.packets() {
            if timing.clock.is_waiting() {
                match self.times.last_mut() {
                    Some(last) => *last = timing.clock.settle(Some(record.time_ns)),
                    None => timing.settle(Some(record.time_ns), &mut self.vector),
                }
            }
            self.times.push(match timing.clock.observe(record.time_ns) {
                Observed::Seen(seen) => seen,
                Observed::Waits => timing.clock.now(),
            });
        }
        if timing.clock.is_waiting()
            && let Some(now) = self.times.pop()
            && let Some((record, bytes)) = self.taken.packets().last()
        {
            add(&self.shared.options, &mut timing.held, &mut Layers::default(), record, bytes, now);
        }
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
            state = inbox.sleep(state);
        }
    }

    fn finish(&mut self) -> bool {
        let end = lock(&self.shared.inboxes[self.number].state).end;
        let now = end.map_or(Seen::default(), |(_, now)| now);
        loop {
            let done = self.part.meter().finish(now, FLOW_BATCH);
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
