//! Properties of the walk over random rule sets: the index changes nothing, and a program does what the walk does.

#[path = "evaluate/random.rs"]
mod random;

use netfast_filter::facts::{Facts, Family};
use netfast_filter::outcome::*;
use netfast_filter::state::RuleState;
use netfast_filter::{Ruleset, RulesetLimits};
use netfast_nft::ast::{Chain, Hook, RulesetAst};
use netfast_time::{Duration, Instant};
use proptest::prelude::*;

use random::{Choices, PORTS, Packet};

fn compile(ast: &RulesetAst) -> Ruleset {
    Ruleset::compile(ast, &PORTS, &RulesetLimits::default()).expect("random rule sets compile")
}

fn bases(rules: &Ruleset) -> [BaseId; 2] {
    [rules.bases(Family::Ipv4, Hook::Prerouting)[0], rules.bases(Family::Ipv4, Hook::Forward)[0]]
}

/// Names rules instead of counting them.
fn shown(walk: &Walk) -> String {
    // Of rules that the index leaves out it is not asked what they depend on.
    let walk = Walk { opening: false, ..walk.clone() };
    format!("{walk:?}")
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq)]
struct Fate {
    outcome: Outcome,
    mark: u32,
    ct_mark: Option<u32>,
    logs: Vec<LogId>,
}

fn logs(effects: &[Effect]) -> Vec<LogId> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Log(log) = effect { Some(*log) } else { None })
        .collect()
}

fn fate(outcome: Outcome, facts: &Facts<'_>, logs: Vec<LogId>) -> Fate {
    Fate { outcome, mark: facts.mark, ct_mark: facts.connection.map(|c| c.mark), logs }
}

/// Walks both base chains and commits.
fn walk_all(rules: &Ruleset, facts: &mut Facts<'_>, state: &mut RuleState, now: Instant) -> Fate {
    let mut walk = Walk::default();
    for base in bases(rules) {
        rules.walk(base, facts, state, now, &mut walk);
        if walk.outcome != Outcome::Accept {
            break;
        }
    }
    // What the walks foretold is what becomes of it.
    let foretold = state.foretell(&walk.effects, &walk.keys, facts.l3_length, now);
    state.commit(&walk.effects, &walk.keys, facts.l3_length, now);
    assert_eq!(state.differs(&foretold), None);
    fate(walk.outcome, facts, logs(&walk.effects))
}

/// What the first packet leaves for the others, and what it depends on.
struct Program {
    residuals: [Residual; 2],
    asked: Asked,
}

fn program(rules: &Ruleset, facts: &mut Facts<'_>, state: &RuleState, now: Instant) -> Program {
    let mut walk = Walk::default();
    let residuals = bases(rules).map(|base| {
        rules.walk(base, facts, state, now, &mut walk);
        walk.residual.clone()
    });
    Program { residuals, asked: walk.asked }
}

/// Does what the program says.
fn run(
    rules: &Ruleset,
    program: &Program,
    facts: &mut Facts<'_>,
    state: &mut RuleState,
    now: Instant,
) -> Fate {
    let mut log = Vec::new();
    let mut last = Outcome::Accept;
    let mut walks = false;
    for (base, residual) in bases(rules).into_iter().zip(&program.residuals) {
        walks |= matches!(residual, Residual::Walk(_));
        last = match residual {
            Residual::Steps { steps, end, rule } if !walks => {
                let mut outcomes = steps.iter().map(|step| rules.step(*step, facts, state, now, &mut log));
                match outcomes.find(|outcome| *outcome != StepOutcome::Continue) {
                    Some(StepOutcome::Drop) => Outcome::Drop,
                    Some(StepOutcome::Reject(with)) => Outcome::Reject(with),
                    Some(_) => Outcome::Accept,
                    None => {
                        rule.iter().for_each(|rule| state.hit(*rule, 1));
                        *end
                    }
                }
            }
            _ => {
                let mut walk = Walk::default();
                rules.walk(base, facts, state, now, &mut walk);
                state.commit(&walk.effects, &walk.keys, facts.l3_length, now);
                log.extend(logs(&walk.effects));
                walk.outcome
            }
        };
        if last != Outcome::Accept {
            break;
        }
    }
    fate(last, facts, log)
}

