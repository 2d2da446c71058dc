// Java libraries that tests run in a process of their own, by the drivers in test/verify/java: a part's value is the class path.
import { mavenArtifacts } from './downloads.mjs';
import { jdk, maven } from './prerequisites.mjs';

const library = (name, variable, artifact, version) => ({
  name,
  variable,
  prerequisites: [jdk, maven],
  download: (processes) => mavenArtifacts(processes, [`${artifact}:${version}`]),
  start: async (_, classPath) => ({ value: classPath, version }),
});

/** AWS's serializer and deserializer, with the Avro that they bring: https://github.com/awslabs/aws-glue-schema-registry */
export const glueSerde = library(
  "AWS's Glue serde",
  'MILLRACE_TEST_GLUE_SERDE',
  'software.amazon.glue:schema-registry-serde',
  '1.1.27',
);

export const avroJava = library('Avro for Java', 'MILLRACE_TEST_AVRO', 'org.apache.avro:avro', '1.12.2');
