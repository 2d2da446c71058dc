import type { PageProps } from '../page.ts';

export function FailuresPage({ status }: PageProps) {
  return <h1>Failures {status?.consumers.length}</h1>;
}
