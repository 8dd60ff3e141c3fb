//! Order and overlap of elements.
use crate::ast::{Data, SetElement};
use crate::error::Problem;

/// What becomes of elements that overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// They are an error.
    Never,
    /// They are joined.
    Overlapping,
    /// They are joined, and so are neighbours: `auto-merge`.
    Adjacent,
}

/// How many pairs of concatenations are looked at for an overlap; beyond, a set is taken as it is. It is met only by
/// sets of many thousand elements that have one range in common in each part.
const MAX_PAIRS: usize = 20_000_000;

/// Sorts elements, removes what is there twice, and joins or refuses what overlaps. What is there twice has the time of
/// the first or of the last one: in Linux the last one sets it, but not in sets of intervals.
pub(crate) fn normalize(
    mut elements: Vec<SetElement>,
    merge: Merge,
    last_time: bool,
) -> Result<Vec<SetElement>, Problem> {
    elements.sort_by(|a, b| a.key.cmp(&b.key));
    elements.dedup_by(|later, first| {
        let twice = later.key == first.key && later.data == first.data;
        if twice && last_time {
            first.timeout = later.timeout;
        }
        twice
    });
    let simple = elements.first().is_none_or(|element| element.key.len() == 1);
    if !simple {
        return refuse_overlap_of_parts(elements);
    }
    if merge == Merge::Never || elements.iter().any(|element| element.data.is_some()) {
        let overlap = elements.windows(2).any(|pair| pair[1].key[0].low <= pair[0].key[0].high);
        return if overlap { Err(overlapping(&elements)) } else { Ok(elements) };
    }
    let reach = u128::from(merge == Merge::Adjacent);
    elements.dedup_by(|later, first| {
        let joined = later.key[0].low <= first.key[0].high.saturating_add(reach);
        if joined {
            first.key[0].high = first.key[0].high.max(later.key[0].high);
        }
        joined
    });
    Ok(elements)
}

fn overlapping(elements: &[SetElement]) -> Problem {
    let map = elements.iter().any(|element| element.data.is_some());
    let remedy = match map {
        true => "give each value to one element of the map only",
        false => "join them, or declare the set with `auto-merge`",
    };
    Problem::Overlap { remedy }
}

fn refuse_overlap_of_parts(elements: Vec<SetElement>) -> Result<Vec<SetElement>, Problem> {
    let exact = elements.iter().all(|element| element.key.iter().all(|range| range.is_single()));
    if exact {
        let twice = elements.windows(2).any(|pair| pair[0].key == pair[1].key);
        return if twice { Err(overlapping(&elements)) } else { Ok(elements) };
    }
    let width = elements[0].key.len();
    // The part that tells most elements apart leaves the fewest pairs.
    let distinct = |part: usize| {
        let mut lows: Vec<u128> = elements.iter().map(|element| element.key[part].low).collect();
        lows.sort_unstable();
        lows.dedup();
        lows.len()
    };
    let part = (0..width).max_by_key(|&part| distinct(part)).unwrap_or(0);
    let mut order: Vec<usize> = (0..elements.len()).collect();
    order.sort_by_key(|&index| elements[index].key[part].low);
    let mut pairs = 0;
    for (position, &first) in order.iter().enumerate() {
        for &second in &order[position + 1..] {
            let (a, b) = (&elements[first].key, &elements[second].key);
            pairs += 1;
            if b[part].low > a[part].high || pairs > MAX_PAIRS {
                break;
            }
            if a.iter().zip(b).all(|(a, b)| a.low <= b.high && b.low <= a.high) {
                return Err(Problem::Overlap {
                    remedy: "in concatenations no two elements may hold the same packet",
                });
            }
        }
    }
    Ok(elements)
}

impl Data {
    /// How many parts it has.
    pub(crate) fn parts(&self) -> usize {
        match self {
            Self::Verdict(_) => 0,
            Self::Values(values) => values.len(),
        }
    }
}
