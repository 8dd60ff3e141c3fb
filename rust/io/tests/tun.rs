//! TUN and TAP against the kernel: ping and iperf3 between two network namespaces, through two devices.
#![cfg(target_os = "linux")]
mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use common::live::{Namespaces, iperf, ping, programs, while_carried};
use netfast_io::device::fault::{FaultInjector, Faults};
use netfast_io::device::tee::{Tee, TeeOptions};
use netfast_io::device::tun::{Tun, TunKind, TunOptions};
use netfast_io::device::{Device, DeviceReason};
use netfast_time::Duration;

/// An interface of each namespace, with the addresses 10.9.0.N and fd00:9::N.
fn pair(spaces: &Namespaces, options: &TunOptions) -> [Tun; 2] {
    [0, 1].map(|index| {
        let number = index as u16 + 1;
        let options = TunOptions {
            namespace: Some(spaces.name(index)),
            addresses: vec![
                ([10, 9, 0, number as u8].into(), 24),
                ([0xfd00, 9, 0, 0, 0, 0, 0, number].into(), 64),
            ],
            up: true,
            ..options.clone()
        };
        options.open().expect("it can be made")
    })
}

#[test]
fn ping_and_tcp_go_through_with_virtio_headers() {
    for kind in [TunKind::Tun, TunKind::Tap] {
        need!(programs(&["ping", "iperf3"]));
        let spaces = need!(Namespaces::new(2));
        let options = TunOptions { kind, ..TunOptions::tun("nf0") };
        let devices = while_carried(pair(&spaces, &options), || {
            ping(&spaces, &[]);
            assert!(iperf(&spaces, &[]) > 1e6);
            assert!(iperf(&spaces, &["-R"]) > 1e6);
        });
        for device in &devices {
            let (counters, told) = (device.counters(), device.tun_counters());
            assert!(told.virtio.received_super > 10 && told.virtio.sent_super > 10, "{told:?}");
            assert_eq!(counters.dropped_in.iter().sum::<u64>(), 0, "{counters:?}");
            assert_eq!(counters.dropped_out.iter().sum::<u64>(), 0, "{counters:?}");
            assert_eq!(told.segmented.super_packets, 0, "{told:?}");
            assert!(device.link().up && device.link().mtu == 1_500, "{device:?}");
            assert_eq!(device.link().point_to_point, kind == TunKind::Tun);
        }
        let [a, b] = devices.map(|device| device.counters());
        assert_eq!((a.received, a.received_bytes), (b.sent, b.sent_bytes));
    }
}

#[test]
fn ping_and_tcp_go_through_without_virtio_headers() {
    need!(programs(&["ping", "iperf3"]));
    let spaces = need!(Namespaces::new(2));
    let options = TunOptions { offloads: false, ..TunOptions::tun("nf0") };
    let devices = while_carried(pair(&spaces, &options), || {
        ping(&spaces, &[]);
        assert!(iperf(&spaces, &[]) > 1e6);
    });
    assert!(devices.iter().all(|device| device.counters().dropped_out.iter().sum::<u64>() == 0));
}

/// Sends ten datagrams in one call (UDP_SEGMENT, 103), of which the last one is short.
const SEND: &str = "
import socket
for family, address in ((socket.AF_INET, '10.9.0.2'), (socket.AF_INET6, 'fd00:9::2')):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(17, 103, 1000)
    s.sendto(bytes(range(256)) * 38, (address, 5000))
";

/// Waits for them, and says how long they are.
const RECEIVE: &str = "
import socket
both = [socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6)]
both[0].bind(('10.9.0.2', 5000))
both[1].bind(('fd00:9::2', 5000))
print('ready', flush=True)
for s in both:
    s.settimeout(10)
    got = [s.recv(2000) for _ in range(10)]
    assert b''.join(got) == bytes(range(256)) * 38, got
    print([len(one) for one in got])
";

#[test]
fn udp_super_packets_go_through_whole_and_are_cut_by_the_kernel() {
    need!(programs(&["python3"]));
    let spaces = need!(Namespaces::new(2));
    let devices = while_carried(pair(&spaces, &TunOptions::tun("nf0")), || {
        let mut receiver = spaces.command(1, &["python3", "-c", RECEIVE]);
        let mut receiver = receiver.stdout(Stdio::piped()).spawn().expect("python3 is installed");
        let mut told = BufReader::new(receiver.stdout.take().expect("it is a pipe"));
        let mut line = String::new();
        told.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        spaces.expect(0, &["python3", "-c", SEND]);
        let mut lines = String::new();
        told.read_to_string(&mut lines).expect("text");
        assert!(receiver.wait().expect("it ends").success(), "{lines}");
        let lengths = "[1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 728]\n";
        assert_eq!(lines, lengths.repeat(2));
    });
    let [a, b] = devices.map(|device| device.tun_counters());
    assert_eq!((a.virtio.received_super, b.virtio.sent_super), (2, 2), "{a:?} {b:?}");
}

