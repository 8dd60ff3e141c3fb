//! UDP sockets as ports: packets both ways in both families, ECN, path MTU, a peer that does not listen, strangers; ping and
//! iperf3 of kernels through TUN and UDP.
#![cfg(target_os = "linux")]
mod common;

use std::collections::VecDeque;
use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::live::{Namespaces, carry};
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_io::device::tun::TunOptions;
use netfast_io::device::udp::{UdpConfig, UdpLink, UdpPayload};
use netfast_io::device::{Device, DeviceError, DeviceReason, Received};
use netfast_time::Instant;

const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// Two links that are each other's peers.
fn pair(local: &str, change: impl Fn(&mut UdpConfig)) -> [UdpLink; 2] {
    // A port that was free just now: the first link needs the second one's before that is open.
    let free = UdpSocket::bind(local).unwrap().local_addr().unwrap();
    let open = |local: SocketAddr, remote| {
        let mut config = UdpConfig::new(local, remote);
        change(&mut config);
        UdpLink::open(config).unwrap()
    };
    let one = open(local.parse().unwrap(), free);
    let two = open(free, one.local().unwrap());
    [one, two]
}

/// An IPv4 packet in a frame, with a right header checksum: of this ECN field, with a number, of so many bytes.
fn frame(ecn: u8, number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + length];
    frame[12..14].copy_from_slice(&[8, 0]);
    let packet = &mut frame[14..];
    (packet[0], packet[1], packet[8], packet[9]) = (0x45, 0xb8 | ecn, 64, 253);
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    packet[16..20].copy_from_slice(&number.to_be_bytes());
    let words = packet[..20].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame
}

/// The same of IPv6.
fn frame_6(ecn: u8, number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + length];
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    let packet = &mut frame[14..];
    (packet[0], packet[1], packet[6], packet[7]) = (0x6b, 0x80 | ecn << 4, 59, 64);
    packet[4..6].copy_from_slice(&(length as u16 - 40).to_be_bytes());
    packet[36..40].copy_from_slice(&number.to_be_bytes());
    frame
}

fn queue(frames: &[Vec<u8>], pool: &mut PacketPool) -> VecDeque<Skb> {
    frames.iter().map(|frame| Skb::from_slice(frame, pool).unwrap()).collect()
}

