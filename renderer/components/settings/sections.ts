/** @file The sections of the settings, and what the search finds in them. */
import Boxes from '@lucide/svelte/icons/boxes';
import Cpu from '@lucide/svelte/icons/cpu';
import Globe from '@lucide/svelte/icons/globe';
import HardDrive from '@lucide/svelte/icons/hard-drive';
import Info from '@lucide/svelte/icons/info';
import Keyboard from '@lucide/svelte/icons/keyboard';
import Languages from '@lucide/svelte/icons/languages';
import Palette from '@lucide/svelte/icons/palette';
import type { Component } from 'svelte';
import { phraseIn, type Key, type Language } from '../../words/index.svelte.ts';
import type { Icon } from '../ui/index.ts';

export const sections = {
  appearance: { icon: Palette, view: () => import('./Appearance.svelte') },
  language: { icon: Languages, view: () => import('./Language.svelte') },
  shortcuts: { icon: Keyboard, view: () => import('./Shortcuts.svelte') },
  models: { icon: Boxes, view: () => import('./Models.svelte') },
  devices: { icon: Cpu, view: () => import('./Devices.svelte') },
  storage: { icon: HardDrive, view: () => import('./Storage.svelte') },
  network: { icon: Globe, view: () => import('./Network.svelte') },
  about: { icon: Info, view: () => import('./About.svelte') },
} as const satisfies Record<string, { icon: Icon; view: () => Promise<{ default: Component }> }>;
export type SectionName = keyof typeof sections;
export const sectionNames = Object.keys(sections) as readonly SectionName[];

/** One thing that can be set, or done. */
export interface Entry {
  /** Of its row: `#/settings/network?at=offline`. */
  readonly id: string;
  readonly section: SectionName;
  readonly title: Key;
  /** What else people call it. */
  readonly words: Key;
}
const entry = (section: SectionName, id: string, title: Key, words: Key): Entry => ({ section, id, title, words });
export const entries: readonly Entry[] = [
  entry('appearance', 'theme', 'settings.theme', 'settings.themeWords'),
  entry('appearance', 'motion', 'settings.motion', 'settings.motionWords'),
  entry('appearance', 'welcome', 'settings.welcomeAgain', 'settings.welcomeAgainWords'),
  entry('language', 'language', 'settings.language', 'settings.languageWords'),
  entry('shortcuts', 'shortcuts', 'settings.shortcuts', 'keys.words'),
  entry('models', 'known', 'settings.known', 'settings.modelsWords'),
  entry('models', 'folder', 'settings.addFolder', 'settings.addFolderWords'),
  entry('models', 'checkpoints', 'settings.checkpoints', 'settings.modelsWords'),
  entry('models', 'adapters', 'settings.adapters', 'settings.adaptersWords'),
  entry('devices', 'device', 'settings.device', 'settings.deviceWords'),
  entry('devices', 'threads', 'settings.threads', 'settings.threadsWords'),
  entry('devices', 'previews', 'settings.previews', 'settings.previewsWords'),
  entry('devices', 'latents', 'settings.keepLatents', 'settings.keepLatentsWords'),
  entry('devices', 'encoder', 'settings.encoder', 'settings.encoderWords'),
  entry('storage', 'disk', 'settings.storage', 'settings.storageWords'),
  entry('storage', 'check', 'settings.check', 'settings.checkWords'),
  entry('storage', 'backups', 'settings.backups', 'settings.backupsWords'),
  entry('network', 'offline', 'settings.offline', 'settings.offlineWords'),
  entry('network', 'hosts', 'settings.hosts', 'settings.hostsWords'),
  entry('network', 'token', 'settings.token', 'settings.tokenWords'),
  entry('network', 'endpoint', 'settings.endpoint', 'settings.endpointWords'),
  entry('about', 'version', 'settings.about', 'settings.versionWords'),
  entry('about', 'telemetry', 'settings.telemetry', 'settings.versionWords'),
];

const plain = (text: string) => text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();
/** What has every word of the search in its name or beside it, in the language that is set or in English; names first. */
export function findEntries(search: string, language: Language): readonly Entry[] {
  const wanted = plain(search).split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return [];
  const named = (key: Key) => plain(`${phraseIn(language, key)} ${phraseIn('en', key)}`);
  const found = entries.flatMap(e => {
    const title = named(e.title),
      all = `${title} ${named(e.words)} ${named(`settings.${e.section}`)}`;
    if (!wanted.every(word => all.includes(word))) return [];
    return [{ e, rank: wanted.every(word => title.includes(word)) ? 0 : 1 }];
  });
  return found.sort((a, b) => a.rank - b.rank).map(({ e }) => e);
}
