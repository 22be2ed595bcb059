from __future__ import annotations

import json

from backend import link
from backend.link import FrameDecoder, frame, json_frame

FRAMES = [
    (0, link.STATE, b'{"state": "ready"}'),
    (1, link.DATA, b"data: {}\n\n"),
    (2**32 - 1, link.END, b""),
    (7, link.DATA, bytes(range(256)) * 3),
    (1, link.DETACH, b""),
]
BYTES = b"".join(frame(*parts) for parts in FRAMES)


def test_a_frame_is_a_header_of_nine_bytes_and_its_payload() -> None:
    assert frame(1, link.DATA, b"abc") == b"\x00\x00\x00\x01\x12\x00\x00\x00\x03abc"
    assert frame(5, link.END) == b"\x00\x00\x00\x05\x13\x00\x00\x00\x00"


def test_a_json_frame_carries_any_text() -> None:
    message = {"content": 'quote " line\n “ü” 😀 \u2028'}
    [(stream, kind, payload)] = FrameDecoder().decode(json_frame(3, link.START, message))
    assert (stream, kind, json.loads(payload)) == (3, link.START, message)


def test_frames_cut_at_any_byte_come_out_whole() -> None:
    for cut in range(len(BYTES) + 1):
        decoder = FrameDecoder()
        assert decoder.decode(BYTES[:cut]) + decoder.decode(BYTES[cut:]) == FRAMES


def test_frames_that_come_byte_by_byte_come_out_as_soon_as_they_are_whole() -> None:
    decoder = FrameDecoder()
    found, ends, end = [], [], 0
    for _, _, payload in FRAMES:
        end += link.HEADER.size + len(payload)
        ends.append(end)
    for index in range(len(BYTES)):
        frames = decoder.decode(BYTES[index : index + 1])
        assert bool(frames) == (index + 1 in ends)
        found += frames
    assert found == FRAMES


def test_nothing_in_gives_nothing_out() -> None:
    decoder = FrameDecoder()
    assert decoder.decode(b"") == []
    assert decoder.decode(BYTES[:5]) == []
    assert decoder.decode(b"") == []
    assert decoder.decode(BYTES[5:]) == FRAMES
