// Apicurio Registry, which has Confluent's REST API beside its own, and its data in memory:
// https://www.apicur.io/registry/docs/apicurio-registry/2.6.x/index.html
//
// 2.6.13 is the newest of Maven Central's that runs on Java 17 and can be fetched by Maven (3.0.9 lacks its parent there).
// Where it, tried on 2026-11-25, is not what
// https://docs.confluent.io/platform/current/schema-registry/develop/api.html says of Confluent's:
//
// - A schema whose JSON is laid out otherwise is another one, with an id of its own.
// - An id that is no number is a 404 with error_code 0.
// - An incompatible version is refused with error_code 409, as the status.
import { join } from 'node:path';
import { mavenArchive } from '../../local/parts/downloads.ts';
import { java, maven } from '../../local/parts/prerequisites.ts';
import { freePort } from '../../local/parts/processes.ts';

const VERSION = '2.6.13.Final';

export const apicurio = {
  name: 'Apicurio Registry',
  variable: 'MILLRACE_TEST_REGISTRY',
  prerequisites: [java, maven],

  download: (processes) => mavenArchive(processes, `io.apicurio:apicurio-registry-app:${VERSION}:tar.gz:all`),

  async start(processes, folder) {
    const port = await freePort();
    const server = processes.start('apicurio', java.find(), [
      '-Xmx512m',
      '-Dquarkus.http.host=127.0.0.1',
      `-Dquarkus.http.port=${port}`,
      '-jar',
      join(folder, `apicurio-registry-app-${VERSION}-runner.jar`),
    ]);
    const value = `http://127.0.0.1:${port}/apis/ccompat/v7`;
    await server.untilAnswers(async () => {
      const { status } = await fetch(`${value}/subjects`, { signal: AbortSignal.timeout(2_000) });
      if (status !== 200) throw new Error(`HTTP ${status}`);
    });
    return { value, version: VERSION };
  },
};
