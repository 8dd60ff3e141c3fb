//! What holds for every text: reading never panics, printing loses nothing.
use netfast_nft::{check, parse, parse_json};
use proptest::prelude::*;

use super::cases::{ACCEPTED, ACCEPTED_FILES, file};

/// Pieces of rules that are put together at random; `N`, `A` and `P` become numbers, addresses and ports.
#[rustfmt::skip]
const MATCHES: &[&str] = &[
    "ip saddr A", "ip daddr != A/8", "ip saddr A-A", "ip daddr { A, A/16, A-A }", "ip6 saddr 2001:db8::N/64",
    "ip6 daddr { ::N, fe80::/10 }", "tcp dport P", "tcp sport P-P", "tcp dport { P, P-P, P }", "udp dport != { P, P }",
    "tcp flags syn", "tcp flags & (fin | N) == N", "tcp flags ! fin,rst", "tcp flags { syn, N }", "meta l4proto != N", "ip protocol N", "ip ttl < N", "ip6 hoplimit N", "meta mark & 0xP == N", "meta mark P",
    "ip saddr . tcp dport { A . P, A . P }", "ct state established,related", "ct state { new, invalid }", "ct mark N-P",
    "iifname \"ethN\"", "iifname { \"lanN\", \"ppp*\" }", "meta length N-P", "icmp type N", "icmpv6 type { N, N }",
    "ip dscp N", "ip frag-off & 0xP != 0", "ct original ip saddr A/24", "fib daddr type local", "meta pkttype multicast",
    "ct expiration 1Ns", "exthdr frag exists", "udp length P", "ip saddr @blocked",
    "ip saddr & 255.0.0.255 == A", "ct state != new", "ct status snat,N", "frag more-fragments N",
];
#[rustfmt::skip]
const STATEMENTS: &[&str] = &[
    "accept", "drop comment \"N\"", "counter", "counter packets N bytes P", "limit rate N/minute burst P packets drop",
    "limit rate over P bytes/second", "quota N mbytes", "log prefix \"N\" level info", "meta mark set P",
    "meta mark set ct mark & 0xP | N", "ct mark set meta mark ^ P", "jump other", "return", "reject",
    "reject with icmpx admin-prohibited", "tcp dport vmap { P : accept, P : drop }", "counter name hits goto other",
    "meta mark set ip saddr map { A : N, A : P }", "reject with tcp reset", "notrack", "continue",
];

/// A small generator (xorshift), so that a case is known by its seed.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn fill(&mut self, piece: &str) -> String {
        let mut text = String::new();
        for letter in piece.chars() {
            match letter {
                'N' => text.push_str(&self.below(64).to_string()),
                'P' => text.push_str(&self.below(9000).to_string()),
                'A' => {
                    let address = self.next().to_be_bytes();
                    text.push_str(&format!("{}.{}.0.{}", address[0], address[1] & 3, address[2]));
                }
                _ => text.push(letter),
            }
        }
        text
    }

    pub fn rule(&mut self) -> String {
        let mut rule = String::new();
        for _ in 0..self.below(4) {
            let piece = self.below(MATCHES.len());
            rule.push_str(&self.fill(MATCHES[piece]));
            rule.push(' ');
        }
        let piece = self.below(STATEMENTS.len());
        rule + &self.fill(STATEMENTS[piece])
    }

    /// Rules that are accepted, one a line.
    pub fn rules(&mut self, count: usize) -> String {
        let base = "type filter hook input priority filter; policy drop;";
        let mut rules = Vec::new();
        while rules.len() < count {
            let rule = self.rule();
            if parse(&file("inet", base, &rule), "random").is_ok() {
                rules.push(rule);
            }
        }
        file("inet", base, &rules.join("\n\t\t"))
    }
}

/// Everything that reads text, whatever it says.
fn read(text: &str) {
    let _ = parse_json(text);
    if let Ok((ruleset, _)) = check(text, "text") {
        let printed = ruleset.to_string();
        let again =
            parse(&printed, "printed").unwrap_or_else(|errors| panic!("{text}\n{printed}\n{}", errors[0]));
        assert_eq!(again, ruleset, "{text}\n{printed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        read(&text);
    }

    #[test]
    fn any_rule_is_read_or_refused(rule in "[ -~\n]{0,60}") {
        read(&file("inet", "type filter hook input priority 0;", &rule));
    }

    #[test]
    fn words_of_the_language_are_read_or_refused(
        words in prop::collection::vec(prop::sample::select(words()), 0..30)
    ) {
        read(&words.join(" "));
        read(&file("inet", "type filter hook input priority 0;", &words.join(" ")));
    }

    #[test]
    fn damaged_rules_are_read_or_refused(
        index in 0..ACCEPTED.len(),
        from in 0_usize..900,
        length in 0_usize..30,
        with in "[a-z0-9{}\"$@.:;/ \n-]{0,6}",
    ) {
        let (family, base, rule, _) = ACCEPTED[index];
        read(&damage(&file(family, base, rule), from, length, &with));
    }

    #[test]
    fn damaged_files_are_read_or_refused(
        index in 0..ACCEPTED_FILES.len(),
        from in 0_usize..300,
        length in 0_usize..30,
        with in "[a-z0-9{}\"$@.:;/ \n-]{0,6}",
    ) {
        read(&damage(ACCEPTED_FILES[index], from, length, &with));
    }

    #[test]
    fn printing_loses_nothing(seed in 1_u64..) {
        let text = Random(seed).rules(5);
        prop_assert!(parse(&text, "random").is_ok());
        read(&text);
    }
}

fn words() -> Vec<&'static str> {
    let mut words: Vec<&str> = ACCEPTED
        .iter()
        .flat_map(|case| case.2.split(' '))
        .chain(ACCEPTED_FILES.iter().flat_map(|text| text.split(' ')))
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

fn damage(text: &str, from: usize, length: usize, with: &str) -> String {
    let from = from.min(text.len());
    let to = (from + length).min(text.len());
    if !text.is_char_boundary(from) || !text.is_char_boundary(to) {
        return text.to_owned();
    }
    format!("{}{with}{}", &text[..from], &text[to..])
}

#[test]
fn large_sets_are_read_in_time_and_lines_may_be_long() {
    let elements: Vec<String> =
        (0..100_000_u32).map(|number| std::net::Ipv4Addr::from(number * 3).to_string()).collect();
    let text =
        format!("table inet t {{ set s {{ type ipv4_addr; elements = {{ {} }}; }}; }}", elements.join(", "));
    let ruleset = parse(&text, "large").unwrap();
    assert_eq!(ruleset.tables[0].sets[0].elements.len(), 100_000);
    let ports: Vec<String> =
        (0..20_000).map(|number| format!("10.{}.{}.0/24 . 80-90", number >> 8, number & 255)).collect();
    let text = format!(
        "table inet t {{ set s {{ type ipv4_addr . inet_service; flags interval; elements = {{ {} }}; }}; }}",
        ports.join(", ")
    );
    assert_eq!(parse(&text, "large").unwrap().tables[0].sets[0].elements.len(), 20_000);
}