/// What arrives within a tenth of a second, or less time when that is enough.
fn received(link: &mut UdpLink, enough: usize, pool: &mut PacketPool) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for _ in 0..20 {
        loop {
            let mut batch = PacketBatch::new();
            let found = link.receive(Instant::from_secs(1), &mut batch, pool).unwrap();
            frames.extend(batch.packets().iter().map(Skb::to_vec));
            if found != Received::More {
                break;
            }
        }
        if frames.len() >= enough {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    frames
}

#[test]
fn packets_arrive_in_order_and_go_together() {
    let mut pool = PacketPool::default();
    for local in LOOPBACKS {
        for (payload, offloads) in
            [(UdpPayload::Ip, true), (UdpPayload::Ip, false), (UdpPayload::Ethernet, true)]
        {
            let [mut one, mut two] = pair(local, |config| {
                (config.payload, config.offloads) = (payload, offloads);
            });
            // Runs of equal lengths, of other ECN fields, and lengths that change with each packet.
            let frames: Vec<_> = (0..600)
                .map(|number| match number {
                    0..300 => frame(0, number, 1_000),
                    300..330 => frame(2, number, 1_000 - number as usize),
                    330..450 => frame_6(number as u8 & 3, number, 1_280),
                    _ => frame(1, number, 20 + (number as usize * 37) % 1_300),
                })
                .collect();
            one.transmit(Instant::ZERO, &mut queue(&frames, &mut pool), &mut pool).unwrap();
            let arrived = received(&mut two, frames.len(), &mut pool);
            assert!(arrived == frames, "{} of {}: {:?}", arrived.len(), frames.len(), two.counters());
            let (sent, got) = (one.counters(), two.counters());
            assert_eq!((sent.sent, got.received), (600, 600));
            assert_eq!(sent.sent_bytes, got.received_bytes);
            assert!(sent.system_calls < 20, "{sent:?}");
            if offloads {
                assert!(got.system_calls < 40, "{got:?}");
            }
            let link = one.link();
            assert_eq!((link.up, link.mtu, link.point_to_point), (true, 1_400, payload == UdpPayload::Ip));
        }
    }
}

#[test]
fn what_is_no_packet_is_counted() {
    let mut pool = PacketPool::default();
    let [mut one, mut two] = pair(LOOPBACKS[0], |_| {});
    let frames = [
        vec![0; 13],
        frame(0, 1, 60)[..14].to_vec(),
        [vec![0; 12], vec![8, 6], vec![0; 28]].concat(),
        [vec![0; 12], vec![8, 0, 0x60], vec![0; 40]].concat(),
        frame(0, 2, 1_409),
        frame(0, 3, 60),
    ];
    one.transmit(Instant::ZERO, &mut queue(&frames, &mut pool), &mut pool).unwrap();
    assert_eq!(received(&mut two, 1, &mut pool), [frame(0, 3, 60)]);
    let counters = one.counters();
    assert_eq!(counters.dropped_out[DeviceReason::Malformed as usize], 4, "{counters:?}");
    assert_eq!((counters.dropped_out[DeviceReason::TooLong as usize], counters.sent), (1, 1));
    // A peer that sends what it likes.
    let peer = UdpSocket::bind(LOOPBACKS[0]).unwrap();
    let config = UdpConfig::new(LOOPBACKS[0].parse().unwrap(), peer.local_addr().unwrap());
    let mut link = UdpLink::open(config).unwrap();
    for payload in [&[][..], &[0x45], &[0x60; 3], &[0x75; 40]] {
        peer.send_to(payload, link.local().unwrap()).unwrap();
    }
    assert_eq!(received(&mut link, 2, &mut pool).len(), 2);
    assert_eq!(link.counters().dropped_in[DeviceReason::Malformed as usize], 2);
}

#[test]
fn congestion_outside_is_told_inside() {
    let mut pool = PacketPool::default();
    for local in LOOPBACKS {
        let peer = UdpSocket::bind(local).unwrap();
        let config = UdpConfig::new(local.parse().unwrap(), peer.local_addr().unwrap());
        let mut link = UdpLink::open(config).unwrap();
        peer.connect(link.local().unwrap()).unwrap();
        let socket = socket2::SockRef::from(&peer);
        match local.starts_with('[') {
            true => socket.set_tclass_v6(3).unwrap(),
            false => socket.set_tos_v4(3).unwrap(),
        }
        for make in [frame, frame_6] {
            for ecn in 0..4 {
                peer.send(&make(ecn, 7, 60)[14..]).unwrap();
            }
            assert_eq!(received(&mut link, 3, &mut pool), vec![make(3, 7, 60); 3]);
        }
        assert_eq!(link.counters().dropped_in[DeviceReason::Refused as usize], 2);
    }
}

#[test]
fn nobody_listens_and_then_somebody_does() {
    let mut pool = PacketPool::default();
    let free = UdpSocket::bind(LOOPBACKS[0]).unwrap().local_addr().unwrap();
    let mut link = UdpLink::open(UdpConfig::new(LOOPBACKS[0].parse().unwrap(), free)).unwrap();
    let one = [frame(0, 1, 60)];
    for _ in 0..2 {
        link.transmit(Instant::ZERO, &mut queue(&one, &mut pool), &mut pool).unwrap();
    }
    let counters = link.counters();
    assert_eq!(
        (counters.sent, counters.dropped_out[DeviceReason::LinkDown as usize]),
        (1, 1),
        "{counters:?}"
    );
    assert!(!link.link().up && link.next_timeout().is_some());
    let peer = UdpSocket::bind(free).unwrap();
    peer.send_to(&one[0][14..], link.local().unwrap()).unwrap();
    assert_eq!(received(&mut link, 1, &mut pool), one);
    assert!(link.link().up);
}

#[test]
fn strangers_are_dropped_and_answers_leave_from_where_they_were_asked() {
    let mut pool = PacketPool::default();
    for (any, at, local) in [("0.0.0.0:0", "127.0.0.7", "127.0.0.1:0"), ("[::]:0", "::1", "[::1]:0")] {
        let peer = UdpSocket::bind(local).unwrap();
        let mut config = UdpConfig::new(any.parse().unwrap(), peer.local_addr().unwrap());
        config.connected = false;
        let mut link = UdpLink::open(config).unwrap();
        let to = SocketAddr::new(at.parse().unwrap(), link.local().unwrap().port());
        UdpSocket::bind(local).unwrap().send_to(&frame(0, 1, 60)[14..], to).unwrap();
        peer.send_to(&frame(0, 2, 60)[14..], to).unwrap();
        assert_eq!(received(&mut link, 1, &mut pool), [frame(0, 2, 60)]);
        assert_eq!(link.counters().dropped_in[DeviceReason::Refused as usize], 1);
        assert_eq!(link.heard_at(), Some(to.ip()));
        link.transmit(Instant::ZERO, &mut queue(&[frame(0, 3, 60), frame(0, 4, 60)], &mut pool), &mut pool)
            .unwrap();
        for number in [3, 4] {
            let mut answer = [0; 100];
            let (length, from) = peer.recv_from(&mut answer).unwrap();
            assert_eq!((&answer[..length], from), (&frame(0, number, 60)[14..], to));
        }
    }
}

#[test]
fn what_may_not_be_is_refused() {
    let config = |change: fn(&mut UdpConfig)| {
        let mut config = UdpConfig::new(LOOPBACKS[0].parse().unwrap(), "127.0.0.1:9".parse().unwrap());
        change(&mut config);
        UdpLink::open(config).unwrap_err()
    };
    let settings = [
        config(|config| config.local = "[::1]:0".parse().unwrap()),
        config(|config| config.remote.set_port(0)),
        config(|config| config.mtu = 575),
        config(|config| config.mtu = 65_001),
    ];
    for (error, name) in settings.iter().zip(["local", "remote", "mtu", "mtu"]) {
        assert!(matches!(error, DeviceError::Setting { setting, .. } if *setting == name), "{error}");
    }
    let error = config(|config| config.local = "192.0.2.1:0".parse().unwrap());
    assert!(matches!(error, DeviceError::Missing { .. }), "{error}");
    let taken = UdpSocket::bind(LOOPBACKS[0]).unwrap();
    let config = UdpConfig::new(taken.local_addr().unwrap(), "127.0.0.1:9".parse().unwrap());
    let error = UdpLink::open(config).unwrap_err();
    assert!(matches!(error, DeviceError::Setting { setting: "local", .. }), "{error}");
}

/// Two hosts on a wire, with the addresses 10.8.0.N and fd00:8::N.
fn hosts() -> Result<Namespaces, String> {
    let spaces = Namespaces::new(2)?;
    let other = spaces.name(1);
    spaces.expect(0, &["ip", "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", &other]);
    for space in 0..2 {
        let number = space + 1;
        spaces.expect(space, &["sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0"]);
        spaces.expect(space, &["ip", "addr", "add", &format!("10.8.0.{number}/24"), "dev", "eth0"]);
        spaces.expect(space, &["ip", "addr", "add", &format!("fd00:8::{number}/64"), "dev", "eth0"]);
        spaces.expect(space, &["ip", "link", "set", "eth0", "up"]);
    }
    Ok(spaces)
}

fn config(spaces: &Namespaces, space: usize, is_6: bool) -> UdpConfig {
    let address = |number| -> SocketAddr {
        let text = if is_6 { format!("[fd00:8::{number}]:4789") } else { format!("10.8.0.{number}:4789") };
        text.parse().unwrap()
    };
    let namespace = Some(spaces.name(space));
    UdpConfig { namespace, ..UdpConfig::new(address(space + 1), address(2 - space)) }
}

#[test]
fn the_path_says_what_it_carries() {
    for (is_6, headers) in [(false, 28), (true, 48)] {
        let spaces = need!(hosts());
        let mut pool = PacketPool::default();
        let wish = UdpConfig { mtu: 1_480, ..config(&spaces, 0, is_6) };
        let mut link = UdpLink::open(wish).unwrap();
        assert_eq!(link.link().mtu, 1_500 - headers);
        spaces.expect(0, &["ip", "link", "set", "eth0", "mtu", "1300"]);
        let frames =
            [frame(0, 1, 1_300), frame(0, 2, 1_300), frame(0, 3, 900), frame(0, 4, 1_300 - headers as usize)];
        link.transmit(Instant::ZERO, &mut queue(&frames, &mut pool), &mut pool).unwrap();
        let counters = link.counters();
        assert_eq!(
            (counters.sent, counters.dropped_out[DeviceReason::TooLong as usize]),
            (2, 2),
            "{counters:?}"
        );
        assert_eq!(link.link().mtu, 1_300 - headers);
    }
}

#[test]
fn datagrams_have_the_ecn_field_of_their_packets() {
    let spaces = need!(hosts());
    let mut pool = PacketPool::default();
    for (is_6, told) in [(false, "tos 0x"), (true, "class 0x")] {
        let mut link = UdpLink::open(config(&spaces, 0, is_6)).unwrap();
        let mut sniffer = spaces
            .command(1, &["tcpdump", "-nvli", "eth0", "-c", "8", "--immediate-mode", "udp", "port", "4789"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tcpdump is installed");
        std::thread::sleep(Duration::from_millis(700));
        let frames: Vec<_> = [0, 1, 2, 3, 3, 3, 0, 2].map(|ecn| frame(ecn, 0, 100)).into();
        link.transmit(Instant::ZERO, &mut queue(&frames, &mut pool), &mut pool).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let _ = sniffer.kill();
        let mut text = String::new();
        sniffer.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let _ = sniffer.wait();
        let fields: Vec<_> = text
            .lines()
            .filter(|line| line.contains("IP"))
            .map(|line| {
                let field = line.split_once(told).and_then(|(_, rest)| rest.split([',', ')']).next());
                field.map_or(0, |field| u8::from_str_radix(field, 16).unwrap())
            })
            .collect();
        // What goes together may be seen together: three of one field are one packet to the sniffer, or three.
        let mut runs = fields.clone();
        runs.dedup();
        assert_eq!(runs, [0, 1, 2, 3, 0, 2], "{text}");
    }
}

#[test]
fn kernels_talk_through_tun_and_udp() {
    for is_6 in [false, true] {
        let spaces = need!(hosts());
        let mut ends = [0, 1].map(|space| {
            let number = space as u8 + 1;
            let options = TunOptions {
                namespace: Some(spaces.name(space)),
                addresses: vec![([10, 9, 0, number].into(), 24)],
                mtu: Some(1_400),
                up: true,
                offloads: false,
                ..TunOptions::tun("nf0")
            };
            (options.open().unwrap(), UdpLink::open(config(&spaces, space, is_6)).unwrap())
        });
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (tun, udp) in &mut ends {
                scope.spawn(|| carry(tun, udp, &stop).unwrap());
            }
            let work = || {
                let told = spaces.expect(0, &["ping", "-c", "5", "-i", "0.05", "-s", "1372", "10.9.0.2"]);
                assert!(told.contains("5 received"), "{told}");
                let server = ["iperf3", "-s", "-1", "-D"];
                spaces.expect(1, &server);
                std::thread::sleep(Duration::from_millis(300));
                let told =
                    spaces.expect(0, &["iperf3", "-t", "1", "--connect-timeout", "3000", "-c", "10.9.0.2"]);
                assert!(told.contains("receiver"), "{told}");
            };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            stop.store(true, Ordering::Relaxed);
            if let Err(panic) = done {
                std::panic::resume_unwind(panic);
            }
        });
        for (_, udp) in &ends {
            let counters = udp.counters();
            assert!(
                counters.sent > 100 && counters.system_calls < counters.sent + counters.received,
                "{counters:?}"
            );
            assert_eq!(counters.dropped_out.iter().sum::<u64>(), 0, "{counters:?}");
        }
    }
}
