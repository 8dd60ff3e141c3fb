//! The options that netfast knows by name, by space. Numbers are IANA's.
use super::options::{OptionSpec, Shape};

const fn option(code: u32, name: &'static str, shape: Shape) -> OptionSpec {
    OptionSpec { code, name, shape, align: (1, 0) }
}

const fn aligned(code: u32, name: &'static str, shape: Shape, align: (usize, usize)) -> OptionSpec {
    OptionSpec { code, name, shape, align }
}

pub(super) const IPV4: &[OptionSpec] = &[
    option(0, "end", Shape::Bare),
    option(1, "nop", Shape::Bare),
    option(7, "record_route", Shape::Route),
    option(68, "timestamp", Shape::Bytes),
    option(130, "security", Shape::Bytes),
    option(131, "loose_source_route", Shape::Route),
    option(134, "cipso", Shape::Bytes),
    option(136, "stream_id", Shape::Uint(2)),
    option(137, "strict_source_route", Shape::Route),
    option(148, "router_alert", Shape::Uint(2)),
];

pub(super) const TCP: &[OptionSpec] = &[
    option(0, "end", Shape::Bare),
    option(1, "nop", Shape::Bare),
    option(2, "mss", Shape::Uint(2)),
    option(3, "window_scale", Shape::Uint(1)),
    option(4, "sack_permitted", Shape::Empty),
    option(5, "sack", Shape::Pairs(4)),
    option(8, "timestamps", Shape::Fields(&[4, 4])),
    option(19, "md5", Shape::Bytes),
    option(28, "user_timeout", Shape::Uint(2)),
    option(29, "ao", Shape::Bytes),
    option(30, "mptcp", Shape::Bytes),
    option(34, "fast_open", Shape::Bytes),
    option(69, "eno", Shape::Bytes),
    option(172, "accecn0", Shape::Bytes),
    option(174, "accecn1", Shape::Bytes),
    option(254, "experiment", Shape::Bytes),
];

// Alignments: RFC 2711 (router alert), RFC 2675 (jumbo), RFC 6275 section 6.3 (home address).
pub(super) const IPV6: &[OptionSpec] = &[
    option(0x00, "pad1", Shape::Bare),
    option(0x01, "padn", Shape::Zeros),
    aligned(0x04, "tunnel_encapsulation_limit", Shape::Uint(1), (1, 0)),
    aligned(0x05, "router_alert", Shape::Uint(2), (2, 0)),
    aligned(0x07, "calipso", Shape::Bytes, (4, 2)),
    option(0x08, "smf_dpd", Shape::Bytes),
    aligned(0x0f, "pdm", Shape::Bytes, (1, 0)),
    aligned(0x30, "mtu", Shape::Fields(&[2, 2]), (4, 2)),
    option(0x31, "ioam", Shape::Bytes),
    option(0x23, "rpl", Shape::Bytes),
    option(0x63, "rpl_old", Shape::Bytes),
    aligned(0xc2, "jumbo", Shape::Jumbo, (4, 2)),
    aligned(0xc9, "home_address", Shape::Address, (8, 6)),
];

pub(super) const MOBILITY: &[OptionSpec] = &[
    option(0, "pad1", Shape::Bare),
    option(1, "padn", Shape::Zeros),
    aligned(2, "binding_refresh_advice", Shape::Uint(2), (2, 0)),
    aligned(3, "alternate_care_of_address", Shape::Address, (8, 6)),
    aligned(4, "nonce_indices", Shape::Fields(&[2, 2]), (2, 0)),
    aligned(5, "binding_authorization", Shape::Bytes, (8, 2)),
    aligned(6, "mobile_network_prefix", Shape::Bytes, (8, 4)),
    aligned(8, "mobile_node_identifier", Shape::Bytes, (1, 0)),
    aligned(22, "home_network_prefix", Shape::Bytes, (8, 4)),
];

pub(super) const NDP: &[OptionSpec] = &[
    option(1, "source_link_layer_address", Shape::Mac),
    option(2, "target_link_layer_address", Shape::Mac),
    option(3, "prefix_information", Shape::Prefix),
    option(4, "redirected_header", Shape::Bytes),
    option(5, "mtu", Shape::Reserved),
    option(14, "nonce", Shape::Bytes),
    option(24, "route_information", Shape::Bytes),
    option(25, "rdnss", Shape::Servers),
    option(31, "dnssl", Shape::Bytes),
    option(37, "captive_portal", Shape::Bytes),
    option(38, "pref64", Shape::Bytes),
];

pub(super) const SRH: &[OptionSpec] =
    &[option(0, "pad1", Shape::Bare), option(4, "padn", Shape::Zeros), option(5, "hmac", Shape::Bytes)];

pub(super) const GENEVE: &[OptionSpec] = &[];

pub(super) const SCTP: &[OptionSpec] = &[
    option(0, "data", Shape::Flagged),
    option(1, "init", Shape::Flagged),
    option(2, "init_ack", Shape::Flagged),
    option(3, "sack", Shape::Flagged),
    option(4, "heartbeat", Shape::Flagged),
    option(5, "heartbeat_ack", Shape::Flagged),
    option(6, "abort", Shape::Flagged),
    option(7, "shutdown", Shape::Flagged),
    option(8, "shutdown_ack", Shape::Flagged),
    option(9, "error", Shape::Flagged),
    option(10, "cookie_echo", Shape::Flagged),
    option(11, "cookie_ack", Shape::Flagged),
    option(12, "ecne", Shape::Flagged),
    option(13, "cwr", Shape::Flagged),
    option(14, "shutdown_complete", Shape::Flagged),
    option(15, "auth", Shape::Flagged),
    option(64, "i_data", Shape::Flagged),
    option(128, "asconf_ack", Shape::Flagged),
    option(130, "re_config", Shape::Flagged),
    option(132, "pad", Shape::Flagged),
    option(192, "forward_tsn", Shape::Flagged),
    option(193, "asconf", Shape::Flagged),
    option(194, "i_forward_tsn", Shape::Flagged),
];

