//! What a walk costs with 1, 100 and 10,000 rules, and how long compiling takes.
//!
//! `miss` is a packet that no rule matches; `worst` one that some class of the index cannot exclude most rules for.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use netfast_filter::facts::{CtState, Facts, Family};
use netfast_filter::outcome::{BaseId, RuleStep, Walk};
use netfast_filter::{Ruleset, RulesetLimits};
use netfast_nft::ast::Hook;
use netfast_nft::parse;
use netfast_time::Instant;

const PORTS: [(u32, &str); 2] = [(1, "lan"), (2, "wan")];

fn compile(text: &str) -> Ruleset {
    let ast = parse(text, "bench").expect("the rules parse");
    Ruleset::compile(&ast, &PORTS, &RulesetLimits::default()).expect("the rules compile")
}

/// Rules of many shapes, each for other addresses and ports.
fn rules(count: u32) -> String {
    let mut text =
        String::from("table inet t {\nchain f {\ntype filter hook forward priority 0; policy drop;\n");
    for number in 0..count {
        let (high, low, port) = (number / 256 % 256, number % 256, 1_024 + number % 40_000);
        let rule = match number % 5 {
            0 => format!("ip saddr 10.{high}.{low}.0/24 tcp dport {port} accept"),
            1 => format!("ip6 daddr 2001:db8:{number:x}::/48 udp dport {port} drop"),
            2 => format!("ip daddr 172.16.{high}.{low} accept"),
            3 => format!("iifname \"wan\" tcp dport {{ {port}, {} }} drop", port + 20_000),
            _ => format!("ip saddr 192.168.{high}.0/24 ip daddr 10.9.{low}.0/24 accept"),
        };
        let _ = writeln!(text, "{rule}");
    }
    text + "}\n}\n"
}

/// Ten values in each of four fields: each value is that of a tenth of the rules.
fn grid() -> String {
    let mut text =
        String::from("table inet t {\nchain f {\ntype filter hook forward priority 0; policy drop;\n");
    for number in 0..10_000u32 {
        let [a, b, c, d] = [number / 1000, number / 100 % 10, number / 10 % 10, number % 10];
        let _ = writeln!(text, "ip saddr 10.0.0.{a} ip daddr 10.0.0.{b} tcp sport {c} tcp dport {d} accept");
    }
    text + "}\n}\n"
}

fn facts(dport: u16, last: u8) -> Facts<'static> {
    let mut address = [0; 16];
    address[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, last]);
    Facts {
        family: Family::Ipv4,
        source: address,
        destination: address,
        protocol: 6,
        ports: Some((last.into(), dport)),
        in_port: Some(1),
        out_port: Some(2),
        ct_state: CtState::New,
        l3_length: 60,
        hop_limit_now: 64,
        ..Facts::EMPTY
    }
}

fn forward(rules: &Ruleset) -> BaseId {
    rules.bases(Family::Ipv4, Hook::Forward)[0]
}

fn walks(criterion: &mut Criterion) {
    let cases = [("1", rules(1)), ("100", rules(100)), ("10000", rules(10_000)), ("grid of 10000", grid())];
    for (name, text) in cases {
        let rules = compile(&text);
        println!("{name}: {} bytes", rules.memory_bytes());
        let (base, state) = (forward(&rules), rules.new_state());
        for (kind, facts) in [("miss", facts(443, 200)), ("worst", facts(12, 7))] {
            criterion.bench_function(&format!("walk {name} {kind}"), |bencher| {
                let mut out = Walk::default();
                bencher.iter(|| {
                    out.clear();
                    rules.walk(base, &mut black_box(facts), &state, Instant::ZERO, &mut out);
                    out.outcome
                });
            });
        }
    }
}

fn steps(criterion: &mut Criterion) {
    let rules = compile(
        "table inet t {\nchain f {\ntype filter hook forward priority 0; counter accept\nip dscp ef accept\n}\n}\n",
    );
    let mut state = rules.new_state();
    let infos: Vec<_> = rules.rules().collect();
    let count = RuleStep::Count(infos[0].counters[0]);
    let check = RuleStep::Rule(infos[1].id);
    let header = [0x45u8; 40];
    let mut facts = Facts { l3: &header, l3_length: 40, ..facts(443, 1) };
    for (name, step) in [("count", count), ("check", check)] {
        criterion.bench_function(&format!("step {name}"), |bencher| {
            bencher.iter(|| rules.step(black_box(step), &mut facts, &mut state, Instant::ZERO, &mut ()));
        });
    }
}

fn compiling(criterion: &mut Criterion) {
    let elements: Vec<String> =
        (0..55_000u32).map(|n| format!("10.{}.{}.{}", n / 65_536, n / 256 % 256, n % 256)).collect();
    let set = format!(
        "table ip t {{\nset s {{ type ipv4_addr; elements = {{ {} }}\n}}\nchain f {{\ntype filter hook forward priority 0;\n\
         ip saddr @s drop\n}}\n}}\n",
        elements.join(", ")
    );
    for (name, text) in [("10000 rules", rules(10_000)), ("grid", grid()), ("55000 elements", set)] {
        let ast = parse(&text, "bench").expect("the rules parse");
        criterion.bench_function(&format!("compile {name}"), |bencher| {
            bencher
                .iter(|| Ruleset::compile(&ast, &PORTS, &RulesetLimits::default()).map(|r| r.memory_bytes()));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = walks, steps, compiling
}
criterion_main!(benches);
