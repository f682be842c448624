/** @file The text side of T5 as the CogVideoX pipelines use it: end of sentence, padding to a fixed length, truncation. */
import type { SentencePiece } from './sentencepiece.ts';

export interface Tokens {
  /** maxLength ids: the text's, the end of sentence, padding. */
  readonly ids: BigInt64Array; // [T]
  /** The end of the text that did not fit, when something did not. */
  readonly cut?: string;
}

/**
 * Turns a prompt into T5's input ids: what transformers' T5Tokenizer gives for `padding='max_length', truncation=True`, except that text which spells a
 * special token (`</s>`, `<pad>`, `<extra_id_0>`) stays text.
 * @param maxLength ids in all, the end of sentence included; the transformer's `max_text_seq_length`
 * @throws RangeError when maxLength leaves no room for the end of sentence
 */
export function t5Tokenize(tokenizer: SentencePiece, text: string, maxLength: number): Tokens {
  if (!Number.isSafeInteger(maxLength) || maxLength < 1) {
    throw new RangeError(`The text length ${maxLength} is not possible; max_text_seq_length must be a whole number from 1 on.`);
  }
  const segments = tokenizer.segment(text);
  const kept = segments.slice(0, maxLength - 1);
  const ids = new BigInt64Array(maxLength).fill(BigInt(tokenizer.padId ?? 0));
  kept.forEach((segment, i) => (ids[i] = BigInt(segment.id)));
  ids[kept.length] = BigInt(tokenizer.eosId ?? 1);
  const firstCut = segments[maxLength - 1];
  return firstCut === undefined ? { ids } : { ids, cut: text.slice(firstCut.start).trim() };
}
