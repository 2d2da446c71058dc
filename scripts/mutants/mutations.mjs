// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the text of code
/**
 * Faults that a test has to find, each a change of one place: `why` says what would go wrong. One that changes nothing that
 * anybody can see says so in `equivalent`.
 */
const ENGINE = ['test/runtime/delivery/engine.test.ts'];
const HISTORIES = [
  'test/runtime/delivery/delivery.property.test.ts',
  'test/local/consumer-under-faults.test.ts',
];
const SINK = ['test/adapters/postgres/sql-transaction.test.ts', 'test/adapters/postgres/pglite.test.ts'];
const REDRIVE = [
  'test/runtime/dead-letters/redrive/send.test.ts',
  'test/adapters/lambda/redrive-messages.test.ts',
];
const REDRIVE_HISTORIES = ['test/runtime/dead-letters/redrive/redrive.property.test.ts'];

const ARCHIVE = ['test/runtime/archive/sink.test.ts', 'test/runtime/archive/reader.test.ts'];

/** The tests of each file, in steps: the next are run where those before find nothing. */
export const TESTS = {
  'runtime/delivery/ledger.ts': [['test/runtime/delivery/ledger.test.ts'], ENGINE, HISTORIES],
  'runtime/delivery/offset-ranges.ts': [['test/runtime/delivery/offset-ranges.test.ts'], ENGINE],
  'runtime/delivery/handler.ts': [ENGINE, HISTORIES],
  'runtime/delivery/settle.ts': [ENGINE, HISTORIES],
  'runtime/delivery/isolate.ts': [ENGINE, HISTORIES],
  'runtime/delivery/batch.ts': [ENGINE, HISTORIES],
  'runtime/delivery/patience.ts': [['test/runtime/delivery/patience.test.ts'], ENGINE],
  'runtime/delivery/engine.ts': [ENGINE, HISTORIES, REDRIVE_HISTORIES],
  'runtime/contract/codec.ts': [['test/runtime/contract/codec.test.ts'], ENGINE],
  'adapters/postgres/postgres-sink.ts': [SINK],
  'adapters/postgres/sql-transaction.ts': [SINK, ['test/adapters/postgres/pg.test.ts']],
  'adapters/postgres/pg-driver.ts': [['test/adapters/postgres/pg.test.ts']],
  'adapters/postgres/migrate.ts': [['test/adapters/postgres/pglite.test.ts']],
  'adapters/postgres/ledger-migrations.ts': [['test/compatibility.test.ts']],
  'runtime/dead-letters/redrive/send.ts': [REDRIVE, REDRIVE_HISTORIES],
  'runtime/dead-letters/redrive/receive.ts': [REDRIVE, REDRIVE_HISTORIES],
  'runtime/dead-letters/reader.ts': [['test/runtime/dead-letters/discard.test.ts']],
  'runtime/archive/chain.ts': [ARCHIVE, HISTORIES],
  'runtime/archive/sink.ts': [ARCHIVE, HISTORIES],
  'runtime/archive/reader.ts': [ARCHIVE],
  'runtime/archive/row.ts': [ARCHIVE],
  'local/redrive-journal.ts': [['test/local/redrive-journal.test.ts']],
  'runtime/replay/audit.ts': [
    ['test/runtime/replay/audit.test.ts'],
    ['test/runtime/replay/evidence.test.ts'],
  ],
  'runtime/replay/evidence.ts': [['test/runtime/replay/evidence.test.ts']],
  'runtime/replay/gaps.ts': [['test/runtime/replay/replay.property.test.ts']],
  'runtime/replay/run.ts': [
    ['test/runtime/replay/run.test.ts'],
    ['test/runtime/replay/replay.property.test.ts'],
  ],
};

const of = (file, mutations) =>
  Object.entries(mutations).map(([name, [find, replace, why, equivalent]]) => ({
    name: `${file.slice(file.lastIndexOf('/') + 1, -'.ts'.length)}/${name}`,
    file,
    find,
    replace,
    why,
    equivalent,
  }));

