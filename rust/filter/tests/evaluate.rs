//! What verdicts, effects and programs are; what a replacement keeps.

#[path = "evaluate/node.rs"]
mod node;

use netfast_filter::facts::*;
use netfast_filter::outcome::*;
use netfast_filter::{CompileError, Ruleset, RulesetLimits, Tracer};
use netfast_nft::ast::{Hook, NatKind};
use netfast_time::{Duration, Instant};

use node::{PORTS, base, compile, forward, forward_beside, ipv4, ipv6, parsed, tcp, udp, walk};

#[test]
fn verdicts_and_chains() {
    let facts = ipv4(6, &tcp(2));
    let facts = facts.facts(6);
    let outcome = |rules: &str, others: &str| {
        let rules = forward_beside(rules, others);
        walk(&rules, &facts, &rules.new_state(), Instant::ZERO).outcome
    };
    for (rules, others, accepted) in [
        ("", "", false),
        ("accept", "", true),
        ("return", "", false),
        ("jump a; accept", "chain a { }", true),
        ("jump a; accept", "chain a { drop }", false),
        ("jump a; accept", "chain a { return; drop; }", true),
        ("goto a; accept", "chain a { }", false),
        ("goto a; drop", "chain a { accept }", true),
        ("jump a; accept", "chain a { goto b; drop; }\nchain b { }", true),
        ("jump a; drop", "chain a { jump b; accept; }\nchain b { return; }", true),
        ("tcp dport vmap { 22 : jump a, 23 : drop }; drop", "chain a { accept }", true),
        ("tcp dport vmap { 23 : accept }; accept", "", true),
        ("ip saddr . tcp dport vmap { 10.0.0.1 . 22 : accept }", "", true),
        ("tcp dport vmap @m", "map m { type inet_service : verdict; elements = { 22 : accept } }", true),
        ("ip saddr @s accept", "set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }", true),
        ("ip saddr != @s accept", "set s { type ipv4_addr; elements = { 10.0.0.1 } }", false),
        ("meta mark set 5; meta mark 5 accept", "", true),
        ("meta mark set 5; meta mark set meta mark or 2; meta mark 7 accept", "", true),
        ("meta mark set tcp dport map { 22 : 9 }; meta mark 9 accept", "", true),
    ] {
        let expected = if accepted { Outcome::Accept } else { Outcome::Drop };
        assert_eq!(outcome(rules, others), expected, "{rules}\n{others}");
    }
    assert_eq!(outcome("reject", ""), Outcome::Reject(RejectWith::Icmp(3)));
    assert_eq!(outcome("reject with icmpx admin-prohibited", ""), Outcome::Reject(RejectWith::Icmp(13)));
    assert_eq!(outcome("reject with tcp reset", ""), Outcome::Reject(RejectWith::TcpReset));
    let packet = ipv6(6, &[], &tcp(2));
    let rules = forward("reject");
    let out = walk(&rules, &packet.facts(6), &rules.new_state(), Instant::ZERO);
    assert_eq!(out.outcome, Outcome::Reject(RejectWith::Icmpv6(4)));
    assert_eq!(out.rule.and_then(|rule| rules.rule(rule)).map(|info| &*info.chain), Some("f"));
}

