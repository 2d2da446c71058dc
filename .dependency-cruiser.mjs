// The import directions of the house: `runtime` imports nothing of ours, and nobody imports what composes.
// `npm run check:imports` and test/imports.test.ts hold them.

/** Everything under `from` may import of ours only what `to` names. */
const only = (from, to) => ({
  name: `${from}-imports-only-${to.join('-')}`,
  severity: 'error',
  from: { path: `^${from}/` },
  to: {
    path: '^(adapters|bench|bin|cli|console|contracts|create|demo|examples|lambdas|lib|local|millrace[.]config[.]ts|runtime|scripts|test|testing)(/|$)',
    pathNot: `^(${[from, ...to].join('|')})(/|$)`,
  },
});

/** The rooms of `runtime/`, each of which imports only those before it, and the files beside them. */
const ROOMS = [
  'avro',
  'contract',
  'publish',
  'delivery',
  'capture',
  'archive',
  'warehouse',
  'lambda',
  'dead-letters',
  'lag',
  'prometheus',
  'replay',
  'operator',
  'probe',
  'doctor',
];

const roomsPointDown = ROOMS.map((room, at) => ({
  name: `runtime-${room}-imports-no-later-room`,
  severity: 'error',
  from: { path: `^runtime/${room}/` },
  to: {
    path: `^runtime/(${[...ROOMS.slice(at + 1), 'app[.]ts', 'declarations[.]ts', 'index[.]ts'].join('|')})`,
  },
}));

export default {
  forbidden: [
    only('runtime', []),
    ...roomsPointDown,
    only('contracts', ['runtime']),
    only('adapters', ['runtime']),
    only('testing', ['runtime', 'adapters']),
    {
      ...only('lambdas', ['contracts', 'runtime', 'adapters']),
      from: { path: '^lambdas/', pathNot: '^lambdas/migrations/index[.]ts$' },
    },
    {
      ...only('lambdas', ['adapters', 'millrace[.]config[.]ts']),
      name: 'migrations-import-only-the-app',
      comment: 'One list of consumers: the function that migrates takes it from the app.',
      from: { path: '^lambdas/migrations/index[.]ts$' },
    },
    only('demo', ['contracts', 'runtime', 'console/ui']),
    // Projects that use the package, by its exports.
    only('examples', ['runtime', 'adapters', 'lib', 'testing']),
    // A package of its own.
    only('create', []),
    // These are handed an app: none of them knows a contract, a consumer or a config of its own.
    only('local', ['runtime', 'adapters']),
    only('cli', ['runtime', 'adapters', 'local', 'console', 'lib/cost']),
    only('console', ['runtime']),
    {
      ...only('lib', ['runtime', 'adapters/files']),
      from: { path: '^lib/', pathNot: '^lib/constructs/write-page[.]ts$' },
    },
    {
      ...only('lib', ['runtime', 'console/(assets|live-page)[.]ts']),
      name: 'a-deployed-page-is-the-one-of-the-laptop',
      comment:
        'A command of its own, while a function is bundled: it writes the same document and files as millrace up serves.',
      from: { path: '^lib/constructs/write-page[.]ts$' },
    },
    {
      name: 'constructs-know-no-stack',
      severity: 'error',
      from: { path: '^lib/constructs/' },
      to: { path: '^lib/(stacks/|environment-stacks|synthesize|index)' },
    },
    only('bin', ['cli', 'lib', 'runtime']),
    {
      name: 'no-product-on-test-doubles',
      severity: 'error',
      from: { pathNot: '^(bench|test|testing|examples)/' },
      to: { path: '^testing/' },
    },
    {
      name: 'adapters-only-in-a-lambdas-entry',
      comment: 'A declaration must load without any SDK: only index.ts, the Lambda entry, composes adapters.',
      severity: 'error',
      from: { path: '^lambdas/', pathNot: '/index\\.ts$' },
      to: { path: '^adapters/' },
    },
    {
      name: 'framework-tests-know-no-newsroom',
      comment:
        "A user's own contracts and consumers must not turn the framework's tests red: these use test/fixtures.",
      severity: 'error',
      from: { path: '^test/(adapters|bin|cli|console|fixtures|lib|local|ports|runtime|[^/]+[.]ts$)' },
      to: { path: '^(contracts|demo|lambdas)/|^millrace[.]config[.]ts$|^test/(contracts|demo|lambdas)/' },
    },
    {
      name: 'runtime-touches-no-outside',
      comment: 'The clock, randomness, the network and the disk come through ports.',
      severity: 'error',
      from: { path: '^runtime/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(buffer|crypto|util|zlib)$' },
    },
    {
      name: 'runtime-depends-on-no-package',
      severity: 'error',
      from: { path: '^runtime/' },
      to: { path: 'node_modules' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment:
        'bench and verify run the newsroom. Who has put an app in its place does not run them; tsc tells what they miss.',
      severity: 'error',
      from: { pathNot: '^(bench|test/verify)/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    // What becomes a project of its own, which has the package installed.
    exclude: { path: '^(create/(template|dist)|test/fixtures/shop)/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['millrace-source', 'import', 'node', 'default'],
    },
  },
};
