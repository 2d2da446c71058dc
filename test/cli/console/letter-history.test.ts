import { describe, expect, test } from '@jest/globals';
import { historyOf } from '../../../cli/console/letter-history.ts';
import { AUDIT_PREFIX, type AuditEntry } from '../../../runtime/dead-letters/audit-log.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { deadLetter } from '../../dead-letters.ts';

const letter = deadLetter({ partition: 3, offset: 42 });
const redriven = {
  ...letter,
  failure: {
    ...letter.failure,
    earlier: [
      { stage: 'write' as const, code: 'SINK_REJECTED' as const, name: 'Error', message: 'no', failedAt: 1 },
    ],
  },
};

async function actionsOn(
  of: typeof letter,
  ...entries: readonly Partial<AuditEntry>[]
): Promise<readonly string[]> {
  const objects = createMemoryObjects({ clock: createFakeClock() });
  for (const [n, entry] of entries.entries()) {
    const begunAt = entry.begunAt ?? `2026-02-0${n + 1}T00:00:00.000Z`;
    const whole = {
      id: String(n),
      consumer: 'c',
      who: 'ada',
      plan: {},
      endedAt: null,
      result: null,
      ...entry,
    };
    await objects.put(
      `${AUDIT_PREFIX}${begunAt}-x-${n}.json`,
      Buffer.from(JSON.stringify({ ...whole, begunAt })),
    );
  }
  return (await historyOf(of, { auditLogs: [objects], named: 'c' })).map(({ id }) => id);
}

describe('the history of a letter', () => {
  test.each<[string, Partial<AuditEntry>, boolean]>([
    ['names it', { action: 'reveal', plan: { letter: letter.id } }, true],
    ['names another', { action: 'reveal', plan: { letter: 'c/t/3/43' } }, false],
    ['takes all', { action: 'redrive', plan: { where: 'all' } }, true],
    ['takes its error', { action: 'redrive', plan: { where: 'error=HANDLER_FAILED, partition=3' } }, true],
    ['takes another error', { action: 'redrive', plan: { where: 'error=SINK_REJECTED' } }, false],
    ['takes another partition', { action: 'redrive', plan: { where: 'partition=4' } }, false],
    ['has conditions of another version', { action: 'redrive', plan: { where: 'moon=full' } }, false],
    ['moves the queue', { action: 'move', plan: {} }, true],
    ['is another consumer’s', { action: 'move', consumer: 'd' }, false],
    ['is older than its first failure', { action: 'move', begunAt: '2025-12-31T00:00:00.000Z' }, false],
    ['pauses the consumer', { action: 'pause', plan: {} }, false],
  ])('an entry that %s', async (_, entry, isShown) => {
    expect(await actionsOn(letter, entry)).toEqual(isShown ? ['0'] : []);
  });

  test.each([
    [[[42, 43]], true],
    [[[0, 42]], false],
  ])('a discard of the offsets %j', async (ranges, isShown) => {
    const offsets = [{ topic: 't', epoch: 1, partition: 3, ranges }];
    // What it took says more than what it was asked to.
    const entry = { action: 'discard' as const, plan: { where: 'all' }, progress: { offsets } };
    expect(await actionsOn(letter, entry)).toEqual(isShown ? ['0'] : []);
  });

  test('includes an entry that cannot be read, which may be about it', async () => {
    const objects = createMemoryObjects({ clock: createFakeClock() });
    const key = `${AUDIT_PREFIX}2026-02-01T00:00:00.000Z-discard-x.json`;
    await objects.put(key, Buffer.from('{"id":"x","action":"disc'));
    await objects.put(
      `${AUDIT_PREFIX}2026-02-02T00:00:00.000Z-discard-y.json`,
      Buffer.from(
        JSON.stringify({
          id: 'y',
          action: 'discard',
          consumer: 'c',
          who: 'ada',
          begunAt: '2026-02-02T00:00:00.000Z',
          plan: { where: 'all' },
          endedAt: null,
          result: null,
          progress: { offsets: [null, {}, { topic: 't', epoch: 1, partition: 3, ranges: [null] }] },
        }),
      ),
    );
    expect(await historyOf(letter, { auditLogs: [objects], named: 'c' })).toEqual([
      expect.objectContaining({
        id: key,
        action: 'discard',
        begunAt: '2026-02-01T00:00:00.000Z',
        plan: expect.stringContaining('cannot be read'),
      }),
    ]);
  });

  test('includes what was done to a failure before a redrive, newest first', async () => {
    const entries: Partial<AuditEntry>[] = [
      { action: 'redrive', plan: { where: 'error=SINK_REJECTED, stage=write' } },
      { action: 'redrive', plan: { where: 'error=HANDLER_FAILED' } },
    ];
    expect(await actionsOn(redriven, ...entries)).toEqual(['1', '0']);
  });
});