#[test]
fn base_chains_by_family_hook_and_priority() {
    let rules = compile(
        "table ip a { chain z { type filter hook input priority 10; }\nchain y { type filter hook input priority -5; } }\n\
         table inet b { chain x { type filter hook input priority 0; } }\n\
         table ip6 c { chain w { type filter hook input priority 0; } }\n",
    );
    let names = |family| {
        let bases = rules.bases(family, Hook::Input).iter();
        bases.filter_map(|base| rules.base(*base)).map(|base| base.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(Family::Ipv4), ["y", "x", "z"]);
    assert_eq!(names(Family::Ipv6), ["x", "w"]);
    assert!(rules.bases(Family::Ipv4, Hook::Output).is_empty());
}

#[test]
fn counters_count_and_hits_tell_who_matched() {
    let rules = forward("counter; tcp dport 23 meta mark set 1; tcp dport 22 counter accept");
    let mut state = rules.new_state();
    let packet = ipv4(6, &tcp(2));
    for _ in 0..3 {
        let out = walk(&rules, &packet.facts(6), &state, Instant::ZERO);
        state.commit(&out.effects, &out.keys, 40, Instant::ZERO);
    }
    let counts: Vec<_> =
        rules.rules().flat_map(|rule| rule.counters.iter().map(|c| state.counter(*c))).collect();
    assert_eq!(counts.len(), 2);
    assert!(counts.iter().all(|count| (count.packets, count.bytes) == (3, 120)));
    assert_eq!(rules.rules().map(|rule| state.hits(rule.id)).collect::<Vec<_>>(), [3, 0, 3]);
}

/// How many of five packets, with hop limits of 61 to 65, came to the end of the first rule: by walks, and by what the
/// first of them left for later ones.
fn hits(rules: &str) -> [u64; 2] {
    let rules = forward_beside(rules, "chain a { }");
    let (mut walked, mut stepped) = (rules.new_state(), rules.new_state());
    let first = rules.rules().next().expect("a rule").id;
    let mut left = None;
    for hop_limit in 61..66 {
        let packet = ipv4(6, &tcp(2));
        let mut facts = Facts { hop_limit_now: hop_limit, ..packet.facts(6) };
        let out = walk(&rules, &facts, &walked, Instant::ZERO);
        walked.commit(&out.effects, &out.keys, 40, Instant::ZERO);
        let Residual::Steps { steps, end: Outcome::Accept, rule } = left.get_or_insert(out.residual) else {
            panic!("{left:?}");
        };
        let ended = steps.iter().any(|step| {
            rules.step(*step, &mut facts, &mut stepped, Instant::ZERO, &mut ()) != StepOutcome::Continue
        });
        if let (false, Some(rule)) = (ended, rule) {
            stepped.hit(*rule, 1);
        }
    }
    [walked.hits(first), stepped.hits(first)]
}

#[test]
fn whoever_comes_to_the_end_of_a_rule_is_a_hit() {
    for (rule, all) in [
        ("counter", 5),
        ("log", 5),
        ("meta mark set 5", 5),
        ("tcp dport 22 counter", 5),
        ("tcp dport 23 counter", 0),
        ("tcp dport 22", 5),
        ("continue", 5),
        ("jump a", 5),
        ("tcp dport vmap { 22 : jump a }", 5),
        ("tcp dport vmap { 23 : jump a }", 0),
        ("limit rate 1/second burst 2 packets", 2),
        ("limit rate over 1/second burst 2 packets log", 3),
        ("ip ttl 63", 1),
        ("ip ttl < 63 counter", 2),
        ("ip ttl vmap { 62 : continue, 64 : accept }", 2),
        ("ip ttl > 63 meta mark set 2", 2),
        ("accept", 5),
    ] {
        assert_eq!(hits(&format!("{rule}; accept")), [all; 2], "{rule}");
    }
}

#[test]
fn limits_are_token_buckets() {
    let packet = ipv4(6, &tcp(2));
    let passed = |rule: &str, times: &[u64]| {
        let rules = forward(&format!("{rule} accept"));
        let mut state = rules.new_state();
        let mut passed = Vec::new();
        for milliseconds in times {
            let now = Instant::from_millis(1_000_000 + milliseconds);
            let out = walk(&rules, &packet.facts(6), &state, now);
            state.commit(&out.effects, &out.keys, 40, now);
            passed.push(out.outcome == Outcome::Accept);
        }
        passed
    };
    assert_eq!(
        passed("limit rate 10/second burst 2 packets", &[0, 0, 0, 99, 100, 100, 350]),
        [true, true, false, false, true, false, true]
    );
    assert_eq!(
        passed("limit rate over 1/minute burst 1 packets", &[0, 0, 59_999, 60_000]),
        [false, true, true, false]
    );
    // A bucket for bytes holds a period's and the burst: here two packets of 40 bytes.
    assert_eq!(
        passed("limit rate 40 bytes/second burst 40 bytes", &[0, 0, 0, 999, 1_000, 1_000]),
        [true, true, false, false, true, false]
    );
    assert_eq!(passed("quota 100 bytes", &[0, 0, 0, 0]), [true, true, false, false]);
    assert_eq!(passed("quota over 100 bytes", &[0, 0, 0, 0]), [false, false, true, true]);
}

#[test]
fn a_limit_met_twice_by_a_packet_is_paid_twice() {
    let rules = forward_beside(
        "jump a; jump a; accept",
        "chain a { limit rate 1/second burst 2 packets return; drop; }",
    );
    let mut state = rules.new_state();
    let packet = ipv4(6, &tcp(2));
    let out = walk(&rules, &packet.facts(6), &state, Instant::ZERO);
    assert_eq!(out.outcome, Outcome::Accept);
    assert_eq!(out.effects.iter().filter(|effect| matches!(effect, Effect::Take(_))).count(), 2);
    state.commit(&out.effects, &out.keys, 40, Instant::ZERO);
    assert_eq!(walk(&rules, &packet.facts(6), &state, Instant::ZERO).outcome, Outcome::Drop);
    let later = Instant::ZERO + Duration::from_secs(1);
    assert_eq!(walk(&rules, &packet.facts(6), &state, later).outcome, Outcome::Drop);
}

#[test]
fn logs_and_notrack() {
    let rules = compile(
        "table inet t { chain f { type filter hook prerouting priority -300; log prefix \"raw \" level info; \
         udp dport 53 notrack; ct state untracked accept; drop; } }",
    );
    let packet = ipv4(17, &udp());
    let mut facts = Facts { ct_state: CtState::Invalid, ..packet.facts(17) };
    let mut out = Walk::default();
    let base = base(&rules, Family::Ipv4, Hook::Prerouting);
    rules.walk(base, &mut facts, &rules.new_state(), Instant::ZERO, &mut out);
    assert_eq!(out.outcome, Outcome::Accept);
    assert_eq!(facts.ct_state, CtState::Untracked);
    let Effect::Log(log) = out.effects[0] else { panic!("{:?}", out.effects) };
    assert_eq!(rules.log(log).and_then(|log| log.prefix.as_deref()), Some("raw "));
    assert!(out.effects.contains(&Effect::NoTrack));
}

#[test]
fn translations_are_told_with_their_maps_looked_up() {
    let nat = |rule: &str, hook: &str| {
        let rules =
            compile(&format!("table inet t {{ chain n {{ type nat hook {hook} priority 0; {rule}; }} }}"));
        let packet = ipv4(6, &tcp(2));
        let mut out = Walk::default();
        let hook = if hook == "postrouting" { Hook::Postrouting } else { Hook::Prerouting };
        let base = base(&rules, Family::Ipv4, hook);
        rules.walk(base, &mut packet.facts(6), &rules.new_state(), Instant::ZERO, &mut out);
        match out.outcome {
            Outcome::Nat(spec) => Some(spec),
            _ => None,
        }
    };
    let mapped = |last: u8| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, last];
    let spec = nat("snat ip to 192.0.2.1-192.0.2.9 persistent", "postrouting").expect("translated");
    assert_eq!((spec.kind, spec.addresses), (NatKind::Snat, Some((mapped(1), mapped(9)))));
    assert!(spec.persistent && spec.ports.is_none());
    let spec = nat("tcp dport 22 dnat ip to 192.0.2.1:2222", "prerouting").expect("translated");
    assert_eq!((spec.addresses, spec.ports), (Some((mapped(1), mapped(1))), Some((2222, 2222))));
    let spec = nat("dnat ip to tcp dport map { 22 : 192.0.2.7 }", "prerouting").expect("translated");
    assert_eq!(spec.addresses, Some((mapped(7), mapped(7))));
    assert_eq!(nat("dnat ip to tcp dport map { 23 : 192.0.2.7 }", "prerouting"), None);
    assert_eq!(nat("dnat ip6 to 2001:db8::1", "prerouting"), None);
    let spec = nat("oifname \"wan\" masquerade random", "postrouting").expect("translated");
    assert_eq!((spec.kind, spec.random, spec.addresses), (NatKind::Masquerade, true, None));
    let spec = nat("tcp dport 22 redirect to :2222", "prerouting").expect("translated");
    assert_eq!((spec.kind, spec.ports), (NatKind::Redirect, Some((2222, 2222))));
}

