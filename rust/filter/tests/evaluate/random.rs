//! Random rule sets and packets, made from a list of choices so that proptest can make them smaller.

use netfast_filter::facts::*;
use netfast_nft::ast::*;
use netfast_nft::field::{
    ExtensionHeader, FibQuery, FibResult, Field, TableFamily, Transport, interface_number,
};
use smallvec::{SmallVec, smallvec};

/// A list of choices; when it is used up every choice is the first.
pub struct Choices {
    list: Vec<u16>,
    next: usize,
}

impl Choices {
    pub fn new(list: Vec<u16>) -> Self {
        Self { list, next: 0 }
    }

    /// One of `0..n`.
    pub fn of(&mut self, n: u16) -> u16 {
        let choice = self.list.get(self.next).copied().unwrap_or(0) % n;
        self.next += 1;
        choice
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let choice = self.of(from.len() as u16);
        from[usize::from(choice)].clone()
    }

    /// Once in `n`.
    fn once_in(&mut self, n: u16) -> bool {
        self.of(n) == n - 1
    }
}

pub const PORTS: [(u32, &str); 3] = [(1, "lan"), (2, "wan"), (7, "eth0")];

/// Two base chains and some that they jump to.
pub fn ruleset(choices: &mut Choices) -> RulesetAst {
    let regular = choices.of(4);
    let base = |hook, choices: &mut Choices| {
        let policy = choices.pick(&[Policy::Accept, Policy::Drop]);
        Some(Base { kind: ChainKind::Filter, hook, priority: 0, policy })
    };
    let mut chains = Vec::new();
    for (name, hook) in [("first", Hook::Prerouting), ("second", Hook::Forward)] {
        let base = base(hook, choices);
        chains.push(chain(name.into(), base, 0, regular, choices));
    }
    for number in 0..regular {
        chains.push(chain(format!("c{number}"), None, number + 1, regular, choices));
    }
    let ports = KeyType::Types(smallvec![Field::DestinationPort(Transport::Any).data_type()]);
    let sets = vec![
        set("ports", ports.clone(), vec![element(&[Interval { low: 22, high: 80 }], None)]),
        Set { timeout: Some(700), ..set("timed", ports, vec![element(&[Interval::single(53)], None)]) },
        Set {
            size: Some(2),
            dynamic: true,
            timeout: choices.once_in(2).then_some(500),
            ..set(
                "seen",
                KeyType::TypeOf(smallvec![Field::IpTtl]),
                vec![element(&[Interval::single(64)], None)],
            )
        },
    ];
    let counters = vec![CounterObject {
        name: "named".into(),
        packets: 0,
        bytes: 0,
        comment: None,
        span: Span::default(),
    }];
    RulesetAst {
        tables: vec![Table {
            family: TableFamily::Inet,
            name: "t".into(),
            comment: None,
            counters,
            limits: vec![Object {
                name: "named".into(),
                value: limit(choices),
                comment: None,
                span: Span::default(),
            }],
            quotas: Vec::new(),
            flowtables: Vec::new(),
            sets,
            chains,
            span: Span::default(),
        }],
        ..RulesetAst::default()
    }
}

fn set(name: &str, key: KeyType, elements: Vec<SetElement>) -> Set {
    Set {
        name: name.into(),
        key,
        data: None,
        constant: false,
        interval: name == "ports",
        dynamic: false,
        expires: true,
        timeout: None,
        gc_interval: None,
        auto_merge: false,
        size: None,
        comment: None,
        elements,
        meter: false,
        span: Span::default(),
    }
}

fn limit(choices: &mut Choices) -> Limit {
    Limit {
        over: choices.once_in(2),
        rate: 1 + u64::from(choices.of(3)),
        unit: choices.pick(&[LimitUnit::Packets, LimitUnit::Bytes]),
        per: Period::Second,
        burst: 1 + u32::from(choices.of(100)),
    }
}

/// A statement that changes the set, by a field of each packet or by one that the flow has.
fn dynamic(choices: &mut Choices) -> Statement {
    let each = match choices.of(3) {
        0 => Vec::new(),
        1 => {
            vec![ElementStatement::Counter { packets: 0, bytes: 0 }, ElementStatement::Limit(limit(choices))]
        }
        _ => vec![ElementStatement::Quota(Quota { over: choices.once_in(2), bytes: 150, used: 0 })],
    };
    Statement::Dynamic(Dynamic {
        operation: choices.pick(&[SetOperation::Add, SetOperation::Update, SetOperation::Delete]),
        set: "seen".into(),
        key: Key {
            fields: smallvec![choices.pick(&[Field::IpTtl, Field::IpTtl, Field::IpSource, Field::IpDscp])],
            mask: None,
        },
        timeout: choices.once_in(3).then_some(400),
        each,
        meter: false,
    })
}

