//! The states of RFC 4861 7.3.2 and appendix C, as the conformance tests of TAHI (2.1.x) and Linux's ARP have them.
use super::*;

const A: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9));

/// A neighbour in a state, with the time.
fn in_state(state: State) -> (Neighbours, Instant) {
    let mut table = table(NeighbourConfig::default());
    let mut now = at(100);
    match state {
        State::Incomplete | State::Failed => {
            table.hold(now, 0, A, packet(1, 60), true, refused);
        }
        State::Permanent => {
            table.set(0, A, MAC).unwrap();
        }
        State::Reachable => {
            table.hold(now, 0, A, packet(1, 60), true, refused);
            table.handle_advertisement(now, 0, A, &said(Some(MAC), true, true));
        }
        _ => {
            table.handle_solicitation(now, 0, A, MAC);
        }
    }
    if state == State::Failed {
        now = at(103);
        assert_eq!(failed(&mut table, now).len(), 1);
    }
    if matches!(state, State::Delay | State::Probe) {
        table.touch(now, table.resolve(0, A).unwrap().1);
    }
    if state == State::Probe {
        now = at(106);
        assert!(matches!(due(&mut table, now)[..], [Due::Solicit { mac: Some(MAC), .. }]));
    }
    assert_eq!(table.entry(0, A).unwrap().state, state);
    (table, now)
}

fn said(mac: Option<Mac>, solicited: bool, overrides: bool) -> Advertised {
    Advertised { mac, solicited, overrides, is_router: Some(true) }
}

use State::{Delay, Failed, Incomplete, Permanent, Probe, Reachable, Stale};

/// What an advertisement makes of each state: (link address, solicited, override) → state, link address, router.
#[test]
fn advertisements() {
    const KNOWN: [State; 4] = [Reachable, Stale, Delay, Probe];
    let check =
        |state: State, message: (Option<Mac>, bool, bool), then: State, mac: Option<Mac>, router: bool| {
            let (mut table, now) = in_state(state);
            let waits = table.holding();
            let update = table.handle_advertisement(now, 0, A, &said(message.0, message.1, message.2));
            let entry = table.entry(0, A).unwrap();
            let got = (entry.state, entry.mac, entry.is_router);
            assert_eq!(got, (then, mac, router), "{state} and {message:?}");
            assert_eq!(update.packets.len(), if state == Incomplete && mac.is_some() { waits } else { 0 });
        };
    for overrides in [false, true] {
        check(Incomplete, (Some(MAC), true, overrides), Reachable, Some(MAC), true);
        // Who was not asked may not hear the node; what waited is sent to it, which makes it a delay.
        check(Incomplete, (Some(MAC), false, overrides), Delay, Some(MAC), true);
        check(Incomplete, (None, true, overrides), Incomplete, None, false);
        check(Failed, (Some(MAC), true, overrides), Failed, None, false);
        check(Permanent, (Some(OTHER), true, overrides), Permanent, Some(MAC), false);
    }
    let (mut without, _) = in_state(Reachable);
    without.remove(0, A);
    let nobody = without.handle_advertisement(at(100), 0, A, &said(Some(MAC), true, true));
    assert!(nobody.change.is_none() && without.entry(0, A).is_none(), "one that nobody asked for");
    for state in KNOWN {
        // The same link address, or none.
        for mac in [Some(MAC), None] {
            for overrides in [false, true] {
                check(state, (mac, true, overrides), Reachable, Some(MAC), true);
                check(state, (mac, false, overrides), state, Some(MAC), true);
            }
        }
        // Another one, which does not override: nothing is believed of it, but doubt. Routers keep what they said.
        for solicited in [false, true] {
            let then = if state == Reachable { Stale } else { state };
            check(state, (Some(OTHER), solicited, false), then, Some(MAC), state == Reachable);
        }
        check(state, (Some(OTHER), true, true), Reachable, Some(OTHER), true);
        check(state, (Some(OTHER), false, true), Stale, Some(OTHER), true);
    }
}

