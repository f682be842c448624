/** @file The queue: a port of a few verbs, and its implementation on SQLite. Position is the order; what runs is leased; who has lost the lease changes nothing any more. */
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { phases, type devices, type Phase } from '../../native-models/tasks.ts';
import { actionOf, failure as failureSchema, StudioError, type Failure } from '../contract/errors.ts';
import { clipId, rowOf, type ClipId, type JobId } from '../contract/ids.ts';
import { forecast as forecastSchema, type Forecast, type Job, type JobStatus, type Progress } from '../contract/records.ts';
import { request as requestSchema, resolvedRequest, type Request, type ResolvedRequest } from '../contract/requests.ts';
import { unknown, work, workOf, type Work } from './forecast.ts';
import type { Library } from './library.ts';

export type Device = (typeof devices)[number];
/** How far a job had come when its engine or encoder died. */
export interface Place {
  readonly phase: Phase;
  readonly step: number;
}
export interface NewJob {
  readonly request: Request;
  readonly resolved: ResolvedRequest;
}
/** The right to work on a job: good until the job is released, paused, canceled or taken over. */
export interface Claim {
  readonly id: JobId;
  readonly attempt: number;
  readonly session: string;
  readonly job: Job;
}
export interface JobFilter {
  readonly status: readonly JobStatus[];
  readonly batch: JobId | null;
  readonly after: JobId | null;
  readonly limit: number;
}
export type To = 'top' | 'bottom' | { readonly before: JobId } | { readonly after: JobId };

/** A queue of jobs, wherever it is kept. What its verbs have returned is on the disk. They throw StudioError: `notFound`, `conflict` where the job's status does not allow it. */
export interface Queue {
  /** Puts jobs at the end, or (`next`) before all others; they are one batch. */
  enqueue(jobs: readonly NewJob[], next?: boolean): Job[];

  /** Takes the first waiting job for a device (`auto` takes any) and leases it to this session. What another session was at when it ended, or a lease that ran out, goes back to the front before. */
  claim(device: Device): Claim | undefined;
  /** Holds the lease and keeps what was gained.
   * @param snapshotStep steps that need not be done again: said when a new snapshot has taken the place of the one before, and never else
   * @returns false, and nothing changes, where the claim is no longer good; so it is with all that follow */
  heartbeat(claim: Claim, snapshotStep?: number): boolean;
  /** Ends a job with its clip, in one transaction with what `write` writes.
   * @returns what `write` returns; undefined, and `write` is not called, where the claim is no longer good */
  complete<T extends { readonly id: ClipId }>(claim: Claim, write: () => T): T | undefined;
  /** An attempt has failed. Deaths of the engine and the encoder are forgiven (`again`: the job waits at the front) until they come twice at the same place with no new snapshot between, or `mostDeaths` times in a row.
   * @param at where it was, of `engineDied` and `encoderDied` */
  fail(claim: Claim, failure: Failure, at?: Place): 'again' | 'failed' | undefined;
  /** Puts a job back to the front: whoever was at it has no time left. */
  release(claim: Claim): boolean;

  pause(id: JobId): Job;
  resume(id: JobId): Job;
  cancel(id: JobId): Job;
  /** Lets a failed job wait again at the end, a canceled one where it was. */
  retry(id: JobId): Job;
  move(id: JobId, to: To): Job;
  /** The same once more at the end.
   * @param seed null draws one, absent is the same */
  duplicate(id: JobId, seed?: number | null): Job;
  /** Of a job that waits or is paused. */
  edit(id: JobId, to: NewJob): Job;

  get(id: JobId): Job;
  /** What runs, then what waits in its order, then what has ended, the newest first. */
  list(filter: JobFilter): { jobs: Job[]; next: JobId | null };
  /** Gives back to the front what other sessions left running.
   * @param own what this one left, too: nothing works on anything now */
  recover(own?: boolean): void;
  /** What runs, in the order of its ids. */
  running(): JobId[];
  /** How many wait, and how much of which work that is. */
  waiting(): { count: number; work: readonly { readonly work: Work; readonly count: number }[] };
}

