"""A grammar of short stories: who, where, what goes wrong, who helps, how it ends, what was learnt.

`make_story(rng, ...)` returns a Story. Names decide pronouns, so that a story is consistent in itself.
A plot is a list of beats; a beat is a list of wordings; a wording has slots:
  {N} hero's name   {k} hero's kind   {s} {S} {o} {p} he/He/him/his (or she/She/her/her)
  {F} friend's name {fk} friend's kind {fs} {fS} {fo} {fp}
  and the plot's own slots, each chosen once per story.
"""

from dataclasses import dataclass

BOYS = "Milo Tom Finn Oscar Leo Ben Max Otto".split()
GIRLS = "Ruby Lily Mia Nora Ella Zoe Anna Rosa".split()
NAMES = BOYS + GIRLS

# kind -> where it lives
HOMES = {
    "fox": "at the edge of the forest",
    "rabbit": "in a burrow under the hill",
    "bear": "in a warm cave in the mountains",
    "cat": "in a yellow house by the sea",
    "dog": "on a farm near the river",
    "mouse": "in a hole behind the bakery",
    "owl": "in an old oak tree",
    "hedgehog": "under a pile of leaves in the garden",
    "turtle": "beside a quiet pond",
    "duck": "by the green lake",
    "frog": "on a stone in the pond",
    "squirrel": "high up in a walnut tree",
    "bird": "in a nest above the meadow",
    "dragon": "on top of a misty mountain",
    "robot": "in a workshop at the end of the street",
    "girl": "in a small village by the river",
    "boy": "in a small house near the woods",
    "elephant": "on the wide plain",
    "penguin": "on a snowy island",
    "snail": "in the vegetable garden",
    "lion": "under a tall tree on the plain",
    "pig": "on a little farm",
    "goat": "on a rocky hill",
    "horse": "in a stable by the meadow",
    "wolf": "in the deep forest",
    "monkey": "in the jungle",
    "kitten": "in a basket by the stove",
    "puppy": "in a house with a red door",
    "princess": "in a castle on a hill",
    "knight": "in a stone tower",
    "wizard": "in a crooked tower in the woods",
    "sailor": "in a little house at the harbour",
    "farmer": "on a farm in the valley",
    "bee": "in a hive under the roof",
}
KINDS = list(HOMES)
PLURALS = {"mouse": "mice", "wolf": "wolves", "fox": "foxes", "puppy": "puppies", "princess": "princesses"}
ONLY_HE = {"boy"}
ONLY_SHE = {"girl", "princess"}
ADJECTIVES = "little small young kind brave curious clever shy".split()
FRIENDS = "fox rabbit bear mouse owl hedgehog turtle duck squirrel robot dog goat".split()

OPENINGS = [
    "Once upon a time, there was {a} {k} named {N}. {S} lived {home}.",
    "Once upon a time, {a} {k} named {N} lived {home}.",
    "{N} was {a} {k} who lived {home}.",
    "There once was {a} {k} called {N}. {S} lived {home}.",
]

