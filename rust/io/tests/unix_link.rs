//! Unix sockets as ports: frames both ways, peers that come and go, back-pressure, hostile streams, nothing left behind.
#![cfg(target_os = "linux")]
mod common;

use common::live::Cross;
use netfast_buf::{Block, PacketBatch, PacketPool, Skb};
use netfast_io::device::unix::{
    FRAME_LIMIT, StreamEnd, UnixDatagram, UnixDatagramConfig, UnixStream, UnixStreamConfig,
};
use netfast_io::device::{Device, DeviceError, DeviceReason, Received};
use netfast_io::event_loop::{EventLoop, LoopConfig, PortOptions, Ready, Turn};
use netfast_time::{Duration, Instant};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net;
use std::path::{Path, PathBuf};

/// A folder of the test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("netfast-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn datagram(folder: &Folder, local: &str, remote: &str) -> UnixDatagram {
    UnixDatagram::open(UnixDatagramConfig::new(folder.file(local), folder.file(remote))).unwrap()
}

fn frames(numbers: std::ops::Range<u32>, length: usize, pool: &mut PacketPool) -> VecDeque<Skb> {
    let frame = |number: u32| {
        let mut bytes = vec![7; length];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Skb::from_slice(&bytes, pool).unwrap()
    };
    numbers.map(frame).collect()
}

/// The numbers of the frames that a device has.
fn received(device: &mut dyn Device, now: Instant, pool: &mut PacketPool) -> Vec<u32> {
    let mut batch = PacketBatch::new();
    device.receive(now, &mut batch, pool).unwrap();
    let numbers = batch.packets().iter().map(|packet| {
        assert_eq!(packet.hot.timestamp, now);
        u32::from_be_bytes(*packet.head().first_chunk().unwrap())
    });
    let numbers = numbers.collect();
    pool.recycle_batch(&mut batch);
    numbers
}

const START: Instant = Instant::from_secs(1);

/// Later than any look for a peer.
fn later(times: u64) -> Instant {
    START + Duration::from_secs(times)
}

#[test]
fn datagrams_arrive_in_order_and_a_full_peer_makes_them_wait() {
    let (folder, mut pool) = (Folder::new("order"), PacketPool::default());
    let mut here = datagram(&folder, "a", "b");
    assert!(!here.link().up);
    let mut there = datagram(&folder, "b", "a");
    assert!(there.link().up);
    let mut queue = frames(0..400, 1_514, &mut pool);
    let (mut arrived, mut turns) = (Vec::new(), 0);
    while arrived.len() < 400 && turns < 100 {
        here.transmit(START, &mut queue, &mut pool).unwrap();
        arrived.extend(received(&mut there, START, &mut pool));
        turns += 1;
    }
    assert!(arrived.into_iter().eq(0..400));
    let (sent, got) = (here.counters(), there.counters());
    assert_eq!((sent.sent, sent.sent_bytes, got.received, got.received_bytes), (400, 605_600, 400, 605_600));
    // The system lets some hundred of them wait at a socket.
    assert!(sent.blocked > 0 && turns > 1, "{sent:?}");
}

#[test]
fn a_peer_that_went_comes_back_by_itself() {
    let (folder, mut pool) = (Folder::new("back"), PacketPool::default());
    let mut here = datagram(&folder, "a", "b");
    here.transmit(START, &mut frames(0..3, 60, &mut pool), &mut pool).unwrap();
    assert_eq!(here.counters().dropped_out[DeviceReason::LinkDown as usize], 3);
    for round in 0..3 {
        let mut there = datagram(&folder, "b", "a");
        // The new peer speaks first, once the old one was found to be gone.
        assert_eq!(received(&mut here, later(10 * round + 1), &mut pool), []);
        assert!(here.link().up);
        there.transmit(START, &mut frames(5..7, 60, &mut pool), &mut pool).unwrap();
        assert_eq!(received(&mut here, later(10 * round + 2), &mut pool), [5, 6]);
        here.transmit(later(10 * round + 3), &mut frames(7..9, 60, &mut pool), &mut pool).unwrap();
        assert_eq!(received(&mut there, START, &mut pool), [7, 8]);
        drop(there);
        here.transmit(later(10 * round + 4), &mut frames(0..2, 60, &mut pool), &mut pool).unwrap();
        assert!(!here.link().up);
    }
    assert_eq!(here.counters().dropped_out[DeviceReason::LinkDown as usize], 9);
    assert_eq!(here.counters().sent, 6);
}

