"""Trains Toybox's SentencePiece vocabulary (Unigram, T5-like ids: pad 0, eos 1, unk 2) on captions.

    python tokenizer.py OUT.model [captions]
"""
import os
import random
import sys
import tempfile

import sentencepiece
import torch

from parts import TEXT_LENGTH, VOCABULARY


def train(captions, out):
    """Writes `out` (spiece.model) from a list of captions."""
    # Letters, digits and punctuation that captions lack, so that any English prompt has pieces; a single sentence each, so they stay rare.
    alphabet = [' '.join(c) for c in ('abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '0123456789', ".,;:!?'\"-()/&%+")]
    # Candidates must occur within two different words: every word once more with punctuation, so that whole words become pieces.
    words = sorted({w.strip('.,:') for c in captions for w in c.split()})
    marked = [f'{w}{m}' for w in words for m in ',.!:']
    with tempfile.NamedTemporaryFile('w', suffix='.txt', delete=False) as f:
        f.write('\n'.join(captions + alphabet * 20 + marked))
    sentencepiece.SentencePieceTrainer.train(
        input=f.name, model_prefix=out.removesuffix('.model'), model_type='unigram', vocab_size=VOCABULARY, hard_vocab_limit=False,
        character_coverage=1.0, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece='<pad>', eos_piece='</s>', unk_piece='<unk>',
        normalization_rule_name='nmt_nfkc', add_dummy_prefix=True, num_threads=2, minloglevel=1,
    )
    os.remove(f.name)
    vocab = out.removesuffix('.model') + '.vocab'
    if os.path.exists(vocab): os.remove(vocab)


class Tokens:
    """Captions to fixed-length ids: pieces, end of sentence, padding."""

    def __init__(self, file): self.pieces = sentencepiece.SentencePieceProcessor(model_file=file)

    def __call__(self, captions):
        out = torch.zeros(len(captions), TEXT_LENGTH, dtype=torch.int16)
        for row, ids in zip(out, self.pieces.encode(list(captions))):
            ids = ids[:TEXT_LENGTH - 1] + [1]
            row[:len(ids)] = torch.tensor(ids, dtype=torch.int16)
        return out


if __name__ == '__main__':
    import toys
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    rng = random.Random(7)
    train(toys.any_captions(n, rng), sys.argv[1])
    tokens = Tokens(sys.argv[1])
    lengths = [len(x) + 1 for x in tokens.pieces.encode(toys.any_captions(2000, rng))]
    print('pieces', tokens.pieces.vocab_size(), 'tokens a caption: mean', sum(lengths) / len(lengths), 'most', max(lengths))
