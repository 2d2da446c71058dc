import { MillraceError } from '../errors.ts';

/** A PostgreSQL database whose changes are captured, by one Debezium connector. Made by `defineDatabase`. */
export interface CapturedDatabase {
  readonly name: string;
  readonly epoch: number;
  /** What its publication is called, in the database. */
  readonly publication: string;
  /** What its replication slot is called. A new epoch has a new one. */
  readonly slot: string;
  /** Where its connector's offsets are kept under; a new epoch begins without any, and so with a snapshot. */
  readonly connector: string;
}

interface DatabaseDeclaration {
  /** Lower-case letters, digits and `_`: topics begin with it, and slot and publication are named after it. Immutable once deployed. */
  readonly name: string;
  /**
   * Raise by one when the database became another one: restored from a backup, moved by blue/green, or its cluster
   * replaced. Positions in its log start over then, and a new snapshot is taken: docs/capture.md. @default 1
   */
  readonly epoch?: number;
}

/** The schema of what capture itself needs in the database: its heartbeat and its signals. */
export const CAPTURE_SCHEMA = 'millrace_capture';

/** The header that gives each change its database's epoch. */
export const EPOCH_HEADER = 'millrace.epoch';

/** What Debezium takes for a topic's prefix and PostgreSQL for the name of a slot: https://www.postgresql.org/docs/current/logicaldecoding-explanation.html (2026-11-27) */
const DATABASE_NAME = /^[a-z][a-z0-9_]{0,29}$/;

/**
 * Declares a database whose tables are captured.
 * @throws TABLE_INVALID naming the field, what it got and what it takes
 */
export function defineDatabase({ name, epoch = 1 }: DatabaseDeclaration): CapturedDatabase {
  const refuse = (field: string, got: unknown, allowed: string): never => {
    throw new MillraceError(
      'TABLE_INVALID',
      `Database ${JSON.stringify(name)}: ${field} is ${JSON.stringify(got)}; it takes ${allowed}. Change it in defineDatabase().`,
      { details: { database: name, field } },
    );
  };
  if (typeof name !== 'string' || !DATABASE_NAME.test(name)) {
    refuse('name', name, 'up to 30 lower-case letters, digits and "_", a letter first');
  }
  if (!Number.isInteger(epoch) || epoch < 1 || epoch > 2_147_483_647) {
    refuse('epoch', epoch, 'a whole number from 1 to 2,147,483,647');
  }
  return Object.freeze({
    name,
    epoch,
    publication: `millrace_${name}`,
    slot: `millrace_${name}_${epoch}`,
    connector: `${name.replaceAll('_', '-')}-${epoch}`,
  });
}
