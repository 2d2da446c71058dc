import { expect, test } from '@jest/globals';
import { audited, readAuditLog } from '../../../runtime/dead-letters/audit-log.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';

const ENTRY = { id: 'a-1', action: 'discard', consumer: 'c', who: 'me', plan: { letters: 2 } } as const;
const down = () => Promise.reject(new MillraceError('OBJECT_STORE_UNAVAILABLE', 'down'));

function open() {
  const clock = createFakeClock();
  return { clock, objects: createMemoryObjects({ clock }) };
}

test('an action is noted before it begins, and has its result after it', async () => {
  const ports = open();
  await audited(ports, ENTRY, async () => {
    expect(await readAuditLog(ports.objects)).toMatchObject([{ ...ENTRY, endedAt: null, result: null }]);
    return { discarded: 2 };
  });
  expect(await readAuditLog(ports.objects)).toMatchObject([
    { ...ENTRY, endedAt: expect.any(String), result: { discarded: 2 } },
  ]);
});

test('nothing is done that cannot be noted', async () => {
  const ports = open();
  ports.objects.put = down;
  let isDone = false;
  const act = async () => {
    isDone = true;
    return {};
  };
  await expect(audited(ports, ENTRY, act)).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE' });
  expect(isDone).toBe(false);
});

test('an action that fails is noted with its code, and its own error is told where that cannot be noted', async () => {
  const ports = open();
  const error = new MillraceError('QUEUE_UNAVAILABLE', 'no answer');
  await expect(audited(ports, ENTRY, () => Promise.reject(error))).rejects.toBe(error);
  expect(await readAuditLog(ports.objects)).toMatchObject([{ result: { error: 'QUEUE_UNAVAILABLE' } }]);
  const act = () => {
    ports.objects.put = down;
    return Promise.reject(error);
  };
  await expect(audited(ports, ENTRY, act)).rejects.toBe(error);
});

test('an action that succeeded is never noted as failed', async () => {
  const ports = open();
  const { put } = ports.objects;
  const act = async () => {
    // The next entry is not taken, those after it are.
    ports.objects.put = (...object) => {
      ports.objects.put = put;
      return down().then(() => put(...object));
    };
    return { discarded: 2 };
  };
  await expect(audited(ports, ENTRY, act)).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE' });
  expect(await readAuditLog(ports.objects)).toMatchObject([{ result: null }]);
});
