/** @file `prompt`: what was asked for before. */
import { onlyGiven, verb } from './verb.ts';
import { table, when } from './print.ts';

export const promptVerbs = [
  verb({
    name: 'prompt list',
    takes: '',
    help: 'prompts that were used or pinned: pinned ones first, then the newest',
    options: {
      search: ['text', 'TEXT', 'each word has to occur'],
      limit: ['number', 'N', 'at most so many (60)'],
    },
    uses: ['prompts.list'],
    act: async ({ client, options: { search, limit } }) => {
      const { prompts } = await client.prompts.list(onlyGiven({ search, limit }));
      const rows = prompts.map(({ prompt, pinned, usedAt }) => [pinned ? 'pinned' : '', when(usedAt), prompt]);
      return {
        json: { type: 'prompts', prompts },
        text: rows.length
          ? table(['', 'used', 'prompt'], rows)
          : [search ? 'no prompt fits' : 'no prompts yet: each that is queued comes here'],
      };
    },
  }),
  verb({
    name: 'prompt pin',
    takes: 'PROMPT',
    help: 'keep a prompt on top of the list, used or not',
    uses: ['prompts.pin'],
    act: async ({ client, words: [word] }) => {
      const prompt = await client.prompts.pin({ prompt: word!, pinned: true });
      return { json: { type: 'prompt', ...prompt }, text: ['it is pinned'] };
    },
  }),
  verb({
    name: 'prompt unpin',
    takes: 'PROMPT',
    help: 'keep it on top no longer',
    uses: ['prompts.pin'],
    act: async ({ client, words: [word] }) => {
      const prompt = await client.prompts.pin({ prompt: word!, pinned: false });
      return { json: { type: 'prompt', ...prompt }, text: ['it is pinned no longer'] };
    },
  }),
  verb({
    name: 'prompt remove',
    takes: 'PROMPT',
    help: 'take it off the list, until it is used again',
    uses: ['prompts.remove'],
    act: async ({ client, words: [word] }) => {
      await client.prompts.remove({ prompt: word! });
      return { json: { type: 'removed', prompt: word }, text: ['it is off the list'] };
    },
  }),
] as const;
