"""bench/compare and bench/accuracy with peers that are scripts: what they say is known, so what the commands make of it can
be checked."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

EXO = os.environ["EXO_BINARY"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = str(ROOT / "assets" / "exo-demo.gguf")

LLAMA_BENCH = """
import json, sys
o = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if "--help" in sys.argv: sys.exit(print("usage: " + HELP))
print("load: a warning")
numbers = lambda name: [int(x) for x in o[name].split(",")]
tests = [(p, 0) for p in numbers("-p") if p] + [(0, n) for n in numbers("-n") if n]
print(json.dumps([{"n_prompt": p, "n_gen": n, "n_threads": t, "avg_ts": 1000 * t + 10 * p + n + int(o.get("-d", 0))}
                  for t in numbers("-t") for p, n in tests], indent=1))
"""
BATCHED_BENCH = """
import sys
o = dict(zip(sys.argv[1::2], sys.argv[2::2]))
note = lambda *cells: print("|" + "|".join(f"{c:>8} " for c in cells) + "|", file=sys.stderr)
note("PP", "TG", "B", "N_KV", "S_PP t/s", "S_TG t/s")
note(*["------"] * 6)
for b in o["-npl"].split(","): note(o["-npp"], o["-ntg"], b, 0, 1.0, 100.0 * int(b) + int(o["-npp"]))
"""
# Its logits are exo's, as the file of llama-perplexity has them.
PERPLEXITY = """
import array, json, math, struct, subprocess, sys
o = dict(zip(sys.argv[1::2], sys.argv[2::2]))
def exo(*words, text=None):
    return json.loads(subprocess.run([EXO, "debug", words[0], "-m", o["-m"], *words[1:]], input=text, check=True,
                                     capture_output=True, text=True).stdout)
