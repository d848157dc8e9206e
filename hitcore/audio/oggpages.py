"""Pages of an Ogg file: which streams it holds, side by side or one after the other.

An Ogg file may be several files in a row (chained: saved radio, joined songs), and each may hold
several streams at once (multiplexed: a video's pictures and sound). A decoder of one stream hears
the first and stops. So the pages are walked, header by header, and each link of the chain gives its
first stream of sound.

References:
    RFC 3533 (pages), RFC 7845 (Opus), RFC 9639 section 10.1 (FLAC), the Vorbis I specification.
"""

from dataclasses import dataclass, field

from hitcore.audio.refusals import Bytes, NotRead, Refusal, damaged

_UNKNOWN = 0xFFFFFFFFFFFFFFFF
_MOST_LINKS = 10_000

_READ = ((b"\x01vorbis", "VORBIS"), (b"OpusHead", "OPUS"), (b"\x7fFLAC", "FLAC"))
_NOT_READ = (
    (b"Speex   ", "Speex"),
    (b"CELT    ", "CELT"),
    (b"PCM     ", "PCM"),
)
_NO_SOUND = (
    (b"\x80theora", "Theora video"),
    (b"BBCD\0", "Dirac video"),
    (b"OVP80", "VP8 video"),
    (b"OggMIDI\0", "notes (MIDI)"),
    (b"\x80kate", "text (Kate)"),
)


@dataclass
class Link:
    """One stream of sound: the first of a link of the chain."""

    codec: str
    """VORBIS, OPUS or FLAC."""
    header: bytes
    """The first packet."""
    pages: list[tuple[int, int, int]] = field(default_factory=list)
    """Start, end and start of the body of each page, bytes of the file."""
    first_position: int = 0
    """Granule position of the first page on which a packet of sound ends."""
    first_n_samples: int = 0
    """At most so many samples end on that page."""
    last_position: int = 0
    """Granule position of the last page."""
    has_end: bool = False
    """The last page bears the mark of the end."""

    @property
    def sample_rate(self) -> int:
        """Hz."""
        if self.codec == "OPUS":
            return 48_000
        if self.codec == "VORBIS":
            return int.from_bytes(self.header[12:16], "little")
        return int.from_bytes(self.header[27:30], "big") >> 4

    @property
    def lacks_end(self) -> bool:
        """Opus without the mark of the end."""
        return self.codec == "OPUS" and not self.has_end

    @property
    def starts_late(self) -> bool:
        """Its positions do not begin at 0, so that decoders misplace what is sought by them."""
        return self.first_position > self.first_n_samples

    @property
    def n_samples(self) -> int:
        """As the positions say; 0 where they make no sense."""
        before = self.first_position - self.first_n_samples if self.starts_late else 0
        skipped = int.from_bytes(self.header[10:12], "little") if self.codec == "OPUS" else 0
        return max(0, self.last_position - before - skipped)


@dataclass
class OggFile:
    """What an Ogg file holds."""

    links: list[Link]
    """In their order; one for a file that is not chained."""
    n_other: int
    """Streams beside them: pictures, subtitles, further sound."""
    is_cut: bool
    """The last page, or one before another file begins, is not all there."""
    left_out: list[str]
    """Codecs of streams of sound that are not read."""

    @property
    def is_plain(self) -> bool:
        """One stream and nothing else."""
        return len(self.links) == 1 and not self.n_other and not self.left_out


