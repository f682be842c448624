/** @file The kit: everything that views are made of. Nothing here knows the studio, the words or the state: strings come as props, already
 * translated. Every optional prop also takes undefined.
 *
 * | component | for | main props (⇄ bindable) |
 * |---|---|---|
 * | Button | words that do something; `href` makes a link | variant primary·plain·ghost·danger, size s·m·l, icon, iconEnd, busy, pressed, disabled, full, shortcut, href, onclick, children |
 * | IconButton | an icon that does something | label!, icon!, variant ghost·plain·primary·danger·picture, size, shortcut, tooltip side·false, busy, pressed, filled, flip, count, href, onclick |
 * | Field | label, hint, error of the one control within | label!, hint, error, aside (snippet), hideLabel, children |
 * | TextInput | one line | ⇄value, label, icon, size, clearLabel, invalid, suffix (snippet), ⇄ref, input attributes |
 * | TextArea | several lines, grows | ⇄value, label, rows, maxRows, invalid, bare, ⇄ref, textarea attributes |
 * | NumberInput | a number | ⇄value number·null, min, max, step, digits, unit, lessLabel, moreLabel, allowEmpty, placeholder, disabled, text(v), onchange(v) |
 * | Slider | a number by feel | ⇄value, min, max, step, text(v), quiet, marks, disabled, oninput(v), onchange(v) |
 * | Select | one of many | ⇄value, options, label, placeholder, icon, size, variant framed·plain, disabled, onchange(v) |
 * | SegmentedControl | one of two to five | ⇄value, options, label, iconsOnly, size, full, disabled, onchange(v) |
 * | Switch, Checkbox | on or off | ⇄checked, label!, hint, hideLabel, disabled, onchange(on); Checkbox also ⇄indeterminate |
 * | Menu | things to do | items! (MenuItem[]), trigger snippet({ props }) or at {x, y} with returnTo, ⇄open, label, align, side, onclose |
 * | Popover | a small panel | title!, trigger! snippet({ props }), ⇄open, hideTitle, side, align, width, children, onclose |
 * | Tooltip, tip() | a word on hover and focus | text!, shortcut, side, describes; as attachment: `{@attach tip({ text })}` |
 * | Dialog | a question or task before all else | ⇄open, title!, description, size s·m·l·full, closeLabel, alert, bare, children, footer (snippet), onclose |
 * | Sheet | a panel at an edge | ⇄open, title!, side start·end·bottom, modal, width, closeLabel!, closeShortcut, aside, bare, children, footer, onclose |
 * | Tabs | pages at one place | ⇄value, tabs!, label!, orientation row·column, children snippet(value), onchange(v) |
 * | Chip | something chosen | text!, icon, picture, pressed, onclick, removeLabel + onremove, disabled, label |
 * | Badge | a state | text!, tone neutral·accent·success·warning·danger, icon, onPicture |
 * | Progress | how far | value! 0…1·null, label!, text, size s·m, tone, onPicture |
 * | Spinner | it goes on | label, size |
 * | Skeleton | where something will be | shape text·block·circle, lines, ratio, width |
 * | EmptyState | nothing yet | art (Art…) or icon, title!, text, actions (snippet), level, compact, children |
 * | Failure | a sentence and what mends it | text!, title, action { label, run, icon, busy }, tone danger·warning, lang, layout line·page, live, children |
 * | Toast | what has happened | text!, tone, lang, action { label, run, shortcut }, closeLabel!, onclose! |
 * | Disclosure | folded away | title!, aside, ⇄open, children |
 * | Kbd | keys | keys! |
 * | Stars | 0 to 5 | ⇄value, label!, text!(v), readonly, size, onPicture, onchange(v) |
 * | Avatar | a small picture | src, name!, size xs·s·m·l, shape, decorative |
 * | Cover | a picture with words on it | src, alt, ratio, fit, title, text, selected, href or onclick, eager, start, end, children (snippets) |
 * | DropZone | files dropped, pasted, chosen | invitation!, accept, multiple, label, paste, carries + oncarried, framed, disabled, onfiles(files, refused)!, children snippet({ over, browse, browseFolder }) |
 * | VisuallyHidden | for screen readers only | children |
 * | Mark | the product's mark | size, label |
 * | Art… | drawings for EmptyState's `art` | |
 *
 * Tokens are in app.css: --space-1…8 (4 8 12 16 24 32 48 64), --text-xs…2xl (12 13 14 16 20 28), --bg --surface --raised --sunken --fill,
 * --text --text-2, --line --line-control, --accent --accent-text --accent-soft --on-accent, --danger-text …-soft (also warning, success),
 * --radius-s·(none)·l·xl, --shadow-float·modal, --fast --medium --slow --ease, --z-…; classes .flip .truncate .numbers .on-picture .dark. */
export { default as Avatar } from './Avatar.svelte';
export { default as Badge } from './Badge.svelte';
export { default as Button } from './Button.svelte';
export { default as Checkbox } from './Checkbox.svelte';
export { default as Chip } from './Chip.svelte';
export { default as Cover } from './Cover.svelte';
export { default as Dialog } from './Dialog.svelte';
export { default as Disclosure } from './Disclosure.svelte';
export { default as DropZone } from './DropZone.svelte';
export { default as EmptyState } from './EmptyState.svelte';
export { default as Failure } from './Failure.svelte';
export { default as Field } from './Field.svelte';
export { default as IconButton } from './IconButton.svelte';
export { default as Kbd } from './Kbd.svelte';
export { default as Mark } from './Mark.svelte';
export { default as Menu } from './Menu.svelte';
export { default as NumberInput } from './NumberInput.svelte';
export { default as Popover } from './Popover.svelte';
export { default as Progress } from './Progress.svelte';
export { default as SegmentedControl } from './SegmentedControl.svelte';
export { default as Select } from './Select.svelte';
export { default as Sheet } from './Sheet.svelte';
export { default as Skeleton } from './Skeleton.svelte';
export { default as Slider } from './Slider.svelte';
export { default as Spinner } from './Spinner.svelte';
export { default as Stars } from './Stars.svelte';
export { default as Switch } from './Switch.svelte';
export { default as Tabs } from './Tabs.svelte';
export { default as TextArea } from './TextArea.svelte';
export { default as TextInput } from './TextInput.svelte';
export { default as Toast } from './Toast.svelte';
export { default as Tooltip } from './Tooltip.svelte';
export { default as VisuallyHidden } from './VisuallyHidden.svelte';
export { default as ArtCreate } from './art/ArtCreate.svelte';
export { default as ArtLibrary } from './art/ArtLibrary.svelte';
export { default as ArtOffline } from './art/ArtOffline.svelte';
export { default as ArtQueue } from './art/ArtQueue.svelte';
export { default as ArtSearch } from './art/ArtSearch.svelte';
export { default as ArtSubjects } from './art/ArtSubjects.svelte';
export { default as ArtTrash } from './art/ArtTrash.svelte';
export { fieldOf } from './field.ts';
export { filesOf, isAccepted } from './files.ts';
export { direction } from './direction.svelte.ts';
export { sourceOf } from './source.ts';
export { tip } from './tip.svelte.ts';
export type { Tip } from './tip.svelte.ts';
export type { Dropped, Icon, MenuItem, Option, TabItem, Tone, TriggerProps } from './types.ts';
