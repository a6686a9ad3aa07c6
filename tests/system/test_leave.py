"""Devices that leave, join and stall on purpose, in network namespaces: what a client sees of it."""
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from netlab import EXO, Node, Stream, node_names, ready_stages, wait_until
from test_ring import LONG, SPLIT_MEMORY, ClusterTest

ROOMY = "64MiB"  # exo-demo fits several times
PROMPTS = ["Tell me a story about a fox.", "What is exo?", "Why is the sky blue?", "Count to a hundred."]
LONGER = {"ignore_eos": True, "max_tokens": 900}


def pauses(stream, since):
    """(longest pause between two pieces of text, longest of those that end after `since`), in seconds."""
    gaps = [(b - a, b) for a, b in zip(stream.arrivals, stream.arrivals[1:])]
    return max((gap for gap, _ in gaps), default=0), max((gap for gap, end in gaps if end >= since), default=0)


class LeaveTest(ClusterTest):
    def roomy_ring(self, count, stages, *options):
        """`count` devices with room for two rings each, and the model on `stages` of them; the ring's devices first."""
        nodes = [self.node(f"node{i + 1}", "--min-stages", str(stages), *options, memory=ROOMY, context=4096, model=None)
                 for i in range(count)]
        self.wait_members(nodes, [node.name for node in nodes])
        status, plan = nodes[0].request("POST", "/v1/instances",
                                        {"model": "exo-demo", "context": 4096, "min_stages": stages})
        self.assertEqual(status, 202, plan)
        ring = None
        for node in nodes:
            ring = self.wait_ready(node)
        return sorted(nodes, key=lambda node: ring.index(node.name) if node.name in ring else len(ring))

    def undisturbed(self, prompts):
        """What one device alone answers at length."""
        lone = Node(self.network.add_device(), "reference", memory="512MiB", context=4096)
        try:
            self.wait_ready(lone, 1)
            texts = []
            for prompt in prompts:
                stream = Stream(lone, prompt, **LONGER)
                stream.join()
                self.assertIsNone(stream.error)
                texts.append(stream.text)
            return texts
        finally:
            lone.stop()
            lone.close()

    def check(self, stream, expected):
        stream.join(60)
        self.assertFalse(stream.is_alive(), "the stream hangs")
        self.assertIsNone(stream.error, self.logs())
        self.assertTrue(stream.done)
        self.assertEqual(stream.text, expected)


