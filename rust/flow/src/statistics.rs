//! Optional statistics of a flow: moments of packet size and inter-arrival time each way, and its first packets.
use crate::key::FlowPacket;

/// Count, extremes, mean and deviation of a series, in constant memory (Welford 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    count: u64,
    min: u64,
    max: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Takes one more value.
    pub fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        let delta = value as f64 - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value as f64 - self.mean);
    }

    /// Values taken.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least; `None` before the first value.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// The sample standard deviation; `None` below two values.
    pub fn deviation(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt())
    }
}

/// What `--stats` adds to a flow; of the pairs, the first is forward.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowStatistics {
    /// IP octets of a packet.
    pub size: [Moments; 2],
    /// Nanoseconds between packets of one direction.
    pub gap: [Moments; 2],
    /// IP octets of the first packets, in order.
    pub lengths: Vec<u32>,
    /// Their directions: 0 forward, 1 back.
    pub directions: Vec<u8>,
    last: [Option<u64>; 2],
}

impl FlowStatistics {
    /// Bytes on the heap.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.lengths.capacity() * size_of::<u32>() + self.directions.capacity()
    }

    pub(crate) fn add(&mut self, packet: &FlowPacket, way: usize, keep: usize) {
        self.size[way].add(u64::from(packet.ip_len));
        if let Some(last) = self.last[way] {
            self.gap[way].add(packet.time_ns.saturating_sub(last));
        }
        // A packet that came late does not make the next gap longer.
        self.last[way] = self.last[way].max(Some(packet.time_ns));
        if self.lengths.len() < keep {
            self.lengths.push(packet.ip_len);
            self.directions.push(way as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_late_packet_is_a_gap_of_nothing_and_lengthens_no_other() {
        let mut statistics = FlowStatistics::default();
        for time_ns in [10, 5, 11] {
            statistics.add(&FlowPacket { time_ns, ..FlowPacket::default() }, 0, 3);
        }
        let gap = statistics.gap[0];
        assert_eq!((gap.count(), gap.min(), gap.max()), (2, Some(0), Some(1)));
    }

    proptest! {
        #[test]
        fn moments_agree_with_their_definitions(values in proptest::collection::vec(0u64..1_000_000, 2..50)) {
            let mut moments = Moments::default();
            values.iter().for_each(|&v| moments.add(v));
            let n = values.len() as f64;
            let mean = values.iter().sum::<u64>() as f64 / n;
            let variance = values.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / (n - 1.0);
            prop_assert_eq!(moments.min(), values.iter().min().copied());
            prop_assert_eq!(moments.max(), values.iter().max().copied());
            prop_assert!((moments.mean().unwrap() - mean).abs() < 1e-6 * mean.max(1.0));
            prop_assert!((moments.deviation().unwrap() - variance.sqrt()).abs() < 1e-6 * variance.sqrt().max(1.0));
        }
    }
}