fn steps(rules: &Ruleset, facts: &Facts<'_>) -> (Vec<RuleStep>, Outcome) {
    match walk(rules, facts, &rules.new_state(), Instant::ZERO).residual {
        Residual::Steps { steps, end, .. } => (steps.to_vec(), end),
        Residual::Walk(reason) => panic!("{reason:?}"),
    }
}

#[test]
fn what_remains_for_later_packets() {
    let packet = ipv4(6, &tcp(2));
    let facts = packet.facts(6);
    assert_eq!(steps(&forward("tcp dport 22 accept"), &facts), (vec![], Outcome::Accept));
    assert_eq!(steps(&forward("tcp dport 23 counter accept"), &facts), (vec![], Outcome::Drop));
    let (done, end) = steps(&forward("counter; tcp dport 22 counter accept"), &facts);
    assert!(
        matches!(done[..], [RuleStep::Count(_), RuleStep::Hit(_), RuleStep::Count(_)])
            && end == Outcome::Accept,
        "{done:?}"
    );
    let (done, end) = steps(&forward("ip ttl 63 accept; accept"), &facts);
    assert!(matches!(done[..], [RuleStep::Rule(_)]) && end == Outcome::Accept, "{done:?}");
    // The concrete packet is accepted by the first rule; others are not.
    let (done, end) = steps(&forward("ip ttl 63 accept; drop"), &facts);
    assert!(matches!(done[..], [RuleStep::Rule(_)]) && end == Outcome::Drop, "{done:?}");
    // A mark that was set to a constant is known.
    let (done, end) = steps(&forward("meta mark set 1; meta mark 1 accept"), &facts);
    assert!(matches!(done[..], [RuleStep::Rule(_)]) && end == Outcome::Accept, "{done:?}");
    // One that depends on the packet is not.
    let (done, end) = steps(&forward("ip ttl 63 meta mark set 1; meta mark 1 accept"), &facts);
    assert!(matches!(done[..], [RuleStep::Rule(_), RuleStep::Rule(_)]) && end == Outcome::Drop, "{done:?}");
    let reason = |rules: &str| {
        let rules = forward_beside(rules, "chain a { }");
        walk(&rules, &facts, &rules.new_state(), Instant::ZERO).residual
    };
    assert_eq!(reason("ip ttl 63 jump a; accept"), Residual::Walk(WalkReason::Branch));
    assert_eq!(reason(&"ip ttl 63;".repeat(9)), Residual::Walk(WalkReason::TooManySteps));
    assert!(matches!(reason(&"ip ttl 63;".repeat(8)), Residual::Steps { .. }));
    // Counters and hits are counted for all packets at once.
    assert_eq!(reason(&"counter;".repeat(33)), Residual::Walk(WalkReason::TooManySteps));
    assert!(matches!(reason(&"counter;".repeat(32)), Residual::Steps { .. }));
}

