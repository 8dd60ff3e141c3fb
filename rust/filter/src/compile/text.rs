//! The text of rules, as lists and traces show it.
use std::borrow::Cow;

/// A rule that was written over several lines, in one: without remarks, with semicolons where lines ended statements.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') {
        return Cow::Borrowed(text);
    }
    let mut joined = String::with_capacity(text.len());
    let mut goes_on = true;
    for line in text.lines().map(|line| before_remark(line).trim()).filter(|line| !line.is_empty()) {
        if !joined.is_empty() {
            joined.push_str(if goes_on || line.starts_with(['}', ',', ';']) { " " } else { "; " });
        }
        let (line, continued) = line.strip_suffix('\\').map_or((line, false), |line| (line.trim_end(), true));
        joined.push_str(line);
        goes_on = continued || joined.ends_with(['{', ',', ';', ':']);
    }
    Cow::Owned(joined)
}

/// A line up to its `#`, if that is not quoted.
fn before_remark(line: &str) -> &str {
    let mut quoted = false;
    let remark = line.find(|each| {
        quoted ^= each == '"';
        each == '#' && !quoted
    });
    &line[..remark.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn rules_of_several_lines_become_one() {
        for (text, line) in [
            ("tcp dport 22 accept", "tcp dport 22 accept"),
            (
                "jump {\n\t\t\tcounter\n\t\t\tudp dport 443 accept\n\t\t}",
                "jump { counter; udp dport 443 accept }",
            ),
            ("tcp dport {\n 22, # ssh\n 23\n} accept", "tcp dport { 22, 23 } accept"),
            ("log prefix \"#1\" \\\n  accept", "log prefix \"#1\" accept"),
            ("jump {\n\n # \"nothing\n counter;\n accept;\n}", "jump { counter; accept; }"),
        ] {
            assert_eq!(one_line(text), line);
        }
    }
}
