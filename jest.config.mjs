// TypeScript 7 has no API for ts-jest to use, so swc strips the types; `npm run check:types` checks them.
export default {
  testEnvironment: 'node',
  // `millrace` and `#msk` are the sources here, as in tsconfig.json: tests need no build.
  testEnvironmentOptions: { customExportConditions: ['millrace-source', 'node', 'node-addons'] },
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  injectGlobals: false,
  // A busy machine is slow, and that is no fault of what is tested.
  testTimeout: 60_000,
  // jest leaves a core free for watching; nobody watches here.
  maxWorkers: '100%',
};
