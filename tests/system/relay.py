"""Slow links between namespaces: devices that reach each other only through relays, which hold bytes back for a delay
and let through so many per second. Bytes are passed on as they are: the links inside stay encrypted end to end."""
import queue
import socket
import threading
import time

from netlab import Network, _ip, inside

CHUNK = 64 << 10
PEER_PORT = 52416


class Relay:
    """Listens at `here` in namespace `middle` and joins every connection to one of its own, from namespace `far`, to
    `there`."""

    def __init__(self, middle, here, there, delay_s=0.0, bytes_per_s=0, far=None):
        self.far = far or middle
        self.middle, self.here, self.there, self.delay_s, self.bytes_per_s = middle, here, there, delay_s, bytes_per_s
        self.closed = False
        with inside(middle):
            self.listener = socket.create_server(here)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.closed:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                with inside(self.far):
                    server = socket.create_connection(self.there, timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pump(client, server)
            self.pump(server, client)

    def pump(self, source, sink):
        waiting = queue.Queue(maxsize=4096)

        def read():
            try:
                while chunk := source.recv(CHUNK):
                    waiting.put((time.monotonic() + self.delay_s, chunk))
            except OSError:
                pass
            waiting.put((0, b""))

        def write():
            free_at = 0.0
            while True:
                due, chunk = waiting.get()
                if not chunk:
                    break
                if self.bytes_per_s:
                    free_at = max(free_at, due - self.delay_s) + len(chunk) / self.bytes_per_s
                    due = max(due, free_at + self.delay_s)
                time.sleep(max(0.0, due - time.monotonic()))
                try:
                    sink.sendall(chunk)
                except OSError:
                    break
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        threading.Thread(target=read, daemon=True).start()
        threading.Thread(target=write, daemon=True).start()

    def close(self):
        self.closed = True
        self.listener.close()


class RelayedNetwork(Network):
    """Devices 10.78.N.2, each on a cable of its own to the middle, 10.78.N.1. Nothing is forwarded there but by relays."""

    def __init__(self, delay_s=0.0, bytes_per_s=0):
        super().__init__()
        self.delay_s, self.bytes_per_s, self.relays = delay_s, bytes_per_s, []

    def add_device(self):
        number = len(self.devices) + 1
        name, port = f"{self.prefix}d{number}", f"p{number}"
        _ip("netns", "add", name)
        _ip("-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("-n", self.switch, "addr", "add", f"10.78.{number}.1/24", "dev", port)
        _ip("-n", self.switch, "link", "set", port, "up")
        _ip("-n", name, "addr", "add", f"10.78.{number}.2/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        self.devices.append(name)
        return name

    def seeds(self, number):
        """Makes the relays from device `number` to all before it; returns the options of its node."""
        options = []
        for other in range(1, number):
            here = (f"10.78.{number}.1", 53000 + other)
            self.relays.append(Relay(self.switch, here, (f"10.78.{other}.2", PEER_PORT), self.delay_s, self.bytes_per_s))
            options += ["--peer", f"{here[0]}:{here[1]}"]
        return options

    def close(self):
        for relay in self.relays:
            relay.close()
        super().close()
