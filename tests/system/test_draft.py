"""Whole devices with a draft model: the same answers, and clear words where it is not used."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from netlab import EXO, Stream, wait_until
from test_ring import ClusterTest

SOURCE = os.path.join(os.path.dirname(__file__), "../..")


def count(metrics, name, source):
    return sum(int(n) for n in re.findall(rf'exo_{name}_tokens_total{{[^}}]*source="{source}"}} (\d+)', metrics))


class Drafts(ClusterTest):
    def draft(self, node):
        return (node.try_topology() or {}).get("draft") or {}

    def wait_used(self, node):
        wait_until(lambda: any(target["used"] for target in self.draft(node).get("targets", [])), 20,
                   lambda: f"a draft model at work: {self.draft(node)}\n{self.logs()}")

    def answers(self, node):
        texts = []
        for prompt in ("What is exo?", "Tell me a story about a fox."):
            for sampling in ({"temperature": 0}, {"temperature": 0.9, "seed": 7}, {"temperature": 1, "top_k": 0, "seed": 3}):
                stream = Stream(node, prompt, max_tokens=120, ignore_eos=True, **sampling)
                stream.join(60)
                self.assertIsNone(stream.error, self.logs())
                texts.append(stream.text)
        return texts

    def ps(self, node):
        return subprocess.run(["ip", "netns", "exec", node.namespace, EXO, "ps"], capture_output=True, text=True, timeout=20).stdout

    def test_the_answers_are_the_same_and_the_guesses_right(self):
        lone = self.node("lone", "--draft-tokens", "0", memory="512MiB")
        self.wait_ready(lone, 1)
        expected = self.answers(lone)
        long = Stream(lone, max_tokens=600, ignore_eos=True)
        long.join(60)
        lone.stop()
        nodes = [self.node(f"node{i}", "--min-stages", "2", "--draft", "exo-demo") for i in (1, 2)]
        order = self.wait_ready(nodes[0], 2)
        first = next(node for node in nodes if node.name == order[0])
        self.wait_used(first)
        for node in nodes:  # any device takes requests
            self.assertEqual(self.answers(node), expected)
        metrics = first.text("/metrics")
        drafted, accepted = (count(metrics, name, "draft") for name in ("drafted", "accepted"))
        self.assertGreater(drafted, 50)
        self.assertEqual(accepted, drafted, "it guesses for itself")
        self.assertRegex(self.ps(first), r"exo-demo guesses for exo-demo: (\d+) of \1 tokens right")
        # The ring that remains goes on where the text was.
        streams = [Stream(first, max_tokens=600, ignore_eos=True) for _ in range(2)]
        self.assertTrue(streams[0].wait_for_text(100), streams[0].error)
        next(node for node in nodes if node is not first).kill()
        for stream in streams:
            stream.join(60)
            self.assertIsNone(stream.error, self.logs())
            self.assertEqual(stream.text, long.text)

    def test_one_device_alone(self):
        plain = self.node("plain", "--draft-tokens", "0")
        self.wait_ready(plain, 1)
        expected = self.answers(plain)
        plain.stop()
        node = self.node("node", "--draft", "exo-demo")
        self.wait_ready(node, 1)
        self.wait_used(node)
        self.assertEqual(self.answers(node), expected)

    def test_what_does_not_fit_is_said(self):
        other = self.node("other", "--draft", os.path.join(self.tiny(), "tiny.gguf"))
        self.wait_ready(other, 1)
        targets = wait_until(lambda: self.draft(other).get("targets"), 20, self.logs)
        wait_until(lambda: "why_not" in self.draft(other)["targets"][0], 20, lambda: f"{targets}\n{self.logs()}")
        self.assertIn("vocabular", self.draft(other)["targets"][0]["why_not"])
        self.assertRegex(self.ps(other), "draft model tiny does not guess for exo-demo: .*vocabular")
        self.assertIn("does not guess for exo-demo", other.log_text())

        small = self.node("small", "--draft", "exo-demo", memory="6MiB", model=None)
        problem = wait_until(lambda: self.draft(small).get("problem"), 20, self.logs)
        self.assertRegex(problem, r"exo-demo takes \d{7,} bytes with a cache of 1024 tokens, this device can use \d{7}")
        self.assertIn(problem, small.log_text())

        recurrent = self.node("recurrent", "--draft", os.path.join(SOURCE, "src/model/testdata/qwen3next.gguf"))
        problem = wait_until(lambda: self.draft(recurrent).get("problem"), 20, self.logs)
        self.assertIn("qwen3next", problem)
        self.wait_ready(recurrent, 1)

    def test_its_memory_is_not_given_to_stages(self):
        plain, drafting = self.node("plain", model=None), self.node("drafting", "--draft", "exo-demo", model=None)
        def budget(node):
            topology = node.try_topology() or {"nodes": []}
            return next((n["memory_budget_bytes"] for n in topology["nodes"] if n["self"]), 0)
        wait_until(lambda: budget(plain) == 64 << 20, 20, self.logs)
        wait_until(lambda: self.draft(drafting).get("bytes", 0) > 6 << 20, 20, self.logs)
        self.assertEqual(budget(drafting), (64 << 20) - self.draft(drafting)["bytes"])

    def tiny(self):
        folder = tempfile.mkdtemp(prefix="exo-tiny-")
        self.addCleanup(subprocess.run, ["rm", "-r", folder])
        subprocess.run([EXO, "synth", "--like", "tiny", "-o", os.path.join(folder, "tiny.gguf")], check=True, capture_output=True)
        return folder


if __name__ == "__main__":
    unittest.main(verbosity=2)
