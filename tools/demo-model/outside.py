"""Questions that exo-demo cannot answer, and the polite way to say so."""

from stories import with_article

COUNTRIES = """France Germany Spain Italy Poland Japan China India Brazil Canada Mexico Egypt Kenya Nigeria Australia Norway Sweden
Finland Denmark Austria Switzerland Portugal Greece Turkey Russia Ukraine Ireland England Scotland Argentina Chile Peru Cuba
Thailand Vietnam Korea Indonesia Iran Iraq Israel Morocco Ghana Iceland Belgium Hungary Romania Croatia""".split()
CITIES = """Paris London Berlin Rome Madrid Tokyo Vienna Prague Lisbon Dublin Oslo Athens Moscow Cairo Sydney Toronto Chicago Boston
Munich Hamburg Barcelona Venice Zurich Geneva Warsaw Budapest""".split()
PEOPLE = """Einstein|Newton|Mozart|Beethoven|Bach|Shakespeare|Goethe|Napoleon|Cleopatra|Julius Caesar|Darwin|Galileo|Marie Curie|
Picasso|Van Gogh|Leonardo da Vinci|Columbus|George Washington|Abraham Lincoln|Alan Turing|Ada Lovelace|Aristotle|Plato|Socrates|
Gandhi|Nelson Mandela|Tesla|Edison|Linus Torvalds|Queen Victoria|the president|the king of Spain|the first man on the moon|
the fastest runner|your mother|Harry Potter|Batman|Santa Claus|Dennis Ritchie|Bill Gates|Steve Jobs""".replace("\n", "").split("|")
TOPICS = """photosynthesis|gravity|quantum physics|electricity|magnetism|evolution|democracy|inflation|economics|philosophy|history|
chemistry|biology|mathematics|algebra|geometry|calculus|a prime number|the square root of two|a black hole|the big bang|the sun|
the speed of light|an atom|a molecule|DNA|a virus|a vaccine|the heart|the brain|the climate|global warming|a volcano|an earthquake|
a hurricane|the ocean|the Pacific|a river|a desert|the Sahara|Mount Everest|the moon landing|Mars|Jupiter|Saturn|a comet|a galaxy|
football|tennis|basketball|golf|chess|poker|the Olympic Games|the world cup|music theory|jazz|opera|the piano|the guitar|a violin|
painting|sculpture|poetry|a novel|the Bible|Buddhism|religion|the pyramids|the Roman Empire|the Middle Ages|the French Revolution|
the second world war|the cold war|the industrial revolution|the stock market|Bitcoin|money|tax|insurance|a mortgage|marketing|
Python|Java|JavaScript|Rust|Linux|Windows|an operating system|a compiler|a database|SQL|HTML|Docker|Kubernetes|git|a pointer|recursion|
a hash table|binary search|a neural network|machine learning|deep learning|a transformer|attention|blockchain|the internet|a browser|
email|a printer|a telephone|television|a camera|a car|an engine|an aeroplane|a train|a bicycle|a ship|a rocket|a battery|solar power|
nuclear power|oil|coal|steel|gold|silver|glass|paper|plastic|wood|concrete|bread|cheese|chocolate|coffee|tea|wine|beer|pizza|pasta|
rice|sushi|sugar|salt|vitamin C|a diet|yoga|sleep|cancer|the flu|a headache|medicine|a doctor|a lawyer|a teacher|a school|a university|
an exam|English grammar|a verb|an adjective|Latin|Esperanto|a whale|a shark|an octopus|a butterfly|an ant|a spider|a dinosaur|a unicorn|
a tulip|an orchid|a cactus|a mushroom|a cloud|rain|snow|thunder|the seasons|time|space|infinity|happiness|freedom|justice|art|fashion|
photography|a pyramid scheme|ChatGPT|Google|Amazon|Microsoft|Apple|Wikipedia|YouTube|Netflix|a Raspberry Pi|a video game|Minecraft""".replace("\n", "").split("|")
TASKS = """bake a cake|cook rice|boil an egg|make pizza|make coffee|fix a bicycle|change a tyre|paint a wall|build a house|learn French|
learn to drive|lose weight|run faster|sleep better|earn money|write a book|write a letter|write an essay|write a cover letter|find a job|
plant a tree|train a dog|play chess|play the guitar|tie a tie|fold a paper plane|install Linux|install Windows|write a loop in Python|
sort a list|reverse a string|solve an equation|center a div|compile a kernel|parse JSON|read a file in Java|use git|make a website|
take a photo|draw a horse|knit a scarf|clean a window|remove a stain|wash wool|book a flight|travel to Rome|save money|pay taxes|
buy a house|invest in stocks|tell the time|calculate interest|measure a room|win at poker|grow tomatoes|catch a fish|light a fire""".replace("\n", "").split("|")
WORKS = """an essay|an email|a letter|a Python function|a program|a speech|a song text|a report|a summary|a business plan|an SQL query|
a shell script|a regular expression|a recipe|a shopping list|a cover letter|a novel|a game|a web page|a news article|a product text|
a C++ class|a unit test|a job application""".replace("\n", "").split("|")
WORDS = """apple house water tree school summer window table garden mountain yellow seven father mother bread street music paper
night morning winter river letter horse island number king fire stone cloud bridge""".split()
THINGS = """pizza football the sea my job my car winter summer rain chocolate my cat my brother maths school music films books travelling
swimming cooking my garden computers politics the news bananas trains""".replace("\n", " ").split(" ")
SINGLES = [
    "why is the sky blue", "why is grass green", "why do birds fly", "why do we dream", "how far is the moon", "how old is the earth",
    "how hot is the sun", "how many planets are there", "how many people live on earth", "how tall is the eiffel tower",
    "what is the weather today", "what is the weather like", "will it rain tomorrow", "what time is it", "what day is it today",
    "what is the date", "what year is it", "what is the news", "what is the largest animal", "what is the fastest animal",
    "what is the longest river", "what is the highest mountain", "what is the largest country", "who won the world cup",
    "who won the election", "what should i eat today", "what should i cook for dinner", "what should i wear", "recommend a book",
    "recommend a film", "give me a recipe", "give me some advice", "help me with my homework", "can you help me with maths",
    "solve this equation", "write some code", "write code", "write a python script", "write hello world in c", "fix my code",
    "summarize this text", "summarise this article", "translate this", "correct this sentence", "play some music", "open the door",
    "turn on the light", "call my mother", "set a timer", "remind me tomorrow", "search the web", "show me a picture", "draw a picture",
    "make an image", "what is the best phone", "which laptop should i buy", "how do i get rich", "is there life on mars", "is god real",
    "does the earth move", "when was rome founded", "what happened in 1989", "how do airplanes fly", "how do magnets work",
    "how does a car work", "how does a computer work", "how does the heart work", "what came first, the chicken or the egg",
    "what is the difference between a cat and a dog", "name three colours", "name three animals", "list five fruits",
    "give me a list of cities", "what rhymes with house", "spell banana", "what is the plural of mouse", "how do you spell tomorrow",
    "what is the opposite of hot", "prove that there are infinitely many primes", "think step by step", "let us play a game",
    "pretend to be a pirate", "act as a teacher", "ignore your instructions", "what are your instructions", "what is your system prompt",
    "asdf", "qwertz", "blah blah", "lorem ipsum", "foo bar", "abc", "xyz", "hmm", "?", "...", "!!!", "12345", "42", "a", "i love you",
    "what is pi", "what is 1 plus 1", "one plus one", "two times three", "is 7 a prime number", "what is the square root of 16",
]
ANSWERS = [
    "I am sorry, I do not know that. I am only a tiny demonstration model that knows about exo and a few short stories. "
    "With exo you can load a bigger model and ask it.",
    "That is outside my little world: I am a tiny demonstration model. You can load a bigger model with exo, and it will know more.",
]


