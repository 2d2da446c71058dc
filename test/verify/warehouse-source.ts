/** A database with Debezium behind it, as far as a warehouse can tell: its archive's rows are those that real parts write. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type CapturedTable, UNAVAILABLE_VALUE } from '../../runtime/capture/table.ts';

export interface Values {
  readonly title: string | null;
  /** Long enough to be stored apart: a change that leaves it alone does not have it. */
  readonly note: string | null;
  readonly amount: string | null;
}

type Op = 'c' | 'u' | 'd' | 'r' | 't';

/** One change as it was committed. `seq` is the true order, which nothing in the row tells. */
interface Change {
  readonly seq: number;
  readonly op: Op;
  readonly id: number | null;
  readonly epoch: number;
  readonly lsn: number | null;
  readonly after: Readonly<Record<string, unknown>> | null;
  /** The other key of a change of key. */
  readonly other?: number;
}

interface Row {
  readonly change: Change | null;
  readonly text: string;
}

export class SimulatedTable {
  readonly table: CapturedTable;
  readonly rows = new Map<number, Values>();
  readonly #archive: string;
  #partitions: Row[][];
  /** How many rows of each partition the archive has. */
  readonly #archived: number[] = [];
  readonly #emitted: Change[] = [];
  /** Committed by nobody yet: their LSNs are older than those of what is committed meanwhile. */
  #open: (() => void)[] = [];
  readonly #locked = new Set<number>();
  #lsn = 1_000;
  #seq = 0;
  #clock = Date.UTC(2026, 10, 1);
  #epoch = 1;
  #objects = 0;
  readonly #loaded = new Map<number, Change>();
  readonly #late: (() => void)[] = [];

  constructor(table: CapturedTable, archive: string) {
    this.table = table;
    this.#archive = archive;
    this.#partitions = Array.from({ length: table.topic.partitions }, () => []);
  }

  insert(id: number, values: Values): void {
    this.#change(id, 'c', values, values);
  }