#[test]
fn solicitations() {
    for state in [Reachable, Stale, Delay, Probe, Permanent, Incomplete, Failed] {
        let (mut table, now) = in_state(state);
        let update = table.handle_solicitation(now, 0, A, MAC);
        let entry = table.entry(0, A).unwrap();
        let then = match state {
            // What waited is sent.
            Incomplete => Delay,
            Failed => Stale,
            state => state,
        };
        assert_eq!((entry.state, entry.mac), (then, Some(MAC)), "{state}, the same link address");
        assert_eq!(update.packets.len(), usize::from(state == Incomplete));
        let (mut table, now) = in_state(state);
        let update = table.handle_solicitation(now, 0, A, OTHER);
        let entry = table.entry(0, A).unwrap();
        let (then, mac) = match state {
            Permanent => (Permanent, MAC),
            Incomplete => (Delay, OTHER),
            _ => (Stale, OTHER),
        };
        assert_eq!((entry.state, entry.mac), (then, Some(mac)), "{state}, another link address");
        let change = match state {
            Permanent => None,
            Incomplete | Failed => Some(Change::Found { mac: OTHER }),
            _ => Some(Change::Moved { from: MAC, mac: OTHER, is_kept: false }),
        };
        assert_eq!(update.change, change, "{state}");
    }
    let mut table = table(NeighbourConfig::default());
    let update = table.handle_solicitation(at(1), 0, A, MAC);
    assert_eq!(update.change, Some(Change::Found { mac: MAC }), "who asks is remembered");
    assert_eq!(table.entry(0, A).unwrap().state, Stale);
}

#[test]
fn an_upper_layer_confirms() {
    for state in [Reachable, Stale, Delay, Probe] {
        let (mut table, now) = in_state(state);
        table.confirm(now + millis(500), 0, A);
        let entry = table.entry(0, A).unwrap();
        assert_eq!((entry.state, entry.confirmed), (Reachable, now + millis(500)), "{state}");
    }
    for state in [Incomplete, Failed, Permanent] {
        let (mut table, now) = in_state(state);
        table.confirm(now, 0, A);
        assert_eq!(table.entry(0, A).unwrap().state, state);
    }
}

/// Three questions to all, a second apart; then the neighbour has failed, until somebody wants it again.
#[test]
fn whom_nobody_knows_all_are_asked_for() {
    let (mut table, now) = in_state(Incomplete);
    let question = |due: &Due| matches!(due, Due::Solicit { port: 0, address: A, mac: None });
    for second in 1..3 {
        assert!(due(&mut table, now + millis(second * 1_000 - 1)).is_empty());
        let asked = due(&mut table, now + millis(second * 1_000));
        assert!(asked.len() == 1 && question(&asked[0]), "{asked:?}");
    }
    assert_eq!(table.counters().solicited, 3, "with the first one, which hold() asked for");
    assert_eq!(failed(&mut table, now + millis(3_000)), [(A, vec![1])]);
    assert!(due(&mut table, now + millis(10_000)).is_empty());
    assert!(table.hold(now + millis(11_000), 0, A, packet(2, 60), true, refused).is_some(), "asked for anew");
    assert_eq!(table.entry(0, A).unwrap().state, Incomplete);
    // One that nobody wants is forgotten.
    let (mut table, now) = in_state(Failed);
    due(&mut table, now + Duration::from_secs(64));
    assert_eq!(table.total(), 0);
}

#[test]
fn a_stale_neighbour_that_is_used_is_asked_and_one_that_is_gone_fails() {
    let (mut table, now) = in_state(Stale);
    let slot = table.resolve(0, A).unwrap().1;
    assert!(due(&mut table, now + millis(50_000)).is_empty(), "nobody uses it");
    let now = now + millis(50_000);
    table.touch(now, slot);
    table.touch(now + millis(1_000), slot);
    assert_eq!(table.entry(0, A).unwrap().state, Delay);
    assert!(due(&mut table, now + millis(4_999)).is_empty());
    let mut times = Vec::new();
    let mut gone = None;
    for step in 0..100 {
        let now = now + millis(5_000 + step * 100);
        for due in due(&mut table, now) {
            match due {
                Due::Solicit { mac, .. } => {
                    assert_eq!((mac, table.resolve(0, A).unwrap().0), (Some(MAC), MAC), "it alone is asked");
                    times.push(step);
                }
                Due::Failed(expired) => gone = Some((step, expired.mac)),
                Due::Removed(entry) => panic!("{entry:?}"),
            }
        }
    }
    assert_eq!(times.len(), 3);
    assert!(
        times[0] <= 4 && times.windows(2).all(|pair| (10..=11).contains(&(pair[1] - pair[0]))),
        "{times:?}"
    );
    let (step, mac) = gone.unwrap();
    assert!((10..=11).contains(&(step - times[2])));
    assert_eq!((mac, table.resolve(0, A)), (Some(MAC), None));
    assert!(
        table.hold(now + millis(20_000), 0, A, packet(1, 60), true, refused).is_some(),
        "from the beginning"
    );
}

