import { describe, expect, test } from '@jest/globals';
import type { Context } from 'aws-lambda';
import { PowertoolsLogger } from '../../../adapters/lambda/powertools-logger.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { documentsOf } from './standard-output.ts';

const SECRET = 'reader-4711';

describe('PowertoolsLogger', () => {
  test('writes one JSON document a call, with the consumer as its service and the fields beside the message', () => {
    const logger = new PowertoolsLogger('editorial-analytics');
    const documents = documentsOf(() => {
      logger.info('started');
      logger.warn('Record dead-lettered', { offset: 7, code: 'AVRO_INVALID' });
      logger.error('Batch failed', { code: 'SINK_UNAVAILABLE' });
    });
    expect(documents).toMatchObject([
      { level: 'INFO', message: 'started', service: 'editorial-analytics' },
      { level: 'WARN', message: 'Record dead-lettered', offset: 7, code: 'AVRO_INVALID' },
      { level: 'ERROR', message: 'Batch failed', code: 'SINK_UNAVAILABLE' },
    ]);
  });

  test('puts the invocation on its lines', () => {
    const logger = new PowertoolsLogger('editorial-analytics');
    logger.addContext({ awsRequestId: 'request-1', functionName: 'editorial' } as Context);
    const [document] = documentsOf(() => logger.info('started'));
    expect(document).toMatchObject({ function_request_id: 'request-1', function_name: 'editorial' });
  });

  test('tells an error of ours in full', () => {
    const cause = new MillraceError('SINK_REJECTED', 'SQLSTATE 23505', { details: { table: 'item' } });
    const error = new MillraceError('BATCH_INCOMPLETE', '3 of 9 records are not settled', {
      details: { returned: 3 },
      cause,
    });
    const [document] = documentsOf(() => new PowertoolsLogger('c').error('Batch failed', { error }));
    expect(document!.error).toMatchObject({
      name: 'MillraceError',
      code: 'BATCH_INCOMPLETE',
      action: 'hold',
      message: '3 of 9 records are not settled',
      details: { returned: 3 },
      stack: expect.stringContaining('powertools-logger.test'),
      cause: { code: 'SINK_REJECTED', message: 'SQLSTATE 23505', details: { table: 'item' } },
    });
  });

  test('never prints what an error or a field quotes of a record', () => {
    const driverError = Object.assign(new Error(`Key (id)=(${SECRET}) already exists`), {
      detail: SECRET,
      params: [SECRET],
      code: '23505',
    });
    const wrapped = new MillraceError('SINK_REJECTED', 'refused', { cause: driverError });
    const parse = new SyntaxError(`Unexpected token in "${SECRET}"\nsecond line ${SECRET}`);
    const aggregate = new AggregateError([driverError], SECRET);
    const thrownWithRecord = new Error('no', { cause: { sessionId: SECRET } });
    const bytes = Buffer.from(SECRET);
    const fields = {
      wrapped,
      parse,
      aggregate,
      thrownWithRecord,
      nested: { list: [driverError] },
      bytes,
      view: new Uint8Array(bytes),
    };
    const [document] = documentsOf(() => new PowertoolsLogger('c').error('Batch failed', fields));

    const printed = JSON.stringify(document);
    expect(printed).not.toContain(SECRET);
    expect(printed).not.toContain(bytes.join(','));
    expect(document).toMatchObject({
      parse: { name: 'SyntaxError', stack: expect.stringMatching(/^ {4}at /) },
      wrapped: { code: 'SINK_REJECTED', cause: { name: 'Error', code: '23505' } },
      nested: { list: [{ name: 'Error' }] },
      bytes: '11 bytes',
      view: '11 bytes',
    });
  });

  test('survives an error that is its own cause', () => {
    const error = new Error('round and round');
    error.cause = error;
    const documents = documentsOf(() => new PowertoolsLogger('c').error('Batch failed', { error }));
    expect(documents).toMatchObject([{ error: { name: 'Error', cause: { name: 'Error' } } }]);
  });
});
