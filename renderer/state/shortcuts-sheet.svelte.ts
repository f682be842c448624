/** @file Whether the cheat sheet is open: any view may open it, the frame shows it. */
export const sheet = $state({ open: false });