pub(super) const DCCP: &[OptionSpec] = &[
    option(0, "padding", Shape::Bare),
    option(1, "mandatory", Shape::Bare),
    option(2, "slow_receiver", Shape::Bare),
    option(32, "change_l", Shape::Bytes),
    option(33, "confirm_l", Shape::Bytes),
    option(34, "change_r", Shape::Bytes),
    option(35, "confirm_r", Shape::Bytes),
    option(36, "init_cookie", Shape::Bytes),
    option(37, "ndp_count", Shape::Bytes),
    option(38, "ack_vector_nonce_0", Shape::Bytes),
    option(39, "ack_vector_nonce_1", Shape::Bytes),
    option(40, "data_dropped", Shape::Bytes),
    option(41, "timestamp", Shape::Uint(4)),
    option(42, "timestamp_echo", Shape::Bytes),
    option(43, "elapsed_time", Shape::Bytes),
    option(44, "data_checksum", Shape::Uint(4)),
];

pub(super) const PPPOE: &[OptionSpec] = &[
    option(0x0000, "end_of_list", Shape::Empty),
    option(0x0101, "service_name", Shape::Bytes),
    option(0x0102, "ac_name", Shape::Bytes),
    option(0x0103, "host_uniq", Shape::Bytes),
    option(0x0104, "ac_cookie", Shape::Bytes),
    option(0x0105, "vendor_specific", Shape::Bytes),
    option(0x0110, "relay_session_id", Shape::Bytes),
    option(0x0120, "ppp_max_payload", Shape::Uint(2)),
    option(0x0201, "service_name_error", Shape::Bytes),
    option(0x0202, "ac_system_error", Shape::Bytes),
    option(0x0203, "generic_error", Shape::Bytes),
];

pub(super) const RECORDS: &[OptionSpec] = &[
    option(1, "mode_is_include", Shape::Record),
    option(2, "mode_is_exclude", Shape::Record),
    option(3, "change_to_include", Shape::Record),
    option(4, "change_to_exclude", Shape::Record),
    option(5, "allow_new_sources", Shape::Record),
    option(6, "block_old_sources", Shape::Record),
];

// The kind is the bit of the present word; `align` is the field's alignment from the start of the header.
pub(super) const RADIOTAP: &[OptionSpec] = &[
    aligned(0, "tsft", Shape::Uint(8), (8, 0)),
    aligned(1, "flags", Shape::Uint(1), (1, 0)),
    aligned(2, "rate", Shape::Uint(1), (1, 0)),
    aligned(3, "channel", Shape::Fields(&[2, 2]), (2, 0)),
    aligned(4, "fhss", Shape::Fields(&[1, 1]), (2, 0)),
    aligned(5, "dbm_antenna_signal", Shape::Int(1), (1, 0)),
    aligned(6, "dbm_antenna_noise", Shape::Int(1), (1, 0)),
    aligned(7, "lock_quality", Shape::Uint(2), (2, 0)),
    aligned(8, "tx_attenuation", Shape::Uint(2), (2, 0)),
    aligned(9, "db_tx_attenuation", Shape::Uint(2), (2, 0)),
    aligned(10, "dbm_tx_power", Shape::Int(1), (1, 0)),
    aligned(11, "antenna", Shape::Uint(1), (1, 0)),
    aligned(12, "db_antenna_signal", Shape::Uint(1), (1, 0)),
    aligned(13, "db_antenna_noise", Shape::Uint(1), (1, 0)),
    aligned(14, "rx_flags", Shape::Uint(2), (2, 0)),
    aligned(15, "tx_flags", Shape::Uint(2), (2, 0)),
    aligned(16, "rts_retries", Shape::Uint(1), (1, 0)),
    aligned(17, "data_retries", Shape::Uint(1), (1, 0)),
    aligned(18, "xchannel", Shape::Fields(&[4, 2, 1, 1]), (4, 0)),
    aligned(19, "mcs", Shape::Fields(&[1, 1, 1]), (1, 0)),
    aligned(20, "ampdu_status", Shape::Fields(&[4, 2, 1, 1]), (4, 0)),
    aligned(21, "vht", Shape::Fields(&[2, 1, 1, 1, 1, 1, 1, 1, 1, 2]), (2, 0)),
    aligned(22, "timestamp", Shape::Fields(&[8, 2, 1, 1]), (8, 0)),
    aligned(23, "he", Shape::Fields(&[2, 2, 2, 2, 2, 2]), (2, 0)),
    aligned(24, "he_mu", Shape::Fields(&[2, 2, 1, 1, 1, 1, 1, 1, 1, 1]), (2, 0)),
    aligned(25, "he_mu_other_user", Shape::Fields(&[2, 2, 1, 1]), (2, 0)),
    aligned(26, "zero_length_psdu", Shape::Uint(1), (1, 0)),
    aligned(27, "l_sig", Shape::Fields(&[2, 2]), (2, 0)),
];
