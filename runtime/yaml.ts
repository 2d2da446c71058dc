/** YAML of plain values, as a person would write it. Texts that YAML could take for something else are quoted. */

export type Yaml = string | number | boolean | readonly Yaml[] | { readonly [key: string]: Yaml | undefined };

/** Ends with a newline. Keys that are undefined are left out. */
export function toYaml(value: { readonly [key: string]: Yaml | undefined }): string {
  return `${lines(value).join('\n')}\n`;
}

function lines(value: Yaml): readonly string[] {
  if (typeof value !== 'object') return [scalar(value)];
  if (isFlat(value)) return [flat(value)];
  if (Array.isArray(value)) {
    return value.flatMap((item: Yaml) => {
      const [first = '', ...more] = lines(item);
      return [`- ${first}`, ...more.map((line) => `  ${line}`)];
    });
  }
  return Object.entries(value).flatMap(([key, item]) => {
    if (item === undefined) return [];
    const name = /^\+?[a-z_][\w+-]*$/i.test(key) && !RESERVED.test(key) ? key : JSON.stringify(key);
    if (typeof item !== 'object') return [`${name}: ${scalar(item)}`];
    if (isFlat(item)) return [`${name}: ${flat(item)}`];
    return [`${name}:`, ...lines(item).map((line) => `  ${line}`)];
  });
}

/** Lists of short texts, and nothing, stand in one line. */
function isFlat(value: object): boolean {
  if (Object.keys(value).length === 0) return true;
  return (
    Array.isArray(value) &&
    value.every((item) => typeof item !== 'object') &&
    JSON.stringify(value).length <= 80
  );
}

function flat(value: object): string {
  if (Array.isArray(value)) return `[${value.map((item: Yaml) => scalar(item)).join(', ')}]`;
  return '{}';
}

const PLAIN = /^[a-z_][\w.+/-]*(?: [\w.+/-]+)*$/i;
const RESERVED = /^(?:y|n|yes|no|on|off|true|false|null)$/i;

function scalar(value: Yaml): string {
  if (typeof value === 'string')
    return PLAIN.test(value) && !RESERVED.test(value) ? value : JSON.stringify(value);
  return String(value);
}
