/** @file What is typed belongs to what was shown while it was typed. */

/** Text, and the thing it was typed for. */
export interface Typed<Of> {
  readonly text: string;
  readonly of: Of;
}

/**
 * The text of a field of the thing that a page shows. By the time the field is left, the page may show another thing, or be gone with all that
 * it derived: so whose text it is is kept with it, at each key.
 */
export class Typing<Of> {
  #typed = $state.raw<Typed<Of>>();
  readonly #shown: () => Of;
  readonly #saved: () => string;

  /** @param shown the thing that is shown now
   * @param saved what the field says where nothing is being typed */
  constructor(shown: () => Of, saved: () => string = () => '') {
    this.#shown = shown;
    this.#saved = saved;
  }

  /** For the field to bind to. */
  get value(): string {
    return this.#typed ? this.#typed.text : this.#saved();
  }
  set value(text: string) {
    this.#typed = { text, of: this.#shown() };
  }

  /** What has been typed and not been taken yet. */
  get typed(): Typed<Of> | undefined {
    return this.#typed;
  }

  /** What has been typed, which the field forgets. A page that goes may ask twice: as the field is left, and at its end. */
  take(): Typed<Of> | undefined {
    const typed = this.#typed;
    this.#typed = undefined;
    return typed;
  }

  /** Puts back what could not be saved, unless something else is being typed. */
  restore(typed: Typed<Of>): void {
    this.#typed ??= typed;
  }
}
