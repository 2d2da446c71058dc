import { describe, expect, test } from '@jest/globals';
import type { SqlConnection, SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { inTransaction } from '../../../adapters/postgres/sql-transaction.ts';

/** A driver that writes down what is asked of it; any part can be replaced. */
function fakeDriver(parts: Partial<SqlConnection> & { begin?: () => Promise<void> } = {}) {
  const calls: string[] = [];
  const driver: SqlDriver = {
    async begin() {
      calls.push('begin');
      await parts.begin?.();
      return {
        async query(sql) {
          calls.push(sql);
          return { columns: [], rows: [], affectedRows: 0 };
        },
        async run(script) {
          calls.push(script);
        },
        async commit() {
          calls.push('commit');
          return true;
        },
        async rollback() {
          calls.push('rollback');
        },
        retire() {
          calls.push('retire');
        },
        destroy() {
          calls.push('destroy');
        },
        ...parts,
      };
    },
  };
  return { driver, calls };
}

const serverError = (code: string) =>
  Object.assign(new Error('says the server'), { code, severity: 'ERROR' });

describe('inTransaction', () => {
  test('begins, runs the work and commits', async () => {
    const { driver, calls } = fakeDriver();
    await inTransaction(driver, (open) => open.run('a'));
    expect(calls).toEqual(['begin', 'a', 'commit']);
  });

  test('waits for statements that the work did not wait for before it commits', async () => {
    const { driver, calls } = fakeDriver();
    await inTransaction(driver, async (open) => {
      void open.run('a');
      void open.run('b');
    });
    expect(calls).toEqual(['begin', 'a', 'b', 'commit']);
  });

  test('keeps what the work of a savepoint did not wait for inside it, whichever way it ends', async () => {
    const { driver, calls } = fakeDriver();
    const error = new Error('bad');
    await inTransaction(driver, async (open) => {
      await open.savepoint(async () => void open.run('a'));
      const failing = open.savepoint(async () => {
        void open.run('b');
        throw error;
      });
      await expect(failing).rejects.toBe(error);
      await open.run('c');
    });
    expect(calls).toEqual([
      'begin',
      'SAVEPOINT millrace_0',
      'a',
      'RELEASE SAVEPOINT millrace_0; SAVEPOINT millrace_0',
      'b',
      'ROLLBACK TO SAVEPOINT millrace_0',
      'c',
      'commit',
    ]);
  });

  test('classifies what begin throws, and runs no work', async () => {
    const { driver } = fakeDriver({ begin: () => Promise.reject(serverError('53300')) });
    let hasRun = false;
    const outcome = inTransaction(driver, async () => {
      hasRun = true;
    });
    await expect(outcome).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' });
    expect(hasRun).toBe(false);
  });

  test('gives back a connection that comes after the signal has aborted, and runs no work', async () => {
    const reason = new Error('out of time');
    const abandon = new AbortController();
    const connected = Promise.withResolvers<void>();
    const { driver, calls } = fakeDriver({ begin: () => connected.promise });
    const outcome = inTransaction(driver, (open) => open.run('a'), abandon.signal);
    abandon.abort(reason);
    await expect(outcome).rejects.toBe(reason);

    connected.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toEqual(['begin', 'destroy']);
  });

  test('breaks off and does not commit when the signal aborts during the work', async () => {
    const reason = new Error('out of time');
    const abandon = new AbortController();
    const { driver, calls } = fakeDriver();
    const outcome = inTransaction(
      driver,
      async (open) => {
        await open.run('a');
        abandon.abort(reason);
      },
      abandon.signal,
    );
    await expect(outcome).rejects.toBe(reason);
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toEqual(['begin', 'a', 'destroy']);
  });

  test('breaks off a COMMIT that does not answer', async () => {
    const reason = new Error('out of time');
    const abandon = new AbortController();
    const committing = Promise.withResolvers<void>();
    const { driver, calls } = fakeDriver({
      commit: () => {
        committing.resolve();
        return new Promise(() => {});
      },
    });
    const outcome = inTransaction(driver, async () => {}, abandon.signal);
    await committing.promise;
    abandon.abort(reason);
    await expect(outcome).rejects.toBe(reason);
    expect(calls).toEqual(['begin', 'destroy']);
  });

  test.each([
    [serverError('40001'), 'SINK_CONFLICT', /SQLSTATE 40001/],
    [serverError('23503'), 'SINK_REJECTED', /SQLSTATE 23503/],
    [serverError('57P01'), 'SINK_UNAVAILABLE', /unknown.*57P01/],
    [new Error('Connection terminated unexpectedly'), 'SINK_UNAVAILABLE', /unknown.*terminated/],
  ])('COMMIT that fails with %s is %s', async (error, code, message) => {
    const { driver } = fakeDriver({ commit: () => Promise.reject(error) });
    const outcome = inTransaction(driver, async () => 'done');
    await expect(outcome).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('rejects with the work’s error even where the connection is gone', async () => {
    const error = new Error('the handler gave up');
    const { driver, calls } = fakeDriver();
    await expect(inTransaction(driver, () => Promise.reject(error))).rejects.toBe(error);
    expect(calls).toEqual(['begin', 'rollback']);
  });
});

describe('a savepoint', () => {
  test('costs one round trip, whether it is kept or taken back, and none without a statement', async () => {
    const { driver, calls } = fakeDriver();
    await inTransaction(driver, async (open) => {
      await open.savepoint(() => open.run('a'));
      await open.savepoint(async () => {});
      await open
        .savepoint(async () => {
          await open.run('b');
          throw new Error('bad');
        })
        .catch(() => {});
      await open.savepoint(() => open.run('c'));
      await open.run('outside');
      await open.savepoint(() => open.run('d'));
    });
    expect(calls).toEqual([
      'begin',
      'SAVEPOINT millrace_0',
      'a',
      'RELEASE SAVEPOINT millrace_0; SAVEPOINT millrace_0',
      'b',
      'ROLLBACK TO SAVEPOINT millrace_0',
      'c',
      'outside',
      'RELEASE SAVEPOINT millrace_0; SAVEPOINT millrace_0',
      'd',
      'commit',
    ]);
  });

  test('in a savepoint goes with it', async () => {
    const { driver, calls } = fakeDriver();
    await inTransaction(driver, async (open) => {
      await open
        .savepoint(async () => {
          await open.savepoint(() => open.run('a'));
          throw new Error('outer');
        })
        .catch(() => {});
      await open.savepoint(() => open.savepoint(() => open.run('b')));
    });
    expect(calls).toEqual([
      'begin',
      'SAVEPOINT millrace_0; SAVEPOINT millrace_1',
      'a',
      'ROLLBACK TO SAVEPOINT millrace_0',
      'SAVEPOINT millrace_1',
      'b',
      'commit',
    ]);
  });
});
