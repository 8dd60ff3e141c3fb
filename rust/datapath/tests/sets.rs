//! Sets that rules change, of a node: the cache and the tables agree in them.
mod common;
use common::*;
use netfast_datapath::PortConfig;

const CLIENT: (&str, u16) = ("192.0.2.10", 4000);

#[test]
fn a_new_port_leaves_what_packets_brought() {
    let mut router = Router::new(
        "table inet f {
            set ban { type ipv4_addr; flags dynamic,timeout; timeout 1h; }
            set old { type ipv4_addr; flags timeout; elements = { 192.0.2.7 timeout 10s }; }
            chain forward { type filter hook forward priority 0;
                ip saddr @ban drop
                ip saddr @old drop
                udp dport 666 add @ban { ip saddr } drop
            }
        }",
    );
    let to = |from: &str, port: u16| udp(LAN, (from, 4000), ("198.51.100.7", port), b"x");
    assert_eq!(router.push(LAN, &to("192.0.2.10", 666)), None);
    assert_eq!(router.push(LAN, &to("192.0.2.7", 53)), None);
    router.wait(20_000);
    assert!(router.push(LAN, &to("192.0.2.7", 53)).is_some());
    router.node.add_port(PortConfig::new("dmz", [2, 0, 0, 0, 0, 3])).unwrap();
    router.wait(1_000);
    assert_eq!(router.push(LAN, &to("192.0.2.10", 53)), None, "it is banned still");
    assert!(router.push(LAN, &to("192.0.2.7", 53)).is_some(), "its time is over still");
    assert_eq!(router.node.rule_state().elements(), (1, 0));
}

#[test]
fn a_full_set_is_changed_alike_by_the_cache_and_the_tables() {
    let mut router = Router::new(
        "table inet f {
            set s { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 2s; size 2; }
            chain forward { type filter hook forward priority 0; policy drop;
                ct state new accept
                delete @s { ip saddr . udp sport }
                add @s { ip daddr . udp sport } counter
                add @s { ip saddr . udp dport limit rate 2/second burst 1 packets } accept
                ip daddr . udp sport @s accept
            }
        }",
    );
    let server = ("198.51.100.7", 53);
    let mut passed = 0;
    for step in 0..200u32 {
        let port = 4000 + (step % 3) as u16;
        let (there, back) = ((CLIENT.0, port), server);
        passed += usize::from(router.push(LAN, &udp(LAN, there, back, b"x")).is_some());
        passed += usize::from(router.push(WAN, &udp(WAN, back, there, b"x")).is_some());
        router.wait(u64::from(step * 37 % 400));
    }
    assert!((20..400).contains(&passed), "{passed} of 400 pass");
    let (held, refused) = router.node.rule_state().elements();
    assert!(held <= 2 && refused > 0, "{held} elements, {refused} refused");
}
