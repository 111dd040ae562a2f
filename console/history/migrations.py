"""The versions of the history database: each script leads from the version before it to its own.

Words that repeat (task names, workers, queues, errors) stand once in `words` and are numbers everywhere
else; 0 is unknown. `tasks` holds what is filtered and sorted, `texts` what only the detail and the search
need, so that a walk over an index reads little. The two full-text tables keep no texts of their own: what
is to be forgotten there has to be told exactly as it was indexed, and that is what `texts` holds.
"""

from __future__ import annotations

VERSION_1 = """
    CREATE TABLE tasks (
        rowid INTEGER PRIMARY KEY,
        id NOT NULL,
        name TEXT NOT NULL, state INTEGER NOT NULL, worker TEXT NOT NULL, queue TEXT NOT NULL,
        at REAL NOT NULL, sent REAL NOT NULL, received REAL NOT NULL, started REAL NOT NULL,
        ended REAL NOT NULL, waited REAL NOT NULL, runtime REAL NOT NULL, retries INTEGER NOT NULL,
        change INTEGER NOT NULL, pid INTEGER NOT NULL,
        args TEXT, kwargs TEXT, result TEXT, exception TEXT,
        root_id, parent_id, eta TEXT, expires TEXT, routing_key TEXT, exchange TEXT, client TEXT,
        marks BLOB NOT NULL
    );
    CREATE UNIQUE INDEX tasks_id ON tasks (id);
    CREATE INDEX tasks_at ON tasks (at);
    CREATE INDEX tasks_state_at ON tasks (state, at);
    CREATE INDEX tasks_name_at ON tasks (name, at);
    CREATE INDEX tasks_worker_at ON tasks (worker, at);
    CREATE INDEX tasks_queue_at ON tasks (queue, at);
    CREATE INDEX tasks_runtime ON tasks (runtime);
    CREATE INDEX tasks_waited ON tasks (waited);
    CREATE INDEX tasks_retries ON tasks (retries);
    CREATE INDEX tasks_root ON tasks (root_id) WHERE root_id IS NOT NULL;
    CREATE INDEX tasks_parent ON tasks (parent_id) WHERE parent_id IS NOT NULL;

    -- How many tasks are in each state: kept as it goes, because GROUP BY of a million rows takes seconds.
    CREATE TABLE counts (state INTEGER PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;

    CREATE TABLE minutes (
        minute INTEGER NOT NULL, name TEXT NOT NULL, measure INTEGER NOT NULL, bucket INTEGER NOT NULL,
        n INTEGER NOT NULL,
        PRIMARY KEY (minute, name, measure, bucket)
    ) WITHOUT ROWID;

    CREATE TABLE words (kind TEXT NOT NULL, word TEXT NOT NULL, PRIMARY KEY (kind, word)) WITHOUT ROWID;

    CREATE TABLE workers (
        hostname TEXT PRIMARY KEY, online INTEGER NOT NULL, last_heartbeat REAL NOT NULL,
        interval_s REAL NOT NULL, active INTEGER, processed INTEGER, load TEXT NOT NULL,
        pid INTEGER, software TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE gaps (
        number INTEGER PRIMARY KEY, start REAL NOT NULL, end REAL, reason TEXT NOT NULL, lost INTEGER
    );

    -- change: number of the last batch; alive: instant of the last sign of life; clean: ended on purpose.
    CREATE TABLE run (one INTEGER PRIMARY KEY CHECK (one = 1), change INTEGER NOT NULL, alive REAL NOT NULL,
        clean INTEGER NOT NULL);
    INSERT INTO run VALUES (1, 0, 0.0, 1);
    """

VERSION_2 = """
    -- For collectors that read along: events and messages that were none, of all runs, and the last lag.
    ALTER TABLE run ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN malformed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN lag REAL;
    """