fn chain(name: String, base: Option<Base>, from: u16, to: u16, choices: &mut Choices) -> Chain {
    let count = if choices.once_in(3) { 12 + choices.of(90) } else { choices.of(7) };
    let rules = (0..count).map(|_| rule(from, to, choices)).collect();
    Chain { name, base, comment: None, rules, anonymous: false, span: Span::default() }
}

/// A rule that may jump to the chains `from..to`.
fn rule(from: u16, to: u16, choices: &mut Choices) -> Rule {
    let mut statements: Vec<Statement> =
        (0..1 + choices.of(3)).map(|_| statement(from, to, choices)).collect();
    if !choices.once_in(4) {
        statements.push(Statement::Verdict(verdict(from, to, choices)));
    } else if choices.once_in(4) {
        statements.push(Statement::Reject(RejectKind::IcmpX(IcmpX::AdminProhibited)));
    }
    Rule { statements, ..Rule::default() }
}

fn verdict(from: u16, to: u16, choices: &mut Choices) -> Verdict {
    match choices.of(8) {
        0 | 1 => Verdict::Accept,
        2 => Verdict::Drop,
        3 => Verdict::Continue,
        4 => Verdict::Return,
        5 | 6 if from < to => Verdict::Jump(format!("c{}", from + choices.of(to - from))),
        7 if from < to => Verdict::Goto(format!("c{}", from + choices.of(to - from))),
        _ => Verdict::Drop,
    }
}

fn statement(from: u16, to: u16, choices: &mut Choices) -> Statement {
    match choices.of(27) {
        0 => Statement::Counter(Counter::Anonymous { packets: 0, bytes: 0 }),
        1 => Statement::Counter(Counter::Named("named".into())),
        2 => Statement::Limit(limit(choices)),
        3 => Statement::Quota(Quota { over: choices.once_in(2), bytes: u64::from(choices.of(200)), used: 0 }),
        4 => Statement::Log(Log::default()),
        5 | 6 => Statement::SetMark(mark(choices)),
        7 => Statement::SetCtMark(mark(choices)),
        8 if choices.once_in(3) => Statement::NoTrack,
        9 | 10 => {
            let key = key(choices);
            let elements = (0..1 + choices.of(4))
                .map(|_| element(&intervals(&key, choices), Some(Data::Verdict(verdict(from, to, choices)))))
                .collect();
            Statement::Vmap(Lookup { key, map: MapSource::Anonymous(elements) })
        }
        11 => Statement::NamedLimit("named".into()),
        12 | 13 => dynamic(choices),
        14 => Statement::SetMaxSegment(MaxSegment::Constant(choices.pick(&[500, 1400]))),
        15 => Statement::FlowAdd("f".into()),
        _ => Statement::Match(condition(choices)),
    }
}

fn mark(choices: &mut Choices) -> MarkValue {
    match choices.of(5) {
        0 | 1 => MarkValue::Constant(choices.of(3).into()),
        2 => MarkValue::Computed { from: MarkSource::Packet, and: 0xff, xor: choices.of(2).into() },
        3 => MarkValue::Computed { from: MarkSource::Connection, and: 0xff, xor: choices.of(2).into() },
        _ => {
            let key = key(choices);
            let value = Data::Values(smallvec![Interval::single(choices.of(3).into())]);
            let elements = vec![element(&intervals(&key, choices), Some(value))];
            MarkValue::Map(Lookup { key, map: MapSource::Anonymous(elements) })
        }
    }
}

fn element(key: &[Interval], data: Option<Data>) -> SetElement {
    SetElement { key: SmallVec::from_slice(key), data, timeout: None, comment: None }
}

