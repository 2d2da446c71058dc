/** A dead letter as a person reads it, and as JSON: personal data only where it was asked for. */

import type { AvroSchema, SchemaNode } from '../../runtime/avro/schema.ts';
import { parseShape } from '../../runtime/avro/schema-parser.ts';
import type { Contract } from '../../runtime/contract/contract.ts';
import type { SchemaId, SchemaRegistry } from '../../runtime/contract/registry.ts';
import { decodeByWriter, type WrittenValue } from '../../runtime/dead-letters/decode-value.ts';
import { encodeDeadLetter, encodeWithPointer } from '../../runtime/dead-letters/json-envelope.ts';
import {
  maskAll,
  maskPersonal,
  type PersonalData,
  personalDataOf,
} from '../../runtime/dead-letters/personal-data.ts';
import { fetchIfKept, fetchPayload } from '../../runtime/dead-letters/queue-letters.ts';
import type { ScannedLetter, StoredLetter } from '../../runtime/dead-letters/reader.ts';
import type { DeadLetter } from '../../runtime/delivery/dead-letter.ts';
import { framesOf } from '../../runtime/delivery/own-frame.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { timestampText } from '../../runtime/record.ts';
import { count, plural, printable, styled, widthOf, wrapped } from '../terminal.ts';
import { contractOf, type DlqSession, UNKNOWN_TOPIC } from './session.ts';

const MAX_BYTES_SHOWN = 1_024;
const MAX_KEY_COLUMNS = 40;

/** What stands for a text that can quote a record with personal data. */
export const HIDDEN = '(hidden: it can quote personal data)';

/** What of a letter may be seen. */
export interface View {
  readonly topic: Pick<Contract<never>, 'versions' | 'key'>;
  /** The schema that the record was written with, where the registry has it: it can have tags that the contract lacks. */
  readonly writer?: SchemaNode;
  /** `--show-values` was given. */
  readonly showsValues: boolean;
}

export async function openLetter(
  stored: StoredLetter,
  { resources }: Pick<DlqSession, 'resources'>,
): Promise<DeadLetter> {
  return fetchPayload(stored, resources.objects);
}

/** The value by its writer's schema. */
export async function writtenValueOf(
  { record }: DeadLetter,
  session: Pick<DlqSession, 'consumer' | 'contracts' | 'registry'>,
): Promise<WrittenValue> {
  const contract = contractOf(record.topic, session) ?? session.consumer.topic;
  return decodeByWriter(record.value, contract, session.registry);
}

/**
 * The view of one copy, by the contract of the topic that its record is from: a consumer that moved to another topic still
 * has letters of the old one. Hides everything if it cannot know what is tagged.
 */
export async function viewOf(
  copy: ScannedLetter,
  session: Pick<DlqSession, 'consumer' | 'contracts' | 'registry'>,
  showsValues: boolean,
): Promise<View> {
  const { consumer, contracts, registry } = session;
  const hidden = { topic: UNKNOWN_TOPIC, showsValues };
  if (!('letter' in copy)) {
    // It does not say which topic it is from.
    const isTagged = [consumer.topic, ...contracts].some((each) => personalDataOf(each).isTagged);
    return isTagged ? hidden : { topic: consumer.topic, showsValues };
  }
  const { record, schemaId } = copy.letter;
  return viewOfTopic(contractOf(record.topic, session), schemaId, registry, showsValues);
}

/** The same of any record of a topic. */
export async function viewOfTopic(
  topic: View['topic'] | undefined,
  schemaId: SchemaId | null,
  registry: SchemaRegistry,
  showsValues: boolean,
): Promise<View> {
  const hidden = { topic: UNKNOWN_TOPIC, showsValues };
  if (!topic) return hidden;
  if (showsValues || schemaId === null) return { topic, showsValues };
  try {
    const schema = await registry.schemaById(schemaId);
    if (schema === undefined) return { topic, showsValues };
    const writer = shapeOf(schema);
    return writer ? { topic, writer, showsValues } : hidden;
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    return hidden;
  }
}

const shapes = new WeakMap<object, SchemaNode | null>();

/** Parses a schema once, however many letters have it. */
function shapeOf(schema: AvroSchema): SchemaNode | null {
  if (typeof schema === 'string') return parseShape(schema);
  const shape = shapes.get(schema) ?? parseShape(schema);
  shapes.set(schema, shape);
  return shape;
}

function personalDataIn({ topic, writer }: View): PersonalData {
  return personalDataOf(topic, writer);
}