#[test]
fn a_restarted_peer_is_found_though_nothing_is_sent_to_it() {
    let (folder, mut pool) = (Folder::new("restart"), PacketPool::default());
    let old = net::UnixDatagram::bind(folder.file("b")).unwrap();
    let mut here = datagram(&folder, "a", "b");
    assert!(here.link().up);
    drop(old);
    // Its file is still there.
    assert_eq!(received(&mut here, later(1), &mut pool), []);
    assert!(!here.link().up);
    std::fs::remove_file(folder.file("b")).unwrap();
    let new = net::UnixDatagram::bind(folder.file("b")).unwrap();
    assert_eq!(received(&mut here, later(2), &mut pool), []);
    new.send_to(&[0; 60], folder.file("a")).unwrap();
    assert_eq!(received(&mut here, later(2), &mut pool), [0]);
    let stranger = net::UnixDatagram::unbound().unwrap();
    assert!(stranger.send_to(&[0; 60], folder.file("a")).is_err(), "only the peer may send");
}

#[test]
fn what_cannot_be_a_frame_is_counted() {
    let (folder, mut pool) = (Folder::new("odd"), PacketPool::default());
    let peer = net::UnixDatagram::bind(folder.file("b")).unwrap();
    let mut here = datagram(&folder, "a", "b");
    for length in [13, 14, 1_522, 1_523] {
        peer.send_to(&vec![0; length], folder.file("a")).unwrap();
    }
    assert_eq!(received(&mut here, START, &mut pool).len(), 2);
    let mut queue: VecDeque<_> = [13, 14, 1_522, 1_523, 60]
        .map(|length| Skb::from_block(Block::from(vec![0; length]), 0, length).unwrap())
        .into();
    here.transmit(START, &mut queue, &mut pool).unwrap();
    let counters = here.counters();
    assert_eq!(counters.dropped_in[DeviceReason::Malformed as usize], 1);
    assert_eq!(counters.dropped_in[DeviceReason::Truncated as usize], 1);
    assert_eq!(counters.dropped_out[DeviceReason::Malformed as usize], 1);
    assert_eq!(counters.dropped_out[DeviceReason::TooLong as usize], 1);
    assert_eq!((counters.received, counters.sent, queue.len()), (2, 3, 0));
}

#[test]
fn a_path_is_taken_only_from_a_socket_that_nobody_has() {
    let folder = Folder::new("path");
    std::fs::write(folder.file("file"), b"mine").unwrap();
    let config = |local: &Path| UnixDatagramConfig::new(local, folder.file("b"));
    let error = UnixDatagram::open(config(&folder.file("file"))).unwrap_err();
    assert!(matches!(error, DeviceError::Setting { setting: "path", .. }), "{error}");
    assert_eq!(std::fs::read(folder.file("file")).unwrap(), b"mine");
    let error = UnixDatagram::open(config(&folder.file("none/a"))).unwrap_err();
    assert!(matches!(error, DeviceError::Missing { .. }), "{error}");
    let here = datagram(&folder, "a", "b");
    let error = UnixDatagram::open(config(&folder.file("a"))).unwrap_err();
    assert!(matches!(error, DeviceError::Setting { setting: "path", .. }), "{error}");
    drop(here);
    assert!(!folder.file("a").exists());
    drop(net::UnixDatagram::bind(folder.file("a")).unwrap());
    assert!(folder.file("a").exists());
    let here = datagram(&folder, "a", "b");
    std::fs::remove_file(folder.file("a")).unwrap();
    std::fs::write(folder.file("a"), b"another").unwrap();
    drop(here);
    assert!(folder.file("a").exists(), "a file that is not its own stays");
    let mut long = config(&folder.file("c"));
    long.mtu = 65_536;
    assert!(matches!(UnixDatagram::open(long), Err(DeviceError::Setting { setting: "mtu", .. })));
}

fn stream(end: StreamEnd) -> UnixStream {
    UnixStream::open(end, UnixStreamConfig::default()).unwrap()
}

