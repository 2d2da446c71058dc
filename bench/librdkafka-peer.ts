import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { pythonPackages } from '../local/parts/downloads.ts';
import type { Processes } from '../local/parts/processes.ts';
import { FRAME_BYTES } from './pageviews.ts';

const SCRIPT = fileURLToPath(new URL('librdkafka_peer.py', import.meta.url));
const PACKAGES = ['confluent-kafka==2.16.1', 'fastavro==1.13.1', 'psycopg[binary]==3.3.9'];

export interface LibrdkafkaPeer {
  /** Drains the topic into the database, in a group that has read nothing yet. */
  drain(group: string, records: number): Promise<void>;
  end(): Promise<void>;
}

/** Python, started once: its start is not what is compared. */
export async function startLibrdkafka(
  processes: Processes,
  address: string,
  url: string,
  batch: number,
): Promise<LibrdkafkaPeer> {
  const python = await pythonPackages(processes, PACKAGES);
  const child = spawn(python, [SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const { schema } = pageviews.latest;
  const task = {
    address,
    url,
    batch,
    topic: pageviews.name,
    schema: JSON.stringify(schema),
    frame: FRAME_BYTES,
  };
  return {
    async drain(group, records) {
      child.stdin.write(`${JSON.stringify({ ...task, group, records })}\n`);
      if ((await lines.next()).value !== 'done') throw new Error('the Python peer has failed');
    },
    async end() {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}
