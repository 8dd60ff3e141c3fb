//! Files that are replayed and recorded.
use super::*;
use crate::capture::PcapWriter;
use crate::device::testing::{Folder, datagram, packet};

const START: Instant = Instant::from_secs(500);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A file with a frame at each of these times, in ms, numbered from 0.
fn file(folder: &Folder, times: &[u64]) -> PathBuf {
    let path = folder.file("in.pcapng");
    let mut writer = PcapngWriter::create(&path, &PcapngOptions::default()).unwrap();
    writer.add_interface(&InterfaceOptions::new(LinkType::ETHERNET)).unwrap();
    for (number, time) in times.iter().enumerate() {
        let bytes = datagram(number as u16, b"x");
        let time = 1_700_000_000_000_000_000 + time * 1_000_000;
        writer.write(0, time, bytes.len() as u32, &bytes, &PacketMeta::default()).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// The numbers of the frames that are there now, and what was found.
fn take(device: &mut CaptureFile, now: Instant) -> (Vec<u8>, Received) {
    let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
    let found = device.receive(now, &mut batch, &mut pool).unwrap();
    assert!(batch.packets().iter().all(|packet| packet.hot.timestamp <= now));
    (batch.drain().map(|packet| packet.to_vec()[35]).collect(), found)
}

#[test]
fn a_file_is_replayed_at_its_own_pace() {
    let folder = Folder::new();
    let path = file(&folder, &[0, 10, 10, 30]);
    let mut device = CaptureFile::open(CaptureOptions::replay(path)).unwrap();
    assert_eq!((device.name(), device.link().point_to_point), ("in.pcapng", false));
    assert!(device.next_timeout().unwrap() < START, "it wants to be asked at once");
    assert_eq!(take(&mut device, START), (vec![0], Received::Empty));
    assert_eq!(device.next_timeout(), Some(START + ms(10)));
    assert_eq!(take(&mut device, START + ms(9)), (vec![], Received::Empty));
    assert_eq!(take(&mut device, START + ms(12)), (vec![1, 2], Received::Empty));
    assert_eq!(device.next_timeout(), Some(START + ms(30)));
    assert_eq!(take(&mut device, START + ms(30)), (vec![3], Received::End));
    assert_eq!((device.next_timeout(), take(&mut device, START + ms(30)).1), (None, Received::End));
    assert_eq!((device.counters().received, device.counters().received_bytes), (4, 4 * 43));
}

#[test]
fn a_file_is_replayed_faster_slower_and_several_times() {
    let folder = Folder::new();
    let path = file(&folder, &[0, 10, 30]);
    let scaled = |scale, times| {
        let options = CaptureOptions { pace: Pace::Scaled(scale), times, ..CaptureOptions::replay(&path) };
        CaptureFile::open(options).unwrap()
    };
    let mut device = scaled(10.0, 2);
    assert_eq!(take(&mut device, START).0, [0]);
    assert_eq!(take(&mut device, START + ms(1)).0, [1]);
    assert_eq!(take(&mut device, START + ms(3)), (vec![2, 0], Received::Empty), "and again from there");
    assert_eq!(device.next_timeout(), Some(START + ms(4)));
    assert_eq!(take(&mut device, START + ms(100)), (vec![1, 2], Received::End));
    let mut device = scaled(0.5, 1);
    assert_eq!(take(&mut device, START).0, [0]);
    assert_eq!(device.next_timeout(), Some(START + ms(20)));
    let options = CaptureOptions { pace: Pace::Full, times: 100, ..CaptureOptions::replay(&path) };
    let mut device = CaptureFile::open(options).unwrap();
    assert_eq!(take(&mut device, START).1, Received::More);
    let (rest, found) = take(&mut device, START);
    assert_eq!((rest.len(), found), (44, Received::End));
}

#[test]
fn times_that_go_back_do_not_hold_up() {
    let folder = Folder::new();
    let path = file(&folder, &[50, 40, 60]);
    let mut device = CaptureFile::open(CaptureOptions::replay(path)).unwrap();
    assert_eq!(take(&mut device, START).0, [0, 1]);
    assert_eq!(device.next_timeout(), Some(START + ms(10)));
}

#[test]
fn ip_of_another_link_type_becomes_a_frame_and_the_rest_is_counted() {
    let folder = Folder::new();
    let path = folder.file("raw.pcap");
    let mut writer = PcapWriter::create(&path, LinkType::RAW, Default::default()).unwrap();
    let ip = &datagram(9, b"x")[14..];
    for (bytes, length) in [(ip, 29), (&[0x10, 0, 0][..], 3), (&ip[..20], 29), (&[][..], 0)] {
        writer.write(0, length, bytes).unwrap();
    }
    writer.finish().unwrap();
    let mut device = CaptureFile::open(CaptureOptions::replay(path)).unwrap();
    assert!(device.link().point_to_point);
    assert_eq!(take(&mut device, START), (vec![9], Received::End));
    let dropped = device.counters().dropped_in;
    assert_eq!(dropped[DeviceReason::Malformed as usize], 2);
    assert_eq!(dropped[DeviceReason::Truncated as usize], 1);
}

#[test]
fn what_is_sent_is_recorded_and_can_be_replayed() {
    let (folder, mut pool) = (Folder::new(), PacketPool::default());
    let path = folder.file("out.pcapng");
    let mut device = CaptureFile::open(CaptureOptions::record(&path)).unwrap();
    let mut queue: VecDeque<_> = (0..300).map(|port| packet(&datagram(port, b"x"), &mut pool)).collect();
    queue.push_back(packet(&vec![0; 1_523], &mut pool));
    device.transmit(START, &mut queue, &mut pool).unwrap();
    assert_eq!((queue.len(), device.counters().sent), (0, 300));
    assert_eq!(device.counters().dropped_out[DeviceReason::TooLong as usize], 1);
    assert_eq!(take(&mut device, START).1, Received::End);
    device.close(&mut pool).unwrap();
    let mut again = CaptureFile::open(CaptureOptions::replay(&path)).unwrap();
    let (first, found) = take(&mut again, START);
    assert_eq!((first.len(), found), (256, Received::More));
    assert_eq!(take(&mut again, START), ((0..=43).collect(), Received::End));
}

#[test]
fn damage_is_told_once_and_ends_the_replay() {
    let folder = Folder::new();
    let path = file(&folder, &[0, 0]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let mut device = CaptureFile::open(CaptureOptions::replay(&path)).unwrap();
    let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
    let failed = device.receive(START, &mut batch, &mut pool);
    let text = failed.unwrap_err().to_string();
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    assert_eq!((batch.len(), device.next_timeout()), (1, None), "what was before it is there");
    assert_eq!(take(&mut device, START).1, Received::End);
    let options = CaptureOptions { lenient: true, ..CaptureOptions::replay(&path) };
    assert_eq!(take(&mut CaptureFile::open(options).unwrap(), START), (vec![0], Received::End));
}

#[test]
fn frames_that_are_none_end_a_call_too() {
    let (folder, mut pool) = (Folder::new(), PacketPool::default());
    let path = folder.file("short.pcapng");
    let mut writer = PcapngWriter::create(&path, &PcapngOptions::default()).unwrap();
    writer.add_interface(&InterfaceOptions::new(LinkType::ETHERNET)).unwrap();
    for _ in 0..2_000 {
        writer.write(0, 0, 3, &[1, 2, 3], &PacketMeta::default()).unwrap();
    }
    writer.finish().unwrap();
    let mut device =
        CaptureFile::open(CaptureOptions { pace: Pace::Full, ..CaptureOptions::replay(&path) }).unwrap();
    let mut batch = PacketBatch::new();
    assert_eq!(device.receive(START, &mut batch, &mut pool).unwrap(), Received::More);
    assert_eq!(device.counters().dropped_in[DeviceReason::Malformed as usize], TURN_FRAMES as u64);
    let more = (0..2_000).take_while(|_| take(&mut device, START) == (vec![], Received::More)).count();
    assert_eq!(more, 2_000 / TURN_FRAMES - 1);
    assert_eq!(device.counters().dropped_in[DeviceReason::Malformed as usize], 2_000);
}

#[test]
fn settings_are_checked() {
    let folder = Folder::new();
    let path = file(&folder, &[]);
    let good = CaptureOptions::replay(&path);
    for options in [
        CaptureOptions { pace: Pace::Scaled(0.0), ..good.clone() },
        CaptureOptions { pace: Pace::Scaled(f64::NAN), ..good.clone() },
        CaptureOptions { times: 0, ..good.clone() },
        CaptureOptions { mtu: 10, ..good.clone() },
        CaptureOptions { record: Some(path.clone()), ..good.clone() },
        CaptureOptions::replay(folder.as_ref()),
    ] {
        let refused = CaptureFile::open(options.clone());
        assert!(matches!(refused, Err(DeviceError::Setting { .. })), "{options:?}");
    }
    let missing = CaptureFile::open(CaptureOptions::replay(folder.file("missing")));
    assert!(
        missing.is_err_and(|error| error.to_string().starts_with(&format!("{}", folder.as_ref().display())))
    );
    let mut empty = CaptureFile::open(CaptureOptions { times: 5, ..good }).unwrap();
    assert_eq!(take(&mut empty, START), (vec![], Received::End), "nothing, five times");
}
