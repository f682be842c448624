/** @file A day at the command line without an owner, under a trace of every connect: nothing but local sockets (Linux; without strace it is the day alone). */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { root } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-offline-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const traced = spawnSync('strace', ['-f', '--seccomp-bpf', '-e', 'trace=connect', '-o', join(folder, 'try'), 'true']).status === 0;

test(`a day without an owner${traced ? ' connects to nothing' : ' (no strace: not traced)'}`, { timeout: 600_000 }, async t => {
  const log = join(folder, 'connects'),
    home = join(folder, 'home');
  mkdirSync(home);
  const script = [process.execPath, join(root, 'test/bench/day.ts'), '--folder', join(folder, 'day')];
  const [program, ...args] = traced ? ['strace', '-f', '--seccomp-bpf', '-e', 'trace=connect', '-o', log, ...script] : script;
  // as on a person's machine: ONNX Runtime's telemetry stays silent where it takes its surroundings for a test
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(CI|GITHUB_ACTIONS|TF_BUILD|JENKINS_URL|ORT_.*)$/.test(name)),
  );
  const child = spawn(program!, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...env, HOME: home, XDG_CACHE_HOME: join(home, '.cache'), XDG_DATA_HOME: join(home, '.local/share') },
  });
  let said = '';
  child.stdout.on('data', (text: Buffer) => (said += text.toString()));
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  const status = await new Promise(resolve => child.on('close', resolve));
  assert.equal(status, 0, said);
  for (const line of said.trim().split('\n')) t.diagnostic(line);
  assert.deepEqual(readdirSync(home, { recursive: true }), [], 'something was written outside of the library');
  if (!traced) return;
  const connects = readFileSync(log, 'utf8')
    .split('\n')
    .filter(line => line.includes('connect('));
  const local = connects.filter(line => line.includes('AF_UNIX')),
    out = connects.filter(line => /AF_INET/.test(line) && !/inet_addr\("127\.|inet_pton\(AF_INET6, "::1"/.test(line));
  assert.deepEqual(out, [], 'something was connected to');
  t.diagnostic(`${connects.length} calls of connect, ${local.length} of them to local sockets`);
  assert.ok(local.length > 0, 'the trace is empty: commands that find an owner connect to it');
});
