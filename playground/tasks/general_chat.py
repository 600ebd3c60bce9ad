"""Small talk and everyday facts."""

# ruff: noqa: D103 (a task's name and phrasings say what it asks)

from collections.abc import Sequence
from random import Random

from playground.tasks import Category, Exercise
from playground.tasks.words import NAMES, with_article

general_chat = Category("general_chat")

# The first countries are asked about more often than the last ones.
CAPITALS = {
    "France": "Paris", "England": "London", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin",
    "Austria": "Vienna", "Norway": "Oslo", "Egypt": "Cairo", "Japan": "Tokyo", "Peru": "Lima",
    "Greece": "Athens", "Portugal": "Lisbon", "Poland": "Warsaw", "Sweden": "Stockholm",
    "Finland": "Helsinki", "Denmark": "Copenhagen", "Ireland": "Dublin", "Russia": "Moscow",
    "China": "Beijing", "India": "Delhi", "Kenya": "Nairobi", "Cuba": "Havana", "Chile": "Santiago",
    "Canada": "Ottawa", "Turkey": "Ankara", "Iran": "Tehran", "Hungary": "Budapest", "Belgium": "Brussels",
}  # fmt: skip

SOUNDS = {
    "cat": "meow", "dog": "woof", "cow": "moo", "sheep": "baa", "lion": "roar", "duck": "quack",
    "frog": "croak", "bee": "buzz", "pig": "oink", "owl": "hoot", "horse": "neigh", "mouse": "squeak",
    "wolf": "howl", "bird": "tweet", "snake": "hiss", "donkey": "heehaw",
}  # fmt: skip

YOUNG = {
    "cat": "kitten", "dog": "puppy", "cow": "calf", "sheep": "lamb", "lion": "cub", "duck": "duckling",
    "frog": "tadpole", "pig": "piglet", "horse": "foal", "goat": "kid", "bear": "cub", "wolf": "pup",
    "goose": "gosling", "owl": "owlet",
}  # fmt: skip

OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "up": "down", "day": "night", "happy": "sad",
    "old": "new", "open": "closed", "light": "dark", "hard": "soft", "early": "late", "full": "empty",
    "high": "low", "rich": "poor", "wet": "dry", "long": "short", "loud": "quiet", "strong": "weak",
    "clean": "dirty", "left": "right", "near": "far", "thick": "thin", "young": "aged", "true": "false",
}  # fmt: skip

COLORS = {
    "banana": "yellow", "grass": "green", "snow": "white", "blood": "red", "coal": "black", "sky": "blue",
    "carrot": "orange", "lemon": "yellow", "tomato": "red", "milk": "white", "chocolate": "brown",
    "cherry": "red", "frog": "green", "lavender": "purple",
}  # fmt: skip

# Where somebody works, and what they do there.
JOBS = {
    "doctor": ("hospital", "helps sick people"),
    "teacher": ("school", "teaches children"),
    "baker": ("bakery", "makes bread"),
    "farmer": ("farm", "grows food"),
    "pilot": ("plane", "flies planes"),
    "chef": ("kitchen", "cooks meals"),
    "judge": ("court", "decides cases"),
    "sailor": ("ship", "sails ships"),
    "actor": ("theater", "plays roles"),
    "nurse": ("hospital", "cares for patients"),
    "librarian": ("library", "looks after books"),
    "barber": ("shop", "cuts hair"),
    "gardener": ("garden", "looks after plants"),
    "waiter": ("restaurant", "serves food"),
}

CLOTHES = {
    "cold": "a warm coat", "rainy": "a raincoat", "sunny": "a hat", "snowy": "boots", "windy": "a jacket",
    "hot": "a light shirt", "freezing": "thick gloves", "cloudy": "a sweater",
}  # fmt: skip

# A line of sympathy, and the advice that counts as the answer.
COMFORT = {
    "sad": ("I am sorry to hear that.", "I hope you feel better soon."),
    "tired": ("I am sorry.", "Please get some rest."),
    "sick": ("I am sorry to hear that.", "I hope you get well soon."),
    "lonely": ("I am sorry.", "You can always talk to me."),
    "angry": ("I understand.", "Take a deep breath and relax."),
    "nervous": ("I understand.", "You will do great."),
    "bored": ("I understand.", "You could read a good book."),
    "hungry": ("I understand.", "You should eat something nice."),
}

JOY = {
    "happy": "That is great to hear!",
    "excited": "That is wonderful news!",
    "proud": "Well done! You should be proud.",
    "calm": "That is lovely to hear.",
    "lucky": "That is wonderful!",
    "grateful": "That is a kind feeling.",
}