fn field(choices: &mut Choices) -> Field {
    let route = FibQuery { destination: true, mark: true, iif: false, oif: false, result: FibResult::Exists };
    choices.pick(&[
        Field::IpTtl,
        Field::IpSource,
        Field::Ip6Destination,
        Field::DestinationPort(Transport::Tcp),
        Field::SourcePort(Transport::Any),
        Field::L4Proto,
        Field::NfProto,
        Field::IifName,
        Field::OifName,
        Field::Mark,
        Field::CtMark,
        Field::CtState,
        Field::CtStatus,
        Field::Fib(route),
        Field::ExtensionHeaderExists(ExtensionHeader::Fragment),
        Field::FragMoreFragments,
        Field::Ip6NextHeader,
        Field::IpHeaderLength,
        Field::Ip6HopLimit,
        Field::IpDscp,
        Field::TcpFlags,
        Field::Length,
        Field::PacketType,
        Field::Mark,
        Field::CtState,
    ])
}

fn key(choices: &mut Choices) -> Key {
    let mut fields: SmallVec<[Field; 2]> = smallvec![field(choices)];
    if choices.once_in(5) {
        fields.push(field(choices));
    }
    Key { fields, mask: None }
}

/// A value that packets may well have.
fn value(field: Field, choices: &mut Choices) -> u128 {
    match field {
        Field::IpSource => 0x0a00_0000 + u128::from(choices.of(4)),
        Field::Ip6Destination => 0x2001_0db8 << 96 | u128::from(choices.of(4)),
        Field::DestinationPort(_) | Field::SourcePort(_) => choices.pick(&[22, 53, 80, 443]),
        Field::L4Proto | Field::Ip6NextHeader => choices.pick(&[6, 17, 44]),
        Field::NfProto => choices.pick(&[2, 10]),
        Field::IifName | Field::OifName => interface_number(choices.pick(&["lan", "wan", "eth0", "gone"])),
        Field::Mark | Field::CtMark | Field::PacketType => choices.of(3).into(),
        Field::CtState => choices.pick(&[1, 2, 4, 8, 64]),
        Field::CtStatus => choices.pick(&[0, 4, 8, 12]),
        Field::IpTtl | Field::Ip6HopLimit => choices.pick(&[1, 63, 64]),
        Field::IpHeaderLength => choices.pick(&[5, 6]),
        Field::IpDscp => choices.of(4).into(),
        Field::TcpFlags => choices.pick(&[0, 1, 2, 3, 8, 16]),
        Field::Length => choices.pick(&[60, 100, 101]),
        _ => choices.of(2).into(),
    }
}

fn intervals(key: &Key, choices: &mut Choices) -> Vec<Interval> {
    key.fields
        .iter()
        .map(|field| {
            let low = value(*field, choices);
            let more = if choices.once_in(3) { u128::from(choices.of(64)) } else { 0 };
            Interval { low, high: low.saturating_add(more) }
        })
        .collect()
}

fn condition(choices: &mut Choices) -> Match {
    let key = key(choices);
    let equality = choices.pick(&[Operator::Equal, Operator::Equal, Operator::NotEqual]);
    let (operator, rhs) = if key.fields.len() == 1 && choices.once_in(6) {
        let named = Key { fields: smallvec![Field::DestinationPort(Transport::Any)], mask: None };
        let (key, name) = match choices.of(3) {
            0 => (named, "ports"),
            1 => (named, "timed"),
            _ => (Key { fields: smallvec![Field::IpTtl], mask: None }, "seen"),
        };
        return Match { key, operator: equality, rhs: Rhs::Named(name.into()), implicit: false };
    } else if key.fields.len() == 1 && choices.once_in(2) {
        let operator = choices.pick(&[
            Operator::Equal,
            Operator::NotEqual,
            Operator::Less,
            Operator::LessOrEqual,
            Operator::Greater,
            Operator::GreaterOrEqual,
            Operator::AnyBit,
            Operator::NoBit,
        ]);
        (operator, Rhs::Value(value(key.fields[0], choices)))
    } else if choices.once_in(2) {
        (equality, Rhs::Range(SmallVec::from_vec(intervals(&key, choices))))
    } else {
        let elements = (0..1 + choices.of(4)).map(|_| element(&intervals(&key, choices), None)).collect();
        (equality, Rhs::Anonymous(elements))
    };
    Match { key, operator, rhs, implicit: false }
}

/// Routes to even addresses only, and with mark 1 nowhere.
pub struct EvenFib;

impl Fib for EvenFib {
    fn out_port(&self, query: &FibLookup) -> Option<u32> {
        (query.address[15].is_multiple_of(2) && query.mark != Some(1)).then_some(2)
    }

