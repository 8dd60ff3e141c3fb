//! Packet sockets against the kernel: ping and iperf3 between two network namespaces, through two interfaces of a third.
#![cfg(target_os = "linux")]
mod common;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::live::{Cross, Namespaces, iperf, ping, wait, while_carried, without_privileges};
use netfast_buf::{ChecksumState, GsoType, PacketBatch, PacketPool, Skb};
use netfast_io::device::packet_socket::{FanOut, PacketReceive, PacketSocket, PacketSocketConfig};
use netfast_io::device::queues::Queues;
use netfast_io::device::{Device, DeviceError, DeviceReason};
use netfast_io::event_loop::{EventLoop, LoopConfig, PortOptions, Ready, Turn};
use netfast_offload::segment::{Segmenter, finish_checksum};
use netfast_time::Instant;
use netfast_wire::LinkType;
use std::collections::VecDeque;

/// Two hosts and what is between them: interface `nf0` of the third namespace leads to `eth0` of the first, `nf1` to that of
/// the second. Hosts have the addresses 10.9.0.N and fd00:9::N.
fn hosts() -> Result<Namespaces, String> {
    let spaces = Namespaces::new(3)?;
    for (index, port) in ["nf0", "nf1"].into_iter().enumerate() {
        let (host, number) = (spaces.name(index), index + 1);
        spaces.expect(2, &["ip", "link", "add", port, "type", "veth", "peer", "eth0", "netns", &host]);
        spaces.expect(2, &["sysctl", "-qw", &format!("net.ipv6.conf.{port}.disable_ipv6=1")]);
        spaces.expect(2, &["ip", "link", "set", port, "up"]);
        spaces.expect(index, &["sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0"]);
        spaces.expect(index, &["ip", "addr", "add", &format!("10.9.0.{number}/24"), "dev", "eth0"]);
        spaces.expect(index, &["ip", "addr", "add", &format!("fd00:9::{number}/64"), "dev", "eth0"]);
        spaces.expect(index, &["ip", "link", "set", "eth0", "up"]);
    }
    // The system takes up to a second to see that there is a carrier.
    let has_carrier = || (0..3).all(|space| !spaces.expect(space, &["ip", "link"]).contains("state DOWN"));
    for _ in 0..40 {
        if has_carrier() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(spaces)
}

fn config(spaces: &Namespaces, interface: &str) -> PacketSocketConfig {
    PacketSocketConfig { namespace: Some(spaces.name(2)), ..PacketSocketConfig::new(interface) }
}

fn ports(spaces: &Namespaces, change: impl Fn(&mut PacketSocketConfig)) -> [PacketSocket; 2] {
    ["nf0", "nf1"].map(|interface| {
        let mut config = config(spaces, interface);
        change(&mut config);
        PacketSocket::open(config).expect("it can be opened")
    })
}

/// The ways to receive.
const WAYS: [PacketReceive; 2] = [PacketReceive::BLOCKS, PacketReceive::SLOTS];

#[test]
fn ping_and_tcp_go_through_with_offloads() {
    for receive in WAYS {
        let spaces = need!(hosts());
        let devices = while_carried(ports(&spaces, |config| config.receive = receive), || {
            ping(&spaces, &[]);
            ping(&spaces, &["-s", "1452"]);
            iperf(&spaces, &[]);
            iperf(&spaces, &["-R"]);
        });
        for device in &devices {
            let (counters, offloads) = (device.counters(), device.offloads().expect("switched on"));
            assert!(offloads.received_super > 10 && offloads.sent_super > 10, "{offloads:?}");
            assert_eq!(offloads.refused.iter().sum::<u64>(), 0, "{offloads:?}");
            let overruns = counters.dropped_in[DeviceReason::Overrun as usize];
            assert_eq!(counters.dropped_in.iter().sum::<u64>(), overruns, "{counters:?}");
            assert_eq!(counters.dropped_out.iter().sum::<u64>(), 0, "{counters:?}");
            assert!(device.link().up && device.link().mtu == 1_500);
        }
        let [a, b] = devices.map(|device| device.counters());
        assert_eq!((a.received, a.received_bytes), (b.sent, b.sent_bytes));
    }
}

#[test]
fn ping_and_tcp_go_through_without_offloads() {
    for receive in WAYS {
        let spaces = need!(hosts());
        for space in 0..2 {
            spaces.expect(space, &["ethtool", "-K", "eth0", "tx", "off", "gso", "off", "tso", "off"]);
        }
        let change = |config: &mut PacketSocketConfig| {
            (config.receive, config.offloads, config.qdisc_bypass) = (receive, false, true);
        };
        let devices = while_carried(ports(&spaces, change), || {
            ping(&spaces, &[]);
            iperf(&spaces, &[]);
        });
        assert!(devices.iter().all(|device| device.offloads().is_none()));
    }
}

/// A UDP packet from the first host to an address that nobody has, in a VLAN or not; its checksum is left to the device.
fn unfinished(tag: &[u8], payload: usize, pool: &mut PacketPool) -> Skb {
    let length = (8 + payload) as u16;
    let mut frame = [&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1], tag, &[8, 0, 0x45, 0]].concat();
    frame.extend((20 + length).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 9, 0x1b, 0x58, 0x1b, 0x59]);
    frame.extend(length.to_be_bytes());
    // The sum of the pseudo-header: two addresses, protocol and length.
    let sum = 0x0a09 + 1 + 0x0a09 + 9 + 17 + length;
    frame.extend(sum.to_be_bytes());
    frame.extend((0..payload).map(|at| at as u8));
    let mut packet = Skb::from_slice(&frame, pool).unwrap();
    packet.hot.checksum = ChecksumState::Partial;
    packet
}