MEALS = {
    "breakfast": "eggs and toast", "lunch": "a fresh salad", "dinner": "soup and bread",
    "dessert": "apple pie", "snack": "some fruit", "picnic": "cheese and bread", "party": "pizza and cake",
}  # fmt: skip

HOBBIES = {
    "swimming": "Swimming is a great way to stay fit.",
    "reading": "Reading is a wonderful way to relax.",
    "cooking": "Cooking is a fun and useful skill.",
    "painting": "Painting is a lovely way to be creative.",
    "running": "Running is a great way to stay fit.",
    "singing": "Singing is a wonderful way to share joy.",
    "dancing": "Dancing is a fun way to stay fit.",
    "hiking": "Hiking is a lovely way to see nature.",
    "fishing": "Fishing is a calm way to see nature.",
    "gardening": "Gardening is a lovely way to relax.",
}


def _frequent_first(rng: Random, items: Sequence[str]) -> str:
    """One of the items, the first ones more often (Zipf's law with exponent 0.7)."""
    return rng.choices(items, weights=[(rank + 1) ** -0.7 for rank in range(len(items))])[0]


def _answer(rng: Random, phrasings: list[str], sentence: str, key: str, fact: str) -> Exercise:
    """A question whose answer contains `key`; `sentence` says it in full, mostly with a kind word around it."""
    before = rng.choice(["", "", "Sure! ", "Of course! ", "Great question! "])
    after = rng.choice(["", " Thank you for asking!", " I hope this helps!"])
    checker = {"kind": "contains", "text": key}
    return Exercise(rng.choice(phrasings), checker, [before + sentence, sentence + after], [key], fact)


def _reply(rng: Random, phrasings: list[str], reply: str, key: str) -> Exercise:
    """Something that is told rather than asked; the reply contains `key`."""
    after = rng.choice(["", " Thank you for telling me!", " I hope this helps!"])
    return Exercise(rng.choice(phrasings), {"kind": "contains", "text": key}, [reply, reply + after], [key])


@general_chat.task(weight=2)
def capital_of(rng: Random) -> Exercise:
    country = _frequent_first(rng, list(CAPITALS))
    city = CAPITALS[country]
    phrasings = [
        f"What is the capital of {country}?",
        f"Which city is the capital of {country}?",
        f"Can you tell me the capital of {country}?",
        f"I want to visit the capital city of {country}. What is it called?",
        f"Do you know the capital of {country}?",
        f"Name the capital of {country}, please.",
    ]
    return _answer(rng, phrasings, f"The capital of {country} is {city}.", city, f"capital of {country}")


@general_chat.task()
def country_of(rng: Random) -> Exercise:
    country = _frequent_first(rng, list(CAPITALS))
    city = CAPITALS[country]
    phrasings = [
        f"In which country is {city}?",
        f"Where is the city of {city}?",
        f"Which country is {city} in?",
        f"I am flying to {city}. Which country is that?",
        f"Can you tell me where {city} is?",
    ]
    return _answer(rng, phrasings, f"{city} is in {country}.", country, f"country of {city}")


@general_chat.task()
def animal_sound(rng: Random) -> Exercise:
    animal = rng.choice(list(SOUNDS))
    phrasings = [
        f"What sound does {with_article(animal)} make?",
        f"What does the {animal} say?",
        f"My child asked what noise {with_article(animal)} makes. What is it?",
        f"How does {with_article(animal)} sound?",
        f"Which noise do you hear from {with_article(animal)}?",
    ]
    return _answer(rng, phrasings, f"The {animal} says {SOUNDS[animal]}.", SOUNDS[animal], f"sound of {animal}")


@general_chat.task()
def young_animal(rng: Random) -> Exercise:
    animal = rng.choice(list(YOUNG))
    phrasings = [
        f"What is a baby {animal} called?",
        f"What do you call a young {animal}?",
        f"How do people call the child of {with_article(animal)}?",
        f"What is the name for a little {animal}?",
        f"Which word means a baby {animal}?",
    ]
    return _answer(rng, phrasings, f"A baby {animal} is called a {YOUNG[animal]}.", YOUNG[animal], f"young {animal}")


@general_chat.task()
def opposite(rng: Random) -> Exercise:
    word = rng.choice(list(OPPOSITES))
    phrasings = [
        f"What is the opposite of {word}?",
        f"Which word means the opposite of {word}?",
        f"Tell me the opposite of the word {word}.",
        f"If something is not {word}, what is it?",
        f"What is the contrary of {word}?",
    ]
    sentence = f"The opposite of {word} is {OPPOSITES[word]}."
    return _answer(rng, phrasings, sentence, OPPOSITES[word], f"opposite of {word}")


