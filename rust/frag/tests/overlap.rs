//! Overlaps: the engine against an oracle, and against the table in its documentation; datagrams of both families.
#[path = "support/oracle.rs"]
mod oracle;
mod support;

use netfast_frag::overlap::{Inserted, IntervalSet, Part};
use netfast_frag::{FragmentReason, Outcome, OverlapPolicy, ReassemblyConfig};
use oracle::{Oracle, Verdict};
use proptest::prelude::*;
use support::{Bench, Datagram, bytes};

/// Positions of a small grid.
const GRID: usize = 6;

fn intervals(size: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..size).flat_map(move |start| (start + 1..=size).map(move |end| (start, end)))
}

fn owners(set: &IntervalSet, size: usize) -> Vec<Option<u32>> {
    let mut owners = vec![None; size];
    let mut reached = 0;
    for piece in set.iter() {
        assert!(piece.start >= reached && piece.start < piece.end, "in order and disjoint");
        reached = piece.end;
        owners[piece.start as usize..piece.end as usize].fill(Some(piece.owner));
    }
    assert_eq!(set.covered(), owners.iter().flatten().count() as u64);
    assert_eq!(set.len(), set.iter().count());
    owners
}

fn verdict(inserted: Inserted) -> Verdict {
    match inserted {
        Inserted::Kept => Verdict::Kept,
        Inserted::Duplicate => Verdict::Ignored,
        Inserted::Conflict => Verdict::Conflict,
        Inserted::Resolved { kept, replaced } => Verdict::Resolved(kept as usize, replaced as usize),
    }
}

fn agree(policy: OverlapPolicy, size: usize, pieces: &[(usize, usize)]) {
    let (mut set, mut oracle) = (IntervalSet::new(), Oracle::new(policy, size));
    for (owner, &(start, end)) in pieces.iter().enumerate() {
        let (mut kept, mut replaced) = (0, 0);
        let inserted = set.insert_with(policy, start as u32, end as u32, owner as u32, |part| match part {
            Part::Kept { start, end } => kept += end - start,
            Part::Replaced { start, end, owner } => {
                assert!(oracle.owners[start as usize..end as usize].iter().all(|&old| old == Some(owner)));
                replaced += end - start;
            }
        });
        if let Inserted::Resolved { .. } = inserted {
            assert_eq!(inserted, Inserted::Resolved { kept, replaced });
        }
        assert_eq!(verdict(inserted), oracle.insert(start, end, owner as u32), "{policy} {pieces:?} {owner}");
        assert_eq!(owners(&set, size), oracle.owners, "{policy} {pieces:?} {owner}");
    }
}

#[test]
fn every_sequence_of_four_pieces_on_a_small_grid() {
    for policy in OverlapPolicy::ALL {
        for a in intervals(GRID) {
            for b in intervals(GRID) {
                for c in intervals(GRID) {
                    agree(policy, GRID, &[a, b, c]);
                    for d in intervals(4) {
                        agree(policy, GRID, &[a, b, c, d]);
                    }
                }
            }
        }
    }
}

type Interval = (u32, u32);
type Order<'a> = (&'a str, &'a dyn Fn(u32) -> u32, u64);

/// One example of each of Allen's relations, new to old.
const RELATIONS: [(&str, Interval, Interval); 13] = [
    ("before", (0, 2), (4, 8)),
    ("meets", (0, 4), (4, 8)),
    ("overlaps", (2, 6), (4, 8)),
    ("starts", (4, 6), (4, 8)),
    ("during", (5, 7), (4, 8)),
    ("finishes", (6, 8), (4, 8)),
    ("equals", (4, 8), (4, 8)),
    ("finished by", (2, 8), (4, 8)),
    ("contains", (2, 10), (4, 8)),
    ("started by", (4, 10), (4, 8)),
    ("overlapped by", (6, 10), (4, 8)),
    ("met by", (8, 10), (4, 8)),
    ("after", (9, 10), (4, 8)),
];

