"""Writes the SentencePiece fixture: five models and what Google's library makes of 5,000 hostile strings with each.

    python test/unit/sentencepiece/make.py DIR [FIRST.model] [--check SEED COUNT]

DIR receives strings.json.gz, NAME.model.gz and NAME.ids.gz (little-endian uint16, for each string how many ids, then the ids).
--check makes COUNT other strings, to be compared once and thrown away.
FIRST.model is the T5-like model named 'plain' (by default the one in DIR is kept). Needs PyPI's sentencepiece and protobuf. Deterministic.
"""

import gzip
import io
import json
import random
import struct
import sys
import tempfile
from pathlib import Path

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb

USER_DEFINED = ["<cls>", "toy box", "ab", "abc", "\u2581go", "é!"]


def words(r):
    """A made-up language: words of a few scripts with a long tail."""
    latin = ["ka", "lo", "mi", "ne", "ru", "ta", "shi", "wo", "ing", "ed", "th", "qu", "str", "ä", "é", "ß", "ﬁ"]
    others = ["東", "京", "こん", "にち", "は", "пр", "ив", "ет", "שלום", "مرحبا", "한", "국", "ไทย", "🐼", "½", "１", "Ａ", "e\u0301"]
    return ["".join(r.choice(latin) for _ in range(r.randint(1, 5))) for _ in range(600)] + [
        "".join(r.choice(others) for _ in range(r.randint(1, 4))) for _ in range(150)
    ]


def corpus(seed):
    r = random.Random(seed)
    w = words(r)
    weights = [1 / (i + 1) for i in range(len(w))]
    r.shuffle(w)
    for _ in range(4000):
        yield " ".join(r.choices(w, weights, k=r.randint(1, 12))) + r.choice(["", "", ".", "!", "  ", " go", " abc", " toy box"])


RULES = [  # what is replaced, by what: our own character map, with rules that overlap, vanish, or hold spaces
    *((chr(c), chr(c + 32)) for c in range(ord("A"), ord("Z") + 1)), ("\u3000", " "), ("\t", " "), ("½", "1/2"), ("\u00ad", ""), ("\u200b", " "), ("ﬁ", "fi"), ("e\u0301", "é"),
    ("ka", "KA"), ("kal", " x "), ("kalo", "  "), ("...", "…"), ("--", " \u2014 "), ("Å", "å"), ("京", "东 京"), ("🐼", "panda "), ("\u0301", ""), ("</s>", "</S>"), ("１", "1"),
]  # fmt: skip


def train(rules=None, **options):
    out = io.BytesIO()
    if rules is not None:
        table = Path(tempfile.mkdtemp()) / "rules.tsv"
        code_points = lambda text: " ".join(f"{ord(c):X}" for c in text)  # noqa: E731
        table.write_text("".join(f"{code_points(a)}\t{code_points(b)}\n" for a, b in rules))
        options["normalization_rule_tsv"] = str(table)
    spm.SentencePieceTrainer.train(
        sentence_iterator=corpus(7), model_writer=out, model_type="unigram", num_threads=1, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2, **options
    )
    m = pb.ModelProto.FromString(out.getvalue())
    m.normalizer_spec.normalization_rule_tsv = ""  # the path of a temporary file
    return m.SerializeToString()


def models(first):
    yield "plain", first
    # byte fall-back, user-defined and control symbols, pieces across spaces
    yield "bytes", train(
        vocab_size=850, byte_fallback=True, user_defined_symbols=USER_DEFINED, control_symbols=["<ctl>"], rules=RULES, split_by_whitespace=False
    )
    # no normalisation at all
    yield "identity", train(
        vocab_size=500, normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, character_coverage=0.98, user_defined_symbols=["  ", "ka "]
    )
    # the space after the word; some pieces unused, some scores positive or equal
    m = pb.ModelProto.FromString(train(vocab_size=600, treat_whitespace_as_suffix=True, normalization_rule_name="identity", split_digits=True, user_defined_symbols=["mi", "mine"]))
    r = random.Random(5)
    for piece in m.pieces[3:]:
        if piece.type == 1 and r.random() < 0.08:
            piece.type = 5
        elif piece.type == 1 and r.random() < 0.3:
            piece.score = float(r.choice([-1, -2, -3, -3.1415927, 0.25]))
    yield "suffix", m.SerializeToString()
    # plain spaces, kept as they are
    m = pb.ModelProto.FromString(train(vocab_size=450, normalization_rule_name="identity"))
    m.normalizer_spec.escape_whitespaces = False
    yield "unescaped", m.SerializeToString()