#[test]
fn vlan_tags_that_the_kernel_took_out_are_in_the_frames_again() {
    for (receive, offloads) in WAYS.into_iter().flat_map(|receive| [(receive, true), (receive, false)]) {
        let spaces = need!(hosts());
        for (space, interface) in [(0, "eth0"), (2, "nf0")] {
            spaces.expect(space, &["ip", "link", "set", interface, "mtu", "9000"]);
        }
        let [mut port, _] = ports(&spaces, |config| config.receive = receive);
        let at_host = PacketSocketConfig {
            namespace: Some(spaces.name(0)),
            offloads,
            ..PacketSocketConfig::new("eth0")
        };
        let mut host = PacketSocket::open(at_host).unwrap();
        let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
        let tags: [&[u8]; 4] =
            [&[], &[0x81, 0, 0x60, 7], &[0x88, 0xa8, 0, 8], &[0x88, 0xa8, 0, 8, 0x81, 0, 0, 7]];
        // The longer ones stand in no slot, and are not copied from a block.
        let all = || [40, 5_000, 1_400].into_iter().flat_map(|payload| tags.map(|tag| (tag, payload)));
        let mut sent: VecDeque<_> = all().map(|(tag, payload)| unfinished(tag, payload, &mut pool)).collect();
        let expected: Vec<_> =
            all().map(|(tag, payload)| finished(unfinished(tag, payload, &mut pool), &mut pool)).collect();
        host.transmit(Instant::ZERO, &mut sent, &mut pool).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        port.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
        let ours = batch.drain().filter(|packet| packet.head().starts_with(&[2, 0, 0, 0, 0, 9]));
        let received: Vec<_> = ours.map(|packet| finished(packet, &mut pool)).collect();
        assert!(
            received == expected,
            "{receive:?} offloads: {offloads} {} {:?}",
            received.len(),
            host.counters()
        );
    }
}

/// The bytes with the right checksum.
fn finished(mut packet: Skb, pool: &mut PacketPool) -> Vec<u8> {
    finish_checksum(&mut packet, LinkType::ETHERNET, pool).unwrap();
    packet.to_vec()
}