/// Packets of one flow: the first makes the program, the others are walked and run.
fn compare(rules: &Ruleset, flow: &Facts<'_>, packets: &[Packet]) -> Result<bool, TestCaseError> {
    let mut flow = *flow;
    let mut now = Instant::from_secs(10);
    let mut walked = rules.new_state();
    let made = program(rules, &mut packets[0].facts(&flow), &walked, now);
    let settled = made.residuals.iter().all(|residual| matches!(residual, Residual::Steps { .. }));
    let ct_mark = flow.connection.map(|connection| connection.mark);
    let mut facts = packets[0].facts(&flow);
    walk_all(rules, &mut facts, &mut walked, now);
    let mut run_state = walked.clone();
    for packet in &packets[1..] {
        flow.connection = facts.connection;
        if made.asked.any(Asked::CT_MARK) && flow.connection.map(|c| c.mark) != ct_mark {
            break;
        }
        now += Duration::from_millis(300);
        walked.advance(now);
        run_state.advance(now);
        facts = packet.facts(&flow);
        let mut facts_run = facts;
        let expected = walk_all(rules, &mut facts, &mut walked, now);
        let got = run(rules, &made, &mut facts_run, &mut run_state, now);
        prop_assert_eq!(&got, &expected, "{:?}\n{:?}", made.residuals, packet);
        prop_assert_eq!(&run_state, &walked, "{:?}\n{:?}", made.residuals, packet);
    }
    Ok(settled)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_500), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_changes_nothing(list in prop::collection::vec(any::<u16>(), 0..1_500)) {
        let mut choices = Choices::new(list);
        let flows: Vec<_> = (0..4).map(|_| random::flow(&mut choices)).collect();
        let packets: Vec<_> = flows.iter().map(|flow| random::packet(flow, false, &mut choices)).collect();
        let rules = compile(&random::ruleset(&mut choices));
        let state = rules.new_state();
        for (flow, packet) in flows.iter().zip(&packets) {
            let (mut one, mut other) = (packet.facts(flow), packet.facts(flow));
            let (mut indexed, mut linear) = (Walk::default(), Walk::default());
            for base in bases(&rules) {
                rules.walk(base, &mut one, &state, Instant::from_secs(1), &mut indexed);
                rules.walk_linear(base, &mut other, &state, Instant::from_secs(1), &mut linear);
                prop_assert_eq!(shown(&indexed), shown(&linear));
                prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
            }
        }
    }

    #[test]
    fn a_program_does_what_the_walk_does(list in prop::collection::vec(any::<u16>(), 0..1_000)) {
        let mut choices = Choices::new(list);
        let flow = random::flow(&mut choices);
        let mut packets = vec![random::packet(&flow, false, &mut choices)];
        packets.extend((0..5).map(|_| random::packet(&flow, true, &mut choices)));
        let ast = random::ruleset(&mut choices);
        let rules = compile(&ast);
        compare(&rules, &flow, &packets).map_err(|error| TestCaseError::fail(format!("{error}\n{}", listed(&ast))))?;
    }

    #[test]
    fn flows_of_the_same_classes_are_decided_alike(list in prop::collection::vec(any::<u16>(), 0..1_000)) {
        let mut choices = Choices::new(list);
        let (flow, other) = (random::flow(&mut choices), random::flow(&mut choices));
        let packet = random::packet(&flow, true, &mut choices);
        let ast = random::ruleset(&mut choices);
        compare_classes(&compile(&ast), &flow, &other, &packet)
            .map_err(|error| TestCaseError::fail(format!("{error}\n{}", listed(&ast))))?;
    }
}

