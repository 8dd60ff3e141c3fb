//! What is accepted but told as doubtful.
use netfast_nft::check;

/// The findings, as line and text.
fn told(text: &str) -> Vec<String> {
    let (_, findings) = check(text, "rules.nft").unwrap_or_else(|errors| panic!("{}", errors[0]));
    findings.iter().map(|finding| format!("{}: {}", finding.span.line, finding.doubt)).collect()
}

#[test]
fn rules_that_no_packet_reaches_are_told() {
    let cases = [
        ("accept\ndrop", Some((3, 2))),
        ("counter drop\ntcp dport 22 accept\ntcp dport 23 accept", Some((3, 2))),
        ("tcp dport 22 accept\ntcp dport 22 drop", Some((3, 2))),
        ("tcp dport 20-30 accept\ntcp dport { 22, 23 } ip saddr 192.0.2.1 drop", Some((3, 2))),
        ("ip saddr 10.0.0.0/8 drop\nudp dport 53\nip saddr 10.1.0.0/16 accept", Some((4, 2))),
        ("ct state established,related accept\nct state established drop", Some((3, 2))),
        ("ct state established accept\nct state established,related drop", None),
        ("tcp dport 22 limit rate 1/second accept\ntcp dport 22 drop", None),
        ("tcp dport 22 counter\ntcp dport 22 drop", None),
        ("tcp dport 22 ip saddr 10.0.0.1 accept\ntcp dport 22 drop", None),
        ("tcp dport 22 accept\nudp dport 22 drop", None),
        ("tcp dport != 22 accept\ntcp dport 23 drop", None),
        ("meta mark 1 accept\nmeta mark set 1\nmeta mark 1 drop", None),
        ("iifname \"eth*\" accept\niifname \"eth0\" drop", Some((3, 2))),
        // What rules in between may change.
        ("ip dscp ef accept\nudp dport 53 ip dscp set ef\nip dscp ef counter accept", None),
        ("ip6 dscp ef accept\nudp dport 53 ip6 dscp set ef\nip6 dscp ef counter accept", None),
        ("ip ttl 5 drop\nudp dport 53 ip ttl set 5\nip ttl 5 counter accept", None),
        ("ip6 hoplimit 5 drop\nudp dport 53 ip6 hoplimit set 5\nip6 hoplimit 5 counter accept", None),
        ("tcp option maxseg size 900 drop\ntcp option maxseg size set 900\ntcp option maxseg size 900", None),
        ("ip saddr @filled drop\nudp dport 53 add @filled { ip saddr }\nip saddr @filled accept", None),
        ("ip saddr @fixed drop\nudp dport 53 counter\nip saddr @fixed accept", Some((4, 2))),
        // A flow table takes only packets that it can.
        ("meta l4proto tcp flow add @f accept\nmeta l4proto tcp drop", None),
    ];
    for (rules, expected) in cases {
        let declared = "table inet t { set filled { type ipv4_addr; }; set fixed { type ipv4_addr; }; flowtable f { hook ingress priority 0; }; chain c { type filter hook forward priority 0;";
        let found: Vec<String> = told(&format!("{declared}\n{rules}\n}}\n}}"))
            .into_iter()
            .filter(|told| told.contains("no packet"))
            .collect();
        let wanted: Vec<String> = expected
            .iter()
            .map(|(line, by)| {
                format!("{line}: no packet gets here: the rule in line {by} takes all that this one could")
            })
            .collect();
        assert_eq!(found, wanted, "{rules}");
    }
}

#[test]
fn what_a_flow_table_does_not_take_gets_behind_its_rule() {
    let text = "table inet t {\nflowtable f { hook ingress priority 0; devices = { lan }; }\n\
                chain c { type filter hook forward priority 0;\nflow add @f accept\ncounter drop\n}\n}\n";
    assert!(told(text).is_empty(), "{:?}", told(text));
}

#[test]
fn rules_behind_translations_are_told() {
    let cases = [
        ("ip", "oifname \"wan\" masquerade\noifname \"wan\" ip saddr 192.0.2.1 snat to 198.51.100.1", true),
        ("inet", "oifname \"wan\" masquerade\noifname \"wan\" ip saddr 192.0.2.1 snat to 198.51.100.1", true),
        ("inet", "ip saddr 192.0.2.0/24 counter snat to 198.51.100.1\nip saddr 192.0.2.1 accept", true),
        ("inet", "meta l4proto tcp snat to :1024-2048\ntcp dport 80 masquerade", true),
        (
            "inet",
            "oifname \"wan\" ip saddr 192.0.2.1 snat to 198.51.100.1\noifname \"wan\" masquerade",
            false,
        ),
        ("ip", "oifname \"wan\" masquerade\noifname \"dsl\" masquerade", false),
        // Packets of the other family go on.
        ("inet", "oifname \"wan\" snat ip to 198.51.100.1\noifname \"wan\" masquerade", false),
        // So do those that the map does not have.
        ("ip", "snat to ip saddr map { 192.0.2.1 : 198.51.100.1 }\nmasquerade", false),
        ("ip", "limit rate 1/second masquerade\nmasquerade", false),
    ];
    for (family, rules, expected) in cases {
        let base = "type nat hook postrouting priority srcnat;";
        let found = told(&format!("table {family} t {{ chain c {{ {base}\n{rules}\n}}\n}}"));
        let wanted = "3: no packet gets here: the rule in line 2 takes all that this one could";
        assert_eq!(found, if expected { vec![wanted] } else { vec![] }, "{rules}");
    }
}

#[test]
fn what_is_not_used_is_told() {
    let text = "define a = 1\ndefine b = 2\ntable inet t {\nset s { type mark; }\nset u { type mark; }\ncounter k { }\nchain d { }\nchain e { }\nchain c { type filter hook input priority 0;\nmeta mark $b meta mark @u jump e\n}\n}\n";
    assert_eq!(
        told(text),
        [
            "1: variable `a` is not used",
            "4: set `s` of table `t` is not used",
            "6: counter `k` of table `t` is not used",
            "7: nothing jumps to chain `d` of table `t`",
        ]
    );
}

#[test]
fn empty_base_chains_and_questions_before_tracking_are_told() {
    let text = "table inet t {\nchain a { type filter hook input priority 0; }\nchain b { type filter hook input priority 0; policy drop; }\nchain c { type filter hook prerouting priority raw;\nip saddr 192.0.2.1 ct state new drop\n}\n}\n";
    assert_eq!(
        told(text),
        [
            "2: chain `a` of table `t` has no rules and accepts everything",
            "5: connections are looked up at priority -200, after this chain: what is asked of them is not known yet",
        ]
    );
}

#[test]
fn notrack_changes_the_state_of_connections() {
    let chain = |between: &str| {
        let rules = format!("ct state untracked drop\n{between}\nct state untracked accept");
        told(&format!(
            "table inet t {{ chain c {{ type filter hook prerouting priority raw; policy drop;\n{rules}\n}}\n}}"
        ))
    };
    let unreachable = |told: &[String]| told.iter().filter(|told| told.contains("no packet")).count();
    assert_eq!((unreachable(&chain("notrack")), unreachable(&chain("counter"))), (0, 1));
}
