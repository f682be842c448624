/** @file One case of the golden form: case.json, inputs, a checkpoint in diffusers' layout, and outputs that are only ever compared with. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { readIntegers, readSafetensors, readTensor, type StoredTensor } from '../../native-models/weights/safetensors.ts';
import { readAdapter, type Adapter } from '../../native-models/weights/lora.ts';

export interface Numbers {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}
export type Json = Readonly<Record<string, unknown>>;

/** What a kind computed, to be compared with the tensor of this name. */
export interface Result {
  /** Which outputs file the tensor stands in. */
  readonly file: 'outputs' | 'train_outputs' | 'tokens';
  readonly name: string;
  /** Told beside the name where one tensor is computed in several ways. */
  readonly way?: string;
  readonly data: Float32Array;
  readonly shape: readonly number[];
  readonly tolerance: number;
  /** The tolerance is of the largest difference itself, not of max|a-b| / max|b|. */
  readonly absolute?: true;
}

export class Case {
  readonly dir: string;
  readonly name: string;
  readonly spec: Json;
  readonly kind: string;
  constructor(dir: string) {
    this.dir = dir;
    this.name = basename(dir);
    this.spec = JSON.parse(readFileSync(join(dir, 'case.json'), 'utf8')) as Json;
    this.kind = String(this.spec['kind']);
  }
  path(name: string): string {
    return join(this.dir, name);
  }
  /** A part of the case's checkpoint: beside case.json, or in the folder that `checkpoint` there names. */
  part(name: string): string {
    return resolve(this.dir, typeof this.spec['checkpoint'] === 'string' ? this.spec['checkpoint'] : '.', name);
  }
  has(name: string): boolean {
    return existsSync(this.path(name));
  }
  /** The header of a safetensors file of the case; empty if there is no such file. */
  header(file: string): ReadonlyMap<string, StoredTensor> {
    return this.has(file) ? readSafetensors(this.path(file)).tensors : new Map();
  }
  /** An input as float32, undefined if it is not there. */
  find(name: string, file = 'inputs.safetensors'): Numbers | undefined {
    const t = this.header(file).get(name);
    return t && numbers(t);
  }
  input(name: string, file = 'inputs.safetensors'): Numbers {
    const x = this.find(name, file);
    if (!x) throw new Error(`${this.name}: ${file} has no ${name}`);
    return x;
  }
  /** The names of the tensors that will be compared. */
  wanted(file: 'outputs' | 'train_outputs'): readonly string[] {
    return [...this.header(`${file}.safetensors`).keys()];
  }
  /** tokens.json: sentences and, to be compared with, their ids. */
  tokens(): { readonly texts: readonly string[]; readonly ids: readonly (readonly number[])[] } {
    return JSON.parse(readFileSync(this.path('tokens.json'), 'utf8')) as ReturnType<Case['tokens']>;
  }
  /** tolerance in case.json: a number for everything, or one for each of some names; else what the issue asks. */
  tolerance(name: string, otherwise: number): number {
    const t = this.spec['tolerance'];
    if (typeof t === 'number') return t;
    const x = typeof t === 'object' && t !== null ? (t as Json)[name] : undefined;
    return typeof x === 'number' ? x : otherwise;
  }
  number(name: string, otherwise: number): number {
    const x = this.spec[name];
    return typeof x === 'number' ? x : otherwise;
  }
  /** The LoRAs of the case, in order: those that `adapters` in case.json names ({ file, scale, lora_alpha } or a file's name), else every pytorch_lora_weights*.safetensors beside it.
   * lora_alpha in case.json stands before what the file says: PEFT's files do not carry it. */
  adapters(): Adapter[] {
    const listed = this.spec['adapters'] ?? this.spec['adapter'];
    const given: readonly unknown[] = Array.isArray(listed)
      ? listed
      : listed === undefined
        ? readdirSync(this.dir)
            .filter(f => /^(pytorch_lora_weights|adapter).*\.safetensors$/.test(f))
            .sort()
        : [listed];
    return given.map(entry => {
      const row = (typeof entry === 'string' ? { file: entry } : entry) as Json;
      const number = (...names: string[]): number | undefined => names.map(n => row[n]).find(x => typeof x === 'number');
      const scale = number('scale', 'weight') ?? 1;
      const alpha = number('lora_alpha', 'alpha') ?? (typeof this.spec['lora_alpha'] === 'number' ? this.spec['lora_alpha'] : undefined);
      const adapter = readAdapter(this.path(String(row['file'] ?? row['path'])), { scale });
      return alpha === undefined
        ? adapter
        : { ...adapter, modules: new Map([...adapter.modules].map(([path, m]) => [path, { ...m, alpha }])) };
    });
  }
}

/** A stored tensor of any dtype as float32; bytes and integers as their values. */
export function numbers(t: StoredTensor): Numbers {
  const float = /^(F|BF)/.test(t.dtype);
  return { data: float ? readTensor(t) : Float32Array.from(readIntegers(t), Number), shape: t.shape };
}

export const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
/** One after the other. */
export function joined(...parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}
/** max|a-b| / max|b|; NaN if a number is not finite on one side only or lengths differ. */
export function worst(a: Float32Array, b: Float32Array, absolute = false): number {
  if (a.length !== b.length) return NaN;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < b.length; i++) {
    const d = Math.abs(a[i]! - b[i]!);
    if (!(d <= difference)) difference = Number.isNaN(d) ? NaN : d;
    if (Number.isNaN(difference)) return NaN;
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  if (absolute || difference === 0) return difference;
  return largest === 0 ? Infinity : difference / largest;
}
