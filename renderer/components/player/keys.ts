/** @file The keys that move a film, and when a key is meant for it. */
import type { Shortcut } from '../../state/keys.svelte.ts';
import type { Player } from '../../state/player.svelte.ts';
import { t } from '../../words/index.svelte.ts';

/** Something that lies over the page takes the keys. */
export const covered = (): boolean =>
  document.querySelector('[role=dialog]:not([aria-modal=false]), [role=alertdialog], [role=menu], [role=listbox], dialog[open]') !== null;
/** Nothing that has the focus takes Space or Enter for itself. */
export const pressFree = (): boolean =>
  !covered() && !(document.activeElement?.matches('button, a[href], summary, select, input, [role=option], [role=switch]') ?? false);
/** Nothing that has the focus takes arrows, Home and End for itself. */
export const arrowsFree = (): boolean =>
  !covered() &&
  !(
    document.activeElement?.matches(
      'input, select, textarea, [role=slider], [role=tab], [role=radio], [role=separator], [role=option], [data-arrows]',
    ) ?? false
  );
const uncovered = () => !covered();
/** What every player answers to. */
export const transport = (player: Player): Shortcut[] => [
  { id: 'player.play', label: () => t('player.playOrPause'), keys: 'Space', when: pressFree, run: () => player.toggle() },
  { id: 'player.playToo', label: () => t('player.playOrPauseToo'), keys: 'K', when: uncovered, run: () => player.toggle() },
  { id: 'player.back', label: () => t('player.back'), keys: 'ArrowLeft', when: arrowsFree, run: () => player.step(-1) },
  { id: 'player.forward', label: () => t('player.forward'), keys: 'ArrowRight', when: arrowsFree, run: () => player.step(1) },
  { id: 'player.backToo', label: () => t('player.backToo'), keys: ',', when: uncovered, run: () => player.step(-1) },
  { id: 'player.forwardToo', label: () => t('player.forwardToo'), keys: '.', when: uncovered, run: () => player.step(1) },
  { id: 'player.first', label: () => t('player.first'), keys: 'Home', when: arrowsFree, run: () => player.step(-player.frame) },
  { id: 'player.last', label: () => t('player.last'), keys: 'End', when: arrowsFree, run: () => player.step(player.count) },
  { id: 'player.loop', label: () => t('player.loop'), keys: 'R', when: uncovered, run: () => (player.loop = !player.loop) },
];
