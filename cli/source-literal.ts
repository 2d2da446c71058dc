/** The width that biome.json sets. */
export const LINE_WIDTH = 110;

/**
 * JSON as a TypeScript literal, laid out as biome lays it out: objects one property a line, lists on one line where
 * they hold no object and fit.
 *
 * @param column how many characters stand before it on its first line
 */
export function printLiteral(value: unknown, indent = '', column = 0): string {
  if (typeof value === 'string') return printString(value);
  if (typeof value === 'number') return String(value).replace('e+', 'e');
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value)
    ? printList(value, indent, column)
    : printObject(value as Readonly<Record<string, unknown>>, indent);
}

/** Single quotes, but where double ones save escapes. */
export function printString(text: string): string {
  const inDoubles = JSON.stringify(text);
  if (text.split("'").length > text.split('"').length) return inDoubles;
  return `'${inDoubles.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

function printObject(object: Readonly<Record<string, unknown>>, indent: string): string {
  const inner = `${indent}  `;
  const properties = Object.entries(object).map(([name, value]) => {
    const head = `${inner}${/^[A-Za-z_$][\w$]*$/.test(name) ? name : printString(name)}: `;
    return `${head}${printLiteral(value, inner, head.length)},\n`;
  });
  return properties.length === 0 ? '{}' : `{\n${properties.join('')}${indent}}`;
}

function printList(list: readonly unknown[], indent: string, column: number): string {
  const inner = `${indent}  `;
  const items = list.map((item) => printLiteral(item, inner, inner.length));
  const flat = `[${items.join(', ')}]`;
  const isTable = list.length > 1 && list.every((row) => Array.isArray(row) && row.length > 1);
  // One more for the comma or semicolon that follows.
  if (!isTable && !flat.includes('\n') && column + flat.length + 1 <= LINE_WIDTH) return flat;
  const isNumbers = list.every((item) => typeof item === 'number');
  const lines = isNumbers ? fillLines(items, inner) : items.map((item) => `${inner}${item},\n`);
  return `[\n${lines.join('')}${indent}]`;
}

/** As many items to a line as fit. */
function fillLines(items: readonly string[], indent: string): readonly string[] {
  const lines: string[] = [];
  for (const item of items) {
    const extended = `${lines.at(-1)} ${item},`;
    if (lines.length > 0 && extended.length <= LINE_WIDTH) lines[lines.length - 1] = extended;
    else lines.push(`${indent}${item},`);
  }
  return lines.map((line) => `${line}\n`);
}
