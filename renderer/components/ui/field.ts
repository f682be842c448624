/** @file How a control learns what its Field says of it. */
import { getContext, setContext } from 'svelte';

const key = Symbol('field');
/** Of a Field, for the control within it. */
export interface FieldOf {
  readonly id: string;
  readonly labelId: string;
  /** Ids of hint and error, in the order in which they are read. */
  readonly describedBy: string | undefined;
  readonly invalid: boolean;
}
export const provideField = (field: FieldOf): FieldOf => setContext(key, field);
/** @returns undefined outside a Field: then the control needs a label of its own */
export const fieldOf = (): FieldOf | undefined => getContext<FieldOf | undefined>(key);
