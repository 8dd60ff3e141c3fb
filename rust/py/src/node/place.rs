//! Where something stands in a text, for errors that people can follow.
use std::ops::Range;

/// A line and a column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A value with the place where it was written.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub place: Place,
}

/// A text that knows where its lines begin.
pub struct Text<'t> {
    text: &'t str,
    lines: Vec<usize>,
}

impl<'t> Text<'t> {
    pub fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, lines: std::iter::once(0).chain(ends).collect() }
    }

    /// The bytes of a range; none of one that is not there.
    pub fn slice(&self, range: Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }

    /// The place of a byte.
    pub fn place(&self, byte: usize) -> Place {
        let line = self.lines.partition_point(|&start| start <= byte).max(1);
        let before = self.text.get(self.lines[line - 1]..byte).unwrap_or_default();
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Place { line: small(line), column: small(before.chars().count() + 1) }
    }
}

/// For each line of a string that TOML has in a text of several lines, where it begins there: rules are told with
/// places in the string, and people look for them in the file.
///
/// `raw` is the string as it is written, quotes included, and begins at byte `start` of the text.
pub fn lines_of_string(text: &Text<'_>, raw: &str, start: usize) -> Vec<Place> {
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
    let escapes = raw.starts_with('"');
    let mut at = quotes;
    // The line break right behind the opening quotes is no part of the string.
    at += [&b"\r\n"[..], b"\n"]
        .iter()
        .find(|end| raw.as_bytes()[at..].starts_with(end))
        .map_or(0, |end| end.len());
    let mut places = vec![text.place(start + at)];
    while let Some(character) = raw[at..].chars().next() {
        at += character.len_utf8();
        if character == '\n' {
            places.push(text.place(start + at));
        } else if character == '\\' && escapes {
            let rest = &raw[at..];
            let blank = rest.len() - rest.trim_start().len();
            if rest[..blank].contains('\n') {
                // A line that goes on: blanks up to the next character are no part of the string either.
                at += blank;
            } else if let Some(escaped) = rest.chars().next() {
                at += escaped.len_utf8();
                if escaped == 'n' {
                    places.push(text.place(start + at));
                }
            }
        }
    }
    places
}
