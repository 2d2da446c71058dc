/** A letter's record: its value decoded, beside the bytes as they came. */
import type { ComponentChildren } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { BytesView, LetterAnswer } from '../../operations.ts';
import { Foreign } from '../parts.tsx';
import { count, plural, printable } from '../words.ts';

/** A page of text: more of it makes the browser slow, and nobody reads it. */
const SHOWN_CHARACTERS = 20_000;

export function RecordCard({
  letter,
  showsValues,
  onReveal,
}: {
  readonly letter: LetterAnswer;
  readonly showsValues: boolean;
  readonly onReveal: () => Promise<void>;
}) {
  return (
    <section class="card section" aria-labelledby="record">
      <div class="title">
        <h2 id="record" tabIndex={-1}>
          The record
        </h2>
        {letter.isRevealed ? <Revealed letter={letter} /> : <Masked letter={letter} onReveal={onReveal} />}
      </div>
      {letter.isMasked && !letter.isRevealable && !showsValues && (
        <p class="notice">
          The contract tags fields of it as personal data, or nobody knows which it tags. Start the console
          with <code>--show-values</code> to see them.
        </p>
      )}
      <div class="halves">
        <div class="section">
          <h3>Decoded</h3>
          {letter.decoded !== null && <LongText text={letter.decoded} label="The decoded value" />}
          {letter.decodeProblem !== null && (
            <p class="notice bad">
              <Foreign text={letter.decodeProblem} />
            </p>
          )}
        </div>
        <div class="section">
          <h3>Bytes, as they came</h3>
          {letter.bytes.map((bytes, at) => (
            <Bytes key={at} bytes={bytes} isMasked={letter.isMasked} />
          ))}
        </div>
      </div>
    </section>
  );
}

function Masked({ letter, onReveal }: Pick<Parameters<typeof RecordCard>[0], 'letter' | 'onReveal'>) {
  const [isAsking, setAsking] = useState(false);
  const ask = async () => {
    setAsking(true);
    await onReveal();
    setAsking(false);
  };
  return (
    <div class="row">
      <span class="muted">Values are hidden.</span>
      {letter.isRevealable && (
        <button type="button" aria-disabled={isAsking} onClick={() => !isAsking && ask()}>
          Reveal values (noted in the audit log)
        </button>
      )}
    </div>
  );
}

function Revealed({ letter }: { readonly letter: LetterAnswer }) {
  return (
    <span class="muted" role="status">
      {letter.isMasked
        ? 'Personal data is hidden, and what can quote it. The other values are shown; the audit log has it.'
        : 'Values are shown; the audit log has it.'}
    </span>
  );
}

/** Text as it is, in a box that scrolls. */
function Scroller({ label, children }: { readonly label: string; readonly children: ComponentChildren }) {
  return (
    <section
      class="text"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard.
      tabIndex={0}
      aria-label={label}
    >
      <pre>{children}</pre>
    </section>
  );
}

/** Text of any length, of which a page shows at first what it can show at once. */
function LongText({ text, label }: { readonly text: string; readonly label: string }) {
  const [isWhole, setWhole] = useState(false);
  const isLong = text.length > SHOWN_CHARACTERS;
  const shown = useMemo(
    () => printable(isLong && !isWhole ? text.slice(0, SHOWN_CHARACTERS) : text),
    [text, isLong, isWhole],
  );
  return (
    <>
      <Scroller label={label}>
        <bdi>{shown}</bdi>
      </Scroller>
      {isLong && (
        <div class="row">
          <span class="muted">
            {isWhole
              ? `All ${count(text.length)} characters`
              : `The first ${count(SHOWN_CHARACTERS)} of ${count(text.length)} characters`}
          </span>
          <button type="button" onClick={() => setWhole(!isWhole)}>
            {isWhole ? 'Show the beginning only' : 'Show all'}
          </button>
        </div>
      )}
    </>
  );
}

function Bytes({ bytes, isMasked }: { readonly bytes: BytesView; readonly isMasked: boolean }) {
  const { name, size, rows, isCut } = bytes;
  const title = (
    <>
      <Foreign text={name} />{' '}
      <span class="muted">
        {size === null ? 'null' : plural(size, 'byte')}
        {rows.length === 0 && isMasked && (size ?? 0) > 0 && ', hidden'}
      </span>
    </>
  );
  if (rows.length === 0) return <p>{title}</p>;
  return (
    <details class="bytes" open={name === 'key' || name === 'value'}>
      <summary>{title}</summary>
      <Scroller label={`Bytes of ${printable(name)}, as hex and text`}>
        {rows.map(({ at, hex, text }) => (
          <div key={at} class="row-of-bytes">
            <span class="muted">{at.toString(16).padStart(4, '0')}</span>
            {`  ${hex.padEnd(47)}  `}
            <bdi>{printable(text)}</bdi>
          </div>
        ))}
      </Scroller>
      {isCut && (
        <p class="muted small">The first {plural(rows.length * 16, 'byte')}. The command above has all.</p>
      )}
    </details>
  );
}
