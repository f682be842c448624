/** @file The arithmetic of exports: sizes, rates, lengths and bit rates, without any ffmpeg. */
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import type { Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { planExport, presetIds, presetOf, presets, unavailable, type Film } from '../../electron/media/presets.ts';
import { sentence } from '../support/media.ts';

const every: Ffmpeg = {
  path: '/usr/bin/ffmpeg',
  source: 'PATH',
  version: '9.0',
  year: 2026,
  encoders: [...new Set(presets.flatMap(preset => preset.encoders.map(({ name }) => name)))],
  ownFramesOnly: false,
};
const film = (width: number, height: number, numFrames = 49, rate: readonly [number, number] = [8, 1], compressed = true): Film => ({
  width,
  height,
  rate,
  numFrames,
  colours: 'rgb',
  compressed,
});

describe('the table', () => {
  test('each row says who it is, what it needs and where it goes', () => {
    assert.deepEqual(
      presets.map(({ id }) => id),
      [...presetIds],
    );
    assert.equal(new Set(presets.map(({ name }) => name)).size, presets.length);
    for (const preset of presets) {
      assert.match(preset.says, /^[A-Z].*\.$/, preset.id);
      assert.ok(preset.encoders.length > 0 && preset.smallest.width >= 16 && preset.smallest.height >= 16);
      if (preset.partner) assert.equal(presetOf(preset.partner).partner, preset.id);
    }
  });

  test('an ffmpeg that lacks the encoder, or has it from before it was fit for use, is named in a sentence', () => {
    for (const preset of presets) {
      assert.equal(unavailable(preset, every), undefined);
      const says = unavailable(preset, { ...every, encoders: ['mpeg4'] })!;
      assert.match(says, /^[^\n]+ needs an ffmpeg with .+ lacks: choose another preset, or install .+\.$/);
      assert.throws(() => planExport(preset, film(128, 128), {}, { ...every, encoders: [] }), sentence(/needs an ffmpeg with/));
    }
    const archive = presetOf('archive');
    assert.equal(planExport(archive, film(128, 128), {}, { ...every, encoders: ['libaom-av1'] }).encoder, 'libaom-av1');
    assert.match(unavailable(archive, { ...every, encoders: ['libaom-av1'], year: 2018 })!, /libaom-av1 of 2020 or later.*2018/);
  });
});

describe('sizes', () => {
  test('nothing comes out under the smallest size, the factor is whole and the least that does', () => {
    for (const preset of presets)
      for (const [width, height] of [[128, 128], [720, 480], [16, 16], [256, 120], [1, 1], [97, 61], [480, 720]] as const)
        for (const fit of ['crop', 'pad'] as const) {
          const plan = planExport(preset, film(width, height), { fit }, every);
          const what = `${preset.id} ${width}x${height} ${fit}: ${JSON.stringify([plan.width, plan.height, plan.scaled, plan.offset])}`;
          const factor = plan.scaled.width / width;
          assert.ok(Number.isInteger(factor) && plan.scaled.height === factor * height, what);
          assert.ok(plan.width >= preset.smallest.width && plan.height >= preset.smallest.height, what);
          if (preset.pixels.startsWith('yuv')) assert.ok(plan.width % 2 === 0 && plan.height % 2 === 0, what);
          assert.equal(factor > 1, plan.notes.some(note => note.startsWith('It is scaled up')), what);
          if (factor > 1 && !preset.aspect)
            assert.ok((factor - 1) * width < preset.smallest.width || (factor - 1) * height < preset.smallest.height, what);
          if (!preset.aspect) assert.ok(plan.width - plan.scaled.width <= 1 && plan.height - plan.scaled.height <= 1, what);
          else {
            assert.equal(plan.width * preset.aspect[1], plan.height * preset.aspect[0], what);
            // crop: the file's picture lies inside the scaled one; pad: the other way round; both in the middle
            const [dx, dy] = [plan.scaled.width - plan.width, plan.scaled.height - plan.height];
            assert.ok(fit === 'crop' ? dx >= 0 && dy >= 0 : dx <= 0 && dy <= 0, what);
            assert.ok(Math.abs(plan.offset.x - dx / 2) <= 1.5 && Math.abs(plan.offset.y - dy / 2) <= 1.5, what);
          }
        }
  }); // prettier-ignore

  test('the usual clips', () => {
    const size = (id: (typeof presetIds)[number], from: Film, options = {}) => {
      const { width, height } = planExport(presetOf(id), from, options, every);
      return `${width}x${height}`;
    };
    assert.equal(size('share', film(128, 128)), '128x128');
    assert.equal(size('share', film(720, 480), { scale: 0.5 }), '360x240');
    assert.equal(size('share', film(721, 481)), '722x482');
    assert.equal(size('lossless', film(721, 481)), '721x481');
    assert.equal(size('editDnxhr', film(128, 128)), '256x256');
    assert.equal(size('highEfficiency', film(128, 128)), '256x256');
    assert.equal(size('socialTall', film(128, 128)), '720x1280');
    assert.equal(size('socialTall', film(720, 480)), '810x1440');
    assert.equal(size('socialPortrait', film(720, 480)), '768x960');
    assert.equal(size('socialSquare', film(720, 480), { fit: 'pad' }), '720x720');
    assert.equal(size('socialSquare', film(128, 128)), '768x768');
  });

  test('what cannot be is refused with the value', () => {
    const share = presetOf('share');
    const refuse = (options: object, pattern: RegExp, from = film(720, 480)) =>
      assert.throws(() => planExport(share, from, options, every), sentence(pattern));
    refuse({ scale: 0 }, /scale of 0 is not between/);
    refuse({ scale: NaN }, /scale of NaN/);
    refuse({ scale: 8 }, /12800x7200 is larger than 8192/, film(1600, 900));
    refuse({ loop: 1.5 }, /1.5 plays/);
    refuse({ rate: [0, 1] }, /rate of 0\/1/);
    refuse({ rate: [30, 0] }, /rate of 30\/0/);
    refuse({ rate: [1000, 1] }, /rate of 1000\/1/);
    refuse({ trim: { from: 10, to: 10 } }, /frames 10 to 10 are not within the clip's 49/);
    refuse({ trim: { from: -1, to: 10 } }, /frames -1 to 10/);
    refuse({ trim: { from: 0, to: 50 } }, /frames 0 to 50/);
    refuse({ poster: 49 }, /no frame 49 for the poster: choose one of 0 to 48/);
    refuse({}, /not within 8192 pixels/, film(9000, 100));
    refuse({ boomerang: true }, /too many to hold/, film(1920, 1080, 1000));
  });
});

describe('lengths and rates', () => {
  test('trim, boomerang, plays and rate, in that order', () => {
    const share = presetOf('share');
    const count = (options: object) => planExport(share, film(64, 64, 49), options, every).numFrames;
    assert.equal(count({}), 49);
    assert.equal(count({ trim: { from: 4, to: 20 } }), 16);
    assert.equal(count({ boomerang: true }), 96);
    assert.equal(count({ trim: { from: 0, to: 2 }, boomerang: true }), 2);
    assert.equal(count({ trim: { from: 4, to: 20 }, boomerang: true, loop: 3 }), 90);
    assert.equal(count({ rate: [24, 1] }), 147);
    assert.equal(count({ rate: [30000, 1001] }), 184); // 49 / 8 s at 29.97
    assert.equal(count({ rate: [4, 1] }), 25);
    const { notes, rate } = planExport(share, film(64, 64), { rate: [48, 2] }, every);
    assert.deepEqual(rate, [24, 1]);
    assert.deepEqual(notes, ['It has 24 frames a second by repeating frames of 8; none is invented.']);
  });

  test('social clips have 30 frames a second and 3 seconds, and say how', () => {
    const plan = planExport(presetOf('socialTall'), film(128, 128, 17), {}, every);
    assert.deepEqual([plan.rate, plan.plays, plan.numFrames], [[30, 1], 2, 128]); // 2 x 17 / 8 s
    assert.match(plan.notes.join(' '), /played 2 times, to last 3 seconds.*30 frames a second by repeating frames of 8; none is invented/);
    const long = planExport(presetOf('socialTall'), film(128, 128, 24), {}, every);
    assert.equal(long.plays, 1);
  });

  test('GIF and WebP leave frames out above their clock', () => {
    const plan = planExport(presetOf('gif'), film(64, 64, 120, [120, 1]), {}, every);
    assert.deepEqual([plan.rate, plan.numFrames], [[40, 1], 40]);
  });

  test('masters say when they come from the compressed clip', () => {
    for (const preset of presets) {
      const says = (compressed: boolean) =>
        planExport(preset, film(720, 480, 49, [8, 1], compressed), {}, every).notes.includes('It is made from the compressed clip.');
      assert.equal(says(true), preset.master === true, preset.id);
      assert.equal(says(false), false);
    }
  });
});

test('chat presets stay under their limit, and refuse what would not be worth watching', () => {
  for (const id of ['chat10', 'chat25', 'chat50'] as const) {
    const preset = presetOf(id);
    for (const [from, reserve] of [
      [film(720, 480), 0],
      [film(1360, 768, 1500, [30, 1]), 2e6],
      [film(1920, 1080, 600, [60, 1]), 0],
    ] as const) {
      const plan = planExport(preset, from, {}, every, reserve);
      assert.ok(plan.bitRate > 0 && (plan.bitRate * plan.seconds) / 8 + reserve < preset.megabytes! * 1e6, id);
    }
    assert.throws(
      () => planExport(preset, film(1920, 1080, 60_000, [30, 1]), {}, every),
      sentence(/2000 s of 1920x1080 in \d+ MB would not be worth watching/),
    );
  }
});
