import { createFakeClock } from '../../../adapters/memory/fake-clock.ts';
import { createMemoryDeadLetters } from '../../../adapters/memory/memory-dead-letters.ts';
import { deadLetterStoreSuite } from '../../ports/dead-letter-store-suite.ts';

deadLetterStoreSuite('memory dead letters', () => ({
  letters: createMemoryDeadLetters({ clock: createFakeClock() }),
  dispose: () => {},
}));
