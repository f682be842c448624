/** @file `picture`: what clips can begin with. */
import type { Picture } from '../contract/records.ts';
import { pictureIdOf, pictureOf } from './names.ts';
import { card, when } from './print.ts';
import { verb } from './verb.ts';

const pictureCard = (p: Picture, path: string | null) =>
  card(`${p.id}  ${p.name}`, [
    ['size', `${p.width}x${p.height}`],
    ['kept', when(p.createdAt)],
    ['file', p.missing ? 'missing: add it again' : path],
  ]);

export const pictureVerbs = [
  verb({
    name: 'picture add',
    takes: 'FILE|P|C:N',
    help: 'keep a picture for clips to begin with: a file, p4, c5:16, c5:last',
    more: `p4 is a photo of a subject, c5:16 a frame of a clip. generate --start takes the same and keeps it by itself.
What no clip or job needs can go a day after it was chosen: storage clean pictures.`,
    uses: ['pictures.add', 'pictures.show', 'clips.show'],
    act: async ({ client, words: [word] }) => {
      const picture = await client.pictures.show({ id: await pictureOf(client, word!) });
      return {
        json: { type: 'picture', picture },
        text: [
          `${picture.id} is ${picture.name}, ${picture.width}x${picture.height}: protagonist generate --start ${picture.id} begins with it`,
        ],
      };
    },
  }),
  verb({
    name: 'picture show',
    takes: 'ID',
    help: 'all about one picture, and where its file lies',
    uses: ['pictures.show', 'media.locate', 'host.describe'],
    act: async ({ client, words: [id] }) => {
      const picture = await client.pictures.show({ id: pictureIdOf(id!) });
      const path = (await client.host.describe({})).can.paths ? (await client.media.locate({ id: picture.id })).path : null;
      return { json: { type: 'picture', picture, path }, text: pictureCard(picture, path) };
    },
  }),
] as const;
