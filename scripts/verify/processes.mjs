// The child processes of a run. Whatever happens, none of them outlives it; each is ended by its id.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a child may take to end when it is asked to; then it is killed. */
const GRACE_MS = 10_000;

export class Processes {
  #folder;
  #ownGroups;
  #running = new Set();
  #ending = false;

  /**
   * @param folder a folder of the caller's; holds logs/NAME.log, and what the children are given to write to
   * @param options `ownGroups`: each child leads a process group, which ends as a whole. Not inside a test: there,
   *   children belong to the group of jest, so that they end with it however it ends.
   */
  constructor(folder, { ownGroups = false } = {}) {
    this.#folder = folder;
    this.#ownGroups = ownGroups;
    mkdirSync(join(folder, 'logs'), { recursive: true });
    // The last resort, for an error that nobody caught.
    process.once('exit', () => {
      for (const child of this.#running) child.signal('SIGKILL');
    });
  }

  /** An empty folder for a child's data. */
  makeFolder(name) {
    const path = join(this.#folder, name);
    mkdirSync(path);
    return path;
  }

  /** Options are those of spawn(), and `endWith`: the signal that asks this child to end. */
  start(name, command, args, { endWith = 'SIGTERM', ...options } = {}) {
    if (this.#ending) throw new Error(`${name} was not started: everything is being ended.`);
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

  /** Runs a command to its end. */
  async run(name, command, args, options) {
    const child = this.start(name, command, args, options);
    const outcome = await child.ended;
    if (outcome !== 'exit code 0') throw new Error(child.failure());
  }

  async endAll() {
    this.#ending = true;
    await Promise.all([...this.#running].map((child) => child.end()));
  }
}

class Child {
  #process;
  #leadsGroup;
  #endWith;
  #logFile;
  #logFrom;
  #outcome;

  constructor(name, spawned, { logFile, logFrom, endWith, leadsGroup }) {
    this.name = name;
    this.#process = spawned;
    this.#logFile = logFile;
    this.#logFrom = logFrom;
    this.#endWith = endWith;
    this.#leadsGroup = leadsGroup;
    /** How it ended: "exit code 1", "SIGKILL", or why it could not be started. */
    this.ended = new Promise((resolve) => {
      const end = (outcome) => {
        this.#outcome = outcome;
        resolve(outcome);
      };
      spawned.once('error', (error) => end(error.message));
      spawned.once('exit', (code, signal) => {
        // What it started and left behind.
        if (leadsGroup) this.signal('SIGKILL');
        end(signal ?? `exit code ${code}`);
      });
    });
  }

  signal(name) {
    const { pid } = this.#process;
    if (pid === undefined || this.#outcome !== undefined) return;
    try {
      process.kill(this.#leadsGroup ? -pid : pid, name);
    } catch (error) {
      // macOS says EPERM of a group in which all have ended.
      if (error.code !== 'ESRCH' && error.code !== 'EPERM') throw error;
    }
  }

  async end() {
    this.signal(this.#endWith);
    const impatience = setTimeout(() => this.signal('SIGKILL'), GRACE_MS);
    await this.ended;
    clearTimeout(impatience);
  }

  /** What it has printed; an earlier child of the same name has the log's beginning. */
  output() {
    return readFileSync(this.#logFile).subarray(this.#logFrom).toString();
  }

  /** Tries until an attempt resolves, and resolves with its result. */
  async untilAnswers(attempt, seconds = 60) {
    const deadline = Date.now() + seconds * 1_000;
    for (;;) {
      try {
        const answer = await attempt();
        // Somebody else may have answered, on a port that this one did not get.
        if (this.#outcome === undefined) return answer;
      } catch (cause) {
        if (this.#outcome === undefined && Date.now() > deadline) {
          throw new Error(this.failure(`did not answer within ${seconds} seconds (${cause.message})`));
        }
      }
      if (this.#outcome !== undefined) throw new Error(this.failure());
      await sleep(100);
    }
  }

  failure(what = `ended: ${this.#outcome}`) {
    return `${this.name} ${what}\n${this.output().slice(-4_000)}`.trimEnd();
  }
}

/** An address of the loopback where nobody has the port. Only Linux has more of them than one. */
export async function freeAddress(port) {
  if (process.platform !== 'linux') return '127.0.0.1';
  for (;;) {
    const address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
    if (await isFree(port, address)) return address;
  }
}

const given = new Set();

/**
 * A port of the loopback that nobody uses. Below those that systems give to outgoing connections (Linux from 32768,
 * macOS from 49152), so that none of these takes it while its server is down for a restart.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (given.has(port)) continue;
    if (!(await isFree(port, '127.0.0.1'))) continue;
    given.add(port);
    return port;
  }
}

async function isFree(port, address) {
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