#[test]
fn packets_that_are_held_keep_their_bytes_and_stop_no_others() {
    for receive in [PacketReceive::Blocks { block: 1 << 18, blocks: 8, retire: 1 }, PacketReceive::SLOTS] {
        let spaces = need!(hosts());
        for (space, interface) in [(0, "eth0"), (2, "nf0")] {
            spaces.expect(space, &["ip", "link", "set", interface, "mtu", "60000"]);
        }
        let [mut port, _] = ports(&spaces, |config| config.receive = receive);
        let at_host =
            PacketSocketConfig { namespace: Some(spaces.name(0)), ..PacketSocketConfig::new("eth0") };
        let mut host = PacketSocket::open(at_host).unwrap();
        let mut pool = PacketPool::default();
        let frame = |number: usize| {
            let mut bytes = vec![number as u8; 20_000 + 500 * (number % 60)];
            bytes[..14].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
            bytes
        };
        let mut held = Vec::new();
        for number in 0..100 {
            let bytes = frame(number);
            let length = bytes.len();
            let mut queue = VecDeque::from([Skb::from_block(bytes.into(), 0, length).unwrap()]);
            host.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
            for _ in 0..20 {
                wait(&[&port]);
                let mut batch = PacketBatch::new();
                port.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
                held.extend(batch.drain().filter(|packet| packet.head()[12..14] == [0x88, 0xb5]));
                if held.len() > number {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(held.len(), 100, "{receive:?} {:?} {:?}", port.counters(), host.counters());
        assert!(held.iter().enumerate().all(|(number, packet)| packet.to_vec() == frame(number)));
    }
}

#[test]
fn the_interface_may_change_and_go() {
    let spaces = need!(hosts());
    let [mut a, mut b] = ports(&spaces, |_| {});
    let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
    let mut seconds = 1;
    let mut look = |device: &mut PacketSocket| {
        seconds += 1;
        device.receive(Instant::from_secs(seconds), &mut batch, &mut pool).map(|_| device.link())
    };
    let frame = |length| VecDeque::from([Skb::from_block(vec![2; length].into(), 0, length).unwrap()]);
    let mut pool = PacketPool::default();
    for (change, up, mtu) in [
        (&["mtu", "9000"][..], true, 9_000),
        (&["mtu", "1400"], true, 1_400),
        (&["down"], false, 1_400),
        (&["name", "other"], false, 1_400),
        (&["up", "dev", "other"], true, 1_400),
    ] {
        let name = a.interface().to_owned();
        let change: Vec<_> =
            if change.len() == 3 { change.to_vec() } else { [&["dev", &name][..], change].concat() };
        spaces.expect(2, &[&["ip", "link", "set"][..], &change].concat());
        let mut link = look(&mut a).unwrap();
        // The system takes up to a second to see that there is a carrier.
        for _ in 0..40 {
            if (link.up, link.mtu) == (up, mtu) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
            link = look(&mut a).unwrap();
        }
        assert_eq!((link.up, link.mtu), (up, mtu), "{change:?}");
        a.transmit(Instant::ZERO, &mut frame(60), &mut pool).unwrap();
    }
    assert_eq!((a.name(), a.interface()), ("nf0", "other"));
    a.transmit(Instant::ZERO, &mut frame(1_419), &mut pool).unwrap();
    let counters = a.counters();
    assert_eq!(
        (counters.sent, counters.dropped_out[DeviceReason::LinkDown as usize]),
        (3, 2),
        "{counters:?}"
    );
    assert_eq!(counters.dropped_out[DeviceReason::TooLong as usize], 1);
    // The other end loses its carrier, and the interface is deleted.
    spaces.expect(1, &["ip", "link", "set", "eth0", "down"]);
    assert!((0..40).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        !look(&mut b).unwrap().up
    }));
    spaces.expect(2, &["ip", "link", "delete", "nf1"]);
    for _ in 0..2 {
        assert!(matches!(look(&mut b), Err(DeviceError::Gone { .. })));
        assert!(!b.link().up);
        assert!(matches!(
            b.transmit(Instant::ZERO, &mut frame(60), &mut pool),
            Err(DeviceError::Gone { .. })
        ));
    }
    let error = PacketSocket::open(config(&spaces, "nf1")).unwrap_err();
    assert!(matches!(&error, DeviceError::Missing { .. }), "{error}");
}

#[test]
fn a_full_queue_is_counted_and_promiscuity_ends_with_the_socket() {
    let small = PacketReceive::Blocks { block: 69_632, blocks: 2, retire: 1 };
    for receive in [small, PacketReceive::Slots { slot: 2_048, slots: 64 }] {
        let spaces = need!(hosts());
        let promiscuity = || {
            let told = spaces.expect(2, &["ip", "-d", "link", "show", "nf0"]);
            told.split_once("promiscuity ").expect("ip -d says it").1.as_bytes()[0]
        };
        assert_eq!(promiscuity(), b'0');
        let [mut a, _] = ports(&spaces, |config| config.receive = receive);
        assert_eq!(promiscuity(), b'1');
        spaces
            .run(0, &["ping", "-q", "-c", "400", "-l", "400", "-s", "1400", "-W", "0.1", "-b", "10.9.0.255"]);
        std::thread::sleep(Duration::from_millis(10));
        let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
        a.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
        a.close(&mut pool).unwrap();
        let counters = a.counters();
        let overrun = counters.dropped_in[DeviceReason::Overrun as usize];
        assert!(overrun > 100 && overrun + counters.received >= 400, "{counters:?}");
        drop(a);
        // A process that another test starts has the socket, too, until it has become another program.
        let ends = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            promiscuity() == b'0'
        });
        assert!(ends);
    }
}

