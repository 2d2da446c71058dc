/** A pipeline in which every text that somebody else may write is an attack. */
import type { Operations } from '../../console/operations.ts';

const LONG_LINE = 1_048_576;

/** Broken UTF-8 as decoders show it, and halves of surrogate pairs, which JSON can carry. */
const ATTACKS = [
  '<script>globalThis.pwned=1</script>',
  '</code></pre></bdi><img src=x onerror="globalThis.pwned=1">',
  '"><svg onload=globalThis.pwned=1><iframe srcdoc="<script>parent.pwned=1</script>">',
  "'-globalThis.pwned=1-'",
  'javascript:globalThis.pwned=1',
  '{{constructor.constructor("globalThis.pwned=1")()}}',
  '\u202eevil\u202c \u2066isolated\u2069 \u200bunseen',
  '\u001b[31mred\u001b[0m \u001b]0;title\u0007 \u0000',
  'broken \ufffd\ufffd \ud800 utf-8 \udfff',
  '__proto__',
  '<style>*{display:none}</style><base href="https://evil.example/"><meta http-equiv=refresh content=0>',
] as const;

/** Names by which code finds things, and words that only we write: an attack there would be nobody's. */
const WORDS = new Set([
  'action',
  'app',
  'at',
  'blockedBy',
  'code',
  'confirmation',
  'consumer',
  'consumers',
  'cursor',
  'fingerprint',
  'drain',
  'flags',
  'group',
  'headroom',
  'id',
  'base64',
  'kind',
  'next',
  'outcome',
  'partition',
  'phase',
  'sample',
  'stage',
  'state',
  'summary',
  'begunAt',
  'endedAt',
  'timestamp',
  'verdict',
]);

/** The same answers, in which each text of a record, an error, a person or a topic is an attack; a letter's value is a line of 1 MB. */
export function hostileOperations(operations: Operations): Operations {
  let turn = 0;
  const hostile = (value: unknown, name: string): unknown => {
    if (Array.isArray(value)) return value.map((each) => hostile(each, name));
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, hostile(each, key)]));
    if (typeof value !== 'string' || WORDS.has(name)) return value;
    const attack = ATTACKS[turn++ % ATTACKS.length]!;
    return name === 'decoded' || name === 'message' ? `${attack}${'A'.repeat(LONG_LINE)}${attack}` : attack;
  };
  return new Proxy(operations, {
    get:
      (target, name: keyof Operations) =>
      async (...args: never[]) =>
        hostile(await (target[name] as (...args: never[]) => unknown)(...args), name),
  });
}
