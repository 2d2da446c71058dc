/** What a machine can keep of how we write: CONTRIBUTING.md has the rules. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';

const MAX_COLUMNS = 120;
const PAGES = globSync(['*.md', '.github/*.md', 'create/**/*.md', 'docs/**/*.md', 'examples/**/*.md']);
const CODE = globSync(
  '{adapters,bin,cli,console,create,demo,examples,lib,local,runtime,testing}/**/*.{ts,tsx,mjs}',
);
const TESTS = globSync('test/**/*.ts', { exclude: ['test/fixtures/**', 'test/prose.test.ts'] });

/** Words that stand for something the field has a word for, and phrases that nobody says. */
const BANNED: readonly (readonly [RegExp, string])[] = [
  [/\bshel(f|ves)\b/i, 'the dead letters, or their reader'],
  [/\bdesk\b/i, 'session'],
  [/\boutlets?\b/i, 'sink'],
  [/\btides?\b/i, 'traffic'],
  [/\bfates?\b/i, 'outcome'],
  [/\btwins?\b/i, 'concurrent invocation, second copy'],
  [/\b(put|puts|putting) aside\b/i, 'dead-lettered, given up'],
  [/\bpass(es|ed|ing)? over\b/i, 'skip'],
  [/\b(come|comes|came|coming) again\b/i, 'is delivered again'],
  [/\bmend(s|ed|ing)?\b/i, 'fix'],
  [/\bof AWS's (?!default|serializer|own)/, "AWS's, or of AWS"],
  [/\bthere (is|are) those that\b/i, 'name them'],
  [/\bwhatever its end\b/i, 'also if it failed'],
  [/\bthousand million\b/i, 'billion'],
];

interface Line {
  readonly at: string;
  readonly text: string;
}

const linesOf = (path: string): readonly Line[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .map((text, index) => ({ at: `${path}:${index + 1}`, text }));

/** A page without its code blocks. */
function proseOf(path: string): readonly Line[] {
  let isCode = false;
  return linesOf(path).filter(({ text }) => {
    const isFence = text.trimStart().startsWith('```');
    if (isFence) isCode = !isCode;
    return !isCode && !isFence;
  });
}

/** Comments, and lines with a text of three words or more in quotes. */
function readableOf(path: string): readonly Line[] {
  return linesOf(path).filter(
    ({ text }) => /^\s*(\/\/|\/?\*)/.test(text) || /['"`](?:[^'"`]*\s){2}[^'"`]*/.test(text),
  );
}

const testNamesOf = (path: string): readonly Line[] =>
  linesOf(path).filter(({ text }) => /\b(test|describe|checked)\b.*\(['"`]|^\s*\]\)\(['"`]/.test(text));

function bannedIn(lines: readonly Line[]): readonly string[] {
  return lines.flatMap(({ at, text }) =>
    BANNED.filter(([words]) => words.test(text)).map(
      ([words, instead]) => `${at}: "${words.exec(text)![0]}"; write: ${instead}`,
    ),
  );
}

test('there are pages, code and tests to read', () => {
  expect([PAGES, CODE, TESTS].map(({ length }) => length > 25)).toEqual([true, true, true]);
  expect(TESTS.flatMap(testNamesOf).length).toBeGreaterThan(1_000);
  expect(bannedIn([{ at: 'here', text: 'Its twin comes again.' }])).toHaveLength(2);
});

test.each(PAGES)(`%s wraps at ${MAX_COLUMNS} columns, but for tables, code and addresses`, (path) => {
  const tooLong = proseOf(path).filter(
    ({ text }) => text.length > MAX_COLUMNS && !/^\s*\|/.test(text) && !text.includes('https://'),
  );
  expect(tooLong.map(({ at }) => at)).toEqual([]);
});

test.each(PAGES)('%s has no line twice, as a merge may leave it', (path) => {
  const begins = proseOf(path).map(({ at, text }) => ({ at, start: text.trim().slice(0, 72) }));
  const long = begins.filter(({ start }) => start.length === 72 && !/^[|[(]/.test(start));
  const first = new Map(long.toReversed().map(({ at, start }) => [start, at]));
  expect(long.filter(({ at, start }) => first.get(start) !== at)).toEqual([]);
});

/** As GitHub makes them: lower case, no punctuation, hyphens for spaces. */
const anchorsOf = (path: string): readonly string[] =>
  proseOf(path)
    .filter(({ text }) => text.startsWith('#'))
    .map(({ text }) =>
      text
        .replace(/^#+ /, '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    );

test.each(PAGES)('the links of %s lead somewhere', (path) => {
  const broken = proseOf(path).flatMap(({ at, text }) =>
    [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].flatMap(([link, file, anchor]) => {
      const target = file ? join(dirname(path), file) : path;
      const isThere = existsSync(target) && (!anchor || anchorsOf(target).includes(anchor));
      return isThere ? [] : [`${at}: ${link}`];
    }),
  );
  expect(broken).toEqual([]);
});

describe('the words of the field are used', () => {
  test('in pages', () => expect(bannedIn(PAGES.flatMap(proseOf))).toEqual([]));
  test('in the texts and comments of the code', () => expect(bannedIn(CODE.flatMap(readableOf))).toEqual([]));
  test('in the names of tests', () => expect(bannedIn(TESTS.flatMap(testNamesOf))).toEqual([]));
});
