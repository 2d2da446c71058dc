import { parseColumnType } from './column-type.ts';
import { CAPTURE_SCHEMA, type CapturedDatabase } from './database.ts';
import { qualified, quoted } from './sql.ts';
import type { CapturedTable, Column } from './table.ts';

/** What a database is like, as far as capture depends on it. */
export interface SourceFacts {
  /** As the server gives them: `logical`, `-1`. */
  readonly settings: {
    readonly walLevel: string;
    readonly maxSlotWalKeepSize: string;
    readonly maxReplicationSlots: number;
  };
  readonly slotsInUse: number;
  /** The declared tables that are there, and those of the publication. */
  readonly tables: readonly SourceTable[];
  readonly publication?: {
    readonly isForAllTables: boolean;
    readonly actions: readonly ('insert' | 'update' | 'delete' | 'truncate')[];
    readonly viaRoot: boolean;
    readonly tables: readonly string[];
  };
  readonly slot?: {
    readonly plugin: string;
    readonly database: string;
    readonly isActive: boolean;
    /** `reserved`, `extended`, `unreserved` or `lost`. */
    readonly walStatus: string | null;
    readonly retainedBytes: number | null;
  };
  readonly role?: {
    readonly canLogIn: boolean;
    readonly canReplicate: boolean;
    /** Whether it has `rds_iam`, and so logs in with a token; null where the server has no such role. */
    readonly hasRdsIam: boolean | null;
    /** What it may not, as `SELECT on shop.orders`. */
    readonly lacks: readonly string[];
  };
}

export interface SourceTable {
  /** As PostgreSQL's `relkind`: `r` a table, `p` a partitioned one. */
  readonly kind: string;
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly SourceColumn[];
  readonly primaryKey: readonly string[];
  /** As PostgreSQL's `relreplident`: `d` the primary key, `n` nothing, `f` the whole row, `i` an index. */
  readonly replicaIdentity: string;
}

export interface SourceColumn {
  readonly name: string;
  /** As PostgreSQL writes it, such as `character varying(20)`; of a domain its base type; of an enum `enum`. */
  readonly type: string;
  readonly isNullable: boolean;
}

/** One thing that was looked at. */
export interface CaptureFinding {
  /** `note` needs nothing done. */
  readonly verdict: 'ok' | 'note' | 'problem';
  /** What it is about: a table, the publication, the slot. */
  readonly subject: string;
  readonly text: string;
  /** What to do; there for each problem. */
  readonly fix?: string;
}

/** A slot that holds more than this back is worth a look: a connector that stands still fills the disk. */
const MUCH_WAL_BYTES = 1024 ** 3;

/** Compares a database with what is declared of it. */
export function checkSource(
  database: CapturedDatabase,
  tables: readonly CapturedTable[],
  facts: SourceFacts,
  { role }: { readonly role: string },
): readonly CaptureFinding[] {
  const captured = tables.filter((table) => table.database.name === database.name);
  return [
    ...serverFindings(facts),
    ...captured.flatMap((table) => tableFindings(table, facts.tables)),
    ...publicationFindings(database, captured, facts),
    ...slotFindings(database, facts),
    ...roleFindings(role, facts),
  ];
}

const AGAIN = 'Run what "millrace capture sql" prints.';

function serverFindings({ settings, slotsInUse, slot }: SourceFacts): CaptureFinding[] {
  const { walLevel, maxSlotWalKeepSize, maxReplicationSlots } = settings;
  const findings: CaptureFinding[] = [];
  const { ok, note, problem } = about('server', findings);
  if (walLevel === 'logical') ok('wal_level is logical');
  else {
    problem(
      `wal_level is ${walLevel}, not logical: the log does not hold what a slot gives out`,
      'Set wal_level = logical and restart the server; on RDS and Aurora, rds.logical_replication = 1 in its parameter group, and reboot.',
    );
  }
  if (!slot && slotsInUse >= maxReplicationSlots) {
    problem(
      `all of its ${maxReplicationSlots} replication slots are in use`,
      'Raise max_replication_slots and restart the server, or drop a slot that nobody reads.',
    );
  } else ok(`${slotsInUse} of ${maxReplicationSlots} replication slots are in use`);
  if (maxSlotWalKeepSize === '-1') {
    note('max_slot_wal_keep_size is unlimited: a connector that stands still can fill the disk');
  } else ok(`max_slot_wal_keep_size is ${maxSlotWalKeepSize}`);
  return findings;
}

