"""Byte-level BPE (GPT-2's pre-tokenizer) and the chat format of exo-demo."""

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 2048
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = [END_OF_TEXT, START, END]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def documents(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def texts(path, limit):
    for i, document in enumerate(documents(path)):
        if i == limit:
            return
        if "text" in document:
            yield document["text"]
        else:
            yield from (f"{m['role']}\n{m['content']}" for m in document["messages"])


def train(corpus, out):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts(corpus, 30000), trainer)
    tokenizer.save(out)
    return tokenizer


class Chat:
    """Turns documents into token ids and says which of them the model has to learn."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.end_of_text, self.start, self.end = (tokenizer.token_to_id(t) for t in SPECIAL)
        self.newline = tokenizer.encode("\n").ids
        self.cache = {}

    def ids(self, text):
        return self.tokenizer.encode(text).ids

    def encode(self, document):
        """(ids, learn): learn[i] is true where ids[i] is the model's to say."""
        if "text" in document:
            ids = self.ids(document["text"]) + [self.end]
            return ids, [False] + [True] * (len(ids) - 1)
        ids, learn = [], []
        for message in document["messages"]:
            head = [self.start] + self.ids(message["role"] + "\n")
            body = self.ids(message["content"]) + [self.end]
            ids += head + body + self.newline
            learn += [False] * len(head) + [message["role"] == "assistant"] * len(body) + [False] * len(self.newline)
        return ids, learn

    def prompt(self, user):
        return ([self.start] + self.ids("user\n") + self.ids(user) + [self.end] + self.newline
                + [self.start] + self.ids("assistant\n"))