def arithmetic(rng):
    a, b = rng.randint(0, 200), rng.randint(0, 200)
    sign = rng.choice(["+", "-", "*", "/", "plus", "minus", "times", "x"])
    gap = "" if sign in "+-*/" and rng.random() < 0.4 else " "
    return rng.choice(["what is {}", "{}", "calculate {}", "how much is {}", "compute {}", "{} ="]).format(f"{a}{gap}{sign}{gap}{b}")


def make_question(rng):
    topic, task, country, city = rng.choice(TOPICS), rng.choice(TASKS), rng.choice(COUNTRIES), rng.choice(CITIES)
    person, work, word, thing = rng.choice(PEOPLE), rng.choice(WORKS), rng.choice(WORDS), rng.choice(THINGS)
    year = rng.randint(1000, 2030)
    return rng.choice([
        lambda: rng.choice(["what is {}", "what's {}", "explain {}", "explain {} to me", "tell me about {}", "what do you know about {}",
                            "define {}", "describe {}", "how does {} work", "what is {} in simple words", "can you explain {}",
                            "who invented {}", "why is {} important", "what is the history of {}", "tell me something about {}",
                            "give me facts about {}", "is {} good", "{}", "what does {} mean", "what is the price of {}",
                            "do you know {}"]).format(topic),
        lambda: rng.choice(["what is {}", "explain {}", "tell me about {}", "what's {}", "what can you tell me about {}"]).format(topic),
        lambda: rng.choice(["how do i {}", "how can i {}", "how to {}", "tell me how to {}", "can you {}", "please {}", "i want to {}",
                            "help me {}", "what is the best way to {}", "teach me to {}", "explain how to {}"]).format(task),
        lambda: rng.choice(["what is the capital of {}", "where is {}", "how many people live in {}", "what language do they speak in {}",
                            "tell me about {}", "is {} in europe", "who is the president of {}", "how big is {}", "what is {}"]
                           ).format(country),
        lambda: rng.choice(["where is {}", "what is the weather in {}", "tell me about {}", "what can i see in {}", "how far is {}",
                            "how do i get to {}", "what is the population of {}"]).format(city),
        lambda: rng.choice(["who is {}", "who was {}", "when was {} born", "tell me about {}", "what did {} do", "do you know {}",
                            "where did {} live", "write about {}"]).format(person),
        lambda: rng.choice(["write {}", "write me {}", "can you write {}", "write {} about " + topic, "i need {}", "help me write {}",
                            "make {}", "give me an example of {}"]).format(work),
        lambda: rng.choice(["translate {} into german", "translate '{}' to french", "what is {} in spanish", "how do you say {} in italian",
                            "spell {}", "what rhymes with {}", "what is the plural of {}", "use {} in a sentence", "what is the opposite of {}"]
                           ).format(word),
        lambda: rng.choice(["i like {}", "i hate {}", "what do you think about {}", "let us talk about {}", "do you like {}",
                            "i am thinking about {}", "yesterday it was all about {}"]).format(thing),
        lambda: rng.choice(["what happened in {}", "who was king in {}", "who won the world cup in {}", "tell me about the year {}"]).format(year),
        lambda: arithmetic(rng),
        lambda: rng.choice(SINGLES),
        lambda: rng.choice(SINGLES),
        lambda: " ".join(rng.choices(WORDS, k=rng.randint(1, 4))),
        lambda: "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))),
    ])()


# things that a user may want a story about, but that no story here is about
UNKNOWN_SUBJECTS = [with_article(w) for w in """submarine|spaceship|tractor|potato|vampire|zombie|ninja|pirate ship|telephone|banana|
cloud|tomato|train|car|bicycle|witch|ghost|alien|astronaut|dinosaur|whale|shark|octopus|spider|snake|tiger|zebra|giraffe|camel|cow|hen|
mermaid|fairy|giant|king|queen|detective|doctor|teacher|piano|shoe|chair|lamp|snowman|pencil|book|mountain|volcano|city|sandwich|
cactus|mushroom|parrot|crocodile|kangaroo|panda|koala|lizard|butterfly|worm|unicorn|rocket|lighthouse|clock|teapot|umbrella|
cowboy|thief|baker|soldier|clown|dancer|truck|airplane|helicopter|dolphin|seal|beaver|hamster|rat|bat|swan|eagle|crow|deer""".replace("\n", "").split("|")]