def walk(data: Bytes) -> OggFile:
    """The streams of a file.

    Raises:
        Refusal: it holds no sound that is read, or more links than anything real.
    """
    links: list[Link] = []
    streams: dict[int, Link | None] = {}
    left_out: list[str] = []
    silent: list[str] = []
    n_other = 0
    in_heads = taken = is_cut = False
    at, size = max(0, data.find(b"OggS")), len(data)
    while at + 27 <= size and data[at : at + 4] == b"OggS":
        n_segments = data[at + 26]
        body = at + 27 + n_segments
        lacing = data[at + 27 : body]
        end = body + sum(lacing)
        if data[end : end + 4] != b"OggS" and end != size:
            # What stands within a page that nothing follows is the next one: this one is cut.
            following = data.find(b"OggS", at + 4, end)
            if following >= 0 or end > size or len(lacing) < n_segments:
                is_cut = True
                if following < 0:
                    break
                at = following
                continue
        serial = int.from_bytes(data[at + 14 : at + 18], "little")
        if data[at + 5] & 2:  # A stream begins; those of one link all begin together.
            if not in_heads:
                in_heads, taken, streams = True, False, {}
            head = data[body : min(end, body + 64)]
            link = _link(head, left_out)
            silent += [name for magic, name in _NO_SOUND if head.startswith(magic)]
            if link is not None and not taken:
                taken = True
                links.append(link)
                if len(links) > _MOST_LINKS:
                    raise Refusal(
                        f"the Ogg file has more than {_MOST_LINKS:,} streams in a row; it is "
                        "damaged or hostile: fetch or export it again"
                    )
            else:
                link, n_other = None, n_other + 1
            streams[serial] = link
        else:
            in_heads = False
        stream = streams.get(serial)
        if stream is not None:
            stream.pages.append((at, end, body))
            stream.has_end = bool(data[at + 5] & 4)
            position = int.from_bytes(data[at + 6 : at + 14], "little")
            if position not in (0, _UNKNOWN):
                if not stream.first_position:
                    stream.first_position = position
                    stream.first_n_samples = _n_samples(stream, data[body:end], lacing)
                stream.last_position = position
        at = end
        if data[at : at + 4] != b"OggS" and at < size:  # Damage, or something behind the end.
            following = data.find(b"OggS", at)
            at = following if following >= 0 else at
    if not links:
        if left_out:
            raise NotRead(f"{left_out[0]} in Ogg")
        if silent:
            raise Refusal(f"the Ogg file holds {silent[0]} and no sound")
        raise damaged("no stream of Vorbis, Opus or FLAC begins in it")
    return OggFile(links, n_other, is_cut or _is_cut(data), left_out)


# --- inside --------------------------------------------------------------------------------------


def _link(head: bytes, left_out: list[str]) -> Link | None:
    """The stream that begins with this packet, if it is one of sound that is read."""
    for magic, codec in _READ:
        if head.startswith(magic):
            return Link(codec, head)
    name = next((name for magic, name in _NOT_READ if head.startswith(magic)), None)
    if name is not None and name not in left_out:
        left_out.append(name)
    return None


def _n_samples(link: Link, body: bytes, lacing: bytes) -> int:
    """At most so many samples are in the packets that end on a page."""
    starts, at = [0], 0
    for length in lacing:
        at += length
        if length < 255:
            starts.append(at)
    packets = starts[:-1]
    if link.codec == "OPUS":
        return sum(_opus_samples(body[start : start + 2]) for start in packets)
    if link.codec == "VORBIS":
        return len(packets) * (1 << (link.header[28] >> 4)) // 2 if len(link.header) > 28 else 0
    return len(packets) * (int.from_bytes(link.header[19:21], "big") or 65_535)


def _opus_samples(packet: bytes) -> int:
    """Samples at 48 kHz of a packet (RFC 6716, section 3.1)."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        each = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        each = (480, 960)[config & 1]
    else:
        each = (120, 240, 480, 960)[config & 3]
    n_frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]
    return each * n_frames


def _is_cut(data: Bytes) -> bool:
    """Whether the last page is not all there.

    The mark of the end alone is no measure: whoever saves a stream never sees it.
    """
    tail = bytes(data[max(0, len(data) - 131_072) :])
    at = tail.rfind(b"OggS")
    if at < 0:
        return True
    if len(tail) < at + 27:
        return True
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    return len(segments) < tail[at + 26] or len(tail) < at + 27 + len(segments) + sum(segments)
