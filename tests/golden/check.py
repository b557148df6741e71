#!/usr/bin/env python3
"""An independent reading of the golden vectors, made from docs/PROTOCOL.md alone.

Decodes every vector of the *.hex files beside it and asserts what it means. Nothing but the standard
library. Usage: check.py [FOLDER]; the exit status is 0 if all is as it should be.
"""

import pathlib
import struct
import sys

KINDS = {1: "Hello", 2: "Call", 3: "Reply", 4: "Cancel", 5: "Data", 6: "Credit", 7: "Ping", 8: "Goodbye"}
MORE, DEADLINE, METADATA, ONEWAY, ANSWER, ITEM, END = 1, 2, 4, 8, 16, 32, 64
FLAGS = {"Call": MORE | DEADLINE | METADATA | ONEWAY, "Reply": MORE, "Data": ANSWER | ITEM | END,
         "Credit": ANSWER | END, "Ping": ANSWER}
PREFACE = b"\x89ipcall\n"


def vectors(path):
    found, name = {}, None
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("["):
            name = line[1:-1]
            assert name not in found, f"[{name}] twice"
            found[name] = b""
        elif line:
            found[name] += bytes.fromhex(line)
    return found


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


# Payloads. A shape is: the name of a scalar; ("option", S); ("list", S); ("tuple", S, ..); ("map", K, V);
# ("struct", (name, S), ..); ("enum", (name, None | S), ..).


class Payload:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert count <= len(self.data) - self.at, "the bytes end inside the value"
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self, bits):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                assert value < 2**bits, "an integer too large for its type"
                return value
            assert shift < bits, "an integer longer than its type allows"

    def scalar(self, shape):
        if shape in ("bool", "u8", "i8"):
            byte = self.take(1)[0]
            assert shape != "bool" or byte < 2
            return {"bool": bool(byte), "u8": byte, "i8": byte - 256 * (byte > 127)}[shape]
        if shape in ("f32", "f64"):
            size = int(shape[1:]) // 8
            return struct.unpack("<f" if size == 4 else "<d", self.take(size))[0]
        if shape in ("str", "char", "bytes"):
            data = self.take(self.varint(64))
            return data if shape == "bytes" else data.decode("utf-8")
        if shape == "()":
            return ()
        number = self.varint(int(shape[1:]))
        if shape[0] == "i":
            return number // 2 if number % 2 == 0 else -(number + 1) // 2
        return number

    def value(self, shape):
        if isinstance(shape, str):
            return self.scalar(shape)
        what, *parts = shape
        if what == "option":
            tag = self.take(1)[0]
            assert tag < 2
            # A list of none or one, so that an option of an option can be told.
            return [self.value(parts[0])] if tag else []
        if what == "list":
            return [self.value(parts[0]) for _ in range(self.varint(64))]
        if what == "map":
            return {self.value(parts[0]): self.value(parts[1]) for _ in range(self.varint(64))}
        if what == "tuple":
            return tuple(self.value(part) for part in parts)
        if what == "struct":
            return {name: self.value(part) for name, part in parts}
        assert what == "enum", what
        name, part = parts[self.varint(32)]
        return name if part is None else (name, self.value(part))


def decode(data, shape):
    payload = Payload(data)
    value = payload.value(shape)
    assert payload.at == len(data), f"{len(data) - payload.at} bytes are left over"
    return value


METHOD = ("struct", ("name", "str"), ("fingerprint", "u64"), ("signature", "str"))
SERVICE = ("struct", ("name", "str"), ("methods", ("list", METHOD)))
WINDOW = ("struct", ("bytes", "u32"), ("items", "u32"))
DOORBELL = ("struct", ("signal", "u8"), ("pid", "u32"))
HELLO = ("struct", ("version", "u16"), ("message_limit", "u64"), ("held_limit", "u64"),
         ("calls_in_flight", "u32"), ("stream", WINDOW), ("token", "bytes"), ("doorbell", DOORBELL),
         ("services", ("list", SERVICE)))
FAILURE = ("struct", ("executed", "u8"), ("limit", "u64"), ("actual", "u64"), ("text", "str"))
PAIRS = ("list", ("tuple", "str", "str"))
DIVIDE_ERROR = ("enum", ("ByZero", None), ("TooLarge", ("struct", ("limit", "i64"))))
FIGURE = ("enum", ("Point", None), ("Circle", "u32"), ("Box", ("tuple", "u32", "u32")))
RESULT = ("enum", ("Ok", "u8"), ("Err", "str"))