#[test]
fn a_stream_carries_frames_both_ways_through_small_buffers() {
    let (folder, mut pool) = (Folder::new("stream"), PacketPool::default());
    let mut here = stream(StreamEnd::Connect(folder.file("s")));
    assert_eq!((here.link().up, here.descriptor().is_some()), (false, false));
    let mut there = stream(StreamEnd::Listen(folder.file("s")));
    assert_eq!(received(&mut here, later(1), &mut pool), []);
    assert_eq!(received(&mut there, later(1), &mut pool), []);
    assert!(here.link().up && there.link().up);
    for (number, device) in [&here, &there].into_iter().enumerate() {
        rustix::net::sockopt::set_socket_send_buffer_size(device.descriptor().unwrap(), 5_000 + number * 999)
            .unwrap();
    }
    let (mut one, mut two) = (frames(0..2_000, 1_400, &mut pool), frames(0..2_000, 777, &mut pool));
    let (mut to_one, mut to_two, mut turns) = (Vec::new(), Vec::new(), 0);
    let mut partly = 0;
    while (to_one.len() < 2_000 || to_two.len() < 2_000) && turns < 20_000 {
        // What is not asked to be sent comes all the same: the rest of a frame.
        let now = later(2) + Duration::from_millis(turns);
        if !one.is_empty() {
            here.transmit(now, &mut one, &mut pool).unwrap();
        }
        if !two.is_empty() {
            there.transmit(now, &mut two, &mut pool).unwrap();
        }
        partly += here.in_flight() + there.in_flight();
        to_two.extend(received(&mut there, now, &mut pool));
        to_one.extend(received(&mut here, now, &mut pool));
        turns += 1;
    }
    assert!(to_one.into_iter().eq(0..2_000) && to_two.into_iter().eq(0..2_000));
    assert!(partly > 0, "frames were to be written in parts");
    assert_eq!((here.counters().sent, there.counters().sent), (2_000, 2_000));
    assert_eq!(here.counters().sent_bytes, there.counters().received_bytes);
}

#[test]
fn a_stream_is_opened_again_by_either_end() {
    let (folder, mut pool) = (Folder::new("again"), PacketPool::default());
    let mut there = stream(StreamEnd::Listen(folder.file("s")));
    for round in 0..3 {
        let mut here = stream(StreamEnd::Connect(folder.file("s")));
        here.transmit(later(1), &mut frames(0..2, 60, &mut pool), &mut pool).unwrap();
        // The frames that were sent before the end count, too.
        drop(here);
        assert_eq!(received(&mut there, later(round), &mut pool), [0, 1]);
        assert!(!there.link().up);
    }
    drop(there);
    assert!(!folder.file("s").exists());
    let listener = net::UnixListener::bind(folder.file("s")).unwrap();
    let mut here = stream(StreamEnd::Connect(folder.file("s")));
    for round in 1..4 {
        assert_eq!(received(&mut here, later(round), &mut pool), []);
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(&[0, 0, 0, 60]).unwrap();
        peer.write_all(&[0; 60]).unwrap();
        peer.write_all(&[0, 0, 0, 60, 1]).unwrap();
        assert_eq!(received(&mut here, later(round), &mut pool), [0]);
        drop(peer);
        assert_eq!(received(&mut here, later(round), &mut pool), []);
        assert!(!here.link().up && here.next_timeout().is_some());
        here.transmit(later(round), &mut frames(0..1, 60, &mut pool), &mut pool).unwrap();
    }
    assert_eq!(here.counters().dropped_in[DeviceReason::Truncated as usize], 3);
    assert_eq!(here.counters().dropped_out[DeviceReason::LinkDown as usize], 3);
}

#[test]
fn a_hostile_length_ends_the_connection() {
    let (folder, mut pool) = (Folder::new("hostile"), PacketPool::default());
    let mut here = stream(StreamEnd::Listen(folder.file("s")));
    for (round, length) in [FRAME_LIMIT + 1, u32::MAX, 0x8000_0000].into_iter().enumerate() {
        let mut peer = net::UnixStream::connect(folder.file("s")).unwrap();
        peer.write_all(&60_u32.to_be_bytes()).unwrap();
        peer.write_all(&[0; 60]).unwrap();
        peer.write_all(&length.to_be_bytes()).unwrap();
        assert_eq!(received(&mut here, later(round as u64), &mut pool), [0]);
        assert!(!here.link().up);
        assert!(matches!(peer.read(&mut [0]), Ok(0) | Err(_)), "the connection is closed");
    }
    assert_eq!(here.counters().dropped_in[DeviceReason::Malformed as usize], 3);
}

