//! Settings of a node, each with its default and what happens at its limit.
use netfast_fib::FibConfig;
use netfast_flow::conntrack::{TcpConfig, Timeouts};
use netfast_frag::ReassemblyConfig;
use netfast_neigh::NeighbourConfig;
use netfast_time::Duration;

/// Whether connections are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    /// While a rule asks for the connection or translates.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never: rules that ask see untracked packets, and translations do nothing.
    Off,
}

/// What is done with fragments that come in. Datagrams for the node itself are put together in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reassembly {
    /// [`Reassembly::Full`] while connections are tracked, as Linux has it; else fragments go on one by one, and rules see no
    /// ports of later ones.
    #[default]
    Auto,
    /// Fragments go on one by one, each with the ports of its datagram's first; those that come before that wait for it.
    Virtual,
    /// Datagrams are put together, and leave in fragments like those that they came in.
    Full,
    /// Fragments go on one by one, and nobody knows the ports of later ones: to connections they are invalid.
    Off,
}

/// What becomes of new flows when the hook for them fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookPolicy {
    /// They are taken as if there were no hook.
    Accept,
    /// They are dropped, counted as `hook`.
    #[default]
    Drop,
}

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Seed of all hashes and choices: unpredictable where packets come from strangers. The same seed and the same
    /// packets give the same results.
    pub seed: u64,
    /// Connections in the table (262,144); at the limit of two that are not assured the one that would end sooner goes
    /// (`early_dropped`), and without such a one the new connection is refused (`table_full`).
    pub max_connections: u32,
    /// Programs that the cache may hold (65,536); packets beyond walk the tables each time (`programs_refused`).
    pub max_programs: usize,
    /// Whether connections are tracked.
    pub tracking: Tracking,
    /// How long connections stay without packets.
    pub timeouts: Timeouts,
    /// How strictly TCP is tracked.
    pub tcp: TcpConfig,
    /// Checksums of TCP, UDP and ICMP are verified; connections take no packet with a wrong one (its state is invalid).
    pub verify_checksums: bool,
    /// ICMP errors that the node sends, a second; 0 for none.
    pub icmp_rate: u64,
    /// How many of them at once.
    pub icmp_burst: u64,
    /// Solicitations of its link addresses (ARP, RFC 4861) that it answers, a second, by all ports (2,000,000); those beyond
    /// are dropped (`neighbour_limit`).
    pub neighbour_rate: u64,
    /// How many of them at once (65,536).
    pub neighbour_burst: u64,
    /// Answers echo requests to its addresses (RFC 1122 3.2.2.6, RFC 4443 4.2).
    pub answer_echo: bool,
    /// Hop limit of what the node makes itself.
    pub hop_limit: u8,
    /// Translations keep one outer endpoint for each inner one (RFC 4787 REQ-1), whoever it talks to.
    pub endpoint_independent: bool,
    /// ... and the outer endpoint lets everyone in, not only those who were talked to (RFC 4787 REQ-8).
    pub endpoint_independent_filtering: bool,
    /// What becomes of new flows when the hook for them fails.
    pub hook_policy: HookPolicy,
    /// Events that wait to be taken (65,536); later ones are counted as missed.
    pub max_events: usize,
    /// Captured packets of taps that wait to be taken (65,536); later ones are counted as missed.
    pub max_tapped: usize,
    /// What is done with fragments.
    pub reassembly: Reassembly,
    /// Limits and policies where datagrams are put together. The fields `link`, `seed`, `verify_checksum`, `max_events`,
    /// `report_completed` and `max_dropped` are the node's matter and not looked at.
    pub fragments: ReassemblyConfig,
    /// Fragments that wait for the first of their datagram (1,024); at the limit the oldest is dropped
    /// (`fragment_queue`). Only [`Reassembly::Virtual`] lets them wait.
    pub max_held_fragments: usize,
    /// How long they wait.
    pub fragment_timeout: Duration,
    /// Ports of the node (4,096).
    pub max_ports: usize,
    /// Limits of the routing tables.
    pub fib: FibConfig,
    /// Limits of the neighbour table.
    pub neighbours: NeighbourConfig,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            max_connections: 1 << 18,
            max_programs: 1 << 16,
            tracking: Tracking::Auto,
            timeouts: Timeouts::default(),
            tcp: TcpConfig::default(),
            verify_checksums: false,
            icmp_rate: 1_000,
            icmp_burst: 50,
            neighbour_rate: 2_000_000,
            neighbour_burst: 65_536,
            answer_echo: true,
            hop_limit: 64,
            endpoint_independent: false,
            endpoint_independent_filtering: false,
            hook_policy: HookPolicy::Drop,
            max_events: 1 << 16,
            max_tapped: 1 << 16,
            reassembly: Reassembly::Auto,
            fragments: ReassemblyConfig::default(),
            max_held_fragments: 1_024,
            fragment_timeout: Duration::from_secs(30),
            max_ports: 4_096,
            fib: FibConfig::default(),
            neighbours: NeighbourConfig::default(),
        }
    }
}
