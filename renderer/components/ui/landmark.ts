/** @file Where menus and lists are put: in the landmark, or the dialog, of what opened them, so that screen readers find them where they
 * belong. They are fixed to the window; nothing there may cut or move what is fixed (no transform, no filter, on the landmark itself). */
export const landmarkOf = (element: Element | null | undefined): Element =>
  element?.closest('[role=dialog], [role=alertdialog], main') ??
  element?.closest('nav, aside') ??
  document.querySelector('main') ??
  document.body;
