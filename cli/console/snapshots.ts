/** The newest snapshot of each consumer's letters: read once at a time, and again behind a question where it is old. */
import type { Clock } from '../../runtime/ports.ts';
import { markedReader } from '../dlq/overtaken.ts';
import { chooseConsumers, generationNamed, inDlqSession, type Owner } from '../dlq/session.ts';
import type { ConsoleContext } from './context.ts';
import { problemText } from './errors.ts';
import { type LetterSession, readSnapshot, type Snapshot } from './letter-snapshot.ts';

/** Whose letters there are, and how to get at them. */
export interface LetterSource {
  /** The consumer that is named, or every one. @throws INPUT_INVALID where there is no such consumer */
  owners(name?: string): Promise<readonly Owner[]>;
  inSession<Result>(owner: Owner, work: (session: LetterSession) => Promise<Result>): Promise<Result>;
}

/** By the sessions of the commands. */
export function letterSource({ app, options }: ConsoleContext): LetterSource {
  return {
    owners: (name) => chooseConsumers(name, options),
    inSession: (owner, work) =>
      inDlqSession(owner, options, async (session) =>
        work({
          ...session,
          marked: await markedReader(session, options),
          isDeclared: generationNamed(session.consumer.name, app.consumers) !== undefined,
        }),
      ),
  };
}

/** A snapshot is old after so long, or after ten times what it took: a large store is not read all the time. */
const FRESH_MS = 5_000;
const REST = 10;

interface Entry {
  owner: Owner;
  readonly snapshot: Remembered<Snapshot>;
}

export class Snapshots {
  readonly #source: LetterSource;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #stop = new AbortController();
  readonly #owners: Remembered<readonly Owner[]>;
  readonly #letters = new Map<string, Entry>();
  /** By consumer: whoever reads or changes its letters has a turn, one at a time. */
  readonly #turns = new Map<string, Turns>();

  constructor(source: LetterSource, clock: Pick<Clock, 'now'>) {
    this.#source = source;
    this.#clock = clock;
    this.#owners = new Remembered(() => source.owners(), clock);
  }

  /**
   * Of the consumer that is named, or of every one. Waits for a scan only where there is none yet, or the last was forgotten.
   * @throws INPUT_INVALID where there is no such consumer
   */
  async of(consumer?: string): Promise<readonly Snapshot[]> {
    const all = await this.#owners.get();
    const chosen =
      consumer === undefined ? all : all.filter((each) => (each.named ?? each.name) === consumer);
    const owners =
      chosen.length === 0 && consumer !== undefined ? await this.#source.owners(consumer) : chosen;
    return Promise.all(owners.map((owner) => this.#entryOf(owner).snapshot.get()));
  }

  /** What has been read by now, without a scan. */
  known(): readonly { readonly owner: Owner; readonly snapshot: Snapshot }[] {
    return [...this.#letters.values()].flatMap(({ owner, snapshot }) =>
      snapshot.known === undefined ? [] : [{ owner, snapshot: snapshot.known }],
    );
  }

  forget(consumer: string): void {
    this.#letters.get(consumer)?.snapshot.forget();
    // An undeclared consumer is there as long as it has letters.
    this.#owners.forget();
  }

  /** Does work with the consumer's letters while no scan of them runs: on SQS a scan hides them. */
  alone<Result>(consumer: string, work: () => Promise<Result>): Promise<Result> {
    return this.#turnsOf(consumer).take(work);
  }

  /** Ends scans that are under way. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#turns.values()].map((turns) => turns.settled()));
    await this.#owners.settled();
  }

  #turnsOf(consumer: string): Turns {
    const turns = this.#turns.get(consumer) ?? new Turns();
    this.#turns.set(consumer, turns);
    return turns;
  }

  #entryOf(owner: Owner): Entry {
    const name = owner.named ?? owner.name;
    const known = this.#letters.get(name);
    if (known) {
      // Another generation was promoted.
      if (known.owner.name !== owner.name) known.snapshot.forget();
      known.owner = owner;
      return known;
    }
    const entry: Entry = {
      owner,
      snapshot: new Remembered<Snapshot>(
        (before) => this.#read(entry.owner, before),
        this.#clock,
        this.#turnsOf(name),
      ),
    };
    this.#letters.set(name, entry);
    return entry;
  }

  /** Never throws: one consumer that cannot be reached does not hide the others. */
  async #read(owner: Owner, before: Snapshot | undefined): Promise<Snapshot> {
    const consumer = owner.named ?? owner.name;
    const asOf = this.#clock.now();
    try {
      return await this.#source.inSession(owner, (session) => readSnapshot(session, asOf, this.#stop.signal));
    } catch (error) {
      const nothing = { consumer, isDeclared: true, retentionMs: null, asOf, letters: [], groups: new Map() };
      return { ...(before ?? nothing), problem: `${consumer}: ${problemText(error)}` };
    }
  }
}

/** Work that is done one after the other. */
class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  async settled(): Promise<void> {
    await this.#last;
  }
}

/** A value that is read at most once at a time; what is old is given at once, and read again behind it. */
class Remembered<Value> {
  readonly #read: (before: Value | undefined) => Promise<Value>;
  readonly #clock: Pick<Clock, 'now'>;
  #known:
    | { readonly value: Value; readonly age: number; readonly readAt: number; readonly tookMs: number }
    | undefined;
  #running: Promise<void> | undefined;
  readonly #turns: Turns;
  /** How often it was forgotten: what a read began before that is not given to who asks after it. */
  #age = 0;

  constructor(
    read: (before: Value | undefined) => Promise<Value>,
    clock: Pick<Clock, 'now'>,
    turns = new Turns(),
  ) {
    this.#read = read;
    this.#clock = clock;
    this.#turns = turns;
  }

  get known(): Value | undefined {
    return this.#known?.value;
  }

  async get(): Promise<Value> {
    while (this.#known?.age !== this.#age) await this.#start();
    const { value, readAt, tookMs } = this.#known;
    if (this.#clock.now() - readAt > Math.max(FRESH_MS, REST * tookMs)) this.#start().catch(() => {});
    return value;
  }

  forget(): void {
    this.#age++;
  }

  async settled(): Promise<void> {
    await this.#turns.settled();
  }

  #start(): Promise<void> {
    this.#running ??= this.#turns
      .take(async () => {
        const age = this.#age;
        const began = this.#clock.now();
        const value = await this.#read(this.#known?.value);
        const readAt = this.#clock.now();
        this.#known = { value, age, readAt, tookMs: readAt - began };
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }
}
