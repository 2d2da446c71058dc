/** A run over part of a topic into tables of its own, to compare with the live ones; they are dropped afterwards. */
import type { Generation } from './generation.ts';

/** What a shadow run found in one table. */
export interface TableDifference {
  readonly table: string;
  /** Rows that both have, and that are equal in every column. */
  readonly same: number;
  /** Rows with one key, and other values. */
  readonly changed: number;
  /** Rows that the shadow run made and the live table lacks. */
  readonly missing: number;
  /** Rows of the live table that the shadow run did not make: of other times, unless it read everything. */
  readonly other: number;
}

const PREFIX = 'shadow-';

/** The id of a shadow run; its generation is told from a rebuild's by it. */
export function shadowId(unique: string): string {
  return PREFIX + unique;
}

/** Whether a generation is a shadow run's, which nobody promotes. */
export function isShadow({ rebuildId }: Pick<Generation, 'rebuildId'>): boolean {
  return rebuildId?.startsWith(PREFIX) === true;
}
