"""The parts of `benches/compare` that put load on proxies: CPU, latency, memory, system calls."""

import re
import signal
import statistics
import subprocess
import time

from lib import load, machine, servers
from lib.report import row

FOUR = ("nginx", "haproxy", "envoy", "tokenward")
TWO = ("nginx", "tokenward")
NAMES = {"plain": "plain upstream", "tls": "TLS upstream"}


def running(stage, options, names):
    """The backend and those proxies that were asked for."""
    backend = servers.Backend(stage)
    return [servers.start(name, stage, backend, options) for name in names if name in options.proxies]


def cpu(options, kind, connections, names, stage=None, proxies=None):
    """CPU time a request, the proxies in turn for several rounds."""
    if proxies is None:
        proxies = running(stage, options, names)
    costs = {proxy.name: [] for proxy in proxies}
    rates = {proxy.name: [] for proxy in proxies}
    for proxy in proxies:
        load.wrk(proxy.port(kind), connections, 1)
    for _ in range(options.rounds):
        for proxy in proxies:
            cost, rate = load.cost(proxy.process, proxy.port(kind), connections, options.seconds)
            costs[proxy.name].append(cost)
            rates[proxy.name].append(rate)
    many = "1 connection" if connections == 1 else f"{connections} connections"
    name = f"{NAMES[kind]}, {many}"
    return row(f"CPU a request: {name}", "µs", costs, chart=name), rates


def plain(options):
    with machine.Stage() as stage:
        one, rates = cpu(options, "plain", 64, FOUR, stage)
        return [one], {"rates": rates}


def tls(options):
    with machine.Stage() as stage:
        one, rates = cpu(options, "tls", 64, FOUR, stage)
        return [one], {"rates": rates}


def connections(options):
    """Few and many connections."""
    with machine.Stage() as stage:
        proxies = running(stage, options, FOUR if options.all else TWO)
        rows = [cpu(options, kind, count, (), proxies=proxies)[0]
                for kind in ("plain", "tls") for count in (1, 4, 512)]
        return rows, {}


def latency(options):
    """Times of answers at half of the rate that nginx reaches, whoever is asked."""
    with machine.Stage() as stage:
        proxies = running(stage, options, FOUR if options.all else TWO)
        reference = next(proxy for proxy in proxies if proxy.name == "nginx")
        rows, said = [], {}
        for kind in ("plain", "tls"):
            tops = [load.wrk(reference.port(kind), 64, options.seconds)[1] for _ in range(4)]
            rate = round(statistics.median(tops[1:]) / 2)
            middle, high, reached = ({proxy.name: [] for proxy in proxies} for _ in range(3))
            for number in range(options.rounds + 1):
                for proxy in proxies:
                    times, came = load.at_rate(proxy.port(kind), rate, options.seconds,
                                               stage.folder / "times")
                    # The first round only warms up.
                    if number:
                        middle[proxy.name].append(load.percentile(times, 50) / 1000)
                        high[proxy.name].append(load.percentile(times, 99) / 1000)
                        reached[proxy.name].append(came)
            note = f"{rate:,} requests/s"
            name = NAMES[kind]
            rows.append(row(f"p50 at half of nginx's top rate: {name}", "ms", middle, 2, note))
            rows.append(row(f"p99 at half of nginx's top rate: {name}", "ms", high, 2, note,
                            chart=f"p99 at half load, {name}"))
            said[kind] = {"rate": rate, "reached": reached}
        return rows, said


def idle(options):
    """What a proxy adds for a caller with one connection that is mostly idle."""
    with machine.Stage() as stage:
        backend = servers.Backend(stage)
        proxies = [servers.start(name, stage, backend, options)
                   for name in (FOUR if options.all else TWO) if name in options.proxies]
        rows, direct = [], []
        for kind in ("plain", "tls"):
            ports = {"direct": backend.plain, **{proxy.name: proxy.port(kind) for proxy in proxies}}
            added = {proxy.name: [] for proxy in proxies}
            for _ in range(options.rounds):
                seen = load.one_at_a_time(ports, max(50, round(100 * options.seconds)))
                direct.append(seen.pop("direct"))
                for name, time_of_all in seen.items():
                    added[name].append(time_of_all - direct[-1])
            rows.append(row(f"added to a call on one idle connection, p50: {NAMES[kind]}", "µs", added, 0,
                            chart=f"added latency, {NAMES[kind]}"))
        return rows, {"direct": direct}


