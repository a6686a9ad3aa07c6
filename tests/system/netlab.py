"""Several devices on one machine: network namespaces on a bridge, and exo nodes inside them.

Nothing here leaves the machine: the namespaces have no route out. Needs the right to make namespaces (root);
`reason_to_skip()` says why not when it is missing."""
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

EXO = os.environ.get("EXO_BINARY", "build/release/exo")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def reason_to_skip():
    if not shutil.which("ip"):
        return "the program `ip` (package iproute2) is missing"
    probe = f"exo-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode != 0:
        return f"network namespaces are not allowed here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", probe])
    return None


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def inside(namespace):
    """Runs the body with this thread in another network namespace; sockets made there stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if _libc.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        _libc.setns(home, CLONE_NEWNET)
        os.close(there)
        os.close(home)


class Network:
    """A switch with any number of devices: 10.77.0.N each, in namespaces named after the process."""

    made = 0

    def __init__(self):
        Network.made += 1
        self.prefix = f"exo{os.getpid() % 100000}" + (f"n{Network.made}" if Network.made > 1 else "")
        self.switch = f"{self.prefix}s"
        self.devices = []
        _ip("netns", "add", self.switch)
        _ip("-n", self.switch, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", self.switch, "link", "set", "bridge0", "up")

    def add_device(self):
        number = len(self.devices) + 1
        name, port = f"{self.prefix}d{number}", f"p{number}"
        _ip("netns", "add", name)
        _ip("-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("-n", self.switch, "link", "set", port, "master", "bridge0")
        _ip("-n", self.switch, "link", "set", port, "up")
        _ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "broadcast", "10.77.0.255", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        self.devices.append(name)
        return name

    def cut(self, device, up=False):
        """Pulls (or plugs) the cable of a device."""
        _ip("-n", self.switch, "link", "set", f"p{self.devices.index(device) + 1}", "up" if up else "down")

    def close(self):
        for name in [*self.devices, self.switch]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


class Node:
    """One exo process in a namespace."""

    def __init__(self, namespace, name, *options, model="exo-demo", memory="64MiB", context=1024, threads=1):
        self.namespace, self.name = namespace, name
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"exo-{name}-"))
        self.options = ["--name", name, "--data-dir", str(self.folder / "data"), "--memory", memory, "--threads", str(threads),
                        "--context", str(context), *(["--model", model] if model else []), "--log-level", "info", *options]
        self.process = None
        self.start()

    def start(self):
        self.log = open(self.folder / "log", "ab")
        self.log_at_start = self.log.tell()
        self.process = subprocess.Popen(["ip", "netns", "exec", self.namespace, EXO, "serve", *self.options],
                                        stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def memory_bytes(self):
        """Resident, now; 0 when it has ended."""
        try:
            children = subprocess.run(["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, text=True)
            return int(children.stdout or 0) << 10
        except ValueError:
            return 0

    def log_text(self):
        return (self.folder / "log").read_text(errors="replace")

    def state(self):
        """What became of the process, and the end of its log: for who looks at a test that failed."""
        try:
            self.process.wait(timeout=1)  # a crash is still being written down
        except subprocess.TimeoutExpired:
            pass
        status = self.process.poll()
        lines = self.log_text().splitlines()
        return "\n".join([f"{self.name} " + ("still runs" if status is None else f"has ended with status {status}") +
                          f"; the last of {len(lines)} lines of its log:", *lines[-120:]])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ctrl-C; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                return self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", 52415, timeout=timeout)
        with inside(self.namespace):
            connection.connect()
        return connection

    def request(self, method, path, body=None, timeout=60):
        """(status, JSON document)"""
        connection = self.connect(timeout)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (ConnectionError, http.client.HTTPException) as problem:
            problem.add_note(self.state())
            raise
        finally:
            connection.close()

    def text(self, path):
        connection = self.connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except (ConnectionError, http.client.HTTPException) as problem:
            problem.add_note(self.state())
            raise
        finally:
            connection.close()

    def topology(self):
        return self.request("GET", "/v1/topology", timeout=5)[1]

    def try_topology(self):
        try:
            return self.topology()
        except (OSError, http.client.HTTPException, ValueError):
            return None


class Stream(threading.Thread):
    """A streamed chat answer, read in the background."""

    patience = 90  # seconds without a byte

    def __init__(self, node, prompt="Tell me a story about a fox.", **fields):
        super().__init__(daemon=True)
        self.node, self.text, self.finish, self.error, self.tokens = node, "", None, None, 0
        self.done, self.arrivals = False, []
        self.body = {"model": "exo-demo", "messages": [{"role": "user", "content": prompt}], "stream": True,
                     "stream_options": {"include_usage": True}, "temperature": 0, **fields}
        self.start()

    def run(self):
        connection = None
        try:
            connection = self.node.connect(timeout=self.patience)
            connection.request("POST", "/v1/chat/completions", json.dumps(self.body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                self.error = json.loads(answer.read())["error"]["message"]
                return
            for line in answer:
                self.take(line.decode().strip())
            if not self.done:
                self.error = self.error or "the stream broke off"
        except (OSError, http.client.HTTPException, ValueError) as problem:
            self.error = self.error or f"connection: {problem}"
        finally:
            self.ended_at = time.monotonic()
            if connection:
                connection.close()

    def take(self, line):
        if not line.startswith("data: "):
            return
        if line == "data: [DONE]":
            self.done = True
            return
        event = json.loads(line[6:])
        if "error" in event:
            self.error = event["error"]["message"]
            return
        if event.get("usage"):
            self.tokens = event["usage"]["completion_tokens"]
        for choice in event["choices"]:
            piece = choice["delta"].get("content") or ""
            if piece:
                self.arrivals.append(time.monotonic())
            self.text += piece
            self.finish = choice["finish_reason"] or self.finish

    def wait_for_text(self, characters, timeout=60):
        deadline = time.monotonic() + timeout
        while len(self.text) < characters and self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.002)
        return len(self.text) >= characters


def wait_until(condition, timeout, what):
    """The condition's first true value; fails with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain: {what() if callable(what) else what}")
        time.sleep(0.02)


def node_names(topology):
    return sorted(node["name"] for node in topology["nodes"]) if topology else []


def ready_stages(topology, model="exo-demo"):
    """Names of the devices of the model's ring in order, when it is ready; else None."""
    for instance in topology["instances"] if topology else []:
        if instance["model"] == model and instance["ready"] and not instance["stopped"]:
            return [stage["node_name"] for stage in instance["stages"]]
    return None
