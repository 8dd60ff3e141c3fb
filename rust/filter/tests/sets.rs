//! Sets that rules change: what they keep when rules or ports become others, and when they are full.

#[path = "evaluate/node.rs"]
mod node;

use netfast_filter::outcome::{Outcome, Walk};
use netfast_filter::state::RuleState;
use netfast_filter::{Ruleset, RulesetLimits};
use netfast_time::Instant;

use node::{PORTS, compile, forward_beside, ipv4, parsed, udp, walk};

/// Rules and their state, as a node holds them.
struct Held {
    rules: Ruleset,
    state: RuleState,
    now: Instant,
}

impl Held {
    fn new(text: &str) -> Self {
        let rules = compile(text);
        let state = rules.new_state();
        Self { rules, state, now: Instant::ZERO }
    }

    /// A UDP packet from an address: whether it passes.
    fn passes(&mut self, seconds: f64, source: [u8; 4], port: u16) -> bool {
        let now = Instant::from_nanos((seconds * 1e9) as u64);
        if now > self.now {
            self.state.advance(now);
            self.now = now;
        }
        let mut bytes = ipv4(17, &udp());
        bytes.l3[12..16].copy_from_slice(&source);
        bytes.l3[22..24].copy_from_slice(&port.to_be_bytes());
        let out = walk(&self.rules, &bytes.facts(17), &self.state, now);
        self.commit(&out, bytes.l3.len() as u32);
        out.outcome == Outcome::Accept
    }

    fn commit(&mut self, out: &Walk, length: u32) {
        let foretold = self.state.foretell(&out.effects, &out.keys, length, self.now);
        self.state.commit(&out.effects, &out.keys, length, self.now);
        assert_eq!(self.state.differs(&foretold), None);
    }

    fn replace(&mut self, text: &str, ports: &[(u32, &str)]) {
        let rules =
            self.rules.replacement(&parsed(text), ports, &RulesetLimits::default()).expect("compiles");
        self.state = rules.carry(&self.rules, &self.state, self.now);
        self.state.advance(self.now);
        self.rules = rules;
    }
}

const BAD: [u8; 4] = [192, 0, 2, 9];
const OLD: [u8; 4] = [192, 0, 2, 7];

/// A trap that bans who comes to it, and an element that is declared.
fn ban(element: &str, rules: &str) -> String {
    format!(
        "table inet t {{\nset ban {{\ntype ipv4_addr\nflags dynamic,timeout\ntimeout 1h\n}}\n\
         set old {{\ntype ipv4_addr\nflags timeout\nelements = {{ {element} }}\n}}\n\
         chain c {{\ntype filter hook forward priority 0; policy accept;\nip saddr @ban drop\nip saddr @old drop\n\
         {rules}\n}}\n}}\n"
    )
}

const TRAP: &str = "udp dport 666 add @ban { ip saddr } drop";

#[test]
fn another_port_leaves_elements_and_their_times_alone() {
    let text = ban("192.0.2.7 timeout 10s", TRAP);
    let mut held = Held::new(&text);
    assert!(!held.passes(1.0, BAD, 666));
    assert!(!held.passes(2.0, BAD, 53), "it is banned");
    assert!(!held.passes(2.0, OLD, 53));
    assert!(held.passes(20.0, OLD, 53), "its time is over");
    held.replace(&text, &[(1, "lan0"), (2, "lan1"), (3, "wan"), (4, "dmz")]);
    assert!(!held.passes(21.0, BAD, 53), "it is banned still");
    assert!(held.passes(22.0, OLD, 53), "its time is over still");
}