#[test]
fn a_given_socket_ends_with_its_peer() {
    let mut pool = PacketPool::default();
    let (here, mut peer) = net::UnixStream::pair().unwrap();
    let mut here = UnixStream::from_socket(here.into(), UnixStreamConfig::default()).unwrap();
    here.transmit(START, &mut frames(9..10, 60, &mut pool), &mut pool).unwrap();
    let mut framed = [1; 64];
    peer.read_exact(&mut framed).unwrap();
    assert_eq!(framed[..8], [0, 0, 0, 60, 0, 0, 0, 9]);
    drop(peer);
    let mut batch = PacketBatch::new();
    assert_eq!(here.receive(START, &mut batch, &mut pool).unwrap(), Received::End);
    assert!(!here.link().up);
}

#[test]
fn nothing_is_left_behind() {
    let (folder, mut pool) = (Folder::new("leak"), PacketPool::default());
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut counts = Vec::new();
    for round in 0..50 {
        let (mut one, mut two) = (datagram(&folder, "a", "b"), datagram(&folder, "b", "a"));
        let mut listening = stream(StreamEnd::Listen(folder.file("s")));
        let mut connected = stream(StreamEnd::Connect(folder.file("s")));
        for (from, to) in
            [(&mut one as &mut dyn Device, &mut two as &mut dyn Device), (&mut connected, &mut listening)]
        {
            from.transmit(later(1), &mut frames(0..5, 600, &mut pool), &mut pool).unwrap();
            assert_eq!(received(to, later(1), &mut pool), [0, 1, 2, 3, 4]);
            from.close(&mut pool).unwrap();
        }
        drop((one, two, listening, connected));
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
        if round > 10 {
            counts.push((descriptors(), pool.waiting()));
        }
    }
    // Other tests of this process have descriptors of their own meanwhile: some dozens, never fifty rounds' worth.
    assert!(counts[counts.len() - 1].0 < counts[0].0 + 39, "{counts:?}");
    assert!(counts.iter().all(|(_, waiting)| *waiting == counts[0].1), "{counts:?}");
}

/// QEMU with an empty machine, which only passes frames on between a stream and datagrams; ended at the end.
struct Qemu(std::process::Child);

