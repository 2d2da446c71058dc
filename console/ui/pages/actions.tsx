/** The words for actions and their states. */
import type { ActionRequest, ActionState } from '../../operations.ts';

/** What each kind of action is called. */
export const ACTIONS: Readonly<
  Record<
    ActionRequest['kind'],
    {
      readonly title: string;
      readonly noun: string;
      readonly nouns: string;
      readonly needsReason: boolean;
      readonly about: string;
    }
  >
> = {
  redrive: {
    title: 'Redrive',
    noun: 'letter',
    nouns: 'Letters',
    needsReason: false,
    about:
      'Gives dead letters back to the consumer that failed them. What was applied before stays as it is.',
  },
  discard: {
    title: 'Discard',
    noun: 'letter',
    nouns: 'Letters',
    needsReason: true,
    about: 'Removes dead letters without applying them. An export on disk keeps them.',
  },
  'park-release': {
    title: 'Release',
    noun: 'parked record',
    nouns: 'Parked records',
    needsReason: false,
    about: 'Applies what is parked behind the letter. The letter stays a dead letter, and is overtaken.',
  },
  'park-skip': {
    title: 'Skip',
    noun: 'parked record',
    nouns: 'Parked records',
    needsReason: true,
    about:
      'Discards the letter that the key waits for, and applies what is parked. An export keeps the letter.',
  },
  'park-discard': {
    title: 'Discard parked',
    // A letter is a record, too.
    noun: 'record',
    nouns: 'Letters',
    needsReason: true,
    about: 'Discards the letter and all that is parked behind it. An export keeps both.',
  },
};

const PHASES: Readonly<Record<ActionState['phase'], readonly [tone: string, sign: string, word: string]>> = {
  running: ['warn', '▶', 'under way'],
  paused: ['unknown', '❚❚', 'paused'],
  done: ['good', '✓', 'done'],
  cancelled: ['unknown', '■', 'cancelled'],
  failed: ['bad', '✕', 'stopped'],
};

export function Phase({ of }: { readonly of: ActionState['phase'] }) {
  const [tone, sign, word] = PHASES[of];
  return (
    <span class={`verdict ${tone}`}>
      <span aria-hidden="true">{sign}</span>
      {word}
    </span>
  );
}
