/** Reads what an exporter says, and refuses what the specifications do not allow. */

interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly unit: string | undefined;
  readonly help: string;
  readonly samples: readonly ParsedSample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*/;
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/;

export function parseExposition(text: string, format: 'openmetrics' | 'text'): readonly ParsedFamily[] {
  const isOpen = format === 'openmetrics';
  if (text !== '' && !text.endsWith('\n')) throw new Error('The last line does not end.');
  const lines = text === '' ? [] : text.slice(0, -1).split('\n');
  if (isOpen && lines.pop() !== '# EOF') throw new Error('The last line is not "# EOF".');
  const families: { name: string; type?: string; unit?: string; help?: string; samples: ParsedSample[] }[] =
    [];
  const seen = new Set<string>();
  for (const line of lines) {
    const [, keyword, name, rest] = /^# (HELP|TYPE|UNIT) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword !== undefined) {
      let family = families.at(-1);
      if (family?.name !== name) {
        if (families.some((each) => each.name === name)) throw new Error(`${name} comes twice.`);
        family = { name: name!, samples: [] };
        families.push(family);
      }
      const key = keyword.toLowerCase() as 'help' | 'type' | 'unit';
      if (family!.samples.length > 0) throw new Error(`${line} comes after its samples.`);
      if (family![key] !== undefined) throw new Error(`${line} comes twice.`);
      family![key] = key === 'help' ? unescaped(rest!, isOpen) : rest!;
      continue;
    }
    if (line.startsWith('#') || line === '') throw new Error(`Not allowed: ${JSON.stringify(line)}`);
    const sample = sampleOf(line);
    const family = families.at(-1);
    const suffix = isOpen && family?.type === 'counter' ? '_total' : '';
    if (!family || sample.name !== family.name + suffix)
      throw new Error(`${sample.name} does not belong to the family ${family?.name}.`);
    const series = JSON.stringify([sample.name, Object.entries(sample.labels).toSorted()]);
    if (seen.has(series)) throw new Error(`${line} is there twice.`);
    seen.add(series);
    family.samples.push(sample);
  }
  return families.map(({ name, type, unit, help, samples }) => {
    if (type !== 'gauge' && type !== 'counter') throw new Error(`${name} has the type ${type}.`);
    if (help === undefined) throw new Error(`${name} has no help.`);
    if (unit !== undefined && (!isOpen || !name.endsWith(`_${unit}`)))
      throw new Error(`${name} has the unit ${unit}.`);
    if (type === 'counter' && samples.some(({ value }) => !(value >= 0)))
      throw new Error(`${name} counts below 0.`);
    return { name, type, unit, help, samples };
  });
}

function sampleOf(line: string): ParsedSample {
  const [name] = NAME.exec(line) ?? [];
  if (name === undefined) throw new Error(`No name: ${JSON.stringify(line)}`);
  let rest = line.slice(name.length);
  const labels: Record<string, string> = {};
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    while (!rest.startsWith('}')) {
      const [label] = LABEL.exec(rest) ?? [];
      const [quoted] =
        label === undefined ? [] : (/^="(?:[^"\\\n]|\\[\\n"])*"/.exec(rest.slice(label.length)) ?? []);
      if (label === undefined || quoted === undefined) throw new Error(`No label: ${JSON.stringify(rest)}`);
      if (Object.hasOwn(labels, label)) throw new Error(`${label} is there twice.`);
      labels[label] = unescaped(quoted.slice(2, -1), true);
      rest = rest.slice(label.length + quoted.length);
      if (rest.startsWith(',')) rest = rest.slice(1);
      else if (!rest.startsWith('}')) throw new Error(`No comma: ${JSON.stringify(rest)}`);
    }
    rest = rest.slice(1);
  }
  const [, number] = /^ (\S+)$/.exec(rest) ?? [];
  if (number === undefined || !NUMBER.test(number)) throw new Error(`No number: ${JSON.stringify(line)}`);
  return { name, labels, value: Number(number.replace('Inf', 'Infinity')) };
}

function unescaped(text: string, withQuotes: boolean): string {
  return text.replaceAll(/\\(.)/g, (whole, letter: string) => {
    if (letter === 'n') return '\n';
    if (letter === '\\' || (withQuotes && letter === '"')) return letter;
    throw new Error(`No escape: ${whole}`);
  });
}