PLOTS = {
    "lost": {
        "themes": ["a lost toy", "something that was lost", "looking for something"],
        "slots": {
            "thing": ["red ball", "shiny key", "blue kite", "silver bell", "little drum", "yellow hat"],
            "spot": ["under the old bridge", "behind the barn", "in the tall grass", "beside the well"],
        },
        "beats": [
            ["{N} had a {thing} and loved it very much.", "The thing {N} loved most was a {thing}."],
            ["One morning the {thing} was gone. {N} looked everywhere, but {s} could not find it.",
             "But one day {s} could not find the {thing} anywhere, and {s} began to cry."],
            ["{F} the {fk} came by and asked, \"Why are you so sad?\" \"I lost my {thing},\" said {N}.",
             "\"What is wrong?\" asked {F} the {fk}. \"My {thing} is gone,\" said {N}."],
            ["\"Let us look for it together,\" said {F}. \"Four eyes see more than two.\"",
             "\"I will help you,\" said {F}. \"Two friends find things faster than one.\""],
            ["They searched all day. At last {F} called out, \"Here it is!\" The {thing} was lying {spot}.",
             "They walked and looked until the sun was low. Then {N} saw something {spot}. It was the {thing}!"],
            ["{N} hugged {F} and said, \"Thank you, my friend.\" From then on they played with the {thing} together.",
             "{N} was so happy that {s} danced. \"Now it belongs to both of us,\" {s} told {F}."],
        ],
        "morals": ["A friend who helps you look is worth more than anything you can lose."],
    },
    "storm": {
        "themes": ["a storm", "being afraid", "a dark night"],
        "slots": {"light": ["a small lantern", "a candle", "a warm blanket", "a pot of hot tea"]},
        "beats": [
            ["One night a big storm came. The wind howled and the thunder was very loud.",
             "One evening dark clouds filled the sky. Soon there was thunder and heavy rain."],
            ["{N} was afraid and hid under {p} bed.", "{N} was so scared that {s} could not sleep."],
            ["Then there was a knock at the door. It was {F} the {fk}, wet from the rain, and {fs} carried {light}.",
             "Then somebody knocked. It was {F} the {fk}, and {fs} had brought {light}."],
            ["\"I was afraid all alone,\" said {F}. \"May I stay with you?\" \"Yes, please,\" said {N}.",
             "\"I do not like thunder,\" said {F}. \"Neither do I,\" said {N}. \"Come in!\""],
            ["They sat close together and told each other funny stories. After each clap of thunder they laughed a little louder.",
             "They sat side by side and counted the seconds between the lightning and the thunder. Each time the storm was farther away."],
            ["When the sun came up, the storm was gone, and {N} was not afraid any more.",
             "In the morning the sky was blue, and a rainbow stood over the hills."],
        ],
        "morals": ["Fear becomes small when you share it.", "Being brave is easier together."],
    },
    "learn": {
        "themes": ["learning something new", "not giving up", "practice"],
        "slots": {"skill": ["swim", "whistle", "ride a bicycle", "dance", "juggle", "read", "play the flute"]},
        "beats": [
            ["{N} wanted to learn to {skill}, but it was hard.",
             "More than anything, {N} wished to {skill}."],
            ["The first time {s} tried, it went wrong, and {s} was sad. \"I will never learn it,\" {s} said.",
             "{S} tried once, and {s} tried twice, and each time it went wrong. \"I cannot do it,\" {s} sighed."],
            ["{F} the {fk} heard this and smiled. \"Nobody can do it on the first day,\" {fs} said. \"Try a little every day.\"",
             "\"It took me a whole summer to learn it,\" said {F} the {fk}. \"Do not give up.\""],
            ["So {N} practised every morning, and {F} watched and cheered.",
             "So they practised together every day, a little longer each time."],
            ["After many days something wonderful happened. {N} could {skill}!",
             "And then, one sunny day, it worked. {N} could {skill}, and {s} laughed with joy."],
            ["{F} clapped, and {N} was very proud.", "Everybody came to see it, and {F} cheered the loudest."],
        ],
        "morals": ["Small steps every day take you a long way.", "You learn by trying again."],
    },
    "share": {
        "themes": ["sharing", "winter", "being kind"],
        "slots": {"food": ["soup", "apple pie", "fresh bread", "honey cake", "pancakes"]},
        "beats": [
            ["It was a cold winter, and snow lay everywhere. {N} had cooked a lot of {food}.",
             "One cold winter day, {N} made a big plate of {food}."],
            ["Just when {s} wanted to eat, {s} saw {F} the {fk} outside in the snow. {F} looked cold and hungry.",
             "Then {s} looked out of the window. There was {F} the {fk}, shivering in the snow."],
            ["\"If I share, there will be less for me,\" thought {N}. But then {s} opened the door.",
             "{N} thought for a moment. Then {s} called, \"Come in! There is enough for two.\""],
            ["They ate the {food} by the fire, and it tasted better than ever.",
             "They sat by the fire and ate the {food} together until they were warm and full."],
            ["The next day {F} came back with a basket of apples. \"Now it is my turn to share,\" {fs} said.",
             "In spring {F} brought {N} the first flowers of the year. \"You were kind to me,\" {fs} said."],
            ["After that, they had dinner together every evening.", "And so they became the best of friends."],
        ],
        "morals": ["What you share does not become less. It becomes more.", "Kindness comes back to you."],
    },
    "together": {
        "themes": ["working together", "helping each other", "a heavy stone", "teamwork"],
        "slots": {"load": ["a huge stone", "a heavy log", "a big fallen tree"],
                  "way": ["the path to the market", "the road to the village", "the way to the river"]},
        "beats": [
            ["One day {load} lay across {way}. Nobody could pass.",
             "After a windy night, {load} blocked {way}."],
            ["{N} pushed as hard as {s} could, but it did not move at all.",
             "{N} pushed and pulled, but it was much too heavy for {o}."],
            ["Then {F} the {fk} pushed too. It moved a little, but not enough.",
             "{F} the {fk} came to help, but even two were not strong enough."],
            ["\"We need more friends,\" said {N}. So they called everybody who lived nearby.",
             "\"Alone we are weak,\" said {N}. \"Let us call the others!\" And soon many friends came running."],
            ["They stood in a ring around it, and each of them took a small part of the weight.",
             "Each one took the part that {fs} could carry: the strong ones took more and the small ones took less."],
            ["\"One, two, three!\" called {N}, and all together they rolled it away.",
             "They counted to three, and slowly, slowly, it rolled aside. The way was free!"],
        ],
        "morals": ["What is too heavy for one is easy for many.", "Together, small friends can do big things."],
    },
    "nest": {
        "themes": ["helping a baby bird", "helping someone small"],
        "slots": {"tree": ["an apple tree", "a tall pine", "an old oak", "a cherry tree"]},
        "beats": [
            ["One spring day, {N} heard a tiny voice. A baby bird had fallen out of its nest.",
             "On a spring morning, {N} found a baby bird that had fallen from {tree}."],
            ["\"Do not worry, I will bring you home,\" said {N}. But the nest was too high for {o}.",
             "{N} wanted to put it back, but {s} could not reach the nest."],
            ["{S} asked {F} the {fk} for help. \"You can stand on my back,\" said {F}.",
             "Then {F} the {fk} had an idea. \"Climb on my shoulders,\" {fs} said."],
            ["{N} climbed up very carefully and set the little bird back into the nest.",
             "Slowly and carefully, {N} lifted the little bird up, until it sat in the nest again."],
            ["The mother bird came back and sang her most beautiful song for them.",
             "When the mother bird came home, she sang for joy."],
            ["Every morning after that, {N} woke up to the song of the birds.",
             "All summer long the bird sang at the window of {N}."],
        ],
        "morals": ["Nobody is too small to be helped, and nobody is too small to help."],
    },
    "garden": {
        "themes": ["a garden", "a seed", "patience", "a flower"],
        "slots": {"plant": ["sunflower", "pumpkin", "rose", "strawberry plant", "apple tree"]},
        "beats": [
            ["One day {N} found a small seed and put it into the ground.",
             "In spring, {N} planted a tiny seed."],
            ["{S} watered it and waited, but nothing happened. \"Maybe it is asleep,\" {s} said.",
             "Every day {s} looked, and every day there was only brown earth."],
            ["\"It will never grow,\" said {N} to {F} the {fk}. \"Give it time,\" said {F}.",
             "\"Why does it not grow?\" asked {N}. \"Good things need time,\" said {F} the {fk}."],
            ["So they watered it together, and {F} told stories to the seed.",
             "So {N} went on watering it, and {F} kept {o} company."],
            ["Then, after a warm rain, a green leaf came out of the ground. It grew and grew into a beautiful {plant}.",
             "One morning there was a little green leaf. By the end of summer it was a wonderful {plant}."],
            ["{N} and {F} sat beside the {plant} and watched the sun go down.",
             "\"You were right,\" {N} told {F}. \"It was only waiting.\""],
        ],
        "morals": ["Good things need time and care.", "Be patient, and it will grow."],
    },
    "race": {
        "themes": ["a race", "winning", "being fair"],
        "slots": {"prize": ["a golden cup", "a big cake", "a silver medal", "a basket of apples"]},
        "beats": [
            ["One day there was a great race, and the prize was {prize}. {N} wanted to win.",
             "Every summer there was a race to the hill and back. The winner got {prize}, and {N} wanted it very much."],
            ["{N} ran as fast as {s} could, and soon {s} was in front.",
             "When the race began, {N} was quick, and soon {s} was the first."],
            ["But then {s} heard a cry. {F} the {fk} had fallen and hurt {fp} foot.",
             "Then {s} saw {F} the {fk} sitting beside the path. \"I hurt my foot,\" said {F}."],
            ["{N} looked at the finish line. Then {s} stopped, went back, and helped {F} up.",
             "{N} wanted to run on, but {s} could not leave {F} alone. So {s} turned around."],
            ["Side by side they walked slowly to the end. They came in last.",
             "Arm in arm they reached the finish, long after all the others."],
            ["But everybody cheered, and the winner cut the prize in two, so that {N} and {F} had a part of it too.",
             "But the crowd clapped louder for {N} than for the winner."],
        ],
        "morals": ["Helping a friend is better than winning.", "There are things that matter more than being first."],
    },
    "star": {
        "themes": ["a star", "the night sky", "the moon"],
        "slots": {"place": ["in the grass", "beside the pond", "on the roof", "in the snow"]},
        "beats": [
            ["One night {N} saw a star fall from the sky. In the morning {s} found it {place}.",
             "One clear night, something bright fell from the sky. {N} ran outside and found a tiny star {place}."],
            ["\"I am lost,\" said the star. \"I want to go home, but the sky is so high.\"",
             "The star was crying. \"I miss my brothers and sisters,\" it said."],
            ["{N} asked {F} the {fk} what to do. \"We must climb the highest hill,\" said {F}.",
             "{N} ran to {F} the {fk}. \"The highest hill is close to the sky,\" said {F}. \"Let us go there.\""],
            ["They carried the star all day, first {N}, then {F}, and then {N} again.",
             "The way was long, so they took turns and carried the star up the hill."],
            ["At the top they held it up as high as they could. A soft wind came and lifted the star into the sky.",
             "When night came, they threw the star up into the air. It flew higher and higher until it was home."],
            ["Every night since then, one star blinks at {N} and {F} to say thank you.",
             "Since then one star has been shining a little brighter than all the others."],
        ],
        "morals": ["When the way is long, take turns.", "Helping others makes the world brighter."],
    },
    "friend": {
        "themes": ["friendship", "a new friend", "being lonely"],
        "slots": {"game": ["hide and seek", "catch", "chess", "marbles"]},
        "beats": [
            ["{N} was often alone and wished for a friend.",
             "{N} had many books, but {s} had no friend to play with."],
            ["One day {F} the {fk} moved in next door. {F} was very shy and did not say a word.",
             "One morning a new neighbour came. It was {F} the {fk}, and {fs} looked shy."],
            ["{N} was shy too. {S} waited for a whole day. Then {s} baked some cookies and knocked on the door.",
             "{N} did not know what to say. So {s} picked some flowers and knocked on the door."],
            ["\"Hello, I am {N},\" {s} said. \"Would you like to play {game}?\" {F} smiled. \"I would love to,\" {fs} said.",
             "\"Welcome!\" said {N}. \"Do you like {game}?\" \"It is my favourite game,\" said {F}."],
            ["They played until it was dark, and they laughed the whole time.",
             "They played {game} all afternoon and forgot to be shy."],
            ["From that day on, neither of them was ever lonely again.",
             "Since then {N} and {F} have met every single day."],
        ],
        "morals": ["One kind word can be the start of a friendship.", "To find a friend, be a friend."],
    },
    "truth": {
        "themes": ["telling the truth", "honesty", "a mistake"],
        "slots": {"item": ["blue vase", "big mirror", "glass bowl", "old clock"]},
        "beats": [
            ["One day, {N} was playing in the house of {F} the {fk} while {F} was out.",
             "One rainy day, {N} was visiting {F} the {fk}."],
            ["{S} jumped too high, and the {item} fell down and broke.",
             "{S} ran too fast and bumped into the {item}. It fell to the floor and broke."],
            ["\"Nobody saw it,\" thought {N}. \"I could say that it was the wind.\" But {s} felt bad.",
             "{N} hid the pieces under the rug, but {p} heart felt heavy."],
            ["When {F} came back, {N} took a deep breath. \"I broke your {item},\" {s} said. \"I am very sorry.\"",
             "In the evening {s} could not keep it inside any more. \"{F}, it was me,\" {s} said. \"I broke the {item}.\""],
            ["{F} was quiet for a moment. Then {fs} smiled. \"Thank you for telling me the truth,\" {fs} said.",
             "\"I am a little sad about the {item},\" said {F}, \"but I am glad that you told me.\""],
            ["They glued the pieces together, and it looked almost like new.",
             "Together they put the pieces back in place, one by one, and {N} felt light again."],
        ],
        "morals": ["The truth may be hard, but it makes the heart light."],
    },
    "fog": {
        "themes": ["getting lost", "finding the way home", "fog"],
        "slots": {"sound": ["a bell", "a whistle", "a drum", "a song"]},
        "beats": [
            ["One autumn day, {N} went for a long walk to gather nuts.",
             "One afternoon {N} walked far from home, much farther than ever before."],
            ["Suddenly thick fog came, and {s} could not see the path. \"Where is my home?\" {s} asked.",
             "Then the fog came down, white and thick, and {N} did not know the way back."],
            ["{S} sat down on a stone and tried to stay calm.", "{S} was afraid, but {s} stayed where {s} was and listened."],
            ["At home, {F} the {fk} saw that {N} was missing. {F} asked all the neighbours to stand in a long line, from the house to the forest.",
             "Meanwhile, {F} the {fk} began to worry. {fS} called the neighbours, and they stood in a long line from the house into the fog."],
            ["Each of them passed on the sound of {sound} to the next one, and so it reached {N}.",
             "The first one made the sound of {sound}, and the next one passed it on, until {N} could hear it."],
            ["{N} followed the sound, step by step, until {s} was home. \"You found me!\" {s} said, and hugged {F}.",
             "Step by step, {N} walked along the line of friends, and soon {s} was safe at home."],
        ],
        "morals": ["When everyone passes it on, even a small sound goes far.", "Good friends show you the way home."],
    },
    "treasure": {
        "themes": ["a treasure", "a map", "an adventure"],
        "slots": {"land": ["the dark forest", "the stone bridge", "the windy hills"],
                  "box": ["an old wooden box", "a small iron chest", "a dusty box"]},
        "beats": [
            ["One day {N} found an old map with a red cross on it. \"A treasure!\" {s} said.",
             "In an old book, {N} found a treasure map."],
            ["{S} asked {F} the {fk} to come along, and they set out early in the morning.",
             "{S} showed it to {F} the {fk}, and together they packed some bread and set out."],
            ["They crossed {land} and climbed over rocks. When {N} was tired, {F} sang a song.",
             "The way went through {land}. When {F} was tired, {N} carried {fp} bag."],
            ["At last they came to the red cross and dug a deep hole. There was {box}!",
             "Under a crooked tree they began to dig, and they found {box}."],
            ["There was no gold inside. There was only a note. It said, \"The treasure is the friend who came with you.\"",
             "They opened it. Inside was a note: \"Look beside you. There is the real treasure.\""],
            ["{N} and {F} looked at each other and laughed all the way home.",
             "{N} looked at {F} and smiled, because {s} knew that it was true."],
        ],
        "morals": ["A good friend is the greatest treasure."],
    },
    "song": {
        "themes": ["music", "a song", "a long song"],
        "slots": {"feast": ["the summer feast", "the spring feast", "the big birthday party"]},
        "beats": [
            ["{N} was to sing at {feast}, but the song was very long.",
             "Soon it was time for {feast}, and {N} wanted to sing the longest song in the land."],
            ["{S} could only remember the first part. \"My head is too small for this song,\" {s} said.",
             "But the song had so many verses that {s} always forgot the end."],
            ["{F} the {fk} had an idea. \"I can remember the second part,\" {fs} said.",
             "\"You do not need to know it all,\" said {F} the {fk}. \"I will learn the next part.\""],
            ["Two more friends learned the rest, so that each of them kept one part of the song.",
             "They asked their friends too, and each one learned a few verses."],
            ["On the day of the feast they stood in a ring. {N} began, and each one sang on where the last one had stopped.",
             "At the feast they stood in a circle, and the song went from one to the next without a break."],
            ["It was the most beautiful song that anyone had ever heard.",
             "Everybody clapped and wanted to hear it again."],
        ],
        "morals": ["Nobody has to carry everything alone.", "A ring of friends can remember more than one."],
    },
}

