import type { Pageview } from '../../contracts/news.pageviews/schema.ts';
import { pageviews } from '../../contracts/news.pageviews/topic.ts';
import type { Contract } from '../../runtime/contract.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock, Random } from '../../runtime/ports.ts';
import { accessLogParser } from './access-log.ts';
import type { Source } from './feed.ts';
import { type InputItem, type LineParser, parseJsonLine, readInput } from './input.ts';
import { createTraffic } from './traffic.ts';

// A log may hold long stretches without a single pageview.
const MAX_ITEMS = 10_000;

/**
 * The values of files for a topic, one file after the other. A file holds JSON, one object a line, when its name says
 * so (`.jsonl`, `.ndjson`) or its first line begins with `{`; else it is a web server's access log, which only
 * `news.pageviews` takes. Gzipped or not; `-` is standard input.
 * @param salt keys the pseudonyms of an access log's readers
 */
export function fileSource<Value>(
  paths: readonly string[],
  contract: Contract<Value>,
  salt: Buffer,
): Source<Value> {
  const items = readAll(paths, contract, salt) as AsyncGenerator<InputItem<Value>>;
  return {
    async take(maxValues) {
      const taken: InputItem<Value>[] = [];
      for (let values = 0; values < maxValues && taken.length < MAX_ITEMS; ) {
        const next = await items.next();
        if (next.done) break;
        taken.push(next.value);
        if (next.value.kind === 'value') values++;
      }
      return taken;
    },
  };
}

/** Newsroom-like traffic that never ends. */
export function trafficSource(random: Random, clock: Clock): Source<Pageview> {
  const traffic = createTraffic(random);
  let number = 0;
  return {
    async take(maxValues) {
      const now = clock.now();
      return Array.from({ length: maxValues }, () => ({
        kind: 'value',
        line: ++number,
        value: traffic.next(now),
      }));
    },
    tide: traffic.tide,
  };
}

async function* readAll(paths: readonly string[], contract: Contract<never>, salt: Buffer) {
  for (const path of paths) {
    const items = readInput(path, (firstLine) => parserFor(path, firstLine, contract.name, salt));
    if (paths.length === 1) yield* items;
    else for await (const item of items) yield { ...item, input: path };
  }
}

function parserFor(path: string, firstLine: string, topic: string, salt: Buffer): LineParser {
  if (/\.(jsonl|ndjson)(\.gz)?$/i.test(path) || firstLine.trimStart().startsWith('{')) return parseJsonLine;
  if (topic === pageviews.name) return accessLogParser(salt);
  throw new MillraceError(
    'INPUT_INVALID',
    `${path} does not hold JSON, one object a line, and ${topic} takes nothing else. Only ${pageviews.name} takes an access log.`,
    { details: { path, topic } },
  );
}