class Frame:
    """One frame, its fields told apart; `payload` is what stands behind them."""

    def __init__(self, data, whole=True):
        self.length, kind, self.flags, self.code, self.id = struct.unpack_from("<IBBHQ", data)
        self.kind = KINDS[kind]
        assert self.flags & ~FLAGS.get(self.kind, 0) == 0, "a flag that the kind does not have"
        assert self.kind != "Data" or self.flags & ITEM or not self.flags & END, "END without ITEM"
        body = data[16:]
        assert not whole or len(body) == self.length, "length is not that of the body"
        self.total = self.remaining = None
        self.metadata = b""
        if self.kind in ("Call", "Reply"):
            if self.flags & MORE:
                (self.total,), body = struct.unpack_from("<Q", body), body[8:]
            if self.flags & DEADLINE:
                (self.remaining,), body = struct.unpack_from("<Q", body), body[8:]
            if self.flags & METADATA:
                size = struct.unpack_from("<I", body)[0]
                assert size <= 16384 and 4 + size <= len(body)
                self.metadata, body = body[4 : 4 + size], body[4 + size :]
        self.payload = body

    def head(self):
        return (self.kind, self.flags, self.code, self.id)


def hello(data):
    assert data[:8] == PREFACE
    frame = Frame(data[8:])
    assert frame.head() == ("Hello", 0, 0, 0)
    value = decode(frame.payload, HELLO)
    assert value["version"] == 1
    limits = (value["message_limit"], value["held_limit"], value["calls_in_flight"])
    assert limits == (64 << 20, 256 << 20, 1024)
    assert value["stream"] == {"bytes": 256 << 10, "items": 16 << 10}
    for service in value["services"]:
        for method in service["methods"]:
            assert method["fingerprint"] == fnv(method["signature"].encode())
    # A doorbell is a process with a signal, or neither.
    doorbell = value["doorbell"]
    assert (doorbell["signal"] == 0) == (doorbell["pid"] == 0)
    return value["token"], [
        (service["name"], [(method["name"], method["signature"]) for method in service["methods"]])
        for service in value["services"]
    ]


PAIR = "{left: str, right: option<i32>}"
ARITH = ("Arith", [
    ("add", "(a: u64, b: u64) -> u64"),
    ("divide", "(a: i64, b: i64) -> i64 ! enum{ByZero, TooLarge{limit: i64}}"),
    ("note", "oneway (text: str)"),
    ("swap", f"(pair: {PAIR}) -> {PAIR}"),
])
COUNT = ("Count", [("bytes", "(data: bytes) -> u64")])


def conversation(found):
    assert hello(found.pop("client-hello")) == (b"", [])
    assert hello(found.pop("server-hello")) == (b"", [ARITH])
    call = Frame(found.pop("call-add"))
    assert call.head() == ("Call", 0, 0, 65536)
    arguments = decode(call.payload, ("tuple", "u64", "u64"))
    reply = Frame(found.pop("reply-add"))
    assert reply.head() == ("Reply", 0, 0, call.id)
    assert decode(reply.payload, "u64") == sum(arguments) == 5
    goodbye = Frame(found.pop("client-goodbye"))
    assert goodbye.head() == ("Goodbye", 0, 0, 0) and goodbye.length == 0


def hellos(found):
    assert hello(found.pop("two-services")) == (b"", [ARITH, COUNT])
    assert hello(found.pop("token")) == (b"s3cret", [])
    rung = found.pop("doorbell")
    assert hello(rung) == (b"", [])
    assert decode(rung[24:], HELLO)["doorbell"] == {"signal": 23, "pid": 4711}
    rejection = found.pop("rejection")
    assert rejection[:8] == PREFACE
    goodbye = Frame(rejection[8:])
    assert goodbye.head() == ("Goodbye", 0, 1, 0)
    assert "token" in goodbye.payload.decode()


