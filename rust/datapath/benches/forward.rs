//! What a packet costs, without Python: `cargo bench -p netfast-datapath -- [FLOWS] [RULES] [WORD ...]`.
//!
//! Words: `udp` (unless said otherwise), `tcp`, `nat`; and what to measure: `hits` (unless said otherwise), `pieces` (packets of
//! one and of two pieces, made beforehand), `first` (packets that begin flows), `scan`, `neighbours` (solicitations), `swap` (another rule set). For each the best
//! and the median of passes, in nanoseconds. `netfast bench` measures the same beside other programs.
//!
//! Everything is on: connections, rules, routes, a group of four next hops, link addresses, hop limit. Packets are made from
//! bytes in the loop.
#[allow(dead_code, unused_imports, reason = "the binding uses the rest")]
#[path = "../../py/src/bench_node/load/mod.rs"]
mod load;

use load::{Load, LoadError, Plan, Transport};

const PASSES: usize = 9;
const NEW_FLOWS: usize = 1 << 20;
/// Packets of a scan, twice.
const SCANNED: usize = 1 << 18;

fn show(what: &str, mut costs: Vec<f64>) {
    costs.sort_by(f64::total_cmp);
    if let (Some(best), Some(median)) = (costs.first(), costs.get(costs.len() / 2)) {
        println!("{what}: best {best:.1} median {median:.1} ns a packet");
    }
}

fn several(
    load: &mut Load,
    pass: impl Fn(&mut Load) -> Result<f64, LoadError>,
) -> Result<Vec<f64>, LoadError> {
    (0..PASSES).map(|_| pass(load)).collect()
}

fn main() -> Result<(), LoadError> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let mut numbers = words.iter().filter_map(|word| word.parse::<u32>().ok());
    let has = |name: &str| words.iter().any(|word| word == name);
    let (flows, rules) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(100));
    let transport = if has("tcp") { Transport::Tcp } else { Transport::Udp };
    let room = if has("first") {
        Some(flows.saturating_add(NEW_FLOWS as u32))
    } else if has("scan") {
        Some(flows.saturating_add(flows / 4))
    } else {
        None
    };
    let plan = Plan { flows, rules: rules as usize, transport, nat: has("nat"), room, ..Plan::default() };
    let mut load = Load::new(plan)?;
    println!("{plan:?}, {:.0} bytes a flow", load.flow_bytes());
    if has("pieces") {
        show("one piece", several(&mut load, |load| load.pieces(false))?);
        show("two pieces", several(&mut load, |load| load.pieces(true))?);
    } else if has("first") {
        show(
            "first packets",
            several(&mut load, |load| {
                load.flush();
                load.first_packets(NEW_FLOWS)
            })?,
        );
    } else if has("scan") {
        for from_clients in [false, true] {
            println!("from clients: {from_clients}: {:.1?}", load.scan(from_clients, SCANNED)?);
        }
    } else if has("neighbours") {
        for known in [100, 100_000] {
            println!("{known}: {:.2?}", load.neighbours(known, SCANNED)?);
        }
    } else if has("swap") {
        println!("{:.1?}", load.revalidate()?);
    } else {
        let frames = load.frames(false, usize::MAX >> 8).len() / transport.frame_bytes();
        show("hits", several(&mut load, |load| load.hits(netfast_buf::BATCH_PACKETS, frames))?);
    }
    Ok(())
}
