//! What a packet is to the connections: the first half of a decision, without a change of anything.
use crate::config::NodeConfig;
use crate::event::EndReason;
use crate::subject::Subject;
use netfast_flow::FlowKey;
use netfast_flow::cache::{FlowCache, Found};
use netfast_flow::conntrack::{
    Answered, IcmpRole, State, Status, TcpOutcome, TcpSegment, TcpState, TcpTrack, Tuple, UdpTrack, Way,
    icmp_role, quote_offset, track_answered,
};
use netfast_time::{Duration, Instant};
use netfast_wire::dissect::{dissect, protocol as p};
use netfast_wire::{Frame, Layers, Limits, LinkType};

/// Status bit of entries that are no connections: what the cache knows of packets that are not tracked.
pub(crate) const UNTRACKED: u16 = 1 << 15;
/// Status bit of connections that hold an endpoint-independent mapping.
pub(crate) const MAPPED: u16 = 1 << 14;
/// How long the cache knows flows that are not tracked.
pub(crate) const UNTRACKED_FOR: Duration = Duration::from_secs(30);

/// What the fast path has to do for an entry's lifetime; its number stands in the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    /// Each packet is looked at by the slow path.
    Slow = 0,
    /// An established TCP connection.
    Tcp,
    /// UDP without an answer.
    Udp,
    /// UDP, answered, within its first two seconds: the slow path looks at what comes later.
    UdpAnswered,
    /// UDP, assured.
    UdpStream,
    /// Another protocol with ports, without an answer.
    Other,
    /// Assured.
    OtherStream,
    /// Not tracked.
    Untracked,
}

/// Three bits of an entry, and a bit for each where several are meant.
const _: () = assert!(Class::ALL.len() <= 8);

impl Class {
    pub const ALL: [Self; 8] = [
        Self::Slow,
        Self::Tcp,
        Self::Udp,
        Self::UdpAnswered,
        Self::UdpStream,
        Self::Other,
        Self::OtherStream,
        Self::Untracked,
    ];
}

/// A change of the table of connections that a decision asks for.
#[derive(Clone, Debug, Default)]
pub(crate) enum Change {
    /// The packet is of no connection.
    #[default]
    None,
    /// It begins one.
    Begin(Begin),
    /// It is one's.
    Update(Update),
}

/// A connection that is to be entered.
#[derive(Clone, Debug)]
pub(crate) struct Begin {
    /// An entry that is over and goes first.
    pub replaces: Option<(u32, EndReason)>,
    pub transport: Option<TcpTrack>,
    pub timeout: Duration,
    pub class: Class,
    pub tracked: bool,
}

impl Begin {
    /// The connection that begins with a packet of this protocol, whose upper-layer header is in `header` and which has
    /// `length` bytes from there on. `None` when a TCP segment begins none.
    pub fn of(protocol: u8, header: &[u8], length: u32, config: &NodeConfig) -> Option<Self> {
        let timeouts = &config.timeouts;
        let (transport, timeout, class) = match protocol {
            p::TCP => {
                let segment = TcpSegment::parse(header, length).ok()?;
                let begun = TcpTrack::begin(&segment, &config.tcp).ok()?;
                (Some(begun.track), begun.timeout.duration(&config.tcp.timeouts), Class::Slow)
            }
            p::UDP => (None, timeouts.udp, Class::Udp),
            other => {
                let rule = Answered::of(other).unwrap_or(Answered::Generic);
                (None, track_answered(rule, Status::default(), timeouts).timeout, Class::Other)
            }
        };
        Some(Self { replaces: None, transport, timeout, class, tracked: true })
    }
}

/// What becomes of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub entry: u32,
    pub transport: Option<TcpTrack>,
    /// It stays so long from now; `None` leaves its expiry.
    pub timeout: Option<Duration>,
    /// It stays at most so long from now.
    pub at_most: Option<Duration>,
    pub class: Class,
    /// The packet counts as the connection's.
    pub counts: bool,
    /// The connection is over with this packet.
    pub over: bool,
}