class Leaves(LeaveTest):
    def check_leave(self, place, how, count=3):
        expected = self.undisturbed(PROMPTS)
        nodes = self.roomy_ring(count, count)
        leaver, front = nodes[place], nodes[1 if place == 0 else 0]
        streams = [Stream(front, prompt, **LONGER) for prompt in PROMPTS]
        for stream in streams:
            self.assertTrue(stream.wait_for_text(20), f"{stream.error}\n{self.logs()}")
        asked_at = time.monotonic()
        how(leaver, front)
        self.assertEqual(leaver.process.wait(timeout=20), 0, self.logs())
        left_at = time.monotonic()
        for stream, text in zip(streams, expected):
            self.check(stream, text)
        self.assertGreater(max(stream.arrivals[-1] for stream in streams), left_at - 0.3, "they were over before the leave")
        longest = max(pauses(stream, asked_at)[1] for stream in streams)
        print(f"stage {place + 1} of {count} left within {left_at - asked_at:.2f} s: longest pause {1000 * longest:.0f} ms",
              file=sys.stderr)
        self.assertLess(longest, 0.5)
        self.assertEqual(len(self.wait_ready(front, count - 1)), count - 1)
        metrics = front.text("/metrics")
        self.assertRegex(metrics, r"exo_requests_moved_total [1-9]")
        self.assertRegex(metrics, r"exo_requests_resumed_total 0\n")

    def test_stopping_the_first_stage(self):
        self.check_leave(0, lambda leaver, _: leaver.signal(signal.SIGTERM))

    def test_stopping_a_middle_stage(self):
        self.check_leave(1, lambda leaver, _: leaver.signal(signal.SIGINT))

    def test_stopping_the_last_stage(self):
        self.check_leave(2, lambda leaver, _: leaver.signal(signal.SIGTERM))

    def test_asked_for_on_another_device(self):
        def leave(leaver, front):
            said = subprocess.run(["ip", "netns", "exec", front.namespace, EXO, "leave", leaver.name],
                                  capture_output=True, text=True, timeout=40)
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertIn("has left", said.stdout)
        self.check_leave(1, leave)

    def test_the_front_finishes_what_its_clients_asked(self):
        _, _, expected = self.reference([])
        nodes = self.roomy_ring(3, 2)
        stream = Stream(nodes[0], **LONG)
        self.assertTrue(stream.wait_for_text(120), stream.error)
        nodes[0].signal(signal.SIGTERM)
        wait_until(lambda: nodes[0].request("POST", "/v1/chat/completions", {
            "messages": [{"role": "user", "content": "x"}]})[0] == 503, 5, "new requests must be refused")
        self.check(stream, expected)
        self.assertEqual(nodes[0].process.wait(timeout=10), 0)
        self.wait_ready(nodes[1], 2)

    def test_where_nobody_can_take_over_it_says_so(self):
        nodes = self.ring(2)
        stream = Stream(nodes[1], **{**LONG, "max_tokens": 200})
        self.assertTrue(stream.wait_for_text(60), stream.error)
        nodes[0].signal(signal.SIGTERM)
        stream.join(20)
        self.assertIsNone(stream.error, "the answer that ran could be finished")
        self.assertEqual(nodes[0].process.wait(timeout=15), 0)
        self.assertIn("cannot run without this device", nodes[0].log_text())
        wait_until(lambda: nodes[1].topology()["instances"][0]["problem"], 10, "the instance has a problem")

    def test_the_second_signal_leaves_at_once(self):
        nodes = self.roomy_ring(2, 2)
        stream = Stream(nodes[0], **{**LONG, "max_tokens": 3500})
        self.assertTrue(stream.wait_for_text(60), stream.error)
        nodes[0].signal(signal.SIGTERM)
        time.sleep(0.2)
        nodes[0].signal(signal.SIGTERM)
        begin = time.monotonic()
        self.assertEqual(nodes[0].process.wait(timeout=10), 0)
        self.assertLess(time.monotonic() - begin, 3)
        stream.join(10)
        self.assertIn("has left the cluster", stream.error or "")


class CarriedCaches(LeaveTest):
    STORY = "The fox went over the hill and looked for its friends. " * 50 + "Tell me more about it."  # of 1,024 tokens about 700

    def carried(self, nodes):
        """Blocks that the schedulers on these nodes have taken over."""
        counts = [re.findall(r"^exo_kv_blocks_carried_total\{.*\} (\d+)$", node.text("/metrics"), re.M) for node in nodes]
        return sum(int(count) for found in counts for count in found)

    def check_second_turn(self, node, first_answer):
        messages = [{"role": "user", "content": self.STORY}, {"role": "assistant", "content": first_answer[:200]},
                    {"role": "user", "content": "And then?"}]
        status, body = node.request("POST", "/v1/chat/completions",
                                    {"model": "exo-demo", "messages": messages, "temperature": 0, "max_tokens": 20})
        self.assertEqual(status, 200, body)
        usage = body["usage"]
        self.assertGreater(usage["prompt_tokens_details"]["cached_tokens"], 600, f"{usage}\n{self.logs()}")

    def test_a_leave_takes_the_cache_along(self):
        for place in (0, 1):
            with self.subTest(stage=place):
                expected, = self.undisturbed([self.STORY])
                nodes = self.roomy_ring(3, 2)
                leaver, front = nodes[place], nodes[2]
                stream = Stream(front, self.STORY, **LONGER)
                self.assertTrue(stream.wait_for_text(20), f"{stream.error}\n{self.logs()}")
                leaver.signal(signal.SIGTERM)
                self.assertEqual(leaver.process.wait(timeout=20), 0, self.logs())
                self.check(stream, expected)
                rest = [node for node in nodes if node is not leaver]
                self.assertGreaterEqual(self.carried(rest), 20, self.logs())
                self.check_second_turn(front, expected)
                for node in rest:
                    node.stop()

    def test_a_history_outlives_the_ring_that_computed_it(self):
        nodes = self.roomy_ring(3, 2)
        stream = Stream(nodes[2], self.STORY, max_tokens=100, ignore_eos=True)
        stream.join(60)
        self.assertIsNone(stream.error, self.logs())
        nodes[1].signal(signal.SIGTERM)
        self.assertEqual(nodes[1].process.wait(timeout=20), 0, self.logs())
        self.wait_ready(nodes[2], 2)
        self.check_second_turn(nodes[2], stream.text)


