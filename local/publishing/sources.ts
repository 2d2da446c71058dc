import type { Demo, InputItem, LineParser, Traffic } from '../../runtime/app.ts';
import type { Contract } from '../../runtime/contract/contract.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import type { Source } from './feed.ts';
import { parseJsonLine, readInput } from './input.ts';

// A log may hold long stretches without a single pageview.
const MAX_ITEMS = 10_000;

/**
 * The values of files for a topic, one file after the other. A file holds JSON, one object a line, when its name says
 * so (`.jsonl`, `.ndjson`) or its first line begins with `{`; else it is what the demo reads, if this is the demo's
 * topic. Gzipped or not; `-` is standard input.
 * @param salt keys the pseudonyms that the demo's parser makes
 */
export function fileSource<Value>(
  paths: readonly string[],
  contract: Contract<Value>,
  demo: Demo | undefined,
  salt: Buffer,
): Source<Value> {
  const own = demo?.topic.name === contract.name ? demo.input : undefined;
  const items = readAll(paths, contract.name, own, salt) as AsyncGenerator<InputItem<Value>>;
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

/** Traffic that never ends. */
export function trafficSource(traffic: Traffic, clock: Clock): Source<unknown> {
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
    load: (nowMs) => traffic.load?.(nowMs) ?? 1,
  };
}

async function* readAll(paths: readonly string[], topic: string, own: Demo['input'], salt: Buffer) {
  for (const path of paths) {
    const items = readInput(path, (firstLine) => parserFor(path, firstLine, topic, own, salt));
    if (paths.length === 1) yield* items;
    else for await (const item of items) yield { ...item, input: path };
  }
}

function parserFor(
  path: string,
  firstLine: string,
  topic: string,
  own: Demo['input'],
  salt: Buffer,
): LineParser {
  if (/\.(jsonl|ndjson)(\.gz)?$/i.test(path) || firstLine.trimStart().startsWith('{')) return parseJsonLine;
  if (own) return own(salt);
  throw new MillraceError(
    'INPUT_INVALID',
    `${path} does not hold one JSON object per line, and ${topic} takes nothing else. Convert it to JSON lines.`,
    { details: { path, topic } },
  );
}
