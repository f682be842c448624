/** @file Prompts that were used or pinned, as they were typed. */
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import type { KeptPrompt } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import type { Library } from './library.ts';
import { normalize, wordsOf } from './search.ts';

export type PromptsPart = HostOf<typeof api>['prompts'] & {
  /** It is being queued: the newest from now on. Belongs into the transaction that queues it. */
  used(prompt: string): void;
};

interface Row {
  readonly prompt: string;
  readonly used_at: string;
  readonly pinned: number;
}
const keptOf = ({ prompt, pinned, used_at }: Row): KeptPrompt => ({ prompt, pinned: pinned === 1, usedAt: used_at });

export function promptsPart({ db }: Library): PromptsPart {
  const rowOf = (prompt: string) => db.get<Row>('SELECT * FROM prompts WHERE prompt = ?', prompt);
  /** Makes it the newest. */
  const use = (prompt: string) =>
    db.run(
      `INSERT INTO prompts (prompt, words, used, used_at) VALUES (?, ?, (SELECT coalesce(max(used), 0) + 1 FROM prompts), ?)
       ON CONFLICT (prompt) DO UPDATE SET used = excluded.used, used_at = excluded.used_at, hidden = 0`,
      prompt,
      normalize(prompt),
      new Date().toISOString(),
    );

  return {
    used: prompt => {
      if (prompt.trim() !== '') use(prompt);
    },
    list: ({ search, limit }) => {
      const words = wordsOf(search);
      const rows = db.all<Row>(
        `SELECT * FROM prompts WHERE hidden = 0 ${words.map(() => 'AND instr(words, ?) > 0').join(' ')} ORDER BY pinned DESC, used DESC LIMIT ?`,
        ...words,
        limit,
      );
      return { prompts: rows.map(keptOf) };
    },
    pin: ({ prompt, pinned }) =>
      db.transaction(() => {
        if (prompt.trim() === '') throw new StudioError('badInput', 'the prompt is empty: write what shall happen');
        if (!rowOf(prompt)) use(prompt);
        db.run('UPDATE prompts SET pinned = ?, hidden = 0 WHERE prompt = ?', pinned, prompt);
        return keptOf(rowOf(prompt)!);
      }),
    remove: ({ prompt }) => {
      if (db.run('UPDATE prompts SET hidden = 1, pinned = 0 WHERE prompt = ? AND hidden = 0', prompt).changes === 0)
        throw new StudioError('notFound', 'that prompt is not on the list: list them');
    },
  };
}
