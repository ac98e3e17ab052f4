"""Train a small GPT to count in words: a loss, a sample, and numbers that it has never seen."""

import argparse
from pathlib import Path

from tqdm import tqdm

import core
import core.nn.functional as F
from core import data, nn, optim

ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
LETTERS = " -" + "".join(sorted({letter for word in ONES + TENS + ["hundred"] for letter in word}))
HIDDEN = range(640, 660)  # left out of the training text


def in_words(number):
    """A number below 1000 in words."""
    if number >= 100:
        rest = number % 100
        return f"{ONES[number // 100 - 1]} hundred" + (f" {in_words(rest)}" if rest else "")
    if number < 20:
        return ONES[number - 1]
    return TENS[number // 10 - 2] + (f"-{ONES[number % 10 - 1]}" if number % 10 else "")


def encoded(text):
    """The letters of a text as numbers."""
    return core.tensor([LETTERS.index(letter) for letter in text])


def windows(length):
    """Pieces of the counting text, and of each the letters that follow."""
    before, after = range(1, HIDDEN.start), range(HIDDEN.stop, 1000)
    texts = [encoded("  ".join(map(in_words, part)) + "  ") for part in (before, after)]
    pieces = [text[i : i + length + 1] for text in texts for i in range(0, len(text) - length, 8)]
    every = core.stack(pieces)
    return data.TensorDataset(every[:, :-1], every[:, 1:])


class Block(nn.Module):
    """Attention to what came before, then a small network; each added to its input."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        n, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.dropout(self.proj(seen.transpose(1, 2).reshape(n, length, width)))
        return x + self.dropout(self.mlp(self.norm2(x)))


class GPT(nn.Module):
    """For each letter of a text, the scores of the letter that follows."""

    def __init__(self, letters, length, width=64, layers=2, heads=4, dropout=0.0):
        super().__init__()
        self.length = length
        self.tokens = nn.Embedding(letters, width)
        self.places = nn.Parameter(0.02 * core.randn(length, width))
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, letters, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, x):
        x = self.tokens(x) + self.places[: x.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def counted(model, number, words):
    """What the model writes after a number, until it has written so many more numbers."""
    text = in_words(number) + "  "
    start = len(text)
    model.eval()
    with core.no_grad():
        while text.count("  ") <= words and len(text) < start + 40 * words:
            scores = model(encoded(text[-model.length :]).unsqueeze(0))
            text += LETTERS[scores[0, -1].argmax().item()]
    return [word.strip() for word in text[start:].split("  ")[:words]]


def right(model, numbers):
    """The fraction of the numbers after which the model writes the next one."""
    return sum(counted(model, n, 1) == [in_words(n + 1)] for n in numbers) / len(numbers)


def report(model, out):
    """Print a sample and how many unseen numbers are right; write the trained parameters."""
    print("after five hundred seven:", ", ".join(counted(model, 507, 4)))
    print(f"unseen numbers counted right: {right(model, HIDDEN):.0%}")
    core.save(model.state_dict(), Path(out) / "gpt.ckpt")


def main(epochs, batch_size, length, out):
    """Train and report; the last loss."""
    core.manual_seed(0)
    dataset = windows(length)
    model = GPT(len(LETTERS), length)
    loader = data.DataLoader(dataset, batch_size, shuffle=True, drop_last=True)
    optimizer = optim.AdamW(model.parameters(), lr=4e-3)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, epochs * len(loader))
    for _ in (bar := tqdm(range(epochs))):
        for letters, following in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(letters).flatten(0, 1), following.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        bar.set_postfix(loss=f"{loss.item():.4f}")
    print(f"loss {loss.item():.4f}")
    report(model, out)
    return loss.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--out", default=".")
    main(**vars(parser.parse_args()))
