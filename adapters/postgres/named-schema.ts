/** Migrations that say themselves where they work: those would change the same tables whichever generation they run for. */
import type { Migration } from '../../runtime/delivery/consumer.ts';

/**
 * Comments, and the text of a COMMENT ON, which nothing runs. Any other text may be run, by DO, EXECUTE or as a function's
 * body, so it counts as SQL: rather one too many than one too few.
 */
const TOKENS =
  /(\bCOMMENT\s+ON\s[^;']*?\sIS\s*)E?'(?:[^'\\]|'')*'|E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n\r]*|\/\*[\s\S]*?\*\//gi;

export interface NamedSchema {
  readonly migration: string;
  /** The words that name it, such as `public.t` or `search_path = public`. */
  readonly words: string;
}

/** The first migration that names `public`, or the schema `own`, or that sets a search path with one of them. */
export function namesSchema(migrations: readonly Migration[], own?: string): NamedSchema | undefined {
  const texts = migrations.map(({ name, sql }) => ({ name, sql: sql.replaceAll(TOKENS, kept) }));
  const isAlsoTable = own !== undefined && texts.some(({ sql }) => isNamedLike(sql, own));
  const patterns = [...ofSchema('public', false), ...(own === undefined ? [] : ofSchema(own, isAlsoTable))];
  for (const { name, sql } of texts) {
    for (const pattern of patterns) {
      const found = pattern.exec(sql)?.groups?.words;
      if (found !== undefined) return { migration: name, words: found.replaceAll(/\s+/g, ' ') };
    }
  }
  return undefined;
}

function kept(token: string, comment: unknown): string {
  if (typeof comment === 'string') return `${comment}''`;
  return /^(?:--|\/\*)/.test(token) ? ' ' : token;
}

/** What comes before the name of a relation, type or routine; not the FROM of `IS DISTINCT FROM` and `extract(day FROM …)`. */
const BEFORE_AN_OBJECT =
  '(?:\\b(?:JOIN|INTO|UPDATE|TABLE|EXISTS|ONLY|VIEW|REFERENCES|INDEX|SEQUENCE|TYPE|DOMAIN|FUNCTION|PROCEDURE|TRIGGER|TRUNCATE|CALL|USING|OF)' +
  '|(?<!\\bDISTINCT\\s+)(?<!\\(\\s*(?!SELECT\\b)\\w+\\s+)\\bFROM|\\bON(?!\\s+"?[\\w-]+"?\\s*\\.\\s*"?\\w+"?\\s*(?:[=<>!]|(?:IS|IN|LIKE|BETWEEN)\\b)))\\s+';

/** @param isAlsoTable whether `name.x` may be a column of a table called like the schema */
function ofSchema(name: string, isAlsoTable: boolean): readonly RegExp[] {
  const text = escaped(name);
  const schema = `(?:"${text}"|(?<![\\w"-])${text})`;
  const qualified = `(?<words>${schema}\\s*\\.\\s*"?\\w+)`;
  const path = `(?:[^;,()]+,\\s*)*?["']?(?<![\\w-])${text}(?![\\w-])["']?`;
  return [
    isAlsoTable ? `${BEFORE_AN_OBJECT}${qualified}` : qualified,
    `(?<words>\\bsearch_path"?\\s*(?:=|\\bTO\\b)\\s*${path})`,
    `(?<words>'search_path'\\s*,\\s*'[^']*?(?<![\\w-])${text}(?![\\w-]))`,
  ].map((pattern) => new RegExp(pattern, 'i'));
}

/** Whether a table, view or alias has the schema's name. */
function isNamedLike(sql: string, name: string): boolean {
  const text = escaped(name);
  return new RegExp(`\\b(?:TABLE|VIEW|EXISTS|AS|TO)\\s+(?:"${text}"|${text}\\b)(?!\\s*\\.|[\\w-])`, 'i').test(
    sql,
  );
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
