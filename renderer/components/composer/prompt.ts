/** @file A prompt as it is shown: who it names, which words are choices, and the scenes that are one choice. */
import { choicesIn } from '../../../electron/contract/expand.ts';
import { closestHandle, fold, longestHandle, mentionsIn } from '../../../electron/contract/handles.ts';
import type { Subject } from '../../../electron/contract/records.ts';

/** Who a subject is, as far as a prompt says it. */
export type Known = Pick<Subject, 'id' | 'handle' | 'name'>;
/** A place where a prompt names somebody. */
export interface Mention<T extends Known = Subject> {
  readonly at: number;
  /** The first sign that does not belong to it. */
  readonly end: number;
  /** Nobody has this handle. */
  readonly subject: T | undefined;
  /** Then: who may be meant. */
  readonly near: T | undefined;
}
/** All of them in order, each read as the studio reads it when the prompt is queued. */
export function readMentions<T extends Known>(prompt: string, byHandle: ReadonlyMap<string, T>): Mention<T>[] {
  return mentionsIn(prompt).map(({ at, run }) => {
    const match = longestHandle(run, handle => byHandle.get(handle));
    const near = match ? undefined : closestHandle(fold(run), [...byHandle.keys()]);
    return {
      at,
      end: at + 1 + (match?.length ?? run.length),
      subject: match?.found,
      near: near === undefined ? undefined : byHandle.get(near),
    };
  });
}

/** A stretch of a prompt that looks the same. */
export interface Stretch {
  readonly at: number;
  readonly text: string;
  readonly look: 'plain' | 'subject' | 'unknown';
  /** Within a choice; `sign`: its brace or bar itself. */
  readonly choice: 'none' | 'within' | 'sign';
}
/** A prompt cut where its look changes. */
export function stretches(prompt: string, mentions: readonly Pick<Mention<Known>, 'at' | 'end' | 'subject'>[]): Stretch[] {
  const { choices } = choicesIn(prompt);
  const signs = new Set([...choices].flatMap(([at, { bars, end }]) => [at, ...bars, end]));
  const outer = [...choices].map(([at, { end }]) => ({ at, end: end + 1 }));
  const cuts = new Set([0, prompt.length]);
  for (const { at, end } of [...mentions, ...outer]) cuts.add(at).add(end);
  for (const at of signs) cuts.add(at).add(at + 1);
  const ordered = [...cuts].sort((a, b) => a - b);
  return ordered.slice(0, -1).map((at, i) => {
    const mention = mentions.find(m => m.at <= at && at < m.end);
    return {
      at,
      text: prompt.slice(at, ordered[i + 1]),
      look: mention ? (mention.subject ? 'subject' : 'unknown') : 'plain',
      choice: signs.has(at) ? 'sign' : outer.some(c => c.at <= at && at < c.end) ? 'within' : 'none',
    };
  });
}

/** What is being typed as a handle before this place: from its sign on. */
export function typedHandle(prompt: string, caret: number): { readonly at: number; readonly typed: string } | undefined {
  const typed = /[@＠]([\p{L}\p{M}\p{N}_-]{0,40})$/u.exec(prompt.slice(0, caret));
  if (!typed) return undefined;
  const at = typed.index;
  // an address is no handle, nor is @@
  return at > 0 && /[\p{L}\p{M}\p{N}@＠]/u.test(prompt[at - 1]!) ? undefined : { at, typed: typed[1]! };
}
/** Subjects that may be meant by what is typed so far: those whose handle or name begins so first, then those that have it anywhere. */
export function completions<T extends Known>(typed: string, all: readonly T[], most = 8): T[] {
  const wanted = fold(typed);
  const rank = ({ handle, name }: T) =>
    handle.startsWith(wanted)
      ? 0
      : fold(name)
            .split(/\s+/)
            .some(word => word.startsWith(wanted))
        ? 1
        : handle.includes(wanted) || fold(name).includes(wanted)
          ? 2
          : 3;
  return all
    .map(subject => ({ subject, rank: rank(subject) }))
    .filter(({ rank }) => rank < 3)
    .sort((a, b) => a.rank - b.rank)
    .slice(0, most)
    .map(({ subject }) => subject);
}

/** A prompt without these stretches, and without the spaces that they leave. */
export function without(prompt: string, gone: readonly { readonly at: number; readonly end: number }[]): string {
  let text = '',
    from = 0;
  for (const { at, end } of gone) {
    text += prompt.slice(from, at);
    from = /\s$/.test(text) || text === '' ? end + (/^[^\S\n]/.test(prompt.slice(end)) ? 1 : 0) : end;
  }
  return text + prompt.slice(from);
}

/** A prompt as what stays and what happens in each of its scenes. */
export interface Scenes {
  readonly before: string;
  readonly rows: readonly string[];
  readonly after: string;
}
/** The first choice of a prompt as its scenes; where there is none, all that follows the subject named at its beginning is the one scene. */
export function scenesOf(prompt: string): Scenes {
  const { choices } = choicesIn(prompt);
  const [at, choice] = [...choices].sort(([a], [b]) => a - b)[0] ?? [];
  if (at !== undefined && choice) {
    const ends = [...choice.bars, choice.end];
    return {
      before: prompt.slice(0, at),
      rows: ends.map((end, i) => prompt.slice((i === 0 ? at : ends[i - 1]!) + 1, end).trim()),
      after: prompt.slice(choice.end + 1),
    };
  }
  const before = /^\s*(?:[@＠][\p{L}\p{M}\p{N}_-]+[\s,]*)*/u.exec(prompt)![0];
  return { before: before === '' || /\s$/.test(before) ? before : `${before} `, rows: [prompt.slice(before.length).trim()], after: '' };
}
/** Scenes as a prompt again; rows without words do not count. */
export function promptOf({ before, rows, after }: Scenes): string {
  const said = rows.map(row => row.trim()).filter(row => row !== '');
  return before + (said.length > 1 ? `{${said.join('|')}}` : (said[0] ?? '')) + after;
}