/// Serves six million bytes on TCP.
const SERVE: &str = "
import random, socket
s = socket.create_server(('fd00:9::2', 5000), family=socket.AF_INET6)
print('ready', flush=True)
c, _ = s.accept()
c.sendall(random.Random(7).randbytes(6000000))
c.close()
";

/// Takes them.
const FETCH: &str = "
import random, socket
s = socket.create_connection(('fd00:9::2', 5000), timeout=20)
got = b''
while part := s.recv(1 << 20):
    got += part
assert got == random.Random(7).randbytes(6000000), len(got)
";

fn fetch(spaces: &Namespaces) {
    let mut server = spaces.command(1, &["python3", "-c", SERVE]);
    let mut server = server.stdout(Stdio::piped()).spawn().expect("python3 is installed");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("it is a pipe")).read_line(&mut line).expect("a line");
    let fetched = spaces.run(0, &["python3", "-c", FETCH]);
    let _ = server.kill();
    let _ = server.wait();
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
}

#[test]
fn what_a_tee_captures_is_right_for_tshark() {
    need!(programs(&["python3", "ping", "tshark"]));
    let spaces = need!(Namespaces::new(2));
    let file = |end: usize| std::env::temp_dir().join(format!("{}.pcapng", spaces.name(end)));
    let [a, b] = pair(&spaces, &TunOptions::tun("nf0"));
    let tee = |tun, end| Tee::new(tun, &TeeOptions::new(file(end))).expect("a file can be made");
    let devices = while_carried([tee(a, 0), tee(b, 1)], || {
        ping(&spaces, &[]);
        fetch(&spaces);
    });
    let mut pool = netfast_buf::PacketPool::default();
    for (end, mut device) in devices.into_iter().enumerate() {
        device.close(&mut pool).expect("it can be completed");
        let counters = device.counters();
        assert_eq!(device.tee_counters().captured, counters.received + counters.sent);
        let told = Command::new("tshark")
            .args(["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"])
            .args(["-d", "tcp.port==5000,data", "-T", "fields", "-r"])
            .arg(file(end))
            .args(["-e", "frame.number", "-e", "_ws.expert.message", "-Y"])
            .arg("ip.checksum.status == 0 || tcp.checksum.status == 0 || _ws.expert.severity >= 8388608")
            .output()
            .expect("tshark is installed");
        let ways = ["1", "2"].map(|way| {
            let filter = format!("frame.packet_flags_direction == {way} && tcp");
            let counted = Command::new("tshark").arg("-r").arg(file(end)).args(["-Y", &filter]).output();
            String::from_utf8_lossy(&counted.expect("tshark is installed").stdout).lines().count()
        });
        let _ = std::fs::remove_file(file(end));
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        assert_eq!(String::from_utf8_lossy(&told.stdout), "");
        assert!(ways.iter().all(|&count| count > 10), "{ways:?}");
    }
}

#[test]
fn a_stream_arrives_whole_through_every_fault() {
    need!(programs(&["python3"]));
    let spaces = need!(Namespaces::new(2));
    let faults = Faults {
        loss: 0.03,
        duplicate: 0.02,
        reorder: 0.02,
        corrupt: 0.05,
        delay: Duration::from_micros(500),
        jitter: Duration::from_micros(200),
        ..Faults::NONE
    };
    let mut seed = 1;
    let faulty = pair(&spaces, &TunOptions::tun("nf0")).map(|tun| {
        seed += 1;
        FaultInjector::new(tun, faults, faults, seed).expect("good faults")
    });
    let devices = while_carried(faulty, || fetch(&spaces));
    let (mut damaged, mut lost) = (0, 0);
    for device in &devices {
        for told in device.fault_counters() {
            damaged += told.corrupted;
            let came = told.packets + told.duplicated + told.cut;
            assert_eq!(came, told.passed + told.lost + told.overflow + told.waiting, "{told:?}");
        }
        let counters = device.counters();
        lost += counters.dropped_out[DeviceReason::Injected as usize];
    }
    assert!(damaged > 0 && lost > 0, "{damaged} {lost}");
}
