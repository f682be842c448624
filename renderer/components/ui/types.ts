/** @file What the parts of the kit say to those who use them. */
import type { LucideProps } from '@lucide/svelte';
import type { Component } from 'svelte';

/** An icon of @lucide/svelte, or a component of ours that takes the same `size`. */
export type Icon = Component<LucideProps>;

/** How much something matters, as a colour; what it means is said in words beside it. */
export type Tone = 'neutral' | 'accent' | 'success' | 'warning' | 'danger';

/** One of the choices of a Select or a SegmentedControl. */
export interface Option<T extends string = string> {
  readonly value: T;
  readonly label: string;
  /** A second line, in Select only. */
  readonly hint?: string | undefined;
  readonly icon?: Icon | undefined;
  readonly disabled?: boolean | undefined;
  /** Options of one group follow each other; in Select only. */
  readonly group?: string | undefined;
}

export interface TabItem<T extends string = string> {
  readonly value: T;
  readonly label: string;
  readonly icon?: Icon | undefined;
  /** Shown behind the label. */
  readonly count?: number | string | undefined;
}

/** A line of a menu: something to do, something to turn on, a place to go, a menu within, a line between, or a heading. */
export type MenuItem =
  | {
      readonly label: string;
      readonly icon?: Icon | undefined;
      /** As a person reads it: `Ctrl+D`. */
      readonly shortcut?: string | undefined;
      readonly danger?: boolean | undefined;
      readonly disabled?: boolean | undefined;
      /** With it the line is a check mark that can be on or off. */
      readonly checked?: boolean | undefined;
      readonly run: () => void;
    }
  | {
      readonly label: string;
      readonly icon?: Icon | undefined;
      readonly disabled?: boolean | undefined;
      readonly items: readonly MenuItem[];
    }
  | { readonly label: string; readonly icon?: Icon | undefined; readonly href: string }
  | { readonly heading: string }
  | 'line';

/** What a trigger snippet gets: all of it goes onto the one button that opens. `<Button {...props}>` or `<IconButton {...props}>`. */
export interface TriggerProps {
  readonly props: Record<string, unknown>;
}

/** A file from a drop, a paste or a file picker. */
export interface Dropped {
  /** Of our own program also one that the host knows already, by its id. */
  readonly file: File | { readonly id: string; readonly name: string; readonly size: number };
  /** Where it lay in what was dropped: `holiday/lemon.jpg`, or its name alone. */
  readonly path: string;
}