function tableFindings(declared: CapturedTable, tables: readonly SourceTable[]): CaptureFinding[] {
  const name = nameOf(declared);
  const findings: CaptureFinding[] = [];
  const { ok, note, problem } = about(name, findings);
  const real = tables.find((each) => nameOf(each) === name);
  if (!real) {
    problem(
      'is not in the database',
      declared.schema === CAPTURE_SCHEMA
        ? AGAIN
        : `Create it, or correct schema and table in defineTable().${hintOfCase(name, tables)}`,
    );
    return findings;
  }
  if (real.kind !== 'r' && real.kind !== 'p') {
    problem(
      'is no table: only tables have changes in the log',
      'Name the table behind it in defineTable(), or leave it out.',
    );
    return findings;
  }
  for (const column of declared.columns) {
    const found = real.columns.find((each) => each.name === column.name);
    const fault = found
      ? faultOf(column, found)
      : { text: 'is not in the table', fix: 'Correct defineTable().' };
    if (fault) problem(`column ${column.name} ${fault.text}`, fault.fix);
  }
  const extra = real.columns.filter(({ name }) => declared.columns.every((each) => each.name !== name));
  if (extra.length > 0) {
    note(
      `has columns that are not declared: ${extra.map(({ name }) => name).join(', ')}. They are archived as well`,
    );
  }
  if (real.primaryKey.length === 0) {
    problem(
      'has no primary key: a change would not say which row it is of',
      `ALTER TABLE ${qualified(declared)} ADD PRIMARY KEY (${declared.key.map(quoted).join(', ')});`,
    );
  } else if (!sameNames(real.primaryKey, declared.key)) {
    problem(
      `has the primary key (${real.primaryKey.join(', ')}); declared is (${declared.key.join(', ')})`,
      'Name the columns of its primary key in defineTable().',
    );
  }
  const identity = identityFault(real);
  if (identity) problem(identity.text, identity.fix);
  if (findings.every(({ verdict }) => verdict !== 'problem')) {
    ok(`${declared.columns.length} columns and the key (${declared.key.join(', ')}) are as declared`);
  }
  return findings;
}

/** Whether updates of a published table say which row they are of; where they do not, PostgreSQL refuses the update. */
function identityFault(table: SourceTable): { readonly text: string; readonly fix: string } | undefined {
  const { replicaIdentity: identity, primaryKey } = table;
  const name = qualified(table);
  if (identity === 'f') return undefined;
  if (identity === 'i') {
    return {
      text: 'has another index than its primary key as its replica identity: deletes would lack the key',
      fix: `ALTER TABLE ${name} REPLICA IDENTITY DEFAULT;`,
    };
  }
  if (identity === 'd' && primaryKey.length > 0) return undefined;
  return {
    text: "has no replica identity: once it is published, the application's UPDATE and DELETE fail",
    fix:
      primaryKey.length > 0
        ? `ALTER TABLE ${name} REPLICA IDENTITY DEFAULT;`
        : `Give it a primary key first, or take it out of the publication.`,
  };
}

function publicationFindings(
  { publication: name }: CapturedDatabase,
  captured: readonly CapturedTable[],
  { publication, tables }: SourceFacts,
): CaptureFinding[] {
  const findings: CaptureFinding[] = [];
  const { ok, problem } = about(`publication ${name}`, findings);
  if (!publication) {
    problem('is not in the database', AGAIN);
    return findings;
  }
  if (publication.isForAllTables) {
    problem(
      'is FOR ALL TABLES: each new table without a key would refuse the application’s updates',
      `DROP PUBLICATION ${quoted(name)}; then run what "millrace capture sql" prints.`,
    );
    return findings;
  }
  const wanted = [...captured.map(nameOf), `${CAPTURE_SCHEMA}.heartbeat`, `${CAPTURE_SCHEMA}.signal`];
  const missing = [...new Set(wanted)].filter((each) => !publication.tables.includes(each));
  const extra = publication.tables.filter((each) => !wanted.includes(each));
  if (missing.length > 0) problem(`lacks ${missing.join(', ')}: their changes would not be captured`, AGAIN);
  if (extra.length > 0) problem(`publishes ${extra.join(', ')}, which nobody declares`, AGAIN);
  for (const each of extra) {
    const fault = tables.filter((table) => nameOf(table) === each).map(identityFault)[0];
    if (fault) problem(`${each} ${fault.text}`, fault.fix);
  }
  const silent = (['insert', 'update', 'delete', 'truncate'] as const).filter(
    (action) => !publication.actions.includes(action),
  );
  if (silent.length > 0) problem(`does not publish ${silent.join(', ')}`, AGAIN);
  if (!publication.viaRoot && tables.some(({ kind }) => kind === 'p')) {
    problem('publishes partitions under their own names: publish_via_partition_root is off', AGAIN);
  }
  if (findings.length === 0) ok(`publishes ${publication.tables.length} tables, as declared`);
  return findings;
}