#[test]
fn what_is_said_otherwise_begins_anew_and_nothing_else() {
    let mut held = Held::new(&ban("192.0.2.7 timeout 10s, 192.0.2.6 timeout 1h", TRAP));
    let other = [192, 0, 2, 6];
    assert!(!held.passes(1.0, BAD, 666));
    // A comment, another order, another element: no time begins anew.
    held.replace(
        &ban("192.0.2.5 timeout 1m, 192.0.2.6 timeout 1h, 192.0.2.7 timeout 10s comment \"x\"", TRAP),
        &PORTS,
    );
    assert!(!held.passes(5.0, OLD, 53));
    assert!(!held.passes(5.0, BAD, 53));
    assert!(!held.passes(5.0, [192, 0, 2, 5], 53));
    assert!(held.passes(12.0, OLD, 53));
    // Another time begins now; an element that is no longer declared goes.
    held.replace(&ban("192.0.2.7 timeout 20s", TRAP), &PORTS);
    assert!(!held.passes(30.0, OLD, 53));
    assert!(held.passes(30.0, other, 53));
    assert!(held.passes(33.0, OLD, 53));
    // Without the rule that puts elements in, they stay as long as the set does.
    held.replace(&ban("192.0.2.7 timeout 20s", "counter"), &PORTS);
    assert!(!held.passes(40.0, BAD, 53));
    held.replace(
        &ban("192.0.2.7 timeout 20s", "udp dport 667 update @ban { ip saddr timeout 1m } drop"),
        &PORTS,
    );
    assert!(!held.passes(41.0, BAD, 53));
}

#[test]
fn what_was_deleted_stays_deleted_and_ranges_keep_their_times() {
    let text = |more: &str| {
        format!(
            "table inet t {{\nset in {{\ntype ipv4_addr\nflags dynamic\nelements = {{ 192.0.2.9, 192.0.2.7 {more} }}\n}}\n\
             set nets {{\ntype ipv4_addr\nflags interval,timeout\nelements = {{ 10.0.0.0/8 timeout 10s {more} }}\n}}\n\
             chain c {{\ntype filter hook forward priority 0; policy drop;\nudp dport 666 delete @in {{ ip saddr }} drop\n\
             ip saddr {{ 10.0.0.1, 10.0.0.2 }} ip saddr @nets accept\nip saddr @in accept\n}}\n}}\n"
        )
    };
    let mut held = Held::new(&text(""));
    assert!(held.passes(1.0, BAD, 53));
    assert!(!held.passes(2.0, BAD, 666));
    assert!(!held.passes(3.0, BAD, 53));
    held.replace(&text(", 198.51.100.1"), &PORTS);
    assert!(!held.passes(4.0, BAD, 53), "it was deleted");
    assert!(held.passes(4.0, OLD, 53));
    assert!(held.passes(10.0, [10, 0, 0, 1], 53));
    assert!(!held.passes(11.5, [10, 0, 0, 1], 53), "its time is not begun anew");
}

#[test]
fn elements_of_ports_go_with_them() {
    let text = "table inet t {\nset seen {\ntype ifname . ipv4_addr\nflags dynamic\n}\n\
                chain c {\ntype filter hook forward priority 0; policy accept;\n\
                udp dport 666 add @seen { iifname . ip saddr } drop\niifname . ip saddr @seen drop\n}\n}\n";
    let mut held = Held::new(text);
    assert!(!held.passes(1.0, BAD, 666));
    held.replace(text, &[(1, "lan0"), (4, "dmz")]);
    assert!(!held.passes(2.0, BAD, 53));
    held.replace(text, &[(1, "other"), (4, "dmz")]);
    assert!(held.passes(3.0, BAD, 53), "another port has the number");
}

#[test]
fn elements_get_what_the_statement_gives_now() {
    let meter = |each: &str| {
        format!(
            "table inet t {{\nset q {{\ntype ipv4_addr\nflags dynamic\n}}\n\
             chain c {{\ntype filter hook forward priority 0; policy drop;\nudp dport 53 add @q {{ ip saddr {each} }} accept\n}}\n}}\n"
        )
    };
    let passed = |held: &mut Held, from: f64| -> Vec<bool> {
        (0..3).map(|packet| held.passes(from + f64::from(packet) / 1e3, BAD, 53)).collect()
    };
    let mut held = Held::new(&meter("limit rate 1/hour burst 1 packets"));
    assert_eq!(passed(&mut held, 1.0), [true, false, false]);
    held.replace(&meter("limit rate 1/hour burst 1 packets"), &PORTS);
    assert_eq!(passed(&mut held, 2.0), [false; 3], "the same limit goes on");
    held.replace(&meter("limit rate 1000/second"), &PORTS);
    assert_eq!(passed(&mut held, 3.0), [true; 3]);
    held.replace(&meter("quota 60 bytes"), &PORTS);
    assert_eq!(passed(&mut held, 4.0), [true, true, false]);
    held.replace(&meter(""), &PORTS);
    assert_eq!(passed(&mut held, 5.0), [true; 3]);
    held.replace(&meter("limit rate 1/hour burst 2 packets"), &PORTS);
    assert_eq!(passed(&mut held, 6.0), [true, true, false]);
}

