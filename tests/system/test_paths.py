"""Devices with two networks: the link between them ends on the better one, and survives its end in mid-answer."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from netlab import EXO, Stream, wait_until
from test_ring import SPLIT_MEMORY, ClusterTest
from two_networks import TwoNetworks

ANSWER = {"ignore_eos": True, "max_tokens": 400}


class TwoNetworksTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.network = TwoNetworks(delay_s=0.008, bytes_per_s=3e6)
        self.addCleanup(self.network.close)

    def paths(self, node):
        """Remote address → path of the node's one link that could run over several pairs of addresses."""
        topology = node.try_topology() or {"links": []}
        return {path["remote"]: path for link in topology["links"] for path in link.get("paths", [])}

    def in_use(self, node):
        return next((remote for remote, path in self.paths(node).items() if path["in_use"]), None)

    def wait_in_use(self, nodes, prefix, timeout):
        wait_until(lambda: all((self.in_use(node) or "").startswith(prefix) for node in nodes), timeout,
                   lambda: f"links over {prefix}: {[self.paths(node) for node in nodes]}\n{self.logs()}")

    def epoch(self, node):
        return [(i["model"], i["epoch"]) for i in node.topology()["instances"]]

    def undisturbed_links(self, nodes):
        for node in nodes:
            self.assertNotRegex(node.log_text(), r"link with node\d .*ended", self.logs())


class Paths(TwoNetworksTest):
    def test_the_link_ends_on_the_good_network_and_an_answer_survives_its_end(self):
        nodes = [self.node("node1", "--peer", "10.79.0.2", memory=SPLIT_MEMORY, model=None),
                 self.node("node2", memory=SPLIT_MEMORY, model=None)]
        expected = self.reference_text()
        self.wait_members(nodes, ["node1", "node2"])
        self.wait_in_use(nodes, "10.77.", 40)

        # Both pairs were measured, and people see it.
        def measured():
            paths = self.paths(nodes[0])
            return len(paths) == 2 and all(path["round_trip_us"] > 0 for path in paths.values()) and paths
        paths = wait_until(measured, 20, lambda: self.paths(nodes[0]))
        self.assertGreater(paths["10.79.0.2"]["round_trip_us"], 16_000)
        self.assertLess(paths["10.77.0.2"]["round_trip_us"], paths["10.79.0.2"]["round_trip_us"])
        self.assertLess(paths["10.79.0.2"]["bandwidth_bytes_per_s"], 6e6)
        self.assertEqual(paths["10.77.0.2"]["interface"], "eth0")
        for command in ("ps", "doctor"):
            self.assertRegex(self.run_there(nodes[0], command), r"node2: 10\.77\.0\.1 → 10\.77\.0\.2 over eth0, .*in use")

        status, plan = nodes[0].request("POST", "/v1/instances", {"model": "exo-demo", "context": 1024})
        self.assertEqual(status, 202, plan)
        for node in nodes:
            self.wait_ready(node, 2)
        before = self.epoch(nodes[0])
        stream = Stream(nodes[0], **ANSWER)
        self.assertTrue(stream.wait_for_text(60), stream.error)
        cut_at = time.monotonic()
        self.network.cut(nodes[0].namespace)
        self.wait_in_use(nodes, "10.79.", 5)
        print(f"on the other network {time.monotonic() - cut_at:.2f} s after the cable was pulled", file=sys.stderr)
        self.assertTrue(stream.is_alive(), "the answer must have been under way")
        stream.join(60)
        self.assertIsNone(stream.error, self.logs())
        self.assertEqual(stream.text, expected)
        self.assertEqual(self.epoch(nodes[0]), before, "no new epoch: the ring has noticed nothing")
        self.undisturbed_links(nodes)

        self.network.cut(nodes[0].namespace, up=True)
        self.wait_in_use(nodes, "10.77.", 90)
        self.undisturbed_links(nodes)

    def reference_text(self):
        lone = self.node("reference", memory="512MiB", context=2048)
        self.network.cut(lone.namespace)  # alone
        self.wait_ready(lone, 1)
        stream = Stream(lone, **ANSWER)
        stream.join()
        self.assertIsNone(stream.error)
        lone.stop()
        self.nodes.remove(lone)
        return stream.text

    def run_there(self, node, command):
        arguments = ["--data-dir", str(node.folder / "data")] if command == "doctor" else []
        done = subprocess.run(["ip", "netns", "exec", node.namespace, EXO, command, *arguments], capture_output=True,
                              text=True, timeout=60)
        return done.stdout + done.stderr


if __name__ == "__main__":
    unittest.main(verbosity=2)