function slotFindings({ slot: name }: CapturedDatabase, { slot }: SourceFacts): CaptureFinding[] {
  const findings: CaptureFinding[] = [];
  const { ok, note, problem } = about(`slot ${name}`, findings);
  if (!slot) {
    note('is not there: the connector makes it when it starts, and takes a snapshot');
    return findings;
  }
  if (slot.plugin !== 'pgoutput') {
    problem(
      `has the plugin ${slot.plugin}, not pgoutput`,
      'Raise the epoch in defineDatabase(): the connector then makes a slot of its own.',
    );
  }
  if (slot.walStatus === 'lost') {
    problem(
      'is lost: the server has removed the log that it needs, so changes are missing',
      'Follow docs/runbooks/slot-lost.md: drop the slot, raise the epoch in defineDatabase(), deploy.',
    );
  } else if (slot.walStatus === 'unreserved') {
    problem(
      'is about to be lost: it holds back more log than max_slot_wal_keep_size allows',
      'Start the connector now, or raise max_slot_wal_keep_size.',
    );
  }
  const retained = slot.retainedBytes ?? 0;
  const size = `${(retained / 1024 ** 2).toFixed(1)} MB of log`;
  if (!slot.isActive && retained > MUCH_WAL_BYTES) {
    problem(
      `nobody reads it, and it holds back ${size}`,
      'Start the connector, or drop the slot if it is not needed.',
    );
  } else if (!slot.isActive) note(`nobody reads it now; it holds back ${size}`);
  else if (findings.length === 0) ok(`is being read; it holds back ${size}`);
  return findings;
}

function roleFindings(name: string, { role }: SourceFacts): CaptureFinding[] {
  const findings: CaptureFinding[] = [];
  const { ok, problem } = about(`role ${name}`, findings);
  if (!role) {
    problem('is not in the database', AGAIN);
    return findings;
  }
  if (!role.canLogIn) problem('cannot log in', `ALTER ROLE ${quoted(name)} LOGIN;`);
  if (!role.canReplicate) {
    problem(
      'may not replicate',
      `ALTER ROLE ${quoted(name)} REPLICATION; on RDS and Aurora: GRANT rds_replication TO ${quoted(name)};`,
    );
  }
  if (role.hasRdsIam === false) {
    problem(
      'lacks rds_iam: this server would refuse the token that the connector logs in with',
      `GRANT rds_iam TO ${quoted(name)}; or run what "millrace capture sql --rds" prints.`,
    );
  }
  if (role.lacks.length > 0) problem(`lacks ${role.lacks.join(', ')}`, AGAIN);
  if (findings.length === 0) ok('can log in, replicate, and read what is captured');
  return findings;
}

function faultOf(
  declared: Column,
  real: SourceColumn,
): { readonly text: string; readonly fix: string } | undefined {
  if (!isOfType(declared, real)) {
    return {
      text: `is ${real.type}; declared is ${written(declared)}`,
      fix: `Declare it as ${real.type === 'enum' ? 'text' : declarable(real.type)} in defineTable().`,
    };
  }
  if (real.isNullable && !declared.isNullable) {
    return {
      text: 'may be null; declared is that it may not',
      fix: 'Declare it nullable in defineTable(), or ALTER COLUMN … SET NOT NULL.',
    };
  }
  return undefined;
}

const TEXTS: readonly string[] = ['text', 'varchar', 'char'];

function isOfType({ type: declared }: Column, { type }: SourceColumn): boolean {
  // Fractional seconds say nothing about the type: timestamp(3) without time zone.
  const real = parseColumnType(declarable(type).replace(/^(timestamp|time|interval)\(\d+\)/, '$1'));
  if (!real || real.isArray !== declared.isArray) return false;
  if (declared.base === 'text') return TEXTS.includes(real.base);
  if (declared.base !== real.base) return false;
  if (declared.base !== 'numeric' || declared.precision === undefined) return true;
  return declared.precision === real.precision && (declared.scale ?? 0) === (real.scale ?? 0);
}

/** PostgreSQL takes a scale beyond the precision, and a declaration the type that holds the same values. */
function declarable(type: string): string {
  return type.replace(/^numeric\((\d+),(\d+)\)/, (same, precision, scale) =>
    Number(scale) > Number(precision) ? `numeric(${scale},${scale})` : same,
  );
}

function written({ type: { base, precision, scale, isArray } }: Column): string {
  const size =
    precision === undefined ? '' : `(${[precision, scale].filter((each) => each !== undefined).join(',')})`;
  return `${base}${size}${isArray ? '[]' : ''}`;
}

function nameOf({ schema, table }: { readonly schema: string; readonly table: string }): string {
  return `${schema}.${table}`;
}

function hintOfCase(name: string, tables: readonly SourceTable[]): string {
  const alike = tables.map(nameOf).find((each) => each.toLowerCase() === name.toLowerCase());
  return alike ? ` There is ${alike}.` : '';
}

function sameNames(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((each) => others.includes(each));
}

function about(subject: string, findings: CaptureFinding[]) {
  return {
    ok: (text: string) => findings.push({ verdict: 'ok', subject, text }),
    note: (text: string) => findings.push({ verdict: 'note', subject, text }),
    problem: (text: string, fix: string) => findings.push({ verdict: 'problem', subject, text, fix }),
  };
}