#[test]
fn what_a_packet_deletes_makes_room_for_what_it_adds() {
    let full = "set s {\ntype ipv4_addr\nflags dynamic\nsize 1\nelements = { 10.0.0.1 }\n}";
    let rules = forward_beside("delete @s { ip saddr }\nadd @s { ip daddr } accept", full);
    let bytes = ipv4(17, &udp());
    let mut state = rules.new_state();
    for now in [1, 2].map(Instant::from_secs) {
        state.advance(now);
        let out = walk(&rules, &bytes.facts(17), &state, now);
        assert_eq!(out.outcome, Outcome::Accept);
        state.commit(&out.effects, &out.keys, 28, now);
        assert_eq!(state.elements(), (1, 0));
    }
    // And what it takes back leaves no room taken.
    let rules = forward_beside(
        "add @s { ip daddr }\ndelete @s { ip daddr }\nadd @s { ip saddr } accept",
        "set s {\ntype ipv4_addr\nflags dynamic\nsize 1\n}",
    );
    let state = rules.new_state();
    assert_eq!(walk(&rules, &bytes.facts(17), &state, Instant::ZERO).outcome, Outcome::Accept);
}

#[test]
fn a_size_of_0_is_none() {
    let rules =
        forward_beside("add @s { ip saddr } accept", "set s {\ntype ipv4_addr\nflags dynamic\nsize 0\n}");
    let bytes = ipv4(17, &udp());
    assert_eq!(walk(&rules, &bytes.facts(17), &rules.new_state(), Instant::ZERO).outcome, Outcome::Accept);
}

#[test]
fn elements_that_are_over_leave_a_full_set_within_a_second() {
    let text = "table inet t {\nset s {\ntype ipv4_addr\nflags dynamic,timeout\nsize 5000\n}\n\
                chain c {\ntype filter hook forward priority 0; policy drop;\n\
                udp dport 53 add @s { ip saddr timeout 10s } accept\n\
                udp dport 54 add @s { ip saddr timeout 1h } accept\n}\n}\n";
    let mut held = Held::new(text);
    let source = |number: u16| {
        let [high, low] = number.to_be_bytes();
        [10, 0, high, low]
    };
    for number in 0..5_000 {
        let port = if number % 20 == 0 { 53 } else { 54 };
        assert!(held.passes(1.0, source(number), port));
    }
    assert!(!held.passes(2.0, source(6_000), 54), "it is full");
    let came = |number: &u16| held.passes(20.0 + f64::from(*number) / 1e3, source(10_000 + number), 54);
    let found_room = (0..300).filter(came).count();
    assert_eq!(found_room, 250);
    assert_eq!(held.state.elements(), (5_000, 51));
}

/// As nft and Linux have it.
#[test]
fn of_two_times_of_an_element_the_last_counts_and_of_ranges_the_first() {
    let text = |flags: &str, element: &str, [first, last]: [&str; 2]| {
        format!(
            "table inet t {{\nset s {{\ntype ipv4_addr\nflags {flags}\n\
             elements = {{ {element} timeout {first}, {element} timeout {last} }}\n}}\n\
             chain c {{\ntype filter hook forward priority 0; policy drop;\nip saddr @s accept\n}}\n}}\n"
        )
    };
    let texts =
        [text("timeout", "192.0.2.9", ["1m", "1h"]), text("interval,timeout", "192.0.2.8/30", ["1h", "1m"])];
    for text in texts {
        let mut held = Held::new(&text);
        assert!(held.passes(1.0, BAD, 53));
        assert!(held.passes(3_600.0, BAD, 53));
        assert!(!held.passes(3_602.0, BAD, 53));
    }
}
