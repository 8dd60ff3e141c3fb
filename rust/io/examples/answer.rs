//! Answers ARP and ping at 10.0.N.1 on a Unix link: `answer LOCAL.sock REMOTE.sock N`, until it was idle for ten seconds.
//!
//! With a virtual machine at the other end of the wire, neither needs privileges.
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use netfast_buf::{PacketBatch, PacketPool};
    use netfast_io::device::Device;
    use netfast_io::device::unix::{UnixDatagram, UnixDatagramConfig};
    use netfast_time::Instant;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::collections::VecDeque;

    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or("usage: answer LOCAL.sock REMOTE.sock N");
    let (local, remote, link) = (argument()?, argument()?, argument()?.parse()?);
    let (address, mac) = ([10, 0, link, 1], [2, 0, 0, 0, 0, 1]);
    let mut device = UnixDatagram::open(UnixDatagramConfig::new(local, remote))?;
    let (mut pool, mut batch, mut queue) = (PacketPool::default(), PacketBatch::new(), VecDeque::new());
    let mut now = Instant::ZERO;
    let mut idle = 0;
    while idle < 100 {
        device.receive(now, &mut batch, &mut pool)?;
        for packet in batch.drain() {
            let mut frame = packet.to_vec();
            if answer(&mut frame, address, mac) {
                queue.push_back(netfast_buf::Skb::from_slice(&frame, &mut pool)?);
            }
            pool.recycle(packet);
        }
        idle = if queue.is_empty() { idle + 1 } else { 0 };
        device.transmit(now, &mut queue, &mut pool)?;
        let mut descriptors =
            [PollFd::from_borrowed_fd(device.descriptor().ok_or("no descriptor")?, PollFlags::IN)];
        let tenth = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        poll(&mut descriptors, Some(&tenth))?;
        now += netfast_time::Duration::from_millis(100);
    }
    println!("{:?}", device.counters());
    Ok(())
}

/// Makes the answer of a request for `address`.
#[cfg(target_os = "linux")]
fn answer(frame: &mut [u8], address: [u8; 4], mac: [u8; 6]) -> bool {
    match frame {
        [_, _, _, _, _, _, _, _, _, _, _, _, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ..]
            if frame.get(38..42) == Some(&address) =>
        {
            frame[21] = 2;
            frame.copy_within(22..32, 32);
            frame[22..28].copy_from_slice(&mac);
            frame[28..32].copy_from_slice(&address);
        }
        [_, _, _, _, _, _, _, _, _, _, _, _, 8, 0, 0x45, ..]
            if frame.get(30..34) == Some(&address)
                && frame.len() >= 42
                && (frame[23], frame[34]) == (1, 8) =>
        {
            frame.copy_within(26..30, 30);
            frame[26..30].copy_from_slice(&address);
            frame[34] = 0;
            // The type went from 8 to 0 (RFC 1624).
            let sum = u32::from(u16::from_be_bytes([frame[36], frame[37]])) + 0x0800;
            frame[36..38].copy_from_slice(&((sum + (sum >> 16)) as u16).to_be_bytes());
        }
        _ => return false,
    }
    frame.copy_within(6..12, 0);
    frame[6..12].copy_from_slice(&mac);
    true
}

#[cfg(not(target_os = "linux"))]
fn main() {}
