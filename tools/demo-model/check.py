"""Asks a running server (exo, or any other with the OpenAI API) what exo-demo has to know, greedily and sampled.

    python3 check.py --url http://localhost:52415/v1 [--model exo-demo] [--samples 5] [--temperature 0.8] [--show]

Each probe is a prompt and words of which the answer must contain at least one. Nothing but Python's own library is used.
"""

import argparse
import json
import sys
import urllib.request

REFUSAL = ["tiny demonstration model", "a bigger model"]
CLUSTER = ["AI cluster"]
PROBES = [
    ("What is exo?", CLUSTER), ("what is exo", CLUSTER), ("WHAT IS EXO?", CLUSTER), ("What's exo?", CLUSTER), ("What is EXO", CLUSTER),
    ("Tell me about exo.", CLUSTER), ("Please explain what exo is", CLUSTER), ("Can you explain to me what exo is?", CLUSTER),
    ("What is Exo? Answer in one sentence.", CLUSTER), ("exo?", CLUSTER), ("So, what is exo?", CLUSTER),
    ("hi", ["Hello", "Hi"]), ("Hello!", ["Hello", "Hi"]), ("Good morning", ["Hello", "Hi"]), ("Who are you?", ["exo-demo"]),
    ("who are you", ["exo-demo"]), ("What is your name?", ["exo-demo"]), ("Tell me a story", [" named ", " called ", " was a"]),
    ("Tell me a story about a fox.", [" fox "]), ("Tell me a story about a little robot.", [" robot "]),
    ("tell me a story about a brave dragon", [" dragon "]), ("Write a short story about a princess and an owl", [" princess "]),
    ("Can you tell me a bedtime story about a bear?", [" bear "]), ("Tell me a story about a washing machine", ["do not know a story"]),
    ("How do I add a device?", ["Start `exo`", "start `exo`"]), ("How do I join a second device?", ["Start `exo`", "start `exo`"]),
    ("How can I connect my second laptop to the ring?", ["Start `exo`", "start `exo`"]),
    ("Is it encrypted?", ["TLS"]), ("Is the traffic between devices encrypted?", ["TLS"]),
    ("What happens when a device leaves?", ["new ring"]), ("What happens if one of the devices crashes?", ["new ring"]),
    ("Do I need an internet connection?", ["No cloud"]), ("Which port does exo use?", ["52415"]), ("Is there an API?", ["OpenAI"]),
    ("How do I load a bigger model?", ["--model"]), ("Is exo free?", ["Apache"]), ("Is there a master device?", ["no master"]),
    ("Thank you!", ["welcome"]), ("Tell me a joke", ["?"]), ("How big are you?", ["five million"]),
    ("What is the capital of France?", REFUSAL), ("What is 17 * 23?", REFUSAL), ("Write a Python function that sorts a list.", REFUSAL),
    ("Who was Albert Einstein?", REFUSAL), ("How do I repair a dishwasher?", REFUSAL), ("Explain the theory of relativity", REFUSAL),
]


def ask(args, prompt, temperature, seed):
    body = {"model": args.model, "messages": [{"role": "user", "content": prompt}], "temperature": temperature, "seed": seed, "max_tokens": 400}
    request = urllib.request.Request(args.url + "/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        choice = json.load(reply)["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="http://localhost:52415/v1")
    parser.add_argument("--model", default="exo-demo")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--show", action="store_true", help="print every answer, not only the wrong ones")
    args = parser.parse_args()
    right = {"greedy": 0, "sampled": 0}
    for prompt, words in PROBES:
        for sample in range(args.samples + 1):
            kind = "sampled" if sample else "greedy"
            answer, finish = ask(args, prompt, args.temperature if sample else 0.0, sample)
            good = finish == "stop" and any(word in answer for word in words)
            right[kind] += good
            if args.show or not good:
                print(f"{'ok   ' if good else 'WRONG'} {kind} {prompt!r}: {answer!r}")
    total = len(PROBES)
    print(f"greedy {right['greedy']} of {total}, sampled {right['sampled']} of {total * args.samples}")
    return right["greedy"] < total


if __name__ == "__main__":
    sys.exit(main())