  /** Without a note, the note is not touched, and the change does not have it. */
  update(id: number, values: Partial<Values>): void {
    const old = this.rows.get(id)!;
    const now = { ...old, ...values };
    this.#change(
      id,
      'u',
      now,
      'note' in values || old.note === null ? now : { ...now, note: UNAVAILABLE_VALUE },
    );
  }

  delete(id: number): void {
    this.#change(id, 'd', null, null);
  }

  changeKey(from: number, to: number): void {
    this.#commitAll();
    const values = this.rows.get(from)!;
    const lsn = this.#nextLsn();
    this.rows.delete(from);
    this.rows.set(to, values);
    this.#emit({ op: 'd', id: from, lsn, after: null, other: to });
    const note = values.note === null ? null : UNAVAILABLE_VALUE;
    this.#emit({ op: 'c', id: to, lsn, after: { ...values, note }, other: from });
  }

  truncate(): void {
    this.#commitAll();
    this.rows.clear();
    this.#emit({ op: 't', id: null, lsn: this.#nextLsn(), after: null });
  }

  /** Of all rows, as they are committed, with one LSN. */
  snapshot(): void {
    this.#commitAll();
    const lsn = this.#nextLsn();
    for (const [id, values] of this.rows) this.#emit({ op: 'r', id, lsn, after: values });
  }

  /** Reads what is committed while other transactions are open. Its rows have no LSN. */
  incrementalSnapshot(more: Readonly<Record<string, unknown>> = {}): void {
    for (const [id, values] of this.rows)
      this.#emit({ op: 'r', id, lsn: null, after: { ...values, ...more } });
  }

  /** As after a kill: the last changes once more, in their order. */
  replay(count: number): void {
    this.#commitAll();
    for (const change of this.#emitted.slice(-count)) this.#write(change);
  }

  widen(partitions: number): void {
    while (this.#partitions.length < partitions) this.#partitions.push([]);
  }

  /** From a backup: other rows, an LSN that starts over, and a new epoch, whose snapshot is not taken yet. */
  restore(rows: ReadonlyMap<number, Values>): void {
    this.#commitAll();
    this.#epoch++;
    this.#lsn = 500;
    this.rows.clear();
    for (const [id, values] of rows) this.rows.set(id, values);
  }

  /** The next change of this key is in a transaction that ends after others. */
  hold(id: number, values: Partial<Values>): void {
    const old = this.rows.get(id)!;
    const lsn = this.#nextLsn();
    this.#locked.add(id);
    this.#open.push(() => {
      const now = { ...old, ...values };
      this.rows.set(id, now);
      this.#emit({
        op: 'u',
        id,
        lsn,
        after: 'note' in values ? now : { ...now, note: old.note && UNAVAILABLE_VALUE },
      });
    });
  }

  commitHeld(): void {
    this.#commitAll();
  }

  isLocked(id: number): boolean {
    return this.#locked.has(id);
  }

  /**
   * Moves rows from the topic to the archive.
   * @param share of what a partition has waiting
   * @param late keeps this partition's object back until the next call
   */
  archive(share: (partition: number) => number = () => 1, { late }: { readonly late?: number } = {}): void {
    for (const deliver of this.#late.splice(0)) deliver();
    this.#partitions.forEach((rows, partition) => {
      const from = this.#archived[partition] ?? 0;
      const to = from + Math.ceil((rows.length - from) * share(partition));
      if (to === from) return;
      this.#archived[partition] = to;
      const deliver = () => this.#put(partition, from, rows.slice(from, to));
      if (partition === late) this.#late.push(deliver);
      else deliver();
    });
  }

  /** All objects a second time, under names of their own. */
  archiveAgain(): void {
    this.#partitions.forEach((rows, partition) => {
      const count = this.#archived[partition] ?? 0;
      if (count > 0)
        this.#put(partition, 0, rows.slice(0, count), `_${String(++this.#objects).padStart(6, '0')}`);
    });
  }

  /**
   * The rows that follow from the changes in the archive, in their true order.
   * @param ofEpoch leaves out rows that a restored database does not have
   */
  expected(ofEpoch = 1): ReadonlyMap<number, Values> {
    const rows = new Map<number, Values>();
    const epochs = new Map<number, number>();
    const gone = new Map<number, Values>();
    for (const change of [...this.#loaded.values()].sort((a, b) => a.seq - b.seq)) {
      const { op, id, after, other } = change;
      if (id !== null) epochs.set(id, change.epoch);
      if (op === 't') rows.clear();
      else if (op === 'd') {
        const old = rows.get(id!);
        if (other !== undefined && old) gone.set(other, old);
        rows.delete(id!);
      } else {
        const old = op === 'c' ? gone.get(id!) : rows.get(id!);
        const { title, note, amount } = after as unknown as Values;
        rows.set(id!, { title, amount, note: note === UNAVAILABLE_VALUE ? (old?.note ?? null) : note });
        gone.delete(id!);
      }
    }
    return new Map([...rows].filter(([id]) => epochs.get(id)! >= ofEpoch));
  }

  #change(id: number, op: Op, now: Values | null, after: Values | null): void {
    if (this.#locked.has(id)) this.#commitAll();
    if (now) this.rows.set(id, now);
    else this.rows.delete(id);
    this.#emit({ op, id, lsn: this.#nextLsn(), after });
  }

  #commitAll(): void {
    for (const commit of this.#open.splice(0)) commit();
    this.#locked.clear();
  }

  #nextLsn(): number {
    this.#lsn += 8;
    return this.#lsn;
  }

  #emit(change: Omit<Change, 'seq' | 'epoch' | 'after'> & { readonly after: object | null }): void {
    const complete = { ...change, seq: ++this.#seq, epoch: this.#epoch } as Change;
    if (change.lsn !== null) this.#emitted.push(complete);
    this.#write(complete);
  }

  #write(change: Change): void {
    const { op, id, epoch, lsn, after, other } = change;
    this.#clock += 3;
    const key = id === null ? null : { id };
    const value = {
      // Debezium makes values up for what the replica identity does not have.
      before: op === 'd' ? { id, title: '', note: '', amount: '0' } : null,
      after: after && { id, ...after },
      source: {
        ts_ms: this.#clock - 1,
        snapshot: op === 'r' ? (lsn === null ? 'incremental' : 'true') : 'false',
        lsn,
      },
      op,
      ts_ms: this.#clock,
    };
    const headers = [
      { name: 'millrace.epoch', value: String(epoch) },
      ...(other === undefined
        ? []
        : [{ name: op === 'd' ? '__debezium.newkey' : '__debezium.oldkey', value: `Struct{id=${other}}` }]),
    ];
    this.#append(change, id ?? 0, { key, headers, epoch, value });
    if (op === 'd') this.#append(null, id ?? 0, { key, headers: headers.slice(0, 1), epoch, value: null });
  }

  #append(
    change: Change | null,
    id: number,
    {
      key,
      headers,
      epoch,
      value,
    }: { key: object | null; headers: object; epoch: number; value: object | null },
  ): void {
    const partition = id % this.#partitions.length;
    const rows = this.#partitions[partition]!;
    const text = JSON.stringify({
      topic: this.table.topic.name,
      partition,
      offset: rows.length,
      timestamp: this.#clock,
      timestamp_type: 'CREATE_TIME',
      source_epoch: epoch,
      key: key && JSON.stringify(key),
      headers,
      schema_id: null,
      value,
    });
    rows.push({ change, text });
  }

  #put(partition: number, from: number, rows: readonly Row[], suffix = ''): void {
    const name = `${String(from).padStart(20, '0')}${suffix}.jsonl.gz`;
    putObject(
      this.#archive,
      `topics/${this.table.topic.name}/1/p${partition}/${TODAY}/${name}`,
      rows.map(({ text }) => text),
    );
    for (const { change } of rows) if (change) this.#loaded.set(change.seq, change);
  }
}

/** A loader looks at recent days. */
export const TODAY = new Date().toISOString().slice(0, 10);

export function putObject(archive: string, key: string, rows: readonly string[]): void {
  const path = join(archive, key);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, gzipSync(rows.map((row) => `${row}\n`).join('')));
}
