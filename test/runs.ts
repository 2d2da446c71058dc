/**
 * How often a property is tried: a fifth of `full` by default, so that all tests take two minutes; `full` where
 * MILLRACE_TEST_RUNS=full says so, as .ci/run and the mutants do.
 */
export const runs = (full: number): number =>
  process.env.MILLRACE_TEST_RUNS === 'full' ? full : Math.ceil(full / 5);