#[test]
fn a_group_shares_out_and_loses_nothing() {
    for (receive, fan_out) in WAYS.into_iter().zip([FanOut::Hash, FanOut::RoundRobin]) {
        let spaces = need!(hosts());
        let mut config = config(&spaces, "nf0");
        (config.receive, config.fan_out) = (receive, fan_out);
        let mut queues = PacketSocket::open_queues(&config, 3).unwrap();
        for port in 0..60 {
            let address = format!("/dev/udp/10.9.0.9/{}", 7_000 + port);
            spaces.expect(
                0,
                &["ip", "neigh", "replace", "10.9.0.9", "lladdr", "02:00:00:00:00:09", "dev", "eth0"],
            );
            spaces.expect(0, &["bash", "-c", &format!("echo x > {address}")]);
        }
        std::thread::sleep(Duration::from_millis(20));
        let mut pool = PacketPool::default();
        let counts: Vec<_> = queues
            .iter_mut()
            .map(|queue| {
                let mut batch = PacketBatch::new();
                queue.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
                batch.packets().iter().filter(|packet| packet.head()[12..14] == [8, 0]).count()
            })
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 60, "{counts:?}");
        assert!(counts.iter().all(|count| *count > 5), "{counts:?}");
        assert!(queues.iter().map(Device::name).eq(["nf0.0", "nf0.1", "nf0.2"]));
    }
}

#[test]
fn sockets_that_are_opened_by_themselves_join_a_group_by_its_number() {
    let spaces = need!(hosts());
    let grouped = |group, fan_out| {
        PacketSocket::open(PacketSocketConfig { group: Some(group), fan_out, ..config(&spaces, "nf0") })
    };
    // Packets come all the time: none comes twice, though the second socket is opened only now.
    let mut first = grouped(7, FanOut::RoundRobin).unwrap();
    let mut flood = spaces
        .command(0, &["ping", "-q", "-c", "200", "-i", "0.002", "-b", "10.9.0.255"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("ping is installed");
    std::thread::sleep(Duration::from_millis(50));
    let mut second = grouped(7, FanOut::RoundRobin).unwrap();
    flood.wait().unwrap();
    let mut pool = PacketPool::default();
    let mut numbers = |socket: &mut PacketSocket| {
        let mut batch = PacketBatch::new();
        socket.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
        let requests = batch.drain().map(|packet| packet.to_vec()).filter(|frame| frame[12..14] == [8, 0]);
        requests.map(|frame| [frame[40], frame[41]]).collect::<Vec<_>>()
    };
    let (one, mut all) = (numbers(&mut first), numbers(&mut second));
    assert!(one.len() > 20 && all.len() > 20, "{} and {}", one.len(), all.len());
    all.extend(one);
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count, "none came twice");
    // The other kind of sharing out is none of this group's.
    let error = grouped(7, FanOut::Hash).map(drop).unwrap_err();
    assert!(matches!(error, DeviceError::Setting { setting: "group", .. }), "{error}");
}

#[test]
fn one_worker_serves_all_queues() {
    let spaces = need!(hosts());
    let mut event_loop = EventLoop::new(LoopConfig::default()).unwrap();
    for (number, interface) in ["nf0", "nf1"].into_iter().enumerate() {
        let queues = PacketSocket::open_queues(&config(&spaces, interface), 3).unwrap();
        let device = Box::new(Queues::new(interface, queues).unwrap());
        event_loop.add(number as u32, device, PortOptions::default()).unwrap();
    }
    let (mut cross, mut ready) = (Cross::to(|port| 1 - port), Ready::new());
    let (mut batch, mut out) = (PacketBatch::new(), Vec::new());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let turn = event_loop.turn(&ready, &mut cross, &mut batch, &mut out).unwrap();
                let most = if turn == Turn::More { 0 } else { 20 };
                event_loop
                    .poller()
                    .wait(Some(netfast_time::Duration::from_millis(most)), &mut ready)
                    .unwrap();
            }
            event_loop
        });
        let work = || {
            ping(&spaces, &[]);
            assert!(iperf(&spaces, &["-P", "4"]) > 1e6);
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        let event_loop = served.join().expect("no panic");
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
        for port in 0..2 {
            let counters = event_loop.device_counters(port).unwrap();
            assert!(counters.received > 100 && counters.sent > 100, "{counters:?}");
        }
        let idle = event_loop.counters().turns;
        assert!(idle > 0 && event_loop.device(0).is_some_and(|device| device.name() == "nf0"));
    });
}