MORAL_INTROS = ["", "", "And {N} never forgot: ", "That day {N} learned something important. "]
ENDINGS = ["", "", "The end."]


@dataclass
class Story:
    text: str
    kind: str
    name: str
    friend_kind: str
    friend_name: str
    moral: str
    plot: str


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def with_article(word):
    return article(word) + " " + word


def pronouns(name):
    return ("she", "her", "her") if name in GIRLS else ("he", "him", "his")


def pick_name(rng, kind, taken=()):
    pool = BOYS if kind in ONLY_HE else GIRLS if kind in ONLY_SHE else NAMES
    return rng.choice([n for n in pool if n not in taken])


def make_story(rng, kind=None, adjective=None, plot=None, name=None, friend_kind=None):
    kind = kind or rng.choice(KINDS)
    name = name or pick_name(rng, kind)
    friend_kind = friend_kind or rng.choice([k for k in FRIENDS if k != kind])
    friend = pick_name(rng, friend_kind, taken=(name,))
    key = plot or rng.choice(list(PLOTS))
    spec = PLOTS[key]
    adjective = adjective or rng.choice(ADJECTIVES)
    s, o, p = pronouns(name)
    fs, fo, fp = pronouns(friend)
    slots = dict(N=name, k=kind, a=with_article(adjective), home=HOMES[kind], s=s, S=s.capitalize(), o=o, p=p,
                 F=friend, fk=friend_kind, fs=fs, fS=fs.capitalize(), fo=fo, fp=fp)
    slots.update({slot: rng.choice(values) for slot, values in spec["slots"].items()})
    parts = [rng.choice(OPENINGS)] + [rng.choice(beat) for beat in spec["beats"]]
    moral = rng.choice(spec["morals"])
    parts.append(rng.choice(MORAL_INTROS) + moral)
    parts.append(rng.choice(ENDINGS))
    text = " ".join(part for part in parts if part).format(**slots)
    return Story(text, kind, name, friend_kind, friend, moral, key)