#[test]
fn extension_headers_settle_as_absent_for_later_packets() {
    let rules = forward("exthdr frag exists drop; accept");
    let fragment = ipv6(44, &[6, 0, 0, 1, 0, 0, 0, 9], &tcp(2));
    let out = walk(&rules, &fragment.facts(6), &rules.new_state(), Instant::ZERO);
    assert_eq!(out.outcome, Outcome::Drop);
    let Residual::Steps { steps, end, .. } = out.residual else { panic!("{:?}", out.residual) };
    assert!(steps.is_empty() && end == Outcome::Accept);
}

#[test]
fn replacement_keeps_numbers_and_counters() {
    let text = |extra: &str| {
        format!(
            "table inet t {{ counter c {{ }}\nchain f {{ type filter hook forward priority 0; {extra} \
             tcp dport 22 counter name c counter accept; }}\n\
             chain i {{ type filter hook input priority 0; udp dport 53 counter; }} }}"
        )
    };
    let rules = compile(&text(""));
    let mut state = rules.new_state();
    let packet = ipv4(6, &tcp(2));
    let out = walk(&rules, &packet.facts(6), &state, Instant::ZERO);
    state.commit(&out.effects, &out.keys, 40, Instant::ZERO);
    let again = |extra: &str| {
        let ast = parsed(&text(extra));
        rules.replacement(&ast, &PORTS, &RulesetLimits::default()).expect("compiles")
    };
    assert_eq!(again("").changed_bases(&rules), []);
    let new = again("tcp dport 80 counter accept;");
    assert_eq!(new.changed_bases(&rules), [base(&rules, Family::Ipv4, Hook::Forward)]);
    let carried = new.carry(&rules, &state, Instant::ZERO);
    let rule = out.rule.expect("a rule decided");
    assert_eq!(new.rule(rule).map(|info| info.counters.len()), Some(2));
    for counter in &new.rule(rule).expect("kept").counters {
        assert_eq!(carried.counter(*counter).packets, 1);
    }
    assert_eq!(carried.hits(rule), 1);
    assert_eq!(carried.counter(new.named_counters()[0].id).packets, 1);
    // Names are those of ports: another port changes chains that ask for one, and only those.
    let text = "table inet t { chain f { type filter hook forward priority 0; iifname \"x\" drop; }\n\
                chain i { type filter hook input priority 0; } }";
    let with_port = compile(text);
    let new = with_port.replacement(&parsed(text), &[(9, "x")], &RulesetLimits::default());
    assert_eq!(
        new.expect("compiles").changed_bases(&with_port),
        [base(&with_port, Family::Ipv4, Hook::Forward)]
    );
}

