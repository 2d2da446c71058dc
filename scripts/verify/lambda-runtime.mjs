// Lambda's runtime, without Lambda: AWS's emulator keeps an execution environment and serves its Runtime API, and AWS's
// client for Node.js loads the handler and calls it: https://github.com/aws/aws-lambda-runtime-interface-emulator,
// https://github.com/aws/aws-lambda-nodejs-runtime-interface-client
//
// The client's part in C++ takes a compiler and minutes, so its three requests to the Runtime API are ours
// (lambda-rapid-client.cjs). What a handler meets is AWS's: loading, context, console, errors.
//
// Where these versions, tried on 2026-11-25, are not what https://docs.aws.amazon.com/lambda/latest/dg/ says of Lambda:
//
// - An environment is initialized by its first invocation, which waits for it.
// - A failed invocation has no X-Amz-Function-Error: its body alone tells, {errorType, errorMessage, trace}. A timeout is
//   the text "Task timed out after …", also with status 200.
// - Memory, payloads, disk and network have no limits, the processor is this machine's, and nobody checks permissions.
// - `invokedFunctionArn` has an account and a region of its own.
// - The runtime has the SDK beside it, and a certificates' file; here, neither is there: a function that needs them fails.
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchOnce } from '../../local/parts/downloads.ts';
import { openssl, postgresql, python } from '../../local/parts/prerequisites.ts';
import { freePort } from '../../local/parts/processes.ts';
import { goCommand } from './go-commands.mjs';

const EMULATOR = 'github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie';
const EMULATOR_VERSION = 'v0.0.0-20261030222936-bef5c4ba774d';
const CLIENT_VERSION = '4.0.2';

export const lambdaRuntime = {
  name: "Lambda's runtime",
  variable: 'MILLRACE_TEST_LAMBDA_RUNTIME',
  // Functions log in to PostgreSQL as they do on RDS, by TLS and with a token.
  prerequisites: [python, postgresql, openssl],

  async download(processes) {
    return {
      emulator: await goCommand(processes, EMULATOR, EMULATOR_VERSION),
      client: await npmPackage(processes, 'aws-lambda-ric', CLIENT_VERSION),
    };
  },

  /** Lays out what stands for /var/runtime. Nothing runs before a function is started. */
  async start(processes, { emulator, client }) {
    const folder = processes.makeFolder('lambda-runtime');
    symlinkSync(emulator, join(folder, 'emulator'));
    copyFileSync(join(client, 'index.mjs'), join(folder, 'index.mjs'));
    // Where the client looks for its addon, Node.js finds a folder, and takes that for a module.
    const native = join(folder, 'rapid-client.node');
    mkdirSync(native);
    writeFileSync(join(native, 'package.json'), JSON.stringify({ main: 'index.cjs' }));
    copyFileSync(new URL('lambda-rapid-client.cjs', import.meta.url), join(native, 'index.cjs'));
    return { value: folder, version: CLIENT_VERSION };
  },
};

/**
 * An execution environment of a function. Its code is loaded by the first invocation.
 * @param runtime the value of the part
 * @param fn one of buildFunctions()
 * @param settings environment variables: what a deployment would fill in, and what is otherwise here than on AWS
 */
export async function startFunction(processes, runtime, fn, settings) {
  // What CloudFormation would look up is left out unless it is given, and the function asks for itself.
  const own = Object.entries(fn.environment).filter(([, value]) => !String(value).includes('{{resolve:'));
  const environment = { ...Object.fromEntries(own), ...settings };
  const open = Object.keys(environment).filter((name) => typeof environment[name] !== 'string');
  if (open.length > 0) throw new Error(`Function ${fn.name}: nothing stands for ${open.join(', ')}.`);
  const address = `127.0.0.1:${await freePort()}`;
  const child = processes.start(
    `function-${fn.name}`,
    join(runtime, 'emulator'),
    [
      ...['--runtime-interface-emulator-address', address],
      ...['--runtime-api-address', `127.0.0.1:${await freePort()}`],
      ...[process.execPath, join(runtime, 'index.mjs'), fn.handler],
    ],
    {
      cwd: fn.code,
      // https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime (2026-11-25)
      env: {
        PATH: '/usr/local/bin:/usr/bin:/bin',
        LANG: 'en_US.UTF-8',
        TZ: ':UTC',
        NODE_PATH: `${runtime}:${fn.code}`,
        LAMBDA_TASK_ROOT: fn.code,
        LAMBDA_RUNTIME_DIR: runtime,
        AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
        AWS_LAMBDA_FUNCTION_NAME: fn.functionName,
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(fn.memoryMb),
        AWS_LAMBDA_FUNCTION_TIMEOUT: String(fn.timeoutSeconds),
        AWS_REGION: 'eu-west-1',
        AWS_ACCESS_KEY_ID: 'verify',
        AWS_SECRET_ACCESS_KEY: 'verify',
        AWS_SESSION_TOKEN: 'verify',
        ...environment,
      },
    },
  );
  await child.untilAnswers(() => fetch(`http://${address}/`, { signal: AbortSignal.timeout(2_000) }));
  return {
    async invoke(event) {
      const response = await fetch(`http://${address}/2015-03-31/functions/function/invocations`, {
        method: 'POST',
        body: JSON.stringify(event),
      });
      const text = await response.text();
      try {
        return JSON.parse(text);
      } catch {
        throw new Error(child.failure(`answered ${response.status} ${JSON.stringify(text)}`));
      }
    },
    /** What the emulator and the function have printed. */
    log: () => child.output(),
    end: () => child.end(),
  };
}

/**
 * A package of npm's as it was published: none of its scripts is run, and nothing that it depends on comes along.
 * @returns its folder
 */
function npmPackage(processes, name, version) {
  return fetchOnce(processes, `${name}-${version}`, async (partial) => {
    const options = { cwd: partial };
    await processes.run(`fetch-${name}`, 'npm', ['pack', '--silent', `${name}@${version}`], options);
    const archive = [`${name}-${version}.tgz`, '--strip-components=1'];
    await processes.run(`fetch-${name}`, 'tar', ['-xzf', ...archive], options);
  });
}