/// What a packet is to the connections.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub state: State,
    pub way: Way,
    /// Both tuples of its connection; those of the packet itself where there is none.
    pub original: Tuple,
    pub reply: Tuple,
    pub status: Status,
    pub mark: u32,
    pub change: Change,
    /// Why the state is invalid, in words, for traces.
    pub why: &'static str,
    /// The packet reports an error about this connection's other direction.
    pub quotes: Option<u32>,
}

impl Track {
    /// A packet that is left alone.
    pub fn none(subject: &Subject<'_>, state: State, why: &'static str) -> Self {
        let original = subject.tuple.unwrap_or_else(|| addresses(subject));
        Self {
            state,
            way: Way::Original,
            original,
            reply: inverse(&original),
            status: Status::default(),
            mark: 0,
            change: Change::None,
            why,
            quotes: None,
        }
    }

    /// True when rules can ask for the connection.
    pub fn has_connection(&self) -> bool {
        !matches!(self.state, State::Invalid | State::Untracked)
    }

    /// Of TCP: whether the connection is established behind the packet.
    pub fn is_established(&self, cache: &FlowCache<TcpTrack>) -> bool {
        let transport = match &self.change {
            Change::Update(update) => update.transport.as_ref().or_else(|| cache.transport(update.entry)),
            Change::Begin(begin) => begin.transport.as_ref(),
            Change::None => None,
        };
        transport.is_some_and(|track| track.state() == TcpState::Established)
    }

    /// The entry in whose place the connection comes.
    pub fn replaces(&self) -> Option<u32> {
        match &self.change {
            Change::Begin(begin) => begin.replaces.map(|(entry, _)| entry),
            _ => None,
        }
    }

    /// Its connection's entry, when that is in the table and stays there.
    pub fn stays(&self) -> Option<u32> {
        match &self.change {
            Change::Update(update) if !update.over => Some(update.entry),
            _ => None,
        }
    }

    /// What the node's own answer to a packet of this connection is: related to it, in the other direction. `entry` is
    /// the connection's, if it is in the table.
    pub fn answered(&self, entry: Option<u32>, mark: Option<u32>) -> Self {
        let change = entry.map_or(Change::None, |entry| {
            Change::Update(Update {
                entry,
                transport: None,
                timeout: None,
                at_most: None,
                class: Class::Slow,
                counts: false,
                over: false,
            })
        });
        Self {
            state: State::Related,
            way: self.way.opposite(),
            mark: mark.unwrap_or(self.mark),
            change,
            why: "",
            quotes: entry,
            ..*self
        }
    }

    /// True when packets of this direction leave with another source than they come with.
    pub fn translates_source(&self) -> bool {
        self.status.has(if self.way == Way::Original { Status::SNAT } else { Status::DNAT })
    }

    /// True when the connection is not in the table yet.
    pub fn begins(&self) -> bool {
        matches!(&self.change, Change::Begin(begin) if begin.tracked)
    }

    /// The tuple of packets of this direction, as they arrive.
    pub fn arriving(&self) -> Tuple {
        if self.way == Way::Original { self.original } else { self.reply }
    }

    /// The tuple of packets of this direction, as they leave.
    pub fn leaving(&self) -> Tuple {
        inverse(if self.way == Way::Original { &self.reply } else { &self.original })
    }
}

/// The tuple of what goes back; of ICMP messages without an exchange only the addresses change places.
pub(crate) fn inverse(tuple: &Tuple) -> Tuple {
    tuple.reply().unwrap_or(Tuple { source: tuple.destination, destination: tuple.source, ..*tuple })
}

/// The addresses of a packet whose ports cannot be told.
pub(crate) fn addresses(subject: &Subject<'_>) -> Tuple {
    let layers = &subject.layers;
    Tuple {
        source: layers.src,
        destination: layers.dst,
        source_port: 0,
        destination_port: 0,
        protocol: layers.protocol,
    }
}