/** After so many deaths in a row without anything gained a job is given up. */
export const mostDeaths = 5;
/** How long a lease lasts without a heartbeat, in seconds. */
export const lease = 120;

/** Deaths since the last snapshot. */
const deaths = z.object({ engine: z.array(z.string()).default([]), encoder: z.array(z.string()).default([]) });
/** What a row keeps beside its columns. */
const record = z.object({
  version: z.literal(1).default(1),
  request: requestSchema,
  resolved: resolvedRequest,
  /** As it was when the job was taken. */
  forecast: forecastSchema.nullable().default(null),
  snapshotStep: z.number().int().nonnegative().default(0),
  deaths: deaths.prefault({}),
  failure: failureSchema.nullable().default(null),
  clipId: clipId.nullable().default(null),
  /** Where a canceled job was in the order. */
  wasAt: z.number().nullable().default(null),
  createdAt: z.string(),
  startedAt: z.string().nullable().default(null),
  endedAt: z.string().nullable().default(null),
});
type JobRecord = z.infer<typeof record>;

interface Row {
  readonly id: number;
  readonly batch: number;
  readonly status: JobStatus;
  readonly position: number | null;
  readonly attempt: number;
  readonly record: string;
}

const phaseNames: Readonly<Record<Phase, string>> = {
  load: 'while it loaded the checkpoint',
  encode: 'while it read the prompt and the photos',
  denoise: 'in step',
  decode: 'while it decoded the frames',
  export: 'while the video was written',
};
const spokenPlace = ({ phase, step }: Place, steps: number) =>
  phase === 'denoise' ? `in step ${Math.min(step + 1, steps)} of ${steps}` : phaseNames[phase];
const placeKey = ({ phase, step }: Place) => `${phases.indexOf(phase)} ${step}`;
const further = (a: string, b: string) => {
  const [p = 0, s = 0] = a.split(' ').map(Number),
    [q = 0, t = 0] = b.split(' ').map(Number);
  return p > q || (p === q && s > t);
};

/** What stands in for a request that can no longer be read. */
const unreadable: NewJob = {
  request: requestSchema.parse({ prompt: '' }),
  resolved: {
    version: 1, prompt: '', negativePrompt: '', subjects: [], references: [], startImage: null, checkpoint: { id: 'k1', name: '', sha256: '0'.repeat(64) }, adapters: [], seed: 0, numInferenceSteps: 1, guidanceScale: 1,
    useDynamicCfg: false, scheduler: 'ddim', numFrames: 1, width: 16, height: 16, fps: 1, fit: 'contain', precision: 'auto', noiseDtype: 'float32', vaeTiling: false, device: 'auto',
  }, // prettier-ignore
};

export interface QueueOptions {
  /** Made new at each start of an owner. */
  readonly session: string;
  /** Seconds of a clock that never jumps. */
  readonly clock?: () => number;
  readonly forecast?: (work: Work) => Forecast;
  /** What is known of a running job beside its row. */
  readonly live?: (id: JobId) => { readonly progress: Progress | null; readonly forecast: Forecast | null } | undefined;
  /** Called after each change, once it is on the disk. */
  readonly changed?: () => void;
}

/** Of more jobs at once, clients are told only that the queue has changed. */
const mostTold = 200;

