/** @file The one tooltip of the window. It lies in the browser's top layer, so nothing covers or clips it, and a hundred tiles cost nothing. */
import type { Attachment } from 'svelte/attachments';

export interface Tip {
  readonly text: string;
  /** As a person reads it: `Ctrl+K`. */
  readonly shortcut?: string | undefined;
  /** Where it would like to be; it turns over where there is no room. */
  readonly side?: 'top' | 'bottom' | 'start' | 'end' | undefined;
  /** Also tell screen readers, as a description. Not where the text is the element's name already. */
  readonly describes?: boolean | undefined;
}

const gap = 6,
  edge = 8,
  /** Milliseconds: until the first, and for how long the next ones come at once. */
  patience = 500,
  warmth = 400;
let box: HTMLElement | undefined,
  owner: HTMLElement | undefined,
  timer: ReturnType<typeof setTimeout> | undefined,
  lastHidden = -Infinity;

function element(): HTMLElement {
  if (box?.isConnected) return box;
  box = document.createElement('div');
  box.className = 'tip';
  box.popover = 'manual';
  box.setAttribute('aria-hidden', 'true'); // what it says is the element's name, or its description
  // it stays while the pointer is upon it
  box.addEventListener('pointerenter', () => clearTimeout(timer));
  box.addEventListener('pointerleave', () => hide());
  document.body.append(box);
  return box;
}

function place(of: HTMLElement, side: NonNullable<Tip['side']>): void {
  const shown = element(),
    anchor = of.getBoundingClientRect(),
    { width, height } = shown.getBoundingClientRect(),
    { clientWidth, clientHeight } = document.documentElement,
    right = (side === 'end') === (getComputedStyle(of).direction === 'ltr');
  let x = anchor.left + (anchor.width - width) / 2,
    y = anchor.top + (anchor.height - height) / 2;
  if (side === 'top' || side === 'bottom') {
    const above = anchor.top - gap - height,
      below = anchor.bottom + gap;
    y = side === 'top' ? (above >= edge ? above : below) : below + height <= clientHeight - edge ? below : above;
  } else {
    const before = anchor.left - gap - width,
      after = anchor.right + gap;
    x = right ? (after + width <= clientWidth - edge ? after : before) : before >= edge ? before : after;
  }
  shown.style.left = `${Math.max(edge, Math.min(x, clientWidth - edge - width)).toFixed(0)}px`;
  shown.style.top = `${Math.max(edge, Math.min(y, clientHeight - edge - height)).toFixed(0)}px`;
}

function show(of: HTMLElement, { text, shortcut, side = 'top' }: Tip): void {
  if (!of.isConnected || text === '') return;
  const shown = element();
  shown.replaceChildren(text);
  shown.dir = getComputedStyle(of).direction;
  if (shortcut !== undefined && shortcut !== '') {
    const keys = document.createElement('kbd');
    keys.textContent = shortcut;
    shown.append(keys);
  }
  owner = of;
  if (!shown.matches(':popover-open')) shown.showPopover();
  place(of, side);
}

function hide(): void {
  clearTimeout(timer);
  if (owner) lastHidden = performance.now();
  owner = undefined;
  if (box?.matches(':popover-open')) box.hidePopover();
}

/** A tooltip for the element: `<button {@attach tip({ text, shortcut })}>`. It comes after half a second under the pointer, at once by
 * keyboard, and goes with Escape, a press, a scroll. Without a text there is none. */
export function tip({ text, shortcut, side, describes = false }: Tip): Attachment<HTMLElement> {
  return of => {
    const enter = ({ pointerType }: PointerEvent) => {
      clearTimeout(timer);
      if (pointerType !== 'touch')
        timer = setTimeout(show, performance.now() - lastHidden < warmth ? 0 : patience, of, { text, shortcut, side });
    };
    // a little time to reach the tooltip itself
    const leave = () => {
      clearTimeout(timer);
      timer = setTimeout(hide, 100);
    };
    const focus = () => of.matches(':focus-visible') && show(of, { text, shortcut, side });
    const key = (event: KeyboardEvent) => event.key === 'Escape' && owner === of && hide();
    const away = () => owner === of && hide();
    const previous = of.getAttribute('aria-description');
    if (describes) of.setAttribute('aria-description', text);
    of.addEventListener('pointerenter', enter);
    of.addEventListener('pointerleave', leave);
    of.addEventListener('pointerdown', hide);
    of.addEventListener('focus', focus);
    of.addEventListener('blur', away);
    document.addEventListener('keydown', key, true);
    document.addEventListener('scroll', away, true);
    // the text has changed under the pointer
    if (owner === of) show(of, { text, shortcut, side });
    return () => {
      if (describes) {
        if (previous === null) of.removeAttribute('aria-description');
        else of.setAttribute('aria-description', previous);
      }
      of.removeEventListener('pointerenter', enter);
      of.removeEventListener('pointerleave', leave);
      of.removeEventListener('pointerdown', hide);
      of.removeEventListener('focus', focus);
      of.removeEventListener('blur', away);
      document.removeEventListener('keydown', key, true);
      document.removeEventListener('scroll', away, true);
      if (owner === of) timer = setTimeout(() => !of.isConnected && hide(), 0);
    };
  };
}