#[test]
fn an_interface_that_comes_back_needs_no_privilege() {
    for receive in WAYS {
        let spaces = need!(hosts());
        let socket = PacketSocket::open(PacketSocketConfig { receive, ..config(&spaces, "nf0") }).unwrap();
        let mut device: Box<dyn Device> = Box::new(socket);
        let keeper = device.keeper().expect("it is in no group");
        let mut pool = PacketPool::default();
        // Twice: what was kept is kept on.
        for _ in 0..2 {
            spaces.expect(2, &["ip", "link", "delete", "nf0"]);
            let gone = device.receive(Instant::from_secs(1), &mut PacketBatch::new(), &mut pool);
            assert!(matches!(gone, Err(DeviceError::Gone { .. })), "{gone:?}");
            drop(device);
            let missing = without_privileges(|| keeper().map(drop));
            assert!(matches!(missing, Err(DeviceError::Missing { .. })), "{missing:?}");
            let host = spaces.name(0);
            spaces.expect(2, &["ip", "link", "add", "nf0", "type", "veth", "peer", "eth0", "netns", &host]);
            spaces.expect(2, &["ip", "link", "set", "nf0", "up"]);
            spaces.expect(0, &["ip", "addr", "add", "10.9.0.1/24", "dev", "eth0"]);
            spaces.expect(0, &["ip", "link", "set", "eth0", "up"]);
            let refused = without_privileges(|| PacketSocket::open(config(&spaces, "nf0")).map(drop));
            assert!(matches!(refused, Err(DeviceError::NotPermitted { .. })), "{refused:?}");
            device = without_privileges(&keeper).unwrap();
            spaces.run(0, &["ping", "-q", "-c", "20", "-i", "0.01", "-W", "0.1", "-b", "10.9.0.255"]);
            let mut batch = PacketBatch::new();
            device.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
            assert!(batch.len() >= 20, "{receive:?}: {}", batch.len());
        }
    }
}

#[test]
fn what_may_not_be_is_refused_before_anything_is_opened() {
    let config = |change: fn(&mut PacketSocketConfig)| {
        let mut config = PacketSocketConfig::new("lo");
        change(&mut config);
        PacketSocket::open(config).map(drop).unwrap_err().to_string()
    };
    for (error, setting) in [
        (config(|config| config.interface = String::new()), "interface"),
        (config(|config| config.interface = "x".repeat(16)), "interface"),
        (
            config(|config| config.receive = PacketReceive::Blocks { block: 65_536, blocks: 4, retire: 1 }),
            "block",
        ),
        (
            config(|config| config.receive = PacketReceive::Blocks { block: 1 << 20, blocks: 1, retire: 1 }),
            "blocks",
        ),
        (
            config(|config| config.receive = PacketReceive::Blocks { block: 1 << 20, blocks: 4, retire: 0 }),
            "retire",
        ),
    ] {
        assert!(error.contains(setting), "{error}");
    }
}

#[test]
fn nothing_is_left_behind() {
    let spaces = need!(hosts());
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap().matches("socket:").count();
    let mut pinned = Vec::new();
    let before = descriptors();
    for round in 0..20 {
        let [mut a, b] = ports(&spaces, |config| config.receive = WAYS[round % 2]);
        spaces.run(0, &["ping", "-q", "-c", "3", "-i", "0.002", "-W", "0.01", "10.9.0.77"]);
        std::thread::sleep(Duration::from_millis(5));
        let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
        a.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
        pinned.extend(batch.drain());
        drop((a, b));
    }
    // Packets outlive their socket.
    assert!(!pinned.is_empty() && pinned.iter().all(|packet| packet.to_vec().len() >= 42));
    drop(pinned);
    assert!(maps() < 30 && descriptors() < before + 40, "{} {}", maps(), descriptors());
}