def calls(found):
    both = {"trace": "42", "from": "é"}
    for name, flags, remaining, metadata in [
        ("plain", 0, None, None),
        ("deadline", DEADLINE, 1_500_000_000, None),
        ("metadata", METADATA, None, both),
        ("deadline-metadata", DEADLINE | METADATA, 1_500_000_000, both),
    ]:
        call = Frame(found.pop(name))
        assert call.head() == ("Call", flags, 0, 65536)
        assert call.remaining == remaining
        assert metadata is None or dict(decode(call.metadata, PAIRS)) == metadata
        assert decode(call.payload, ("tuple", "u64", "u64")) == (2, 3)
    call = Frame(found.pop("divide"))
    assert call.head() == ("Call", 0, 1, 131072)
    assert decode(call.payload, ("tuple", "i64", "i64")) == (-7, 0)
    call = Frame(found.pop("oneway"))
    assert call.head() == ("Call", ONEWAY, 2, 65536)
    assert decode(call.payload, ("tuple", "str")) == ("hi",)


def replies(found):
    for name, status, shape, value in [
        ("ok", 0, "u64", 5),
        ("ok-nothing", 0, "()", ()),
        ("method-error", 1, DIVIDE_ERROR, ("TooLarge", {"limit": -300})),
    ]:
        reply = Frame(found.pop(name))
        assert reply.head() == ("Reply", 0, status, 65536)
        assert decode(reply.payload, shape) == value
    for name, status, executed, limit, actual, part in [
        ("cancelled", 2, 1, 0, 0, ""),
        ("withdrawn", 2, 0, 0, 0, ""),
        ("deadline-exceeded", 3, 0, 1_500_000_000, 0, ""),
        ("too-large", 4, 2, 64 << 20, 70_000_000, "result"),
        ("unknown-method", 5, 0, 0, 0, "99"),
        ("panicked", 6, 1, 0, 0, "bounds"),
        ("overloaded", 7, 0, 1024, 0, "in flight"),
        ("refused", 8, 0, 0, 0, "shutting down"),
        ("bad-arguments", 9, 0, 0, 0, "decoded"),
        ("bad-result", 10, 2, 0, 0, "encoded"),
    ]:
        reply = Frame(found.pop(name))
        assert reply.head() == ("Reply", 0, status, 65536)
        failure = decode(reply.payload, FAILURE)
        assert (failure["executed"], failure["limit"], failure["actual"]) == (executed, limit, actual)
        assert part in failure["text"] and bool(part) == bool(failure["text"])


def control(found):
    cancel = Frame(found.pop("cancel"))
    assert cancel.head() == ("Cancel", 0, 0, 65536) and cancel.length == 0
    ping, answer = Frame(found.pop("ping")), Frame(found.pop("ping-answer"))
    assert ping.head() == ("Ping", 0, 513, 0x1122334455667788)
    assert answer.head() == ("Ping", ANSWER, ping.code, ping.id)
    reasons = ["done", "refused", "overloaded", "violation", "shutting-down", "stalled"]
    for code, reason in enumerate(reasons):
        goodbye = Frame(found.pop("goodbye-" + reason))
        assert goodbye.head() == ("Goodbye", 0, code, 0)
        assert bool(goodbye.payload.decode()) == (code != 0)


def fragments(found):
    first, second, third = (found.pop(name) for name in ("first", "second", "third"))
    length = 149_997
    data = bytes((31 * i + 7) % 256 for i in range(length))
    prefix = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
    payload = prefix + data
    assert decode(payload, ("tuple", "bytes")) == (data,)
    call = Frame(first, whole=False)
    assert call.head() == ("Call", MORE, 4, 65536)
    assert call.total == len(payload) == 150_000 and call.payload == b""
    parts = [call.length - 8]
    for fragment in (second, third):
        frame = Frame(fragment, whole=False)
        assert frame.head() == ("Data", 0, 0, 65536) and frame.payload == b""
        parts.append(frame.length)
    assert parts == [65536, 65536, 18928] and sum(parts) == call.total
    stream, at = b"", 0
    for head, part in zip((first, second, third), parts):
        stream, at = stream + head + payload[at : at + part], at + part
    assert len(stream) == 150_056
    assert struct.unpack("<Q", found.pop("checksum"))[0] == fnv(stream)
    assert Frame(found.pop("answer"), whole=False).head() == ("Data", ANSWER, 0, 65536)


