import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AUDIT_PREFIX, audited, readAuditLog } from '../../../runtime/dead-letters/audit-log.ts';
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
    expect((await readAuditLog(ports.objects)).entries).toMatchObject([
      { ...ENTRY, endedAt: null, result: null },
    ]);
    return { discarded: 2 };
  });
  expect((await readAuditLog(ports.objects)).entries).toMatchObject([
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
  expect((await readAuditLog(ports.objects)).entries).toMatchObject([
    { result: { error: 'QUEUE_UNAVAILABLE' } },
  ]);
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
  expect((await readAuditLog(ports.objects)).entries).toMatchObject([{ result: null }]);
});

test('an entry that cannot be read is named, and hides no other', async () => {
  const { clock, objects } = open();
  await audited({ clock, objects }, ENTRY, async () => ({ discarded: 2 }));
  const [whole] = (await readAuditLog(objects)).entries;
  const text = JSON.stringify(whole);
  const broken = fc.oneof(
    fc.nat(text.length - 1).map((length) => text.slice(0, length)),
    fc.json(),
    fc.constantFrom(...Object.keys(whole!)).map((field) => JSON.stringify({ ...whole, [field]: undefined })),
  );
  await fc.assert(
    fc.asyncProperty(broken, async (body) => {
      const key = `${AUDIT_PREFIX}2026-01-01T00:00:00.000Z-redrive-r-1.json`;
      await objects.put(key, Buffer.from(body));
      expect(await readAuditLog(objects)).toEqual({
        entries: [whole],
        unreadable: [{ key, begunAt: '2026-01-01T00:00:00.000Z', action: 'redrive' }],
      });
    }),
  );
  await objects.put(`${AUDIT_PREFIX}odd`, Buffer.from('{'));
  expect((await readAuditLog(objects)).unreadable.at(-1)).toEqual({
    key: `${AUDIT_PREFIX}odd`,
    begunAt: new Date(clock.now()).toISOString(),
    action: '',
  });
});
