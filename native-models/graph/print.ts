/** @file A graph as text, one line a node, stable under edits elsewhere: names count within their own path. */
import { Value, isList, reachable, text, type Arg, type Graph } from './graph.ts';

/** What the outputs need, in order, and the outputs. Constants longer than eight numbers are named by their count and a checksum. */
export function print(g: Graph, outputs: Record<string, Value>): string {
  const lines = reachable(g, Object.values(outputs)).map(n => {
    const args = n.data ? numbers(n.data) : n.args.map(a => argument(a, n.path)).join(', ');
    return `${n.outputs.map(o => o.name).join(', ')} = ${n.op}(${args})  ${n.outputs.map(text).join(' ')}`;
  });
  return [...lines, ...Object.entries(outputs).map(([k, v]) => `return ${k} = ${v.name}`)].join('\n') + '\n';
}

function argument(a: Arg | number, path: string): string {
  if (a === undefined) return '_';
  if (typeof a === 'number') return String(a);
  if (a instanceof Value) return path && a.name.startsWith(`${path}.`) ? a.name.slice(path.length) : a.name; // of the same path: from its last part on
  if (isList(a)) return `[${(a as readonly (Value | number)[]).map(x => argument(x, path)).join(', ')}]`;
  return Object.entries(a)
    .filter(([, v]) => v !== undefined)
    .map(([k, v]) => `${k}=${String(v)}`)
    .join(' ');
}

function numbers(data: Float32Array | BigInt64Array): string {
  if (data.length <= 8) return data instanceof BigInt64Array ? data.join(', ') : Array.from(data, short).join(', ');
  return `${data.length} numbers ${checksum(data)}`;
}

/** The shortest decimal that is this float32. */
function short(x: number): string {
  for (let digits = 1; digits < 9; digits++)
    if (Math.fround(Number(x.toPrecision(digits))) === x) return String(Number(x.toPrecision(digits)));
  return String(x);
}

/** FNV-1a over values rounded to 5 digits, so that another platform's last bit of Math.sin does not change a committed print. */
function checksum(data: Float32Array | BigInt64Array): string {
  let hash = 0x811c9dc5;
  for (const x of data) {
    const n = typeof x === 'bigint' ? Number(x) : Math.round(x * 1e5);
    for (const part of [n | 0, Math.floor(n / 2 ** 32) | 0]) hash = Math.imul(hash ^ part, 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
}