PAYLOADS = {
    "bool-false": ("bool", False),
    "bool-true": ("bool", True),
    "u8-200": ("u8", 200),
    "i8-minus-1": ("i8", -1),
    "u16-300": ("u16", 300),
    "u32-max": ("u32", 2**32 - 1),
    "u64-max": ("u64", 2**64 - 1),
    "u128-max": ("u128", 2**128 - 1),
    "i16-minus-1": ("i16", -1),
    "i32-min": ("i32", -(2**31)),
    "i64-5": ("i64", 5),
    "i64-minus-300": ("i64", -300),
    "i128-min": ("i128", -(2**127)),
    "f32-1.5": ("f32", 1.5),
    "f64-minus-2.25": ("f64", -2.25),
    "f64-infinity": ("f64", float("inf")),
    "char": ("char", "é"),
    "str": ("str", "größer"),
    "str-empty": ("str", ""),
    "bytes": ("bytes", bytes([0, 1, 254, 255])),
    "unit": ("()", ()),
    "none": (("option", "u32"), []),
    "some": (("option", "u32"), [300]),
    "some-none": (("option", ("option", "u8")), [[]]),
    "tuple": (("tuple", "u16", "str", "bool"), (1, "a", True)),
    "array": (("tuple", "u32", "u32", "u32"), (1, 128, 3)),
    "list": (("list", "u32"), [1, 128, 3]),
    "list-of-lists": (("list", ("list", "u32")), [[], [7]]),
    "map": (("map", "str", "i64"), {"a": 1, "b": -1}),
    "struct": (("struct", ("left", "str"), ("right", ("option", "i32"))), {"left": "x", "right": [-5]}),
    "enum-unit": (DIVIDE_ERROR, "ByZero"),
    "enum-struct": (DIVIDE_ERROR, ("TooLarge", {"limit": 9})),
    "enum-newtype": (FIGURE, ("Circle", 8)),
    "enum-tuple": (FIGURE, ("Box", (3, 4))),
    "result-ok": (RESULT, ("Ok", 9)),
    "result-err": (RESULT, ("Err", "no")),
    "duration": (("struct", ("secs", "u64"), ("nanos", "u32")), {"secs": 90, "nanos": 500}),
    "metadata": (PAIRS, [("trace", "42"), ("from", "é")]),
}


def payloads(found):
    for name, (shape, value) in PAYLOADS.items():
        actual = decode(found.pop(name), shape)
        assert actual == value, f"[{name}] is {actual!r}, not {value!r}"


def items(data, shape):
    found = []
    while data:
        length = struct.unpack_from("<I", data)[0]
        found.append(decode(data[4 : 4 + length], shape))
        data = data[4 + length :]
    return found


def streams(found):
    call = Frame(found.pop("call"))
    assert call.head() == ("Call", 0, 0, 65536) and call.length == 0
    arguments, end = Frame(found.pop("arguments")), Frame(found.pop("arguments-end"))
    assert arguments.head() == ("Data", ITEM, 0, call.id)
    assert items(arguments.payload, "u64") == [1, 300]
    assert end.head() == ("Data", ITEM | END, 0, call.id) and end.length == 0
    results, end = Frame(found.pop("results")), Frame(found.pop("results-end"))
    assert results.head() == ("Data", ANSWER | ITEM, 0, call.id)
    assert items(results.payload, "u64") == [2, 600]
    assert end.head() == ("Reply", 0, 0, call.id) and end.length == 0
    for name, flags, granted in [
        ("credit-for-results", 0, (131076, 2)),
        ("credit-for-arguments", ANSWER, (131076, 2)),
        ("no-more-arguments", ANSWER | END, (0, 0)),
    ]:
        credit = Frame(found.pop(name))
        assert credit.head() == ("Credit", flags, 0, call.id)
        assert struct.unpack("<II", credit.payload) == granted


FILES = {
    "conversation.hex": conversation,
    "hello.hex": hellos,
    "calls.hex": calls,
    "replies.hex": replies,
    "control.hex": control,
    "fragments.hex": fragments,
    "payloads.hex": payloads,
    "streams.hex": streams,
}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__.rpartition("/")[0] or ".")
    files = {path.name for path in folder.glob("*.hex")}
    assert files == set(FILES), f"files that are not checked, or missing: {files ^ set(FILES)}"
    count = 0
    for name, check in FILES.items():
        found = vectors(folder / name)
        count += len(found)
        check(found)
        assert not found, f"{name}: not checked: {', '.join(found)}"
    print(f"{count} vectors are as the document says")


if __name__ == "__main__":
    main()