/** The queue in the library's own database. */
export function sqliteQueue(library: Library, options: QueueOptions): Queue {
  const { db } = library,
    { session, clock = () => performance.now() / 1000, forecast = () => unknown, live, changed = () => undefined } = options;
  const now = () => new Date().toISOString();

  // Rows and jobs

  const rowById = (id: JobId): Row => {
    const row = db.get<Row>('SELECT * FROM jobs WHERE id = ?', rowOf(id));
    if (!row) throw new StudioError('notFound', `there is no job ${id}: list them`);
    return row;
  };
  /** @throws StudioError `corrupt`, with a sentence for the job's owner */
  const read = (row: Row): JobRecord => {
    try {
      return record.parse(JSON.parse(row.record));
    } catch (cause) {
      throw new StudioError('corrupt', `what was kept of job j${row.id} is damaged: restore a backup, or make the clip anew`, { cause });
    }
  };
  const toJob = (row: Row, rank: number | null): Job => {
    const fixed = { version: 1, id: `j${row.id}`, batchId: `j${row.batch}`, attempt: row.attempt, position: rank } as const;
    let r: JobRecord;
    try {
      r = read(row);
    } catch (e) {
      const { code, message } = e as StudioError;
      return {
        ...fixed, ...unreadable, status: 'failed', position: null, forecast: unknown, progress: null, snapshotStep: 0, failure: { code, text: message, action: actionOf[code] }, clipId: null,
        createdAt: new Date(0).toISOString(), startedAt: null, endedAt: null,
      }; // prettier-ignore
    }
    const running = row.status === 'inProgress' ? live?.(fixed.id) : undefined,
      ended = row.status === 'completed' || row.status === 'failed' || row.status === 'canceled';
    const { request, resolved, snapshotStep, failure, clipId, createdAt, startedAt, endedAt } = r;
    return {
      ...fixed,
      request,
      resolved,
      snapshotStep,
      failure,
      clipId,
      createdAt,
      startedAt,
      endedAt,
      status: row.status,
      forecast: running?.forecast ?? (ended || row.status === 'inProgress' ? r.forecast : null) ?? forecast(workOf(r.resolved)),
      progress: running?.progress ?? null,
    };
  };
  /** The place in the order as people count it: 0 runs, 1 is next; null once it has ended. */
  const rankOf = (row: Row): number | null =>
    row.status === 'inProgress'
      ? 0
      : row.position === null
        ? null
        : db.get<{ n: number }>('SELECT count(*) AS n FROM jobs WHERE position <= ?', row.position)!.n;
  const jobById = (id: JobId): Job => {
    const row = rowById(id);
    return toJob(row, rankOf(row));
  };
  const tell = (id: JobId): Job => {
    const job = jobById(id);
    library.say({ type: 'job', job });
    db.afterCommit(changed);
    return job;
  };

  // The order

  const edge = (which: 'min' | 'max') => db.get<{ p: number | null }>(`SELECT ${which}(position) AS p FROM jobs`)!.p ?? 0;
  /** Makes room for a row at this position. */
  const shift = (position: number) => db.run('UPDATE jobs SET position = position + 1 WHERE position >= ?', position);

  /** Writes a row's new state.
   * @param position in the order; null for what runs or has ended */
  const write = (row: Row, status: JobStatus, position: number | null, r: JobRecord) =>
    db.run(
      `UPDATE jobs SET status = ?, position = ?, record = ?, session = CASE ? WHEN 'inProgress' THEN session END, lease = CASE ? WHEN 'inProgress' THEN lease END WHERE id = ?`,
      status, position, JSON.stringify(r), status, status, row.id,
    ); // prettier-ignore
  const insert = ({ request, resolved }: NewJob, batch: number | null, position: number): JobId => {
    const r = record.parse({ request, resolved, createdAt: now() });
    const { id } = db.run(
      `INSERT INTO jobs (batch, status, position, shape, record) VALUES (?, 'pending', ?, ?, ?)`,
      batch ?? 0, position, JSON.stringify(workOf(resolved)), JSON.stringify(r),
    ); // prettier-ignore
    if (batch === null) db.run('UPDATE jobs SET batch = id WHERE id = ?', id);
    return `j${id}`;
  };

  // Claims

  /** The row, where the claim is still good. */
  const held = (claim: Claim): Row | undefined =>
    db.get<Row>(
      `SELECT * FROM jobs WHERE id = ? AND attempt = ? AND session = ? AND status = 'inProgress'`,
      rowOf(claim.id), claim.attempt, claim.session,
    ); // prettier-ignore
  const fenced = <T>(claim: Claim, change: (row: Row) => T): T | undefined =>
    db.transaction(() => {
      const row = held(claim);
      return row && change(row);
    });
  const front = (row: Row, r: JobRecord) => {
    write(row, 'pending', edge('min') - 1, r);
    tell(`j${row.id}`);
  };
  /** A row that cannot be read ends here; it stays as it is, for whoever can. */
  const bury = (row: Row) => {
    db.run(`UPDATE jobs SET status = 'failed', position = NULL, session = NULL, lease = NULL WHERE id = ?`, row.id);
    tell(`j${row.id}`);
  };
  const readOrBury = (row: Row): JobRecord | undefined => {
    try {
      return read(row);
    } catch {
      bury(row);
      return undefined;
    }
  };
  const recover = (own = false) => {
    const left = db.all<Row>(
      `SELECT * FROM jobs WHERE status = 'inProgress' AND (? OR session IS NOT ? OR lease IS NULL OR lease < ?) ORDER BY id DESC`,
      own, session, clock(),
    ); // prettier-ignore
    for (const row of left) {
      const r = readOrBury(row);
      if (r) front(row, r);
    }
  };

  /** Applies a person's wish to a job: `allowed` gives the job's new state, or a sentence why not. */
  const change = (
    id: JobId,
    wish: (row: Row, r: JobRecord) => 'as it is' | { status: JobStatus; position: number | null; record: JobRecord } | { no: string },
  ): Job =>
    db.transaction(() => {
      const row = rowById(id),
        to = wish(row, read(row));
      if (to === 'as it is') return jobById(id);
      if ('no' in to) throw new StudioError('conflict', to.no);
      write(row, to.status, to.position, to.record);
      return tell(id);
    });
  const words: Readonly<Record<JobStatus, string>> = {
    pending: 'waits',
    inProgress: 'is running',
    paused: 'is paused',
    completed: 'is completed',
    failed: 'has failed',
    canceled: 'is canceled',
  };
  const but = (row: Row, advice: string) => ({ no: `j${row.id} ${words[row.status]}: ${advice}` });

  return {
    enqueue: (jobs, next = false) =>
      db.transaction(() => {
        const first = next ? edge('min') - jobs.length : edge('max') + 1;
        let batch: number | null = null;
        const ids = jobs.map((job, i) => {
          const id = insert(job, batch, first + i);
          batch ??= rowOf(id);
          return id;
        });
        const rank = ids[0] === undefined ? 0 : rankOf(rowById(ids[0]))!;
        const queued = ids.map((id, i) => toJob(rowById(id), rank + i));
        if (queued.length <= mostTold) for (const job of queued) library.say({ type: 'job', job });
        db.afterCommit(changed);
        return queued;
      }),

    claim: device =>
      db.transaction(() => {
        recover();
        let row: Row | undefined,
          from: number | null = null;
        for (;;) {
          row = db.get<Row>(
            `SELECT * FROM jobs WHERE status = 'pending' AND position > ? ORDER BY position LIMIT 1`,
            from ?? Number.MIN_SAFE_INTEGER,
          );
          if (!row) return undefined;
          from = row.position;
          const r = readOrBury(row);
          if (!r || (device !== 'auto' && r.resolved.device !== device)) continue;
          const begun: JobRecord = {
            ...r,
            failure: null,
            startedAt: r.startedAt ?? now(),
            endedAt: null,
            forecast: forecast(workOf(r.resolved)),
          };
          db.run(
            `UPDATE jobs SET status = 'inProgress', position = NULL, attempt = attempt + 1, session = ?, lease = ?, record = ? WHERE id = ?`,
            session, clock() + lease, JSON.stringify(begun), row.id,
          ); // prettier-ignore
          return { id: `j${row.id}`, attempt: row.attempt + 1, session, job: tell(`j${row.id}`) } as const;
        }
      }),
    heartbeat: (claim, snapshotStep) =>
      fenced(claim, row => {
        db.run('UPDATE jobs SET lease = ? WHERE id = ?', clock() + lease, row.id);
        const r = snapshotStep === undefined ? undefined : readOrBury(row);
        // A smaller number, too: its folder was lost with what it had gained before, and this is new.
        if (r && snapshotStep !== r.snapshotStep) {
          write(row, 'inProgress', null, { ...r, snapshotStep: snapshotStep!, deaths: deaths.parse({}) });
          tell(claim.id);
        }
        return true;
      }) ?? false,
    complete: (claim, make) =>
      fenced(claim, row => {
        const made = make(),
          r = read(row);
        write(row, 'completed', null, { ...r, clipId: made.id, snapshotStep: r.resolved.numInferenceSteps, failure: null, endedAt: now() });
        tell(claim.id);
        return made;
      }),
    fail: (claim, failure, at) =>
      fenced(claim, row => {
        const r = readOrBury(row);
        if (!r) return 'failed';
        const kind = failure.code === 'engineDied' ? 'engine' : failure.code === 'encoderDied' ? 'encoder' : undefined;
        const end = (why: Failure) => {
          write(row, 'failed', null, { ...r, failure: why, endedAt: now() });
          tell(claim.id);
          return 'failed' as const;
        };
        if (!kind || !at) return end(failure);
        const place = placeKey(at),
          before = r.deaths[kind],
          where = spokenPlace(at, r.resolved.numInferenceSteps);
        if (kind === 'engine' && before.includes(place))
          return end({
            code: 'quarantined',
            text: `the engine died twice ${where}, so this clip is set aside: make it smaller or shorter, choose another device, or try it again (${failure.text})`,
            action: actionOf.quarantined,
          });
        const gained = kind === 'encoder' && before.length > 0 && before.every(b => further(place, b)),
          again = gained ? [place] : [...before, place];
        if (again.length >= mostDeaths)
          return end(
            kind === 'encoder'
              ? failure
              : {
                  code: 'quarantined',
                  text: `the engine died ${mostDeaths} times without getting on, the last time ${where}, so this clip is set aside: make it smaller or shorter, choose another device, or try it again (${failure.text})`,
                  action: actionOf.quarantined,
                },
          );
        front(row, { ...r, deaths: { ...r.deaths, [kind]: again } });
        return 'again';
      }),
    release: claim =>
      fenced(claim, row => {
        const r = readOrBury(row);
        if (r) front(row, r);
        return true;
      }) ?? false,

    pause: id =>
      change(id, (row, r) =>
        row.status === 'paused'
          ? 'as it is'
          : row.status === 'pending' || row.status === 'inProgress'
            ? { status: 'paused', position: row.position ?? edge('min') - 1, record: r }
            : but(row, 'only what waits or runs can be paused'),
      ),
    resume: id =>
      change(id, (row, r) =>
        row.status === 'pending' || row.status === 'inProgress'
          ? 'as it is'
          : row.status === 'paused'
            ? { status: 'pending', position: row.position, record: r }
            : but(row, row.status === 'completed' ? 'duplicate it to make it once more' : 'retry it to make it after all'),
      ),
    cancel: id =>
      change(id, (row, r) =>
        row.status === 'canceled'
          ? 'as it is'
          : row.status === 'completed'
            ? but(row, 'its clip can go to the trash')
            : {
                status: 'canceled', // a failed one is given up, with what was kept of it
                position: null,
                record: {
                  ...r,
                  wasAt: row.status === 'failed' ? null : (row.position ?? edge('min')),
                  failure: null,
                  snapshotStep: 0,
                  deaths: deaths.parse({}),
                  endedAt: now(),
                },
              },
      ),
    retry: id =>
      change(id, (row, r) => {
        if (row.status !== 'failed' && row.status !== 'canceled')
          return row.status === 'completed' ? but(row, 'duplicate it to make it once more') : 'as it is';
        let position = edge('max') + 1;
        if (r.wasAt !== null) shift((position = Math.min(r.wasAt, position)));
        return { status: 'pending', position, record: { ...r, wasAt: null, failure: null, endedAt: null, deaths: deaths.parse({}) } };
      }),
    move: (id, to) =>
      change(id, (row, r) => {
        if (row.position === null) return but(row, 'only what waits has a place in the queue');
        if (to === 'top') return { status: row.status, position: edge('min') - 1, record: r };
        if (to === 'bottom') return { status: row.status, position: edge('max') + 1, record: r };
        const other = rowById('before' in to ? to.before : to.after);
        if (other.id === row.id) return 'as it is';
        if (other.position === null) return but(other, 'name a job that waits');
        const position = 'before' in to ? other.position : other.position + 1;
        shift(position);
        return { status: row.status, position, record: r };
      }),
    duplicate: (id, seed) =>
      db.transaction(() => {
        const { request, resolved } = read(rowById(id)),
          chosen = seed === undefined ? resolved.seed : (seed ?? randomInt(2 ** 32));
        return tell(insert({ request: { ...request, seed: chosen }, resolved: { ...resolved, seed: chosen } }, null, edge('max') + 1));
      }),
    edit: (id, { request, resolved }) =>
      db.transaction(() => {
        change(id, (row, r) =>
          row.status === 'pending' || row.status === 'paused'
            ? {
                status: row.status,
                position: row.position,
                record: { ...r, request, resolved, snapshotStep: 0, deaths: deaths.parse({}), forecast: null },
              }
            : but(row, row.status === 'inProgress' ? 'pause it to edit it' : 'only what waits can be edited'),
        );
        db.run('UPDATE jobs SET shape = ? WHERE id = ?', JSON.stringify(workOf(resolved)), rowOf(id));
        return jobById(id);
      }),

    get: jobById,
    list: ({ status, batch, after, limit }) => {
      const wanted = [
        ...(status.length ? [`status IN (${status.map(s => `'${s}'`).join()})`] : []),
        ...(batch === null ? [] : [`batch = ${rowOf(batch)}`]),
      ];
      const from = after === null ? undefined : rowById(after);
      const segment = from === undefined || from.status === 'inProgress' ? 0 : from.position !== null ? 1 : 2;
      const page = (where: string, value: number, order: string, n: number) =>
        n > 0 ? db.all<Row>(`SELECT * FROM jobs WHERE ${[where, ...wanted].join(' AND ')} ORDER BY ${order} LIMIT ?`, value, n) : [];
      const rows: Row[] = [];
      const most = limit + 1; // one more says whether there is a next page
      if (segment === 0) rows.push(...page(`status = 'inProgress' AND id > ?`, from?.id ?? 0, 'id', most));
      if (segment <= 1)
        rows.push(...page('position > ?', segment === 1 ? from!.position! : Number.MIN_SAFE_INTEGER, 'position', most - rows.length));
      rows.push(
        ...page(
          `position IS NULL AND status <> 'inProgress' AND id < ?`,
          segment === 2 ? from!.id : Number.MAX_SAFE_INTEGER,
          'id DESC',
          most - rows.length,
        ),
      );
      const ranks = new Map<number, number>();
      if (rows.some(r => r.position !== null))
        for (const [i, { id }] of db.all<{ id: number }>('SELECT id FROM jobs WHERE position IS NOT NULL ORDER BY position').entries())
          ranks.set(id, i + 1);
      const jobs = rows.slice(0, limit).map(row => toJob(row, row.status === 'inProgress' ? 0 : (ranks.get(row.id) ?? null)));
      return { jobs, next: rows.length > limit ? jobs.at(-1)!.id : null };
    },
    recover: own => db.transaction(() => recover(own)),
    running: () => db.all<{ id: number }>(`SELECT id FROM jobs WHERE status = 'inProgress' ORDER BY id`).map(({ id }) => `j${id}` as const),
    waiting: () => {
      const groups = db.all<{ shape: string; n: number }>(`SELECT shape, count(*) AS n FROM jobs WHERE status = 'pending' GROUP BY shape`);
      return {
        count: groups.reduce((sum, { n }) => sum + n, 0),
        work: groups.flatMap(({ shape, n }) => {
          try {
            return [{ work: work.parse(JSON.parse(shape)), count: n }];
          } catch {
            return []; // such a job will fail when its turn comes
          }
        }),
      };
    },
  };
}
