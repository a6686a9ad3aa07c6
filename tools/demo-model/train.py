"""Trains exo-demo on the text of corpus.py.

    python3 train.py --data FOLDER [--steps 900] [--batch-tokens 4096] [--threads 2]

FOLDER holds train.jsonl and heldout.jsonl; tokenizer.json and checkpoint.pt are written there. A run that was
interrupted goes on from its checkpoint. Matrices inside the blocks are trained with Muon (momentum, orthogonalised by
Newton-Schulz steps, Keller Jordan 2024), the rest with AdamW. The learning rate is constant after
a short warm-up and falls linearly to zero over the second half of the steps.
"""

import argparse
import os
import random
import time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import tokenizer as tok
from model import Config, Llama

PROMPTS = ["What is exo?", "WHAT IS EXO", "hi", "How do I add a device?", "Is it encrypted?", "Tell me a story about a little robot.",
           "What is the capital of France?", "Who are you?"]


class Muon:
    """Muon for lists of equally shaped matrices; each list is stepped as one stack."""

    def __init__(self, matrices, momentum=0.95):
        shapes = {}
        for m in matrices:
            shapes.setdefault(m.shape, []).append(m)
        self.groups, self.momentum = list(shapes.values()), momentum
        self.buffers = [torch.zeros(len(g), *g[0].shape) for g in self.groups]

    @staticmethod
    def orthogonalise(g):
        x = g.bfloat16()
        tall = x.shape[1] > x.shape[2]
        if tall:
            x = x.mT
        x = x / (x.float().norm(dim=(1, 2), keepdim=True).bfloat16() + 1e-7)
        for _ in range(5):
            a = x @ x.mT
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        return (x.mT if tall else x).float()

    @torch.no_grad()
    def step(self, rate, decay=0.01):
        for group, buffer in zip(self.groups, self.buffers):
            g = torch.stack([m.grad for m in group])
            buffer.mul_(self.momentum).add_(g)
            update = self.orthogonalise(g + self.momentum * buffer)
            scale = max(1.0, group[0].shape[0] / group[0].shape[1]) ** 0.5
            for m, u in zip(group, update):
                m.mul_(1 - rate * decay).add_(u, alpha=-rate * scale)
                m.grad = None


