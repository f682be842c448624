/** @file What machine a program, library or addon is for, by its first bytes: ELF, PE and Mach-O. */
import { closeSync, openSync, readSync } from 'node:fs';

/** The platforms that there are packages for, as Node names them. */
export type Platform = 'linux' | 'darwin' | 'win32';

/** A file of machine code. */
export interface Binary {
  readonly platform: Platform;
  /** As Node names them; one that it does not know is a number. More than one in a universal binary. */
  readonly archs: readonly string[];
}

const elf: Readonly<Record<number, string>> = { 3: 'ia32', 40: 'arm', 62: 'x64', 183: 'arm64', 243: 'riscv64' };
const pe: Readonly<Record<number, string>> = { 0x14c: 'ia32', 0x8664: 'x64', 0xaa64: 'arm64' };
const machO: Readonly<Record<number, string>> = { 0x0100_0007: 'x64', 0x0100_000c: 'arm64' };
/** How much of a file has to be read: a PE's header lies behind a program for DOS. */
export const headLength = 1024;

/** @param head the first bytes of a file, `headLength` of them where it has as many */
export function binaryOf(head: Buffer): Binary | undefined {
  if (head.length < 64) return undefined;
  const name = (names: Readonly<Record<number, string>>, code: number): string => names[code] ?? String(code);
  if (head.readUInt32BE(0) === 0x7f45_4c46) return { platform: 'linux', archs: [name(elf, head.readUInt16LE(18))] };
  if (head.readUInt32LE(0) === 0xfeed_facf) return { platform: 'darwin', archs: [name(machO, head.readUInt32LE(4))] };
  // Java's classes begin like this too, and go on with a version that is larger than any count of architectures
  const count = head.readUInt32BE(4);
  if (head.readUInt32BE(0) === 0xcafe_babe && count > 0 && count < 8 && head.length >= 8 + count * 20)
    return { platform: 'darwin', archs: Array.from({ length: count }, (_, i) => name(machO, head.readUInt32BE(8 + i * 20))) };
  const at = head.readUInt32LE(0x3c);
  if (head.readUInt16BE(0) === 0x4d5a && at + 6 <= head.length && head.readUInt32BE(at) === 0x5045_0000)
    return { platform: 'win32', archs: [name(pe, head.readUInt16LE(at + 4))] };
  return undefined;
}

/** A piece of a file; without more said, the one that {@link binaryOf} looks at. */
export function readHead(file: string, from = 0, length = headLength): Buffer {
  const handle = openSync(file, 'r');
  try {
    const head = Buffer.alloc(length);
    return head.subarray(0, readSync(handle, head, 0, head.length, from));
  } finally {
    closeSync(handle);
  }
}

/** True for machine code that runs on such a machine. */
export function runsOn(binary: Binary, platform: string, arch: string): boolean {
  return binary.platform === platform && binary.archs.includes(arch);
}