/// Looks packets up.
pub(crate) struct Tracker<'n> {
    pub cache: &'n FlowCache<TcpTrack>,
    pub config: &'n NodeConfig,
    pub context: u16,
}

impl Tracker<'_> {
    /// The entry of a tuple, tracked or not, over or not.
    pub fn find_any(&self, tuple: &Tuple) -> Option<Found> {
        let (key, direction) = FlowKey::of_tuple(self.context, tuple);
        self.cache.find(&key, direction, self.cache.hash(&key))
    }

    /// The connection of a tuple.
    pub fn find(&self, tuple: &Tuple, now: Instant) -> Option<Found> {
        self.find_any(tuple).filter(|found| {
            let entry = self.cache.entry(found.entry);
            entry.expires > now.as_nanos() && self.cache.cold(found.entry).status & UNTRACKED == 0
        })
    }

    /// True when a connection has this tuple in one of its directions, `except` left out.
    pub fn taken(&self, tuple: &Tuple, now: Instant, except: Option<u32>) -> bool {
        self.find(tuple, now).is_some_and(|found| Some(found.entry) != except)
    }

    /// What the packet is to the connections.
    pub fn track(&self, subject: &Subject<'_>) -> Track {
        let Some(tuple) = subject.tuple else {
            return Track::none(subject, State::Invalid, "its ports cannot be told");
        };
        if subject.bad_checksum {
            return Track::none(subject, State::Invalid, "its checksum is wrong");
        }
        if tuple.protocol == p::UDP && !subject.is_later_fragment() && !is_datagram(subject) {
            return Track::none(subject, State::Invalid, "its UDP header cannot be");
        }
        if tuple.protocol == p::GRE && is_other_gre(subject.upper()) {
            return Track::none(subject, State::Invalid, "GRE of version 1 that is not PPTP's");
        }
        if subject.v6() && tuple.protocol == p::NO_NEXT_HEADER {
            return Track::none(subject, State::Invalid, "nothing follows its IPv6 headers");
        }
        if tuple.is_icmp() {
            match icmp_role(tuple.protocol, tuple.icmp().0) {
                IcmpRole::Query | IcmpRole::Answer => {}
                IcmpRole::Error => return self.related(subject),
                IcmpRole::Untracked => return Track::none(subject, State::Untracked, "never tracked"),
                IcmpRole::Unknown => {
                    return Track::none(subject, State::Invalid, "no connection knows its type");
                }
            }
        }
        let found = self.find_any(&tuple);
        let (live, over) = match found {
            Some(found) => {
                let entry = self.cache.entry(found.entry);
                if self.cache.cold(found.entry).status & UNTRACKED != 0 {
                    (None, Some((found.entry, EndReason::Reopened)))
                } else if entry.expires <= subject.now.as_nanos() {
                    (None, Some((found.entry, EndReason::Timeout)))
                } else {
                    (Some(found), None)
                }
            }
            None => (None, None),
        };
        match live {
            Some(found) => self.existing(subject, found, &tuple),
            None => self.beginning(subject, &tuple, over),
        }
    }

    /// An ICMP error, by the packet that it quotes (RFC 5508 4.2: REQ-3 to REQ-5).
    fn related(&self, subject: &Subject<'_>) -> Track {
        let invalid = |why| Track::none(subject, State::Invalid, why);
        let Some(quoted) = quoted_tuple(subject) else {
            return invalid("it quotes no packet that can be told");
        };
        let Some(expected) = quoted.reply() else { return invalid("it quotes a message without an answer") };
        let Some(found) = self.find(&expected, subject.now) else {
            return invalid("no connection sent the packet that it quotes");
        };
        let track = self.of_entry(found);
        // The error goes to who sent the quoted packet, or it is no answer to it.
        if subject.layers.dst != track.arriving().destination {
            return invalid("it does not go to who sent the packet that it quotes");
        }
        let change = Change::Update(Update {
            entry: found.entry,
            transport: None,
            timeout: None,
            at_most: None,
            class: Class::Slow,
            counts: true,
            over: false,
        });
        Track { state: State::Related, change, quotes: Some(found.entry), ..track }
    }

    /// What an entry says, for a packet of that way.
    fn of_entry(&self, found: Found) -> Track {
        let cold = self.cache.cold(found.entry);
        let [original, reply] = self.cache.keys(found.entry).map(|(key, direction)| key.tuple(direction));
        Track {
            state: State::New,
            way: found.way,
            original,
            reply,
            status: Status(cold.status),
            mark: cold.mark,
            change: Change::None,
            why: "",
            quotes: None,
        }
    }

    fn existing(&self, subject: &Subject<'_>, found: Found, tuple: &Tuple) -> Track {
        let mut track = self.of_entry(found);
        let entry = self.cache.entry(found.entry);
        let seen_reply = track.status.has(Status::SEEN_REPLY);
        let mut update = Update {
            entry: found.entry,
            transport: None,
            timeout: None,
            at_most: None,
            class: Class::Slow,
            counts: true,
            over: false,
        };
        let asks = !tuple.is_icmp() || icmp_role(tuple.protocol, tuple.icmp().0) == IcmpRole::Query;
        if tuple.is_icmp() && asks != (found.way == Way::Original) {
            return Track::none(subject, State::Invalid, "a question against the direction of its exchange");
        }
        match tuple.protocol {
            p::TCP if !subject.is_fragment() => match self.tcp(subject, found, &mut update, &mut track) {
                Tcp::Fine => {}
                Tcp::Invalid(why) => {
                    let invalid = Track::none(subject, State::Invalid, why);
                    update.counts = false;
                    return Track { change: Change::Update(update), ..invalid };
                }
                Tcp::Reopen => {
                    return self.beginning(subject, tuple, Some((found.entry, EndReason::Reopened)));
                }
            },
            // Only whole segments say where a connection stands.
            p::TCP => update.class = class_of(entry.class()),
            protocol => self.timed(found, protocol, subject.now, &mut update, &mut track),
        }
        track.state = State::of(found.way, seen_reply);
        if found.way == Way::Reply {
            track.status = track.status.with(Status::SEEN_REPLY);
        }
        track.change = Change::Update(update);
        track
    }

    /// A packet of a connection that is none of TCP's: how long that stays, and what its class is.
    fn timed(&self, found: Found, protocol: u8, now: Instant, update: &mut Update, track: &mut Track) {
        let timeouts = &self.config.timeouts;
        let answered = track.status.has(Status::SEEN_REPLY) || found.way == Way::Reply;
        let (tracked, [new, known, stream]) = if protocol == p::UDP {
            let began = Instant::from_nanos(self.cache.cold(found.entry).created);
            let tracked = UdpTrack::begin(began).next(track.status, now, timeouts);
            (tracked, [Class::Udp, Class::UdpAnswered, Class::UdpStream])
        } else {
            let rule = Answered::of(protocol).unwrap_or(Answered::Generic);
            (track_answered(rule, track.status, timeouts), [Class::Other, Class::Slow, Class::OtherStream])
        };
        update.timeout = Some(tracked.timeout);
        if tracked.assured {
            track.status = track.status.with(Status::ASSURED);
        }
        update.class = match (track.status.has(Status::ASSURED), answered) {
            (true, _) => stream,
            (false, true) => known,
            (false, false) => new,
        };
    }

    fn tcp(&self, subject: &Subject<'_>, found: Found, update: &mut Update, track: &mut Track) -> Tcp {
        let config = &self.config.tcp;
        let segment = match TcpSegment::parse(subject.upper(), segment_length(subject)) {
            Ok(segment) => segment,
            Err(_) => return Tcp::Invalid("its TCP header cannot be"),
        };
        let Some(known) = self.cache.transport(found.entry) else {
            // Begun by a fragment: nothing is known of its windows.
            update.timeout = Some(config.timeouts.unacknowledged);
            return Tcp::Fine;
        };
        match known.next(found.way, &segment, config) {
            TcpOutcome::Ok { track: next, timeout, assured, over } => {
                update.transport = Some(next);
                update.timeout = timeout.map(|timeout| timeout.duration(&config.timeouts));
                update.over = over;
                update.class = if next.assured() { Class::Tcp } else { Class::Slow };
                if assured {
                    track.status = track.status.with(Status::ASSURED);
                }
                Tcp::Fine
            }
            TcpOutcome::Ignored { track: next, .. } => {
                update.transport = Some(next);
                update.class = if next.assured() { Class::Tcp } else { Class::Slow };
                Tcp::Fine
            }
            TcpOutcome::Invalid { track: next, shorten, .. } => {
                update.transport = Some(next);
                update.class = if next.assured() { Class::Tcp } else { Class::Slow };
                let left = self.cache.entry(found.entry).expires.saturating_sub(subject.now.as_nanos());
                if left > TcpTrack::SHORTEN_ABOVE.as_nanos() {
                    update.at_most = shorten.map(|timeout| timeout.duration(&config.timeouts));
                }
                Tcp::Invalid("outside its connection's window, or not possible in its state")
            }
            TcpOutcome::Reopen => Tcp::Reopen,
        }
    }

    fn beginning(&self, subject: &Subject<'_>, tuple: &Tuple, replaces: Option<(u32, EndReason)>) -> Track {
        let invalid = |why| Track::none(subject, State::Invalid, why);
        if subject.is_later_fragment() {
            return invalid("a later fragment of a connection that is not known");
        }
        if tuple.is_icmp() && icmp_role(tuple.protocol, tuple.icmp().0) != IcmpRole::Query {
            return invalid("an answer that nobody asked for");
        }
        let Some(begin) = Begin::of(tuple.protocol, subject.upper(), segment_length(subject), self.config)
        else {
            return invalid("no TCP connection begins with such a segment");
        };
        let change = Change::Begin(Begin { replaces, ..begin });
        Track { change, ..Track::none(subject, State::New, "") }
    }
}

