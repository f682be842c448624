/** @file The library's tables: version 1, and what each later version adds. No text of a released version is ever edited. */

/** Columns for what is searched, joined or ordered; `record` is JSON that the contract's schemas parse. Numbers of rows are never used twice (AUTOINCREMENT). */
export const schema1 = `
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE subjects (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  handle TEXT NOT NULL,
  removed INTEGER NOT NULL DEFAULT 0,
  words TEXT NOT NULL,
  record TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX subject_handle ON subjects(handle) WHERE removed = 0;

CREATE TABLE photos (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  subject INTEGER NOT NULL REFERENCES subjects(id) ON DELETE CASCADE,
  sha256 TEXT NOT NULL,
  file TEXT NOT NULL,
  mask TEXT,
  removed INTEGER NOT NULL DEFAULT 0,
  record TEXT NOT NULL
) STRICT;
CREATE INDEX photo_subject ON photos(subject);
CREATE INDEX photo_sha256 ON photos(sha256);

CREATE TABLE checkpoints (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  sha256 TEXT NOT NULL UNIQUE,
  path TEXT NOT NULL,
  is_default INTEGER NOT NULL DEFAULT 0,
  record TEXT NOT NULL
) STRICT;

CREATE TABLE adapters (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  sha256 TEXT NOT NULL UNIQUE,
  path TEXT NOT NULL,
  record TEXT NOT NULL
) STRICT;
CREATE TABLE adapter_subjects (
  adapter INTEGER NOT NULL REFERENCES adapters(id) ON DELETE CASCADE,
  subject INTEGER NOT NULL REFERENCES subjects(id) ON DELETE CASCADE,
  PRIMARY KEY (adapter, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  batch INTEGER NOT NULL,
  status TEXT NOT NULL,
  position INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  session TEXT,
  lease REAL,
  shape TEXT NOT NULL DEFAULT '',
  record TEXT NOT NULL
) STRICT;
CREATE INDEX job_order ON jobs(position) WHERE position IS NOT NULL;
CREATE INDEX job_status ON jobs(status);
CREATE INDEX job_batch ON jobs(batch);

CREATE TABLE clips (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  job INTEGER UNIQUE,
  file TEXT NOT NULL UNIQUE,
  poster TEXT,
  sprite TEXT,
  latents TEXT,
  stars INTEGER NOT NULL DEFAULT 0,
  trashed INTEGER NOT NULL DEFAULT 0,
  record TEXT NOT NULL
) STRICT;
CREATE TABLE clip_subjects (
  clip INTEGER NOT NULL REFERENCES clips(id) ON DELETE CASCADE,
  subject INTEGER NOT NULL,
  trashed INTEGER NOT NULL DEFAULT 0,
  thumbnail TEXT,
  PRIMARY KEY (subject, clip)
) STRICT, WITHOUT ROWID;
CREATE INDEX clip_subject_clip ON clip_subjects(clip);
-- see search.ts
CREATE VIRTUAL TABLE clip_index USING fts5(tokens, content='', contentless_delete=1, detail=none, tokenize='ascii');
CREATE TABLE clip_words (
  clip INTEGER PRIMARY KEY,
  words TEXT NOT NULL
) STRICT;

CREATE TABLE samples (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  checkpoint TEXT NOT NULL,
  record TEXT NOT NULL
) STRICT;
CREATE INDEX sample_checkpoint ON samples(checkpoint);
`;

/** Version 2: what left the library, or is on its way. `file`: relative where it is the library's own (`inside`), else absolute; null where it becomes a clip, whose file it is. */
export const schema2 = `
CREATE TABLE exports (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  status TEXT NOT NULL,
  inside INTEGER NOT NULL,
  file TEXT,
  record TEXT NOT NULL
) STRICT;
CREATE INDEX export_status ON exports(status);
CREATE TABLE export_clips (
  export INTEGER NOT NULL REFERENCES exports(id) ON DELETE CASCADE,
  clip INTEGER NOT NULL,
  PRIMARY KEY (clip, export)
) STRICT, WITHOUT ROWID;
CREATE INDEX export_clip_export ON export_clips(export);
`;

/**
 * Version 3: prompts as they were typed (`used` grows with each use and is the order, `used_at` is for display; a hidden one was taken off the list), pictures
 * that clips begin with, and the tags of clips, which are counted.
 */
export const schema3 = `
CREATE TABLE prompts (
  prompt TEXT PRIMARY KEY,
  words TEXT NOT NULL,
  used INTEGER NOT NULL,
  used_at TEXT NOT NULL,
  pinned INTEGER NOT NULL DEFAULT 0,
  hidden INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX prompt_order ON prompts(hidden, pinned, used);

CREATE TABLE pictures (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  sha256 TEXT NOT NULL UNIQUE,
  file TEXT NOT NULL,
  record TEXT NOT NULL
) STRICT;

CREATE TABLE clip_tags (
  tag TEXT NOT NULL,
  clip INTEGER NOT NULL REFERENCES clips(id) ON DELETE CASCADE,
  trashed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tag, clip)
) STRICT, WITHOUT ROWID;
CREATE INDEX clip_tag_clip ON clip_tags(clip);
`;
