/** @file What was done and can be taken back, in the order in which it was done. */

export interface Step {
  /** What it was, as the button's sentence says it. */
  readonly label: string;
  readonly undo: () => Promise<unknown>;
  readonly redo: () => Promise<unknown>;
}
/** Steps that are remembered. */
const most = 100;

export class Undo {
  #done = $state.raw<readonly Step[]>([]);
  #undone = $state.raw<readonly Step[]>([]);
  #busy = Promise.resolve();
  readonly #doing = new Set<Promise<unknown>>();
  readonly can = $derived(this.#done.at(-1)?.label);
  readonly canRedo = $derived(this.#undone.at(-1)?.label);

  /** Work that pushes a step once it is done. Who presses Undo meanwhile means this one: `undo` waits for it. */
  during<T>(work: () => Promise<T>): Promise<T> {
    const doing = work();
    this.#doing.add(doing);
    const over = () => void this.#doing.delete(doing);
    doing.then(over, over);
    return doing;
  }
  push(step: Step): void {
    this.#done = [...this.#done.slice(1 - most), step];
    this.#undone = [];
  }
  /** Takes one back: this one, or the last. One after the other, however fast somebody presses.
   * @returns what was taken back; undefined where there is nothing
   * @throws what its `undo` throws: then it can be tried again */
  undo(step?: Step): Promise<string | undefined> {
    const before = step ? [] : [...this.#doing];
    return this.#next(async () => {
      await Promise.allSettled(before);
      const last = step ?? this.#done.at(-1);
      if (!last || !this.#done.includes(last)) return undefined;
      await last.undo();
      this.#done = this.#done.filter(s => s !== last);
      this.#undone = [...this.#undone, last];
      return last.label;
    });
  }
  redo(): Promise<string | undefined> {
    return this.#next(async () => {
      const last = this.#undone.at(-1);
      if (!last) return undefined;
      await last.redo();
      this.#undone = this.#undone.slice(0, -1);
      this.#done = [...this.#done, last];
      return last.label;
    });
  }
  #next<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#busy.then(work);
    this.#busy = mine.then(
      () => undefined,
      () => undefined,
    );
    return mine;
  }
}
