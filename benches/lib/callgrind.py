"""Runs a gateway under callgrind, and reads what callgrind writes."""

import re
import subprocess
from collections import Counter
from pathlib import Path

from lib import machine

# The functions by which memory is asked for, whoever asks.
ALLOCATING = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign",
              "__libc_malloc", "__libc_calloc", "__libc_realloc", "__libc_memalign"}

# Copies of more than 2 KiB are one instruction of the processor's, which valgrind counts once for each byte. Said
# so, libc copies in a loop, 32 bytes at a time, which is nearer to what it costs.
TUNABLES = ":".join(f"glibc.cpu.x86_rep_{name}_threshold=1073741824" for name in ("movsb", "stosb"))


class Counted:
    """What ran between two dumps."""

    def __init__(self, path):
        # (function, file, object) → instructions of its own, inlined code under its own file.
        self.own = Counter()
        self.allocations = 0
        # (callee, caller) → calls, of functions that ask for memory or copy it.
        self.calls = Counter()
        names = {kind: {} for kind in ("ob", "fl", "fn")}
        here = {"ob": "", "fl": "", "fn": ""}
        file = called = ""
        # The line after a `calls=` is what the call cost in whole, which the callee has already.
        skip = False
        with open(path, errors="replace") as lines:
            for line in lines:
                first = line[:1]
                if first.isdigit() or first in "+-*":
                    if skip:
                        skip = False
                        continue
                    cost = line.split()
                    if len(cost) > 1:
                        self.own[here["fn"], file, here["ob"]] += int(cost[1])
                elif line.startswith("calls="):
                    skip = True
                    callee, caller = bare(called), bare(here["fn"])
                    if caller in ALLOCATING:
                        continue
                    count = int(line[6:].split()[0])
                    if callee in ALLOCATING:
                        self.allocations += count
                    if callee in ALLOCATING or re.match(r"_*mem(cpy|move|set|cmp)", callee):
                        self.calls[callee, caller] += count
                elif "=" in line[:5]:
                    key, _, value = line.rstrip("\n").partition("=")
                    kind = {"fi": "fl", "fe": "fl", "cob": "ob", "cfi": "fl", "cfl": "fl",
                            "cfn": "fn"}.get(key, key)
                    if kind not in names:
                        continue
                    name = named(names[kind], value)
                    if key in here:
                        here[key] = name
                    if key in ("fl", "fi", "fe"):
                        file = name
                    elif key == "cfn":
                        called = name
        self.total = sum(self.own.values())


def named(known, value):
    """`(12) name` says what 12 is; `(12)` says it again."""
    found = re.match(r"\((\d+)\)(?: (.*))?$", value)
    if not found:
        return value
    if found[2] is not None:
        known[found[1]] = found[2]
    return known.get(found[1], value)


def bare(function):
    """Without the mark of a recursion and the version of a symbol."""
    return function.split("'", 1)[0].split("@", 1)[0]


class Watched:
    """A process under callgrind that can be asked for what has run since it was asked last."""

    def __init__(self, stage, name, command, ports):
        self.out = stage.folder / f"{name}.callgrind"
        self.number = 0
        self.process = stage.start(name, ["env", f"GLIBC_TUNABLES={TUNABLES}", "valgrind", "--tool=callgrind",
                                          f"--callgrind-out-file={self.out}", *command])
        for port in ports:
            self.process.wait_for(port, 120)

    def dump(self):
        self.number += 1
        done = subprocess.run(["callgrind_control", "-d", str(self.process.pid)],
                              capture_output=True, text=True)
        path = Path(f"{self.out}.{self.number}")
        if done.returncode or not path.exists():
            raise SystemExit(f"callgrind wrote nothing: {done.stdout}{done.stderr}\n"
                             f"{machine.tail(self.process.log)}")
        return path

    def between(self, few, many, work):
        """What `many` requests take beyond `few`, a request: `work(n)` makes n of them.

        Both times the same number of connections is opened, so that they cancel each other out."""
        work(few)
        self.dump()
        work(few)
        less = Counted(self.dump())
        work(many)
        more = Counted(self.dump())
        count = many - few

        def beyond(name):
            difference = getattr(more, name).copy()
            difference.subtract(getattr(less, name))
            return {key: value / count for key, value in difference.items() if value}

        return ((more.total - less.total) / count, (more.allocations - less.allocations) / count,
                beyond("own"), beyond("calls"))


