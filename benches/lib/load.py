"""Clients: what asks, and what it saw."""

import re
import select
import socket
import statistics
import subprocess
import sys
import time

from lib.servers import ANSWER, PATH


def url(port, path=PATH):
    return f"http://127.0.0.1:{port}{path}"


def wrk(port, connections, seconds, path=PATH, threads=1):
    """Requests answered, and how many a second, with as many connections always busy."""
    threads = min(threads, connections)
    done = subprocess.run(
        ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", url(port, path)],
        capture_output=True, text=True, check=True).stdout
    if re.search(r"Non-2xx|Socket errors", done):
        sys.exit(f"not every answer was good:\n{done}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])
    return int(re.search(r"(\d+) requests in", done)[1]), rate


def cost(process, port, connections, seconds, path=PATH, threads=1):
    """Microseconds of CPU that a process spends on one request, and the rate."""
    before = process.cpu()
    requests, rate = wrk(port, connections, seconds, path, threads)
    return (process.cpu() - before) / max(requests, 1) * 1e6, rate


def h2load(port, requests, connections, paths=(PATH,), options=()):
    """Exactly so many requests; ends the program if one of them failed."""
    command = ["h2load", "--h1", "-n", str(requests), "-c", str(connections), "-t1", *options,
               *(url(port, path) for path in paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    good = re.search(r"(\d+) succeeded.*\n.*?status codes: (\d+) 2xx", done.stdout)
    if done.returncode or not good or int(good[2]) != requests:
        sys.exit(f"not every answer was good: {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def at_rate(port, rate, seconds, log, connections=256):
    """Times of answers, in microseconds and sorted, at a fixed rate; and the rate that came about.

    Every connection asks by its own clock, whatever the others wait for; they begin one after
    another, so that their clocks do not agree. A connection asks again at least every 10 ms, so an
    answer that takes longer than that delays the next question and is counted apart.
    """
    # h2load's clocks go no faster than every 10 ms.
    connections = max(connections, -(-rate // 100))
    requests = connections * max(1, round(rate * seconds / connections))
    log.unlink(missing_ok=True)
    h2load(port, requests, connections, options=[
        f"--rps={rate / connections:.4f}", "-r", "1", "--rate-period=1ms", f"--log-file={log}"])
    rows = [tuple(map(int, line.split("\t")[:3])) for line in log.read_text().splitlines()]
    rows.sort()
    # While connections are being made the rate is not reached yet, nor at the end.
    first, last = rows[0][0] + connections * 1200, rows[-1][0] - connections * 1200
    kept = [row for row in rows if first <= row[0] <= last]
    if len(kept) < len(rows) // 4:
        sys.exit("too short a time for a fixed rate")
    times = sorted(row[2] for row in kept)
    return times, len(kept) / ((kept[-1][0] - kept[0][0]) / 1e6)


def percentile(times, percent):
    return times[min(len(times) - 1, int(len(times) * percent / 100))]


class Caller:
    """One connection that asks and waits, with nothing between it and the socket."""

    def __init__(self, port, path=PATH, host="localhost"):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()
        self.ending = ANSWER[-16:].encode()

    def ask(self):
        """Nanoseconds from the question to the whole answer."""
        began = time.perf_counter_ns()
        self.socket.sendall(self.request)
        answer = self.socket.recv(65536)
        while not answer.endswith(self.ending):
            more = self.socket.recv(65536)
            if not more:
                sys.exit(f"no whole answer: {answer!r}")
            answer += more
        taken = time.perf_counter_ns() - began
        if not answer.startswith(b"HTTP/1.1 200"):
            sys.exit(f"not a good answer: {answer!r}")
        return taken

    def close(self):
        self.socket.close()


def one_at_a_time(ports, asks, pause=0.003):
    """Medians, in microseconds, of one idle connection to each of the ports, asked in turn."""
    callers = {name: Caller(port) for name, port in ports.items()}
    taken = {name: [] for name in ports}
    for caller in callers.values():
        for _ in range(20):
            caller.ask()
    for _ in range(asks):
        for name, caller in callers.items():
            time.sleep(pause)
            taken[name].append(caller.ask())
    for caller in callers.values():
        caller.close()
    return {name: statistics.median(times) / 1000 for name, times in taken.items()}


class Crowd:
    """Many connections of one process."""

    def __init__(self, port, count, path=PATH):
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()
        self.sockets = {}
        self.poll = select.epoll()
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), 30)
            one.setblocking(False)
            self.sockets[one.fileno()] = one
            self.poll.register(one.fileno(), select.EPOLLIN)

    def ask_all(self, at_once=None, seconds=60):
        """One question on each, `at_once` of them at a time; wall-clock times of first question and
        last answer, and the answers' number by status."""
        waiting, statuses, turns = {}, {}, list(self.sockets)
        turns.reverse()
        at_once = at_once or len(turns)
        began = last = time.time()
        while turns or waiting:
            while turns and len(waiting) < at_once:
                number = turns.pop()
                self.sockets[number].send(self.request)
                waiting[number] = b""
            for number, _ in self.poll.poll(1):
                data = self.sockets[number].recv(65536)
                answer = waiting.get(number, b"") + data
                head, gap, body = answer.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if data and not (gap and length and len(body) >= int(length[1])):
                    waiting[number] = answer
                    continue
                code = answer[9:12].decode() if data else "closed"
                statuses[code] = statuses.get(code, 0) + 1
                waiting.pop(number, None)
                last = time.time()
                if not data:
                    self.poll.unregister(number)
                    self.sockets.pop(number).close()
            if time.time() > began + seconds:
                sys.exit(f"{len(waiting)} callers without an answer after {seconds} s: {statuses}")
        return began, last, statuses

    def close(self):
        for one in self.sockets.values():
            one.close()
        self.poll.close()
