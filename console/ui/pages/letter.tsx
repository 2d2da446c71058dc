/** One dead letter: why it failed, what it holds, and whether it would pass now. */
import { useEffect, useState } from 'preact/hooks';
import type { LetterAnswer } from '../../operations.ts';
import { CallFailed, pathWith, read, write } from '../api.ts';
import { When } from '../listing.tsx';
import type { PageProps } from '../page.ts';
import { Command, Foreign, Problem, Showing, Title, useLoaded } from '../parts.tsx';
import { count, plural } from '../words.ts';
import { AuditRows } from './audit.tsx';
import { Before, Trail } from './group.tsx';
import { RecordCard } from './letter-record.tsx';

export function LetterPage({ rest, session }: PageProps) {
  const id = rest.join('/');
  const loaded = useLoaded<LetterAnswer>(id, (signal) => read('/api/letter', { id }, signal));
  const isNone = loaded.error?.code === 'DEAD_LETTER_NOT_FOUND' || loaded.error?.code === 'INPUT_INVALID';
  const [revealed, setRevealed] = useState<LetterAnswer | null>(null);
  const [refused, setRefused] = useState<CallFailed | null>(null);
  useEffect(() => {
    setRevealed(null);
    setRefused(null);
  }, [id]);
  const reveal = async () => {
    setRefused(null);
    try {
      setRevealed(await write<LetterAnswer>('/api/letter/reveal', { id }));
      document.getElementById('record')?.focus();
    } catch (error) {
      setRefused(error instanceof CallFailed ? error : new CallFailed('UNEXPECTED', String(error)));
    }
  };
  return (
    <>
      <Heading id={rest} letter={loaded.value} isNone={isNone} />
      <Showing loaded={loaded}>
        {(first) => {
          const letter = revealed?.id === id ? revealed : first;
          return (
            <>
              <div class="beside">
                <Failure letter={letter} />
                <NextSteps letter={letter} />
              </div>
              {refused && <Problem code={refused.code} text={refused.message} />}
              <RecordCard letter={letter} showsValues={session.place.showsValues} onReveal={reveal} />
              <div class="halves">
                <Attempts letter={letter} />
                <Schema letter={letter} />
              </div>
              <section class="section" aria-labelledby="done">
                <h2 id="done">What people did to it</h2>
                {letter.history.length === 0 ? (
                  <p class="muted">Nothing yet.</p>
                ) : (
                  <AuditRows rows={letter.history} isOfOneConsumer />
                )}
              </section>
            </>
          );
        }}
      </Showing>
    </>
  );
}

/** Most of it is in the id, so it stands at once: unless the id is none, as one in a link that was cut. */
function Heading({
  id,
  letter,
  isNone,
}: {
  readonly id: readonly string[];
  readonly letter: LetterAnswer | undefined;
  /** Whether the server knows of no such letter. */
  readonly isNone: boolean;
}) {
  const [consumer = '', topic = '', partition = '', offset = ''] = id;
  const isId = id.length === 4 && /^\d+$/.test(partition) && /^\d+$/.test(offset);
  if (isNone || !isId)
    return (
      <div class="heading">
        <Trail consumer={isId ? consumer : ''} />
        <Title text={isNone ? 'There is no such dead letter' : 'Dead letter'} />
        <p class="muted">
          {isId && isNone
            ? 'It was applied or discarded, or it has expired. '
            : 'An id is a consumer, a topic, a partition and an offset, with slashes between them. '}
          This page is of <Foreign class="mono" text={id.join('/')} />.
        </p>
      </div>
    );
  return (
    <div class="heading">
      <Trail consumer={consumer} />
      <Title
        text={
          <>
            Dead letter{' '}
            <span class="mono position">
              {partition}/{offset}
            </span>
          </>
        }
      />
      <p class="muted">
        Partition {partition}, offset {offset} of <Foreign class="mono" text={topic} />
        {letter && (
          <>
            , written {letter.timestamp}, key <Foreign class="mono" text={letter.key} />
          </>
        )}
      </p>
    </div>
  );
}