enum Tcp {
    Fine,
    Invalid(&'static str),
    Reopen,
}

fn class_of(number: u8) -> Class {
    Class::ALL.get(usize::from(number)).copied().unwrap_or(Class::Slow)
}

/// GRE of version 1 is PPTP's, which carries PPP (RFC 2637 4.1).
fn is_other_gre(header: &[u8]) -> bool {
    const PPP: [u8; 2] = [0x88, 0x0b];
    header.first_chunk::<8>().is_some_and(|header| header[1] & 7 == 1 && header[2..4] != PPP)
}

/// RFC 768: the length holds the header, and the packet what it says; of a first fragment the rest is elsewhere.
fn is_datagram(subject: &Subject<'_>) -> bool {
    let Some([_, _, _, _, high, low, _, _]) = subject.upper().first_chunk::<8>() else { return false };
    let length = u32::from(u16::from_be_bytes([*high, *low]));
    let there = subject.layers.end.saturating_sub(subject.layers.l4_offset);
    length >= 8 && (length <= there || subject.is_fragment())
}

/// Bytes from the TCP header to the packet's end, by the IP length.
fn segment_length(subject: &Subject<'_>) -> u32 {
    subject.layers.end.saturating_sub(subject.layers.l4_offset)
}

/// The tuple of the packet that an ICMP error quotes, as that packet was sent.
pub(crate) fn quoted_tuple(subject: &Subject<'_>) -> Option<Tuple> {
    let message = subject.upper();
    let at = quote_offset(subject.protocol(), message)?;
    quoted_layers(message.get(at..)?).and_then(|layers| Tuple::of(&layers))
}

/// The headers of a quoted packet, which is cut as a rule.
pub(crate) fn quoted_layers(quote: &[u8]) -> Option<Layers> {
    let mut layers = Layers::default();
    let frame = Frame { bytes: quote, wire_len: u32::from(u16::MAX), link: LinkType::RAW };
    dissect(&frame, &Limits::default(), &mut layers, &mut ());
    (layers.ip_version != 0).then_some(layers)
}