def memory(options):
    """PSS before load, after it, and with many connections that wait."""
    idle_values, after, crowd = {}, {}, {}
    for _ in range(options.starts):
        with machine.Stage() as stage:
            for proxy in running(stage, options, FOUR):
                time.sleep(1)
                idle_values.setdefault(proxy.name, []).append(proxy.process.memory())
                for kind in ("plain", "tls"):
                    load.wrk(proxy.port(kind), 64, max(2, options.seconds // 2))
                time.sleep(1)
                after.setdefault(proxy.name, []).append(proxy.process.memory())
        for name in (FOUR if options.all else TWO):
            if name in options.proxies:
                crowd.setdefault(name, []).append(with_crowd(options, name))
    return [
        row("memory (PSS), idle", "MiB", idle_values, chart="memory, idle"),
        row("memory (PSS), after load with 64 connections", "MiB", after, chart="memory, after load"),
        row("memory (PSS), 5,000 idle connections", "MiB", crowd, chart="memory, 5,000 idle connections",
            note="nginx with room for 8,192 a worker"),
    ], {}


def with_crowd(options, name, count=5000):
    with machine.Stage() as stage:
        backend = servers.Backend(stage)
        if name == "nginx":
            # One worker may take them all.
            proxy = servers.start_nginx(stage, backend, options, connections=8192)
        else:
            proxy = servers.start(name, stage, backend, options)
        crowd = load.Crowd(proxy.plain, count)
        statuses = crowd.ask_all(at_once=64)[2]
        time.sleep(1)
        held = proxy.process.memory()
        # Still open: each can be asked again.
        again = crowd.ask_all(at_once=64)[2]
        crowd.close()
        if statuses != {"200": count} or again != {"200": count}:
            raise SystemExit(f"{name} did not keep {count} connections: {statuses}, {again}")
        return held


def syscalls(options):
    """System calls a request, by strace, while 64 connections are busy, and with one."""
    machine.need("strace")
    rows, detail = [], {}
    with machine.Stage() as stage:
        proxies = running(stage, options, TWO)
        for kind in ("plain", "tls"):
            for connections_, requests in ((64, 6400), (1, 1000)):
                totals = {}
                for proxy in proxies:
                    load.h2load(proxy.port(kind), requests, connections_)
                    counts = traced(proxy, stage, lambda: load.h2load(
                        proxy.port(kind), requests, connections_))
                    totals[proxy.name] = [sum(counts.values()) / requests]
                    # Shares of less than a hundredth are connections, timers and the like.
                    detail.setdefault(f"{kind}, {connections_}", {})[proxy.name] = {
                        name: round(count / requests, 2) for name, count in
                        sorted(counts.items(), key=lambda pair: -pair[1]) if count / requests >= 0.01}
                many = "1 connection" if connections_ == 1 else f"{connections_} connections"
                rows.append(row(f"system calls a request: {NAMES[kind]}, {many}", "", totals, 2))
    return rows, {"detail": detail}


def traced(proxy, stage, work):
    out = stage.folder / "calls"
    out.unlink(missing_ok=True)
    asked = [part for pid in proxy.process.family() for part in ("-p", str(pid))]
    tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", out, *asked],
                              stderr=subprocess.PIPE, text=True)
    for _ in proxy.process.family():
        tracer.stderr.readline()
    time.sleep(0.3)
    work()
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=20)
    counts = {name: int(count) for count, name in
              re.findall(r"^\s*(\d+)\s+(\w+)\s*$", out.read_text(), re.M) if name != "total"}
    if not counts:
        raise SystemExit(f"strace counted nothing:\n{out.read_text()}")
    return counts