def hostile(seed, count, pieces):
    r = random.Random(seed)
    spaces = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\u2028", "\u2581", "\u00ad", "\x85", "\x0b", "\u1680", "\u180e"]
    specials = ["</s>", "<pad>", "<unk>", "<s>", "<extra_id_0>", "<extra_id_99>", "<0x41>", "<0xFF>", "<cls>", "<ctl>", "toy box", "abc", "ab", "\u2581go"]
    expanders = ["ﷺ", "ﬃ", "½", "㌀", "㎏", "ﬁ", "Ⅷ", "①", "ｶﾞ", "ǆ", "\u1e9b\u0323", "ﾊﾟ", "Å", "Ω", "ﬀ", "㍿", "\u0344", "𝕏", "…", "‥", "™", "㋿"]
    marks = [chr(c) for c in (*range(0x300, 0x370), *range(0x483, 0x488), *range(0x591, 0x5C8), 0x3099, 0x309A, 0x20DD, 0xFE0F, 0x200D)]
    blocks = [(0, 0x80), (0x80, 0x250), (0x370, 0x600), (0x600, 0x800), (0x900, 0xE80), (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2C00), (0x3000, 0x3400),
              (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xE000, 0xF900), (0xF900, 0x10000), (0x10000, 0x20000), (0x1F300, 0x1FA00), (0x20000, 0x2FA20), (0xE0000, 0xE0200), (0x10FF00, 0x110000)]  # fmt: skip
    english = "a the toy robot dances on beach sand camera pans slowly around small red cat jumps over box under warm light cinematic it's don't 3.5 2,000 well-lit".split()
    language = words(random.Random(7))

    def code_point(low=0, high=0x110000):
        while True:
            c = r.randrange(low, high)
            if not 0xD800 <= c < 0xE000:
                return chr(c)

    def part():
        k = r.randrange(14)
        if k == 0:
            return r.choice(spaces) * r.choice([1, 1, 2, 5])
        if k == 1:
            return r.choice(specials)
        if k == 2:
            return r.choice(expanders)
        if k == 3:
            return r.choice("aeoAEOñ가क") + "".join(r.choice(marks) for _ in range(r.randint(1, 4)))
        if k == 4:
            return "".join(code_point(*r.choice(blocks)) for _ in range(r.randint(1, 5)))
        if k == 5:
            return code_point()
        if k == 6:
            return r.choice(english) + r.choice(["", " ", ", ", "."])
        if k in (7, 8):
            return "".join(r.choice(pieces) for _ in range(r.randint(1, 6))).replace("\u2581", r.choice([" ", "", "\u2581"]))
        if k == 9:
            return r.choice(language) + " "
        if k == 10:
            return bytes(r.randrange(256) for _ in range(r.randint(1, 6))).decode("utf-8", "replace")
        if k == 11:
            return "".join(chr(0xFF01 + r.randrange(94)) for _ in range(r.randint(1, 4)))
        if k == 12:
            return r.choice(["👩\u200d👩\u200d👧", "🏳\ufe0f\u200d🌈", "🇫🇷", "👍🏽", "1\ufe0f\u20e3", "\u202eabc\u202c", "אָ", "لا", "각", "ᄀ\u1161\u11a8"])
        return r.choice("abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"-<>/_") * r.choice([1, 1, 1, 2, 40 if r.random() < 0.1 else 3])

    out = ["", " ", "   ", "\u2581", "\u2581\u2581", "\0", "a\0b", "\u3000", "toy  box", " toy box ", "a" * 300]
    while len(out) < count:
        out.append("".join(part() for _ in range(r.choice([1, 1, 2, 3, 4, 6]))))
    return out


def write(path, data):
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(data)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    seed, count = 1, 5000
    if "--check" in arguments:
        at = arguments.index("--check")
        seed, count = int(arguments[at + 1]), int(arguments[at + 2])
        del arguments[at : at + 3]
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    first = Path(arguments[1]).read_bytes() if len(arguments) > 1 else gzip.decompress((folder / "plain.model.gz").read_bytes())
    made = list(models(first))
    pieces = sorted({piece.piece for _, model in made for piece in pb.ModelProto.FromString(model).pieces if piece.type in (1, 4, 5)})
    strings = hostile(seed, count, pieces)
    write(folder / "strings.json.gz", json.dumps(strings, ensure_ascii=True, separators=(",", ":")).encode())
    for name, model in made:
        tokenizer = spm.SentencePieceProcessor(model_proto=model)
        ids = bytearray()
        for text in strings:
            row = tokenizer.encode(text)
            ids += struct.pack(f"<{len(row) + 1}H", len(row), *row)
        write(folder / f"{name}.model.gz", model)
        write(folder / f"{name}.ids.gz", bytes(ids))
