import { describe, expect, test } from '@jest/globals';
import { defineConsumer } from '../../../runtime/delivery/consumer.ts';
import { events } from '../events.ts';

type Declaration = Parameters<typeof defineConsumer<{ readonly id: string }, 'postgres'>>[0];

const identified = { ...events, identity: 'id' as const };

const declare = (changes: Partial<Declaration> = {}) =>
  defineConsumer({ name: 'tested', topic: events, sink: 'postgres', handle: async () => {}, ...changes });

describe('defineConsumer', () => {
  test('fills in every default, inside nested settings too', () => {
    expect(declare({ batch: { maxRecords: 10 }, lag: { warning: 5 } })).toMatchObject({
      batch: { maxRecords: 10, windowMs: 500 },
      retry: { attempts: 3, baseMs: 100, maxMs: 5_000 },
      lag: { warning: 5, incident: 100_000 },
      timeoutMs: 60_000,
      deadLetter: 'sqs',
      startingPosition: 'TRIM_HORIZON',
      epoch: 1,
      migrations: [],
    });
  });

  test.each<[field: string, refused: Partial<Declaration>, allowed: Partial<Declaration>]>([
    // Lambda would take a colon; MSK then publishes no lag metric for the group.
    ['name', { name: 'team:analytics' }, { name: 'team.analytics_2-b' }],
    // PostgreSQL would cut the owner's role after 63 bytes.
    ['name', { name: 'a'.repeat(58) }, { name: 'a'.repeat(57) }],
    ['name', { name: 'millrace' }, { name: 'millrace-audit' }],
    ['name', { name: 'Millrace_admin' }, { name: 'millraces' }],
    ['name', { name: 'postgres' }, { name: 'postgres-copy' }],
    ['name', { name: 'pg_monitor' }, { name: 'pg-monitor' }],
    ['name', { name: 'rdsproxyadmin' }, { name: 'rds-costs' }],
    ['name', { name: 'public' }, { name: 'public-pages' }],
    ['name', { name: '..' }, { name: 'a..b' }],
    ['name', { name: '-x' }, { name: '1-x' }],
    ['name', { name: '' }, { name: 'x' }],
    ['batch.maxRecords', { batch: { maxRecords: 10_001 } }, { batch: { maxRecords: 10_000 } }],
    ['batch.maxRecords', { batch: { maxRecords: 0 } }, { batch: { maxRecords: 1 } }],
    ['batch.windowMs', { batch: { windowMs: 1_500 } }, { batch: { windowMs: 2_000 } }],
    ['batch.windowMs', { batch: { windowMs: 301_000 } }, { batch: { windowMs: 0 } }],
    ['retry.attempts', { retry: { attempts: 0 } }, { retry: { attempts: 1 } }],
    ['retry.maxMs', { retry: { baseMs: 200, maxMs: 100 } }, { retry: { baseMs: 200, maxMs: 200 } }],
    ['timeoutMs', { timeoutMs: 840_001 }, { timeoutMs: 840_000 }],
    ['epoch', { epoch: 0 }, { epoch: 2 }],
    ['lag.incident', { lag: { warning: 10, incident: 9 } }, { lag: { warning: 10, incident: 10 } }],
    ['retry', { retry: { attempts: 9 }, timeoutMs: 20_000 }, { retry: { attempts: 9 }, timeoutMs: 60_000 }],
    ['once', { once: { windowMs: 60_000 } }, { topic: identified, once: { windowMs: 60_000 } }],
    [
      'once.windowMs',
      { topic: identified, once: { windowMs: 999 } },
      { topic: identified, once: { windowMs: 604_800_000 } },
    ],
  ])('refuses %s beyond its limits, and says which and what it takes', (field, refused, allowed) => {
    expect(() => declare(refused)).toThrow(
      expect.objectContaining({ code: 'CONSUMER_INVALID', message: expect.stringContaining(`${field} is `) }),
    );
    expect(declare(allowed)).toBeDefined();
  });
});
