/** Looks records up, and says what became of each. */
import { useState } from 'preact/hooks';
import type { FindAnswer } from '../../operations.ts';
import { pathWith, read } from '../api.ts';
import { When } from '../listing.tsx';
import type { PageProps } from '../page.ts';
import { Command, Foreign, Showing, TextField, Title, useLoaded } from '../parts.tsx';
import { go } from '../place.ts';
import { count, moment, plural, printable, type Tone } from '../words.ts';
import { letterPath } from './group.tsx';

interface Words {
  readonly topic: string;
  readonly key: string;
  readonly where: readonly string[];
  readonly since: string;
}

export function FindPage({ session, location }: PageProps) {
  const { query } = location;
  const words: Words = {
    topic: query.get('topic') ?? session.place.topics[0] ?? '',
    key: query.get('key') ?? '',
    where: query.getAll('where'),
    since: query.get('since') ?? '',
  };
  const asked = JSON.stringify(words);
  return (
    <>
      <Title text="Find records" />
      <Form key={`form ${asked}`} words={words} topics={session.place.topics} />
      {words.key === '' && words.where.length === 0 ? (
        <p class="muted">Give a key, or a field's value. The search says what became of each record.</p>
      ) : (
        <Results key={`${location.visit} ${asked}`} words={words} />
      )}
    </>
  );
}

function Form({ words, topics }: { readonly words: Words; readonly topics: readonly string[] }) {
  const find = (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string) => String(given.get(name) ?? '');
    go(
      pathWith('/find', {
        topic: text('topic'),
        key: text('key'),
        where: given.getAll('where').map(String),
        since: text('since'),
      }),
    );
  };
  return (
    <form class="filters" onSubmit={find}>
      <label class="field">
        <span>Topic</span>
        <select name="topic" defaultValue={words.topic}>
          {topics.map((topic) => (
            <option key={topic} value={topic} selected={topic === words.topic}>
              {printable(topic)}
            </option>
          ))}
        </select>
      </label>
      <TextField class="grows" label="Key" name="key" defaultValue={words.key} />
      {[...words.where, ''].map((where, at) => (
        <TextField
          class="grows"
          key={at}
          label={at === 0 ? 'Field' : 'And field'}
          name="where"
          defaultValue={where}
          placeholder="contentId=/about"
        />
      ))}
      <TextField
        label="Since"
        name="since"
        defaultValue={words.since}
        placeholder="2h, or a time"
        size={14}
      />
      <button type="submit" class="primary">
        Find
      </button>
    </form>
  );
}

/** Of one question, so that no answer stands below another question. */
function Results({ words }: { readonly words: Words }) {
  const [isCancelled, setCancelled] = useState(false);
  const loaded = useLoaded(isCancelled ? null : 'find', async (signal) => {
    const asOf = Date.now();
    return { asOf, answer: await read<FindAnswer>('/api/find', { ...words }, signal) };
  });
  if (isCancelled) {
    return (
      <div class="notice row" role="status">
        The search was cancelled, so nothing is shown.
        <button type="button" onClick={() => setCancelled(false)}>
          Search again
        </button>
      </div>
    );
  }
  if (loaded.isLoading && !loaded.value) {
    return (
      <div class="notice row" role="status">
        <span>
          Reading <Foreign class="mono" text={words.topic} /> …
        </span>
        <button type="button" onClick={() => setCancelled(true)}>
          Cancel the search
        </button>
      </div>
    );
  }
  return (
    <Showing loaded={loaded}>
      {({ answer, asOf }) => <Found answer={answer} asOf={asOf} topic={words.topic} />}
    </Showing>
  );
}

function Found({
  answer,
  asOf,
  topic,
}: {
  readonly answer: FindAnswer;
  readonly asOf: number;
  readonly topic: string;
}) {
  const { records, looked, unreadable, isWhole, command } = answer;
  const consumers = [...new Set(records.flatMap(({ outcomes }) => Object.keys(outcomes)))];
  return (
    <>
      <p role="status">
        <strong>{plural(records.length, 'record')}</strong> found among {count(looked)} of{' '}
        <Foreign class="mono" text={topic} />
        {unreadable > 0 && `; ${count(unreadable)} could not be decoded`}
        <span class="muted">, as of {moment(asOf)}</span>.
      </p>
      {!isWhole && (
        <div class="notice warn">
          <strong>▲ The newest {count(records.length)} are shown.</strong> Older records may match, too. Add a
          field, or run the command with a larger --limit.
        </div>
      )}
      {records.length > 0 && (
        <table class="stack">
          <caption class="hidden-text">Records found, and what became of each</caption>
          <thead>
            <tr>
              <th scope="col">Position</th>
              <th scope="col">Key</th>
              <th scope="col">Written</th>
              {consumers.map((name) => (
                <th scope="col" key={name}>
                  <Foreign text={name} />
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {records.map((record) => (
              <tr key={`${record.partition}/${record.offset}`}>
                <th scope="row" class="mono position">
                  {record.partition}/{record.offset}
                </th>
                <td data-label="Key">
                  <Foreign class="mono clip" text={record.key} />
                </td>
                <td data-label="Written">
                  {Number.isNaN(Date.parse(record.timestamp)) ? (
                    record.timestamp
                  ) : (
                    <When at={Date.parse(record.timestamp)} />
                  )}
                </td>
                {consumers.map((name) => (
                  <td key={name} data-label={printable(name)}>
                    <Outcome of={record.outcomes[name]} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Command text={command} label="The command that finds the same" />
    </>
  );
}

const OUTCOMES: Readonly<Record<string, readonly [Tone, string]>> = {
  applied: ['good', '✓'],
  'dead-lettered': ['bad', '✕'],
  skipped: ['bad', '■'],
  parked: ['warn', '❚❚'],
  pending: ['warn', '…'],
  discarded: ['unknown', '–'],
  before: ['unknown', '–'],
};

function Outcome({ of }: { readonly of: FindAnswer['records'][number]['outcomes'][string] | undefined }) {
  if (of === undefined) return <span class="muted">-</span>;
  const [tone, sign] = OUTCOMES[of.outcome] ?? ['unknown', '?'];
  return (
    <>
      <span class={`verdict ${tone}`}>
        <span aria-hidden="true">{sign}</span>
        {of.outcome}
      </span>
      {of.letter !== null && (
        <>
          {' '}
          <a href={letterPath(of.letter)}>Open the letter</a>
        </>
      )}
    </>
  );
}
