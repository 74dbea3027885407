"""What happens once: a cold start, and a token that dies under a thousand callers."""

import http.server
import os
import socket
import statistics
import time
from multiprocessing import Process as Child

from lib import load, machine, servers
from lib.report import row

DEAD = '{"code":401,"message":"access token expired","data":null}'
CALLERS = 1000
# How long the vendor takes for a new token.
REFRESH = 0.05


def start(options):
    """From the start of the program to the first 200, with a token in the store."""
    with machine.Stage() as stage:
        backend = servers.Backend(stage)
        port, admin = machine.free_ports(2)
        config = stage.folder / "stored.toml"
        store = f'kind = "file"\npath = "{stage.folder}/tokens.json"'
        config.write_text(servers.top(admin, store) + servers.upstream("tls", backend.tls, port, backend.ca))
        command = [str(options.binary), "run", "--config", str(config)]
        # The first run fetches the token.
        first = stage.start("first", command, [port, admin])
        machine.wait_ready(admin)
        first.stop()
        ready, served, nginx = [], [], []
        for _ in range(options.times):
            ready.append(first_answer(stage, command, admin, "/readyz"))
            served.append(first_answer(stage, command, port, servers.PATH))
        if "nginx" in options.proxies:
            proxy = servers.start_nginx(stage, backend, options)
            command = ["nginx", "-e", f"{stage.folder}/nginx.log", "-c", f"{stage.folder}/nginx.conf",
                       "-p", str(stage.folder)]
            proxy.process.stop()
            nginx = [first_answer(stage, command, proxy.tls, servers.PATH)
                     for _ in range(options.times)]
        note = f"medians of {options.times}"
        return [
            row("cold start to ready, stored token, TLS upstream", "ms", {"tokenward": ready}, 1, note),
            row("cold start to the first answer from behind, stored token, TLS upstream", "ms",
                {"nginx": nginx, "tokenward": served}, 1, note, chart="cold start to the first answer"),
        ], {}


def first_answer(stage, command, port, path):
    """Milliseconds from before the program is started until it has answered with 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with open(stage.folder / "starts.out", "ab") as log:
        sink = [(os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)]
        began = time.perf_counter()
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=sink)
        try:
            while time.perf_counter() < began + 20:
                try:
                    with socket.create_connection(("127.0.0.1", port), 5) as caller:
                        caller.sendall(request)
                        if caller.recv(65536).startswith(b"HTTP/1.1 200"):
                            return (time.perf_counter() - began) * 1000
                except OSError:
                    pass
                time.sleep(0.0002)
        finally:
            os.kill(pid, 15)
            os.waitpid(pid, 0)
    raise SystemExit(f"no answer after a start:\n{machine.tail(stage.folder / 'starts.out')}")


def dead(options):
    """1,000 callers at once with a token that the vendor calls dead, in an answer with status 200."""
    first, cold, calm, direct = [], [], [], []
    for _ in range(options.rounds):
        for warm, out in ((True, first), (False, cold)):
            seen = one_death(options, warm)
            out.append(seen["from the first rejection"])
            if warm:
                calm.append(seen["with a live token"])
                direct.append(seen["without a gateway"])
    note = "1,000 callers, a refresh of 50 ms"
    return [
        row("dead token: first rejection to last answer", "ms", {"tokenward": first}, 0, note),
        row("dead token: the same, no connection to the vendor open before", "ms",
            {"tokenward": cold}, 0, note),
        row("the same callers at once, token alive", "ms", {"tokenward": calm}, 0, "1,000 callers"),
    ], {"without a gateway": [statistics.median(direct)]}


def one_death(options, warm):
    with machine.Stage() as stage:
        desk = Desk(stage)
        log = stage.folder / "rejections"
        backend = servers.Backend(stage, around=f"""
underscores_in_headers on;
log_format moment '$msec';
map $http_ogw_access_token $dead {{ "token-1" 1; default 0; }}
""", more=f"""
  location /openapi/ {{
    access_log {log} moment if=$dead;
    if ($dead) {{ return 200 '{DEAD}'; }}
    return 200 '{servers.ANSWER}';
  }}""", grant=f"proxy_pass http://127.0.0.1:{desk.port};")
        port, admin = machine.free_ports(2)
        config = stage.folder / "dead.toml"
        config.write_text(servers.top(admin) + servers.upstream("plain", backend.plain, port))
        stage.start("tokenward", [options.binary, "run", "--config", config], [port, admin])
        machine.wait_ready(admin)
        seen = {}
        # A path that is answered whatever the token is.
        if warm:
            crowd = load.Crowd(backend.plain, CALLERS)
            crowd.ask_all()
            began, last, _ = crowd.ask_all()
            seen["without a gateway"] = (last - began) * 1000
            crowd.close()
        crowd = load.Crowd(port, CALLERS, "/calm")
        if warm:
            for _ in range(3):
                crowd.ask_all()
            began, last, statuses = crowd.ask_all()
            expect(statuses)
            seen["with a live token"] = (last - began) * 1000
        crowd.request = crowd.request.replace(b"/calm", servers.PATH.encode())
        began, last, statuses = crowd.ask_all()
        expect(statuses)
        crowd.close()
        rejections = [float(line) for line in log.read_text().split()]
        if desk.count() != 2 or not rejections:
            raise SystemExit(f"{desk.count()} tokens were fetched, {len(rejections)} answers rejected")
        # nginx writes whole milliseconds, cut off.
        seen["from the first rejection"] = (last - min(rejections)) * 1000
        seen["from the first question"] = (last - began) * 1000
        return seen


def expect(statuses):
    if statuses != {"200": CALLERS}:
        raise SystemExit(f"not every caller was served: {statuses}")


class Desk:
    """Where tokens are fetched: token-1 at once, each later one after a while."""

    def __init__(self, stage):
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.log = stage.folder / "tokens"
        self.log.write_text("")
        self.child = Child(target=desk, args=(listener, self.log), daemon=True)
        self.child.start()
        stage.processes.append(self)

    def count(self):
        return len(self.log.read_text().split())

    def stop(self):
        self.child.terminate()
        self.child.join()


def desk(listener, log):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            number = len(log.read_text().split()) + 1
            if number > 1:
                time.sleep(REFRESH)
            with open(log, "a") as file:
                file.write(f"{number}\n")
            body = servers.GRANT.replace("bench-token", f"token-{number}").encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket = listener
    server.serve_forever()
