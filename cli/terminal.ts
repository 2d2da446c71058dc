/** What goes to the terminal: colours only where one looks, tables, JSON. */
import { stripVTControlCharacters, styleText } from 'node:util';
import { printable, UNSEEN } from '../runtime/printable.ts';

// One wording for evidence, views and reports.
export { duration } from '../runtime/lag/words.ts';
export { printable };

type Style = Parameters<typeof styleText>[0];
type Output = NodeJS.WriteStream;

/** `text` in `style` where `output` is a terminal that shows colours and nobody has set NO_COLOR; else as it is. */
export function styled(style: Style, text: string, output: Output = process.stdout): string {
  return styleText(style, text, { stream: output });
}

/** Prints one JSON document on one line. A bigint within the safe integers becomes a number, beyond them a string. */
export function printJson(value: unknown): void {
  printLine(printableJson(JSON.stringify(value, jsonValue)));
}

export function printLine(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** A line about the work under way, for a person: on stderr, so that stdout stays the result. It may hold anything. */
export function printNote(text: string): void {
  process.stderr.write(`${text.split('\n').map(printable).join('\n')}\n`);
}

interface Column {
  readonly title: string;
  /** @default 'left' */
  readonly align?: 'left' | 'right';
}

/** Rows under their titles, in columns as wide as their widest cell. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ title }, index) =>
    Math.max(widthOf(title), ...rows.map((row) => widthOf(row[index] ?? ''))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => {
        const padding = ' '.repeat(widths[index]! - widthOf(cell));
        return columns[index]!.align === 'right' ? padding + cell : cell + padding;
      })
      .join('  ')
      .trimEnd();
  return [styled('dim', line(columns.map(({ title }) => title))), ...rows.map(line)].join('\n');
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `1 record`, `2 records`. */
export function plural(value: number, noun: string, several = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : several}`;
}

/** `a`, `a or b`, `a, b or c`. */
export function either(names: readonly string[]): string {
  const [last = '', ...others] = names.toReversed();
  return others.length === 0 ? last : `${others.toReversed().join(', ')} or ${last}`;
}

/** The same JSON, with what cannot be seen escaped. */
export function printableJson(json: string): string {
  const escaped = (text: string) =>
    Array.from(
      { length: text.length },
      (_, index) => `\\u${text.charCodeAt(index).toString(16).padStart(4, '0')}`,
    ).join('');
  return json.replace(UNSEEN, escaped).replace(/[\u007f-\u009f]/g, escaped);
}

/** Whether stdout can show a picture that changes. */
export function isLiveTerminal(): boolean {
  return process.stdout.isTTY === true && process.env.TERM !== 'dumb';
}

/** What takes two columns, among the characters that are one code unit: those of two are two columns wide as it is. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/g;

/** Columns that the text takes, its colours left out. */
export function widthOf(text: string): number {
  const shown = stripVTControlCharacters(text);
  return shown.length + (shown.match(WIDE)?.length ?? 0);
}

/** The text in lines of at most `columns`, broken at blanks; all but the first begin with `indent` blanks. */
export function wrapped(text: string, columns: number, indent = 0): readonly string[] {
  const room = Math.max(8, columns - indent);
  const lines: string[] = [];
  let line = '';
  // Several blanks set facts apart, and stay.
  for (const [, gap = '', word = ''] of text.matchAll(/( *)([^ ]+)/g)) {
    let rest = word;
    if (line !== '' && line.length + gap.length + rest.length > columns) {
      lines.push(line);
      line = ' '.repeat(indent);
    } else line += gap;
    for (; line.length + rest.length > columns && rest.length > room; rest = rest.slice(room)) {
      lines.push(line + rest.slice(0, room));
      line = ' '.repeat(indent);
    }
    line += rest;
  }
  return line === '' ? lines : [...lines, line];
}

const HELP_COLUMNS = 80;

/** The text below a command's options: paragraphs laid out for a terminal of 80 columns, examples as they are. */
export function epilogue(text: string): string {
  return text
    .split('\n\n')
    .map((paragraph) => {
      const lines = paragraph.split('\n');
      const from = lines.findLastIndex((line) => line.startsWith(' ') || /:$/.test(line)) + 1;
      const prose = wrapped(lines.slice(from).join(' ').trim(), HELP_COLUMNS);
      return [...lines.slice(0, from), ...prose].join('\n');
    })
    .join('\n\n');
}

/** Facts with three blanks between them, as many in a line as fit. */
export function wrappedFacts(facts: readonly string[], columns: number): readonly string[] {
  const lines: string[] = [];
  for (const fact of facts.filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 3 + fact.length <= columns)
      lines[lines.length - 1] = `${last}   ${fact}`;
    else lines.push(...wrapped(fact, columns));
  }
  return lines;
}

/** How wide a text may be that nobody has laid out, such as a value: a program gets it in one line. */
export function textColumnsOf(output: Output = process.stdout): number {
  return output.isTTY ? columnsOf(output) : Number.POSITIVE_INFINITY;
}

/** How many columns there are to fill: the terminal's; where there is none, what fits every one. */
export function columnsOf(output: Output = process.stdout): number {
  return Math.max(40, Math.min(120, output.columns || 80));
}

function jsonValue(_name: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}