impl Qemu {
    fn start(folder: &Folder, serves: bool) -> std::io::Result<Self> {
        let path = |name: &str| folder.file(name).display().to_string();
        let server = if serves { "on" } else { "off" };
        let stream = format!("stream,id=s,server={server},addr.type=unix,addr.path={}", path("stream"));
        let (local, remote) = (path("qemu"), path("here"));
        let datagrams =
            format!("dgram,id=d,local.type=unix,local.path={local},remote.type=unix,remote.path={remote}");
        let mut command = std::process::Command::new("qemu-system-x86_64");
        command.args([
            "-M",
            "none",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-monitor",
            "none",
        ]);
        command.args(["-netdev", &stream, "-netdev", &datagrams]);
        command.args([
            "-netdev",
            "hubport,hubid=0,id=h0,netdev=s",
            "-netdev",
            "hubport,hubid=0,id=h1,netdev=d",
        ]);
        command.spawn().map(Self)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn qemu_takes_both_forms() {
    for serves in [false, true] {
        let (folder, mut pool) = (Folder::new(&format!("qemu-{serves}")), PacketPool::default());
        let path = folder.file("stream");
        let end = if serves { StreamEnd::Connect(path) } else { StreamEnd::Listen(path) };
        let mut stream = stream(end);
        let mut datagrams = datagram(&folder, "here", "qemu");
        let qemu = match Qemu::start(&folder, serves) {
            Ok(qemu) => qemu,
            Err(error) => return eprintln!("skipped: qemu-system-x86_64: {error}"),
        };
        let mut now = START;
        let mut turn = |stream: &mut UnixStream, datagrams: &mut UnixDatagram, pool: &mut PacketPool| {
            now += Duration::from_millis(200);
            std::thread::sleep(std::time::Duration::from_millis(5));
            (received(stream, now, pool), received(datagrams, now, pool))
        };
        // QEMU takes a while to pass the first frames on. Frames for a stream that nobody is connected to yet make it crash
        // (7.2), so that the stream speaks first.
        let greeting = 1_000..1_001;
        let (mut are_datagrams_met, mut is_stream_met) = (false, false);
        for _ in 0..2_000 {
            let speaker: &mut dyn Device = if are_datagrams_met { &mut datagrams } else { &mut stream };
            speaker.transmit(START, &mut frames(greeting.clone(), 60, &mut pool), &mut pool).unwrap();
            let (one, two) = turn(&mut stream, &mut datagrams, &mut pool);
            is_stream_met |= !one.is_empty();
            are_datagrams_met |= !two.is_empty();
            if is_stream_met {
                break;
            }
        }
        assert!(is_stream_met, "{serves} {stream:?} {datagrams:?}");
        let (mut to_stream, mut to_datagrams) = (Vec::new(), Vec::new());
        for round in 0..40 {
            let numbers = round * 10..round * 10 + 10;
            stream.transmit(START, &mut frames(numbers.clone(), 1_514, &mut pool), &mut pool).unwrap();
            datagrams.transmit(START, &mut frames(numbers, 60, &mut pool), &mut pool).unwrap();
            for _ in 0..200 {
                let (one, two) = turn(&mut stream, &mut datagrams, &mut pool);
                to_stream.extend(one.into_iter().filter(|number| !greeting.contains(number)));
                to_datagrams.extend(two.into_iter().filter(|number| !greeting.contains(number)));
                if to_stream.len().min(to_datagrams.len()) == (round as usize + 1) * 10 {
                    break;
                }
            }
        }
        let expected: Vec<_> = (0..400).collect();
        assert_eq!(
            (to_stream, to_datagrams),
            (expected.clone(), expected),
            "{:?} {:?}",
            stream.counters(),
            datagrams.counters()
        );
        drop(qemu);
        for _ in 0..3 {
            turn(&mut stream, &mut datagrams, &mut pool);
        }
        assert!(!stream.link().up && !datagrams.link().up);
    }
}

#[test]
fn the_event_loop_follows_connections_that_come_and_go() {
    let folder = Folder::new("loop");
    let listener = net::UnixListener::bind(folder.file("connected")).unwrap();
    let mut event_loop = EventLoop::new(LoopConfig::default()).unwrap();
    for (port, end) in
        [StreamEnd::Listen(folder.file("listening")), StreamEnd::Connect(folder.file("connected"))]
            .into_iter()
            .enumerate()
    {
        event_loop.add(port as u32, Box::new(stream(end)), PortOptions::default()).unwrap();
    }
    let (mut echo, mut ready, mut batch, mut out) =
        (Cross::to(|port| port), Ready::new(), PacketBatch::new(), Vec::new());
    let mut turns = |event_loop: &mut EventLoop, is_done: &mut dyn FnMut() -> bool| {
        for _ in 0..400 {
            let turn = event_loop.turn(&ready, &mut echo, &mut batch, &mut out).unwrap();
            let most = if turn == Turn::More { 0 } else { 5 };
            event_loop.poller().wait(Some(Duration::from_millis(most)), &mut ready).unwrap();
            if is_done() {
                return true;
            }
        }
        false
    };
    let frame = [&60_u32.to_be_bytes()[..], &[7; 60]].concat();
    for round in 0..4 {
        let mut peers =
            [net::UnixStream::connect(folder.file("listening")).unwrap(), listener.accept().unwrap().0];
        for peer in &mut peers {
            peer.set_nonblocking(true).unwrap();
            peer.write_all(&frame).unwrap();
            let mut back: Vec<u8> = Vec::new();
            let came = turns(&mut event_loop, &mut || {
                let mut piece = [0; 64];
                back.extend(peer.read(&mut piece).map_or(&[][..], |count| &piece[..count]));
                back.len() == frame.len()
            });
            assert!(came && back == frame, "round {round}: {} bytes", back.len());
        }
        // One peer at a time: another one is turned away, and does not keep the loop awake.
        let mut surplus = net::UnixStream::connect(folder.file("listening")).unwrap();
        surplus.set_nonblocking(true).unwrap();
        assert!(turns(&mut event_loop, &mut || surplus.read(&mut [0]).is_ok_and(|count| count == 0)));
        drop(peers);
        let mut counted = 0;
        turns(&mut event_loop, &mut || {
            counted += 1;
            counted > 40
        });
    }
    let turns = event_loop.counters().turns;
    assert!(turns < 1_500, "{turns}");
}

#[test]
fn who_sends_nothing_but_refused_frames_does_not_keep_the_reader() {
    let (here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut link = UnixStream::from_socket(here.into(), UnixStreamConfig::default()).unwrap();
    // Lengths of 0.
    let sender =
        std::thread::spawn(move || while std::io::Write::write_all(&mut there, &[0; 65_536]).is_ok() {});
    let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
    for _ in 0..200 {
        let before = link.counters().system_calls;
        link.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
        assert!(link.counters().system_calls - before <= 16 && batch.is_empty());
    }
    drop(link);
    sender.join().unwrap();
}