tokenize = lambda text: exo("tokenize", text=json.dumps({"text": text, "add_special": True}))["ids"]
context, chunks, out = int(o["-c"]), int(o["--chunks"]), o["--kl-divergence-base"]
tokens = tokenize(open(o["-f"]).read().removesuffix(chr(10)))[:context * chunks]
for start in range(0, len(tokens), context):
    chunk = (tokenize("")[:1] or tokens[start:start + 1]) + tokens[start + 1:start + context]
    n = exo("logits", "--tokens", ",".join(map(str, chunk)), "--kv-type", "F16", "--out", out + ".f32")["shape"][1]
    logits = array.array("f", open(out + ".f32", "rb").read())
    file = open(out, "ab" if start else "wb")
    if start == 0: file.write(struct.pack("<8s3i", b"_logits_", context, n, chunks) + array.array("i", tokens).tobytes())
    for at in range(context // 2, context - 1):
        row = logits[at * n:(at + 1) * n]
        norm = max(row) + math.log(sum(math.exp(x - max(row)) for x in row))
        low = max(min(row), max(row) - 16)
        step = (max(row) - low) / 65535
        file.write(struct.pack("<2f", step, low - norm))
        file.write(array.array("H", [max(0, round((x - low) / step)) for x in row] + [0] * (n % 2)).tobytes())
    file.close()
"""


class BenchTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def script(self, name, body, **constants):
        path = self.folder / name
        path.write_text(f"#!{sys.executable}\n" + "".join(f"{k} = {v!r}\n" for k, v in constants.items()) + body)
        path.chmod(0o755)
        return str(path)

    def bench(self, name, *arguments):
        return subprocess.run([sys.executable, str(ROOT / "bench" / name), MODEL, "--exo", EXO, *arguments],
                              capture_output=True, text=True, timeout=200)


class Compare(BenchTest):
    def results(self, help_text):
        command = self.script("llama-bench", LLAMA_BENCH, HELP=help_text)
        self.script("llama-batched-bench", BATCHED_BENCH)
        out = self.folder / "out.json"
        done = self.bench("compare", "--peer", f"one={command} -fa 1", "--peer", f"two={command}", "-p", "8", "-n", "4", "-b", "1,2",
                          "-d", "0,16", "-t", "1,2", "-r", "2", "--json", str(out))
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = {(r["engine"], r["test"], r["threads"]): r for r in json.loads(out.read_text())}
        return done.stdout, rows

    def test_every_cell_of_every_engine(self):
        table, rows = self.results("-d, --n-depth")
        expected = {"pp8": 1080, "tg4": 1004, "tg4 x2": 201, "pp8 @16": 1096, "tg4 @16": 116, "tg4 x2 @16": 216}
        for test, value in expected.items():
            for threads in (1, 2):
                for peer in ("one", "two"):
                    row = rows[peer, test, threads]
                    self.assertEqual(row["median_tokens_per_s"], value + (1000 * (threads - 1) if value > 1000 else 0), row)
                    self.assertEqual(len(row["samples_tokens_per_s"]), 2)
                ours = rows["exo", test, threads]["median_tokens_per_s"]
                self.assertGreater(ours, 0)
                line = next(x for x in table.splitlines() if x.startswith(f"exo-demo.gguf  {test:<14} {threads:>7} "))
                self.assertEqual(line.split()[-1], f"{ours / rows['two', test, threads]['median_tokens_per_s']:.2f}")
        self.assertEqual(len(rows), 3 * 2 * len(expected))

    def test_what_a_peer_cannot_measure_is_empty(self):
        _, rows = self.results("no such option")
        self.assertIn(("exo", "pp8 @16", 1), rows)
        self.assertNotIn(("one", "pp8 @16", 1), rows)
        self.assertIn(("one", "tg4 @16", 1), rows)

    def test_failures_are_told(self):
        broken = self.script("llama-bench", "import sys; print('no such model', file=sys.stderr); sys.exit(3)")
        done = self.bench("compare", "--peer", f"broken={broken}", "-p", "8", "-n", "4", "-t", "1", "-r", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("broken: exit status 3", done.stderr)
        self.assertIn("no such model", done.stderr)
        done = self.bench("compare", "--peer", "other=/bin/true", "-p", "0", "-b", "2", "-t", "1", "-r", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not name llama-bench", done.stderr)


class Accuracy(BenchTest):
    def setUp(self):
        super().setUp()
        self.text = self.folder / "text"
        self.text.write_text("Once upon a time there was a fox who lived near a lake. Every day the fox went to look at the water. "
                             "One day a bird came and asked what the fox was looking for.\n")

    def test_a_peer_with_our_logits_has_our_score(self):
        out = self.folder / "out.json"
        peer = self.script("llama-perplexity", PERPLEXITY, EXO=EXO)
        done = self.bench("accuracy", "--text", str(self.text), "--peer", f"same={peer}", "-c", "16", "--chunks", "2", "--json", str(out))
        self.assertEqual(done.returncode, 0, done.stderr)
        ours, theirs = json.loads(out.read_text())
        self.assertEqual((ours["engine"], theirs["engine"], ours["tokens"]), ("exo", "same", 14))
        self.assertGreater(ours["mean_kl"], 1e-7)  # activations of 8 bits do cost something
        self.assertLess(ours["mean_kl"], 1e-2)
        self.assertAlmostEqual(ours["mean_kl"], theirs["mean_kl"], delta=1e-6)
        self.assertAlmostEqual(ours["perplexity"], theirs["perplexity"], delta=1e-3 * ours["perplexity"])
        self.assertAlmostEqual(ours["perplexity"], ours["f32_perplexity"], delta=0.05 * ours["perplexity"])

    def test_token_ids(self):
        ids = self.folder / "ids"
        ids.write_text(" ".join(str(7 + i % 90) for i in range(20)))
        done = self.bench("accuracy", "--tokens", str(ids), "-c", "16")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[1].split()[:3], ["exo-demo.gguf", "exo", "7"])

    def test_failures_are_told(self):
        done = self.bench("accuracy", "--text", str(self.text), "--peer", "gone=/nowhere/llama-perplexity", "-c", "16")
        self.assertEqual(done.returncode, 1)
        self.assertIn("gone: cannot run /nowhere/llama-perplexity", done.stderr)
        done = self.bench("accuracy", "--text", str(self.text), "-c", "4096")
        self.assertIn("too few", done.stderr)


if __name__ == "__main__":
    unittest.main()
