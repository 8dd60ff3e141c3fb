//! Carries packets between TUN interfaces of two network namespaces and does nothing else: the cost of the port itself.
//!
//! `tun_forward NAMESPACE_A NAMESPACE_B [0|1 [LOSS]]` makes the interface `tc0` in both, with virtio headers or without, says
//! `ok` and goes on until it is killed. Addresses are the caller's matter. With a share of loss the wire has faults of each
//! kind, and nothing may grow, however long it goes on.
use std::collections::VecDeque;
use std::error::Error;

use netfast_buf::{PacketBatch, PacketPool};
use netfast_io::device::fault::{FaultInjector, Faults};
use netfast_io::device::tun::TunOptions;
use netfast_io::device::{Device, DeviceError, Received};
use netfast_time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Reads of one device before the other one's turn.
const TURNS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [a, b, rest @ ..] = &arguments[..] else {
        return Err("usage: tun_forward NAMESPACE_A NAMESPACE_B [0|1 [LOSS]]".into());
    };
    let offloads = rest.first().is_none_or(|virtio| virtio != "0");
    let open = |namespace: &String| {
        TunOptions { namespace: Some(namespace.clone()), offloads, ..TunOptions::tun("tc0") }.open()
    };
    let [a, b] = [open(a)?, open(b)?];
    let Some(loss) = rest.get(1) else { return carry([a, b]) };
    let loss: f64 = loss.parse()?;
    let (delay, jitter) = (Duration::from_millis(1), Duration::from_micros(300));
    let faults =
        Faults { loss, duplicate: loss, reorder: loss, corrupt: loss, delay, jitter, ..Faults::NONE };
    let faulty = |tun, seed| FaultInjector::new(tun, faults, faults, seed);
    carry([faulty(a, 1)?, faulty(b, 2)?])
}

fn carry<D: Device>(mut devices: [D; 2]) -> Result<(), Box<dyn Error>> {
    #[expect(clippy::disallowed_methods, reason = "a live port needs the time")]
    let start = std::time::Instant::now();
    println!("ok");
    let (mut pool, mut batch, mut queue) = (PacketPool::default(), PacketBatch::new(), VecDeque::new());
    loop {
        let mut polled = Vec::with_capacity(devices.len());
        for device in &devices {
            let fd = device.descriptor().ok_or("closed")?;
            polled.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        let now = Instant::ZERO + start.elapsed().into();
        let due = devices.iter().filter_map(Device::next_timeout).min();
        let timeout = due.map(|due| Timespec::try_from(std::time::Duration::from(due.since(now))));
        poll(&mut polled, timeout.transpose()?.as_ref())?;
        let now = Instant::ZERO + start.elapsed().into();
        let [a, b] = &mut devices;
        forward(a, b, now, &mut batch, &mut queue, &mut pool)?;
        forward(b, a, now, &mut batch, &mut queue, &mut pool)?;
    }
}

fn forward(
    input: &mut impl Device,
    output: &mut impl Device,
    now: Instant,
    batch: &mut PacketBatch,
    queue: &mut VecDeque<netfast_buf::Skb>,
    pool: &mut PacketPool,
) -> Result<(), DeviceError> {
    for _ in 0..TURNS {
        let received = input.receive(now, batch, pool)?;
        queue.extend(batch.drain());
        output.transmit(now, queue, pool)?;
        if received != Received::More {
            break;
        }
    }
    Ok(())
}
