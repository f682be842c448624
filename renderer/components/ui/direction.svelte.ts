/** @file Which way the window is read. */
import { createSubscriber } from 'svelte/reactivity';

const watch = createSubscriber(update => {
  const observer = new MutationObserver(update);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['dir'] });
  return () => observer.disconnect();
});
/** Of the whole document; what reads it in an effect or a template follows it. */
export function direction(): 'ltr' | 'rtl' {
  watch();
  return document.documentElement.dir === 'rtl' ? 'rtl' : 'ltr';
}
