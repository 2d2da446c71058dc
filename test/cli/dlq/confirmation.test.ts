import { PassThrough } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { confirm } from '../../../cli/dlq/confirmation.ts';

/** What a person types at the question. */
const answer = (typed: string) => {
  const input = new PassThrough();
  input.write(typed);
  return confirm({}, 'orders', { input, output: new PassThrough(), terminal: true });
};

describe('the question', () => {
  test.each(['orders\r', ' orders \r'])('is answered by %j', async (typed) => {
    await expect(answer(typed)).resolves.toBeUndefined();
  });

  test.each(['order\r', '\r', 'orders\u0003', '\u0003', '\u0004'])('is not answered by %j', async (typed) => {
    await expect(answer(typed)).rejects.toMatchObject({ name: 'CommandFailed', exitCode: 1 });
  });

  test('is not asked with --yes', async () => {
    await expect(confirm({ yes: true }, 'orders')).resolves.toBeUndefined();
  });
});