#[test]
fn a_reachable_neighbour_goes_stale_after_a_random_time_since_it_was_confirmed_last() {
    let mut seen = std::collections::HashSet::new();
    for seed in 0..50 {
        let mut table = Neighbours::new(NeighbourConfig::default(), seed);
        table.hold(at(100), 0, A, packet(1, 60), true, refused);
        table.handle_advertisement(at(100), 0, A, &said(Some(MAC), true, true));
        table.confirm(at(110), 0, A);
        let mut stale = None;
        for second in 110..160 {
            due(&mut table, at(second));
            let state = table.entry(0, A).unwrap().state;
            stale = stale.or((state == Stale).then_some(second));
        }
        let after = stale.unwrap() - 110;
        assert!((15..=45 + 3).contains(&after), "{after} s");
        seen.insert(after);
    }
    assert!(seen.len() > 10, "the times differ: {seen:?}");
}

/// Linux: `locktime`, which keeps two that answer one question from taking turns; an announcement is believed at once.
#[test]
fn of_two_that_answer_the_first_one_counts_in_arp() {
    let neighbour = IpAddr::from([192, 0, 2, 9]);
    let mut table = table(NeighbourConfig::default());
    let reply = |mac| Advertised { mac: Some(mac), solicited: true, overrides: true, is_router: None };
    table.hold(at(10), 0, neighbour, packet(1, 60), true, refused);
    assert_eq!(numbers(&table.handle_arp(at(10), 0, neighbour, &reply(MAC)).packets), [1]);
    assert!(table.handle_arp(at(10) + millis(999), 0, neighbour, &reply(OTHER)).change.is_none());
    assert_eq!((table.resolve(0, neighbour).unwrap().0, table.counters().locked), (MAC, 1));
    let moved = Change::Moved { from: MAC, mac: OTHER, is_kept: false };
    assert_eq!(table.handle_arp(at(11), 0, neighbour, &reply(OTHER)).change, Some(moved));
    let told =
        table.handle_advertisement(at(11), 0, neighbour, &Advertised { solicited: false, ..reply(MAC) });
    assert!(told.change.is_some());
    assert_eq!(table.entry(0, neighbour).unwrap().state, Stale);
}

#[test]
fn who_keeps_a_link_address_is_told_when_it_changes_or_goes() {
    let (mut table, now) = in_state(Stale);
    let slot = table.resolve(0, A).unwrap().1;
    table.keep_mac(slot);
    let moved = table.handle_solicitation(now, 0, A, OTHER);
    assert_eq!(moved.change, Some(Change::Moved { from: MAC, mac: OTHER, is_kept: true }));
    let again = table.handle_solicitation(now, 0, A, MAC);
    assert_eq!(again.change, Some(Change::Moved { from: OTHER, mac: MAC, is_kept: false }), "told once");
    table.keep_mac(slot);
    table.touch(now, slot);
    let gone = due(&mut table, now + Duration::from_secs(10));
    assert!(gone.iter().all(|due| matches!(due, Due::Solicit { .. })));
    let all: Vec<_> =
        (11..20).flat_map(|second| due(&mut table, now + Duration::from_secs(second))).collect();
    let failed = all.iter().find_map(|due| if let Due::Failed(expired) = due { Some(expired) } else { None });
    assert!(failed.unwrap().is_kept);
}

/// Programs know neighbours by their numbers, and may tell a moment later that one was used.
#[test]
fn a_place_that_is_free_is_not_used() {
    let (mut table, now) = in_state(Stale);
    let slot = table.entry(0, A).unwrap().slot;
    table.remove(0, A);
    table.touch(now, slot);
    assert_eq!((table.len(), table.total(), table.stale()), (0, 0, 0));
    assert!(due(&mut table, at(1_000)).is_empty(), "nobody is asked");
    let others = [1, 2].map(|last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, last)));
    others.iter().for_each(|other| drop(table.handle_solicitation(at(1_000), 0, *other, MAC)));
    let slots = others.map(|other| table.entry(0, other).unwrap().slot);
    assert_ne!(slots[0], slots[1], "each has a place of its own");
}

#[test]
fn where_nobody_asks_packets_wait_and_come_back_all_the_same() {
    let mut table = table(NeighbourConfig::default());
    assert!(table.hold(at(1), 0, A, packet(1, 60), false, refused).is_some());
    assert_eq!(table.next_timeout(), Some(at(4)));
    assert_eq!(failed(&mut table, at(4)), [(A, vec![1])]);
    assert_eq!((table.total(), table.next_timeout(), table.counters().solicited), (0, None, 0));
}
