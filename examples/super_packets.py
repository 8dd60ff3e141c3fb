"""What would receive offload do for a capture? The same packets through collations of different patience.

python examples/super_packets.py [CAPTURE]
"""

import sys
from collections import Counter

import netfast as nf

MICROSECOND = 1_000


def download(packets: int = 2_000) -> nf.OffloadBatch:
    """Two downloads at 10 Gb/s that share a link, the second of which loses a packet now and then."""
    made = []
    for number in range(packets):
        flow, turn = number // 3 % 2, number // 6 * 3 + number % 3
        if flow == 1 and turn % 50 == 7:
            continue
        tcp = nf.TCP(src_port=443, dst_port=50_000 + flow, seq=turn * 1_440, ack=1, flags=0x10)
        frame = nf.Ethernet() / nf.IPv6(src="2001:db8::1", dst="2001:db8::2") / tcp / bytes(1_440)
        made.append((number * 1_200, frame))
    return nf.OffloadBatch(made)


def read(path: str) -> nf.OffloadBatch:
    with nf.Capture(path) as capture:
        return nf.OffloadBatch(packet for batch in capture for packet in batch if packet.caplen == packet.len)


def collated(
    packets: nf.OffloadBatch, patience: int
) -> tuple[list[nf.OffloadPacket], nf.CollationStatistics]:
    """The packets, each of which waits so many nanoseconds for its next one; the packets' times are the clock."""
    collator = nf.Collator(link=packets.link_type, max_hold=patience)
    out = [*collator.push(packets), *collator.flush()]
    return out, collator.statistics


def main() -> None:
    packets = read(sys.argv[1]) if len(sys.argv) > 1 else download()
    for patience in (2 * MICROSECOND, 20 * MICROSECOND, 200 * MICROSECOND):
        out, told = collated(packets, patience)
        why = Counter(told.not_merged).most_common(2)
        mean = told.mean_segments or 1
        reasons = ", ".join(f"{name} {count}" for name, count in why)
        print(
            f"{patience // MICROSECOND:>4} µs: {told.packets} packets, {told.out} left, {mean:.1f} in a merged one"
        )
        print(f"         not merged: {reasons}; copied: {told.copied_bytes} bytes")
    # What decides about sizes, an MTU say, looks at the packets that a super-packet stands for.
    back = nf.segment(out)
    print(f"longest: {max(map(len, out))} bytes, which stands for packets of up to {max(map(len, back))}")
    print("cut again, every byte is back:", sorted(map(bytes, back)) == sorted(map(bytes, packets)))


if __name__ == "__main__":
    main()