VERSION_3 = """
    DROP INDEX tasks_id; DROP INDEX tasks_at; DROP INDEX tasks_state_at; DROP INDEX tasks_name_at;
    DROP INDEX tasks_worker_at; DROP INDEX tasks_queue_at; DROP INDEX tasks_runtime;
    DROP INDEX tasks_waited; DROP INDEX tasks_retries; DROP INDEX tasks_root; DROP INDEX tasks_parent;
    ALTER TABLE tasks RENAME TO tasks_2;
    ALTER TABLE words RENAME TO words_2;

    -- kind: 0 task name, 1 worker, 2 queue, 3 error.
    CREATE TABLE words (
        id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, word TEXT NOT NULL, UNIQUE (kind, word)
    );
    INSERT INTO words (kind, word) SELECT DISTINCT 0, name FROM tasks_2 WHERE name != '';
    INSERT INTO words (kind, word) SELECT DISTINCT 1, worker FROM tasks_2 WHERE worker != '';
    INSERT INTO words (kind, word) SELECT DISTINCT 2, queue FROM tasks_2 WHERE queue != '';
    INSERT INTO words (kind, word)
        SELECT DISTINCT 3, fingerprint(exception) FROM tasks_2 WHERE fingerprint(exception) != '';
    INSERT OR IGNORE INTO words (kind, word) SELECT DISTINCT 0, name FROM minutes WHERE name != '';
    INSERT OR IGNORE INTO words (kind, word)
        SELECT CASE kind WHEN 'task' THEN 0 WHEN 'worker' THEN 1 ELSE 2 END, word FROM words_2
        WHERE word != '';

    -- What is filtered and sorted. Unknown: 0 for words, 0.0 for instants, -1.0 for durations.
    CREATE TABLE tasks (
        rowid INTEGER PRIMARY KEY, id NOT NULL, state INTEGER NOT NULL,
        name INTEGER NOT NULL, worker INTEGER NOT NULL, queue INTEGER NOT NULL,
        at REAL NOT NULL, sent REAL NOT NULL, received REAL NOT NULL, started REAL NOT NULL,
        ended REAL NOT NULL, waited REAL NOT NULL, runtime REAL NOT NULL, retries INTEGER NOT NULL,
        change INTEGER NOT NULL, error INTEGER NOT NULL
    );
    INSERT INTO tasks SELECT
        rowid, id, state,
        ifnull((SELECT words.id FROM words WHERE kind = 0 AND word = name), 0),
        ifnull((SELECT words.id FROM words WHERE kind = 1 AND word = worker), 0),
        ifnull((SELECT words.id FROM words WHERE kind = 2 AND word = queue), 0),
        at, sent, received, started, ended, waited, runtime, retries, change,
        ifnull((SELECT words.id FROM words WHERE kind = 3 AND word = fingerprint(exception)), 0)
        FROM tasks_2;
    CREATE TABLE texts (
        rowid INTEGER PRIMARY KEY, pid INTEGER NOT NULL, args TEXT, kwargs TEXT, result TEXT, exception TEXT,
        root_id, parent_id, eta TEXT, expires TEXT, routing_key TEXT, exchange TEXT, client TEXT,
        reason TEXT, marks BLOB NOT NULL
    );
    INSERT INTO texts SELECT
        rowid, pid, args, kwargs, result, exception, root_id, parent_id, eta, expires, routing_key, exchange,
        client, NULL, marks
        FROM tasks_2;
    DROP TABLE tasks_2;
    DROP TABLE words_2;

    CREATE UNIQUE INDEX tasks_id ON tasks (id);
    CREATE INDEX tasks_at ON tasks (at, state, name, worker, queue);
    CREATE INDEX tasks_state ON tasks (state, at);
    CREATE INDEX tasks_name ON tasks (name, at);
    CREATE INDEX tasks_worker ON tasks (worker, at);
    CREATE INDEX tasks_queue ON tasks (queue, at);
    CREATE INDEX tasks_runtime ON tasks (runtime, at, state, name, worker, queue);
    CREATE INDEX tasks_waited ON tasks (waited, at, state, name, worker, queue);
    CREATE INDEX tasks_retries ON tasks (retries, at, state, name, worker, queue);
    CREATE INDEX tasks_error ON tasks (error, at) WHERE error > 0;
    CREATE INDEX texts_root ON texts (root_id) WHERE root_id IS NOT NULL;
    CREATE INDEX texts_parent ON texts (parent_id) WHERE parent_id IS NOT NULL;

    CREATE VIRTUAL TABLE call USING fts5(
        args, kwargs, content='', tokenize='unicode61 remove_diacritics 0'
    );
    INSERT INTO call (rowid, args, kwargs)
        SELECT rowid, args, kwargs FROM texts WHERE args IS NOT NULL OR kwargs IS NOT NULL;
    CREATE VIRTUAL TABLE outcome USING fts5(
        result, exception, content='', tokenize='unicode61 remove_diacritics 0'
    );
    INSERT INTO outcome (rowid, result, exception)
        SELECT rowid, result, exception FROM texts WHERE result IS NOT NULL OR exception IS NOT NULL;

    -- Events by kind (bucket -1), runtimes and waits by logarithmic bucket, in slots of several widths
    -- (span, s); kind: 0 all of them, 1 by task name, 2 by queue. slot: epoch divided by span.
    CREATE TABLE figures (
        span INTEGER NOT NULL, slot INTEGER NOT NULL, kind INTEGER NOT NULL, word INTEGER NOT NULL,
        measure INTEGER NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (span, slot, kind, word, measure, bucket)
    ) WITHOUT ROWID;
    INSERT INTO figures SELECT 60, minute, 1, words.id, measure, bucket, n
        FROM minutes JOIN words ON words.kind = 0 AND words.word = minutes.name;
    INSERT INTO figures SELECT 60, minute, 0, 0, measure, bucket, sum(n)
        FROM minutes GROUP BY minute, measure, bucket;
    INSERT INTO figures SELECT 900, slot / 15, kind, word, measure, bucket, sum(n)
        FROM figures WHERE span = 60 GROUP BY slot / 15, kind, word, measure, bucket;
    INSERT INTO figures SELECT 3600, slot / 60, kind, word, measure, bucket, sum(n)
        FROM figures WHERE span = 60 GROUP BY slot / 60, kind, word, measure, bucket;
    INSERT INTO figures SELECT 86400, slot / 1440, kind, word, measure, bucket, sum(n)
        FROM figures WHERE span = 60 GROUP BY slot / 1440, kind, word, measure, bucket;
    DROP TABLE minutes;
    -- Increments that are not in all rows of figures yet.
    CREATE TABLE figure_steps (number INTEGER PRIMARY KEY, counts BLOB NOT NULL);

    ALTER TABLE workers ADD COLUMN clock_offset REAL;
    """

MIGRATIONS: tuple[str, ...] = (VERSION_1, VERSION_2, VERSION_3)
