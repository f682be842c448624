/** @file What exports are for, in the window's words; what the host knows and this list does not is shown with the host's. */
import type { Client } from '../../state/collections.svelte.ts';
import { t } from '../../words/index.svelte.ts';

export type Preset = Awaited<ReturnType<Client['exports']['presets']>>['presets'][number];

/** By where it goes, in this order. */
export const groups = [
  { id: 'share', presets: ['share', 'chat10', 'chat25', 'chat50'] },
  { id: 'social', presets: ['socialTall', 'socialPortrait', 'socialSquare'] },
  { id: 'web', presets: ['webLoop', 'webLoopMp4', 'gif', 'webp'] },
  { id: 'edit', presets: ['editProres', 'editDnxhr', 'frames'] },
  { id: 'keep', presets: ['highEfficiency', 'archive', 'lossless'] },
] as const;
export type GroupId = (typeof groups)[number]['id'];
type Known = Exclude<(typeof groups)[number]['presets'][number], 'chat10' | 'chat25' | 'chat50' | 'webLoopMp4'>;
const known: ReadonlySet<string> = new Set(groups.flatMap(({ presets }) => presets));

export const groupOf = (id: string): GroupId => groups.find(({ presets }) => (presets as readonly string[]).includes(id))?.id ?? 'keep';

/** Its name and what it is good for; `lang` where they are not in the language that is set. */
export function wordsOf({ id, name, says }: Pick<Preset, 'id' | 'name' | 'says'>): {
  name: string;
  says: string;
  lang: string | undefined;
} {
  const megabytes = /^chat(\d+)$/.exec(id)?.[1];
  if (megabytes !== undefined)
    return { name: t('player.preset_chat', { n: megabytes }), says: t('player.says_chat', { n: megabytes }), lang: undefined };
  if (!known.has(id)) return { name, says, lang: 'en' };
  const key = (id === 'webLoopMp4' ? 'webLoop' : id) as Known;
  return { name: t(`player.preset_${key}`), says: t(`player.says_${key}`), lang: undefined };
}

/** For what is dragged out. */
export const mediaTypes: Readonly<Partial<Record<string, string>>> = {
  mp4: 'video/mp4',
  mov: 'video/quicktime',
  mkv: 'video/x-matroska',
  webm: 'video/webm',
  gif: 'image/gif',
  webp: 'image/webp',
};
