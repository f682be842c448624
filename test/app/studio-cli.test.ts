/** @file Every verb of the command line on a library, as a person types it: once while nobody has the library open, once beside a process that has. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync, readdirSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import sharp from 'sharp';
import type { Clip, Job, Subject } from '../../electron/contract/records.ts';
import { actions, type Action } from '../../electron/contract/errors.ts';
import { readClip, readRequest } from '../../electron/media/metadata.ts';
import { verbs } from '../../electron/cli/verbs.ts';
import { marked, root, run, sleep, start, type Ended, type Line } from '../support/run.ts';
import { within } from '../support/time.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-studio-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const toybox = join(root, 'assets/toybox');
const photo = (name: string) => join(toybox, 'photos', `${name}.jpg`);
/** The smallest clip there is. */
const tiny = ['--width', '32', '--height', '32', '--frames', '1', '--steps', '1'];

/** The bytes of a file, its last number a little different. */
function touched(file: string): Buffer {
  const bytes = readFileSync(file);
  bytes[bytes.length - 3]! ^= 1;
  return bytes;
}
/** What the scripts need on the disk: photos beside a file that is none, another checkpoint, another adapter. */
async function prepare(name: string) {
  const at = (...parts: string[]) => join(folder, name, ...parts);
  mkdirSync(at('photos'), { recursive: true });
  for (const p of ['fig', 'moss']) cpSync(photo(p), at('photos', `${p}.jpg`));
  writeFileSync(at('photos', 'words.jpg'), 'just words');
  writeFileSync(at('words.jpg'), 'just words');
  mkdirSync(at('other', 'vae'), { recursive: true });
  for (const part of readdirSync(toybox)) if (part !== 'vae') symlinkSync(join(toybox, part), at('other', part));
  for (const file of readdirSync(join(toybox, 'vae')))
    writeFileSync(
      at('other', 'vae', file),
      file.endsWith('.safetensors') ? touched(join(toybox, 'vae', file)) : readFileSync(join(toybox, 'vae', file)),
    );
  writeFileSync(at('other.safetensors'), touched(join(toybox, 'adapter/pytorch_lora_weights_transformer.safetensors')));
  await sharp({ create: { width: 768, height: 768, channels: 3, background: '#000' } })
    .composite([{ input: { create: { width: 400, height: 400, channels: 3, background: '#fff' } } }])
    .png()
    .toFile(at('mask.png'));
  return at;
}

interface Step {
  /** The verb's name, and what follows. */
  readonly verb: string;
  readonly args?: readonly string[];
  /** Done before it is typed. */
  readonly before?: () => void;
  readonly status?: number;
  /** Of the one JSON line (or the last), and of what a person reads. */
  readonly json: (line: Line) => void;
  readonly text: RegExp;
}
/** A step is typed for people while nobody has the library open and for machines beside an owner, or (`once`) in the form that is named both times. */
type Script = (at: (...parts: string[]) => string) => readonly (Step & { readonly once?: 'json' | 'text' })[];
const subjectIn = (line: Line) => line['subject'] as Subject;
const clipIn = (line: Line) => line['clip'] as Clip;
const jobIn = (line: Line) => line['job'] as Job;
const statusIn = (line: Line) => (line['job'] as Job | undefined)?.status;
const jobsIn = (line: Line) => line['jobs'] as Job[];
const is =
  (type: string, check: (line: Line) => void = () => undefined) =>
  (line: Line) => {
    assert.equal(line.type, type);
    check(line);
  };

