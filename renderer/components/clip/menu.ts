/** @file The menu of clips: the same actions, in the same order, with the same keys, for a tile, for several, and for a clip's own page. */
import type { ClipId } from '../../../electron/contract/ids.ts';
import Check from '@lucide/svelte/icons/check';
import Columns2 from '@lucide/svelte/icons/columns-2';
import Dices from '@lucide/svelte/icons/dices';
import Download from '@lucide/svelte/icons/download';
import Link from '@lucide/svelte/icons/link';
import RotateCcw from '@lucide/svelte/icons/rotate-ccw';
import Share from '@lucide/svelte/icons/share';
import SquarePlay from '@lucide/svelte/icons/square-play';
import Star from '@lucide/svelte/icons/star';
import Tag from '@lucide/svelte/icons/tag';
import Trash from '@lucide/svelte/icons/trash-2';
import Wand from '@lucide/svelte/icons/wand-sparkles';
import type { App } from '../../state/app.svelte.ts';
import { revealItem, saveWords } from '../../state/desktop.ts';
import { keyNames } from '../../state/keys.svelte.ts';
import {
  comparable,
  compareClips,
  downloadClips,
  eraseClips,
  mostDownloads,
  rateClips,
  restoreClips,
  reuseClip,
  trashClips,
} from '../../state/library-actions.ts';
import { t } from '../../words/index.svelte.ts';
import type { MenuItem } from '../ui/index.ts';

/** Most clips that one export joins. */
export const mostJoined = 100;

export interface MenuOf {
  readonly ids: readonly ClipId[];
  /** They are in the trash: then little else can be done to them. */
  readonly trashed: boolean;
  /** Undefined: it is open already. */
  readonly open?: (() => void) | undefined;
  readonly tags?: (() => void) | undefined;
  readonly exports?: (() => void) | undefined;
  /** Whether the only one is selected, and how to change that. Undefined: nothing can be selected here. */
  readonly select?: { readonly selected: boolean; readonly run: () => void } | undefined;
}

/** The keys of an action, as a person reads them. */
export function keysOf(app: App, id: string): string | undefined {
  const keys = app.keys.keysOf(id);
  return keys === null ? undefined : keyNames(keys).join('+');
}

export function clipMenu(app: App, { ids, trashed, open, tags, exports, select }: MenuOf): MenuItem[] {
  const [only] = ids,
    one = ids.length === 1;
  if (only === undefined) return [];
  const first: MenuItem[] = [
    ...(one && open ? [{ label: t('library.open'), icon: SquarePlay, shortcut: keyNames('Enter').join(), run: open }] : []),
    ...(one && select ? [{ label: t('library.select'), icon: Check, checked: select.selected, shortcut: keyNames('Space').join(), run: select.run }] : []),
  ]; // prettier-ignore
  if (trashed)
    return [
      ...first,
      'line',
      { label: t('library.restore'), icon: RotateCcw, shortcut: keysOf(app, 'library.restore'), run: () => void restoreClips(app, ids) },
      { label: `${t('library.erase')}…`, icon: Trash, danger: true, shortcut: keysOf(app, 'library.trash'), run: () => void eraseClips(app, ids, ids.length) },
    ]; // prettier-ignore
  return [
    ...first,
    {
      label: t('library.rate'),
      icon: Star,
      items: [5, 4, 3, 2, 1, 0].map(stars => ({
        label: stars === 0 ? t('library.noStars') : t('library.stars', { n: stars }),
        shortcut: keysOf(app, `library.rate${stars}`),
        run: () => void rateClips(app, ids, stars),
      })),
    },
    ...(tags ? [{ label: t('library.editTags'), icon: Tag, shortcut: keysOf(app, 'library.tags'), run: tags }] : []),
    'line',
    ...(one
      ? [
          { label: t('library.reuse'), icon: Wand, shortcut: keysOf(app, 'library.reuse'), run: () => void reuseClip(app, only, 'keep') },
          { label: t('library.remix'), icon: Dices, shortcut: keysOf(app, 'library.remix'), run: () => void reuseClip(app, only, 'new') },
        ]
      : []),
    ...(comparable(ids.length)
      ? [{ label: t('library.compare'), icon: Columns2, shortcut: keysOf(app, 'library.compare'), run: () => compareClips(app, ids) }]
      : []),
    ...(exports && ids.length <= mostJoined
      ? [{ label: one ? t('library.export') : t('library.join'), icon: one ? Share : Link, shortcut: keysOf(app, 'library.export'), run: exports }]
      : []),
    ...(ids.length <= mostDownloads(app)
      ? [{ label: saveWords(app, 'library.download', ids.length), icon: Download, shortcut: keysOf(app, 'library.download'), run: () => void downloadClips(app, ids) }]
      : []),
    ...(one && app.clips.record(only)?.missing === false ? revealItem(app, only) : []),
    'line',
    { label: t('library.toTrash'), icon: Trash, danger: true, shortcut: keysOf(app, 'library.trash'), run: () => void trashClips(app, ids) },
  ]; // prettier-ignore
}
