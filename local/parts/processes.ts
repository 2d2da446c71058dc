/** The child processes of a run. However it ends, none of them outlives it; each is ended by its id. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from '../../runtime/errors.ts';

/** How long a child may take to end when it is asked to; then it is killed. */
const GRACE_MS = 10_000;

interface StartOptions extends SpawnOptions {
  /** The signal that asks this child to end. @default 'SIGTERM' */
  readonly endWith?: NodeJS.Signals;
}

export class Processes {
  readonly #folder: string;
  readonly #ownGroups: boolean;
  readonly #running = new Set<Child>();
  #ending = false;
  /** Takes what a person should hear of work that takes long. */
  readonly note: (text: string) => void;

  /**
   * @param folder a folder of the caller's; holds logs/NAME.log, and what the children are given to write to
   * @param options `ownGroups`: each child leads a process group, which ends as a whole. Not inside a test: there,
   *   children belong to the group of jest, so that they end with it however it ends.
   */
  constructor(
    folder: string,
    { ownGroups = false, note = () => {} }: { readonly ownGroups?: boolean; note?(text: string): void } = {},
  ) {
    this.#folder = folder;
    this.#ownGroups = ownGroups;
    this.note = note;
    mkdirSync(join(folder, 'logs'), { recursive: true });
    // The last resort, for an error that nobody caught.
    process.once('exit', () => {
      for (const child of this.#running) child.signal('SIGKILL');
    });
  }

  /** An empty folder for a child's data. */
  makeFolder(name: string): string {
    const path = join(this.#folder, name);
    mkdirSync(path);
    return path;
  }

  start(
    name: string,
    command: string,
    args: readonly string[],
    { endWith = 'SIGTERM', ...options }: StartOptions = {},
  ): Child {
    if (this.#ending)
      throw new MillraceError('PART_FAILED', `${name} was not started: everything is being ended.`);
    const logFile = join(this.#folder, 'logs', `${name}.log`);
    const log = openSync(logFile, 'a');
    const logFrom = statSync(logFile).size;
    const spawned = spawn(command, args, {
      stdio: ['ignore', log, log],
      ...options,
      detached: this.#ownGroups,
    });
    closeSync(log);
    const child = new Child(name, spawned, { logFile, logFrom, endWith, leadsGroup: this.#ownGroups });
    this.#running.add(child);
    child.ended.then(() => this.#running.delete(child));
    return child;
  }

  /** Runs a command to its end. @throws PART_FAILED unless it ends with exit code 0 */
  async run(name: string, command: string, args: readonly string[], options?: StartOptions): Promise<void> {
    const child = this.start(name, command, args, options);
    const outcome = await child.ended;
    if (outcome !== 'exit code 0') throw child.failure();
  }

  async endAll(): Promise<void> {
    this.#ending = true;
    await Promise.all([...this.#running].map((child) => child.end()));
  }
}

interface ChildOptions {
  readonly logFile: string;
  readonly logFrom: number;
  readonly endWith: NodeJS.Signals;
  readonly leadsGroup: boolean;
}

export class Child {
  readonly name: string;
  /** How it ended: "exit code 1", "SIGKILL", or why it could not be started. */
  readonly ended: Promise<string>;
  readonly #process: ChildProcess;
  readonly #options: ChildOptions;
  #outcome: string | undefined;

  constructor(name: string, spawned: ChildProcess, options: ChildOptions) {
    this.name = name;
    this.#process = spawned;
    this.#options = options;
    this.ended = new Promise((resolve) => {
      const end = (outcome: string) => {
        this.#outcome = outcome;
        resolve(outcome);
      };
      spawned.once('error', (error) => end(error.message));
      spawned.once('exit', (code, signal) => {
        // What it started and left behind.
        if (options.leadsGroup) this.signal('SIGKILL');
        end(signal ?? `exit code ${code}`);
      });
    });
  }

  signal(name: NodeJS.Signals): void {
    const { pid } = this.#process;
    if (pid === undefined || this.#outcome !== undefined) return;
    try {
      process.kill(this.#options.leadsGroup ? -pid : pid, name);
    } catch (error) {
      // macOS says EPERM of a group in which all have ended.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ESRCH' && code !== 'EPERM') throw error;
    }
  }

  async end(): Promise<void> {
    this.signal(this.#options.endWith);
    const impatience = setTimeout(() => this.signal('SIGKILL'), GRACE_MS);
    await this.ended;
    clearTimeout(impatience);
  }

  /** What it has printed; an earlier child of the same name has the log's beginning. */
  output(): string {
    return readFileSync(this.#options.logFile).subarray(this.#options.logFrom).toString();
  }

  /**
   * Tries until an attempt resolves, and resolves with its result.
   * @throws PART_FAILED when it ends before, or takes too long
   */
  async untilAnswers<Answer>(attempt: () => Promise<Answer>, seconds = 60): Promise<Answer> {
    const deadline = Date.now() + seconds * 1_000;
    for (;;) {
      try {
        const answer = await attempt();
        // Somebody else may have answered, on a port that this one did not get.
        if (this.#outcome === undefined) return answer;
      } catch (cause) {
        if (this.#outcome === undefined && Date.now() > deadline) {
          const reason = (cause as Error).message;
          throw this.failure(`did not answer within ${seconds} seconds (${reason})`);
        }
      }
      if (this.#outcome !== undefined) throw this.failure();
      await sleep(100);
    }
  }

  /** An error with the end of what it printed. */
  failure(what = `ended: ${this.#outcome}`): MillraceError {
    const { logFile } = this.#options;
    return new MillraceError(
      'PART_FAILED',
      `${this.name} ${what}. The last it printed, from ${logFile}:\n${this.output().slice(-4_000)}`.trimEnd(),
      { details: { part: this.name, log: logFile } },
    );
  }
}

/** An address of the loopback where nobody has the port. Only Linux has more of them than one. */
export async function freeAddress(port: number): Promise<string> {
  if (process.platform !== 'linux') return '127.0.0.1';
  for (;;) {
    const address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
    if (await isFree(port, address)) return address;
  }
}

const given = new Set<number>();

/**
 * A port of the loopback that nobody uses. Below those that systems give to outgoing connections (Linux from 32768,
 * macOS from 49152), so that none of these takes it while its server is down for a restart.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (given.has(port)) continue;
    if (!(await isFree(port, '127.0.0.1'))) continue;
    given.add(port);
    return port;
  }
}

async function isFree(port: number, address: string): Promise<boolean> {
  const probe = createServer().listen(port, address);
  const listens = await once(probe, 'listening').then(
    () => true,
    () => false,
  );
  if (!listens) return false;
  probe.close();
  await once(probe, 'close');
  return true;
}
