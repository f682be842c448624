/** @file `settings`, `storage` and `backup`. */
import { settingFields, cleanableKinds, type Settings } from '../contract/records.ts';
import { UsageError, closest } from './arguments.ts';
import { counted, duration, size, table, when } from './print.ts';
import { sentenceOf, verb } from './verb.ts';

type Key = keyof typeof settingFields.shape;
const keys = Object.keys(settingFields.shape) as Key[];
const dashed = (key: string) => key.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`);
const helps: Readonly<Record<Key, string>> = {
  previewSeconds: 'seconds between previews; 0 for none',
  device: 'auto, cpu or cuda',
  keepLatents: "keep each clip's final latents",
  threads: 'to compute with; none for as many as fit',
  dailyBackup: 'back up the library once a day',
  offline: 'contact nobody, whatever is asked',
  dailyUpdates: 'the desktop app looks for a newer one once a day, where its package knows where to look',
  theme: 'system, light or dark: how the window looks',
  language: 'system, en, de or ar: what the window speaks',
  motion: 'system, reduced or full: how the window moves',
  shortcuts: `none for the usual ones, or others: {"queue.toggle":"Mod+J"}`,
  welcomed: 'the first start of the window has been seen',
};
const spoken = (value: Settings[Key]) =>
  value === null ? 'none' : typeof value === 'boolean' ? (value ? 'yes' : 'no') : typeof value === 'object' ? listed(value) : String(value);
const listed = (keys: Settings['shortcuts']) =>
  Object.entries(keys)
    .map(([action, key]) => `${action} ${key ?? 'none'}`)
    .join(', ') || 'none';

const jsonOf = (word: string): unknown => {
  try {
    return JSON.parse(word);
  } catch {
    return word;
  }
};
/** What a setting may mean as typed: the first reading that it takes.
 * @throws UsageError saying what it takes */
function valueOf(key: Key, word: string): unknown {
  const readings: unknown[] = [word];
  if (word.trim() !== '' && Number.isFinite(Number(word))) readings.push(Number(word));
  if (/^(yes|on|true)$/i.test(word)) readings.push(true);
  if (/^(no|off|false)$/i.test(word)) readings.push(false);
  if (/^(none|null|auto)$/i.test(word)) readings.push(null, {});
  if (word.startsWith('{')) readings.push(jsonOf(word));
  const schema = settingFields.shape[key];
  const good = readings.find(r => schema.safeParse(r).success);
  if (good !== undefined) return good;
  const { error } = schema.safeParse(readings.at(-1), { reportInput: true });
  const why = typeof readings.at(-1) === 'string' ? helps[key] : error ? sentenceOf(error).replace('--input', dashed(key)) : '';
  throw new UsageError(`${dashed(key)} cannot be '${word}': ${why}`);
}

const settingsText = (settings: Settings) =>
  table(
    ['setting', 'value', ''],
    keys.map(key => [dashed(key), spoken(settings[key]), helps[key]]),
  );

export const settingsVerbs = [
  verb({
    name: 'settings show',
    takes: '',
    help: 'how the library is set (also: settings alone)',
    uses: ['settings.show'],
    act: async ({ client }) => {
      const settings = await client.settings.show({});
      return { json: { type: 'settings', settings }, text: settingsText(settings) };
    },
  }),
  verb({
    name: 'settings set',
    takes: 'KEY VALUE',
    help: 'change one setting',
    more: keys.map(key => `${dashed(key).padEnd(16)} ${helps[key]}`).join('\n'),
    uses: ['settings.edit'],
    act: async ({ client, words: [word, value] }) => {
      const key = keys.find(k => k === word || dashed(k) === word);
      if (!key) {
        const close = closest(word!, keys.map(dashed));
        throw new UsageError(
          `there is no setting '${word!}': ${close ? `did you mean ${close}?` : `there are ${keys.map(dashed).join(', ')}`}`,
        );
      }
      const settings = await client.settings.edit({ [key]: valueOf(key, value!) });
      return { json: { type: 'settings', settings }, text: settingsText(settings) };
    },
  }),
] as const;

export const storageVerbs = [
  verb({
    name: 'storage show',
    takes: '',
    help: 'what takes how much space, and what can go (also: storage alone)',
    uses: ['storage.show'],
    act: async ({ client }) => {
      const { kinds, freeBytes } = await client.storage.show({});
      const rows = kinds.map(k => [k.kind, k.files.toLocaleString('en'), size(k.bytes), k.cleanable ? size(k.cleanable) : '']);
      return {
        json: { type: 'storage', kinds, freeBytes },
        text: [...table(['kind', 'files>', 'size>', 'can go>'], rows), `${size(freeBytes)} free on the disk`],
      };
    },
  }),
  verb({
    name: 'storage check',
    takes: '',
    help: 'look at every row and every file; exit status 1 where something is wrong',
    uses: ['storage.check'],
    act: async ({ client }) => {
      const found = await client.storage.check({});
      const sound = found.database === 'ok' && !found.missing.length;
      const folders = new Set(found.orphans.map(o => o.name.split('/')[0]!)),
        kept = folders.has('clips'),
        removed = [...new Set([...folders].map(f => (f === 'masks' ? 'photos' : f)))].filter(f => f !== 'clips');
      return {
        json: { type: 'check', sound, ...found },
        text: [
          found.database === 'ok' ? 'the database is sound' : `the database is damaged: ${found.database}`,
          ...(found.missing.length
            ? table(
                ['missing', 'what'],
                found.missing.map(m => [m.id, m.what]),
              )
            : ['no file is missing']),
          ...(found.orphans.length
            ? [
                `${counted(found.orphans.length, 'file')} that nobody knows, ${size(found.orphans.reduce((s, o) => s + o.bytes, 0))}${removed.length ? `: protagonist storage clean ${removed.join(' ')} removes ${kept ? 'all but clips' : found.orphans.length === 1 ? 'it' : 'them'}` : ''}`,
                ...table(
                  ['size>', 'file'],
                  found.orphans.map(o => [size(o.bytes), o.name]),
                ),
              ]
            : ['no file is without an owner']),
        ],
        status: sound ? 0 : 1,
      };
    },
  }),
  verb({
    name: 'storage clean',
    takes: 'KIND...',
    help: 'free space that these kinds need not take',
    more: `The kinds are ${cleanableKinds.join(', ')}.\nClips, subjects and photos go by being removed and then erased: clip erase, subject erase.`,
    options: { 'dry-run': ['flag', '', 'only say what would go'] },
    uses: ['storage.clean'],
    act: async ({ client, words, options }) => {
      const wrong = words.find(w => !(cleanableKinds as readonly string[]).includes(w));
      if (wrong !== undefined)
        throw new UsageError(`nothing of the kind '${wrong}' can be cleaned: there are ${cleanableKinds.join(', ')}`);
      const dryRun = options['dry-run'] ?? false;
      const freed = await client.storage.clean({ kinds: words as (typeof cleanableKinds)[number][], dryRun });
      return {
        json: { type: 'cleaned', dryRun, ...freed },
        text: [
          `${counted(freed.files, 'file')} ${dryRun ? 'would go' : 'gone'}, ${size(freed.bytes)} ${dryRun ? 'would be freed' : 'freed'}`,
        ],
      };
    },
  }),
] as const;

export const backupVerbs = [
  verb({
    name: 'backup create',
    takes: '',
    help: "a backup of the library's database now; photos and clips are not in it",
    uses: ['backups.create'],
    act: async ({ client }) => {
      const began = performance.now();
      const backup = await client.backups.create({});
      return {
        json: { type: 'backup', backup },
        text: [`${backup.name}, ${size(backup.bytes)}, in ${duration((performance.now() - began) / 1000)}`],
      };
    },
  }),
  verb({
    name: 'backup list',
    takes: '',
    help: 'the backups there are, newest first',
    uses: ['backups.list'],
    act: async ({ client }) => {
      const { backups } = await client.backups.list({});
      const rows = backups.map(b => [when(b.createdAt), b.kind, size(b.bytes), b.name]);
      return {
        json: { type: 'backups', backups },
        text: rows.length ? table(['made', 'kind', 'size>', 'name'], rows) : ['no backups yet: protagonist backup create makes one'],
      };
    },
  }),
  verb({
    name: 'backup restore',
    takes: 'NAME',
    help: 'the library as it was then; what it is now is backed up first',
    uses: ['backups.restore'],
    act: async ({ client, words: [name] }) => {
      await client.backups.restore({ name: name! });
      return { json: { type: 'restored', name }, text: [`the library is as ${name!} has it`] };
    },
  }),
] as const;
