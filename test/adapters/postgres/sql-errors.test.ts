import { describe, expect, test } from '@jest/globals';
import { sinkError } from '../../../adapters/postgres/sql-errors.ts';
import { MillraceError } from '../../../runtime/errors.ts';

const serverError = (code: string, message = 'what the server says') =>
  Object.assign(new Error(message), {
    code,
    severity: 'ERROR',
    detail: 'Key (id)=(secret)',
    params: ['secret'],
  });

describe('sinkError', () => {
  test.each([
    ['08006', 'SINK_UNAVAILABLE'],
    ['53100', 'SINK_UNAVAILABLE'],
    ['53300', 'SINK_UNAVAILABLE'],
    ['57014', 'SINK_UNAVAILABLE'],
    ['57P01', 'SINK_UNAVAILABLE'],
    ['57P03', 'SINK_UNAVAILABLE'],
    ['58030', 'SINK_UNAVAILABLE'],
    ['25006', 'SINK_UNAVAILABLE'],
    ['25P03', 'SINK_UNAVAILABLE'],
    ['40003', 'SINK_UNAVAILABLE'],
    ['XX000', 'SINK_UNAVAILABLE'],
    ['40001', 'SINK_CONFLICT'],
    ['40P01', 'SINK_CONFLICT'],
    ['55P03', 'SINK_CONFLICT'],
    ['22003', 'SINK_REJECTED'],
    ['23505', 'SINK_REJECTED'],
    ['40002', 'SINK_REJECTED'],
    ['44000', 'SINK_REJECTED'],
    ['54000', 'SINK_REJECTED'],
    ['P0001', 'SINK_REJECTED'],
    ['0A000', 'SINK_MISCONFIGURED'],
    ['25001', 'SINK_MISCONFIGURED'],
    ['28P01', 'SINK_MISCONFIGURED'],
    ['3D000', 'SINK_MISCONFIGURED'],
    ['42501', 'SINK_MISCONFIGURED'],
    ['42P01', 'SINK_MISCONFIGURED'],
    ['54011', 'SINK_MISCONFIGURED'],
  ])('SQLSTATE %s is %s', (sqlState, code) => {
    const error = sinkError(serverError(sqlState));
    expect(error).toMatchObject({ code, details: { sqlState } });
    expect(error.message).toContain(sqlState);
    expect(error.message).not.toContain('secret');
    expect(error.cause).toBeUndefined();
  });

  test('a refusal of data leaves the server’s message out, since it quotes the value', () => {
    const refused = sinkError(serverError('22P02', 'invalid input syntax for type integer: "secret"'));
    expect(refused.message).not.toContain('secret');
    const missing = sinkError(serverError('42P01', 'relation "item" does not exist'));
    expect(missing.message).toContain('relation "item" does not exist');
  });

  test.each([
    Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED' }),
    Object.assign(new AggregateError([new Error('::1'), new Error('127.0.0.1')]), { code: 'ECONNREFUSED' }),
    Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }),
    Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }),
    Object.assign(new Error('getaddrinfo ENOTFOUND db'), { code: 'ENOTFOUND' }),
    new Error('timeout exceeded when trying to connect'),
    new Error('Connection terminated unexpectedly'),
    new Error('PGlite is closed'),
  ])('%s is SINK_UNAVAILABLE, with the error as its cause', (cause) => {
    const error = sinkError(cause);
    expect(error).toMatchObject({ code: 'SINK_UNAVAILABLE', cause });
    expect(error.message).toMatch(/reached: \w+/);
  });

  test.each([
    Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
    Object.assign(new Error('certificate has expired'), { code: 'CERT_HAS_EXPIRED' }),
    Object.assign(new Error('altnames do not match'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }),
    new Error('The server does not support SSL connections'),
    new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'),
  ])('%s is SINK_MISCONFIGURED: waiting would not help', (cause) => {
    expect(sinkError(cause)).toMatchObject({ code: 'SINK_MISCONFIGURED', cause });
  });

  test('an error that is one already stays as it is', () => {
    const error = new MillraceError('SINK_REJECTED', 'a bigint beyond 2^53');
    expect(sinkError(error)).toBe(error);
  });
});