const script: Script = at => [
  // settings
  { verb: 'settings set', args: ['preview-seconds', '0'], json: is('settings'), text: /preview-seconds +0 / },
  { verb: 'settings set', args: ['threads', '2'], json: is('settings'), text: /threads +2 /, once: 'text' },
  { verb: 'settings set', args: ['threads', 'none'], json: is('settings', l => assert.equal((l['settings'] as Record<string, unknown>)['threads'], null)), text: /threads +none / }, // prettier-ignore
  { verb: 'settings set', args: ['keepLatents', 'on'], json: is('settings'), text: /keep-latents +yes/ },
  { verb: 'settings set', args: ['shortcuts', '{"queue.toggle":"Mod+J","library.search":null}'], json: is('settings', l => assert.deepEqual((l['settings'] as Line)['shortcuts'], { 'queue.toggle': 'Mod+J', 'library.search': null })), text: /shortcuts +queue\.toggle Mod\+J, library\.search none / }, // prettier-ignore
  { verb: 'settings set', args: ['shortcuts', 'none'], json: is('settings', l => assert.deepEqual((l['settings'] as Line)['shortcuts'], {})), text: /shortcuts +none / }, // prettier-ignore
  { verb: 'settings set', args: ['theme', 'dark'], json: is('settings'), text: /theme +dark / },
  { verb: 'settings set', args: ['language', 'ar'], json: is('settings'), text: /language +ar /, once: 'text' },
  { verb: 'settings set', args: ['welcomed', 'yes'], json: is('settings'), text: /welcomed +yes/, once: 'text' },
  { verb: 'settings show', json: is('settings'), text: /device +auto/ },
  // subjects
  {
    verb: 'subject add',
    args: ['--name', 'Kelp', '--kind', 'toy', '--description', 'the green clay toy', '--tag', 'toy,green', '--tag', 'clay', photo('kelp')],
    json: is('imported', l => {
      assert.equal(subjectIn(l).id, 's1');
      assert.deepEqual(subjectIn(l).tags, ['toy', 'green', 'clay']);
    }),
    text: /./,
    once: 'json',
  },
  {
    verb: 'subject add',
    args: ['--name', 'Lemon', '--handle', '@zitrone', at('photos')],
    status: 1, // one of three is no photo
    json: is('imported'),
    text: /^Lemon is @zitrone \(s2\): 2 photos \(p2 p3\), hero p\d\n {2}not taken: words\.jpg: /,
    once: 'text',
  },
  { verb: 'subject list', json: is('subjects', l => assert.equal((l['subjects'] as unknown[]).length, 2)), text: /^id +handle +kind +photos +clips +name\ns\d +@/ }, // prettier-ignore
  { verb: 'subject list', args: ['--search', 'zitr'], json: is('subjects', l => assert.equal((l['subjects'] as unknown[]).length, 1)), text: /@zitrone/ }, // prettier-ignore
  { verb: 'subject show', args: ['@kelp'], json: is('subject', l => assert.equal(subjectIn(l).description, 'the green clay toy')), text: /^Kelp {2}@kelp {2}s1\n {2}kind +toy\n/ }, // prettier-ignore
  { verb: 'subject edit', args: ['s1', '--notes', 'dear', '--tag', 'toy'], json: is('subject', l => assert.deepEqual(subjectIn(l).tags, ['toy'])), text: /notes +dear/ }, // prettier-ignore
  { verb: 'subject photo add', args: ['@kelp', photo('lemon')], json: is('imported', l => assert.deepEqual(l['added'], ['p4'])), text: /./, once: 'json' }, // prettier-ignore
  {
    verb: 'subject photo add',
    args: ['@kelp', photo('lemon')],
    json: is('imported'),
    text: /added 0 photos.*\n {2}already there: lemon\.jpg is p4/,
  },
  { verb: 'subject photo edit', args: ['p4', '--view', 'side', '--crop', '0,0,64,48'], json: is('subject', l => assert.deepEqual(subjectIn(l).photos.find(p => p.id === 'p4')?.crop, { x: 0, y: 0, width: 64, height: 48 })), text: /p4 +side +\d+x\d+ +0,0,64,48/ }, // prettier-ignore
  { verb: 'subject photo edit', args: ['p4', '--mask', at('mask.png')], json: is('subject'), text: /p4 .* mask / },
  { verb: 'subject photo edit', args: ['p4', '--view', 'none', '--crop', 'none'], json: is('subject'), text: /p4 +\d+x\d+ +mask +lemon/ }, // prettier-ignore
  { verb: 'subject cutout', args: ['@kelp'], json: is('cutOuts', l => assert.equal((l['photos'] as unknown[]).length, 1)), text: /^p1 +a mask, \d+ % sure\n1 mask kept$/, once: 'json' }, // prettier-ignore
  { verb: 'subject cutout', args: ['@kelp'], json: is('cutOuts'), text: /^every photo of Kelp has a mask/, once: 'text' },
  { verb: 'subject photo cutout', args: ['p1', '--rectangle', '100,100,560,600', '--add', '380,380,400,400', '--brush', '8'], json: is('cutOut', l => assert.equal(l['kept'], true)), text: /^p1 has a .*mask, \d+ % sure: protagonist generate --cut-out/ }, // prettier-ignore
  { verb: 'subject photo cutout', args: ['p1', '--from', at('mask.png'), '--remove', '1,1', '--out', at('found.png')], json: is('cutOut', l => assert.equal(l['kept'], false)), text: /found\.png is a/, once: 'json' }, // prettier-ignore
  { verb: 'subject check', args: ['@kelp'], json: is('findings'), text: /^(?:p\d|nothing is wrong)/ },
  { verb: 'subject tag', args: ['@kelp', '--add', 'sea,雪', '--remove', 'toy,none such'], json: is('subject', l => assert.deepEqual(subjectIn(l).tags, ['sea', '雪'])), text: /tags +sea, 雪/ }, // prettier-ignore
  { verb: 'subject edit', args: ['@kelp', '--hero', 'p4'], json: is('subject', l => assert.equal(subjectIn(l).heroPhotoId, 'p4')), text: /p4 +hero/ }, // prettier-ignore
  {
    verb: 'subject photo remove',
    args: ['p4'],
    json: is('subject', l => assert.equal(subjectIn(l).heroPhotoId, 'p1')),
    text: /./,
    once: 'json',
  },
  { verb: 'subject photo restore', args: ['p4'], json: is('subject'), text: /p4 /, once: 'text' },
  { verb: 'subject edit', args: ['@kelp', '--hero', 'p1'], json: is('subject'), text: /p1 +hero/ },
  { verb: 'subject remove', args: ['@zitrone'], json: is('subject'), text: /Lemon is removed, 0 clips kept/, once: 'text' },
  { verb: 'subject list', args: ['--removed'], json: is('subjects'), text: /@zitrone/ },
  { verb: 'subject restore', args: ['s2'], json: is('subject', l => assert.equal(subjectIn(l).removed, false)), text: /./, once: 'json' },
  { verb: 'subject erase', args: ['--yes'], json: is('erased'), text: /^0 subjects and 0 photos deleted/ },
  // checkpoints and adapters
  { verb: 'checkpoint list', json: is('checkpoints'), text: /k1 +default .* Toybox/ },
  { verb: 'checkpoint add', args: [at('other'), '--name', 'Other'], json: is('checkpoint'), text: /^Other is k2, / },
  { verb: 'checkpoint rename', args: ['other', 'Second'], json: is('checkpoint'), text: /k2 is now Second/, once: 'text' },
  { verb: 'checkpoint default', args: ['k2'], json: is('checkpoint'), text: /Second \(k2\) is the default/ },
  { verb: 'checkpoint default', args: ['Toybox'], json: is('checkpoint'), text: /k1/ },
  { verb: 'checkpoint find', args: ['k2', at('other')], json: is('checkpoint'), text: /is there again/ },
  { verb: 'checkpoint verify', args: ['Second'], json: is('checkpoint'), text: /^Second \(k2\) is sound, [\d.]+ MB\n$/ },
  { verb: 'checkpoint where', args: ['Second'], json: is('place', l => assert.equal(l['path'], at('other'))), text: /[\\/]other\n$/ },
  { verb: 'checkpoint remove', args: ['Second', '--files', '--yes'], status: 1, json: is('failed', l => assert.equal(l['code'], 'conflict')), text: /^$/ }, // prettier-ignore
  { verb: 'checkpoint remove', args: ['Second'], json: is('removed', l => assert.equal(l['id'], 'k2')), text: /./, once: 'json' },
  { verb: 'adapter add', args: [at('other.safetensors'), '--name', 'Mine', '--scale', '0.5', '--subject', '@kelp'], json: is('adapter'), text: /^Mine is a\d+, rank 16, scale 0\.5/ }, // prettier-ignore
  { verb: 'adapter list', json: is('adapters'), text: /0\.5 .* s1 +Mine/ },
  { verb: 'adapter where', args: ['mine'], json: is('place'), text: /other\.safetensors\n$/ },
  {
    verb: 'adapter inspect',
    args: ['mine'],
    json: is('inspected', l => assert.deepEqual(l['ranks'], [16])),
    text: /rank +16\n.*\n +modules +\d+/,
  },
  { verb: 'checkpoint catalogue', json: is('downloads', l => assert.equal((l['downloads'] as unknown[]).length, 3)), text: /toybox {2}Toybox\n[^]*cogvideox-5b {2}CogVideoX-5B\n[^]* not here\n/ }, // prettier-ignore
  { verb: 'checkpoint download', args: ['Toybox'], json: is('download'), text: /^Toybox: here, as k1\n/ },
  { verb: 'checkpoint pause', args: ['cogvideox-5b'], status: 1, json: is('failed', l => assert.equal(l['code'], 'conflict')), text: /^$/ },
  { verb: 'checkpoint discard', args: ['cogvideox-5b'], json: is('discarded'), text: /nothing of it is left/ },
  { verb: 'network', json: is('network', l => assert.equal(l['offline'], false)), text: /^host +why\nhuggingface\.co +a checkpoint/ },
  {
    verb: 'network token',
    args: ['--remove'],
    json: is('network', l => assert.equal(l['token'], 'none')),
    text: /^No access token is kept\.\n$/,
  },
  { verb: 'adapter edit', args: ['mine', '--scale', '0.8', '--subject', 'none'], json: is('adapter'), text: /scale 0\.8, for no subject/ },
  { verb: 'adapter find', args: ['Mine', at('other.safetensors')], json: is('adapter'), text: /is there again/ },
  // the queue, standing still
  { verb: 'queue pause', json: is('queue', l => assert.equal((l['queue'] as Line)['state'], 'paused')), text: /the queue is paused/ },
  { verb: 'forecast', args: ['--subject', '@kelp', '--prompt', '{red|blue} @kelp', ...tiny], json: is('forecast', l => assert.equal(l['jobs'], 2)), text: /^2 clips\n {2}time +not known yet/ }, // prettier-ignore
  {
    verb: 'generate',
    args: ['--subject', '@kelp', '--prompt', '@kelp in {snow|sand}', '--seed', '5', '--seeds', '2', '--detach', ...tiny],
    json: is('queued', l => {
      assert.deepEqual(jobsIn(l).map(j => [j.id, j.resolved.prompt, j.resolved.seed]), [
        ['j1', 'the green clay toy in snow', 5], ['j2', 'the green clay toy in snow', 6],
        ['j3', 'the green clay toy in sand', 5], ['j4', 'the green clay toy in sand', 6]]); // prettier-ignore
    }),
    text: /./,
    once: 'json',
  },
  { verb: 'generate', args: ['--prompt', '@zitrone rolls', '--grid', 'steps=1,2', '--next', '--detach', ...tiny.slice(0, 6)], json: is('queued'), text: /^2 jobs, j5 to j6, next in the queue: not known yet how long it takes\nThe queue is paused/, once: 'text' }, // prettier-ignore
  {
    verb: 'job list',
    json: is('jobs', l => assert.equal(jobsIn(l).length, 6)),
    text: /^id +status +place +clip +time +subject +seed +prompt\nj\d/,
  },
  {
    verb: 'job list',
    args: ['--status', 'failed,canceled'],
    json: is('jobs', l => assert.deepEqual(jobsIn(l), [])),
    text: /^no job fits$/m,
  },
  { verb: 'job move', args: ['j4', 'top'], json: is('job', l => assert.equal(jobIn(l).position, 1)), text: /^j4 waits, place 1/ },
  { verb: 'job move', args: ['j4', 'after', 'j5'], json: is('job', l => assert.equal(jobIn(l).position, 2)), text: /place 2/ },
  { verb: 'job move', args: ['j4', 'before', 'j5'], json: is('job', l => assert.equal(jobIn(l).position, 1)), text: /place 1/ },
  { verb: 'job move', args: ['j4', 'bottom'], json: is('job'), text: /place 6/ },
  { verb: 'job pause', args: ['j4'], json: is('job', l => assert.equal(jobIn(l).status, 'paused')), text: /./, once: 'json' },
  { verb: 'job edit', args: ['j4', '--prompt', '@kelp sleeps', '--seed', '9'], json: is('job', l => assert.equal(jobIn(l).resolved.prompt, 'the green clay toy sleeps')), text: /^j4 {2}paused.*\n {2}prompt +@kelp sleeps\n {2}becomes +the green clay toy sleeps/ }, // prettier-ignore
  { verb: 'job resume', args: ['j4'], json: is('job'), text: /^j4 waits, place \d/, once: 'text' },
  { verb: 'job cancel', args: ['j3'], json: is('job', l => assert.equal(jobIn(l).status, 'canceled')), text: /./, once: 'json' },
  { verb: 'job retry', args: ['j3'], json: is('job'), text: /^j3 waits again, place \d/, once: 'text' },
  {
    verb: 'job duplicate',
    args: ['j1', '--seed', '77'],
    json: is('job', l => assert.equal(jobIn(l).resolved.seed, 77)),
    text: /./,
    once: 'json',
  },
  { verb: 'job duplicate', args: ['j1', '--new-seed'], json: is('job'), text: /^j8 waits, place 8: seed \d+/, once: 'text' },
  ...['j2', 'j3', 'j6', 'j8'].map(id => ({ verb: 'job cancel', args: [id], json: is('job'), text: /canceled/, once: 'text' as const })),
  { verb: 'job show', args: ['j7'], json: is('job'), text: /^j7 {2}waits, place \d\n {2}prompt +@kelp in snow\n/ },
  { verb: 'queue show', json: is('queue'), text: /the queue is paused.*\n {2}waiting +4/ },
  // and running
  {
    verb: 'queue run',
    args: ['--until-empty'],
    json: is('finished', l => assert.deepEqual([(l['clips'] as unknown[]).length, l['failed'], l['stopped']], [4, [], false])),
    text: /./,
    once: 'json',
  },
  { verb: 'queue resume', json: is('queue'), text: /queue/ },
  // clips
  { verb: 'clip list', json: is('clips', l => assert.equal((l['clips'] as unknown[]).length, 4)), text: /^id +stars +made +size +length +seed +subject +prompt\nc4 / }, // prettier-ignore
  { verb: 'clip list', args: ['--search', 'sleeps', '--subject', '@kelp', '--limit', '1'], json: is('clips', l => assert.equal((l['clips'] as Clip[])[0]?.seed, 9)), text: /@kelp sleeps/ }, // prettier-ignore
  { verb: 'clip list', args: ['--search', 'ゆき'], json: is('clips', l => assert.deepEqual(l['clips'], [])), text: /^no clip fits$/m },
  { verb: 'clip show', args: ['c1'], json: is('clip', l => assert.ok(existsSync(String(l['path'])))), text: /file +\/.*\.mp4\n$/ },
  { verb: 'clip rate', args: ['c1', '4'], json: is('clip', l => assert.equal(clipIn(l).stars, 4)), text: /c1 has ★★★★\n/ },
  { verb: 'clip list', args: ['--stars', '4', '--sort', 'stars'], json: is('clips', l => assert.deepEqual((l['clips'] as Clip[]).map(c => c.id), ['c1'])), text: /^c1 +★★★★ /m }, // prettier-ignore
  { verb: 'clip tag', args: ['c1', '--add', 'best,雪', '--remove', 'none such'], json: is('clip', l => assert.deepEqual(clipIn(l).tags.toSorted(), ['best', '雪'])), text: /tagged .*best/ }, // prettier-ignore
  { verb: 'clip list', args: ['--tag', 'best'], json: is('clips', l => assert.equal((l['clips'] as Clip[]).length, 1)), text: /c1/ },
  { verb: 'clip rename', args: ['c1', 'My "best" one'], json: is('clip', l => assert.equal(clipIn(l).name, 'My "best" one')), text: /c1 is now My "best" one/ }, // prettier-ignore
  { verb: 'clip tags', json: is('tags', l => assert.deepEqual(l['tags'], [{ tag: 'best', clips: 1 }, { tag: '雪', clips: 1 }])), text: /^clips +tag\n +1 +best\n +1 +雪\n$/ }, // prettier-ignore
  { verb: 'clip frame', args: ['c1', '--out', at('frame.png')], json: is('frame', l => assert.deepEqual([l['frame'], l['width'], l['height'], readFileSync(String(l['path'])).subarray(1, 4).toString()], [0, 32, 32, 'PNG'])), text: /./, once: 'json' }, // prettier-ignore
  { verb: 'clip frame', args: ['c1', '--frame', '1', '--out', at('other.png')], status: 2, json: is('failed', l => assert.match(String(l['text']), /c1 has one frame, number 0: there is no frame 1/)), text: /^$/ }, // prettier-ignore
  // pictures
  { verb: 'picture add', args: ['c1:last'], json: is('picture', l => assert.deepEqual((l['picture'] as Line)['id'], 'i1')), text: /^i1 is my-best-one-0\.png, 32x32: protagonist generate --start i1 begins with it\n$/ }, // prettier-ignore
  {
    verb: 'picture add',
    args: [photo('fig')],
    json: is('picture', l => assert.equal((l['picture'] as Line)['name'], 'fig.jpg')),
    text: /^i2 is fig\.jpg/,
  },
  { verb: 'picture add', args: ['c1'], status: 2, json: is('failed', l => assert.match(String(l['text']), /'c1' does not say which frame: write c1:0 for the first one, c1:last for the last/)), text: /^$/ }, // prettier-ignore
  { verb: 'picture add', args: ['c1:1'], status: 2, json: is('failed', l => assert.match(String(l['text']), /c1 has one frame, number 0/)), text: /^$/ }, // prettier-ignore
  { verb: 'picture show', args: ['i2'], json: is('picture', l => assert.ok(existsSync(String(l['path'])))), text: /^i2 {2}fig\.jpg\n {2}size +\d+x\d+\n/ }, // prettier-ignore
  {
    verb: 'forecast',
    args: ['--start', 'i2', '--prompt', 'x', ...tiny],
    json: is('forecast', l => assert.equal(l['jobs'], 1)),
    text: /^1 clip\n/,
  },
  { verb: 'clip save', args: ['c1', at('saved.mp4')], json: is('saved', l => assert.equal(statSync(String(l['path'])).size, l['bytes'])), text: /./, once: 'json' }, // prettier-ignore
  { verb: 'clip trash', args: ['c1', 'c2'], json: is('clips'), text: /2 clips in the trash: protagonist clip restore c1 c2/, once: 'text' },
  { verb: 'clip list', args: ['--trash'], json: is('clips', l => assert.equal((l['clips'] as Clip[]).length, 2)), text: /c2/ },
  { verb: 'clip restore', args: ['c1'], json: is('clips'), text: /./, once: 'json' },
  { verb: 'clip erase', args: ['c2', '--yes'], json: is('erased', l => assert.equal(l['clips'], 1)), text: /./, once: 'json' },
  { verb: 'clip erase', args: ['--yes'], json: is('erased'), text: /^0 clips deleted, 0 bytes freed/ },
  { verb: 'request', args: [at('saved.mp4')], json: is('request', l => assert.deepEqual([(l['request'] as Line)['subjects'], l['missing']], [['s2'], []])), text: /^saved\.mp4\n {2}prompt +.*\n {2}subjects +s2\n/ }, // prettier-ignore
  { verb: 'request', args: ['c1'], json: is('request'), text: /^c1\n {2}prompt/ },
  { verb: 'request', args: ['j4'], json: is('request'), text: /^j4\n {2}prompt +@kelp sleeps/ },
  // a clip that is waited for
  {
    verb: 'generate',
    args: ['--like', 'c1', '--seed', '21', '--out', at('copy.mp4')],
    json: l => {
      assert.deepEqual([l.type, (l['clips'] as unknown[]).length], ['finished', 1]);
      assert.ok(statSync(at('copy.mp4')).size > 500);
    },
    text: /./,
    once: 'json',
  },
  { verb: 'generate', args: ['--subject', '@kelp', '--photo', 'p4', '--cut-out', '--adapter', 'mine:0.3', '--prompt', 'it hops', ...tiny], json: is('finished'), text: /^c\d+ is ready: seed \d+, [\d.]+ m?s on cpu, \/.*\.mp4\n$/, once: 'text' }, // prettier-ignore
  { verb: 'forecast', args: ['--subject', '@kelp', '--prompt', 'x', ...tiny], json: is('forecast', l => assert.ok(Number((l['all'] as Line)['learntFrom']) > 0)), text: /time +about .*\n(.*\n)+ +learnt from +\d+ clips/ }, // prettier-ignore
  { verb: 'subject photo edit', args: ['p4', '--mask', 'none'], json: is('subject'), text: /p4 +\d+x\d+ +lemon/ },
  { verb: 'adapter remove', args: ['Mine'], json: is('removed'), text: /a file outside the library stays/, once: 'text' },
  // exports
  { verb: 'export presets', json: is('presets', l => assert.equal((l['presets'] as unknown[]).length, 17)), text: /^preset +makes +name +what for\nshare +mp4 / }, // prettier-ignore
  { verb: 'clip export', args: ['c1', '--preset', 'gif', '--dry-run'], json: is('plan', l => assert.equal((l['plan'] as Line)['extension'], 'gif')), text: /./, once: 'json' }, // prettier-ignore
  {
    verb: 'clip export',
    args: ['c1', '--preset', 'share', '--command'],
    json: is('command', l => assert.match(String(l['command']), /ffmpeg .*libx264/)),
    text: /./,
    once: 'json',
  },
  { verb: 'clip export', args: ['c1', '--out', at('shared.mp4'), '--forget'], json: is('exported', l => assert.equal(statSync(String(l['path'])).size, (l['export'] as Line)['bytes'])), text: /./, once: 'json' }, // prettier-ignore
  {
    verb: 'request',
    args: [at('shared.mp4')],
    status: 1,
    json: is('request', l => assert.equal(l['request'], null)),
    text: /./,
    once: 'json',
  },
  {
    verb: 'clip export',
    args: ['c1', '--preset', 'gif', '--name', 'Small one'],
    json: is('exported'),
    text: /e2 is ready: /,
    once: 'text',
  },
  { verb: 'clip join', args: ['c1', 'c3', '--as-clip', '--name', 'Both'], json: is('exported', l => assert.deepEqual((l['export'] as Line)['clipId'], 'c7')), text: /./, once: 'json' }, // prettier-ignore
  { verb: 'clip show', args: ['c7'], json: is('clip', l => assert.deepEqual(clipIn(l).parents, ['c1', 'c3'])), text: /from +c1 c3/ },
  {
    verb: 'export list',
    json: is('exports', l => assert.equal((l['exports'] as unknown[]).length, 3)),
    text: /^e2 +completed .* Small one$/m,
  },
  { verb: 'export show', args: ['e1'], json: is('export', l => assert.equal(l['path'], at('shared.mp4'))), text: /shared\.mp4/ },
  { verb: 'export cancel', args: ['e1'], status: 1, json: is('failed', l => assert.equal(l['code'], 'conflict')), text: /^$/ },
  { verb: 'export retry', args: ['e1'], status: 1, json: is('failed', l => assert.match(String(l['text']), /is there/)), text: /^$/ },
  {
    verb: 'export retry',
    args: ['e1'],
    before: () => rmSync(at('shared.mp4')),
    json: is('exported', l => assert.equal(statSync(String(l['path'])).size, (l['export'] as Line)['bytes'])),
    text: /e1 is ready: .*shared\.mp4/,
  },
  { verb: 'export remove', args: ['e2'], json: is('removed'), text: /1 export removed/, once: 'text' },
  // prompts and samples
  { verb: 'prompt list', args: ['--search', 'KELP'], json: is('prompts', l => assert.ok((l['prompts'] as Line[]).some(p => p['prompt'] === '@kelp in {snow|sand}' && p['pinned'] === false))), text: /^ +used +prompt\n(?: .*\n)+ .* @kelp in \{snow\|sand\}\n$/ }, // prettier-ignore
  { verb: 'prompt pin', args: ['@kelp flies'], json: is('prompt', l => assert.deepEqual([l['prompt'], l['pinned']], ['@kelp flies', true])), text: /pinned/ }, // prettier-ignore
  { verb: 'prompt list', args: ['--limit', '1'], json: is('prompts', l => assert.deepEqual((l['prompts'] as Line[]).map(p => p['prompt']), ['@kelp flies'])), text: /\npinned .* @kelp flies\n$/ }, // prettier-ignore
  { verb: 'prompt unpin', args: ['@kelp flies'], json: is('prompt', l => assert.equal(l['pinned'], false)), text: /no longer/ },
  { verb: 'prompt remove', args: ['@kelp flies'], json: is('removed'), text: /off the list/, once: 'text' },
  { verb: 'prompt remove', args: ['@kelp flies'], status: 1, json: is('failed', l => assert.equal(l['code'], 'notFound')), text: /^$/ },
  { verb: 'subject samples', json: is('subjects', l => assert.equal((l['subjects'] as unknown[]).length, 16)), text: /^id +handle +description\n(?:s\d+ +@.*\n){16}$/ }, // prettier-ignore
  { verb: 'generate', args: ['--start', 'c1:0', '--prompt', 'it goes on', '--seed', '3', ...tiny], json: is('finished'), text: /^c\d+ is ready: seed 3, / }, // prettier-ignore
  { verb: 'clip list', args: ['--search', 'goes on'], json: is('clips', l => assert.deepEqual((l['clips'] as Clip[]).map(c => c.request?.startImage), ['i1', 'i1'].slice(0, (l['clips'] as Clip[]).length))), text: /it goes on/ }, // prettier-ignore
  // storage and backups
  { verb: 'storage show', json: is('storage'), text: /^kind +files +size +can go\n[^]*free on the disk/ },
  {
    verb: 'storage clean',
    args: ['latents', '--dry-run'],
    json: is('cleaned', l => assert.equal(l['dryRun'], true)),
    text: /would go, .* would be freed/,
  },
  { verb: 'storage clean', args: ['latents', 'previews', 'photos', 'work', 'backups'], json: is('cleaned'), text: /files? gone, .* freed/ },
  { verb: 'storage check', json: is('check', l => assert.deepEqual([l['sound'], l['missing'], l['orphans']], [true, [], []])), text: /the database is sound\nno file is missing\nno file is without an owner/ }, // prettier-ignore
  { verb: 'backup create', json: is('backup'), text: /^\S+, .*, in / },
  {
    verb: 'backup list',
    json: is('backups', l => assert.ok((l['backups'] as unknown[]).length > 0)),
    text: /^made +kind +size +name\n.*manual/,
  },
];

