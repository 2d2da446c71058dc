/** What goes to the terminal: colours only where one looks, tables, JSON. */
import { stripVTControlCharacters, styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];
type Output = NodeJS.WriteStream;

/** `text` in `style` where `output` is a terminal that shows colours and nobody has set NO_COLOR; else as it is. */
export function styled(style: Style, text: string, output: Output = process.stdout): string {
  return styleText(style, text, { stream: output });
}

/** Prints one JSON document on one line. A bigint within the safe integers becomes a number, beyond them a string. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, jsonValue)}\n`);
}

export function printLine(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** A line about the work under way, for a person: on stderr, so that stdout stays the result. */
export function printNote(text: string): void {
  process.stderr.write(`${text}\n`);
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
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** Text that may hold anything, safe to show: a control character would move the cursor or worse. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to replace.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '�');
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}

function jsonValue(_name: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}
