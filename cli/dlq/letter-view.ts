/** A dead letter as a person reads it, and as JSON. */

import { decodeByWriter, masked, type WrittenValue } from '../../runtime/dead-letters/decode-value.ts';
import { encodeDeadLetter, encodeWithPointer } from '../../runtime/dead-letters/json-envelope.ts';
import { fetchIfKept, fetchPayload } from '../../runtime/dead-letters/queue-letters.ts';
import type { StoredLetter } from '../../runtime/dead-letters/reader.ts';
import type { DeadLetter } from '../../runtime/delivery/dead-letter.ts';
import { timestampText } from '../../runtime/record.ts';
import { plural, printable, printLine, styled } from '../terminal.ts';
import type { DlqSession } from './session.ts';

const MAX_BYTES_SHOWN = 1_024;

export async function openLetter(stored: StoredLetter, { resources }: DlqSession): Promise<DeadLetter> {
  return fetchPayload(stored, resources.objects);
}

/** The value by its writer's schema. */
export async function writtenValueOf(
  { record }: DeadLetter,
  { consumer, registry }: DlqSession,
): Promise<WrittenValue> {
  return decodeByWriter(record.value, consumer.topic, registry);
}

/** The letter as an export has it, with its value decoded beside its bytes where it can be. */
export function letterToJson(letter: DeadLetter, written?: WrittenValue): object {
  const { version: _, ...fields } = JSON.parse(encodeDeadLetter(letter));
  return { ...fields, ...(written && 'value' in written && { decoded: jsonOf(written.value) }) };
}

/** The same of a stored letter; the bytes of one that has lost them are where they were, in `record.payload`. */
export async function storedToJson(stored: StoredLetter, session: DlqSession): Promise<object> {
  const letter = await fetchIfKept(stored, session.resources.objects);
  if (letter) return letterToJson(letter, await writtenValueOf(letter, session));
  const { version: _, ...fields } = JSON.parse(encodeWithPointer(stored.letter, stored.payload!));
  return fields;
}

export function valueText(written: WrittenValue, isMasked: boolean): string {
  if ('problem' in written) return `(${written.problem})`;
  return JSON.stringify(jsonOf(isMasked ? masked(written.value) : written.value));
}

export function printLetter(letter: DeadLetter, written: WrittenValue): void {
  const { id, consumer, epoch, record, schemaId, failure, ...invocation } = letter;
  const fields: [string, string][] = [
    ['consumer', `${consumer}, ledger epoch ${epoch}`],
    ['topic', record.topic],
    ['partition', String(record.partition)],
    ['offset', String(record.offset)],
    ['timestamp', `${timestampText(record.timestamp)} (${record.timestampType})`],
    ['schema id', schemaId ?? 'unreadable'],
    ['stage', failure.stage],
    ['code', failure.code],
    ['reason', `${failure.name}: ${failure.message}`],
    ...failure.causes.map(({ name, message }): [string, string] => ['cause', `${name}: ${message}`]),
    ['attempts', String(failure.attempts)],
    ['first failed', timestampText(failure.firstFailedAt)],
    ['last failed', timestampText(failure.lastFailedAt)],
    ...failure.earlier.map(({ failedAt, stage, code, message }): [string, string] => [
      'earlier',
      `${timestampText(failedAt)} ${stage} ${code}: ${message}`,
    ]),
    ['function', `${invocation.functionName} ${invocation.functionVersion}, request ${invocation.requestId}`],
  ];
  printLine(styled('bold', printable(id)));
  for (const [name, text] of fields) printLine(`  ${styled('dim', name.padEnd(13))}${printable(text)}`);
  printLine(`${styled('dim', 'decoded')} ${printable(valueText(written, false))}`);
  printBytes('key', record.key);
  printBytes('value', record.value);
  for (const { name, value } of record.headers) printBytes(`header ${printable(name)}`, value);
  printLine(styled('dim', 'stack'));
  // It begins with the name and the message, which stand above.
  for (const line of failure.stack.split('\n').filter((text) => text.startsWith('    at '))) {
    printLine(printable(line.slice(2)));
  }
}

/** What JSON has no word for: bytes as base64, and numbers that no double holds as text. */
function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, jsonOf(each)]));
}

function printBytes(name: string, bytes: Buffer | null): void {
  printLine(`${styled('dim', name)} ${bytes === null ? 'null' : plural(bytes.length, 'byte')}`);
  if (bytes === null) return;
  for (let at = 0; at < Math.min(bytes.length, MAX_BYTES_SHOWN); at += 16) {
    const row = bytes.subarray(at, at + 16);
    const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.toString('latin1').replace(/[^\x20-\x7e]/g, '.');
    printLine(`  ${at.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
  if (bytes.length > MAX_BYTES_SHOWN) {
    printLine(`  … ${plural(bytes.length - MAX_BYTES_SHOWN, 'byte')} more: --json has them all`);
  }
}