/// The rows of the table in the module's documentation: relation and outcome for each policy.
fn documented() -> Vec<(String, Vec<String>)> {
    let lines = include_str!("../src/overlap.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows = lines.filter(|line| !line.starts_with("new to old"));
    rows.map(|line| {
        let mut cells = line.trim_end_matches(" |").split(" | ").map(str::to_owned);
        let relation = cells.next().expect("a cell");
        (relation.split(" (").next().expect("a name").to_owned(), cells.collect())
    })
    .collect()
}

#[test]
fn the_table_in_the_documentation_is_what_happens() {
    let table = documented();
    assert_eq!(table.len(), RELATIONS.len());
    for ((name, outcomes), (relation, new, old)) in table.iter().zip(RELATIONS) {
        assert_eq!((name.as_str(), outcomes.len()), (relation, OverlapPolicy::ALL.len()));
        for (policy, outcome) in OverlapPolicy::ALL.into_iter().zip(outcomes) {
            let mut set = IntervalSet::new();
            assert_eq!(set.insert(policy, old.0, old.1, 0), Inserted::Kept);
            let inserted = set.insert(policy, new.0, new.1, 1);
            let both = new.0.max(old.0)..new.1.min(old.1);
            let owner = set
                .iter()
                .find(|piece| both.contains(&piece.start.max(both.start)) && piece.end > both.start);
            let happened = match inserted {
                Inserted::Kept => "both",
                Inserted::Duplicate => "ignored",
                Inserted::Conflict => "conflict",
                Inserted::Resolved { .. } if owner.expect("somebody's").owner == 0 => "old",
                Inserted::Resolved { .. } => "new",
            };
            assert_eq!(happened, outcome, "{policy}, {relation}");
        }
    }
}

/// A datagram as the sender of a piece has it: headers of another length for each, without any for what is missing.
fn shape(v6: bool, owner: Option<u32>, data: Vec<u8>) -> Datagram {
    let words = owner.map_or(0, |owner| owner as u8 + 1);
    let options = match (v6, words) {
        (_, 0) => Vec::new(),
        (false, words) => vec![1; usize::from(words) * 4],
        (true, words) => {
            let mut padding = vec![0; usize::from(words) * 8];
            padding[1..4].copy_from_slice(&[words - 1, 1, words * 8 - 4]);
            padding
        }
    };
    Datagram { options, ..Datagram::family(v6, 1, data) }
}

/// Pieces in units of 8 bytes, each with bytes and headers of its own, then what is missing; `Err` is why the datagram ended.
fn datagram(policy: OverlapPolicy, v6: bool, pieces: &[(usize, usize)]) -> Result<Vec<u8>, FragmentReason> {
    let config = ReassemblyConfig { overlap: policy, overlap_ipv6: policy, ..ReassemblyConfig::default() };
    let mut bench = Bench::new(config);
    let missing_shape = shape(v6, None, Vec::new());
    let fill = |owner: usize| vec![owner as u8 + 1; GRID * 8];
    let mut seen = [false; GRID + 1];
    for (owner, &(start, end)) in pieces.iter().enumerate() {
        seen[start..end].fill(true);
        let sender = shape(v6, Some(owner as u32), Vec::new());
        match bench.push(&sender.claim(start * 8, &fill(owner)[..(end - start) * 8], true)) {
            Outcome::Held => {}
            Outcome::Dropped(dropped) if dropped.reason == FragmentReason::Duplicate => {}
            Outcome::Dropped(dropped) => {
                let after = bench.push(&missing_shape.claim(GRID * 8, &[9; 8], false));
                assert!(
                    matches!(after, Outcome::Dropped(dropped) if dropped.reason == FragmentReason::Tombstone)
                );
                return Err(dropped.reason);
            }
            outcome => panic!("{outcome:?}"),
        }
    }
    let missing: Vec<_> = (0..=GRID).filter(|&at| !seen[at]).collect();
    for at in missing {
        if let Outcome::Complete(made) = bench.push(&missing_shape.claim(at * 8, &[9; 8], at < GRID)) {
            return Ok(made.packet.to_vec());
        }
    }
    panic!("not whole")
}

#[test]
fn every_pair_and_triplet_in_datagrams_of_both_families() {
    for policy in OverlapPolicy::ALL {
        for v6 in [false, true] {
            for a in intervals(GRID) {
                for b in intervals(GRID) {
                    check(policy, v6, &[a, b]);
                    for c in intervals(3) {
                        check(policy, v6, &[a, b, c]);
                    }
                }
            }
        }
    }
}

fn check(policy: OverlapPolicy, v6: bool, pieces: &[(usize, usize)]) {
    let mut oracle = Oracle::new(policy, GRID + 1);
    let mut expected = Ok(());
    for (owner, &(start, end)) in pieces.iter().enumerate() {
        // Bytes of two pieces always differ here.
        let differs = oracle.owners[start..end].iter().any(Option::is_some);
        match oracle.insert(start, end, owner as u32) {
            Verdict::Ignored if policy == OverlapPolicy::Drop && differs => {
                expected = Err(FragmentReason::Inconsistency)
            }
            Verdict::Conflict => expected = Err(FragmentReason::Inconsistency),
            _ => {}
        }
        if expected.is_err() {
            break;
        }
    }
    let expected = expected.map(|()| {
        // Whose bytes it begins with has the headers.
        let values = oracle.owners.iter().map(|owner| owner.map_or(9, |owner| owner as u8 + 1));
        shape(v6, oracle.owners[0], values.flat_map(|value| [value; 8]).collect()).whole()
    });
    assert_eq!(datagram(policy, v6, pieces), expected, "{policy} v6={v6} {pieces:?}");
}

#[test]
fn overlaps_with_the_same_bytes_are_told_from_others() {
    for v6 in [false, true] {
        let whole = Datagram::family(v6, 1, bytes(64, 0));
        let mut bench = Bench::new(ReassemblyConfig::default());
        assert!(matches!(bench.push(&whole.fragment(0, 32)), Outcome::Held));
        // The very fragment again is ignored (RFC 8200 4.5), one that overlaps with the same bytes is not (RFC 5722).
        let again = bench.push(&whole.fragment(0, 32));
        assert!(matches!(again, Outcome::Dropped(dropped) if dropped.reason == FragmentReason::Duplicate));
        let overlap = bench.push(&whole.fragment(16, 48));
        assert!(matches!(overlap, Outcome::Dropped(dropped) if dropped.reason == FragmentReason::Overlap));
        assert_eq!(bench.counters().dropped(FragmentReason::Overlap), 2, "with the one that waited");
        assert!(bench.reassembler.is_empty());
    }
}

proptest! {
    #[test]
    fn many_pieces_agree_with_the_oracle(
        policy in proptest::sample::select(OverlapPolicy::ALL.to_vec()),
        pieces in proptest::collection::vec((0usize..2_000, 1usize..40), 1..400),
    ) {
        let pieces: Vec<_> = pieces.into_iter().map(|(start, len)| (start, start + len)).collect();
        agree(policy, 2_040, &pieces);
    }
}

#[test]
fn work_is_logarithmic_in_any_order() {
    const PIECES: u32 = 8_192;
    let shuffled = |at: u32| at.wrapping_mul(4_099) % PIECES;
    let orders: [Order<'_>; 4] = [
        ("in order", &|at| at, 1),
        ("backwards", &|at| PIECES - 1 - at, 96),
        ("shuffled", &shuffled, 96),
        ("odd, then even", &|at| if at < PIECES / 2 { at * 2 + 1 } else { (at - PIECES / 2) * 2 }, 96),
    ];
    for (name, order, bound) in orders {
        let mut set = IntervalSet::new();
        for at in 0..PIECES {
            let start = order(at) * 8;
            let before = set.steps();
            assert_eq!(set.insert(OverlapPolicy::Drop, start, start + 8, at), Inserted::Kept);
            assert!(set.steps() - before < 512, "{name}: one piece took {} steps", set.steps() - before);
        }
        assert_eq!(set.covered(), u64::from(PIECES) * 8);
        assert!(set.steps() <= bound * u64::from(PIECES), "{name}: {} steps", set.steps());
        set.clear();
        assert!(set.memory() <= 64 * 16);
    }
}

#[test]
fn without_tombstones_an_overlap_is_forgotten_as_in_linux() {
    // Seen of Linux 6.18: the second piece ends the datagram, the third begins another one, which comes whole.
    for v6 in [false, true] {
        let config = ReassemblyConfig {
            overlap: OverlapPolicy::Linux,
            overlap_ipv6: OverlapPolicy::Linux,
            tombstone: netfast_time::Duration::ZERO,
            ..ReassemblyConfig::default()
        };
        let mut bench = Bench::new(config);
        let shape = Datagram::family(v6, 1, bytes(40, 1));
        assert!(matches!(bench.push(&shape.fragment(8, 16)), Outcome::Held));
        let overlap = bench.push(&shape.fragment(8, 24));
        assert!(matches!(overlap, Outcome::Dropped(dropped) if dropped.reason == FragmentReason::Overlap));
        let made = bench.complete(&[shape.fragment(8, 32), shape.fragment(0, 8), shape.fragment(32, 40)]);
        assert_eq!(made.packet.to_vec(), shape.whole());
        // What lies within a run of pieces that came in order is ignored, though no single piece equals it.
        let other = Datagram { id: 2, ..shape };
        assert!(matches!(bench.push(&other.fragment(0, 8)), Outcome::Held));
        assert!(matches!(bench.push(&other.fragment(8, 32)), Outcome::Held));
        let within = bench.push(&other.fragment(0, 16));
        assert!(matches!(within, Outcome::Dropped(dropped) if dropped.reason == FragmentReason::Duplicate));
        assert!(matches!(bench.push(&other.fragment(32, 40)), Outcome::Complete(_)));
    }
}