# Where instructions belong, first by the file of the code, whatever it is inlined into.
GROUPS = (
    ("reading and writing heads and bodies", r"src/framing\b|src/headers|/(httparse|hyper|h2)-\d"),
    ("guard, browsers, clients", r"src/proxy/(guard|clients|peer)|src/browsers|src/vendor/path"),
    ("route", r"src/proxy/route"),
    ("strip and inject", r"src/proxy/(strip|inject)|src/vendor/injection|src/token/cache"),
    ("look at answers, tee", r"src/proxy/inspect|src/body|src/vendor/(scan|rules|phrases|pointer)"),
    ("the way of a request", r"src/proxy"),
    ("connections to the vendor", r"src/upstream"),
    ("metrics, log", r"src/telemetry|/(tracing|tracing-core|prometheus|tracing-subscriber)-\d"),
    ("TLS", r"/(rustls|aws-lc|tokio-rustls|rustls-)|aws.lc|crypto/fipsmodule|libcrypto"),
    ("http types", r"/(http|http-body|http-body-util|bytes|smallvec|fnv)-\d"),
    ("runtime", r"/(tokio|tokio-util|mio|socket2|futures-[a-z]+|slab|parking_lot\w*|want|try-lock)-\d"
                r"|src/(turn|worker|clock|drain)"),
    ("the rest of the program and its crates", r"(^|/)src/[a-z_]+(/|\.rs)"),
)


def groups(own):
    """Instructions of each group, most first. Code of the standard library counts for the function
    that it was inlined into; memory and system calls have groups of their own."""
    sums = Counter()
    for (function, file, binary), cost in own.items():
        sums[group(function, file, binary)] += cost
    return sums.most_common()


def group(function, file, binary):
    name = bare(function)
    if re.search(r"malloc|calloc|realloc|^_?_?(libc_)?(c?free)$|_int_free|tcache|memalign|unlink_chunk"
                 r"|arena|__rustc?::?__rust|__rdl_", name):
        return "memory: asking for it and giving it back"
    if "libc" in Path(binary).name or re.search(r"sysdeps/|/nptl/|^\./[a-z]+/", file):
        return "copying and comparing bytes (libc)" if re.search(r"mem|str", name) else "system calls (libc)"
    if "vdso" in binary or "ld-linux" in binary:
        return "system calls (libc)"
    standard = file == "???" or re.search(r"/rustc/|library/(core|alloc|std)|hashbrown-|memchr-", file)
    if not standard:
        for title, pattern in GROUPS:
            if re.search(pattern, file):
                return title
    return by_symbol(name)


def by_symbol(name):
    """By the function's own name: `tokenward::proxy::guard::…` is src/proxy/guard."""
    # `<tokenward::a::B as core::c>::d`, too.
    for crate, rest in re.findall(r"\b([a-z_0-9]+)::((?:[a-z_0-9]+(?:::)?)*)", name):
        if crate in ("core", "alloc", "std"):
            continue
        path = f"src/{rest.replace('::', '/')}" if crate == "tokenward" else f"/{crate.replace('_', '-')}-1"
        for title, pattern in GROUPS:
            if re.search(pattern, path):
                return title
    if "memchr" in name or "hashbrown" in name:
        return "the standard library"
    if re.search(r"aws_lc|EVP_|AES|aesni|gcm|sha\d", name):
        return "TLS"
    return "the standard library" if re.search(r"\b(core|alloc|std)::", name) else "unknown"