describe('every verb', { concurrency: false }, () => {
  for (const beside of [false, true])
    test(beside ? 'beside a process that has the library open' : 'while nobody has the library open', async t => {
      const at = await prepare(beside ? 'beside' : 'alone'),
        home = at('library'),
        own = { PROTAGONIST_HOME: home, XDG_CONFIG_HOME: at('config'), APPDATA: at('config'), HF_TOKEN: '' };
      const type = (args: readonly string[]) => run(args, { env: { ...own, NODE_COMPILE_CACHE: join(folder, 'compiled') } }); // hundreds of commands: half of their time is reading the same code
      let owner: ReturnType<typeof start> | undefined;
      if (beside) {
        owner = start(['queue', 'run', '--json'], { env: own });
        while (!existsSync(join(home, 'owner.sock'))) await sleep(50);
      }
      const done = new Set<string>();
      for (const { verb, args = [], before, status = 0, json, text, once } of script(at)) {
        const typed = [...verb.split(' '), ...args];
        await t.test(typed.join(' ').replaceAll(folder, ''), async () => {
          done.add(verb);
          before?.();
          const form = once ?? (beside ? 'json' : 'text');
          if (form === 'text') {
            const ended = await type(typed);
            assert.equal(ended.status, status, ended.stdout + ended.stderr);
            assert.match(ended.stdout, text);
            tidy(ended);
          }
          if (form === 'json') {
            const ended = await type([...typed, '--json']);
            assert.equal(ended.status, status, ended.stdout + ended.stderr);
            assert.equal(ended.stderr, '');
            assert.equal(ended.stdout.trim().split('\n').length, ended.lines.length, 'only JSON');
            json(ended.lines.at(-1)!);
          }
        });
      }
      await t.test('backup restore', async () => {
        done.add('backup restore');
        const { backups } = (await type(['backup', 'list', '--json'])).lines[0] as unknown as { backups: { name: string }[] };
        await type(['clip', 'rate', 'c1', '1']);
        const ended = await type(['backup', 'restore', backups[0]!.name]);
        assert.equal(ended.status, 0, ended.stderr);
        assert.match(ended.stdout, /the library is as /);
        assert.equal(clipIn((await type(['clip', 'show', 'c1', '--json'])).lines[0]!).stars, 4);
      });
      await t.test('clip find', async () => {
        done.add('clip find');
        const { path } = (await type(['clip', 'show', 'c1', '--json'])).lines[0] as unknown as { path: string };
        renameSync(path, at('moved.mp4'));
        const missing = await type(['clip', 'show', 'c1']);
        assert.match(missing.stdout, /file +missing: protagonist clip find c1 FILE/);
        const wrong = await type(['clip', 'find', 'c1', at('copy.mp4')]);
        assert.equal(wrong.status, 1);
        tidy(wrong);
        const ended = await type(['clip', 'find', 'c1', at('moved.mp4')]);
        assert.equal(ended.status, 0, ended.stderr);
        assert.match(ended.stdout, /c1 is there again/);
      });
      assert.deepEqual(
        verbs.filter(v => v.uses.length && !done.has(v.name)).map(v => v.name),
        [],
      );
      await t.test('mistakes', () => badInput(at, type, beside));
      if (owner) {
        owner.child.kill('SIGINT');
        assert.equal((await owner.ended).status, 0, (await owner.ended).stderr);
        assert.deepEqual(marked(owner.mark), []);
      }
      assert.ok(!existsSync(join(home, 'owner.sock')));
      await unchanged(at);
    });
});

