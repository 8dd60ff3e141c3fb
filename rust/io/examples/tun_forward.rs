//! Carries packets between TUN interfaces of two network namespaces and does nothing else: the cost of the port itself.
//!
//! `tun_forward NAMESPACE_A NAMESPACE_B [0|1]` makes the interface `tc0` in both, with virtio headers or without, says `ok`
//! and goes on until it is killed. Addresses are the caller's matter.
use std::collections::VecDeque;
use std::error::Error;

use netfast_buf::{PacketBatch, PacketPool};
use netfast_io::device::tun::TunOptions;
use netfast_io::device::{Device, DeviceError, Received};
use netfast_time::Instant;
use rustix::event::{PollFd, PollFlags, poll};

/// Reads of one device before the other one's turn.
const TURNS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [a, b, rest @ ..] = &arguments[..] else {
        return Err("usage: tun_forward NAMESPACE_A NAMESPACE_B [0|1]".into());
    };
    let offloads = rest.first().is_none_or(|virtio| virtio != "0");
    let open = |namespace: &String| {
        TunOptions { namespace: Some(namespace.clone()), offloads, ..TunOptions::tun("tc0") }.open()
    };
    let mut devices = [open(a)?, open(b)?];
    println!("ok");
    let (mut pool, mut batch, mut queue) = (PacketPool::default(), PacketBatch::new(), VecDeque::new());
    loop {
        let mut polled = Vec::with_capacity(devices.len());
        for device in &devices {
            let fd = device.descriptor().ok_or("closed")?;
            polled.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        poll(&mut polled, None)?;
        let [a, b] = &mut devices;
        forward(a, b, &mut batch, &mut queue, &mut pool)?;
        forward(b, a, &mut batch, &mut queue, &mut pool)?;
    }
}

fn forward(
    input: &mut impl Device,
    output: &mut impl Device,
    batch: &mut PacketBatch,
    queue: &mut VecDeque<netfast_buf::Skb>,
    pool: &mut PacketPool,
) -> Result<(), DeviceError> {
    for _ in 0..TURNS {
        let received = input.receive(Instant::ZERO, batch, pool)?;
        queue.extend(batch.drain());
        output.transmit(Instant::ZERO, queue, pool)?;
        if received != Received::More {
            break;
        }
    }
    Ok(())
}
