//! Network namespaces for tests of live ports, and a loop that carries frames between two ports.
#![allow(dead_code, reason = "each test uses a part of it")]
use std::collections::VecDeque;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_io::device::{Device, DeviceError, Received};
use netfast_io::event_loop::Above;
use netfast_time::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Namespaces that are deleted at the end, also after a failure.
pub struct Namespaces(Vec<String>);

impl Namespaces {
    /// So many namespaces, or the reason why there can be none here.
    pub fn new(count: usize) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut made = Self(Vec::new());
        for _ in 0..count {
            let name = format!("nflive-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let done = Command::new("ip").args(["netns", "add", &name]).output();
            let done = done.map_err(|error| format!("ip of iproute2: {error}"))?;
            if !done.status.success() {
                return Err(format!("no namespaces here: {}", String::from_utf8_lossy(&done.stderr).trim()));
            }
            made.0.push(name);
            made.run(made.0.len() - 1, &["ip", "link", "set", "lo", "up"]);
        }
        Ok(made)
    }

    pub fn name(&self, index: usize) -> String {
        self.0[index].clone()
    }

    /// Runs a program in a namespace; its output.
    pub fn run(&self, index: usize, command: &[&str]) -> Output {
        self.command(index, command).output().expect("ip is installed")
    }

    pub fn command(&self, index: usize, command: &[&str]) -> Command {
        let mut run = Command::new("ip");
        run.args(["netns", "exec", &self.0[index]]).args(command);
        run
    }

    /// Runs a program that must not fail.
    pub fn expect(&self, index: usize, command: &[&str]) -> String {
        let done = self.run(index, command);
        let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{command:?}: {out}{error}");
        out.into_owned()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

/// That these programs are installed, or which one is not.
pub fn programs(names: &[&str]) -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = |name: &&&str| !std::env::split_paths(&path).any(|folder| folder.join(name).exists());
    names.iter().find(missing).map_or(Ok(()), |name| Err(format!("{name} is not installed")))
}

/// Ends a test that cannot run here, with the reason.
#[macro_export]
macro_rules! need {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(reason) => {
                eprintln!("skipped: {reason}");
                return;
            }
        }
    };
}

/// Carries frames both ways until `stop`.
pub fn carry(a: &mut dyn Device, b: &mut dyn Device, stop: &AtomicBool) -> Result<(), DeviceError> {
    #[expect(clippy::disallowed_methods, reason = "real packets, real time")]
    let start = std::time::Instant::now();
    let mut pool = PacketPool::default();
    let mut batch = PacketBatch::new();
    let mut queues = [VecDeque::new(), VecDeque::new()];
    while !stop.load(Ordering::Relaxed) {
        wait_until(&[a, b], Instant::ZERO + start.elapsed().into());
        let now = Instant::ZERO + start.elapsed().into();
        let [forth, back] = &mut queues;
        forward(a, b, now, &mut batch, forth, &mut pool)?;
        forward(b, a, now, &mut batch, back, &mut pool)?;
        a.reap(&mut pool)?;
        b.reap(&mut pool)?;
    }
    Ok(())
}

/// Sends on what has arrived, for some turns.
fn forward(
    input: &mut dyn Device,
    output: &mut dyn Device,
    now: Instant,
    batch: &mut PacketBatch,
    queue: &mut VecDeque<Skb>,
    pool: &mut PacketPool,
) -> Result<(), DeviceError> {
    for _ in 0..8 {
        let received = input.receive(now, batch, pool)?;
        queue.extend(batch.drain());
        output.transmit(now, queue, pool)?;
        if received != Received::More {
            break;
        }
    }
    Ok(())
}

const WAIT: Duration = Duration::from_millis(20);

/// Waits a short time until one of them can be read.
pub fn wait(devices: &[&dyn Device]) {
    wait_for(devices, WAIT);
}

/// The same, or until one of them wants to be asked.
pub fn wait_until(devices: &[&dyn Device], now: Instant) {
    let due = devices.iter().filter_map(|device| device.next_timeout()).min();
    wait_for(devices, due.map_or(WAIT, |due| due.since(now).into()).min(WAIT));
}

fn wait_for(devices: &[&dyn Device], most: Duration) {
    let descriptors = devices.iter().filter_map(|device| device.descriptor());
    let mut polled: Vec<_> = descriptors.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    let _ = poll(&mut polled, Some(&Timespec::try_from(most).expect("short")));
}

/// Does `work` while frames are carried, and gives the devices back.
pub fn while_carried<D: Device>(mut devices: [D; 2], work: impl FnOnce()) -> [D; 2] {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let [a, b] = &mut devices;
        let carrier = scope.spawn(|| carry(a, b, &stop));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        carrier.join().expect("no panic").expect("no error");
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    devices
}

/// Pings the second host from the first, in both families.
pub fn ping(spaces: &Namespaces, more: &[&str]) {
    for address in ["10.9.0.2", "fd00:9::2"] {
        let told = spaces.expect(0, &[&["ping", "-c", "5", "-i", "0.05", "-W", "2", address], more].concat());
        assert!(told.contains("5 received"), "{told}");
    }
}

/// Bits a second that iperf3 says arrived.
pub fn iperf(spaces: &Namespaces, arguments: &[&str]) -> f64 {
    let mut server = spaces
        .command(1, &["iperf3", "-s", "-1", "-B", "fd00:9::2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("iperf3 is installed");
    let all =
        [&["iperf3", "-J", "-t", "1", "--connect-timeout", "3000", "-c", "fd00:9::2"], arguments].concat();
    let mut told = String::new();
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(100));
        let done = spaces.run(0, &all);
        told = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() {
            break;
        }
    }
    let _ = server.kill();
    let _ = server.wait();
    let sum = told.rfind("\"sum_received\"").or(told.rfind("\"sum\"")).unwrap_or_else(|| panic!("{told}"));
    let after = &told[sum..];
    let key = "\"bits_per_second\":";
    let rate = &after[after.find(key).expect("iperf3's JSON") + key.len()..];
    rate[..rate.find([',', '\n']).expect("a number")].trim().parse().expect("a number")
}

/// Sends everything out by another port, or by the same one.
pub struct Cross {
    pool: PacketPool,
    to: fn(u32) -> u32,
}

impl Cross {
    pub fn to(to: fn(u32) -> u32) -> Self {
        Self { pool: PacketPool::default(), to }
    }
}

impl Above for Cross {
    fn pool(&mut self) -> &mut PacketPool {
        &mut self.pool
    }

    fn push(&mut self, _: Instant, port: u32, batch: &mut PacketBatch, out: &mut Vec<(u32, Skb)>) {
        out.extend(batch.drain().map(|packet| ((self.to)(port), packet)));
    }

    fn poll(&mut self, _: Instant, _: &mut Vec<(u32, Skb)>) {}

    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

/// Gives up all privileges of this thread alone.
pub fn drop_capabilities() {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).expect("less is always allowed");
}

/// Does `work` in a thread without privileges.
pub fn without_privileges<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let there = || {
        drop_capabilities();
        work()
    };
    std::thread::scope(|scope| scope.spawn(there).join().expect("no panic"))
}