#[test]
fn what_cannot_be_compiled_is_told() {
    let compile = |text: &str, limits: RulesetLimits| {
        let mut ast = parsed(text);
        // What the parser refuses may still come from a tree that was built otherwise.
        ast.tables[0].chains.retain(|chain| chain.name != "gone");
        Ruleset::compile(&ast, &PORTS, &limits).expect_err("refused")
    };
    let text = "table ip t { chain gone { }\nchain f {\njump gone\n}\n}";
    let error = compile(text, RulesetLimits::default());
    assert_eq!(error.to_string(), "line 4: table t has no chain named gone: declare it");
    let limits = RulesetLimits { max_rules: 1, ..RulesetLimits::default() };
    let error = compile("table ip t { chain f { accept\n}\nchain g { accept\n}\n}", limits);
    assert!(matches!(error, CompileError::TooMany { what: "rules", count: 2, limit: 1, .. }), "{error}");
    let limits = RulesetLimits { max_elements: 2, ..RulesetLimits::default() };
    let error = compile("table ip t { chain f { tcp dport { 1, 3, 5 } accept\n} }", limits);
    assert!(matches!(error, CompileError::TooMany { limit: 2, .. }), "{error}");
    let mut ast = parsed("table ip t { chain a { jump b\n}\nchain b { }\n}");
    let rules = ast.tables[0].chains[0].rules.clone();
    ast.tables[0].chains[1].rules = rules;
    let error = Ruleset::compile(&ast, &PORTS, &RulesetLimits::default()).expect_err("loops");
    assert!(matches!(error, CompileError::Loop { .. }), "{error}");
}

#[derive(Default)]
struct Story(Vec<String>);

impl Tracer for Story {
    fn base(&mut self, chain: &netfast_filter::BaseChain) {
        self.0.push(format!("base {}", chain.name));
    }

    fn chain(&mut self, name: &str) {
        self.0.push(format!("chain {name}"));
    }

    fn rule_failed(&mut self, rule: RuleId, statement: usize, rules: &Ruleset) {
        let text = rules.rule(rule).map_or("", |info| &info.text);
        self.0.push(format!("failed {text} at {statement}"));
    }

    fn rule_passed(&mut self, rule: RuleId, rules: &Ruleset) {
        self.0.push(format!("passed {}", rules.rule(rule).map_or("", |info| &info.text)));
    }

    fn rule_ended(&mut self, rule: RuleId, outcome: &Outcome, rules: &Ruleset) {
        self.0.push(format!("{outcome:?} by {}", rules.rule(rule).map_or("", |info| &info.text)));
    }

    fn policy(&mut self, chain: &netfast_filter::BaseChain) {
        self.0.push(format!("policy of {}", chain.name));
    }
}

#[test]
fn a_walk_is_explained() {
    let rules = forward_beside(
        "udp dport 53 accept\njump a\nip ttl 1 accept",
        "chain a { counter; tcp dport 23 drop; }",
    );
    let packet = ipv4(6, &tcp(2));
    let (mut story, mut out) = (Story::default(), Walk::default());
    let base = base(&rules, Family::Ipv4, Hook::Forward);
    rules.explain(base, &mut packet.facts(6), &rules.new_state(), Instant::ZERO, &mut out, &mut story);
    assert_eq!(
        story.0,
        [
            "base f",
            "failed udp dport 53 accept at 0",
            "passed jump a",
            "chain a",
            "passed counter",
            "failed tcp dport 23 drop at 1",
            "failed ip ttl 1 accept at 1",
            "policy of f",
        ]
    );
    let plain = walk(&rules, &packet.facts(6), &rules.new_state(), Instant::ZERO);
    assert_eq!(format!("{plain:?}"), format!("{out:?}"));
}
