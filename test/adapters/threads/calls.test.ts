import { MessageChannel } from 'node:worker_threads';
import { afterEach, expect, test } from '@jest/globals';
import { type Calls, connect } from '../../../adapters/threads/calls.ts';
import { MillraceError } from '../../../runtime/errors.ts';

const channels: MessageChannel[] = [];
afterEach(() => {
  for (const { port1 } of channels.splice(0)) port1.close();
});

function open<Own extends Calls>(own: Own) {
  const channel = new MessageChannel();
  channels.push(channel);
  connect(channel.port1, own);
  return connect<Own>(channel.port2);
}

const failing = (error: unknown) => open({ fail: () => Promise.reject(error) }).call('fail');

test('answers calls by name, several at once, each its own caller', async () => {
  const remote = open({
    double: async (n: number) => 2 * n,
    late: () => new Promise<void>((resolve) => setImmediate(resolve)),
  });
  const late = remote.call('late');
  expect(await Promise.all([1, 2, 3].map((n) => remote.call('double', n)))).toEqual([2, 4, 6]);
  await late;
});

test('an error of ours comes back with its code, details and cause', async () => {
  const cause = Object.assign(new TypeError('inner'), { code: 'E_INNER' });
  const error = new MillraceError('SINK_REJECTED', 'outer', {
    cause,
    details: { sqlState: '22021' },
    isUnclear: true,
  });
  const thrown: MillraceError = await failing(error).catch((caught) => caught);
  expect(thrown).toBeInstanceOf(MillraceError);
  expect(thrown).toMatchObject({ code: 'SINK_REJECTED', message: 'outer', details: { sqlState: '22021' } });
  expect(thrown.action).toBe('retry');
  expect(thrown.isUnclear).toBe(true);
  expect(thrown.cause).toMatchObject({ name: 'TypeError', message: 'inner', code: 'E_INNER' });
});

test('any other error comes back with its plain facts, and without what cannot go across', async () => {
  const error = Object.assign(new RangeError('no'), { severity: 'ERROR', position: 3, socket: { on() {} } });
  const thrown = await failing(error).catch((caught) => caught);
  expect(thrown).toMatchObject({ name: 'RangeError', message: 'no', severity: 'ERROR', position: 3 });
  expect(thrown).not.toHaveProperty('socket');
  expect(await failing('text').catch((caught) => caught)).toMatchObject({ name: 'string', message: 'text' });
});

test('what cannot be cloned rejects its own call, and no other', async () => {
  const remote = open({ take: (value: unknown) => value });
  await expect(remote.call('take', () => {})).rejects.toThrow(/could not be cloned/);
  expect(await remote.call('take', 1)).toBe(1);
});

test('an end rejects what is unanswered, and every later call', async () => {
  const remote = open({ never: () => new Promise(() => {}) });
  const unanswered = remote.call('never');
  remote.end(new Error('over'));
  await expect(unanswered).rejects.toThrow('over');
  await expect(remote.call('never')).rejects.toThrow('over');
});
