//! TUN and TAP against the kernel: ping and iperf3 between two network namespaces, through two devices.
#![cfg(target_os = "linux")]
mod live;

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use live::{Namespaces, carry};
use netfast_io::device::Device;
use netfast_io::device::tun::{Tun, TunKind, TunOptions};

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

/// Does `work` while frames are carried, and gives the devices back.
fn while_carried(mut devices: [Tun; 2], work: impl FnOnce()) -> [Tun; 2] {
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

fn ping(spaces: &Namespaces) {
    for address in ["10.9.0.2", "fd00:9::2"] {
        let told = spaces.expect(0, &["ping", "-c", "5", "-i", "0.05", "-W", "2", address]);
        assert!(told.contains("5 received"), "{told}");
    }
}

/// Bits a second that iperf3 says arrived.
fn iperf(spaces: &Namespaces, arguments: &[&str]) -> f64 {
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
        std::thread::sleep(std::time::Duration::from_millis(100));
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

#[test]
fn ping_and_tcp_go_through_with_virtio_headers() {
    for kind in [TunKind::Tun, TunKind::Tap] {
        let spaces = need!(Namespaces::new(2));
        let options = TunOptions { kind, ..TunOptions::tun("nf0") };
        let devices = while_carried(pair(&spaces, &options), || {
            ping(&spaces);
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
    let spaces = need!(Namespaces::new(2));
    let options = TunOptions { offloads: false, ..TunOptions::tun("nf0") };
    let devices = while_carried(pair(&spaces, &options), || {
        ping(&spaces);
        assert!(iperf(&spaces, &[]) > 1e6);
    });
    assert!(devices.iter().all(|device| device.counters().dropped_out.iter().sum::<u64>() == 0));
}
