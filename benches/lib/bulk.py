"""Large bodies over TLS, and the size of the program."""

import socket
import ssl
import struct
import subprocess
from multiprocessing import Process as Child

from lib import machine, servers
from lib.report import row

GIB = 1 << 30
# nginx takes an upload in whole before it begins to send it, and puts an answer that its caller does
# not read fast enough into a file. A gateway that streams does neither; so nginx is told not to.
STREAMING = "proxy_request_buffering off; proxy_max_temp_file_size 0;"


class Sink:
    """Takes bodies with a Content-Length, over TLS or plain, and answers each with 200.

    nginx answers an upload that it does not use before it has come, so it is no backend for one."""

    def __init__(self, stage, backend=None):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        pair = (backend.ca, backend.key) if backend else None
        self.child = Child(target=serve, args=(self.listener, pair), daemon=True)
        self.child.start()
        stage.processes.append(self)

    def stop(self):
        self.child.terminate()
        self.child.join()
        self.listener.close()


def serve(listener, pair):
    import threading

    context = None
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
    while True:
        caller = listener.accept()[0]
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=take, args=(caller, context), daemon=True).start()


def take(caller, context):
    buffer = bytearray(1 << 18)
    answer = (f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
              f"Content-Length: {len(servers.ANSWER)}\r\n\r\n{servers.ANSWER}").encode()
    try:
        if context:
            caller = context.wrap_socket(caller, server_side=True)
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                more = caller.recv(65536)
                if not more:
                    return
                head += more
            head, _, body = head.partition(b"\r\n\r\n")
            left = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    left = int(value) - len(body)
            if head.startswith(b"POST /oauth2/token"):
                # Tokens come from here too; the body is small, and may be chunked.
                while left > 0 or (b"ransfer-" in head and not body.endswith(b"0\r\n\r\n")):
                    more = caller.recv(65536)
                    left, body = left - len(more), body + more
                grant = servers.GRANT.encode()
                caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n%s" % (len(grant), grant))
                continue
            while left > 0:
                got = caller.recv_into(buffer)
                if not got:
                    return
                left -= got
            caller.sendall(answer)
    except OSError:
        pass
    finally:
        caller.close()


def bulk(options):
    """CPU for 1 GiB each way over a TLS upstream; nginx as it is, and streaming."""
    machine.need("curl")
    with machine.Stage() as stage:
        backend = servers.Backend(stage)
        sink = Sink(stage, backend)
        size = GIB if not options.small else GIB // 16
        for name in ("down", "up"):
            with open(backend.files / name, "wb") as file:
                file.truncate(size)
        rows = []
        for way, tls_backend in (("down", None), ("up", sink.port)):
            proxies = [
                ("nginx", servers.start_nginx(stage, backend, options, f"nginx-{way}", STREAMING,
                                              tls_backend=tls_backend)),
                ("as it is", servers.start_nginx(stage, backend, options, f"nginx-default-{way}",
                                                 tls_backend=tls_backend)),
                ("tokenward", servers.start_tokenward(stage, backend, options, f"ward-{way}",
                                                      tls_backend=tls_backend)),
            ]
            if "nginx" not in options.proxies:
                proxies = proxies[2:]
            spent = {name: [] for name, _ in proxies}
            for _ in range(options.rounds):
                for name, proxy in proxies:
                    before = proxy.process.cpu()
                    transfer(proxy.tls, way, backend.files / way, size)
                    spent[name].append((proxy.process.cpu() - before) * GIB / size)
            default = spent.pop("as it is", None)
            words = {"down": "download", "up": "upload"}[way]
            note = "nginx without temporary files"
            rows.append(row(f"1 GiB {words}, TLS upstream: CPU", "s", spent, 2, note,
                            chart=f"CPU of 1 GiB {words}, TLS upstream"))
            if default:
                rows.append(row(f"1 GiB {words}, TLS upstream: CPU", "s",
                                {"nginx": default, "tokenward": spent["tokenward"]}, 2,
                                "nginx as it is, with temporary files"))
        return rows, {"size": size}


def transfer(port, way, file, size):
    common = ["curl", "-s", "-f", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{size_upload}"]
    if way == "down":
        command = [*common, f"http://127.0.0.1:{port}/files/down"]
    else:
        command = [*common, "-H", "Expect:", "-T", file, f"http://127.0.0.1:{port}/up"]
    done = subprocess.run(command, capture_output=True, text=True)
    status, down, up = (done.stdout.split() + ["0"] * 3)[:3]
    if status != "200" or int(down if way == "down" else up) != size:
        raise SystemExit(f"{way}: {done.stdout} {done.stderr} (curl's exit code {done.returncode})")


def size(options):
    """Bytes of the release binaries that are there."""
    found = {False: options.binary, True: options.static}
    for path in sorted(machine.target_folder().glob("*/release/tokenward")):
        if is_static(path):
            found[True] = found[True] or path
    if is_static(options.binary):
        found = {False: None, True: options.binary}
    rows = []
    for static, path in found.items():
        if path:
            mib = [path.stat().st_size / 1e6]
            rows.append(row(f"release binary, {'static' if static else 'dynamic'}", "MB",
                            {"tokenward": mib}, 1))
    return rows, {}


def is_static(path):
    """Whether a 64-bit ELF program asks for no loader."""
    data = path.read_bytes()[:4096]
    offset, = struct.unpack_from("<Q", data, 32)
    each, count = struct.unpack_from("<HH", data, 54)
    kinds = [struct.unpack_from("<I", data, offset + each * place)[0] for place in range(count)]
    return 3 not in kinds
