"""Write messages to a shop beside this file, as CSV: ``python data/make_data.py``. They are the same each time."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOPICS = {
    "delivery": [
        "where is my parcel",
        "the courier left the box in the rain",
        "tracking shows no movement since {day}",
        "my order {number} was sent to the old address",
        "can you ship before {day}",
    ],
    "payment": [
        "I was charged twice for order {number}",
        "my card is refused at the checkout",
        "the invoice shows the wrong amount",
        "when do I get my money back",
        "the voucher takes nothing off",
    ],
    "account": [
        "I cannot log in since {day}",
        "the link to reset my password has expired",
        "please change my email address",
        "delete my account, please",
        "the code never comes to my phone",
    ],
    "quality": [
        "the {thing} stopped working after a week",
        "the {thing} came with a scratch",
        "a screw is missing from the {thing}",
        "the {thing} smells of plastic",
        "the color of the {thing} is wrong",
    ],
}
GREETINGS = ["", "", "Hello, ", "Hi! ", "Dear team, ", "Good evening: "]
CLOSINGS = ["", "", ".", "!", ". Thanks", ", please answer soon", ". This is my second message", '. It is "urgent"']
WORDS = {"day": ["Monday", "Tuesday", "last week", "Christmas"], "thing": ["lamp", "kettle", "chair", "drill", "radio"]}


def messages(count: int, seed: int) -> Iterator[dict[str, str]]:
    """Messages with their topics, of which one in fifty was put under another one by mistake."""
    chance = random.Random(seed)
    for _ in range(count):
        topic = chance.choice(list(TOPICS))
        words = {name: chance.choice(choices) for name, choices in WORDS.items()}
        middle = chance.choice(TOPICS[topic]).format(number=chance.randint(1000, 9999), **words)
        if chance.random() < 0.2:  # a letter too few
            place = chance.randrange(len(middle))
            middle = middle[:place] + middle[place + 1 :]
        mistaken = chance.choice(list(TOPICS)) if chance.random() < 0.02 else topic
        yield {"text": chance.choice(GREETINGS) + middle + chance.choice(CLOSINGS), "topic": mistaken}


def write(name: str, rows: list[dict[str, str]]) -> None:
    """One line for each row, with a header."""
    (HERE / name).parent.mkdir(exist_ok=True)
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    write("training/messages.csv", list(messages(600, seed=1)))
    write("validation/messages.csv", list(messages(150, seed=2)))
    write("predict.csv", [{"text": message["text"]} for message in messages(12, seed=3)])
