/** Edits of `millrace.config.ts` as text: what a person wrote there stays as it is, to the character. */
import { MillraceError } from '../../runtime/errors.ts';

/** The width that generated projects and this repository format to. */
const LINE_WIDTH = 110;

export type List = 'contracts' | 'consumers';

/** What a list gets: a name, and the module that exports it. */
export interface Registration {
  readonly identifier: string;
  /** Relative to the config, such as `./contracts/shop.orders/topic.ts`. */
  readonly specifier: string;
}

/**
 * The config with one more import, and the imported name at the end of `contracts: […]` or `consumers: […]`.
 * @throws APP_INVALID if defineApp() has no such list, saying what to write by hand
 */
export function addToList(text: string, list: List, { identifier, specifier }: Registration): string {
  return withUnixLines(text, (source) => {
    const byHand = `Add this by hand: import { ${identifier} } from '${specifier}'; and ${identifier} in ${list}`;
    const { open, close } = findProperty(source, list, '[', byHand);
    return addImport(addElement(source, open, close, identifier), identifier, specifier);
  });
}

/**
 * The config with one more environment, at the end of `environments: {…}`.
 * @param settings the lines of its settings, without its name and its braces, as deep as they stand in an object of depth 0
 * @throws APP_INVALID if defineApp() has no such object, saying what to write by hand
 */
