import fc from 'fast-check';

// .ci/run tries the same values each time, so that a merge never fails for a value that nobody changed.
fc.configureGlobal({ seed: Number(process.env.MILLRACE_TEST_SEED) });