    fn address_type(&self, query: &FibLookup) -> AddressType {
        if query.address[15].is_multiple_of(2) { AddressType::Unicast } else { AddressType::Local }
    }
}

const fn tuples(protocol: u8) -> [CtTuple; 2] {
    [CtTuple { source: [0; 16], destination: [0; 16], source_port: 1, destination_port: 2, protocol }; 2]
}

const TCP: [CtTuple; 2] = tuples(6);
const UDP: [CtTuple; 2] = tuples(17);

/// What all packets of a flow share.
pub fn flow(choices: &mut Choices) -> Facts<'static> {
    let family = choices.pick(&[Family::Ipv4, Family::Ipv6]);
    let address = |choices: &mut Choices| {
        let number = u128::from(choices.of(4));
        match family {
            Family::Ipv4 => 0xffff_0a00_0000u128 + number,
            Family::Ipv6 => 0x2001_0db8 << 96 | number,
        }
        .to_be_bytes()
    };
    let protocol = choices.pick(&[6, 17]);
    let connection = choices.once_in(2).then_some(Connection {
        direction: CtDirection::Original,
        status: 12,
        mark: choices.of(3).into(),
        expiration: 1000,
        established: true,
        tuples: if protocol == 6 { &TCP } else { &UDP },
    });
    Facts {
        family,
        source: address(choices),
        destination: address(choices),
        protocol,
        ports: Some((choices.pick(&[22, 53, 80, 443]), choices.pick(&[22, 53, 80, 443]))),
        in_port: choices.pick(&[Some(1), Some(2), Some(7), Some(9), None]),
        out_port: choices.pick(&[Some(1), Some(2), Some(7), None]),
        ct_state: choices.pick(&CtState::ALL),
        connection,
        fib: &EvenFib,
        ..Facts::EMPTY
    }
}

/// The bytes of a packet, and what else is its own.
#[derive(Clone, Debug)]
pub struct Packet {
    pub bytes: Vec<u8>,
    pub l4_offset: u16,
    pub length: u32,
    pub hop_limit: u8,
    pub packet_type: PacketType,
    pub fragment: bool,
}

/// A packet of the flow; a plain one has no options, extension headers or fragmentation.
pub fn packet(flow: &Facts<'_>, plain: bool, choices: &mut Choices) -> Packet {
    let exotic = !plain && choices.once_in(2);
    let dscp = choices.of(4) as u8;
    // No segment of a connection with SYN is plain, nor one that ends it.
    let opening = !plain || flow.connection.is_none();
    let flags = if opening { choices.of(4) as u8 } else { choices.pick(&[0, 8, 16, 24]) };
    let mut bytes = match flow.family {
        Family::Ipv4 => {
            let mut header = vec![0u8; if exotic { 24 } else { 20 }];
            header[0] = 0x40 | (header.len() / 4) as u8;
            header[1] = dscp << 2;
            header[9] = flow.protocol;
            header
        }
        Family::Ipv6 => {
            let mut header = vec![0u8; 40];
            header[0] = 0x60 | dscp >> 2;
            header[1] = dscp << 6;
            header[6] = if exotic { 44 } else { flow.protocol };
            if exotic {
                header.extend([flow.protocol, 0, 0, choices.of(2) as u8, 0, 0, 0, 9]);
            }
            header
        }
    };
    let l4_offset = bytes.len() as u16;
    bytes.extend([0u8; 20]);
    bytes[usize::from(l4_offset) + 13] = flags;
    if !plain && choices.once_in(6) {
        bytes.truncate(choices.of(60).into());
    }
    Packet {
        bytes,
        l4_offset,
        length: choices.pick(&[60, 100, 101, 300]),
        hop_limit: choices.pick(&[1, 63, 64]),
        packet_type: choices.pick(&[PacketType::Host, PacketType::Broadcast, PacketType::Multicast]),
        fragment: exotic && choices.once_in(3),
    }
}

impl Packet {
    /// The facts of this packet of the flow.
    pub fn facts<'a>(&'a self, flow: &Facts<'a>) -> Facts<'a> {
        Facts {
            l3: &self.bytes,
            l4_offset: self.l4_offset,
            l3_length: self.length,
            hop_limit_now: self.hop_limit,
            packet_type: self.packet_type,
            fragment: self.fragment,
            ..*flow
        }
    }
}