export const MUTATIONS = [
  ...of('runtime/replay/audit.ts', {
    'believes-the-ledger': [
      'const deadLettered = intersect(open, letters);',
      'const deadLettered = open;',
      'a dead letter that is gone counts as one that can be redriven',
    ],
    'log-never-had-it': [
      'const impossible = subtract(known, [{ from: 0, to: end }]);',
      'const impossible = subtract(known, known);',
      'a ledger of another topic passes for applied',
    ],
    'no-ledger-is-deleted': [
      'const deletedBelow = first === null ? [] : [{ from: begins, to: Math.min(start, first) }];',
      'const deletedBelow = [{ from: begins, to: Math.min(start, first ?? start) }];',
      'a ledger that is gone is blamed on retention',
    ],
    'discard-beats-letter': [
      'const letterGone = subtract(union(open, skipped), letters);',
      'const letterGone = union(open, skipped);',
      'a letter that was imported again counts twice',
    ],
  }),
  ...of('runtime/replay/evidence.ts', {
    'another-topics-letters': [
      '|| copy.letter.record.topic !== topic',
      '',
      'a letter of another topic explains an offset of this one',
    ],
    'one-look': ['const LOOKS = 3;', 'const LOOKS = 1;', 'a letter that is being redriven is unaccounted'],
    'earlier-epoch': [
      'epoch > 1 ? (first ?? 0) : 0',
      '0',
      'a replay applies what an earlier epoch has applied',
    ],
  }),
  ...of('runtime/replay/gaps.ts', {
    'skipped-is-no-gap': [
      'union(skipped, unaccounted, deleted, deadLettered)',
      'union(unaccounted, deleted, deadLettered)',
      'what an event source jumped over stays out of the tables',
    ],
    'restored-is-no-gap': [
      'union(skipped, unaccounted, deleted, deadLettered)',
      'union(skipped, deleted, deadLettered)',
      'what a restored sink lacks stays out of the tables',
    ],
  }),
  ...of('runtime/replay/run.ts', {
    'returned-is-settled': [
      'rest = left;',
      'rest = [];',
      'records that the function gave back are never applied',
    ],
    'large-record-ends-it': [
      'size = new PayloadSize();\n        return;',
      'throw new Error();',
      'one record that no invocation can carry ends the replay',
    ],
  }),
  ...of('runtime/archive/chain.ts', {
    'overtaken-is-committed': [
      'if (!(await store.create(key, body, metadata))) {',
      'if (!(await store.create(key, body, metadata)) && key === undefined) {',
      'two writers archive the same records',
    ],
    'one-commit-an-offset': [
      'sequence: at === from ? sequence + 1 : 0',
      'sequence: 0',
      'the commit after a redrive never gets a name of its own',
    ],
    'day-never-turns': [
      'end.next.date < today',
      "end.next.date < today && end.next.date === '0000-00-00'",
      'a loader of recent days misses records that came after a quiet day',
    ],
    'day-turns-back': [
      'end.next.date < today',
      'end.next.date !== today',
      'a chain goes back to a day before its end',
    ],
    'holes-never-move-out': [
      'text.length <= MOST_HOLES_TEXT',
      'text.length >= 0',
      'S3 refuses a commit with many dead letters',
    ],
    'backfill-forgotten': [
      'backfill: isBackfill ? key : end.backfill,',
      'backfill: isBackfill ? key : null,',
      'a reader does not find records that were redriven',
    ],
  }),
  ...of('runtime/archive/sink.ts', {
    'stale-end-is-kept': [
      'this.#ends.delete(chainPrefix(chain));',
      '',
      'a warm function that was overtaken conflicts for ever',
    ],
    'redriven-rows-move-on': [
      'if (below.length === 0) {',
      'if (below.length >= 0) {',
      'records that were redriven together with new ones are lost, or twice',
    ],
    'rows-as-they-came': [
      '.toSorted((a, b) => a.offset - b.offset)',
      '',
      'rows stand in the order of isolation, not of offsets',
    ],
  }),
  ...of('runtime/archive/reader.ts', {
    'gap-is-passed': [
      'if (facts.ledger.next !== next) {',
      'if (facts.ledger.next === undefined) {',
      'a replay misses the records of an object that is gone, and says nothing',
    ],
    'missing-is-silent': [
      'onMissing({ from, to: Math.min(start, to) });',
      '{}',
      'records that nobody has are not named',
    ],
    'always-whole': [
      'if (link) return link.from;',
      'if (link) return 0;',
      'an archive whose old days were deleted cannot be read any more',
    ],
  }),
  ...of('runtime/archive/row.ts', {
    'line-ends-stay': ["value.replace(/[\\r\\n]/g, ' ')", 'value', 'one record becomes several lines'],
    'value-of-a-header': [
      'line.indexOf(VALUE, line.indexOf(SCHEMA_ID))',
      'line.indexOf(VALUE)',
      'a header is taken for the value',
    ],
    'bytes-as-objects': [
      'isPlain(schema)) ? jsonWithBytes',
      'schema === undefined) ? jsonWithBytes',
      'bytes stand as numbers',
    ],
  }),
  ...of('runtime/delivery/ledger.ts', {
    'next-is-settled': [
      'record.offset >= next) {',
      'record.offset > next) {',
      'the first new record is dropped as a duplicate',
    ],
    'same-time-is-newer': [
      'isDated && record.timestamp > maxTimestamp',
      'isDated && record.timestamp >= maxTimestamp',
      'a redelivery halts as if the topic had been created again',
    ],
    'future-dates-records': [
      'const isDated = isPlausible(record.timestamp, now) && isPlausible(maxTimestamp, now);',
      'const isDated = isPlausible(maxTimestamp, now);',
      'a record dated ahead of the clock stops its partition when it is delivered again',
    ],
    'redrive-halts': [
      "if (arrival === 'delivery' && isDated",
      'if (isDated',
      'a letter with a date of its own halts its redrive',
    ],
    'letters-go-ahead': [
      "return arrival === 'delivery' ? 'fresh' : 'early';",
      "return 'fresh';",
      'a letter ahead of the ledger is applied, and its delivery drops what comes before it',
    ],
    'letters-date-the-ledger': [
      'isDeadLettered || !isPlausible(timestamp, now) ? newest',
      '!isPlausible(timestamp, now) ? newest',
      'a dead letter sets the time by which a topic created again is told',
    ],
    'future-dates-the-ledger': [
      'isDeadLettered || !isPlausible(timestamp, now) ? newest',
      'isDeadLettered ? newest',
      'a record dated ahead hides a topic created again',
    ],
    'next-falls-back': [
      'next: Math.max(next, highest + 1)',
      'next: highest + 1',
      'a redelivery forgets what was settled',
    ],
    'first-stays': [
      'first: Math.min(first, lowest)',
      'first',
      'records below the ledger are applied each time',
    ],
    'letters-close-holes': [
      'isInside(settlement) && !settlement.isDeadLettered',
      'isInside(settlement)',
      'a letter that fails again is no hole any more',
    ],
    'closed-anywhere': [
      'isInside(settlement) && !settlement.isDeadLettered',
      '!settlement.isDeadLettered',
      'a large hole column is written again with every batch',
    ],
    'nothing-skipped-below': [
      'skipped: [...skippedBelow, ...skippedAbove],',
      'skipped: [...skippedAbove],',
      'offsets below the ledger that were never delivered count as settled',
    ],
    'sparse-is-contiguous': [
      "offsets === 'contiguous' ? subtract([{ from: next, to: highest + 1 }], delivered) : []",
      'subtract([{ from: next, to: highest + 1 }], delivered)',
      'the gaps of a compacted topic raise an alarm',
    ],
  }),
  ...of('runtime/delivery/offset-ranges.ts', {
    'touching-are-two': [
      'if (last && range.from <= last.to) {',
      'if (last && range.from < last.to) {',
      'ranges grow without end',
    ],
    'inner-ends-outer': ['Math.max(last.to, range.to)', 'range.to', 'a range inside another cuts it short'],
    'end-is-inside': [
      'if (sortedRanges[middle]!.to <= offset) low',
      'if (sortedRanges[middle]!.to < offset) low',
      'the offset behind a hole is not seen in the next one',
    ],
    'touching-cut': [
      'cuts[at]!.to <= from) at++',
      'cuts[at]!.to < from) at++',
      'nothing',
      'a cut that ends where the range begins takes nothing off it: `from` becomes itself',
    ],
    'cut-ends-with-its-range': [
      'if (cut.to > range.to) break;',
      'if (cut.to > range.to) at++;',
      'a cut that reaches into the next range is forgotten there',
    ],
  }),
  ...of('runtime/delivery/handler.ts', {
    'late-fail-counts': [
      'return new Map(failures);',
      'return failures;',
      'fail() after handle() loses a record',
    ],
    'show-is-the-last-try': [
      '  if (isForShow) {',
      '  if (false) {',
      'a record is given up for what it owes to one before it',
    ],
    'one-try-more': [
      "if (diagnosis.action === 'retry' && item.tries < attempts) {",
      "if (diagnosis.action === 'retry' && item.tries <= attempts) {",
      'a record is tried more often than its consumer says',
    ],
    'escapes-unseen': [
      'context.watchEscapes((error) => interrupted.reject(legible(error)));',
      'context.watchEscapes(() => {});',
      'a rejection that nobody awaited goes unseen',
    ],
    'time-hides-an-outage': [
      'if (handlerTime.aborted && !isHold(error)) throw handlerTime.reason;',
      'if (handlerTime.aborted) throw handlerTime.reason;',
      'a service that is down is called a slow record',
    ],
  }),
  ...of('runtime/delivery/settle.ts', {
    'unknown-is-the-handlers': [
      "inHandler ? 'HANDLER_FAILED' : 'UNEXPECTED'",
      "'HANDLER_FAILED'",
      'an unknown error of the store or of COMMIT makes dead letters of sound records',
    ],
    'slow-store-is-the-sink': [
      "if (phase === 'dead-letter') {",
      'if (false) {',
      'the error names the sink where the letter store is slow',
    ],
    'timers-stay': [
      '    clear(): void {\n      timer.abort();',
      '    clear(): void {',
      'each transaction leaves a timer behind',
    ],
    'timers-pile-up': [
      '): void {\n      timer.abort();\n      timer = new',
      '): void {\n      timer = new',
      'a deadline that was moved still breaks the transaction off',
    ],
    'sink-never-waits': [
      'transaction?.isWaiting() ?? true',
      'false',
      'where the sink hangs the records are blamed',
    ],
    'before-the-sink-is-the-handler': [
      'transaction?.isWaiting() ?? true',
      'transaction?.isWaiting() ?? false',
      'nothing',
      'without a transaction the phase is `lock`, for which outOfTime does not ask who waits',
    ],
    'handler-is-the-sink': [
      "if (phase === 'handle' && !isSinkWaiting)",
      "if (phase === 'handle')",
      'the sink that hangs is called a slow handler',
    ],
    'no-grace': [
      'deadline.set(graceMs, () => abandon.abort(error));',
      'abandon.abort(error);',
      'a handler cannot say any more which service is down',
    ],
    'grace-is-for-ever': [
      'deadline.set(graceMs, () => abandon.abort(error));',
      '',
      'a handler that hangs is not broken off',
    ],
    'all-letters-at-once': [
      'const MOST_LETTERS = 500;',
      'const MOST_LETTERS = 5_000;',
      'a crash leaves thousands of second letters',
    ],
    'letters-in-one-portion': [
      'const LETTERS_AT_ONCE = 100;',
      'const LETTERS_AT_ONCE = 5_000;',
      'a slow store has to begin anew, and stores the same letters again',
    ],
    'stored-is-forgotten': [
      'for (const item of portion) item.stored = item.failure;',
      '',
      'a transaction that is tried again stores its letters again',
    ],
    'stored-once-for-all': [
      'item.stored !== item.failure && !isKnown(item)',
      'item.stored === null && !isKnown(item)',
      'nothing',
      'a failure is described once in an invocation, and an item does not outlive it',
    ],
    'no-letters': ['await storeLetters(failed, context);', '', 'what failed is lost'],
    'writing-keeps-the-handlers-deadline': [
      '      deadline.set(writingMs, () => abandon.abort(outOfTime(phase, writingMs, true)));\n',
      '',
      'a handler that computed past its share is rolled back although it has done its part',
    ],
    'probe-is-kept': [
      "if (approach === 'probe') throw new Probed();",
      '',
      'a probe behind a slow record is applied out of order',
    ],
    'probe-blames': [
      '      const rejected = await handle(sound, opened.tx);\n        if (approach',
      '      const rejected = await handle(sound, opened.tx);\n        giveUp(rejected);\n        if (approach',
      'a record that a probe rejects is a dead letter before its turn',
    ],
    'show-gives-up': [
      'if (!isForShow) giveUp(rejected);',
      'giveUp(rejected);',
      'a record is given up for effects that one before it has yet to have',
    ],
    'outage-in-a-group': [
      'if (handlerTime.signal.aborted || abandon.signal.aborted || !mayBeARecords(diagnosis)) throw error;',
      'if (handlerTime.signal.aborted || abandon.signal.aborted) throw error;',
      'the sink being down is taken for a bad record',
    ],
    'slow-in-a-group': [
      'if (handlerTime.signal.aborted || abandon.signal.aborted || !mayBeARecords(diagnosis)) throw error;',
      'if (!mayBeARecords(diagnosis)) throw error;',
      'what ran out of time is halved without time',
    ],
    'no-room': [
      'failed < MOST_LETTERS / 2 && clock.now()',
      'clock.now()',
      'a transaction finds more bad records than it may make letters of, and begins anew',
    ],
    'no-end-of-search': [
      '&& clock.now() - startedAt < budgetMs / 2',
      '',
      'a search for bad records uses up its time, and settles nothing',
    ],
    'cut-behind-all': [
      '(behind.get(partition)?.items ?? (isOver ? left : done)).push(item);',
      '(because ? behind.get(partition)!.items : isOver ? left : done).push(item);',
      'records behind one that waits are settled before it, without effects',
    ],
  }),
  ...of('runtime/delivery/isolate.ts', {
    'hardly-halves': [
      'Math.floor((badBefore - at) * costs.part())',
      'Math.floor((badBefore - at) / 1.1)',
      'to find a bad record takes a multitude of calls',
    ],
    'never-grows': ['if (badBefore <= at) size *= 2;', '', 'behind a bad record groups stay small'],
    'groups-hold-the-bad': [
      'if (!isOther(items[from]!)) while',
      'while',
      'a record that failed before brings down those beside it',
    ],
    'waits-for-show': [
      'if (!isForShow) waiting.set(item, diagnosis);',
      'waiting.set(item, diagnosis);',
      'nothing',
      'only a record that is held gets here for show; the one before it waits already, and its partition with it',
    ],
    'held-is-passed': [
      "if (verdict === 'failed' || (verdict === 'retry' && isForShow)) continue;",
      "if (verdict !== 'retry' || isForShow) continue;",
      'records behind one that is held are applied before it',
    ],
    'retry-is-passed': [
      "if (verdict === 'failed' || (verdict === 'retry' && isForShow)) continue;",
      "if (verdict !== 'hold') continue;",
      'records behind one that is tried again are applied before it',
    ],
    'show-stays': [
      '        throw new TakenBack();\n',
      '',
      'effects behind a record that waits stay, and are applied again',
    ],
    'tries-the-rest': [
      "if (verdict === 'retry' && (await takingBack(",
      'if ((await takingBack(',
      'behind a record that an outage holds all the others are tried as well',
    ],
    'all-partitions-wait': [
      'while (end < to && items[end]!.raw.partition === raw.partition) end++;',
      'while (end < to) end++;',
      'a bad record holds other partitions',
    ],
    'no-canary': [
      'isCanary = mayBeAnOutage(diagnosis);',
      'isCanary = false;',
      'in an outage the handler is called for each halving',
    ],
    'blames-without-evidence': [
      'if (!item.isToBlame) throw diagnosis.error;',
      '',
      'a missing table dead-letters the topic',
    ],
    'forgets-who-is-to-blame': [
      'item.isToBlame ||= await othersGoThrough(item);',
      'item.isToBlame = await othersGoThrough(item);',
      'a record that is alone when it is tried again halts its consumer',
    ],
    'first-no-canary': [
      'let isCanary = failedFor !== null && mayBeAnOutage(failedFor);',
      'let isCanary = false;',
      'in an outage the handler is called with half a batch',
    ],
    'goes-on': [
      'if (judged > 0 && !ports.mayGoOn(failed)) return at;',
      '',
      'a search goes on past its time and room',
    ],
    'stops-at-once': [
      'if (judged > 0 && !ports.mayGoOn(failed)) return at;',
      'if (!ports.mayGoOn(failed)) return at;',
      'a transaction that begins late settles nothing at all, again and again',
    ],
    'takes-too-much': [
      'if (judged > 0 && !ports.mayGoOn(failed)) return at;',
      'if (judged > 0 && !ports.mayGoOn(failed)) return to;',
      'records that were not tried are settled',
    ],
  }),
  ...of('runtime/delivery/batch.ts', {
    'one-by-two': [
      'const SPLIT_INTO = 8;',
      'const SPLIT_INTO = 2;',
      'a handler that hangs is not cornered in time',
    ],
    'late-blame': [
      'if (budgetMs < consumer.timeoutMs * MIN_SHARE_OF_TIMEOUT) {',
      'if (budgetMs <= 0) {',
      'a sound record is blamed for an invocation that is nearly over',
    ],
    'waits-stay-long': [
      'if (settled.waiting.length === 0) holds = 0;',
      '',
      'after an outage the next wait is as long as its last',
    ],
    'waits-stay-short': [
      'if (settled.waiting.length === 0) holds = 0;',
      'holds = 0;',
      'while one partition is held waits do not grow',
    ],
    'stale-reason': [
      '      stoppedBy = null;\n    } catch',
      '    } catch',
      'the error names an outage that is over',
    ],
    'failed-time-is-lost': [
      '      total.handlerMs += failed.handlerMs;\n',
      '',
      'the metric leaves out the time of calls that failed',
    ],
    'outage-is-split': [
      '!mayBeARecords(diagnosis) || sound.length === 0 ||',
      'sound.length === 0 ||',
      'while the sink is down a batch is taken apart, and its records are dead-lettered',
    ],
    'nobody-is-split': [
      '!mayBeARecords(diagnosis) || sound.length === 0 ||',
      '!mayBeARecords(diagnosis) ||',
      'a transaction of given-up records that fails has no record to be tried',
    ],
    'outage-behind-savepoints': [
      " || (inHandler && approach !== 'whole')",
      '',
      'a failure that no record is to blame for is put on the records',
    ],
    'too-many-wait': [
      'if (diagnosis.error instanceof TooManyLetters) {',
      'if (false) {',
      'a batch of more bad records than a transaction takes never gets through',
    ],
    'slow-store-for-ever': [
      'const isTooSlow = isOutOfTime && items[at] === unstored;',
      'const isTooSlow = false;',
      'a store that is too slow gets the same letter again and again',
    ],
    'slow-store-at-once': [
      'const isTooSlow = isOutOfTime && items[at] === unstored;',
      'const isTooSlow = isOutOfTime;',
      'a store that was slow once is given up on',
    ],
    'stored-part-waits': [
      "      line.put('whole', items.slice(0, at));\n    } else if (isOutOfTime",
      "      line.put('whole', items.slice(0, 0));\n    } else if (isOutOfTime",
      'records whose letters are stored are dropped from the line, and come back',
    ],
    'slow-commit-is-whole': [
      'isOutOfTime && (inHandler || items.length > 1)',
      'isOutOfTime && inHandler',
      'a batch that the sink cannot write in time is never split',
    ],
    'alone-blames-all': [
      'const isToBlame = patience.othersGoThrough(item!);',
      'const isToBlame = true;',
      'a service that hangs makes dead letters',
    ],
    'alone-blames-none': [
      'const isToBlame = patience.othersGoThrough(item!);',
      'const isToBlame = false;',
      'one record that hangs stops its partition for good',
    ],
    'no-probe': [
      'if (!patience.othersGoThrough(item!)) await probe(item!.raw.partition);',
      '',
      'a slow record at the head of the only partition is never told from an outage',
    ],
    'slow-part-alone': [
      '...(underTest.length > 1 ? split(slow) : [slow]),',
      '...split(slow),',
      'nothing',
      'a single record is split into itself',
    ],
    'out-of-place': [
      'for (const items of parts.toReversed()) if',
      'for (const items of parts) if',
      'parts of a batch are settled in the wrong order',
    ],
    'own-partition-goes-on': [
      'const behind = [...stack.toReversed(), ...waiting].flatMap((each) => each.items.filter(isOfPartition));',
      'const behind: Item[] = [];',
      'records behind one that waits are lost from the line',
    ],
    'others-wait-too': [
      "    put('whole', items.filter(isOther));\n",
      '',
      'records of other partitions are lost from the line',
    ],
    'first-held-only': [
      'heldBy: () => waiting[0]?.because ?? left,',
      'heldBy: () => left,',
      'the error does not say what held the line',
    ],
    'slow-with-others': [
      'const slow = inOrder.filter(({ items }) => items[0]!.slowSince !== null);',
      'const slow: typeof inOrder = [];',
      'a record that was slow takes the time of those behind it with it',
    ],
    'in-any-order': [
      'const inOrder = waiting.toSorted((a, b) => a.items[0]!.raw.partition - b.items[0]!.raw.partition);',
      'const inOrder = waiting;',
      'nothing',
      'each that waits is a partition of its own, and the sink sorts the locks',
    ],
  }),
  ...of('runtime/delivery/patience.ts', {
    'slow-is-through': ['throughAt = ++now;', 'throughAt = now;', 'others that go through are not seen'],
    'forgets-since': [
      'item.slowSince ??= since.get(recordId(item.raw)) ?? now;',
      'item.slowSince ??= now;',
      'a record that comes alone is never told from an outage, however often it comes',
    ],
    'starts-over': [
      'item.slowSince ??= since.get(recordId(item.raw)) ?? now;',
      'item.slowSince = now;',
      'what went through since a record was first slow is forgotten',
    ],
    'two-blame-each-other': [
      'return throughAt > Math.max(item.slowSince ?? now, aloneBefore);',
      'return throughAt > (item.slowSince ?? now);',
      'in an outage that comes between, the records after it are blamed',
    ],
    'remembers-all': [
      'if (since.size > MOST_REMEMBERED) since.delete(since.keys().next().value!);',
      '',
      'memory grows with every record that was ever slow',
    ],
  }),
  ...of('runtime/contract/codec.ts', {
    'no-byte-budget': [
      'if (spent.bodyBytes >= bodyBytes) break;',
      '',
      'a batch of bombs is read into memory as a whole',
    ],
    'packed-is-free': [
      'spent.bodyBytes += body.length;',
      'spent.bodyBytes += end - start;',
      'a compressed bomb costs what it takes on the wire',
    ],
    'no-look-up-budget': [
      'else if (!ids.has(id) && ids.size >= lookUps) break;',
      '',
      'a batch of damaged ids asks the registry for each before anything is settled',
    ],
    'first-may-wait': [
      'if (error === null || (index > 0 && spent.bodyBytes >= bodyBytes)) {',
      'if (error === null || spent.bodyBytes >= bodyBytes) {',
      'a record larger than the budget is never read',
    ],
    'reads-past-the-budget': [
      'if (error === null || (index > 0 && spent.bodyBytes >= bodyBytes)) {',
      'if (error === null) {',
      'a batch whose schema is new is read as a whole',
    ],
    'unknown-forgotten': [
      'if (clock) rememberUnknown(id, error, clock.now() + UNKNOWN_FOR_MS);',
      '',
      'the registry is asked for the same damaged id with each delivery',
    ],
    'unknown-for-ever': [
      'if (known.until > clock!.now()) return known.error;',
      'return known.error;',
      'a schema that is registered late is never found',
    ],
    'remembers-all-unknown': [
      'if (unknown.size > MOST_UNKNOWN_IDS) unknown.delete(unknown.keys().next().value!);',
      '',
      'memory grows with every damaged id',
    ],
    'outage-is-the-records': [
      "error.action === 'dead-letter' ? { error } : { held: error }",
      '{ error }',
      'a registry that is down makes dead letters',
    ],
    'waits-for-the-registry': [
      '(await (timeIsOver ? Promise.race([answers, timeIsOver]) : answers))',
      '(await answers)',
      'a registry that hangs uses up the invocation',
    ],
  }),
  ...of('runtime/delivery/engine.ts', {
    'on-demand-returns': [
      '(!invocation.partialResponses || returned.length === items.length)',
      '(returned.length === items.length)',
      'without partial responses Lambda takes what was handed back for done',
    ],
    'nothing-settled-is-success': [
      '(!invocation.partialResponses || returned.length === items.length)',
      '(!invocation.partialResponses)',
      'an invocation that settles nothing counts as no error',
    ],
    'twins-are-applied': [
      "outcome === 'applied' ? 'duplicate' : outcome",
      'outcome',
      'a twin counts as applied once more',
    ],
    'held-partition-goes-on': [
      'if (!result || held.has(partition)) {',
      'if (!result) {',
      'records behind one that the registry holds are settled before it',
    ],
    'no-turns': [
      'const DECODE_BUDGET = { lookUps: 64, bodyBytes: 4 * 1024 * 1024 } as const;',
      'const DECODE_BUDGET = { lookUps: 1e9, bodyBytes: 4 * 1024 * 1024 } as const;',
      'a storm of unknown ids uses up the time before anything is settled',
    ],
    'goes-on-behind': [
      '          left = left.filter((item) => !isWaiting(item));\n',
      '',
      'the next turn settles records behind those that were handed back',
    ],
    'registry-waits-grow': [
      '        holds = 0;\n',
      '',
      'a registry that is back, and down again, is waited for as long as at last',
    ],
    'waits-before-others': [
      'const mayWait = isLast || (left.length === 0 && stuck.length === 0);',
      'const mayWait = true;',
      'a partition that waits starves those that are not read yet',
    ],
    'one-partition-a-turn': [
      'await (isLast ? decodeEach : decode)(left, budget);',
      'await decode(left, budget);',
      'a large partition that waits starves others that wait',
    ],
    'halt-takes-all': [
      'if (letters.length === 1) throw stoppedBy.error;',
      'throw stoppedBy.error;',
      'one letter that halts keeps all others of its redrive from being settled',
    ],
    'halt-is-swallowed': [
      'if (++halted === letters.length) throw error;',
      '',
      'where every letter halts, nobody hears of it',
    ],
    'all-is-read': [
      'const DECODE_BUDGET = { lookUps: 64, bodyBytes: 4 * 1024 * 1024 } as const;',
      'const DECODE_BUDGET = { lookUps: 64, bodyBytes: 1e12 } as const;',
      'a batch of large values has to fit the memory as a whole',
    ],
  }),
  ...of('adapters/postgres/postgres-sink.ts', {
    'parts-stay-open': [
      '                part.close();',
      '',
      'what a failed call left running writes into the next one',
    ],
    'sinks-own-savepoints': [
      'if (OUR_SAVEPOINT.test(statement)) {',
      'if (false) {',
      "a handler releases the sink's own savepoint",
    ],
    'locks-in-any-order': [
      '  ORDER BY l.topic, l.partition\n  FOR UPDATE OF l',
      '  FOR UPDATE OF l',
      'two batches deadlock',
    ],
    'no-lock': ['\n  FOR UPDATE OF l`', '`', 'two functions apply the same records'],
    'locks-some': [
      '    AND (\n      SELECT count(*) FROM request JOIN millrace_ledger k USING (topic, partition)\n      WHERE k.consumer = $1 AND k.epoch = $2\n    ) = cardinality($3::text[])\n',
      '',
      'locks are taken out of order where a partition is new: two batches deadlock',
    ],
    'skips-nothing': [
      'l.dead_lettered * r.asked + l.passed_over * r.asked AS holes',
      'l.dead_lettered * r.asked AS holes',
      'skipped offsets count as settled',
    ],
    'still-skipped': [
      'l.passed_over - p.closed - p.dead_lettered + p.passed_over',
      'l.passed_over - p.closed + p.passed_over',
      'an offset is skipped and a dead letter at once',
    ],
    'closed-stay': [
      'CASE WHEN isempty(p.closed) AND isempty(p.dead_lettered) THEN l.dead_lettered',
      'CASE WHEN isempty(p.dead_lettered) THEN l.dead_lettered',
      'a letter that was redriven stays a hole',
    ],
    'ledger-may-be-lost': [
      'if (affectedRows === patches.length) {',
      'if (true) {',
      'effects are committed without their ledger',
    ],
    'another-transaction': [
      '    AND pg_current_xact_id()::text = $11\n',
      '    AND $11::text IS NOT NULL\n',
      'a handler that commits by itself goes unseen',
    ],
    'ranges-unread': [
      'const behind = requests.filter((request) => request.from < (rangesBelow.get(nameOf(request)) ?? 0));',
      'const behind: typeof requests = [];',
      'holes that were moved out count as settled',
    ],
    'takes-other-kinds': [
      "s.lowest < upper(p.taken) AND s.offsets <@ p.taken\n    AND s.kind IN ('dead-lettered', 'skipped')`",
      's.lowest < upper(p.taken) AND s.offsets <@ p.taken`',
      'what is discarded or parked is forgotten with a hole that closes',
    ],
    'ranges-of-other-kinds': [
      "    AND s.kind IN ('dead-lettered', 'skipped')\n  GROUP BY 1, 2`",
      '  GROUP BY 1, 2`',
      'what is discarded or parked counts as a hole',
    ],
    'range-edge': [
      'AND s.beyond > r.lowest AND s.lowest < r.beyond',
      'AND s.beyond > r.lowest + 1 AND s.lowest < r.beyond',
      'the last offset of a moved range counts as settled',
    ],
    'moves-beside-old': [
      'may_move && bytes > mostRangeBytes',
      'bytes > mostRangeBytes',
      'functions of the version before do not see the holes',
    ],
    'never-moves': [
      'if (full.length > 0) await query(open, MOVE_RANGES, keysOf(key, full));',
      '',
      'a row of many holes is read and written whole with each batch',
    ],
    'moved-lose-their-kind': [
      "UNION ALL SELECT topic, partition, 'skipped', passed_over FROM ledger",
      "UNION ALL SELECT topic, partition, 'dead-lettered', passed_over FROM ledger",
      'skipped offsets are shown as dead letters',
    ],
    'moved-stay': [
      "UPDATE millrace_ledger l SET dead_lettered = '{}', passed_over = '{}', ranges_below = l.next",
      "UPDATE millrace_ledger l SET passed_over = '{}', ranges_below = l.next",
      'ranges are in both places, and one closes in one of them only',
    ],
    'moved-unmarked': [
      "passed_over = '{}', ranges_below = l.next",
      "passed_over = '{}'",
      'moved ranges are not looked for',
    ],
    'moved-of-all': [
      '  FROM ledger WHERE (l.consumer, l.epoch, l.topic, l.partition)\n    = (ledger.consumer, ledger.epoch, ledger.topic, ledger.partition)`',
      '  FROM ledger WHERE (l.consumer, l.epoch) = (ledger.consumer, ledger.epoch)`',
      'ledgers of other partitions lose their holes',
    ],
    'closed-in-the-row-only': [
      'await takeFromRanges(open, key, patches, rangesBelow);',
      '',
      'a hole that was moved out never closes',
    ],
    'takes-closed-only': [
      'ranges: union(closed, deadLettered),',
      'ranges: closed,',
      'a letter that fails again is a hole in two places, of which one closes',
    ],
    'takes-all-of-the-row': [
      'SET offsets = s.offsets - p.taken',
      "SET offsets = '{}'",
      'to redrive one letter settles all those beside it',
    ],
    'takes-whole-rows-only': [
      'AND NOT s.offsets <@ p.taken AND s.kind',
      'AND s.offsets <@ p.taken AND s.kind',
      'a part of a moved range never closes',
    ],
    'takes-above-only': [
      'of.ranges[0]!.from < (rangesBelow.get(nameOf(of)) ?? 0)',
      'of.ranges[0]!.from > (rangesBelow.get(nameOf(of)) ?? 0)',
      'a hole that was moved out never closes',
    ],
    'handlers-may-commit': [
      'if (ENDS_TRANSACTION.test(statement)) {',
      'if (ENDS_TRANSACTION.test(sql)) {',
      'a COMMIT behind a comment reaches the server',
    ],
    'state-stays': ['open.retire();', ';', 'a setting of one batch reaches the next'],
  }),
  ...of('adapters/postgres/sql-transaction.ts', {
    'late-statements': [
      '    transaction.destroy();\n    aborted.reject',
      '    aborted.reject',
      'statements of a handler that was abandoned still land',
    ],
    'commits-early': [
      '    await this.#lastStatement;\n    this.#throwIfClosed();\n    await this.#tellFailure();',
      '    this.#throwIfClosed();\n    await this.#tellFailure();',
      'COMMIT overtakes statements that nobody awaited',
    ],
    'untold-failure-commits': [
      '    await this.#tellFailure();\n    this.#isOpen = false;',
      '    this.#isOpen = false;',
      'a swallowed parameter that was never sent is committed without',
    ],
    'untold-failure-stays': [
      '        this.#isFailureUntold = false;\n      }\n      throw error;',
      '      }\n      throw error;',
      'what a savepoint took back fails the whole transaction',
    ],
    'rolled-back-is-success': [
      '    if (!isCommitted) throw afterFailure(this.#failure);\n',
      '',
      'a COMMIT that the server answers with ROLLBACK counts as done',
    ],
    'savepoint-unsent': [
      '        await this.#sendSavepoints();\n',
      '',
      'a group that failed keeps its effects',
    ],
    'savepoint-stays': [
      'await this.#control(`ROLLBACK TO SAVEPOINT ${nameOf(depth)}`);',
      'await this.#control(`RELEASE SAVEPOINT ${nameOf(depth)}`);',
      'a group that failed keeps its effects, or fails its transaction',
    ],
    'savepoint-leaves-statements': [
      '      // What the work did not await is part of it.\n      await this.#lastStatement;\n',
      '',
      'a statement that nobody awaited lands outside its savepoint',
    ],
    'failed-savepoint-leaves-statements': [
      '    } catch (error) {\n      await this.#lastStatement;\n',
      '    } catch (error) {\n',
      'a statement that nobody awaited lands although its group was taken back',
    ],
    'failure-stays': [
      '        this.#failure = undefined;\n        this.#isFailureUntold = false;',
      '        this.#isFailureUntold = false;',
      'nothing',
      'whatever fails later is noted in its place before it is asked for',
    ],
    'savepoints-share-a-name': [
      'return `millrace_${depth}`;',
      "return 'millrace_0';",
      'a savepoint in a savepoint is taken for the one around it',
    ],
    'own-savepoint-is-released-twice': [
      '        this.#leftOpen = this.#leftOpen.slice(0, depth);\n      } else',
      "        this.#leaveOpen(depth, 'used');\n      } else",
      'a SAVEPOINT of the handler halts its consumer once a record is bad',
    ],
    'sent-without-need': [
      'if (savepoint.isSent && this.#failure) {',
      'if (this.#failure) {',
      'nothing',
      'where nothing was sent, nothing has failed inside',
    ],
  }),
  ...of('adapters/postgres/pg-driver.ts', {
    'default-isolation': [
      'BEGIN ISOLATION LEVEL READ COMMITTED;',
      'BEGIN;',
      "under a role's stricter default twins fail instead of taking turns",
    ],
    'broken-is-kept': [
      '    } catch {\n      this.destroy();',
      '    } catch {\n      this.#release();',
      'a session that did not roll back is used again',
    ],
    'retired-is-kept': [
      'this.#client.release(destroy || this.#isRetired);',
      'this.#client.release(destroy);',
      'what a batch left in its session reaches the next one',
    ],
    'released-twice': [
      '    if (this.#isReleased) return;\n',
      '',
      'a connection that another batch uses is taken from it',
    ],
  }),
  ...of('adapters/postgres/migrate.ts', {
    'no-migration-lock': [
      "  SELECT pg_advisory_xact_lock(hashtextextended('millrace_migration', 0));\n",
      '',
      'two processes apply a migration at once',
    ],
    'may-end-itself': [
      'await open.run(withinTransaction(next.sql));',
      'await open.run(next.sql);',
      'a migration that commits half-way is kept in half',
    ],
    unchecked: [
      '  checkUnchanged(scope, migrations, done);\n',
      '',
      'a migration that was edited goes unnoticed',
    ],
  }),
  ...of('adapters/postgres/ledger-migrations.ts', {
    'new-ledgers-move': [
      "CASE WHEN EXISTS (SELECT FROM millrace_ledger) THEN now() + interval '1 day' ELSE '-infinity' END",
      "'-infinity'",
      'functions of the version before do not see the holes of a ledger that is begun beside them',
    ],
  }),
  ...of('runtime/dead-letters/redrive/send.ts', {
    'copies-stay': [
      'return new Map([...letters].map(([key, copies]) => [key, [...copies, ...(others.get(key) ?? [])]]));',
      'return letters;',
      'copies of a letter that was applied stay among the dead letters',
    ],
    'sent-again': [
      'if (!journal.sent.has(key) && !fresh.has(key)) {',
      'if (!fresh.has(key)) {',
      'a redrive that goes on sends what was sent',
    ],
    'more-canaries': [
      'await sendUpTo(Math.max(options.canary, journal.sent.size), 1);',
      'await sendUpTo(options.canary, 1);',
      'nothing',
      'what is in the journal is not sent again, whatever the limit',
    ],
    'removed-unnoted': [
      '        journal.noteSent([...fresh.keys()]);\n        fresh.clear();\n',
      '        fresh.clear();\n',
      'a redrive that is killed forgets what it sent',
    ],
    'canary-ignored': [
      '    stopAtFailures(now, 1);\n    if (now.planned',
      '    if (now.planned',
      'all letters follow a canary that failed',
    ],
    impatient: [
      'if (now.remaining < before.remaining) quietMs = 0;',
      '',
      'a slow redrive is given up on although results come',
    ],
    'last-batch-stays': [
      '    if (batch.length > 0) await flush();\n  };',
      '  };',
      'the last letters are never sent',
    ],
    unpaced: ['await clock.sleep(Math.max(0, nextSendAt - clock.now()));', '', 'a redrive ignores its rate'],
  }),
  ...of('runtime/dead-letters/redrive/receive.ts', {
    'result-is-lost': [
      'for (const { message } of opened) if (message.redriveId === redriveId) handedBack.add(message.id);',
      '',
      'a redrive waits for results that were never written',
    ],
    'outage-refuses': [
      "if (envelope && error.action !== 'hold') note(",
      'if (envelope) note(',
      'a letter counts as refused because the object store is down',
    ],
    'any-topic': [
      'if (letter.consumer === consumer && record.topic === topic)',
      'if (letter.consumer === consumer)',
      'a letter of another topic reaches the handler',
    ],
    'none-refused': [
      'const refused = handedBack.size;',
      'const refused = 0;',
      'refused letters raise no alarm',
    ],
    'early-is-done': [
      'else handedBack.add(message.id);',
      '',
      'a letter that is not settled leaves the queue',
    ],
  }),
  ...of('runtime/dead-letters/reader.ts', {
    'removed-first': [
      '    await keep(batch);\n    await reader.remove(batch);',
      '    await reader.remove(batch);\n    await keep(batch);',
      'a discard that is killed loses what it took away',
    ],
  }),
  ...of('local/redrive-journal.ts', {
    'on-the-line-of-a-kill': [
      'writeFileSync(file, `\\n${JSON.stringify(entry)}\\n`);',
      'writeFileSync(file, `${JSON.stringify(entry)}\\n`);',
      'the entry behind one that a kill cut short cannot be read',
    ],
    'ended-goes-on': [
      "|| entries.some(({ type }) => type === 'ended')",
      '',
      'a redrive that is over is gone on with',
    ],
  }),
];