function Failure({ letter }: { readonly letter: LetterAnswer }) {
  const { error } = letter;
  return (
    <section class="card section" aria-labelledby="why">
      <h2 id="why">Why it failed</h2>
      <p>
        <code>{letter.code}</code> <span class="muted">in stage</span> {letter.stage}
      </p>
      <ol class="causes plain">
        <li>
          <strong>
            <Foreign text={error.name} />
          </strong>{' '}
          <Foreign class="lines" text={error.message} />
        </li>
        {letter.causes.map((cause, at) => (
          <li key={at}>
            <span class="muted">caused by</span>{' '}
            <strong>
              <Foreign text={cause.name} />
            </strong>{' '}
            <Foreign class="lines" text={cause.message} />
          </li>
        ))}
      </ol>
      {error.stack.length > 0 && (
        <ol class="trace plain mono" aria-label="Stack">
          {error.stack.map((line, at) => (
            <li key={at}>
              <Foreign text={line} />
            </li>
          ))}
        </ol>
      )}
      <p class="muted small">
        <Foreign text={letter.function} />
      </p>
    </section>
  );
}

function NextSteps({ letter }: { readonly letter: LetterAnswer }) {
  const { wouldPass, consumer, where } = letter;
  const isOvertaken = letter.overtakenBy !== null;
  // Today's contract has the last word.
  const isBeyond = letter.isBeyondRedrive && !wouldPass.isPassing;
  const isFirst = wouldPass.isPassing && !isOvertaken;
  const changes =
    wouldPass.isPassing || letter.before.length > 0
      ? letter.before
      : ['A redrive fails again until what is said above has changed.'];
  return (
    <section class="card steps" aria-labelledby="next">
      <h2 id="next">Would it pass now?</h2>
      <p class={`notice ${wouldPass.isPassing ? 'good' : 'bad'}`}>
        <strong>{wouldPass.isPassing ? '✓ It can be read.' : '✕ No.'}</strong>{' '}
        <Foreign text={wouldPass.text} />
      </p>
      <Before isBeyondRedrive={isBeyond} changes={changes} />
      {letter.overtakenBy !== null && (
        <p class="notice warn">
          <strong>▲ Overtaken</strong> by offset {count(letter.overtakenBy)}: a newer record of its key was
          applied. A redrive of this letter may overwrite newer effects.
        </p>
      )}
      <div class="row">
        <a
          class={`button ${isFirst ? 'primary' : ''}`}
          href={pathWith('/redrive', { consumer, where, overtaken: isOvertaken ? 'yes' : null })}
        >
          Redrive this {isOvertaken && 'overtaken '}letter …
        </a>
        <a
          class={`button ${isBeyond ? 'primary' : ''}`}
          href={pathWith('/redrive', { kind: 'discard', consumer, where })}
        >
          Discard …
        </a>
      </div>
      <p class="muted small">Each of them shows its plan first. Nothing happens until you start it.</p>
      <Command text={letter.command} label="The command that shows this letter" />
    </section>
  );
}

function Schema({ letter }: { readonly letter: LetterAnswer }) {
  const { schemaId, schemaVersion, readerVersion, schemaDifferences } = letter;
  return (
    <section class="section" aria-labelledby="schema">
      <h2 id="schema">Schema</h2>
      <p>
        Written with{' '}
        {schemaVersion === null ? 'a version that the contract does not have' : `v${schemaVersion}`}
        {schemaId !== null && (
          <>
            {' '}
            (id <Foreign class="mono" text={schemaId} />)
          </>
        )}
        , read with {readerVersion === null ? 'an unknown version' : `v${readerVersion}`}.
      </p>
      {schemaDifferences.length === 0 ? (
        <p class="muted">
          {schemaVersion !== null && schemaVersion === readerVersion
            ? 'The two are the same.'
            : 'No differences are known.'}
        </p>
      ) : (
        <ul class="hints">
          {schemaDifferences.map((each) => (
            <li key={each}>
              <Foreign text={each} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** The newest failure first; the list of earlier ones comes oldest first. */
function Attempts({ letter }: { readonly letter: LetterAnswer }) {
  const earlier = letter.earlier.toSorted((a, b) => b.at.localeCompare(a.at));
  return (
    <section class="section" aria-labelledby="attempts">
      <h2 id="attempts">
        How it failed before <span class="muted">{plural(letter.attempts, 'attempt')} in all</span>
      </h2>
      <ol class="timeline plain">
        <li>
          <When at={letter.lastFailedAt} /> <code>{letter.code}</code> in stage {letter.stage}
          <div>
            <Foreign class="clip" text={letter.reason} />
          </div>
        </li>
        {earlier.map((each) => (
          <li key={each.at}>
            <When at={Date.parse(each.at)} /> <code>{each.code}</code> in stage {each.stage}
            <div>
              <Foreign class="clip" text={each.message} />
            </div>
          </li>
        ))}
        {letter.firstFailedAt < letter.lastFailedAt && (
          <li class="muted">
            <When at={letter.firstFailedAt} /> It failed for the first time.
          </li>
        )}
      </ol>
    </section>
  );
}