/** What every command owes a person: sentences, no stack, nothing that moves the cursor. */
function tidy({ stdout, stderr }: Ended): void {
  assert.doesNotMatch(stdout + stderr, /\n\s+at |undefined|\[object|NaN|null/);
  assert.doesNotMatch(stdout + stderr, /[\x00-\x09\x0b-\x1f\u202e]/);
}
/** What was given lies where it lay, and the clips that were saved can be read. */
async function unchanged(at: (...parts: string[]) => string): Promise<void> {
  assert.deepEqual(readdirSync(at('photos')).toSorted(), ['fig.jpg', 'moss.jpg', 'words.jpg']);
  for (const file of ['saved.mp4', 'copy.mp4']) {
    assert.equal((await readClip(at(file))).width, 32);
    const made = JSON.stringify(await readRequest(at(file)));
    assert.ok(made.includes('zitrone') && !made.includes(folder), made);
  }
}

const mistakes: readonly (readonly [args: string, status: number, sentence: RegExp])[] = [
  ['subject add', 2, /^--name is missing/],
  ['subject add --name x --kind cat', 2, /^--kind is person, .*, not 'cat'/],
  ['subject add --name x nobody.jpg', 1, /nobody\.jpg/],
  ['subject add --name x --handle @kelp', 1, /@?kelp/],
  ['subject show @nobody', 1, /nobody/],
  ['subject show s99', 1, /s99/],
  ['subject show c1!', 2, /^'c1!' is no subject: name one by its handle \(@kelp\) or its id \(s1\)/],
  ['subject edit @kelp', 2, /^nothing to change/],
  ['subject tag @kelp', 2, /^nothing to change: name --add T or --remove T/],
  ['subject edit @kelp --hero x1', 2, /^'x1' is no id of a photo: one is written like p12/],
  ['subject edit @kelp --hero p99', 1, /p99/],
  ['subject remove @nobody', 1, /nobody/],
  ['subject restore s99', 1, /s99/],
  ['subject erase @kelp', 2, /no id of a subject/],
  ['subject erase s1', 2, /add --yes/],
  ['subject list --limit 0', 2, /^--limit is at least 1/],
  ['subject list --after c1', 2, /^'c1' is no id of a subject: one is written like s12/],
  ['subject add --name x - -', 2, /^- is given twice/],
  ['subject photo add @kelp', 2, /^PHOTO\.\.\. is missing: protagonist subject photo add SUBJECT PHOTO\.\.\./],
  ['subject photo edit p1', 2, /^nothing to change/],
  ['subject photo edit p1 --crop 1,2,3', 2, /^--crop is X,Y,W,H/],
  ['subject photo edit p1 --crop 999,0,5,5', 2, /^the crop begins at 999, 0/],
  ['subject photo edit p1 --view top', 2, /^--view is front, side, back, detail/],
  ['subject photo edit p1 --mask nobody.png', 2, /^--mask nobody\.png cannot be read/],
  ['subject photo edit p1 --mask {words}', 1, /mask|picture|image/],
  ['subject cutout @nobody', 1, /nobody/],
  ['subject check @nobody', 1, /nobody/],
  ['subject photo cutout p99', 1, /p99/],
  ['subject photo cutout p1 --rectangle 1,2,3', 2, /^--rectangle is X,Y,W,H in pixels of the photo, not '1,2,3'/],
  ['subject photo cutout p1 --rectangle 1,2,0,4', 2, /^--rectangle is X,Y,W,H/],
  ['subject photo cutout p1 --rectangle 5000,5,9,9', 1, /marks nothing of photo p1/],
  ['subject photo cutout p1 --add 1,2,3', 2, /^--add is X,Y,X,Y\.\.\., and '1,2,3' has an odd number/],
  ['subject photo cutout p1 --add a,b', 2, /^--add is X,Y,X,Y/],
  ['subject photo cutout p1 --brush 3', 2, /^--brush is for --add and --remove/],
  ['subject photo cutout p1 --add 1,1 --brush 0', 2, /brush|radius/],
  ['subject photo cutout p1 --from nobody.png', 2, /^--from nobody\.png cannot be read/],
  ['subject photo cutout p1 --from {words} --rectangle 1,2,3,4', 2, /^--rectangle begins a new mask/],
  ['subject photo cutout p1 --out {saved}', 2, /is there already: choose another name/],
  ['subject photo remove p99', 1, /p99/],
  ['subject photo restore p99', 1, /p99/],
  ['clip list --sort best', 2, /^--sort is newest, oldest, stars, not 'best'/],
  ['clip list --stars 6', 2, /^--stars is at most 5/],
  ['clip list --after nowhere', 2, /nowhere/],
  ['clip list --subject @nobody', 1, /nobody/],
  ['clip show c99', 1, /c99/],
  ['clip show 1', 2, /^'1' is no id of a clip: one is written like c12/],
  ['clip rate c1 6', 2, /^the number of stars is a whole number from 0 to 5, not '6'/],
  ['clip rate c99 5', 1, /c99/],
  ['clip tag c1', 2, /^nothing to change: name --add T or --remove T/],
  ['clip rename c99 x', 1, /c99/],
  ['clip trash', 2, /^ID\.\.\. is missing/],
  ['clip trash c99', 1, /c99/],
  ['clip restore c99', 1, /c99/],
  ['clip erase', 2, /^that deletes everything in the trash for good: add --yes/],
  ['clip erase c1 --yes', 1, /c1/],
  ['clip find c1 nobody.mp4', 1, /nobody\.mp4/],
  ['clip save c1 {saved}', 1, /saved\.mp4/],
  ['clip save c99 x.mp4', 1, /c99/],
  ['request nobody.mp4', 1, /nobody\.mp4/],
  ['request {words}', 1, /words\.jpg/],
  ['generate --subject @kelp', 2, /^--prompt is missing/],
  ['generate --subject @nobody --prompt x', 1, /nobody/],
  ['generate --prompt @nobody', 1, /nobody/],
  ['generate --subject @kelp @zitrone --prompt x', 1, /two subjects|more than one|several/],
  ['generate --subject @kelp --prompt x --width 130', 2, /^width 130 /],
  ['generate --subject @kelp --prompt x --photo p99', 1, /p99/],
  ['generate --subject @kelp --prompt x --checkpoint nobody', 2, /^there is no checkpoint 'nobody': the library knows k1 Toybox/],
  ['generate --subject @kelp --prompt x --adapter nobody', 2, /^there is no adapter 'nobody'/],
  ['generate --subject @kelp --prompt x --seeds 21', 2, /21 clips: add --yes/],
  ['generate --subject @kelp --prompt x --grid steps=0', 1, /steps/],
  ['generate --subject @kelp --prompt x --grid speed=0', 2, /^--grid speed=0 is not understood/],
  ['generate --subject @kelp --prompt {a|b', 1, /never closed/],
  ['generate --subject @kelp --prompt x --out x.gif', 2, /must end in \.mp4/],
  ['generate --subject @kelp --prompt x --out {saved}', 2, /is there already/],
  ['generate --subject @kelp --prompt x --out y.mp4 --detach', 2, /^--out waits for the clip/],
  ['generate --subject @kelp --prompt x --out y.mp4 --seeds 2', 2, /^--out takes one clip, and this makes 2/],
  ['generate --subject @kelp --prompt x --threads 2', 2, /^--threads is a setting of the library: protagonist settings set threads 2/],
  ['generate --like c99', 1, /c99/],
  ['generate --like nobody.mp4', 1, /nobody\.mp4/],
  ['forecast --subject {words} --prompt x', 2, /is no subject/],
  ['job list --status done', 2, /^--status is pending, .*, not 'done'/],
  ['job list --batch c1', 2, /^'c1' is no id of a job/],
  ['job show j99', 1, /j99/],
  ['job pause j1', 1, /j1/],
  ['job resume j1', 1, /j1/],
  ['job cancel j1', 1, /j1/],
  ['job retry j1', 1, /j1/],
  ['job duplicate j99', 1, /j99/],
  ['job duplicate j1 --seed 1 --new-seed', 2, /^--seed and --new-seed contradict/],
  ['job move j1 up', 2, /^'up' is no place/],
  ['job move j1 before', 2, /^'before' is no place/],
  ['job move j1 top', 1, /j1/],
  ['job edit j1', 2, /^nothing to change/],
  ['job edit j1 --steps 3', 1, /j1/],
  ['checkpoint add nowhere', 1, /nowhere/],
  ['checkpoint add {words}', 1, /words\.jpg/],
  ['checkpoint default nobody', 2, /^there is no checkpoint 'nobody'/],
  ['checkpoint find k99 .', 2, /^there is no checkpoint 'k99'/],
  ['checkpoint rename Toybox ', 2, /^the name is empty/],
  ['clip rename c1 ', 2, /^the name is empty/],
  ['checkpoint remove nobody', 2, /^there is no checkpoint/],
  ['adapter add {words}', 1, /words\.jpg/],
  ['adapter add nowhere', 1, /nowhere/],
  ['adapter edit a1', 2, /^nothing to change/],
  ['adapter edit a1 --scale 1000', 2, /^--scale is at most 100/],
  ['adapter find a99 x', 2, /^there is no adapter 'a99'/],
  ['adapter remove a99', 2, /^there is no adapter 'a99'/],
  ['settings set thread 2', 2, /^there is no setting 'thread': did you mean threads\?/],
  ['settings set threads many', 2, /^threads cannot be 'many'/],
  ['settings set threads 0', 2, /^threads cannot be '0': threads is at least 1/],
  ['settings set device gpu', 2, /^device cannot be 'gpu': auto, cpu or cuda/],
  ['storage clean everything', 2, /^nothing of the kind 'everything' can be cleaned/],
  ['backup restore nobody', 1, /nobody/],
  ['backup restore ../../etc/passwd', 1, /passwd/],
  ['queue run --until-emty', 2, /no option --until-emty: did you mean --until-empty\?/],
  ['clip list --home', 2, /^--home needs a value/],
];
/** Types every mistake, a few at a time, as a person or as a machine.
 * @param all also those that are told without looking into the library */
async function badInput(
  at: (...parts: string[]) => string,
  type: (args: readonly string[]) => Promise<Ended>,
  all: boolean,
): Promise<void> {
  const rest = [...mistakes.entries()].filter(([, [, status]]) => all || status === 1);
  const wrong: string[] = [];
  const typist = async () => {
    for (let next = rest.shift(); next; next = rest.shift()) {
      const [number, [typed, status, sentence]] = next;
      const args = typed.split(' ').map(word => word.replace('{words}', at('words.jpg')).replace('{saved}', at('saved.mp4')));
      const machine = (number % 2 === 0) === all && args.at(-1) !== '--home',
        ended = await type(machine ? [...args, '--json'] : args);
      try {
        assert.equal(ended.status, status);
        if (machine) {
          const last = ended.lines.at(-1)!;
          assert.equal(ended.stderr, '');
          assert.equal(last.type, 'failed');
          assert.ok(actions.includes(last['action'] as Action));
          assert.match(String(last['text']), sentence);
        } else {
          assert.match(ended.stderr, sentence);
          assert.equal(ended.stderr.trim().split('\n').length, 1);
          tidy(ended);
        }
      } catch (e) {
        wrong.push(`${typed}: ${String(ended.status)} ${ended.stdout}${ended.stderr}(${(e as Error).message.split('\n')[0]!})`);
      }
    }
  };
  await Promise.all([typist(), typist(), typist()]);
  assert.deepEqual(wrong, []);
}

/** Long enough to be stopped, small enough to be quick. */
const long = ['--width', '32', '--height', '32', '--frames', '9', '--steps', '80', '--seed', '1'];

describe('waiting', { concurrency: false }, () => {
  const home = join(folder, 'waiting');
  const env = { PROTAGONIST_HOME: home };
  const json = async (...args: string[]) => (await run([...args, '--json'], { env })).lines.at(-1)!;
  /** Starts a `generate` or `queue run` and waits until a clip is being painted. */
  const painting = async (args: readonly string[]) => {
    const seen = Promise.withResolvers<undefined>();
    const started = start(args, {
      env,
      onLine: l => {
        const at = l['progress'] as { phase: string; step: number } | undefined;
        if (l.type === 'progress' && at?.phase === 'denoise' && at.step >= 3) seen.resolve(undefined);
      },
    });
    await Promise.race([seen.promise, started.ended]);
    return started;
  };

  test('Ctrl-C as the owner: the job stays in the queue, and queue run goes on with it', async () => {
    assert.equal((await run(['subject', 'add', '--name', 'Kelp', photo('kelp')], { env })).status, 0);
    const started = await painting(['generate', '--prompt', '@kelp hops', ...long, '--json']);
    started.child.kill('SIGINT');
    const ended = await started.ended;
    assert.equal(ended.status, 130, ended.stderr);
    assert.deepEqual(ended.lines.at(-1), { type: 'finished', clips: [], failed: [], canceled: [], stopped: true });
    assert.deepEqual(marked(started.mark), []);
    assert.equal(jobIn(await json('job', 'show', 'j1')).status, 'pending');

    const people = start(['generate', '--like', 'j1', '--seed', '2', '--out', join(folder, "o'clock.mp4")], { env });
    while (jobIn(await json('job', 'show', 'j1')).status !== 'inProgress') await sleep(200); // it has its turn first
    people.child.kill('SIGINT');
    const told = await people.ended;
    assert.equal(told.status, 130);
    assert.match(told.stderr, /^j2, 2nd in the queue: not known yet how long it takes\n/);
    assert.match(
      told.stderr,
      /\nStopped\. j2 stays in the queue with what is done: protagonist queue run goes on\. No copy is saved as --out says: once it is ready, protagonist clip save ID '.*\/o'\\''clock\.mp4' does it \(protagonist job show j2 says which clip\)\.\n$/,
    );
    tidy(told);
    assert.equal((await run(['job', 'cancel', 'j2'], { env })).status, 0);
  });

  test('Ctrl-C beside an owner: it goes on there', async () => {
    const owner = await painting(['queue', 'run', '--json']);
    const other = start(['generate', '--prompt', '@kelp sleeps', ...tiny], { env });
    while (statusIn(await json('job', 'show', 'j3')) !== 'pending') await sleep(100);
    await sleep(500);
    other.child.kill('SIGINT');
    const told = await other.ended;
    assert.equal(told.status, 130);
    assert.match(told.stderr, /No longer waiting\. j3 goes on in the process that has the library open/);
    // the owner is killed: who waits takes over, and the clip comes all the same
    const waiting = start(['generate', '--prompt', '@kelp jumps', ...tiny, '--json'], { env });
    while (statusIn(await json('job', 'show', 'j4')) !== 'pending') await sleep(100);
    owner.child.kill('SIGKILL');
    await owner.ended;
    const ended = await waiting.ended;
    assert.equal(ended.status, 0, ended.stdout.slice(-1000) + ended.stderr);
    assert.equal((ended.lines.at(-1)!['clips'] as unknown[]).length, 1);
    const rest = await run(['queue', 'run', '--until-empty'], { env });
    assert.equal(rest.status, 0, rest.stderr);
    assert.equal(rest.stdout, 'The queue is empty: 0 clips made.\n');
    for (const id of ['j1', 'j3']) assert.equal(jobIn(await json('job', 'show', id)).status, 'completed');
  });
});

describe('stopped, asked, waited for', { concurrency: false }, () => {
  const home = join(folder, 'stopped');
  const env = { PROTAGONIST_HOME: home };
  const type = (...args: string[]) => run(args, { env });
  /** As `run`, its standard input left open. */
  const listening = (args: readonly string[]) => {
    const child = spawn(process.execPath, [join(root, 'electron/protagonist.js'), ...args], {
      env: { ...process.env, ...env },
      stdio: 'pipe',
    });
    const said = Promise.all([text(child.stdout), text(child.stderr)]);
    return {
      child,
      ended: new Promise<{ status: number | null; stdout: string; stderr: string }>(done =>
        child.on('close', status => void said.then(([stdout, stderr]) => done({ status, stdout, stderr }))),
      ),
    };
  };

  for (const json of [true, false])
    test(`Ctrl-C while a folder is added: nothing of it stays, and it can be typed again${json ? ', for machines' : ''}`, async () => {
      const many = join(folder, 'many');
      mkdirSync(many, { recursive: true });
      for (let i = 0; i < 300; i++) cpSync(photo('kelp'), join(many, `${i}.jpg`));
      const started = start(['subject', 'add', '--name', 'Many', many, ...(json ? ['--json'] : [])], { env });
      while (!existsSync(join(home, 'owner.sock'))) await sleep(20);
      while ((await type('subject', 'show', '@many')).status !== 0) await sleep(20);
      started.child.kill('SIGINT');
      const ended = await started.ended;
      assert.equal(ended.status, 130, ended.stdout + ended.stderr);
      const sentence = 'Canceled. The same command does what is left to do.';
      if (json) assert.deepEqual(ended.lines, [{ type: 'failed', code: 'canceled', text: sentence, action: 'retry' }]);
      else assert.equal(ended.stderr, `${sentence}\n`);
      assert.ok(!existsSync(join(home, 'owner.sock')));
      assert.match((await type('subject', 'list')).stdout, /^no subjects yet/);
    });

  test('a picture is waited for on standard input, and others are answered meanwhile; Ctrl-C ends the waiting', async () => {
    const adding = listening(['subject', 'add', '--name', 'Kelp', '-']);
    while (!existsSync(join(home, 'owner.sock'))) await sleep(20);
    await sleep(300);
    const beside = await type('subject', 'list');
    assert.equal(beside.stdout, 'no subjects yet: protagonist subject add --name NAME PHOTO... makes one\n', beside.stderr);
    assert.ok(beside.seconds < within(8), `${beside.seconds} s`);
    adding.child.stdin.end(readFileSync(photo('kelp')));
    const added = await adding.ended;
    assert.deepEqual([added.status, added.stderr], [0, '']);
    assert.match(added.stdout, /^Kelp is @kelp \(s\d+\): 1 photo /);

    const stopped = listening(['subject', 'photo', 'add', '@kelp', '-']);
    while (!existsSync(join(home, 'owner.sock'))) await sleep(20);
    await sleep(1500); // it listens for Ctrl-C by then
    stopped.child.kill('SIGINT');
    assert.deepEqual(await stopped.ended, { status: 130, stdout: '', stderr: 'Canceled. The same command does what is left to do.\n' });
  });

  test('who waits is told that the queue is paused, and that it goes on: a machine too', async () => {
    assert.equal((await type('queue', 'pause')).status, 0);
    const paused = Promise.withResolvers<undefined>();
    const queue = (l: Line) => (l['queue'] as Line | undefined)?.['state'];
    const waiting = start(['generate', '--prompt', '@kelp hops', ...tiny, '--json'], {
      env,
      onLine: l => {
        if (l.type === 'queue' && queue(l) === 'paused') paused.resolve(undefined);
      },
    });
    await Promise.race([paused.promise, sleep(15_000)]);
    assert.equal((await type('queue', 'resume')).status, 0);
    const ended = await waiting.ended;
    assert.equal(ended.status, 0, ended.stderr);
    const states = ended.lines.filter(l => l.type === 'queue').map(queue);
    assert.equal(states.length, 2);
    assert.equal(states[0], 'paused');
    assert.notEqual(states[1], 'paused');
  });

  test('what a clip is like that this library lacks is left out, and said', async () => {
    const made = join(folder, 'made.mp4');
    assert.equal((await run(['generate', '--subject', photo('fig'), '--prompt', 'it hops', ...tiny, '--out', made])).status, 0);
    const machine = await type('forecast', '--like', made, '--json');
    assert.equal(machine.stderr, '');
    assert.deepEqual(machine.lines.map(l => l.type), ['notice', 'forecast']); // prettier-ignore
    assert.equal((await type('forecast', '--like', made)).stderr, 'the photo fig.jpg: left out\n');
  });

  test(
    'a log in the place of the terminal: nobody is asked, and that is said',
    { skip: spawnSync('script', ['--version']).error && 'needs script' },
    () => {
      const log = join(folder, 'log'),
        typed = `'${process.execPath}' '${join(root, 'electron/protagonist.js')}' clip erase 2>'${log}'`;
      const { status } = spawnSync('script', ['-qec', typed, '/dev/null'], {
        env: { ...process.env, ...env },
        stdio: ['pipe', 'ignore', 'ignore'],
      });
      assert.equal(readFileSync(log, 'utf8'), 'that deletes everything in the trash for good: add --yes\n');
      assert.equal(status, 2);
    },
  );
});
