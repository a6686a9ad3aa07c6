"""Small clusters on one machine for benchmarks: nodes in network namespaces, links with a delay, models placed as asked,
clients that measure. Needs the right to make namespaces (root).

Devices measure themselves when they are idle; here several of them share the machine's cores, so each kind of device is
measured once, alone, and the others of that kind start with its rates (see `rates_of`)."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "system"))
import netlab  # noqa: E402
from relay import Relay, RelayedNetwork  # noqa: E402

WORDS = ["ring", "tree", "lake", "wind", "stone", "light", "river", "cloud"]
RPC_PORT = 50052


def prompt_of(n_words, seed):
    """Words that no cache knows: the first differs from prompt to prompt."""
    generator = random.Random(seed)
    return f"{seed} " + " ".join(generator.choice(WORDS) for _ in range(n_words))


class MeasuredNode(netlab.Node):
    """A node that starts with rates measured before, and computes nothing for others unless asked."""

    def __init__(self, namespace, name, rates, model_folder, threads, memory, context, *options):
        self.rates = rates
        super().__init__(namespace, name, "--model-dir", str(model_folder), "--rebalance", "off", "--draft-tokens", "0", *options,
                         model=None, memory=memory, context=context, threads=threads)

    def start(self):
        if self.rates:
            (self.folder / "data").mkdir(exist_ok=True)
            shutil.copy(self.rates, self.folder / "data" / "device.json")
        super().start()


def rates_of(threads, folder):
    """A file with the rates of a device of so many threads, measured alone and kept in `folder`."""
    kept = pathlib.Path(folder) / f"device-{threads}.json"
    if kept.exists():
        return kept
    network = netlab.Network()
    node = None
    try:
        node = MeasuredNode(network.add_device(), "alone", None, folder, threads, "4GiB", 1024)
        netlab.wait_until(lambda: (t := node.try_topology()) and t["nodes"][0]["format_rates"], 90, node.log_text)
        netlab.wait_until(lambda: json.loads((node.folder / "data" / "device.json").read_text())["measured_at"], 10, node.log_text)
        shutil.copy(node.folder / "data" / "device.json", kept)
        return kept
    finally:
        if node:
            node.close()
        network.close()


class Field:
    """Nodes `node1`… that know each other; `devices` has (threads, memory) of each. Links of 0 ms are a switch; others
    lead through relays that hold bytes back for so long in each direction."""

    def __init__(self, devices, delay_ms, model, rates_folder, context=4096):
        self.model, self.delay_ms = pathlib.Path(model).resolve(), delay_ms
        self.context, self.nodes, self.relays = context, [], []
        self.network = RelayedNetwork(delay_ms / 1e3) if delay_ms else netlab.Network()
        rates = {threads: rates_of(threads, rates_folder) for threads, _ in devices}
        try:
            for number, (threads, memory) in enumerate(devices, 1):
                self.network.add_device()
                seeds = self.network.seeds(number) if delay_ms else []
                self.nodes.append(MeasuredNode(self.network.devices[-1], f"node{number}", rates[threads], self.model.parent, threads,
                                               memory, context, *seeds))
            netlab.wait_until(self.is_complete, 60, lambda: f"{len(devices)} nodes\n{self.nodes[0].log_text()}")
        except BaseException:
            self.close()
            raise

    def is_complete(self):
        topology = self.nodes[0].try_topology()
        n = len(self.nodes)
        if not topology or len(topology["nodes"]) != n:
            return False
        measured = [link for link in topology["links"] if link["round_trip_us"] and link["bandwidth_bytes_per_s"]]
        return len(measured) == n * (n - 1) and any(m["name"] == self.model.stem for m in topology["models"])

    def address(self, number):
        """Of device `number` (1…), as device 1 reaches it."""
        return f"10.78.{number}.2" if self.delay_ms else f"10.77.0.{number}"

    def reach(self, number, port):
        """HOST:PORT at which device 1 reaches `port` of device `number` over a link of the field's delay."""
        if not self.delay_ms:
            return f"{self.address(number)}:{port}"
        here = ("10.78.1.1", port + number)
        self.relays.append(Relay(self.network.switch, here, (self.address(number), port), self.delay_ms / 1e3))
        return f"{here[0]}:{here[1]}"

    def instance(self):
        topology = self.nodes[0].try_topology() or {"instances": []}
        return next((i for i in topology["instances"] if i["model"] == self.model.stem), None)

    def place(self, strategy, objective="latency", stages=None, **fields):
        """Places the model and waits until it is there. Returns the plan; None where it does not fit."""
        before = self.instance()
        body = {"model": self.model.stem, "strategy": strategy, "objective": objective, "context": self.context, **fields}
        if stages:
            body["stages"] = [{"node": node, "layers": layers} for node, layers in stages]
        status, plan = self.nodes[0].request("POST", "/v1/instances", body)
        if status >= 400:
            return None

        def is_there():
            now = self.instance()
            return now and now["ready"] and not now["stopped"] and not now["successor"] and (
                not before or now["epoch"] > before["epoch"])

        netlab.wait_until(is_there, 120, lambda: f"{strategy} on {len(self.nodes)} nodes\n{self.nodes[0].log_text()}")
        return plan

    def close(self):
        for node in self.nodes:
            node.close()
        for relay in self.relays:
            relay.close()
        self.network.close()


def layers_of(plan):
    """[(node, layers)] in ring order; a group's nodes are joined by +."""
    return [("+".join(m["node_name"] for m in stage["members"]) or stage["node_name"], stage["layers"][1] - stage["layers"][0])
            for stage in plan["stages"]]


def run_clients(server, model, clients, tokens, prompt_words, seed):
    """{ttft_s, per_token_s (medians over clients), tokens_per_s (of all, from the first request to the last token)}"""
    began = time.monotonic()
    streams = [netlab.Stream(server, prompt_of(prompt_words, seed * 1000 + i), model=model, max_tokens=tokens, ignore_eos=True,
                             cache_prompt=False) for i in range(clients)]
    for stream in streams:
        stream.join()
        if stream.error or not stream.arrivals:
            raise SystemExit(f"{model}, {clients} clients: {stream.error or 'no text'}")
    ended = max(s.ended_at for s in streams)
    return {"ttft_s": statistics.median(s.arrivals[0] - began for s in streams),
            "per_token_s": statistics.median((s.ended_at - s.arrivals[0]) / max(1, s.tokens - 1) for s in streams),
            "tokens_per_s": sum(s.tokens for s in streams) / (ended - began)}


@contextlib.contextmanager
def rates_folder(given):
    """The folder for rates_of: the given one, or one for this run."""
    if given:
        os.makedirs(given, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder
