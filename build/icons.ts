/**
 * @file The application's icons, drawn from icon.svg: `node build/icons.ts` writes them again.
 *
 * Windows and macOS take containers, and both may hold PNGs: an ICO is a table of contents before its pictures, an ICNS a row of chunks.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';

/** Whose rules for the space around the drawing hold. */
type Air = 'macOS' | 'little';

/** Sides of the pictures for Linux, in pixels. */
export const linuxSizes = [16, 24, 32, 48, 64, 128, 256, 512] as const;
/** Sides of the pictures in the ICO. */
export const icoSizes = [16, 20, 24, 32, 40, 48, 64, 128, 256] as const;
/** The ICNS's chunks by side, as macOS names them; those of 32, 64, 256, 512 and 1024 are also halves for dense screens. */
export const icnsTypes = [
  ['ic11', 32],
  ['ic12', 64],
  ['ic07', 128],
  ['ic08', 256],
  ['ic13', 256],
  ['ic09', 512],
  ['ic14', 512],
  ['ic10', 1024],
] as const;

/**
 * Draws the icon. macOS wants its air; elsewhere an icon with as much looks small, and where pixels are few the mark is larger in it.
 * @returns a PNG
 */
export async function draw(drawing: string, size: number, air: Air): Promise<Buffer> {
  const view = air === 'macOS' ? '0 0 1024 1024' : size < 48 ? '92 92 840 840' : '76 76 872 872';
  const svg = drawing
    .replace('viewBox="0 0 1024 1024"', `viewBox="${view}" width="${size}" height="${size}"`)
    .replace('scale(22)', air === 'little' && size < 48 ? 'scale(25)' : 'scale(22)');
  return sharp(Buffer.from(svg)).png({ compressionLevel: 9, effort: 10 }).toBuffer();
}

/** An ICO of PNGs. */
export function ico(pictures: readonly { readonly size: number; readonly png: Buffer }[]): Buffer {
  const table = Buffer.alloc(6 + pictures.length * 16);
  table.writeUInt16LE(1, 2); // an icon, not a cursor
  table.writeUInt16LE(pictures.length, 4);
  let at = table.length;
  for (const [i, { size, png }] of pictures.entries()) {
    const entry = 6 + i * 16;
    table.writeUInt8(size % 256, entry); // 0 says 256
    table.writeUInt8(size % 256, entry + 1);
    table.writeUInt16LE(1, entry + 4); // planes
    table.writeUInt16LE(32, entry + 6); // bits a pixel
    table.writeUInt32LE(png.length, entry + 8);
    table.writeUInt32LE(at, entry + 12);
    at += png.length;
  }
  return Buffer.concat([table, ...pictures.map(({ png }) => png)]);
}

/** An ICNS of PNGs. */
export function icns(pictures: readonly { readonly type: string; readonly png: Buffer }[]): Buffer {
  const chunk = (type: string, length: number): Buffer => {
    const head = Buffer.alloc(8);
    head.write(type, 'latin1');
    head.writeUInt32BE(8 + length, 4);
    return head;
  };
  const chunks = pictures.flatMap(({ type, png }) => [chunk(type, png.length), png]);
  return Buffer.concat([
    chunk(
      'icns',
      chunks.reduce((sum, { length }) => sum + length, 0),
    ),
    ...chunks,
  ]);
}

if (import.meta.main) {
  const here = import.meta.dirname;
  const drawing = readFileSync(path.join(here, 'icon.svg'), 'utf8');
  mkdirSync(path.join(here, 'icons'), { recursive: true });
  const write = (name: string, bytes: Buffer): void => writeFileSync(path.join(here, name), bytes);
  write('icon.png', await draw(drawing, 1024, 'macOS'));
  for (const size of linuxSizes) write(`icons/${size}x${size}.png`, await draw(drawing, size, 'little'));
  write('icon.ico', ico(await Promise.all(icoSizes.map(async size => ({ size, png: await draw(drawing, size, 'little') })))));
  write('icon.icns', icns(await Promise.all(icnsTypes.map(async ([type, size]) => ({ type, png: await draw(drawing, size, 'macOS') })))));
}