export function addEnvironment(text: string, name: string, settings: readonly string[]): string {
  return withUnixLines(text, (source) => {
    const key = /^[a-z][a-z0-9]*$/.test(name) ? name : `'${name}'`;
    const byHand = `Add this by hand, in environments:\n${[`${key}: {`, ...settings, '},'].join('\n')}`;
    const { open, close } = findProperty(source, 'environments', '{', byHand);
    const indent = `${indentAt(source, open)}  `;
    const lines = [`${key}: {`, ...settings, '},'].map((line) => `${indent}${line}`);
    return addLines(source, open, close, lines);
  });
}

/** Every word of the config's code: what a new import must not be called. */
export function wordsOf(text: string): ReadonlySet<string> {
  return new Set(maskText(text).match(/[A-Za-z_$][\w$]*/g) ?? []);
}

/** Sorts as the linter does: node: first, packages next, then files. */
export function compareSpecifiers(a: string, b: string): number {
  const rank = (specifier: string) =>
    specifier.startsWith('node:') ? 0 : specifier.startsWith('../') ? 2 : specifier.startsWith('.') ? 3 : 1;
  return rank(a) - rank(b) || compareNaturally(a, b);
}

/** Signs first, numbers by what they count, capitals before their small letters. */
function compareNaturally(a: string, b: string): number {
  const partsOf = (text: string): readonly string[] => text.match(/\d+|\D/g) ?? [];
  const [left, right] = [partsOf(a), partsOf(b)];
  for (const [index, part] of left.entries()) {
    const other = right[index];
    if (other === undefined) return 1;
    if (part === other) continue;
    const areNumbers = /\d/.test(part) && /\d/.test(other);
    const difference = areNumbers ? Number(part) - Number(other) : orderOf(part) - orderOf(other);
    if (difference !== 0) return difference;
  }
  return left.length - right.length || (a < b ? -1 : a > b ? 1 : 0);
}

const SIGNS = '/._-';

function orderOf(character: string): number {
  const sign = SIGNS.indexOf(character);
  if (sign >= 0) return sign;
  if (/\d/.test(character)) return SIGNS.length;
  const small = character.toLowerCase();
  return SIGNS.length + 2 * small.codePointAt(0)! + (character === small ? 1 : 0);
}

function withUnixLines(text: string, edit: (source: string) => string): string {
  const isWindows = text.includes('\r\n') && !/(?<!\r)\n/.test(text);
  if (!isWindows) return edit(text);
  return edit(text.replaceAll('\r\n', '\n')).replaceAll('\n', '\r\n');
}

/** Where a property of the object that defineApp() gets opens and closes its value. */
function findProperty(
  source: string,
  property: string,
  bracket: '[' | '{',
  byHand: string,
): { readonly open: number; readonly close: number } {
  const refuse = (why: string): never => {
    throw new MillraceError(
      'APP_INVALID',
      `millrace.config.ts ${why}, so it is left as it is, and nothing was written. ${byHand}; or write ${property}: ${bracket} … ${CLOSING[bracket]} in defineApp({ … }) and run this again.`,
    );
  };
  const code = maskText(source);
  const calls = [...code.matchAll(/\bdefineApp\s*\(\s*\{/g)];
  const [call] = calls;
  if (!call || calls.length > 1) return refuse(`has ${calls.length} calls of defineApp({ … }), not one`);
  const start = call.index + call[0].length;
  let depth = 0;
  for (let at = start; at < code.length; at++) {
    const character = code[at]!;
    if (depth === 0 && character === '}') break;
    if ('([{'.includes(character)) depth++;
    else if (')]}'.includes(character)) depth--;
    else if (depth === 0 && /[,{]\s*$/.test(code.slice(start - 1, at)) && code.startsWith(property, at)) {
      const [head] = /^\w+\s*:\s*/.exec(code.slice(at)) ?? [];
      if (!head || head.split(/\W/, 1)[0] !== property) continue;
      const open = at + head.length;
      const close = code[open] === bracket ? closingOf(code, open) : undefined;
      if (close === undefined) break;
      return { open, close };
    }
  }
  return refuse(`has no ${property}: ${bracket} … ${CLOSING[bracket]} in defineApp({ … })`);
}

const CLOSING = { '(': ')', '[': ']', '{': '}' };

/** Where a bracket closes; undefined if it does not, or if others cross it. */
function closingOf(code: string, open: number): number | undefined {
  const closings: string[] = [];
  for (let at = open; at < code.length; at++) {
    const character = code[at]!;
    if (character in CLOSING) closings.push(CLOSING[character as keyof typeof CLOSING]);
    else if (')]}'.includes(character) && closings.pop() !== character) return undefined;
    if (closings.length === 0) return at;
  }
  return undefined;
}

function addElement(source: string, open: number, close: number, element: string): string {
  const inside = source.slice(open + 1, close);
  const indent = `${indentAt(source, open)}  `;
  if (inside.includes('\n')) return addLines(source, open, close, [`${indent}${element},`]);
  const last = open + maskText(source).slice(open, close).trimEnd().length;
  const head = source.slice(0, last).replace(/,$/, '');
  const line = `${head}${head.endsWith('[') ? '' : ', '}${element}${source.slice(last)}`;
  const end = line.indexOf('\n', open);
  const width = (end < 0 ? line.length : end) - (line.lastIndexOf('\n', open) + 1);
  const elements = [...inside.split(',').map((each) => each.trim()), element].filter(Boolean);
  if (width <= LINE_WIDTH || elements.some((each) => !/^[\w$.]+$/.test(each))) return line;
  const lines = elements.map((each) => `${indent}${each},\n`).join('');
  return `${source.slice(0, open)}[\n${lines}${indentAt(source, open)}]${source.slice(close + 1)}`;
}

/** Puts lines before the closing bracket, and a comma after what stands there, if it has none. */
function addLines(source: string, open: number, close: number, lines: readonly string[]): string {
  const last = open + maskText(source).slice(open, close).trimEnd().length;
  const needsComma = last > open + 1 && source[last - 1] !== ',';
  const before = `${source.slice(0, last)}${needsComma ? ',' : ''}`;
  // A comment after the last element stays with it.
  const rest = source.slice(last, close).trimEnd();
  return `${before}${rest}\n${lines.join('\n')}\n${indentAt(source, open)}${source.slice(close)}`;
}

function indentAt(source: string, at: number): string {
  const start = source.lastIndexOf('\n', at) + 1;
  return /^[ \t]*/.exec(source.slice(start))![0];
}

/** In its place among the other imports, as the config writes them. */
function addImport(source: string, identifier: string, specifier: string): string {
  const code = maskText(source);
  const imports = [
    ...source.matchAll(/^import\b(?!\s*[(.])[^'"]*(['"])([^'"\n]+)\1[ \t]*(;?)[^\n]*\n/gm),
  ].filter(({ index }) => code.startsWith('import', index));
  const [, quote = "'", , semicolon = ';'] = imports[0] ?? [];
  const line = `import { ${identifier} } from ${quote}${specifier}${quote}${semicolon}\n`;
  const next = imports.find(([, , other]) => compareSpecifiers(other!, specifier) > 0);
  const last = imports.at(-1);
  const at = next?.index ?? (last ? last.index + last[0].length : 0);
  return `${source.slice(0, at)}${line}${source.slice(at)}`;
}

/**
 * The same text, to the length, with blanks for what is no code: comments, and what stands in strings, templates and
 * regular expressions.
 */
function maskText(text: string): string {
  const TOKENS =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"|`(?:[^`\\]|\\[\s\S])*`|(?<=[(,=:[!&|?{};]\s*)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\//g;
  return text.replace(TOKENS, (token) => {
    const isComment = token.startsWith('//') || token.startsWith('/*');
    const blank = token.replace(/[^\n]/g, ' ');
    return isComment ? blank : `"${blank.slice(1, -1)}"`;
  });
}
