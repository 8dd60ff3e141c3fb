//! What works here: all is told once, in order, and nothing is left behind, with privileges and without.
#![cfg(target_os = "linux")]
use std::fs;
use std::process::Command;

use netfast_io::device::probe::{Finding, Lack, Probe, probe};

fn interfaces() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn all_is_told_and_nothing_is_left_behind() {
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let namespace = || fs::read_link("/proc/thread-self/ns/net").unwrap();
    probe();
    let before = (interfaces(), namespace(), descriptors());
    let found = probe();
    assert_eq!((interfaces(), namespace(), descriptors()), before);
    assert!(found.iter().map(|finding| finding.probe).eq(Probe::ALL.iter().copied()));
    for Finding { probe, answer } in &found {
        match answer {
            Ok(()) => println!("probe {probe}: works"),
            Err(lack) => println!("probe {probe}: {lack}"),
        }
        // A part of what works has an answer of its own.
        if let Err(Lack::Needs { needed }) = answer {
            assert!(found.iter().any(|finding| finding.probe == *needed && finding.answer.is_err()));
        }
    }
    let works = |probe| found.iter().any(|finding| finding.probe == probe && finding.answer.is_ok());
    assert!(works(Probe::Unix) && works(Probe::Udp), "{found:?}");
}

/// The same test without privileges, in a process of its own: what it prints.
fn as_nobody() -> Result<String, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("becoming somebody without privileges needs root".to_owned());
    }
    let program = std::env::current_exe().unwrap();
    let copy = std::env::temp_dir().join(format!("netfast-probe-{}", std::process::id()));
    fs::copy(program, &copy).unwrap();
    let done = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
        .arg(&copy)
        .args(["--exact", "all_is_told_and_nothing_is_left_behind", "--nocapture"])
        .current_dir("/")
        .output();
    let _ = fs::remove_file(copy);
    let done = done.map_err(|error| format!("setpriv of util-linux: {error}"))?;
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
    Ok(told)
}

#[test]
fn without_privileges_each_remedy_is_named() {
    let told = match as_nobody() {
        Ok(told) => told,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    for (probe, word) in [
        ("namespace", "CAP_SYS_ADMIN"),
        ("packet", "CAP_NET_RAW"),
        ("packet_blocks", "it needs packet"),
        ("unix", "works"),
        ("udp", "works"),
    ] {
        let line = told.lines().find(|line| line.contains(&format!("probe {probe}: ")));
        assert!(line.is_some_and(|line| line.contains(word)), "{probe}: {told}");
    }
    let tun = told.lines().find(|line| line.contains("probe tun: ")).unwrap();
    assert!(tun.contains("CAP_NET_ADMIN") || tun.contains("/dev/net/tun"), "{tun}");
}