/// Two flows that differ in addresses and ports alone, whose classes are the same; false when there are none.
fn compare_classes(
    rules: &Ruleset,
    flow: &Facts<'_>,
    other: &Facts<'_>,
    packet: &Packet,
) -> Result<bool, TestCaseError> {
    let (Some(classes), Some(ports), Some(others)) = (rules.classes(), flow.ports, other.ports) else {
        return Ok(false);
    };
    let of = |facts: &Facts<'_>, ports| {
        classes.of(u128::from_be_bytes(facts.source), u128::from_be_bytes(facts.destination), ports)
    };
    if flow.family != other.family || of(flow, ports) != of(other, others) {
        return Ok(false);
    }
    let other = Facts { source: other.source, destination: other.destination, ports: other.ports, ..*flow };
    let (state, now) = (rules.new_state(), Instant::from_secs(10));
    let [one, two] = [*flow, other].map(|flow| {
        let made = program(rules, &mut packet.facts(&flow), &state, now);
        let mut changed = state.clone();
        let fate = walk_all(rules, &mut packet.facts(&flow), &mut changed, now);
        // What a step reads of each packet, tuples of its connection among it, classes do not tell.
        let settled = made.residuals.iter().all(|residual| match residual {
            Residual::Steps { steps, .. } => steps.iter().all(|step| matches!(step, RuleStep::Count(_))),
            Residual::Walk(_) => false,
        });
        // Of what walks each time nothing is learned, and what stands behind the walk may depend on how it ends.
        let walks = made.residuals.iter().any(|residual| matches!(residual, Residual::Walk(_)));
        let told = format!("{:?} {:?}", made.residuals, made.asked);
        (if walks { "walks".to_owned() } else { told }, settled.then_some((fate, changed)))
    });
    prop_assert_eq!(one, two);
    Ok((flow.source, flow.destination, flow.ports) != (other.source, other.destination, other.ports))
}

/// The rules, for people.
fn listed(ast: &RulesetAst) -> String {
    let chains = ast.tables.iter().flat_map(|table| &table.chains);
    let rules = |chain: &Chain| {
        chain.rules.iter().map(|rule| format!("  {:?}\n", rule.statements)).collect::<String>()
    };
    chains.map(|chain| format!("{} {:?}\n{}", chain.name, chain.base, rules(chain))).collect()
}

/// The properties above would be empty if most random flows had no program with steps.
#[test]
fn many_random_flows_have_programs() {
    let mut numbers = 0x9e37_79b9_7f4a_7c15u64;
    let mut number = || {
        numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (numbers >> 40) as u16
    };
    let (mut settled, mut steps, mut alike) = (0, 0, 0);
    for _ in 0..500 {
        let mut choices = Choices::new((0..1_000).map(|_| number()).collect());
        let flow = random::flow(&mut choices);
        let packets: Vec<_> = (0..3).map(|_| random::packet(&flow, true, &mut choices)).collect();
        let rules = compile(&random::ruleset(&mut choices));
        settled += usize::from(compare(&rules, &flow, &packets).expect("programs are sound"));
        let made = program(&rules, &mut packets[0].facts(&flow), &rules.new_state(), Instant::ZERO);
        let some =
            |residual: &Residual| matches!(residual, Residual::Steps { steps, .. } if !steps.is_empty());
        steps += usize::from(made.residuals.iter().any(some));
        for _ in 0..20 {
            let other = random::flow(&mut choices);
            alike += usize::from(compare_classes(&rules, &flow, &other, &packets[0]).expect("alike"));
        }
    }
    assert!(settled > 100, "{settled} of 500 have a program");
    assert!(steps > 50, "{steps} of 500 have steps");
    assert!(alike > 100, "{alike} of 10,000 pairs of flows have the same classes");
}