@general_chat.task()
def color_of(rng: Random) -> Exercise:
    thing = rng.choice(list(COLORS))
    phrasings = [
        f"What color is {thing}?",
        f"Which color does {thing} have?",
        f"I want to paint {thing}. Which color should I use?",
        f"Tell me the color of {thing}.",
        f"My son asked for the color of {thing}. What is it?",
    ]
    return _answer(rng, phrasings, f"The color of {thing} is {COLORS[thing]}.", COLORS[thing], f"color of {thing}")


@general_chat.task()
def work_of(rng: Random) -> Exercise:
    job = rng.choice(list(JOBS))
    _, work = JOBS[job]
    phrasings = [
        f"What does {with_article(job)} do?",
        f"What is the job of {with_article(job)}?",
        f"Can you explain what {with_article(job)} does?",
        f"My friend is {with_article(job)}. What is that?",
        f"What is the work of {with_article(job)} about?",
    ]
    return _answer(rng, phrasings, f"{with_article(job).capitalize()} {work}.", work, f"work of {job}")


@general_chat.task()
def workplace_of(rng: Random) -> Exercise:
    job = rng.choice(list(JOBS))
    place, _ = JOBS[job]
    phrasings = [
        f"Where does {with_article(job)} work?",
        f"In what place can I find {with_article(job)}?",
        f"Where would I meet {with_article(job)}?",
        f"I am looking for {with_article(job)}. Where should I go?",
        f"What is the workplace of {with_article(job)}?",
    ]
    sentence = f"{with_article(job).capitalize()} works in a {place}."
    return _answer(rng, phrasings, sentence, place, f"workplace of {job}")


@general_chat.task()
def what_to_wear(rng: Random) -> Exercise:
    weather = rng.choice(list(CLOTHES))
    phrasings = [
        f"It is {weather} today. What should I wear?",
        f"What clothes are good for {weather} weather?",
        f"Tomorrow will be {weather}. What should I put on?",
        f"I go out on a {weather} day. What do I need to wear?",
        f"What do you wear when it is {weather}?",
    ]
    return _answer(rng, phrasings, f"You should wear {CLOTHES[weather]}.", CLOTHES[weather], "")


def _feeling_phrasings(rng: Random, feeling: str) -> list[str]:
    name = rng.choice(NAMES)
    return [
        f"I feel {feeling} today.",
        f"I am so {feeling} right now.",
        f"My friend {name} makes me feel {feeling}.",
        f"Lately I have been very {feeling}.",
        f"{name} and I are {feeling} this week.",
        f"Why am I so {feeling}?",
    ]


@general_chat.task()
def bad_feeling(rng: Random) -> Exercise:
    feeling = rng.choice(list(COMFORT))
    sympathy, advice = COMFORT[feeling]
    return _reply(rng, _feeling_phrasings(rng, feeling), f"{sympathy} {advice}", advice)


@general_chat.task()
def good_feeling(rng: Random) -> Exercise:
    feeling = rng.choice(list(JOY))
    return _reply(rng, _feeling_phrasings(rng, feeling), JOY[feeling], JOY[feeling])


@general_chat.task()
def what_to_eat(rng: Random) -> Exercise:
    meal = rng.choice(list(MEALS))
    phrasings = [
        f"Can you suggest something for {meal}?",
        f"What should I eat for {meal}?",
        f"I am hungry. What is a good {meal}?",
        f"I need an idea for my {meal}.",
        f"What food do you like for a {meal}?",
    ]
    return _answer(rng, phrasings, f"How about {MEALS[meal]}?", MEALS[meal], "")


@general_chat.task()
def hobby(rng: Random) -> Exercise:
    activity = rng.choice(list(HOBBIES))
    phrasings = [
        f"I like {activity}. What do you think about it?",
        f"What do you think about {activity}?",
        f"Is {activity} a good hobby?",
        f"My hobby is {activity}.",
        f"My friend {rng.choice(NAMES)} loves {activity}.",
        f"Should I start {activity}?",
    ]
    return _reply(rng, phrasings, HOBBIES[activity], HOBBIES[activity])


@general_chat.task()
def greeting(rng: Random) -> Exercise:
    name = rng.choice(NAMES)
    phrasings = [
        f"Hello, my name is {name}. How are you?",
        f"Hi, I am {name}. Nice to meet you.",
        f"Good morning! I am {name}. What is your name?",
        f"Good evening, this is {name}.",
        f"My name is {name}. Who are you?",
        f"I am {name} and I am new here.",
    ]
    return _reply(rng, phrasings, f"Hello {name}! I am happy to meet you.", name)
