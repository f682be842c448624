/** @file Which picture an event is about. */

/** The address that a picture was asked for by, of its `load` or `error`. Such an event may come when another picture is shown there, or when its component has gone:
 * then the component's props say nothing about it. */
export const sourceOf = ({ currentTarget }: { readonly currentTarget: Element }): string | undefined =>
  currentTarget.getAttribute('src') ?? undefined;
