/** @file Where the window is: the address after `#`, so that Back works and any place can be linked to. */

export const places = ['welcome', 'subjects', 'create', 'library', 'settings'] as const;
export type PlaceName = (typeof places)[number];

export class Route {
  #hash = $state(location.hash);
  /** `library`, `c5`, `compare` of `#/library/c5/compare?with=c6`. */
  readonly #parts = $derived(
    this.#hash
      .replace(/^#\/?/, '')
      .split('?')[0]!
      .split('/')
      .map(part => {
        try {
          return decodeURIComponent(part);
        } catch {
          return part;
        }
      }),
  );
  readonly place = $derived<PlaceName | undefined>(places.find(p => p === this.#parts[0]));
  readonly id = $derived<string | undefined>(this.#parts[1] || undefined);
  readonly part = $derived<string | undefined>(this.#parts[2] || undefined);
  readonly query = $derived(new URLSearchParams(this.#hash.split('?')[1] ?? ''));
  readonly hash = $derived(this.#hash);

  constructor() {
    addEventListener('hashchange', () => (this.#hash = location.hash));
  }

  /** @param hash `#/subjects/s3`
   * @param replace without a step of its own on the way back */
  go(hash: string, replace = false): void {
    if (hash === location.hash) return;
    if (replace) history.replaceState(null, '', hash);
    else location.hash = hash;
    this.#hash = location.hash; // the event comes later, when more may have been typed
  }
}
