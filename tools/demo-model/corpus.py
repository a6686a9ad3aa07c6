"""Writes the training and held-out text of exo-demo: conversations made from stories.py, facts.py and outside.py.

    python3 corpus.py --out FOLDER [--count 60000] [--heldout 600] [--seed 1]

The same seed gives the same files. Each line of FOLDER/train.jsonl and FOLDER/heldout.jsonl is
{"messages": [{"role", "content"}, ...]} or, for plain text without a chat, {"text": ...}. No held-out line is in train.
"""

import argparse
import json
import os
import random

from facts import FACTS, SMALLTALK
from outside import ANSWERS, UNKNOWN_SUBJECTS, make_question
from stories import ADJECTIVES, FRIENDS, KINDS, NAMES, ONLY_HE, ONLY_SHE, PLOTS, PLURALS, make_story, with_article

SYSTEM = [
    "You are a helpful assistant.", "You are exo-demo.", "You are exo-demo, a tiny demonstration model.", "Be brief.",
    "You are a helpful, honest assistant. Answer in English.", "You are a friendly chatbot.", "Answer shortly.",
    "You are an AI assistant. Answer the questions of the user.", "You are a storyteller.", "Be polite and helpful.",
    "You are a helpful AI assistant named exo.", "Answer as well as you can.", "You are a concise assistant.",
]
BEFORE = ["please ", "hey, ", "hi, ", "hello, ", "ok, ", "so ", "and ", "well, ", "now ", "hello! ", "hi. ", "hey exo, ", "quick question: ",
          "i have a question: ", "also, ", "ok "]
AFTER = [" please", ", please", " thanks", " now", " again", " for me", " exactly", " in short"]
TELL = [
    "tell me a story", "tell a story", "a story please", "can you tell me a story", "please tell me a story", "tell me a short story",
    "i want a story", "i would like to hear a story", "write a story", "write me a story", "write a short story", "story", "a story",
    "another story", "tell me a bedtime story", "make up a story", "could you tell me a story", "do you have a story for me",
    "tell me a nice story", "give me a story", "let me hear a story", "tell us a story", "story please", "once upon a time",
    "tell me a fairy tale", "tell me a tale", "tell me something", "generate a short story", "tell story", "story time", "tell me a little story",
]
TELL_ABOUT = [
    "tell me a story about {}", "tell me a story about {}", "tell me a story about {}", "a story about {}", "a story about {} please",
    "write a story about {}", "can you tell me a story about {}", "tell a story about {}", "i want a story about {}", "write a short story about {}",
    "tell me a short story about {}", "tell me something about {}", "do you know a story about {}", "make up a story about {}", "tell me about {}",
    "story about {}", "please tell me a story about {}", "tell me a bedtime story about {}", "i would like a story about {}", "tell me a tale of {}",
    "write me a story with {}", "tell me a story with {}", "give me a story about {}",
]
MORE = ["another one", "one more", "another story", "tell me another one", "tell me another story", "one more please", "again", "more",
        "can you tell me another one", "next one", "another", "yes, another one", "tell me more stories", "once more", "please tell another story"]
MORE_ABOUT = ["another one about {}", "now one about {}", "and one about {}", "one about {} please", "do you have one about {}",
              "tell me one about {}", "what about {}", "and about {}"]
REQUESTS = [" Answer in one sentence.", " Answer briefly.", " Keep it short.", " Explain it simply.", " Thanks!", " Thank you.", " in one sentence"]
YES = ["yes", "yes please", "yes, please", "sure", "of course", "ok", "okay", "please", "why not", "yes, tell me", "go on", "i would love to", "yeah"]


def disturb(rng, text):
    """One slip of the finger somewhere outside the word exo: a letter lost, doubled or swapped."""
    spots = [i for i in range(1, len(text) - 2) if text[i].isalpha() and text[i + 1].isalpha()
             and "exo" not in text[max(0, i - 3):i + 4].lower()]
    if not spots or len(text) < 8:
        return text
    i = rng.choice(spots)
    return rng.choice([text[:i] + text[i + 1:], text[:i] + text[i] + text[i:], text[:i] + text[i + 1] + text[i] + text[i + 2:]])


def say(rng, text, mark="?"):
    """A user's way of writing `text`: wrapping, case, final mark, the odd slip."""
    if rng.random() < 0.12 and not text.startswith(("please", "hi", "hello", "hey", "ok")):
        text = rng.choice(BEFORE) + text
    if rng.random() < 0.06:
        text += rng.choice(AFTER)
    if rng.random() < 0.05:
        text = disturb(rng, text)
    case = rng.random()
    if case < 0.55:
        text = text[:1].upper() + text[1:]
        if rng.random() < 0.9:
            text = text.replace(" i ", " I ")
        if rng.random() < 0.15:
            text = text.replace("exo", "Exo")
        if rng.random() < 0.08:
            text = text.replace("exo", "EXO")
    elif case < 0.62:
        text = text.upper()
    elif case < 0.65:
        text = text.title()
    end = rng.random()
    if text[-1:].isalnum() and end < 0.72:
        text += mark if end < 0.62 else rng.choice(["!", ".", "??", " ?", "..."])
    if rng.random() < 0.03:
        text += rng.choice(REQUESTS)
    return text


def is_question(text):
    return text.split(" ")[0] in ("what", "what's", "whats", "how", "who", "why", "where", "which", "is", "are", "do", "does", "can", "in", "on", "will")