/** The view of a value that was read: what its writer's schema tags counts. */
export function withWriter(view: View, written: WrittenValue | undefined): View {
  return written && 'writer' in written ? stricter(view, { ...view, writer: written.writer }) : view;
}

/** The one of two views that hides more. */
export function stricter(view: View, other: View | undefined): View {
  if (!other || isKeyHidden(view)) return view;
  return isKeyHidden(other) || isGuarded(other) ? other : view;
}

/** Whether the view leaves out what the record holds: bytes, headers and error texts, of which no part can be told from a tagged field. */
export function isGuarded(view: View): boolean {
  return !view.showsValues && personalDataIn(view).isTagged;
}

/** Whether it leaves out the key, too. */
export function isKeyHidden(view: View): boolean {
  return !view.showsValues && personalDataIn(view).isKeyTagged;
}

/** Whether nothing of a value may be seen but its shape: nobody knows what its contract tags. */
export function hidesEveryField(view: View): boolean {
  return !view.showsValues && personalDataIn(view).fields === null;
}

/** The letter as an export has it, with its value decoded beside its bytes; masked where the view is guarded. */
export function letterToJson(letter: DeadLetter, topicView: View, written?: WrittenValue): object {
  const view = withWriter(topicView, written);
  const { version: _, ...fields } = JSON.parse(encodeDeadLetter(letter));
  const decoded = written && 'value' in written && { decoded: jsonOf(shownValue(written, view)) };
  return { ...(isGuarded(view) ? guarded(fields, view) : fields), ...decoded };
}

/** The same of a stored letter; the bytes of one that has lost them are where they were, in `record.payload`. */
export async function storedToJson(stored: StoredLetter, session: DlqSession, view: View): Promise<object> {
  const letter = await fetchIfKept(stored, session.resources.objects);
  if (letter) return letterToJson(letter, view, await writtenValueOf(letter, session));
  const { version: _, ...fields } = JSON.parse(encodeWithPointer(stored.letter, stored.payload!));
  return isGuarded(view) ? guarded(fields, view) : fields;
}

interface Envelope {
  readonly record: {
    readonly key?: string | null;
    readonly value?: string | null;
    readonly headers?: readonly { readonly name: string; readonly value: string | null }[];
  };
  readonly failure: {
    readonly name: string;
    readonly message: string;
    readonly stack: string;
    readonly causes: readonly { readonly name: string }[];
    readonly earlier: readonly object[];
  };
}

/** An envelope's fields without what can hold personal data. `masked` tells it from a letter that can be imported. */
function guarded({ record, failure, ...fields }: Envelope, view: View): object {
  const size = (base64: string | null | undefined) =>
    typeof base64 === 'string' ? `<bytes of ${Buffer.from(base64, 'base64').length}>` : base64;
  return {
    masked: true,
    ...fields,
    record: {
      ...record,
      key: isKeyHidden(view) ? size(record.key) : record.key,
      value: size(record.value),
      headers: record.headers?.map(({ name, value }) => ({ name, value: size(value) })),
    },
    failure: {
      ...failure,
      message: HIDDEN,
      stack: framesOf(failure, true).join('\n'),
      causes: failure.causes.map(({ name }) => ({ name, message: HIDDEN })),
      earlier: failure.earlier.map((each) => ({ ...each, message: HIDDEN })),
    },
  };
}

/** The value with the shape of what the view hides. */
export function shownValue(
  written: Extract<WrittenValue, { readonly value: unknown }>,
  { topic, showsValues }: View,
): unknown {
  return showsValues
    ? written.value
    : maskPersonal(written.value, written.writer, personalDataOf(topic, written.writer));
}

/** @param isShape whether nothing is shown but the value's shape */
export function valueText(written: WrittenValue, view: View, isShape = false): string {
  if ('problem' in written) return `(${written.problem})`;
  return JSON.stringify(jsonOf(isShape ? maskAll(written.value, written.writer) : shownValue(written, view)));
}

/** A record's key as text, or its size where it is personal data or no text. */
export function keyText(key: Buffer | null, view: View): string {
  if (key === null) return '-';
  const text = key.toString('utf8');
  const isText = key.length > 0 && Buffer.from(text).equals(key) && printable(text) === text;
  if (!isText || isKeyHidden(view)) return `<key of ${key.length} bytes>`;
  return cutTo(MAX_KEY_COLUMNS, text);
}

function cutTo(columns: number, text: string): string {
  if (widthOf(text) <= columns) return text;
  let cut = '';
  for (const character of text) {
    if (widthOf(cut + character) > columns - 1) break;
    cut += character;
  }
  return `${cut}…`;
}

