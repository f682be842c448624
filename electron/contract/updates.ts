/** @file The switch for updates, as `package.json` has it: off as long as `feed` is null. */
import { z } from 'zod';

/** A folder on the web: https, no name or password, nothing behind a question mark. */
const folder = z
  .string()
  .max(1000)
  .refine(given => {
    const url = URL.canParse(given) ? new URL(given) : undefined;
    return url?.protocol === 'https:' && url.username === '' && url.password === '' && url.href === given && /^[^?#]*\/$/.test(given);
  }, 'updates.feed has to be a folder such as https://updates.example.org/protagonist/, or null');
/** 32 bytes in base64, written in the one way there is. */
const key = z.string().regex(/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/, 'updates.keys has to hold Ed25519 keys, each 32 bytes in base64');

/** Where new versions are announced, and whose signature an announcement has to bear: any one of the keys. */
export const updatesSwitch = z
  .strictObject({ feed: folder.nullable(), keys: z.array(key).max(8, 'updates.keys has to hold at most 8 keys') })
  .refine(({ feed, keys }) => feed === null || keys.length > 0, 'updates.keys has to hold a key where updates.feed is set')
  .default({ feed: null, keys: [] });
export type UpdatesSwitch = z.infer<typeof updatesSwitch>;