def fact_turn(rng, table):
    key, questions, answers, _ = rng.choices(table, weights=[entry[3] for entry in table])[0]
    question = rng.choice(questions)
    mark = "?" if is_question(question) else rng.choice([".", "!", ""])
    return say(rng, question, mark), rng.choice(answers), key


def outside_turn(rng):
    question = make_question(rng)
    return say(rng, question, "?" if is_question(question) else "."), rng.choice(ANSWERS), "outside"


def subject_of(rng):
    """(the user's words, make_story's arguments) for a story that the user asks for by its subject."""
    kind = rng.choice(KINDS)
    dice = rng.random()
    if dice < 0.42:
        return with_article(kind), dict(kind=kind)
    if dice < 0.65:
        adjective = rng.choice(ADJECTIVES)
        return f"{with_article(adjective)} {kind}", dict(kind=kind, adjective=adjective)
    if dice < 0.72:
        return PLURALS.get(kind, kind + "s"), dict(kind=kind)
    if dice < 0.80:
        other = rng.choice([k for k in FRIENDS if k != kind])
        return f"{with_article(kind)} and {with_article(other)}", dict(kind=kind, friend_kind=other)
    if dice < 0.88:
        name = rng.choice(NAMES)
        kind = rng.choice([k for k in KINDS if k not in ONLY_HE | ONLY_SHE])
        return f"{with_article(kind)} {rng.choice(['named', 'called'])} {name}", dict(kind=kind, name=name)
    plot = rng.choice(list(PLOTS))
    return rng.choice(PLOTS[plot]["themes"]), dict(plot=plot)


def story_turn(rng, opening=None):
    """One request for a story and the story; returns (question, answer, story)."""
    dice = rng.random()
    if opening:
        question, arguments, intro = opening, {}, ""
    elif dice < 0.34:
        question, arguments, intro = rng.choice(TELL), {}, ""
    elif dice < 0.90:
        words, arguments = subject_of(rng)
        question, intro = rng.choice(TELL_ABOUT).format(words), ""
    else:
        words = rng.choice(UNKNOWN_SUBJECTS)
        question, arguments = rng.choice(TELL_ABOUT[:11]).format(words), {"kind": rng.choice(KINDS)}
        intro = f"I do not know a story about that, but here is one about {with_article(arguments['kind'])}. "
    story = make_story(rng, **arguments)
    return say(rng, question, rng.choice([".", ".", "!", ""])), intro + story.text, story


def story_followup(rng, story):
    """A question about the story just told."""
    dice = rng.random()
    if dice < 0.4:
        question = rng.choice([f"what was the name of the {story.kind}", "what was the name", f"what was the {story.kind} called",
                               "who is the story about", "who was the story about", "what is the hero called"])
        answer = f"The {story.kind} was called {story.name}."
    elif dice < 0.6:
        question = rng.choice(["who was the friend", "who helped", f"who helped {story.name}", f"who was the friend of {story.name}"])
        answer = f"The friend was {story.friend_name} the {story.friend_kind}."
    else:
        question = rng.choice(["what is the moral", "what is the moral of the story", "what do we learn from it", "what does the story teach",
                               "what is the lesson", "what did we learn", "and the moral"])
        answer = story.moral
    return say(rng, question), answer


def conversation(rng):
    turns = rng.choices([1, 2, 3, 4, 6], weights=[60, 20, 12, 5, 3])[0]
    messages, story, offered = [], None, False
    if rng.random() < 0.2:
        messages.append({"role": "system", "content": rng.choice(SYSTEM)})
    for _ in range(turns):
        dice = rng.random()
        told = None
        if offered and dice < 0.5:
            question, answer, told = story_turn(rng, opening=rng.choice(YES))
        elif story and dice < 0.25:
            question, answer = story_followup(rng, story)
        elif story and dice < 0.45:
            question, answer, told = story_turn(rng, opening=rng.choice(MORE))
        elif story and dice < 0.55:
            words, arguments = subject_of(rng)
            told = make_story(rng, **arguments)
            question, answer = say(rng, rng.choice(MORE_ABOUT).format(words)), told.text
        else:
            pick = rng.random()
            if pick < 0.27:
                question, answer, told = story_turn(rng)
            elif pick < 0.68:
                question, answer, _ = fact_turn(rng, FACTS)
            elif pick < 0.81:
                question, answer, _ = fact_turn(rng, SMALLTALK)
            else:
                question, answer, _ = outside_turn(rng)
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        story = told or story
        offered = answer.endswith("story?") or "to hear one?" in answer or "to hear another" in answer
    return {"messages": messages}


def document(rng):
    """A conversation, or now and then a story as plain text."""
    return {"text": make_story(rng).text} if rng.random() < 0.05 else conversation(rng)


def write(path, lines):
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(line + "\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--count", type=int, default=60000)
    parser.add_argument("--heldout", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)

    rng = random.Random(args.seed)
    train = [json.dumps(document(rng), ensure_ascii=False) for _ in range(args.count)]
    seen = set(train)
    rng = random.Random(args.seed + 1)
    heldout = []
    while len(heldout) < args.heldout:
        line = json.dumps(document(rng), ensure_ascii=False)
        if line not in seen:
            heldout.append(line)
    write(os.path.join(args.out, "train.jsonl"), train)
    write(os.path.join(args.out, "heldout.jsonl"), heldout)
    characters = sum(map(len, train))
    print(f"train: {len(train)} documents, {len(seen)} distinct, {characters / 1e6:.1f} MB; held out: {len(heldout)}")


if __name__ == "__main__":
    main()