/** An error's text, for a person. */
export function reasonText({ name, message }: { name: string; message: string }, view: View): string {
  return isGuarded(view) ? `${name} ${HIDDEN}` : `${name}: ${message}`;
}

/**
 * Whether an error's text is what Millrace itself says of bytes that do not decode: it holds no value of them. Any other text can
 * quote the record.
 */
export function quotesNothing({ stage, code, name }: Record<'stage' | 'code' | 'name', string>): boolean {
  return stage === 'decode' && name === 'MillraceError' && code !== 'DEAD_LETTERED_ELSEWHERE';
}

/** The whole letter, line by line. */
export function letterLines(
  letter: DeadLetter,
  written: WrittenValue,
  topicView: View,
  columns: number,
): readonly string[] {
  const view = withWriter(topicView, written);
  const { id, consumer, epoch, record, schemaId, failure, ...invocation } = letter;
  const isHidden = isGuarded(view);
  const fields: [string, string][] = [
    ['consumer', `${consumer}, ledger epoch ${epoch}`],
    ['topic', record.topic],
    ['partition', String(record.partition)],
    ['offset', String(record.offset)],
    ['timestamp', `${timestampText(record.timestamp)} (${record.timestampType})`],
    ['key', keyText(record.key, view)],
    ['schema id', schemaId ?? 'unreadable'],
    ['stage', failure.stage],
    ['code', failure.code],
    ['reason', reasonText(failure, view)],
    ...failure.causes.map((cause): [string, string] => ['cause', reasonText(cause, view)]),
    ['attempts', String(failure.attempts)],
    ['first failed', timestampText(failure.firstFailedAt)],
    ['last failed', timestampText(failure.lastFailedAt)],
    ...failure.earlier.map(({ failedAt, stage, code, message }): [string, string] => [
      'earlier',
      `${timestampText(failedAt)} ${stage} ${code}: ${isHidden ? HIDDEN : message}`,
    ]),
    ['function', `${invocation.functionName} ${invocation.functionVersion}, request ${invocation.requestId}`],
  ];
  return [
    styled('bold', printable(id)),
    ...fields.flatMap(([name, text]) =>
      wrapped(printable(text), columns - 15).map(
        (line, at) => `  ${styled('dim', (at === 0 ? name : '').padEnd(13))}${line}`,
      ),
    ),
    styled('dim', 'decoded'),
    ...wrapped(printable(valueText(written, view)), columns - 2).map((line) => `  ${line}`),
    ...bytesLines('key', record.key, isKeyHidden(view)),
    ...bytesLines('value', record.value, isHidden),
    ...record.headers.flatMap(({ name, value }) => bytesLines(`header ${printable(name)}`, value, isHidden)),
    styled('dim', 'stack'),
    ...framesOf(failure, isHidden).map((line) => printable(line.slice(2))),
    ...(isHidden ? ['Personal data is hidden; --show-values shows the record as it is.'] : []),
  ];
}

/** What JSON has no word for: bytes as base64, and numbers that no double holds as text. */
export function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, jsonOf(each)]));
}

function bytesLines(name: string, bytes: Buffer | null, isHidden: boolean): readonly string[] {
  const size = bytes === null ? 'null' : plural(bytes.length, 'byte');
  const title = `${styled('dim', name)} ${size}${isHidden && bytes !== null ? ', hidden' : ''}`;
  if (bytes === null || isHidden) return [title];
  const lines = [
    title,
    ...bytesRows(bytes, MAX_BYTES_SHOWN).map(
      ({ at, hex, text }) => `  ${at.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${text}`,
    ),
  ];
  const more = bytes.length - MAX_BYTES_SHOWN;
  if (more > 0) lines.push(`  … ${count(more)} more ${more === 1 ? 'byte' : 'bytes'}: --json has them all`);
  return lines;
}

/** The first bytes in rows of 16, as hexadecimal and as text; what is no printable ASCII is a dot there. */
export function bytesRows(
  bytes: Buffer,
  most: number,
): readonly { readonly at: number; readonly hex: string; readonly text: string }[] {
  const length = Math.ceil(Math.min(bytes.length, most) / 16);
  return Array.from({ length }, (_, index) => {
    const row = bytes.subarray(index * 16, index * 16 + 16);
    return {
      at: index * 16,
      hex: Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' '),
      text: row.toString('latin1').replace(/[^\x20-\x7e]/g, '.'),
    };
  });
}