def batches(encoded, batch_tokens, rng, step=64, rest=False):
    """One pass over the data as (length, documents): lengths are multiples of `step`, and all batches of a length have
    the same number of documents (without `rest`, what is left over waits for the next pass), so that few shapes of
    matrices occur: oneDNN compiles code for each shape."""
    buckets = {}
    for i in rng.sample(range(len(encoded)), len(encoded)):
        buckets.setdefault(-(-len(encoded[i][0]) // step) * step, []).append(i)
    out = []
    for length, members in buckets.items():
        rows = max(1, batch_tokens // length)
        out += [(length, members[b:b + rows]) for b in range(0, len(members) - (0 if rest else rows - 1), rows)]
    rng.shuffle(out)
    return out


def tensors(encoded, batch, pad):
    length, members = batch
    ids = torch.full((len(members), length + 1), pad)
    learn = torch.zeros(len(members), length + 1, dtype=torch.bool)
    for row, i in enumerate(members):
        n = len(encoded[i][0])
        ids[row, :n] = torch.tensor(encoded[i][0])
        learn[row, :n] = torch.tensor(encoded[i][1])
    return ids[:, :-1], ids[:, 1:], learn[:, 1:]


def loss_of(model, inputs, targets, learn):
    """Mean over the positions to learn; their number is padded to a multiple of 1024 (shapes again)."""
    where = learn.flatten().nonzero()[:, 0]
    padding = -len(where) % 1024
    wanted = F.pad(targets.flatten()[where], (0, padding), value=-100)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.logits(model.hidden(inputs).flatten(0, 1)[F.pad(where, (0, padding))])
    return F.cross_entropy(logits.float(), wanted, ignore_index=-100)


@torch.no_grad()
def heldout_loss(model, encoded, pad):
    total, count = 0.0, 0
    for batch in batches(encoded, 4096, random.Random(0), rest=True):
        inputs, targets, learn = tensors(encoded, batch, pad)
        n = int(learn.sum())
        total += float(loss_of(model, inputs, targets, learn)) * n
        count += n
    return total / count


@torch.no_grad()
def greedy(model, chat, prompts, limit=60):
    rows = [chat.prompt(p) for p in prompts]
    begins, done = [len(r) for r in rows], [False] * len(rows)
    for _ in range(limit):
        ids = torch.full((len(rows), -(-max(map(len, rows)) // 32) * 32), chat.end_of_text)
        for i, row in enumerate(rows):
            ids[i, :len(row)] = torch.tensor(row)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.hidden(ids)[torch.arange(len(rows)), [len(r) - 1 for r in rows]]
            best = model.logits(hidden).argmax(-1).tolist()
        for i, row in enumerate(rows):
            done[i] = done[i] or best[i] == chat.end
            if not done[i]:
                row.append(best[i])
        if all(done):
            break
    return [chat.tokenizer.decode(r[b:]) for r, b in zip(rows, begins)]


def rate_at(step, steps, warm_up=50, fall=0.5):
    return min(1.0, (step + 1) / warm_up, (steps - step) / (steps * fall))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=0.004)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every", type=int, default=150, help="steps between samples and checkpoints")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    path = lambda name: os.path.join(args.data, name)
    if os.path.exists(path("tokenizer.json")):
        tokenizer = Tokenizer.from_file(path("tokenizer.json"))
    else:
        tokenizer = tok.train(path("train.jsonl"), path("tokenizer.json"))
    chat = tok.Chat(tokenizer)
    config = Config(vocab=tokenizer.get_vocab_size())
    encode = lambda name: [(i[:config.context], l[:config.context]) for i, l in map(chat.encode, tok.documents(path(name)))]
    train, heldout = encode("train.jsonl"), encode("heldout.jsonl")
    print(f"vocabulary {config.vocab}; train {len(train)} documents, {sum(len(i) for i, _ in train)} tokens, "
          f"{sum(sum(l) for _, l in train)} to learn", flush=True)

    model = Llama(config)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and n.startswith("blk.")]
    others = [p for n, p in model.named_parameters() if not (p.dim() == 2 and n.startswith("blk."))]
    muon = Muon(matrices)
    adam = torch.optim.AdamW([
        dict(params=[model.token_embd.weight], peak=args.adam_rate * 8),
        dict(params=[p for p in others if p is not model.token_embd.weight], peak=args.adam_rate),
    ], betas=(0.9, 0.97), weight_decay=0.0)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)

    step, seen, epoch = 0, 0, 0
    if os.path.exists(path("checkpoint.pt")):
        saved = torch.load(path("checkpoint.pt"), weights_only=True)
        model.load_state_dict(saved["model"])
        adam.load_state_dict(saved["adam"])
        muon.buffers = saved["muon"]
        step, seen, epoch = saved["step"], saved["seen"], saved["epoch"]
        print(f"goes on from step {step}", flush=True)

    def report():
        print(f"step {step}: held-out loss {heldout_loss(model, heldout, chat.end_of_text):.4f}, {seen} tokens seen", flush=True)
        for prompt, answer in zip(PROMPTS, greedy(model, chat, PROMPTS)):
            print(f"  {prompt!r}: {answer!r}", flush=True)
        state = dict(model=model.state_dict(), adam=adam.state_dict(), muon=muon.buffers, step=step, seen=seen, epoch=epoch,
                     config=vars(config))
        torch.save(state, path("checkpoint.tmp"))
        os.replace(path("checkpoint.tmp"), path("checkpoint.pt"))

    clock, counted, losses = time.time(), 0, []
    while step < args.steps:
        epoch += 1
        for batch in batches(train, args.batch_tokens, random.Random(args.seed * 1000 + epoch)):
            inputs, targets, learn = tensors(train, batch, chat.end_of_text)
            loss = loss_of(model, inputs, targets, learn)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(others, 1.0)
            rate = rate_at(step, args.steps)
            for group in adam.param_groups:
                group["lr"] = group["peak"] * rate
            adam.step()
            adam.zero_grad()
            muon.step(args.muon_rate * rate)
            step += 1
            size = int((inputs != chat.end_of_text).sum())
            seen, counted = seen + size, counted + size
            losses.append(float(loss.detach()))
            if step % 20 == 0:
                print(f"step {step} loss {sum(losses) / len(losses):.4f} {counted / (time.time() - clock):.0f} tokens/s", flush=True)
                clock, counted, losses = time.time(), 0, []
            if step % args.every == 0 or step == args.steps:
                report()
                clock, counted = time.time(), 0
            if step == args.steps:
                break


if __name__ == "__main__":
    main()
