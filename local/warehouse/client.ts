/** Our end of warehouse/client.py, the program that has the warehouses' own clients. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
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
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #errors = '';

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
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** @throws WAREHOUSE_FAILED with what the client said last, where it ends instead of answering */
  async ask<Answer>(question: object): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    return (await this.#next()) as Answer;
  }

  /** The rows of a query, as texts, as they come. */
  async *query(sql: string): AsyncIterable<readonly (string | null)[]> {
    this.#child.stdin.write(`${JSON.stringify({ sql })}\n`);
    for (;;) {
      const row = (await this.#next()) as readonly (string | null)[] | null;
      if (row === null) return;
      yield row;
    }
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

  async close(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}
