"""TCP conversations, orderly and not: what a firewall that follows windows has to judge."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from kernel import frames
from kernel.case import LOCAL, PORTS, Output
from kernel.ends import End, Script, far_end
from kernel.errors import error_about
from kernel.frames import ACK, FIN, PLAIN, PSH, RST, SYN, URG, Header


@dataclass
class Peer:
    """One side: what it sends next, what it has got, what it offers."""

    end: End
    next: int
    got: int = 0
    window: int = 29200
    scale: int | None = None
    # Flags, sequence number and payload of its last segment.
    last: tuple[int, int, bytes] = (0, 0, b"")


class Conversation:
    """Two peers and what the router let through."""

    def __init__(self, rng: random.Random, near: End) -> None:
        self.rng = rng
        # Often near the wrap of sequence numbers.
        first = rng.choice((rng.randrange(1 << 32), 0xFFFFFFFF - rng.randrange(2000)))
        self.near = Peer(near, first)
        self.far = Peer(near.mirrored("wan" if near.port != "wan" else "dmz"), rng.randrange(1 << 32))
        # Has one of near's packets come out, and where: at a port or in the router itself?
        self.known = self.delivered = False
        self.outputs: list[Output] = []
        if rng.random() < 0.5:
            self.near.scale, self.far.scale = rng.choice((0, 2, 7, 14)), rng.choice((None, 0, 3, 7))
        self.far.window = self.near.window = rng.choice((0, 1, 1000, 8192, 65535, 65535))

    def other(self, me: Peer) -> Peer:
        return self.far if me is self.near else self.near

    def segment(
        self,
        me: Peer,
        flags: int,
        what: str,
        *,
        data: bytes = b"",
        seq: int | None = None,
        ack: int | None = None,
        options: bytes = b"",
        header: Header = PLAIN,
        window: int | None = None,
    ) -> Script:
        """Sends a segment; sequence numbers are those of an orderly one unless given."""
        if me is self.far and self.delivered and not self.known:
            return
        seq = me.next if seq is None else seq
        if flags & ACK:
            ack = me.got if ack is None else ack
        built = frames.tcp(
            me.end.sport,
            me.end.dport,
            seq,
            ack or 0,
            flags,
            me.window if window is None else window,
            options,
            data,
        )
        side = "" if me is self.near else " from the far end"
        outputs = self.outputs = yield me.end.send(built, what + side, header)
        if me is self.near and not self.known:
            far = far_end(outputs, me.end)
            self.delivered = any(port == LOCAL for port, _ in outputs)
            if far is not None:
                self.far.end, self.known = far, True

    def orderly(self, me: Peer, flags: int, what: str, data: bytes = b"", options: bytes = b"") -> Script:
        """Sends what comes next and counts it as sent and got."""
        me.last = (flags, me.next, data)
        yield from self.segment(me, flags, what, data=data, options=options)
        me.next = (me.next + len(data) + bool(flags & SYN) + bool(flags & FIN)) & 0xFFFFFFFF
        self.other(me).got = me.next

    def offers(self, me: Peer) -> bytes:
        """Options of a SYN."""
        out = b"\x02\x04\x05\xb4"
        if me.scale is not None:
            out += b"\x01\x03\x03" + bytes([me.scale])
        if self.rng.random() < 0.5:
            out += b"\x04\x02\x01\x01"
        if self.rng.random() < 0.3:
            out += b"\x08\x0a" + self.rng.randbytes(8) + b"\x01\x01"
        return out

    def open(self) -> Script:
        """A handshake of some kind, or none."""
        near, far, rng = self.near, self.far, self.rng
        kind = rng.random()
        if kind < 0.08:
            # Picked up in the middle.
            near.got, far.got = far.next, near.next
            return
        yield from self.orderly(near, SYN, "SYN", options=self.offers(near))
        if kind < 0.2:
            for _ in range(rng.randrange(1, 5)):
                yield from self.segment(
                    near, SYN, "SYN again", seq=near.next - 1, options=b"\x02\x04\x05\xb4"
                )
        if kind < 0.26:
            yield from self.orderly(far, SYN, "SYN crosses SYN", options=self.offers(far))
            yield from self.segment(near, SYN | ACK, "SYN crosses SYN: SYN, ACK", seq=near.next - 1)
            yield from self.segment(far, SYN | ACK, "SYN crosses SYN: SYN, ACK", seq=far.next - 1)
            return
        if kind < 0.3:
            yield from self.segment(far, RST | ACK, "refusal", seq=0)
            return
        if kind < 0.33:
            yield from self.segment(far, SYN | ACK, "SYN, ACK that acknowledges wrongly", ack=far.got + 1000)
        yield from self.orderly(far, SYN | ACK, "SYN, ACK", options=self.offers(far))
        if kind > 0.37:
            yield from self.orderly(near, ACK, "ACK of the handshake")
        elif kind < 0.35:
            yield from self.segment(
                far, SYN | ACK, "SYN, ACK again", seq=far.next - 1, options=b"\x02\x04\x05\xb4"
            )

    def close(self) -> Script:
        """An end of some kind, and what comes behind it."""
        first, second, rng = self.near, self.far, self.rng
        if rng.random() < 0.4:
            first, second = second, first
        kind = rng.random()
        if kind < 0.5:
            yield from self.orderly(first, FIN | ACK, "FIN")
            if rng.random() < 0.3:
                yield from self.segment(first, FIN | ACK, "FIN again", seq=first.next - 1)
            if kind < 0.1:
                yield from self.orderly(second, FIN | ACK, "FIN that acknowledges")
            else:
                yield from self.orderly(second, ACK, "ACK of FIN")
                yield from self.orderly(second, ACK | PSH, "data to a closed half", rng.randbytes(50))
                yield from self.orderly(second, FIN | ACK, "FIN of the other")
            yield from self.orderly(first, ACK, "last ACK")
        elif kind < 0.7:
            yield from self.segment(first, RST | ACK, "RST")
        elif kind < 0.8:
            yield from self.segment(first, RST, "RST without ACK", seq=first.next + rng.choice((0, 1, 5000)))
        if rng.random() < 0.5:
            yield from self.afterwards()

    def afterwards(self) -> Script:
        """Late segments, and the same ports anew."""
        near, far, rng = self.near, self.far, self.rng
        kind = rng.random()
        if kind < 0.3:
            yield from self.segment(rng.choice((near, far)), ACK, "late ACK")
        elif kind < 0.4:
            yield from self.segment(rng.choice((near, far)), ACK | PSH, "late data", data=b"late")
        near.next = (near.next + rng.choice((1, 100_000, 1 << 31))) & 0xFFFFFFFF
        yield from self.orderly(near, SYN, "SYN anew", options=self.offers(near))
        far.next = rng.randrange(1 << 32)
        yield from self.orderly(far, SYN | ACK, "SYN, ACK anew", options=self.offers(far))
        yield from self.orderly(near, ACK, "ACK anew")


def data(talk: Conversation, me: Peer) -> Script:
    size = talk.rng.choice((1, 10, 536, 1340 if len(me.end.me) == 4 else 1320))
    yield from talk.orderly(me, ACK | PSH, "data", talk.rng.randbytes(size))


def acknowledge(talk: Conversation, me: Peer) -> Script:
    yield from talk.segment(me, ACK, "ACK")


def again(talk: Conversation, me: Peer) -> Script:
    flags, seq, payload = me.last
    if flags:
        yield from talk.segment(me, flags, "retransmission", seq=seq, data=payload)


def out_of_window(talk: Conversation, me: Peer) -> Script:
    """Around the right edge of what the other offers, and far from it on both sides."""
    other = talk.other(me)
    scale = other.scale if other.scale is not None and me.scale is not None else 0
    offered = other.window << min(scale, 14)
    off = talk.rng.choice(
        (offered - 5, offered, offered + 1, 100_000_000, -100_000_000, -66_000, -70_000, -1)
    )
    flags = talk.rng.choice((ACK, ACK | PSH, ACK | FIN))
    yield from talk.segment(me, flags, "segment off its place", data=b"12345", seq=me.next + off)


def ack_ahead(talk: Conversation, me: Peer) -> Script:
    off = talk.rng.choice((1, 1000, 100_000_000, -66_000, -70_000, -100_000_000))
    yield from talk.segment(me, ACK, "ACK off its place", ack=me.got + off)


def reset(talk: Conversation, me: Peer) -> Script:
    off = talk.rng.choice((0, 1, 500, 1_000_000, -1, -1_000_000))
    yield from talk.segment(
        me, talk.rng.choice((RST, RST | ACK)), "RST, maybe off its place", seq=me.next + off
    )


def syn_within(talk: Conversation, me: Peer) -> Script:
    flags = talk.rng.choice((SYN, SYN | ACK))
    seq = talk.rng.choice((me.next, me.next + 50_000, me.next - 1))
    yield from talk.segment(me, flags, "SYN within", seq=seq, options=b"\x02\x04\x05\xb4")
    if talk.rng.random() < 0.5:
        yield from talk.segment(talk.other(me), ACK, "challenge ACK")
        if talk.rng.random() < 0.5:
            yield from talk.segment(me, RST, "RST in answer to a challenge", seq=talk.other(me).got)


def strange_flags(talk: Conversation, me: Peer) -> Script:
    flags = talk.rng.choice(
        (0, FIN, SYN | FIN, SYN | RST, FIN | PSH | URG, 0x3F, URG | ACK, 0xC0 | ACK, FIN | RST, PSH)
    )
    yield from talk.segment(me, flags, "strange flags")


def damaged(talk: Conversation, me: Peer) -> Script:
    yield from talk.segment(me, ACK, "wrong checksum", data=b"x", header=Header(wrong_sum=True))


def short_lived(talk: Conversation, me: Peer) -> Script:
    yield from talk.segment(me, ACK, "hop limit one", data=b"x", header=Header(ttl=1))


def too_big(talk: Conversation, me: Peer) -> Script:
    if me.end.port != "wan":
        yield from talk.segment(me, ACK, "longer than the next MTU", data=bytes(1440))


def window_update(talk: Conversation, me: Peer) -> Script:
    me.window = talk.rng.choice((0, 100, 65535))
    yield from talk.segment(me, ACK, "another window")


def keep_alive(talk: Conversation, me: Peer) -> Script:
    yield from talk.segment(me, ACK, "keep-alive", seq=me.next - 1)


def selective(talk: Conversation, me: Peer) -> Script:
    left = me.got + talk.rng.choice((100, 2000))
    block = struct.pack(">BBII", 5, 10, left & 0xFFFFFFFF, (left + 500) & 0xFFFFFFFF)
    yield from talk.segment(me, ACK, "selective ACK", options=b"\x01\x01" + block)


def bad_options(talk: Conversation, me: Peer) -> Script:
    options = talk.rng.choice(
        (b"\x03\x03\x0f\x00", b"\x02\x00\x00\x00", b"\x05\xff\x00\x00", b"\x08\x01\x01\x01")
    )
    yield from talk.segment(me, ACK, "damaged options", options=options)


def stray(talk: Conversation, me: Peer) -> Script:
    """The same packet at a port where it does not belong."""
    port = talk.rng.choice([port.name for port in PORTS])
    built = frames.tcp(me.end.sport, me.end.dport, me.next, me.got, ACK, me.window, b"", b"")
    moved = End(port, me.end.me, me.end.other, frames.TCP, me.end.sport, me.end.dport)
    yield moved.send(built, "at another port")


def error(talk: Conversation, me: Peer) -> Script:
    yield from error_about(talk.rng, talk.outputs, frames.TCP)


Action = Callable[[Conversation, Peer], Script]
ACTIONS: tuple[tuple[Action, int], ...] = (
    (data, 14),
    (acknowledge, 8),
    (again, 3),
    (out_of_window, 3),
    (ack_ahead, 2),
    (reset, 1),
    (syn_within, 1),
    (strange_flags, 2),
    (damaged, 1),
    (short_lived, 1),
    (too_big, 1),
    (window_update, 2),
    (keep_alive, 1),
    (selective, 2),
    (bad_options, 1),
    (stray, 1),
    (error, 3),
)


def conversation(rng: random.Random, near: End) -> Script:
    """Opens, talks and closes, each in one of several ways."""
    talk = Conversation(rng, near)
    yield from talk.open()
    actions, weights = zip(*ACTIONS, strict=True)
    for action in rng.choices(actions, weights, k=rng.randrange(8)):
        yield from action(talk, rng.choice((talk.near, talk.far)))
    if rng.random() < 0.6:
        yield from talk.close()