/// What a super-packet stands for.
fn segments(packet: Skb, pool: &mut PacketPool) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    Segmenter::default().segment(packet, pool, &mut segments).unwrap();
    segments.iter().map(Skb::to_vec).collect()
}

#[test]
fn super_packets_go_whole_or_are_cut_where_they_cannot() {
    for receive in WAYS {
        let spaces = need!(hosts());
        let [mut port, _] = ports(&spaces, |config| config.receive = receive);
        let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
        for offloads in [true, false] {
            let at_host = PacketSocketConfig {
                namespace: Some(spaces.name(0)),
                offloads,
                ..PacketSocketConfig::new("eth0")
            };
            let mut host = PacketSocket::open(at_host).unwrap();
            let packet = |pool: &mut PacketPool| {
                let mut packet = unfinished(&[], 9_999, pool);
                (packet.hot.gso_type, packet.hot.gso_size) = (GsoType::Udp, 1_000);
                packet
            };
            let expected = segments(packet(&mut pool), &mut pool);
            assert_eq!(expected.len(), 10);
            let mut queue = VecDeque::from([packet(&mut pool)]);
            host.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
            std::thread::sleep(Duration::from_millis(10));
            port.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
            let ours: Vec<_> =
                batch.drain().filter(|packet| packet.head().starts_with(&[2, 0, 0, 0, 0, 9])).collect();
            let count = if offloads { 1 } else { 10 };
            assert_eq!((ours.len(), host.counters().sent), (count, count as u64), "{:?}", host.counters());
            let received: Vec<_> = ours.into_iter().flat_map(|packet| segments(packet, &mut pool)).collect();
            assert!(received == expected, "{receive:?} offloads: {offloads}");
        }
    }
}

#[test]
fn the_event_loop_sleeps_when_nothing_comes() {
    for receive in WAYS {
        let spaces = need!(hosts());
        let mut event_loop = EventLoop::new(LoopConfig::default()).unwrap();
        for (number, port) in ports(&spaces, |config| config.receive = receive).into_iter().enumerate() {
            event_loop.add(number as u32, Box::new(port), PortOptions::default()).unwrap();
        }
        let (mut cross, mut ready) = (Cross::to(|port| 1 - port), Ready::new());
        let (mut batch, mut out) = (PacketBatch::new(), Vec::new());
        let mut turns = |event_loop: &mut EventLoop, is_done: &mut dyn FnMut() -> bool| {
            let before = event_loop.counters().turns;
            while !is_done() {
                let turn = event_loop.turn(&ready, &mut cross, &mut batch, &mut out).unwrap();
                let most = if turn == Turn::More { 0 } else { 100 };
                event_loop
                    .poller()
                    .wait(Some(netfast_time::Duration::from_millis(most)), &mut ready)
                    .unwrap();
            }
            event_loop.counters().turns - before
        };
        let mut ping = spaces
            .command(0, &["ping", "-c", "20", "-i", "0.01", "-W", "2", "10.9.0.2"])
            .stdout(Stdio::null())
            .spawn()
            .expect("ping is installed");
        turns(&mut event_loop, &mut || ping.try_wait().unwrap().is_some());
        assert!(ping.wait().unwrap().success());
        let second = || {
            let mut ends = Command::new("sleep").arg("1").spawn().expect("sleep is installed");
            move || ends.try_wait().unwrap().is_some()
        };
        // Its looks at the interfaces, and what hosts say of themselves.
        let idle = turns(&mut event_loop, &mut second());
        assert!(idle < 60, "{receive:?}: {idle} turns in a second");
        spaces.expect(2, &["ip", "link", "set", "nf1", "down"]);
        let idle = turns(&mut event_loop, &mut second());
        assert!(idle < 60, "{receive:?}: {idle} turns in a second without the link");
        assert!(!event_loop.device(1).unwrap().link().up);
        spaces.expect(2, &["ip", "link", "delete", "nf0"]);
        let idle = turns(&mut event_loop, &mut second());
        assert!(idle < 60 && event_loop.device(0).is_none(), "{receive:?}: {idle} turns in a second");
    }
}
