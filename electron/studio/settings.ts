/** @file What a person has set, and what the studio itself remembers between starts. */
import type { z } from 'zod';
import type { api } from '../contract/api.ts';
import { settings, type Settings } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import type { Library } from './library.ts';

/** One row of the `settings` table, parsed by `schema`; `schema`'s defaults where there is none, and for each field that cannot be understood. */
export function remembered<S extends z.ZodType>({ db }: Library, key: string, schema: S): z.output<S> {
  const row = db.get<{ value: string }>('SELECT value FROM settings WHERE key = ?', key);
  let value: unknown;
  try {
    value = row && JSON.parse(row.value);
  } catch {
    // a damaged setting is worth less than a start: the default stands in
  }
  const whole = schema.safeParse(value ?? {});
  if (whole.success) return whole.data;
  // what a later program has set must not switch off the rest, least of all the offline switch
  const good = Object.entries((value ?? {}) as Record<string, unknown>).filter(
    ([name, given]) => schema.safeParse({ [name]: given }).success,
  );
  return schema.parse(Object.fromEntries(good));
}
export function remember({ db }: Library, key: string, value: unknown): void {
  db.run(
    'INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    key,
    JSON.stringify(value),
  );
}

export type SettingsPart = HostOf<typeof api>['settings'] & { current(): Settings };

export function settingsPart(library: Library): SettingsPart {
  const current = () => remembered(library, 'settings', settings);
  return {
    current,
    show: current,
    edit: changes => {
      const given = Object.fromEntries(Object.entries(changes).filter(([, v]) => v !== undefined));
      const next = { ...current(), ...given };
      remember(library, 'settings', next);
      library.say({ type: 'settings', settings: next });
      return next;
    },
  };
}
