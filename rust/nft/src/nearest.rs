//! The word that was probably meant.

/// Longer words are compared with none: the time that it takes grows with the square of their length.
const LONGEST: usize = 32;
/// With how many names a word is compared.
const MAX_COMPARED: usize = 4096;

/// The known word that differs by a typing mistake or two, if there is one; of several, one with the same first letter.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > LONGEST {
        return None;
    }
    let most = (name.len() / 3).clamp(1, 3);
    let initial = |text: &str| text.bytes().next().map(|byte| byte.to_ascii_lowercase());
    known
        .into_iter()
        .take(MAX_COMPARED)
        .filter(|known| known.len().abs_diff(name.len()) <= most)
        .map(|known| (distance(name.as_bytes(), known.as_bytes()), known))
        // A word of which no letter is left is another word.
        .filter(|(edits, known)| *edits <= most && *edits < name.len().min(known.len()))
        .min_by_key(|(edits, known)| (*edits, initial(known) != initial(name)))
        .map(|(_, known)| known)
}

/// Letters to insert, take away, exchange, or swap with the next one (Damerau; each place is changed once), whatever
/// their case.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (line, ours) in left.iter().enumerate() {
        let mut row = vec![line + 1];
        for (column, theirs) in right.iter().enumerate() {
            let exchanged = last[column] + usize::from(!ours.eq_ignore_ascii_case(theirs));
            let mut edits = exchanged.min(last[column + 1] + 1).min(row[column] + 1);
            if line > 0
                && column > 0
                && ours.eq_ignore_ascii_case(&right[column - 1])
                && theirs.eq_ignore_ascii_case(&left[line - 1])
            {
                edits = edits.min(before[column - 1] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn a_swap_is_one_edit() {
        for (left, right, edits) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("ABC", "abc", 0),
            ("acb", "abc", 1),
            ("ab", "abc", 1),
            ("abcd", "abc", 1),
            ("axc", "abc", 1),
            ("foward", "forward", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left.as_bytes(), right.as_bytes()), edits, "{left} {right}");
            assert_eq!(distance(right.as_bytes(), left.as_bytes()), edits, "{right} {left}");
        }
    }

    #[test]
    fn a_word_with_the_same_first_letter_is_nearer() {
        assert_eq!(nearest("htp", ["ftp", "ntp", "http"]), Some("http"));
        assert_eq!(nearest("pub5", ["pub4", "pub6"]), Some("pub4"));
    }

    #[test]
    fn words_that_have_little_in_common_are_not_offered() {
        assert_eq!(nearest("b", ["a"]), None);
        assert_eq!(nearest("lan", ["dmz"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest(&"a".repeat(33), [&*"a".repeat(33)]), None);
    }
}
