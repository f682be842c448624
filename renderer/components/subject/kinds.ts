/** @file The kinds of subject, as they are drawn. */
import Box from '@lucide/svelte/icons/package';
import Drama from '@lucide/svelte/icons/drama';
import PawPrint from '@lucide/svelte/icons/paw-print';
import Shapes from '@lucide/svelte/icons/shapes';
import ToyBrick from '@lucide/svelte/icons/toy-brick';
import UserRound from '@lucide/svelte/icons/user-round';
import { subjectKinds } from '../../../electron/contract/records.ts';
import type { Kind } from '../../state/arrivals.svelte.ts';
import { t } from '../../words/index.svelte.ts';
import type { Icon, Option } from '../ui/index.ts';

export const kindIcons: Readonly<Record<Kind, Icon>> = {
  person: UserRound,
  pet: PawPrint,
  toy: ToyBrick,
  product: Box,
  character: Drama,
  other: Shapes,
};
export const kindOptions = (): Option<Kind>[] =>
  subjectKinds.map(value => ({ value, label: t(`subjects.kind_${value}`), icon: kindIcons[value] }));
