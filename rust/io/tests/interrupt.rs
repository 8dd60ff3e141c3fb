//! Waits for a pipe that are given up.
#![cfg(unix)]
mod common;

use common::*;
use netfast_io::capture::{Interrupt, Reader, ReaderOptions, RecordBatch};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const STANDARD: u32 = 0xa1b2_c3d4;

/// Says yes when asked for the third time.
fn third_time() -> (ReaderOptions, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = asked.clone();
    let interrupt = Interrupt::new(move || counter.fetch_add(1, Ordering::Relaxed) == 2);
    (ReaderOptions { interrupt: Some(interrupt), ..options() }, asked)
}

#[test]
fn a_silent_pipe_is_given_up_when_asked_to() {
    for lenient in [false, true] {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(&LE.pcap_header(STANDARD, (2, 4), 1)).expect("room");
        writer.write_all(&LE.record(1, 0, 60, 0, b"hello")).expect("room");
        let (with, asked) = third_time();
        let file = File::from(OwnedFd::from(reader));
        let mut reader = Reader::from_file(file, ReaderOptions { lenient, ..with }).expect("a capture");
        let mut batch = RecordBatch::default();
        assert!(reader.next_batch(&mut batch, 64).expect("what came is given"));
        // Leniency is for damage.
        assert!(reader.next_batch(&mut batch, 64).is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        drop(writer);
    }
}

#[test]
fn a_pipe_that_never_matters_to_the_caller_is_asked_about_in_time() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&LE.pcap_header(STANDARD, (2, 4), 1)).expect("room");
    let feeder = std::thread::spawn(move || {
        // Never silent for as long as a tenth of a second, at most for ten seconds.
        for i in 0..1000 {
            std::thread::sleep(Duration::from_millis(10));
            if writer.write_all(&LE.record(i, 0, 60, 0, b"hello")).is_err() {
                return i;
            }
        }
        1000
    });
    let (with, _) = third_time();
    {
        let file = File::from(OwnedFd::from(reader));
        let mut reader = Reader::from_file(file, with).expect("a capture");
        let mut batch = RecordBatch::default();
        while reader.next_batch(&mut batch, 64).is_ok_and(|more| more) {}
    }
    let written = feeder.join().expect("the feeder is done");
    assert!(written < 500, "{written}");
}

#[test]
fn what_is_canceled_by_another_thread_ends() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&LE.pcap_header(STANDARD, (2, 4), 1)).expect("room");
    let interrupt = Interrupt::new(|| false);
    let with = ReaderOptions { interrupt: Some(interrupt.clone()), ..options() };
    let mut reader = Reader::from_file(File::from(OwnedFd::from(reader)), with).expect("a capture");
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        interrupt.cancel();
    });
    assert!(reader.next_batch(&mut RecordBatch::default(), 64).is_err());
    other.join().expect("it only cancels");
    drop(writer);
}

#[test]
#[cfg(target_os = "linux")]
fn a_fifo_waits_for_its_first_writer_and_can_be_given_up() {
    let path = std::env::temp_dir().join(format!("netfast-io-{}-fifo", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    let (with, _) = third_time();
    assert!(Reader::open(&path, with).is_err());
    let written = path.clone();
    let feeder = std::thread::spawn(move || {
        let mut file = File::options().write(true).open(written).expect("a reader");
        file.write_all(&LE.pcap_header(STANDARD, (2, 4), 1)).expect("it reads");
        std::thread::sleep(Duration::from_millis(150));
        file.write_all(&LE.record(1, 0, 60, 0, b"hello")).expect("it reads");
    });
    let with = ReaderOptions { interrupt: Some(Interrupt::new(|| false)), ..options() };
    let mut reader = Reader::open(&path, with).expect("a capture");
    let (packets, error) = drain(&mut reader, 16);
    feeder.join().expect("the feeder is done");
    std::fs::remove_file(&path).expect("it was made here");
    assert_eq!((packets, error.is_none()), (vec![packet(1_000_000_000, 60, b"hello")], true));
}
