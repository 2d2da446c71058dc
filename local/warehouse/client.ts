/** Our end of warehouse/client.py, the program that has the warehouses' own clients. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { MillraceError } from '../../runtime/errors.ts';
import type { WarehouseTarget } from './python.ts';

/** The dbt package and the client, beside package.json. */
export const warehousePackage = fileURLToPath(
  new URL('./warehouse', import.meta.resolve('millrace/package.json')),
);

export interface ClientOptions {
  readonly python: string;
  readonly target: WarehouseTarget;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** One conversation: it is asked and answers in lines of JSON, and ends with its input. */
export class WarehouseClient {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #reader: Interface;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #errors = '';
  #isAnswering = false;

  constructor(task: 'load' | 'query', { python, target, env, cwd }: ClientOptions) {
    this.#child = spawn(python, [`${warehousePackage}/client.py`, task, target], {
      cwd,
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    // What it says of an end that nobody asked for is in its errors.
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-8_192);
    });
    this.#ended = once(this.#child, 'close');
    this.#reader = createInterface({ input: this.#child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** @throws WAREHOUSE_FAILED with what the client said last, where it ends instead of answering */
  async ask<Answer>(question: object): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    return (await this.#next()) as Answer;
  }

  /** The rows of a query, as texts, as they come. */
  async *query(sql: string): AsyncIterable<readonly (string | null)[]> {
    this.#child.stdin.write(`${JSON.stringify({ sql })}\n`);
    this.#isAnswering = true;
    for (;;) {
      const row = (await this.#next()) as readonly (string | null)[] | null;
      if (row === null) break;
      yield row;
    }
    this.#isAnswering = false;
  }

  async #next(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (!done) return JSON.parse(value);
    await this.#ended;
    const reason = this.#errors.trim().split('\n').at(-1) ?? '';
    throw new MillraceError(
      'WAREHOUSE_FAILED',
      `The warehouse refused: ${reason || 'its client ended'}. Check the connection and the rights that docs/warehouse.md lists.`,
    );
  }

  /** Rows that nobody has read are not waited for. */
  async close(): Promise<void> {
    this.#child.stdin.end();
    if (this.#isAnswering) {
      // It would write for ever into a full pipe, and what is in the pipe would keep the pipe open.
      this.#reader.close();
      this.#child.stdout.destroy();
      this.#child.kill();
    }
    await this.#ended;
  }
}
