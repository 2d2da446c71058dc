// Types are stripped here, and checked by `npm run check:types`.
export default {
  testEnvironment: 'node',
  // `millrace` and `#msk` are the sources here, as in tsconfig.json: tests need no build.
  testEnvironmentOptions: { customExportConditions: ['millrace-source', 'node', 'node-addons'] },
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // A project of its own, whose tests another runner has.
  testPathIgnorePatterns: ['<rootDir>/test/fixtures/', '/node_modules/'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/strip-types.mjs' },
  setupFiles: [
    '<rootDir>/test/own-stacks.mjs',
    ...(process.env.MILLRACE_TEST_SEED ? ['<rootDir>/test/fixed-seed.mjs'] : []),
  ],
  injectGlobals: false,
  // A busy machine is slow, and that is no fault of what is tested.
  testTimeout: 60_000,
  // jest leaves a core free for watching; nobody watches here.
  maxWorkers: '100%',
  // jest keeps modules of the files before, and PGlite's memory with them. A worker that holds more than this starts anew.
  workerIdleMemoryLimit: '300MB',
};
