// Java libraries that tests run in a process of their own, by the drivers in test/verify/java: a part's value is the class path.
import { mavenArtifacts } from '../../local/parts/downloads.ts';
import { jdk, maven } from '../../local/parts/prerequisites.ts';

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

/** The dependencies that docs/producing.md names for Java. The two need different versions of the AWS SDK, so its BOM decides. */
export const JAVA_PRODUCER = {
  artifacts: [
    'software.amazon.glue:schema-registry-serde:1.1.27',
    'software.amazon.msk:aws-msk-iam-auth:2.3.9',
  ],
  bill: 'software.amazon.awssdk:bom:2.32.25',
};

export const javaProducer = {
  name: 'Libraries of a Java producer',
  variable: 'MILLRACE_TEST_JAVA_PRODUCER',
  prerequisites: [jdk, maven],
  download: (processes) => mavenArtifacts(processes, JAVA_PRODUCER.artifacts, [JAVA_PRODUCER.bill]),
  start: async (_, classPath) => ({
    value: classPath,
    version: JAVA_PRODUCER.artifacts.map((each) => each.split(':')[2]).join(', '),
  }),
};

export const avroJava = library('Avro for Java', 'MILLRACE_TEST_AVRO', 'org.apache.avro:avro', '1.12.2');