class Joins(LeaveTest):
    def slow(self, node, factor):
        """Makes the node believe that it is slower."""
        node.stop()
        path = node.folder / "data" / "device.json"
        kept = json.loads(path.read_text())
        kept["measured_at"] = time.time()
        for key in ("memory_bandwidth_bytes_per_s", "int8_ops_per_s", "f32_flops_per_s"):
            kept[key] /= factor
        kept["formats"] = {}
        path.write_text(json.dumps(kept))
        node.start()

    def test_a_device_that_helps_is_used_without_a_pause(self):
        _, _, expected = self.reference([])
        first = self.node("first", memory=ROOMY)
        self.wait_ready(first, 1)
        self.slow(first, 1000)
        self.wait_ready(first, 1)
        stream = Stream(first, **LONG)
        self.assertTrue(stream.wait_for_text(20), stream.error)
        second = self.node("second", memory=ROOMY, model=None)
        began = time.monotonic()
        streams = [stream]
        def moved():
            if not streams[-1].is_alive():
                streams.append(Stream(first, **LONG))
            return ready_stages(second.try_topology()) and len(ready_stages(second.try_topology())) == 2
        wait_until(moved, 90, lambda: f"{first.try_topology()}\n{self.logs()}")
        took = time.monotonic() - began
        for each in streams:
            self.check(each, expected)
        longest = max(pauses(each, began)[1] for each in streams)
        print(f"a second device took part after {took:.1f} s: longest pause {1000 * longest:.0f} ms", file=sys.stderr)
        self.assertLess(longest, 0.5)
        self.assertIn("faster", first.log_text() + second.log_text())
        self.assertRegex(first.log_text() + second.log_text(), r"[1-9]\d* of \d+ cached blocks \(.*\) carried over")
        self.assertTrue(self.answer(second))

    def test_off_means_off(self):
        first = self.node("first", "--rebalance", "off", memory=ROOMY)
        self.wait_ready(first, 1)
        self.slow(first, 1000)
        self.wait_ready(first, 1)
        self.node("second", "--rebalance", "off", memory=ROOMY, model=None)
        time.sleep(16)
        self.assertEqual(ready_stages(first.topology()), ["first"])


class Stalls(LeaveTest):
    def check_stall(self, place):
        _, _, expected = self.reference([])
        nodes = self.roomy_ring(3, 3)
        front = nodes[1 if place == 0 else 0]
        stream = Stream(front, **LONG)
        self.assertTrue(stream.wait_for_text(120), stream.error)
        stopped_at = time.monotonic()
        nodes[place].signal(signal.SIGSTOP)
        self.check(stream, expected)
        self.assertEqual(len(self.wait_ready(front, 2)), 2)
        pause = pauses(stream, stopped_at)[1]
        print(f"SIGSTOP of stage {place + 1} of 3: longest pause {pause:.2f} s", file=sys.stderr)
        self.assertLess(pause, 5)
        nodes[place].signal(signal.SIGCONT)
        self.wait_members(nodes, [node.name for node in nodes])
        wait_until(lambda: ready_stages(nodes[place].try_topology()), 20, lambda: self.logs())
        self.assertEqual(self.answer(nodes[place]), self.answer(front))

    def test_first_stage(self):
        self.check_stall(0)

    def test_last_stage(self):
        self.check_stall(2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
