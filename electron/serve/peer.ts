/** @file Whose process asks, where the system tells: on Linux. A browser sends its cookies to every port of this machine, so that another user who listens at one of them may come to know ours. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { endianness } from 'node:os';

const hex = (n: number, digits: number) => n.toString(16).toUpperCase().padStart(digits, '0');
/** As the kernel writes an address: a 32-bit number in the machine's order. */
const written = (address: string, port: number) => {
  const bytes = address.split('.').map(Number);
  return `${(endianness() === 'LE' ? bytes.reverse() : bytes).map(n => hex(n, 2)).join('')}:${hex(port, 4)}`;
};
/** Before an IPv4 address in the table of IPv6. */
const mapped = endianness() === 'LE' ? '0000000000000000FFFF0000' : '00000000000000000000FFFF';

/** The number of the user whose process holds the socket `from`, connected to `port` of 127.0.0.1. Undefined where nobody holds it any more, or the system does not tell. */
export function userAt(from: { readonly address: string; readonly port: number }, port: number): number | undefined {
  const wanted = [written(from.address, from.port), written('127.0.0.1', port)] as const;
  for (const [file, before] of [
    ['/proc/net/tcp', ''],
    ['/proc/net/tcp6', mapped],
  ] as const) {
    let table: string;
    try {
      table = readFileSync(file, 'latin1');
    } catch {
      continue; // no Linux, or no IPv6
    }
    const at = table.indexOf(` ${before}${wanted[0]} ${before}${wanted[1]} `);
    if (at < 0) continue;
    const [, , , , , , user, , inode] = table.slice(at, table.indexOf('\n', at)).trim().split(/\s+/);
    if (inode !== '0') return Number(user); // a socket that was left behind is nobody's, and reads as root's
  }
  return undefined;
}

/** Whether a connection comes from another user than ours. Root is none: it may do everything anyway, and relays (Windows' to its Linux) run as root.
 * @param port ours, where something listens
 * @returns undefined where that cannot be told, or we are root and whoever opens the browser is somebody else */
export async function strangers(port: number): Promise<((socket: Socket) => boolean) | undefined> {
  const own = process.getuid?.();
  if (own === undefined || own === 0) return undefined;
  const probe = connect(port, '127.0.0.1').on('error', () => undefined);
  try {
    await once(probe, 'connect');
    if (userAt({ address: probe.localAddress!, port: probe.localPort! }, port) !== own) return undefined;
  } catch {
    return undefined;
  } finally {
    probe.destroy();
  }
  const known = new WeakMap<Socket, boolean>();
  return socket => {
    const { remoteAddress, remotePort } = socket;
    const user = () =>
      remoteAddress !== undefined && remotePort !== undefined && userAt({ address: remoteAddress, port: remotePort }, port);
    const before = known.get(socket);
    if (before !== undefined) return before;
    const asks = user(),
      stranger = asks !== own && asks !== 0;
    known.set(socket, stranger);
    return stranger;
  };
}
